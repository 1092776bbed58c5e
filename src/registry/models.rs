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
    names.find(|name| registry.locate(name.as_str()).1.index == shard).unwrap()
}

/// Events of most models are published at tick 0, and too old after all else.
const TIMES: Times = Times { now: 0, expires: 100 };

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
    registry.cells.iter().for_each(|cell| holds.add(cell.lock().holds()));
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
