//! Waiting for events with a deadline: the hub, and the ways in which it is written by hand.
//!
//! All have the same look-up: a concurrent map from names to rooms, which the last one who leaves
//! takes down. What they keep for those who were away is told with each.

#![allow(dead_code, unused_imports, reason = "not every benchmark needs all of it")]

mod broadcast;
pub mod clock;
pub mod crowd;
mod notify;
mod oneshot;
pub mod table;
mod watch;

use std::future::Future;

use bytes::Bytes;
use tokio::time::Instant;
use tower_longpoll::{Channel, Hub, Wait};

pub use self::{broadcast::Broadcast, notify::Notified, oneshot::Oneshots, watch::Watched};

/// Events that a room keeps.
const HISTORY: usize = 16;

/// A registry of waits.
pub trait Registry: Clone + Send + Sync + 'static {
    type Output: Send;

    fn new() -> Self;

    /// Waits for the next event. By value, so that the future borrows nothing.
    fn wait(
        self,
        channel: Channel,
        until: Instant,
    ) -> impl Future<Output = Self::Output> + Send + 'static;

    fn publish(&self, channel: &Channel, payload: Bytes);
}

/// Ours.
#[derive(Clone)]
pub struct Ours(pub Hub);

impl Registry for Ours {
    type Output = tower_longpoll::Waited;

    fn new() -> Self {
        let room = 4_000_000;
        let hub = Hub::builder().max_waits(room).max_waits_per_channel(room).max_channels(room);
        Self(hub.history_events(HISTORY).build().unwrap())
    }

    fn wait(
        self,
        channel: Channel,
        until: Instant,
    ) -> impl Future<Output = tower_longpoll::Waited> + Send + 'static {
        let wait: Wait = self.0.wait([channel]);
        wait.hold(until.saturating_duration_since(Instant::now()))
    }

    fn publish(&self, channel: &Channel, payload: Bytes) {
        self.0.publish(channel, payload).unwrap();
    }
}
