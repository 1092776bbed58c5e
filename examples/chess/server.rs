//! Listening, and ending.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::Path,
    time::Duration,
};

use axum::serve::ListenerExt;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
    time::sleep,
};
use tower_longpoll::Hub;

use crate::{App, Options, api, process, room::Room, store::Store, times::Times};

/// How many games there can be at once.
const MAX_GAMES: usize = 10_000;
/// How long connections may take to end when every poll has its answer.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves until it is asked to stop.
pub(crate) async fn run(options: Options) -> io::Result<()> {
    let mut stops = Stops::new()?;
    let told =
        |error: io::Error, what: String| io::Error::new(error.kind(), format!("{what}: {error}"));
    let listener = listen(options.listen)
        .map_err(|error| told(error, format!("cannot listen on {}", options.listen)))?;
    let address = listener.local_addr()?;
    process::raise_open_files();

    let folder = options.games.clone().unwrap_or_else(|| {
        std::env::temp_dir().join(format!("tower-longpoll-chess-{}", address.port()))
    });
    let hub = hub(options.hold()).map_err(io::Error::other)?;
    let room = Store::open(folder.clone())
        .and_then(|store| Room::open(hub.clone(), store, Times::new(), MAX_GAMES))
        .map_err(|error| told(error, format!("cannot keep games in {}", folder.display())))?;
    announce(address, &folder, room.games());

    let router = api::router(App::new(room.clone(), options.load));
    let (stop, stopped) = oneshot::channel::<()>();
    // Answers are small and waited for. Without it they are late, but right.
    let listener = listener.tap_io(|client| _ = client.set_nodelay(true));
    let server = axum::serve(listener, router).with_graceful_shutdown(async {
        let _ = stopped.await;
    });
    let mut server = tokio::spawn(server.into_future());
    tokio::select! {
        ended = &mut server => return ended?,
        () = stops.next() => {}
    }
    // First no new connections, then every poll is answered.
    let _ = stop.send(());
    hub.drain(Duration::ZERO);
    // Now rather than at the end: there may be another server by then.
    room.save();
    // A client that stalls does not keep the server; neither does who is impatient.
    let farewell = async {
        while hub.stats().parked > 0 {
            sleep(Duration::from_millis(20)).await;
        }
        sleep(FAREWELL).await;
    };
    tokio::select! {
        _ = server => {}
        () = farewell => {}
        () = stops.next() => {}
    }
    Ok(())
}

/// The hub, with no more history than those need who were away for a moment: who was away for
/// longer reads the state anew.
fn hub(hold: Duration) -> Result<Hub, tower_longpoll::ConfigError> {
    Hub::builder()
        .hold(hold)
        .max_payload_bytes(512 * 1024)
        .history_events(200)
        .history_bytes(1024 * 1024)
        .total_history_bytes(128 * 1024 * 1024)
        .evict_oldest(true)
        .build()
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Clients that were let go together come back together.
    socket.listen(4_096)
}

fn announce(address: SocketAddr, folder: &Path, games: usize) {
    // Whoever started this may not care to read it.
    let _ = writeln!(
        io::stdout(),
        "open http://{address}/ in two windows, and play\n\
         what the server does: http://{address}/status\n\
         games are kept in {} ({games} found)\n\
         Ctrl-C ends it",
        folder.display()
    );
}

/// The signals that ask to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
