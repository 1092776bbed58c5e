//! What is measured: the same work, done by this crate and by hand.
//!
//! - [`subject`] says what a subject can do. [`ours`] is one, the others are written by hand:
//!   [`notify`], [`broadcast`], [`watch`] and [`oneshot`] are [`rooms`]. The first two lose nothing
//!   between two polls, so they are in every table. [`handler`] changes how one is asked.
//! - [`park`], [`many`], [`fanout`] and [`tasks`] are the rows, [`floors`] what the machine allows.
//!   Each row has a part that prepares and parts that are measured.
//! - [`world`] has the runtime and the threads, [`slots`] and [`crowd`] the futures that stay parked.
//! - [`options`], [`clock`] and [`figures`] are what the binaries have in common otherwise.
//!
//! Every answer is compared with what was published: who loses an event does not get a figure.

#![allow(dead_code, unused_imports, reason = "each binary uses a part")]

pub(crate) mod broadcast;
pub(crate) mod clock;
pub(crate) mod crowd;
pub(crate) mod fanout;
pub(crate) mod figures;
pub(crate) mod floors;
pub(crate) mod handler;
pub(crate) mod many;
pub(crate) mod notify;
pub(crate) mod oneshot;
pub(crate) mod options;
pub(crate) mod ours;
pub(crate) mod park;
pub(crate) mod rooms;
pub(crate) mod slots;
pub(crate) mod subject;
pub(crate) mod tasks;
pub(crate) mod watch;
pub(crate) mod world;

pub(crate) use self::{
    broadcast::Broadcast, handler::Handled, notify::Notifying, oneshot::Oneshots, ours::Parsed,
    subject::Subject, watch::Watching,
};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    /// Repetitions of what is done one at a time, on each thread.
    pub(crate) iterations: usize,
    /// Channels of the rows that do one thing at a time.
    pub(crate) channels: usize,
    /// The same, so few that all they need stays in a cache.
    pub(crate) few: usize,
    /// Waits that are parked meanwhile.
    pub(crate) background: usize,
    /// Waits that are parked all at once.
    pub(crate) waits: usize,
    /// Tasks that wait for the same.
    pub(crate) tasks: usize,
    /// Tasks that each wait on a channel of their own.
    pub(crate) own_tasks: usize,
}

impl Size {
    /// What the bars are about.
    pub(crate) const FULL: Self = Self {
        iterations: 500_000,
        channels: 10_000,
        few: 64,
        background: 100_000,
        waits: 1_000_000,
        tasks: 1_000_000,
        own_tasks: 200_000,
    };
    /// Enough for a look at one row.
    pub(crate) const MODERATE: Self = Self {
        iterations: 20_000,
        channels: 10_000,
        few: 64,
        background: 100_000,
        waits: 100_000,
        tasks: 100_000,
        own_tasks: 50_000,
    };
    /// Enough to see that it works.
    pub(crate) const SMOKE: Self = Self {
        iterations: 200,
        channels: 20,
        few: 4,
        background: 100,
        waits: 300,
        tasks: 300,
        own_tasks: 200,
    };
}
