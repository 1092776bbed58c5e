//! The record of a channel.

use std::sync::Arc;

use crate::{
    channel::{Channel, Role, is_text},
    history::History,
    queue::Queue,
    wheel::{Timed, Timer},
};

/// What a channel holds: two cache lines. All that a poll that parks has to see is on the first.
#[derive(Default)]
#[repr(C, align(64))]
pub(super) struct Record {
    /// None only where there is no record.
    pub(super) name: Option<Arc<str>>,
    /// Waits in the order in which they registered. Invariant: all are `Parked`.
    pub(super) queue: Queue,
    /// Records of waits that point here, in the queue or no more.
    pub(super) waiters: u32,
    pub(super) history: History,
    /// When the oldest event is too old, or the last one has settled.
    pub(super) timer: Timer,
    /// Of the name, as in the table. Not beside it: polls compare hashes there.
    pub(super) hash: u32,
}

impl Record {
    pub(super) fn has_name(&self, name: &Channel) -> bool {
        self.name.as_ref().is_some_and(|own| is_text(own, name.text()))
    }

    pub(super) fn role(&self) -> Role {
        self.name.as_deref().map_or(Role::Nothing, Role::of)
    }

    /// What nothing needs is forgotten, or a remnant.
    pub(super) fn is_needed(&self) -> bool {
        self.waiters > 0 || !self.history.is_empty()
    }
}

impl Timed for Record {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut Timer {
        &mut self.timer
    }
}
