//! The record of a parked poll.
//!
//! A wait has one record for each of its channels, in the shard of that channel. The first of them
//! is its *lead*: it alone has the timer and counts as a wait. A record is freed by nobody but the
//! future that owns it; everyone else only moves its [`State`] and takes its waker.

use std::task::Waker;

use crate::{
    queue::{Linked, Links},
    wheel::{Timed, Timer},
};

/// What has happened to a wait, as far as one of its channels knows.
///
/// The future decides the outcome when it is polled, from these and from the histories, all read
/// under the locks: so an event that is there, or a gap, wins over what happened beside it; an event not over
/// a deletion that came before: nobody else tells that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// In its channel's queue. Left for one of the others by whoever takes it out of the queue.
    #[default]
    Parked,
    /// An event came. Final; the history has the event, or knows that it is gone.
    Woken,
    /// The hold ran out. Final. On a lead only.
    Expired,
    /// The channel was deleted. Final.
    Deleted,
    /// The channel was touched. Final.
    Touched,
    /// A newer wait has the key. Final. On the part of a key only.
    Superseded,
    /// The hub drains. Final. On a lead only.
    Drained,
}

/// A cache line.
#[derive(Default)]
#[repr(align(64))]
pub(crate) struct Waiter {
    pub(crate) timer: Timer,
    pub(crate) links: Links,
    /// The key of the channel's record, which lives as long as this one.
    pub(crate) channel: u32,
    pub(crate) state: State,
    pub(crate) lead: bool,
    /// Set when a drain has brought the deadline forward.
    pub(crate) draining: bool,
    /// Set when the hub was reset: nobody knows what its client has seen.
    pub(crate) stale: bool,
    /// The hub's sequence when the wait registered. Nothing that its channels held up to here is
    /// new to it, and a broadcast of a lower number was not meant for it. Of a part that is
    /// `Deleted`, the number of that, if its channel had nothing new up to then.
    pub(crate) registered: u64,
    /// Taken by whoever ends `Parked`, or wants the wait polled again.
    pub(crate) waker: Option<Waker>,
}

impl Waiter {
    pub(crate) fn new(channel: u32, lead: bool, registered: u64, waker: Waker) -> Self {
        Self { channel, lead, registered, waker: Some(waker), ..Self::default() }
    }
}

impl Linked for Waiter {
    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Timed for Waiter {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut Timer {
        &mut self.timer
    }
}
