//! This crate.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use tower_longpoll::{Channel, Cursor, Event, Hub, HubBuilder, Wait, Waited};

use super::subject::{HISTORY, Subject};

/// A hub whose limits are above all that is measured.
pub(crate) fn builder() -> HubBuilder {
    Hub::builder()
        .max_waits(4_000_000)
        .max_waits_per_channel(4_000_000)
        .max_channels(4_000_000)
        .history_events(HISTORY)
        .total_history_bytes(1 << 36)
}

impl Subject for Hub {
    const NAME: &'static str = "ours";
    type Name = Channel;
    type Cursor = Cursor;
    type Ask = Wait;
    type Output = Waited;

    fn keeping(events: usize) -> Self {
        builder().history_events(events).build().unwrap()
    }

    fn name(text: &str) -> Channel {
        Channel::new(text).unwrap()
    }

    fn ask(&self, name: &Channel, since: Option<Cursor>) -> Wait {
        self.wait([name]).since(since)
    }

    fn wait(ask: Wait, hold: Duration) -> impl Future<Output = Waited> + Send + 'static {
        ask.hold(hold)
    }

    fn publish(&self, name: &Channel, payload: Bytes) -> Cursor {
        Hub::publish(self, name, payload).unwrap().cursor
    }

    fn event(output: &Waited) -> (Cursor, &Bytes) {
        let Waited::Events(batch) = output else { panic!("not answered: {output:?}") };
        assert!(!batch.gap() && batch.len() == 1, "a gap, or more than was published");
        let entry = &batch.entries()[0];
        (entry.cursor(), entry.payload())
    }
}

/// The same by an application that is given a text and makes a [`Channel`] of it each time.
#[derive(Clone)]
pub(crate) struct Parsed(Hub);

impl Subject for Parsed {
    const NAME: &'static str = "ours, name parsed";
    type Name = String;
    type Cursor = Cursor;
    type Ask = Wait;
    type Output = Waited;

    fn keeping(events: usize) -> Self {
        Self(Subject::keeping(events))
    }

    fn name(text: &str) -> String {
        text.to_owned()
    }

    fn ask(&self, name: &String, since: Option<Cursor>) -> Wait {
        // Given away, not cloned: what an application does that needs it no more.
        self.0.wait([Channel::new(name).unwrap()]).since(since)
    }

    fn wait(ask: Wait, hold: Duration) -> impl Future<Output = Waited> + Send + 'static {
        ask.hold(hold)
    }

    fn publish(&self, name: &String, payload: Bytes) -> Cursor {
        self.0.publish(&Channel::new(name).unwrap(), Event::new(payload)).unwrap().cursor
    }

    fn event(output: &Waited) -> (Cursor, &Bytes) {
        Hub::event(output)
    }
}
