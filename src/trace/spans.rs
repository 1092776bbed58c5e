//! The feature `tracing`: a span for each poll, and what is worth a line when looking for a fault.
//!
//! Names of channels and payloads are left out: they are other people's, and may be anything.

use std::time::Duration;

use tracing::{Level, Span, event, field::Empty, span};

use super::{Begin, Outcome};

const TARGET: &str = "tower_longpoll";

/// The span of a poll. Closed when it is dropped, as its wait is.
pub(super) struct PollSpan(Span);

impl Default for PollSpan {
    fn default() -> Self {
        Self(Span::none())
    }
}

impl PollSpan {
    pub(super) fn new(begin: &Begin) -> Self {
        Self(span!(
            target: TARGET,
            Level::INFO,
            "longpoll",
            channels = begin.channels,
            hold_seconds = begin.hold.as_secs_f64(),
            outcome = Empty,
            reason = Empty,
            events = Empty,
            parked_seconds = Empty,
        ))
    }

    pub(super) fn is_disabled(&self) -> bool {
        self.0.is_disabled()
    }

    pub(super) fn enter(&self) -> impl Sized {
        self.0.enter()
    }

    pub(super) fn end(self, outcome: &Outcome, was_parked: Option<f64>) {
        let Self(span) = self;
        span.record("outcome", outcome.name);
        if let Some(reason) = outcome.reason {
            span.record("reason", reason);
            let refused = || event!(target: TARGET, Level::DEBUG, reason, "poll refused");
            span.in_scope(refused);
        }
        if outcome.events > 0 {
            span.record("events", outcome.events);
        }
        if let Some(seconds) = was_parked {
            span.record("parked_seconds", seconds);
        }
    }
}

pub(crate) fn draining(over: Duration) {
    let over_seconds = over.as_secs_f64();
    event!(target: TARGET, Level::DEBUG, over_seconds, "hub drains");
}

pub(crate) fn closed() {
    event!(target: TARGET, Level::DEBUG, "hub closed");
}

pub(super) fn unpublished(reason: &'static str) {
    event!(target: TARGET, Level::DEBUG, reason, "publish refused");
}
