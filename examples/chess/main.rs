//! Chess over long polls: play it in two windows, watch it, and see that the threads stay free.
//!
//! ```text
//! cargo run --release --example chess
//! ```
//!
//! Open the address that it prints. All options: `-- --help`.
//!
//! - `rules`, `clock`, `game` and `attendance` are pure: they are told what time it is.
//! - `room` locks, stores (`store`) and publishes, in an order that loses and repeats nothing.
//! - `events` says which channels there are, and who is here while a poll is parked.
//! - `api` and `assets` are the site; `status`, `probe` and `process` measure.
//! - `server` listens, and ends when it is asked to.
//!
//! Whoever reaches the port may create games and chat, as fast as they like: on the open internet it
//! belongs behind a proxy that limits connections and requests.
//!
//! The rules are those of the crate `shakmaty`, which is under the GPL: so is a program that is
//! built from this example. The library does not use it.

mod api;
mod assets;
mod attendance;
mod clock;
mod events;
mod game;
mod probe;
mod problem;
mod process;
mod random;
mod room;
mod rules;
mod server;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod times;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Parser;
use tokio::runtime;

use crate::{room::Room, status::Status};

/// Chess in the browser, all of whose news travel by long poll.
#[derive(Parser)]
#[command(name = "chess")]
struct Options {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3002")]
    listen: SocketAddr,
    /// Threads that do the work; 0 is one for each core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1_024))]
    threads: u16,
    /// Where the games are kept; by default in the system's folder for temporary files
    #[arg(long, value_name = "FOLDER")]
    games: Option<PathBuf>,
    /// How long a poll is held that does not say
    #[arg(long, value_name = "SECONDS", default_value_t = 25, value_parser = clap::value_parser!(u16).range(1..=60))]
    hold: u16,
    /// Let anybody poll and publish on the channels `sim.*`, for the load simulator
    #[arg(long)]
    load: bool,
}

impl Options {
    fn hold(&self) -> Duration {
        Duration::from_secs(self.hold.into())
    }
}

/// What the handlers share.
#[derive(Clone)]
struct App {
    room: Arc<Room>,
    status: Arc<Status>,
    /// Whether there are channels for the simulator.
    load: bool,
}

impl App {
    /// Needs a runtime.
    fn new(room: Arc<Room>, load: bool) -> Self {
        let status = Status::new(Arc::clone(&room));
        Self { room, status, load }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut builder = runtime::Builder::new_multi_thread();
    if options.threads > 0 {
        builder.worker_threads(options.threads.into());
    }
    let ended = builder.enable_all().build().and_then(|runtime| {
        // A task of its own, so that a worker runs it: the main thread only waits for it.
        let ended = runtime.block_on(async { tokio::spawn(server::run(options)).await });
        runtime.shutdown_background();
        ended?
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
