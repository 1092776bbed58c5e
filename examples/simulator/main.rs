//! Many clients against a long-poll server, and what they miss.
//!
//! ```text
//! cargo run --release --example server
//! cargo run --release --example simulator -- http://127.0.0.1:3000 --clients 5000 --plot plot.svg
//! ```
//!
//! Any server of this protocol will do, whichever reply it gives, if a `POST` to `events/CHANNEL`
//! publishes. All options: `-- --help`.
//!
//! Every request is matched with its answer. Every event has a number, by which each client tells
//! what it has lost, what came twice, and what came out of order; at the end it asks for what it has
//! missed, so that nothing lost stays unseen. A gap that the server tells of is counted by itself.
//! The program fails if anything was lost, came twice or out of order, or if a request failed.
//! Ctrl-C ends the run early, with its report.
//!
//! The clients share the machine's time with the server, if both run on it: then their latencies
//! are those of both.

mod client;
mod count;
mod options;
mod others;
mod plot;
mod report;
mod seen;
mod wire;

use std::{
    collections::hash_map::RandomState,
    error::Error,
    hash::BuildHasher,
    process::{self, ExitCode},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use mimalloc::MiMalloc;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until},
};

use self::{
    client::{Channel, Client, Run},
    options::{Options, STREAMS},
    report::{Report, whole},
    seen::Counts,
    wire::{Shared, Wire},
};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Publishing is one after the other on a channel; so many channels go on at the same time.
const PUBLISHERS: usize = 8;

/// So many ask at once at the end for what they have missed.
const TURNS: usize = 256;

fn main() -> ExitCode {
    let options = Options::parse();
    if let Err(error) = options.open_files() {
        return fail(&error);
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    // A task of its own, so that a worker runs it.
    let done = runtime.block_on(async { tokio::spawn(simulate(options)).await });
    runtime.shutdown_background();
    match done.map_err(Into::into).and_then(|done| done) {
        Ok(faults) if faults.is_empty() => {
            println!("\nnothing was lost, and nothing failed");
            ExitCode::SUCCESS
        }
        Ok(faults) => fail(&faults.join(", ")),
        Err(error) => fail(&error.to_string()),
    }
}

fn fail(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::FAILURE
}

type Failed = Box<dyn Error + Send + Sync>;

/// Runs all of it, prints the report, and says what is wrong.
async fn simulate(options: Options) -> Result<Vec<String>, Failed> {
    let address = options.address()?;
    TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))?;
    let run = Arc::new(Run {
        start: Instant::now(),
        name: format!("{:016x}", RandomState::new().hash_one(())),
        polls: Default::default(),
        publishes: Default::default(),
        pages: Default::default(),
        latencies: Default::default(),
        page_times: Default::default(),
        running: Default::default(),
        events: Default::default(),
        with_events: Default::default(),
        empty: Default::default(),
        turns: Semaphore::new(TURNS),
        options,
    });
    let options = &run.options;
    let channels: Vec<_> = (0..options.channels)
        .map(|number| {
            let name = format!("{}{number}", options.prefix);
            Arc::new(Channel { name, sent: Default::default(), uncertain: Default::default() })
        })
        .collect();
    let wire = || {
        if options.h2 { Wire::Http2(Shared::new(address)) } else { Wire::http1(address) }
    };

    let (stop_others, others_stop) = watch::channel(false);
    let mut others = JoinSet::new();
    let publishers = PUBLISHERS.min(channels.len());
    if options.publish_rate > 0.0 {
        let every = Duration::from_secs_f64(publishers as f64 / options.publish_rate);
        for first in 0..publishers {
            let own = channels.iter().skip(first).step_by(publishers).cloned().collect();
            let stop = others_stop.clone();
            others.spawn(others::publish(Arc::clone(&run), own, wire(), every, stop));
        }
    }
    if let Some(page) = options.page.clone() {
        others.spawn(others::look(Arc::clone(&run), page, wire(), others_stop));
    }

    let (stop_clients, clients_stop) = watch::channel(false);
    let shared: Vec<_> = (0..options.connections()).map(|_| Shared::new(address)).collect();
    let start = Instant::now();
    let ramp = tokio::spawn({
        let (run, h2, mut stop) = (Arc::clone(&run), options.h2, clients_stop.clone());
        async move {
            let mut clients = JoinSet::new();
            for number in 0..run.options.clients {
                let at = start
                    + run.options.ramp.mul_f64(f64::from(number) / f64::from(run.options.clients));
                tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => break,
                    () = sleep_until(at) => {}
                }
                let number = number as usize;
                let (Some(channel), shared) =
                    (channels.get(number % channels.len()), shared.get(number / STREAMS as usize))
                else {
                    break;
                };
                let wire = match shared {
                    Some(shared) if h2 => Wire::Http2(Arc::clone(shared)),
                    _ => Wire::http1(address),
                };
                let client = Client::new(number, Arc::clone(channel), wire, Arc::clone(&run));
                clients.spawn(client.live(clients_stop.clone()));
            }
            clients
        }
    });

    watch_over(&run, start).await;
    let published_for = start.elapsed();
    // A second Ctrl-C ends everything; some senders of signals say everything twice.
    tokio::spawn(async {
        sleep(Duration::from_millis(500)).await;
        let _ = tokio::signal::ctrl_c().await;
        process::exit(130);
    });
    stop_others.send_replace(true);
    others.join_all().await;
    stop_clients.send_replace(true);
    // What comes from now on was asked for by no long poll.
    run.latencies.turn(run.start.elapsed());
    run.page_times.turn(run.start.elapsed());
    let mut counts = Counts::default();
    let (mut ran, mut unproven) = (0, 0);
    let mut clients = ramp.await?;
    while let Some(client) = clients.join_next().await {
        ran += 1;
        let (one, is_whole) = client?;
        counts.add(one);
        unproven += u64::from(!is_whole);
    }

    let report = Report { run: &run, counts, clients: ran, unproven, published_for };
    print!("{report}");
    if let Some(path) = &run.options.json {
        let text = format!("{:#}\n", report.json());
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &run.options.plot {
        let drawn = plot::draw(path, &run, ran).map_err(|error| error.to_string());
        drawn.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(report.faults())
}

/// Shows how it goes, until the time is over or somebody has seen enough.
async fn watch_over(run: &Run, start: Instant) {
    let total = run.options.ramp + run.options.duration;
    let bar = ProgressBar::new(total.as_millis().try_into().unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{elapsed:>4} {bar:24} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut interrupted = Box::pin(tokio::signal::ctrl_c());
    let mut ticks = interval(Duration::from_millis(200));
    let (mut count, mut before) = (0_u64, 0);
    loop {
        tokio::select! {
            _ = &mut interrupted => break,
            () = sleep_until(start + total) => break,
            _ = ticks.tick() => {}
        }
        count += 1;
        if count % 5 == 0 {
            run.latencies.turn(run.start.elapsed());
            run.page_times.turn(run.start.elapsed());
        }
        let events = run.events.load(Relaxed);
        let failed = run.polls.failed.load(Relaxed) + run.polls.refused.load(Relaxed);
        bar.set_position(start.elapsed().as_millis().try_into().unwrap_or(u64::MAX));
        bar.set_message(format!(
            "{} clients, {} polls under way, {} events/s, {} failures",
            whole(run.running.load(Relaxed)),
            whole(run.polls.under_way()),
            whole((events - before) * 5),
            whole(failed),
        ));
        before = events;
    }
    bar.finish_and_clear();
}
