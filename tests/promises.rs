//! The promises that a hub makes about one wait and all of them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "promises/clock.rs"]
mod clock;
mod common;
#[path = "promises/ending.rs"]
mod ending;
#[path = "promises/outcomes.rs"]
mod outcomes;
#[path = "promises/time.rs"]
mod time;
#[path = "promises/traces.rs"]
mod traces;

use std::{task::Poll, time::Duration};

use common::*;
use tokio_test::{assert_pending, assert_ready, task};
use tower_longpoll::{Channel, Hub, Refused, Since, Waited};

/// Every way in which a wait ends but for an event, by name.
fn outcome(waited: &Waited) -> &'static str {
    match waited {
        Waited::Events(batch) if batch.gap() => "gap",
        Waited::Events(_) => "events",
        Waited::TimedOut { .. } => "timed out",
        Waited::Deleted { .. } => "deleted",
        Waited::Drained { .. } => "drained",
        Waited::Refused { .. } => "refused",
        _ => "unknown",
    }
}

/// How a wait that was woken by `woken` ends when `then` happens before it is polled, and which
/// events it has, or if it has none, the next.
fn ended(woken: fn(&Hub, &Channel), then: fn(&Hub, &Channel)) -> (&'static str, Vec<String>) {
    let (hub, c) = (Hub::new(), channels(3));
    let mut wait = park(&hub, &c, Since::Now);
    woken(&hub, &c[1]);
    assert!(wait.is_woken());
    then(&hub, &c[1]);
    let waited = assert_ready!(wait.poll());
    assert_eq!(hub.stats().parked, 0, "it has ended");
    let next = match &waited {
        Waited::Deleted { cursor, .. } => ask(&hub, &c, *cursor),
        _ => {
            assert_eq!(waited.cursor(), hub.cursor());
            return (outcome(&waited), told(&waited));
        }
    };
    assert_eq!(next.cursor(), hub.cursor());
    (outcome(&waited), told(&next))
}

fn told(waited: &Waited) -> Vec<String> {
    if let Waited::Events(batch) = waited { texts(batch) } else { Vec::new() }
}

const EVENT: fn(&Hub, &Channel) = |hub, c| publish(hub, c, "event");
const OTHER: fn(&Hub, &Channel) = |hub, _| publish(hub, &channel("c2"), "other");
const DELETE: fn(&Hub, &Channel) = |hub, c| assert!(hub.delete(c));
const DRAIN: fn(&Hub, &Channel) = |hub, _| hub.drain(Duration::ZERO);
const CLOSE: fn(&Hub, &Channel) = |hub, _| hub.close();
const NOTHING: fn(&Hub, &Channel) = |_, _| ();
