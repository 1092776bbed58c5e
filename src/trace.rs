//! What an operator sees: metrics and spans, or nothing where their features are off.
//!
//! All of the crate tells only this module what happens. Without the features `metrics` and
//! `tracing`, and under loom, its functions do nothing and its types have no bytes.
//!
//! Rules:
//!
//! - Levels and totals are read off a shard whenever it is unlocked, and what has changed since it
//!   was last read is reported: so they are right however many hubs there are, and cannot drift.
//! - A recorder or a subscriber is a caller's code. Nothing of it runs under a lock: [`Changes`]
//!   outlive, by their lifetime, all locks under which they were collected.

use std::time::Duration;

#[cfg_attr(all(feature = "metrics", not(loom)), path = "trace/meters.rs")]
#[cfg_attr(not(all(feature = "metrics", not(loom))), path = "trace/no_meters.rs")]
mod meters;
#[cfg_attr(all(any(feature = "metrics", feature = "tracing"), not(loom)), path = "trace/polls.rs")]
#[cfg_attr(
    not(all(any(feature = "metrics", feature = "tracing"), not(loom))),
    path = "trace/no_polls.rs"
)]
mod polls;
#[cfg_attr(all(feature = "tracing", not(loom)), path = "trace/spans.rs")]
#[cfg_attr(not(all(feature = "tracing", not(loom))), path = "trace/no_spans.rs")]
mod spans;

pub(crate) use self::{
    meters::{Changes, Meter, Telling, describe},
    polls::{Moment, Observed},
    spans::{closed, draining},
};

/// What can be read off a shard at any time.
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "the meters read them"))]
pub(crate) struct Readings {
    /// What it holds: waits, channels, events, bytes.
    pub(crate) levels: [u64; 4],
    /// What has happened: events published and delivered; waits that timed out, were told of a gap,
    /// deleted, touched, superseded, drained, refused and dropped.
    pub(crate) totals: [u64; 10],
}

/// What has readings.
#[cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "the meters ask"))]
pub(crate) trait Metered {
    fn readings(&self) -> Readings;

    fn meter(&mut self) -> &mut Meter;
}

/// How a wait ended, in plain words.
#[cfg_attr(
    not(all(feature = "metrics", feature = "tracing")),
    allow(dead_code, reason = "the meters and the spans read a part each")
)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    /// Why it was refused, if it was.
    pub(crate) reason: Option<&'static str>,
    pub(crate) events: usize,
    /// When the first of the events was published.
    pub(crate) published: Option<Moment>,
}

impl Outcome {
    pub(crate) fn plain(name: &'static str) -> Self {
        Self { name, reason: None, events: 0, published: None }
    }
}

/// A hub is so far behind its log, instead of as far as before.
#[inline]
pub(crate) fn lags(before: u64, now: u64) {
    meters::lags(before, now);
}

/// An event was not published.
#[inline]
pub(crate) fn unpublished(reason: &'static str) {
    meters::unpublished(reason);
    spans::unpublished(reason);
}

/// A poll that begins.
#[cfg_attr(not(feature = "tracing"), allow(dead_code, reason = "the spans read it"))]
pub(crate) struct Begin {
    /// None of a pause, which is no poll. Not known of a poll that is refused before.
    pub(crate) channels: Option<usize>,
    pub(crate) hold: Duration,
}
