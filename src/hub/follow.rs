//! A hub that follows a log.

use std::{
    num::NonZeroU64,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::mpsc, task::AbortHandle};

use super::{Append, Hub, HubBuilder};
use crate::{
    change::Change,
    config::{Config, ConfigError},
    cursor::Cursor,
    driver::{self, Now},
    registry::{Phase, Registry, Times},
    wake::Panics,
};

impl HubBuilder {
    /// Makes a hub whose events come from a log, and from nowhere else.
    pub(crate) fn follow(mut self) -> Result<Hub, ConfigError> {
        self.config.follows = true;
        // What the log has stored cannot be refused: the oldest make room, and their clients are told.
        self.config.evict_oldest = true;
        self.build()
    }
}

/// A hub as its follower knows it, without keeping it alive.
pub(crate) struct Followed(Weak<Registry>);

impl Followed {
    /// The hub, unless it is gone or closed.
    pub(crate) fn hub(&self) -> Option<Hub> {
        let hub = Hub { registry: self.0.upgrade()? };
        (hub.registry.common.phase() != Phase::Closed).then_some(hub)
    }
}

impl Hub {
    pub(crate) fn followed(&self) -> Followed {
        Followed(Arc::downgrade(&self.registry))
    }

    /// Whom the hub has write its log, and who reads it: that ends with the hub's last handle. Once.
    pub(crate) fn attach(&self, log: mpsc::Sender<Append>, reader: AbortHandle) {
        let is_first = self.registry.attached.set(Box::new(Attached { log, reader })).is_ok();
        debug_assert!(is_first, "a hub follows one log");
    }

    fn attached(&self) -> Option<&Attached> {
        self.registry.attached.get()?.downcast_ref()
    }

    pub(super) fn log(&self) -> Option<&mpsc::Sender<Append>> {
        Some(&self.attached()?.log)
    }

    /// Lets go of the log that it follows, if it does.
    pub(super) fn stop_following(&self) {
        if let Some(attached) = self.attached() {
            attached.reader.abort();
        }
    }

    /// Whether its events come from a log.
    pub(crate) fn follows(&self) -> bool {
        self.config().follows
    }

    pub(crate) fn config(&self) -> &Config {
        &self.registry.common.config
    }

    /// Applies an entry that was stored `age` ago.
    pub(crate) fn apply(&self, sequence: u64, change: Change, age: Duration) {
        let common = &self.registry.common;
        let now = Now::of(common);
        let left = common.config.history_age.saturating_sub(age);
        let expires = now.after(left);
        let times = Times { now: now.tick(), expires, moment: now.moment() };
        let (timer, panics) = self.registry.apply(sequence, change, times);
        match timer {
            Some(deadline) => driver::watch(common, deadline),
            None => driver::mind(common),
        }
        forgive(panics);
    }

    /// Applies an entry that does nothing but take a number.
    pub(crate) fn pass(&self, sequence: u64) {
        self.registry.pass(sequence);
    }

    /// Lets the polls begin that waited for what was applied.
    pub(crate) fn arrive(&self) {
        forgive(self.registry.arrive());
    }

    /// Goes on after `sequence`: what was before is gone from the log, and was not applied.
    pub(crate) fn skip_to(&self, sequence: u64) {
        forgive(self.registry.skip_to(sequence));
    }

    /// Begins anew after `sequence` of a log.
    pub(crate) fn reset(&self, epoch: NonZeroU64, sequence: u64) {
        forgive(self.registry.reset(epoch, sequence));
    }

    /// What [`Hub::stats`] says of the log.
    pub(crate) fn set_lag(&self, ready: bool, lag: u64) {
        self.registry.common.following.set(ready, lag);
    }

    pub(crate) fn position_of(epoch: NonZeroU64, sequence: u64) -> Cursor {
        Cursor::new(epoch, sequence)
    }
}

/// A waker that panics has said so by now, and must not take the task with it that applies the log.
fn forgive(Panics { .. }: Panics) {}

/// The two tasks between a hub and its log. The writer ends when nobody can send to it any more.
struct Attached {
    log: mpsc::Sender<Append>,
    reader: AbortHandle,
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.reader.abort();
    }
}
