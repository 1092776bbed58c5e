//! What time it is: tokio's clock for what is measured, and the calendar's for what is told or kept.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) unix_ms: u64,
}

impl Moment {
    /// The calendar's time of another instant, which may be earlier or later.
    pub(crate) fn unix_ms_of(self, instant: Instant) -> u64 {
        let ago = ms(self.instant.saturating_duration_since(instant));
        let ahead = ms(instant.saturating_duration_since(self.instant));
        self.unix_ms.saturating_sub(ago).saturating_add(ahead)
    }
}

/// Reads the calendar once, at the start: afterwards both clocks go alike, also in tests that stop
/// tokio's, and when somebody sets the system's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    start: Moment,
}

impl Times {
    pub(crate) fn new() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Moment { instant: Instant::now(), unix_ms: ms(unix) } }
    }

    pub(crate) fn now(self) -> Moment {
        let instant = Instant::now();
        Moment { instant, unix_ms: self.start.unix_ms_of(instant) }
    }
}

/// In whole milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
