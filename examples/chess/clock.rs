//! The two clocks of a game. It is told the time and has none of its own.

use std::time::Duration;

use tokio::time::Instant;

use crate::rules::{Color, Sides};

/// Two clocks, of which at most one runs.
#[derive(Clone)]
pub(crate) struct Clock {
    initial: Duration,
    increment: Duration,
    /// What was left when the clock was last started or stopped.
    left: Sides<Duration>,
    running: Option<(Color, Instant)>,
}

impl Clock {
    pub(crate) fn new(initial: Duration, increment: Duration) -> Self {
        Self::with_left(initial, increment, Sides { white: initial, black: initial })
    }

    /// Clocks that were used before, and do not run.
    pub(crate) fn with_left(initial: Duration, increment: Duration, left: Sides<Duration>) -> Self {
        Self { initial, increment, left, running: None }
    }

    pub(crate) fn initial(&self) -> Duration {
        self.initial
    }

    pub(crate) fn increment(&self) -> Duration {
        self.increment
    }

    pub(crate) fn running(&self) -> Option<Color> {
        self.running.map(|(color, _)| color)
    }

    /// What this side has left.
    pub(crate) fn left(&self, color: Color, now: Instant) -> Duration {
        let left = *self.left.get(color);
        match self.running {
            Some((running, since)) if running == color => {
                left.saturating_sub(now.saturating_duration_since(since))
            }
            _ => left,
        }
    }

    pub(crate) fn start(&mut self, color: Color, now: Instant) {
        self.stop(now);
        self.running = Some((color, now));
    }

    pub(crate) fn stop(&mut self, now: Instant) {
        if let Some(color) = self.running() {
            *self.left.get_mut(color) = self.left(color, now);
            self.running = None;
        }
    }

    /// Who runs has moved: they get the increment, and the other's clock runs.
    pub(crate) fn press(&mut self, now: Instant) {
        if let Some(color) = self.running() {
            self.stop(now);
            *self.left.get_mut(color) += self.increment;
            self.start(color.other(), now);
        }
    }

    /// When the flag of who runs falls.
    pub(crate) fn falls(&self) -> Option<(Color, Instant)> {
        self.running.map(|(color, since)| (color, since + *self.left.get(color)))
    }
}
