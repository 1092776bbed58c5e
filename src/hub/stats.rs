//! What a hub holds, and what has happened on it.

use crate::shard::{Counts, Holds};

/// A struct of numbers; with the feature `json` it can be serialized.
macro_rules! numbers {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        #[cfg(feature = "json")]
        impl serde_core::Serialize for $name {
            fn serialize<S>(&self, serializer: S) -> Result<S::Ok, S::Error>
            where
                S: serde_core::Serializer,
            {
                use serde_core::ser::SerializeStruct;

                let fields = [$(stringify!($field)),*].len();
                let mut out = serializer.serialize_struct(stringify!($name), fields)?;
                $(out.serialize_field(stringify!($field), &self.$field)?;)*
                out.end()
            }
        }
    };
}

numbers! {
    /// What a hub holds, and what has happened on it since it was made.
    ///
    /// ```
    /// use tower_longpoll::{Channel, Hub};
    ///
    /// let (hub, news) = (Hub::new(), Channel::new("news")?);
    /// hub.publish(&news, "hello")?;
    /// let stats = hub.stats();
    /// assert_eq!((stats.parked, stats.channels, stats.published), (0, 1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Stats {
        /// Polls that are parked, or were woken and have not been polled yet.
        parked: usize,
        /// Channels that hold events or on which polls are parked.
        channels: usize,
        /// Events in all histories.
        history_events: usize,
        /// What these count against the byte limits.
        history_bytes: usize,
        /// Events published.
        published: u64,
        /// Events handed to waits; an event that three waits got counts three times.
        delivered: u64,
        /// Waits whose hold ran out.
        timed_out: u64,
        /// Waits that were told of a gap.
        gaps: u64,
        /// Waits that ended with their channel.
        deleted: u64,
        /// Waits that ended by a touch.
        touched: u64,
        /// Waits that ended for a newer one of the same key.
        superseded: u64,
        /// Waits that were let go by a drain.
        drained: u64,
        /// Waits that were refused, also those of which that was known before they were polled.
        refused: u64,
        /// Waits that were dropped while they were parked: their clients left.
        dropped: u64,
        /// Whether it has all that its log had when it began to follow it. True without a log.
        ready: bool,
        /// Entries of its log that it has not applied yet, as far as it knows. Zero without a log.
        lag: u64,
    }
}

numbers! {
    /// What one channel holds.
    ///
    /// ```
    /// use tower_longpoll::{Channel, Event, Hub};
    ///
    /// let (hub, news) = (Hub::new(), Channel::new("news")?);
    /// assert_eq!(hub.channel_stats(&news), None);
    /// hub.publish(&news, Event::new("hello"))?;
    /// let stats = hub.channel_stats(&news).expect("it has an event");
    /// assert_eq!(stats.history_bytes, "hello".len() + Event::OVERHEAD_BYTES);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ChannelStats {
        /// Polls that are parked on the channel, perhaps beside others.
        parked: usize,
        /// Events in its history.
        history_events: usize,
        /// What these count against the byte limits.
        history_bytes: usize,
    }
}

impl Stats {
    pub(super) fn new(holds: Holds, counts: Counts) -> Self {
        Self {
            parked: holds.waits,
            channels: holds.channels,
            history_events: holds.events,
            history_bytes: holds.bytes,
            published: counts.published,
            delivered: counts.delivered,
            timed_out: counts.timed_out,
            gaps: counts.gaps,
            deleted: counts.deleted,
            touched: counts.touched,
            superseded: counts.superseded,
            drained: counts.drained,
            refused: counts.refused,
            dropped: counts.dropped,
            ready: true,
            lag: 0,
        }
    }
}

impl ChannelStats {
    pub(super) fn new(holds: Holds) -> Self {
        Self { parked: holds.waits, history_events: holds.events, history_bytes: holds.bytes }
    }
}
