//! How long to wait before asking again.

use std::time::Duration;

use crate::random;

/// The pauses after requests that failed: each twice as long as the one before, up to a cap, and
/// then shortened at random, so that clients that lost a server together do not come back together.
///
/// ```
/// use std::time::Duration;
/// use tower_longpoll::client::Backoff;
///
/// let patient = Backoff::default().start(Duration::from_secs(2)).cap(Duration::from_secs(120));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    start: Duration,
    cap: Duration,
    jitter_percent: u8,
}

impl Default for Backoff {
    fn default() -> Self {
        let (start, cap) = (Duration::from_millis(500), Duration::from_secs(30));
        Self { start, cap, jitter_percent: 100 }
    }
}

impl Backoff {
    /// The pause after the first failure. Default: 500 ms. Zero: there are no pauses at all.
    #[must_use]
    pub fn start(mut self, start: Duration) -> Self {
        self.start = start;
        self
    }

    /// The longest pause. Default: 30 s.
    #[must_use]
    pub fn cap(mut self, cap: Duration) -> Self {
        self.cap = cap;
        self
    }

    /// Shortens each pause at random by up to this many percent; more than 100 count as 100.
    /// Default: 100, so that a pause is anything from zero to its full length.
    #[must_use]
    pub fn jitter(mut self, percent: u8) -> Self {
        self.jitter_percent = percent.min(100);
        self
    }

    /// The pause after so many failures in a row.
    pub(super) fn pause(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let full = self.start.saturating_mul(factor).min(self.cap);
        let millis = u64::try_from(full.as_millis()).unwrap_or(u64::MAX);
        let percent = u64::from(self.jitter_percent);
        let cut = random::up_to(millis / 100 * percent + millis % 100 * percent / 100);
        full.saturating_sub(Duration::from_millis(cut))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap() {
        let plain = Backoff::default().jitter(0);
        let pauses = [1, 2, 3, 6, 7, 8, 32, 33, u32::MAX].map(|n| plain.pause(n).as_millis());
        assert_eq!(pauses, [500, 1_000, 2_000, 16_000, 30_000, 30_000, 30_000, 30_000, 30_000]);
        let endless = plain.start(Duration::MAX).cap(Duration::MAX);
        assert_eq!(endless.pause(u32::MAX), Duration::MAX);
        assert_eq!(plain.start(Duration::ZERO).pause(9), Duration::ZERO);
    }

    #[test]
    fn jitter_shortens_by_no_more_than_its_part() {
        let (half, full) = (Backoff::default().jitter(50), Backoff::default().jitter(200));
        let mut shortest = Duration::MAX;
        for _ in 0..1_000 {
            let second = half.pause(2);
            assert!((500..=1_000).contains(&second.as_millis()), "{second:?}");
            assert!(full.pause(2) <= Duration::from_secs(1));
            shortest = shortest.min(full.pause(2));
        }
        assert!(shortest < Duration::from_millis(100), "{shortest:?}");
    }
}
