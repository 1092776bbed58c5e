//! What is told of one poll, from the first time that it is polled until it ends.

use super::{Begin, Outcome, meters, spans::PollSpan};

/// A moment on the clock of a hub.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    nanos_since_base: u64,
}

impl Moment {
    pub(crate) const NEVER: Self = Self::at(u64::MAX);

    pub(crate) const fn at(nanos_since_base: u64) -> Self {
        Self { nanos_since_base }
    }

    fn seconds_since(self, earlier: Self) -> f64 {
        self.nanos_since_base.saturating_sub(earlier.nanos_since_base) as f64 / 1e9
    }
}

/// What a wait keeps to be told of.
pub(crate) struct Observed {
    /// Since when it is parked; never if it is not, or is only a pause.
    parked: Moment,
    span: PollSpan,
    is_poll: bool,
}

impl Default for Observed {
    fn default() -> Self {
        Self { parked: Moment::NEVER, span: PollSpan::default(), is_poll: false }
    }
}

impl Observed {
    pub(crate) fn begin(&mut self, begin: impl FnOnce() -> Begin) {
        let begin = begin();
        if begin.channels != Some(0) {
            let (span, is_poll) = (PollSpan::new(&begin), true);
            *self = Self { span, is_poll, parked: Moment::NEVER };
        }
    }

    /// Begins a step of the poll, which ends when this is dropped.
    pub(crate) fn enter(&self) -> impl Sized {
        self.span.enter()
    }

    pub(crate) fn park(&mut self, now: impl FnOnce() -> Moment) {
        if self.is_poll {
            self.parked = now();
        }
    }

    /// The poll has ended. No more than the first end is told.
    pub(crate) fn end(
        &mut self,
        outcome: impl FnOnce() -> Outcome,
        now: impl FnOnce() -> Option<Moment>,
    ) {
        let Self { parked, span, is_poll } = std::mem::take(self);
        if !is_poll || (!meters::ON && span.is_disabled()) {
            return;
        }
        let outcome = outcome();
        let now = if parked == Moment::NEVER { None } else { now() };
        let was_parked = now.map(|now| now.seconds_since(parked));
        if let (Some(now), Some(was_parked)) = (now, was_parked) {
            // What woke it, and all that came later, was published while it was parked.
            meters::ended(was_parked, outcome.published.map(|first| now.seconds_since(first)));
        }
        span.end(&outcome, was_parked);
    }
}
