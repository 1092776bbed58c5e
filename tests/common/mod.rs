//! What the tests of the promises share.
#![allow(dead_code, unreachable_pub)]

use std::{future::Future, time::Duration};

use tokio::time::{Instant, advance};
use tokio_test::{assert_ready, task};
use tower_longpoll::{Batch, Channel, Cursor, Event, Hub, Since, Stats, Waited};

pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

pub fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub fn channels(count: usize) -> Vec<Channel> {
    (0..count).map(|number| channel(&format!("c{number}"))).collect()
}

/// Lets time go by, and then every task that time has woken run.
pub async fn pass(time: Duration) {
    advance(time).await;
    settle().await;
}

pub async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// How long a future takes on the paused clock, to the nanosecond.
pub async fn timed<F: Future>(future: F) -> (Duration, F::Output) {
    let start = Instant::now();
    let output = future.await;
    (start.elapsed(), output)
}

pub fn publish(hub: &Hub, channel: &Channel, event: impl Into<Event>) {
    hub.publish(channel, event).unwrap();
}

/// The answer to a poll that is not held.
pub fn ask(hub: &Hub, channels: &[Channel], since: impl Into<Since>) -> Waited {
    let wait = hub.wait(channels).since(since).hold(Duration::ZERO);
    assert_ready!(task::spawn(wait).poll(), "a hold of zero is answered at once")
}

/// A wait that is parked.
pub fn park(hub: &Hub, channels: &[Channel], since: impl Into<Since>) -> Parked {
    let mut wait = task::spawn(hub.wait(channels).since(since));
    assert!(wait.poll().is_pending(), "there is nothing to answer yet");
    wait
}

pub type Parked = task::Spawn<tower_longpoll::Wait>;

#[track_caller]
pub fn batch(waited: Waited) -> Batch {
    match waited {
        Waited::Events(batch) => batch,
        other => panic!("not events: {other:?}"),
    }
}

#[track_caller]
pub fn timed_out(waited: Waited) -> Cursor {
    match waited {
        Waited::TimedOut { cursor } => cursor,
        other => panic!("not timed out: {other:?}"),
    }
}

pub fn texts(batch: &Batch) -> Vec<String> {
    batch.iter().map(|entry| String::from_utf8(entry.payload().to_vec()).unwrap()).collect()
}

/// The payloads of an answer that has no gap.
#[track_caller]
pub fn whole(waited: Waited) -> Vec<String> {
    let batch = batch(waited);
    assert!(!batch.gap(), "nothing is gone: {batch:?}");
    texts(&batch)
}

/// What a hub holds now, without what has happened on it.
pub fn held(hub: &Hub) -> (usize, usize, usize, usize) {
    let Stats { parked, channels, history_events, history_bytes, .. } = hub.stats();
    (parked, channels, history_events, history_bytes)
}

#[track_caller]
pub fn assert_empty(hub: &Hub) {
    assert_eq!(held(hub), (0, 0, 0, 0), "nothing is left behind");
}

/// xorshift64*: the same numbers for the same seed, everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound as u64) as usize
    }
}
