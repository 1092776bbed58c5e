//! Everything at once, on eight threads, and then a recount.
//!
//! What the models under loom cannot hold: fifty channels, clients that go on from their cursors,
//! and others that publish, delete, touch, supersede, park and leave, and drain, at random. What
//! each thread does is drawn from a seed, which is printed; `TEST_SEED` takes one again. How the
//! threads meet is up to the machine. Holds of a few milliseconds are real; nothing asserts how
//! long anything takes, but for a limit at which it is taken to hang.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "stress/client.rs"]
mod client;
mod common;
#[path = "stress/recount.rs"]
mod recount;

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    thread,
    time::Duration,
};

use client::Client;
use common::*;
use futures_util::future::{join, join_all};
use recount::{Log, recount};
use tokio::{runtime::Builder, time::timeout};
use tokio_test::task;
use tower_longpoll::{Channel, Hub, HubBuilder, Waited};

const THREADS: usize = 8;
const CLIENTS: usize = 3;
const CHANNELS: usize = 50;
/// What each thread does in a round, beside its clients.
const STEPS: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(30);

/// One hub, and all that the threads of a round share.
struct Round {
    hub: Hub,
    channels: Vec<Channel>,
    /// Set when nobody publishes any more.
    done: AtomicBool,
    /// How many threads have done all their steps.
    finished: AtomicUsize,
    drains: bool,
    seed: u64,
}

fn run(name: &str, set: fn(HubBuilder) -> HubBuilder, drains: bool) {
    let seed = match std::env::var("TEST_SEED") {
        Ok(seed) => seed.parse().expect("TEST_SEED is a number"),
        Err(_) => RandomState::new().hash_one(()),
    };
    println!("{name}: TEST_SEED={seed}");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let round = Arc::new(Round {
        hub: set(Hub::builder()).build().unwrap(),
        channels: channels(CHANNELS),
        done: AtomicBool::new(false),
        finished: AtomicUsize::new(0),
        drains,
        seed,
    });
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (round, handle) = (Arc::clone(&round), runtime.handle().clone());
            thread::spawn(move || handle.block_on(live(&round, thread)))
        })
        .collect();
    let logs = threads.into_iter().map(|thread| thread.join().unwrap());
    let log = logs.fold(Log::default(), Log::with);
    recount(&round.hub, &log, drains);

    // Nothing is in use any more, but for what is held; that can be let go.
    for channel in &round.channels {
        round.hub.delete(channel);
    }
    assert_empty(&round.hub);
}

/// What one thread does.
async fn live(round: &Round, thread: usize) -> Log {
    let seed = round.seed.wrapping_add(thread as u64);
    let clients = (0..CLIENTS).map(|number| {
        let random = Random::new(seed.wrapping_mul(31).wrapping_add(number as u64));
        Client::new(&round.hub, &round.channels, random).live(&round.done)
    });
    let both = join(join_all(clients), meddle(round, thread, Random::new(seed)));
    let (clients, log) = timeout(PATIENCE, both).await.expect("a wait never ends: a lost wakeup");
    clients.into_iter().fold(log, Log::with)
}

/// Does at random what can be done to a hub.
async fn meddle(round: &Round, thread: usize, mut random: Random) -> Log {
    let (hub, mut log, mut waits) = (&round.hub, Log::default(), Vec::new());
    for step in 0..STEPS {
        let number = random.below(CHANNELS);
        let channel = &round.channels[number];
        match random.below(40) {
            0 => _ = hub.delete(channel),
            1 | 2 => log.touched(hub.touch(channel)),
            3..6 => {
                // Others of the key end, and so may this one.
                let wait = hub.wait([channel]).hold(MS * random.below(20) as u32);
                let mut wait = task::spawn(wait.supersede_by(format!("key {}", random.below(9))));
                match wait.poll() {
                    Poll::Ready(waited) => log.ended(&waited),
                    Poll::Pending => waits.push(wait),
                }
            }
            6..9 if !waits.is_empty() => {
                log.dropped += 1;
                drop(waits.swap_remove(random.below(waits.len())));
            }
            9..12 => waits.retain_mut(|wait| match wait.poll() {
                Poll::Ready(waited) => {
                    log.ended(&waited);
                    false
                }
                Poll::Pending => true,
            }),
            12..16 => tokio::task::yield_now().await,
            16 => tokio::time::sleep(MS).await,
            17 => assert!(hub.stats().channels <= CHANNELS),
            18 if round.drains && thread == 0 && step > STEPS * 3 / 4 => {
                hub.drain(MS * random.below(5) as u32);
            }
            _ => {
                let published = hub.publish(channel, format!("{thread}:{step}")).unwrap();
                log.published.push((published.cursor, number));
            }
        }
    }
    log.dropped += waits.len() as u64;
    drop(waits);
    finish(round, &mut log);
    log
}

/// The last thread that comes here lets the clients know, which may be parked for ever.
fn finish(round: &Round, log: &mut Log) {
    if round.finished.fetch_add(1, Ordering::SeqCst) + 1 == THREADS {
        if round.drains {
            round.hub.drain(Duration::ZERO);
        }
        for (number, channel) in round.channels.iter().enumerate() {
            let published = round.hub.publish(channel, "the last").unwrap();
            log.published.push((published.cursor, number));
        }
        round.done.store(true, Ordering::SeqCst);
        for channel in &round.channels {
            log.touched(round.hub.touch(channel));
        }
    }
}

#[test]
fn each_client_sees_each_event_once_or_is_told_of_a_gap() {
    run("plenty", |hub| hub.history_events(100_000), false);
}

#[test]
fn each_client_sees_each_event_once_though_histories_are_short() {
    run("short", |hub| hub.history_events(3).shards(4).max_batch_events(2), false);
}

#[test]
fn each_client_sees_each_event_once_though_histories_are_young() {
    run("young", |hub| hub.history_age(3 * MS).shards(1), false);
}

#[test]
fn each_client_sees_each_event_once_until_it_is_drained() {
    run("drained", |hub| hub.history_events(8), true);
}
