//! Servers that follow one log, as processes: killed, restarted, and with an engine that stops, while
//! clients wander from one to the other. What is not lost in here is not lost.
//!
//! The faults come as the events do, not by the clock. `CLUSTER_EVENTS` and `CLUSTER_SEED` make a run
//! longer, or another one.
#![cfg(all(feature = "nats", feature = "redis", not(loom)))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    net::TcpListener,
    sync::{Arc, atomic::Ordering},
};

use rustix::process::{Signal, kill_process};

use self::{
    clients::{Publisher, Told, Wanderer},
    nodes::{Engine, Fault, Kind, Nodes, Random},
    process::Process,
};

#[path = "cluster/clients.rs"]
mod clients;
#[path = "cluster/nodes.rs"]
mod nodes;
#[path = "process/mod.rs"]
mod process;

const CHANNELS: usize = 20;
const CLIENTS: usize = 50;
const PUBLISHERS: usize = 2;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_misses_anything_over_nats() {
    nobody_misses_anything(Kind::Nats).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_misses_anything_over_redis() {
    nobody_misses_anything(Kind::Redis).await;
}

#[test]
fn the_example_shows_a_client_that_goes_on_elsewhere() {
    if Engine::start(Kind::Nats).is_none() {
        return;
    }
    let shown = process::command("cluster").output().unwrap();
    let (said, wrong) =
        (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    assert!(shown.status.success(), "{said}{wrong}");
    assert_eq!(said.matches("answers [{").count(), 3, "{said}");
}

#[test]
fn a_server_whose_log_says_nothing_ends_when_it_is_asked_to() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let log = format!("redis://{}", silent.local_addr().unwrap());
    let mut command = process::command("server");
    let mut server = Process::spawn(command.args(["--listen", "127.0.0.1:0", "--redis", &log]));
    let connected = silent.accept().unwrap();
    kill_process(server.pid(), Signal::TERM).unwrap();
    assert_eq!(server.exit().code(), Some(0));
    drop(connected);
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

async fn nobody_misses_anything(kind: Kind) {
    let Some(engine) = Engine::start(kind) else { return };
    let (events, seed) = (setting("CLUSTER_EVENTS", 2_000), setting("CLUSTER_SEED", 1));
    println!("seed {seed}, {events} events");
    let mut random = Random::new(seed);
    let nodes = Arc::new(Nodes::start(engine, 3));

    let told = Arc::new(Told::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            // Each follows five channels of its own choice.
            let channels = (0..5).map(|_| random.below(CHANNELS)).collect();
            let client = Wanderer::new(&nodes, &told, channels, "oldest", random.fork());
            (number, tokio::spawn(client.follow()))
        })
        .collect();
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let publisher = Publisher::new(&nodes, &told, number, random.fork());
            tokio::spawn(publisher.publish(events / PUBLISHERS as u64))
        })
        .collect();

    // A fault after every so many events, until all are published.
    let mut faults = 0;
    let mut next = 200;
    while publishers.iter().any(|publisher| !publisher.is_finished()) {
        if told.published.load(Ordering::Relaxed) as u64 >= next {
            next += 200;
            faults += 1;
            nodes.suffer(Fault::any(&mut random), told.answers(CLIENTS)).await;
        }
        told.answers(1).await;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    told.end();
    for (number, client) in clients {
        let heard = client.await.unwrap();
        let expected = told.expected(&heard.channels);
        assert_eq!(heard.gaps, 0, "client {number}: nothing was trimmed");
        assert_eq!(
            heard.count(),
            expected.values().map(Vec::len).sum::<usize>(),
            "client {number}"
        );
        for (channel, events) in &expected {
            // All publishers' events of a channel are in the order of the log: so each one's own are
            // in the order in which they were published, and all clients agree.
            assert_eq!(&heard.of(channel), events, "client {number}, channel {channel}");
        }
    }
    println!("{faults} faults, {} answers", told.answers.load(Ordering::Relaxed));
    assert!(faults >= events / 400, "the faults come with the events");
}
