//! The client: nothing lost, nothing twice, whatever happens to a request.
#![cfg(all(not(loom), feature = "client"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "client/answers.rs"]
mod answers;
mod common;
#[path = "client/ending.rs"]
mod ending;
#[path = "client/faults.rs"]
mod faults;
#[path = "client/memory.rs"]
mod memory;
#[path = "client/retrying.rs"]
mod retrying;
#[path = "client/script.rs"]
mod script;
#[path = "client/servers.rs"]
mod servers;
#[path = "client/sockets.rs"]
mod sockets;

use std::time::Duration;

use common::*;
use futures_util::StreamExt;
use tower_longpoll::client::{ClientError, Received, ReceivedEvent, Subscription};

fn subscription(uri: &str) -> Subscription {
    Subscription::new(uri.parse().unwrap())
}

#[track_caller]
fn event(received: Option<Result<Received, ClientError>>) -> ReceivedEvent {
    match received {
        Some(Ok(Received::Event(event))) => event,
        other => panic!("not an event: {other:?}"),
    }
}

#[track_caller]
fn gap(received: Option<Result<Received, ClientError>>) -> String {
    match received {
        Some(Ok(Received::Gap { cursor })) => cursor,
        other => panic!("not a gap: {other:?}"),
    }
}

fn text(event: &ReceivedEvent) -> &str {
    std::str::from_utf8(event.payload()).unwrap()
}
