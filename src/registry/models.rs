//! The races of the registry, each explored in every order of its steps.
//!
//! A model is a handful of threads that meet in one race, and the promise that holds whichever way
//! they interleave. What must be true at the end is read off after all threads are joined. The
//! clock is a number, as everywhere below the driver: a turn at tick 9 may well run before a
//! publish at tick 0.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod alarms;
mod clients;
mod deleting;
mod draining;
mod expiring;
mod fanouts;
mod following;
mod limits;
mod parking;
mod publishing;
mod superseding;
mod touching;

use std::{sync::Arc, time::Instant};

use loom::thread::{JoinHandle, spawn};

use self::clients::Client;
use super::*;
use crate::{
    cursor::Since,
    event::Event,
    outcome::{PublishError, Published, Refused, Waited},
};

/// Runs a model in every order of its steps.
fn explore(model: impl Fn() + Send + Sync + 'static) {
    loom::model::Builder::new().check(model);
}

/// Runs a model in every order that takes the processor from a thread, against its will, at most
/// so many times. For models that have too many orders; what takes more is rarely a new race.
fn explore_with_preemptions(most: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(most);
    builder.check(model);
}

/// A registry of so many shards, with limits that no model comes near.
fn registry(shards: usize) -> Arc<Registry> {
    limited(Config { shards, ..Config::default() })
}

fn limited(config: Config) -> Arc<Registry> {
    Arc::new(Registry::new(config.checked().unwrap(), Instant::now()))
}

/// A channel on the shard of this index.
fn channel_on(registry: &Registry, shard: usize) -> Channel {
    let mut names = (0..).map(|number: u32| Channel::new(number.to_string()).unwrap());
    names.find(|name| registry.locate(name).index == shard).unwrap()
}

/// Events of most models are published at tick 0, and too old after all else.
const TIMES: Times = Times::new(0, 100);

/// Publishes; returns the event's number and its text, as [`Client::told`] lists it.
fn publish(registry: &Registry, channel: &Channel, text: &'static str) -> (u64, &'static str) {
    publish_counted(registry, channel, text).0
}

/// Also returns how many waits the event woke.
fn publish_counted(
    registry: &Registry,
    channel: &Channel,
    text: &'static str,
) -> ((u64, &'static str), usize) {
    let (published, _, panics) = registry.publish(channel, Event::from(text), TIMES).unwrap();
    panics.resume();
    let Published { cursor, woken } = published;
    ((cursor.sequence(), text), woken)
}

/// Publishes on a thread of its own.
fn publisher(
    registry: &Arc<Registry>,
    channel: &Channel,
    text: &'static str,
) -> JoinHandle<(u64, &'static str)> {
    let (registry, channel) = (Arc::clone(registry), channel.clone());
    spawn(move || publish(&registry, &channel, text))
}

/// A registry of one shard, a channel, and a client that is about to poll it.
fn with_client() -> (Arc<Registry>, Channel, Client) {
    let registry = registry(1);
    let channel = channel_on(&registry, 0);
    let client = Client::new(&registry, [&channel]);
    (registry, channel, client)
}

/// The same, with the client parked until tick 9.
fn with_parked() -> (Arc<Registry>, Channel, Client) {
    let (registry, channel, mut client) = with_client();
    assert!(client.start(9).is_none());
    (registry, channel, client)
}

/// Three clients, parked: one more than a batch.
fn three_parked(registry: &Registry, channel: &Channel) -> [Client; 3] {
    [(); 3].map(|()| {
        let mut client = Client::new(registry, [channel]);
        assert!(client.start(9).is_none());
        client
    })
}

/// A client that was woken once, for an answer of this kind.
#[track_caller]
fn ends_once(client: &mut Client, is_end: fn(&Waited) -> bool) {
    assert_eq!(client.rung(), 1);
    assert!(is_end(&client.wake_up()));
}

/// A client that parked while others were ended: it has ended like them, or hears the next event.
#[track_caller]
fn ends_or_waits_on(
    registry: &Registry,
    channel: &Channel,
    later: &mut Client,
    is_end: fn(&Waited) -> bool,
) {
    if later.rung() > 0 {
        assert!(is_end(&later.wake_up()));
    } else {
        let sent = publish(registry, channel, "a");
        let answer = later.wake_up();
        assert_eq!(later.heard(&answer), [sent]);
    }
}

/// A client that polled from now on beside an event: it was woken for it, or has not missed it.
#[track_caller]
fn hears_it_or_times_out(registry: &Registry, client: &mut Client, sent: (u64, &str)) {
    if client.rung() == 0 {
        // Were the event news to it, the answer at its end would be the event.
        turn(registry, 9);
        assert!(matches!(client.wake_up(), Waited::TimedOut { .. }), "not woken, not wanted");
    } else {
        let answer = client.wake_up();
        assert_eq!(client.heard(&answer), [sent]);
    }
    assert_eq!(client.rung(), 1);
}

/// Catches up, and has been told exactly this.
#[track_caller]
fn hears_all(client: &mut Client, sent: &[(u64, &str)]) {
    client.catch_up();
    assert_eq!((client.told(), client.gaps()), (sent.to_vec(), 0));
}

/// Does all that is due.
fn turn(registry: &Registry, now: u64) {
    for cell in &registry.cells {
        while let (true, panics) = cell.turn(now) {
            panics.resume();
        }
    }
}

/// Does all that is due on a thread of its own.
fn turner(registry: &Arc<Registry>, now: u64) -> JoinHandle<()> {
    let registry = Arc::clone(registry);
    spawn(move || turn(&registry, now))
}

fn held(registry: &Registry) -> Holds {
    let mut holds = Holds::default();
    registry.cells.iter().for_each(|cell| holds.add(cell.look().holds()));
    holds
}

/// Ends a model: no wait is left, and when all events are too old nothing else is either.
fn leaves_nothing(registry: &Registry) {
    registry.validate();
    assert_eq!(held(registry).waits, 0, "no wait is left behind");
    turn(registry, TIMES.expires);
    registry.validate();
    let Holds { waits, channels, events, bytes } = held(registry);
    assert_eq!((waits, channels, events, bytes), (0, 0, 0, 0), "nothing is left behind");
}
