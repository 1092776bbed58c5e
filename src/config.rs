//! The limits of a hub.

use std::{fmt, time::Duration};

use crate::{channel::Channel, event::Event};

/// What a hub may hold. The builder of the hub documents each.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) max_waits: usize,
    pub(crate) max_waits_per_channel: usize,
    pub(crate) max_releases_per_ms: usize,
    pub(crate) max_channels: usize,
    pub(crate) max_channels_per_wait: usize,
    pub(crate) max_channel_name_bytes: usize,
    pub(crate) max_payload_bytes: usize,
    pub(crate) history_events: usize,
    pub(crate) history_bytes: usize,
    pub(crate) history_age: Duration,
    pub(crate) total_history_bytes: usize,
    pub(crate) evict_oldest: bool,
    pub(crate) max_batch_events: usize,
    pub(crate) max_batch_bytes: usize,
    pub(crate) hold: Duration,
    pub(crate) max_hold: Duration,
    pub(crate) shards: usize,
    /// Whether the events come from a log that other hubs follow, too.
    pub(crate) follows: bool,
}

/// One megabyte of 2^20 bytes.
const MIB: usize = 1 << 20;

impl Default for Config {
    fn default() -> Self {
        Self {
            max_waits: 1_000_000,
            max_waits_per_channel: 1_000_000,
            max_releases_per_ms: usize::MAX,
            max_channels: 1_000_000,
            max_channels_per_wait: 64,
            max_channel_name_bytes: 256,
            max_payload_bytes: MIB,
            history_events: 1_000,
            history_bytes: 4 * MIB,
            history_age: Duration::from_secs(3_600),
            total_history_bytes: 256 * MIB,
            evict_oldest: false,
            max_batch_events: 100,
            max_batch_bytes: MIB,
            hold: Duration::from_secs(25),
            max_hold: Duration::from_secs(3_600),
            // More gain nothing on two cores, fewer cost: benches/README.md, "contention".
            shards: 64,
            follows: false,
        }
    }
}

impl Config {
    /// A year: what a `Duration` is clamped to, so that instants far ahead can be computed.
    pub(crate) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3_600);

    /// Refuses what cannot be kept at once and rounds the rest to what can.
    pub(crate) fn checked(mut self) -> Result<Self, ConfigError> {
        let heaviest = self.max_payload_bytes.saturating_add(Event::MAX_CONTENT_TYPE_BYTES);
        let heaviest = heaviest.saturating_add(Event::OVERHEAD_BYTES);
        if heaviest > self.total_history_bytes {
            return Err(ConfigError::PayloadBeyondTotalHistory {
                max_payload_bytes: self.max_payload_bytes,
                total_history_bytes: self.total_history_bytes,
            });
        }
        if self.hold > self.max_hold {
            return Err(ConfigError::HoldBeyondMaxHold {
                hold: self.hold,
                max_hold: self.max_hold,
            });
        }
        self.history_events = self.history_events.clamp(1, u32::MAX as usize);
        self.max_releases_per_ms = self.max_releases_per_ms.max(1);
        self.max_batch_events = self.max_batch_events.max(1);
        self.max_channel_name_bytes = self.max_channel_name_bytes.min(Channel::MAX_BYTES);
        self.history_age = self.history_age.clamp(Duration::from_millis(1), Self::LONGEST);
        self.hold = self.hold.min(Self::LONGEST);
        self.max_hold = self.max_hold.clamp(Duration::from_millis(1), Self::LONGEST);
        self.shards = self.shards.clamp(1, 1 << 10).next_power_of_two();
        Ok(self)
    }
}

/// Two settings of a hub that contradict each other.
///
/// ```
/// use std::time::Duration;
/// use tower_longpoll::{ConfigError, Hub};
///
/// let built = Hub::builder().max_hold(Duration::from_secs(10)).build(); // the default hold is 25 s
/// assert!(matches!(built, Err(ConfigError::HoldBeyondMaxHold { .. })));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The largest event does not fit into all histories together.
    PayloadBeyondTotalHistory {
        /// The setting `max_payload_bytes`.
        max_payload_bytes: usize,
        /// The setting `total_history_bytes`.
        total_history_bytes: usize,
    },
    /// The default hold is longer than the longest.
    HoldBeyondMaxHold {
        /// The setting `hold`.
        hold: Duration,
        /// The setting `max_hold`.
        max_hold: Duration,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PayloadBeyondTotalHistory { max_payload_bytes, total_history_bytes } => write!(
                f,
                "total_history_bytes ({total_history_bytes}) has no room for one event of \
                 max_payload_bytes ({max_payload_bytes}) and its content type and overhead"
            ),
            Self::HoldBeyondMaxHold { hold, max_hold } => {
                write!(f, "hold ({hold:?}) is longer than max_hold ({max_hold:?})")
            }
        }
    }
}

impl std::error::Error for ConfigError {}
