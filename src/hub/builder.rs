//! The limits of a hub, as their user sets them.

use std::time::Duration;

use super::Hub;
use crate::config::{Config, ConfigError};

/// Sets the limits of a [`Hub`]; from [`Hub::builder`].
///
/// At a limit there is a clear refusal, and nothing is evicted, except by a channel's own history,
/// whose bounds say how much of the past it keeps, and where [`HubBuilder::evict_oldest`] says so.
///
/// ```
/// use std::time::Duration;
/// use tower_longpoll::Hub;
///
/// let hub = Hub::builder()
///     .history_events(100)
///     .history_age(Duration::from_secs(600))
///     .max_waits(50_000)
///     .build()?;
/// # Ok::<(), tower_longpoll::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct HubBuilder {
    pub(super) config: Config,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty;)*) => {
        $(
            $(#[$doc])*
            pub fn $name(mut self, $name: $kind) -> Self {
                self.config.$name = $name;
                self
            }
        )*
    };
}

impl HubBuilder {
    pub(super) fn new() -> Self {
        Self { config: Config::default() }
    }

    setters! {
        /// The most polls parked at once. Default: 1,000,000. The next is refused.
        max_waits: usize;
        /// The most polls parked at once on one channel. Default: 1,000,000. The next is refused.
        max_waits_per_channel: usize;
        /// The most polls of a channel that an event, touch or delete lets go in a millisecond; zero
        /// counts as one. Default: `usize::MAX`, all as fast as they can be woken. It spreads the
        /// answers of a huge broadcast, and with them the polls that come back. Events that follow
        /// while polls of the channel are still being let go do not add to it. As a hold does, it
        /// needs a running tokio runtime; elsewhere all are let go at once.
        max_releases_per_ms: usize;
        /// The most channels at once: with events, with parked polls, or deleted so recently that
        /// their events would still be held. (These last make room when it is needed; then clients
        /// that are not up to date may be told of a gap that is not theirs.) Default:
        /// 1,000,000. A poll or a publish that needs one more is refused.
        max_channels: usize;
        /// The most channels of one poll. Default: 64. A poll of more is refused.
        max_channels_per_wait: usize;
        /// The longest channel name, in bytes of UTF-8. Default: 256; more than
        /// [`Channel::MAX_BYTES`](crate::Channel::MAX_BYTES) counts as that. Longer ones are
        /// refused.
        max_channel_name_bytes: usize;
        /// The largest payload of an event, in bytes. Default: 1 MiB (1,048,576). Larger ones are
        /// refused.
        max_payload_bytes: usize;
        /// How many events a channel keeps. Default: 1,000; zero counts as one, more than
        /// 4,294,967,295 as that. The oldest go.
        history_events: usize;
        /// How many bytes a channel keeps: payloads, content types,
        /// [`Event::OVERHEAD_BYTES`](crate::Event::OVERHEAD_BYTES) for each event, and what is told
        /// there of payloads that are neither JSON nor plain text. Default: 4 MiB.
        /// The oldest go; the newest is kept whatever it weighs.
        history_bytes: usize;
        /// How long a channel keeps an event. Default: one hour; at least a millisecond, at most a
        /// year. A client whose position is older than this may be told of a gap even if its
        /// channels had no events.
        history_age: Duration;
        /// How many bytes, counted as for `history_bytes`, all channels keep together. Default:
        /// 256 MiB. An event that has no room beside what is held is refused, or with
        /// `evict_oldest` makes room.
        total_history_bytes: usize;
        /// Whether the oldest events of all channels go when there is no room in
        /// `total_history_bytes` for a new one. Then none is refused for it but one that is
        /// heavier than all of that, and a client that has not seen what goes is told of a gap. Default: false, since who publishes much on one
        /// channel could so empty all others.
        evict_oldest: bool;
        /// The most events in the answer to one poll. Default: 100; zero counts as one. The rest is
        /// for the next poll.
        max_batch_events: usize;
        /// The most payload bytes in the answer to one poll, before they are encoded for it. Default:
        /// 1 MiB; one event is always answered. The rest is for the next poll.
        max_batch_bytes: usize;
        /// How long a poll is held that does not say. Default: 25 seconds, less than the 30 that
        /// RFC 6202, section 5.5, found safe with proxies. Zero: it is answered at once.
        hold: Duration;
        /// The longest hold; longer ones count as this. Default: one hour; at least a millisecond,
        /// at most a year.
        max_hold: Duration;
        /// Into how many parts, each with a lock of its own, the hub is divided: rounded up to a
        /// power of two, at most 1,024. Default: 64.
        shards: usize;
    }

    /// Makes the hub.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names two settings that contradict each other.
    pub fn build(self) -> Result<Hub, ConfigError> {
        self.config.checked().map(Hub::with_config)
    }
}
