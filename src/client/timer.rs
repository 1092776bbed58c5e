//! The one timer of a stream.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

/// Set for one thing after the other. Boxed, once for a stream, so that the stream can be moved if
/// all that its service makes can.
#[derive(Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

/// What the clock cannot reach is never.
const NEVER: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

impl Timer {
    /// Runs for so long from now on. Returns now.
    pub(super) fn set(&mut self, time: Duration) -> Instant {
        let now = Instant::now();
        let end = now.checked_add(time).unwrap_or_else(|| now + NEVER);
        match &mut self.0 {
            Some(sleep) => sleep.as_mut().reset(end),
            None => self.0 = Some(Box::pin(sleep_until(end))),
        }
        now
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().map_or(Poll::Ready(()), |sleep| sleep.as_mut().poll(cx))
    }
}
