//! How a wait ends, and why a publish is refused.

mod entries;

use std::fmt;

pub(crate) use self::entries::EntryList;
use crate::{
    channel::Channel,
    cursor::{Cursor, Since},
    event::Entry,
    trace::Outcome,
};

/// How a wait ended. Every wait ends exactly once.
///
/// ```
/// use tower_longpoll::Waited;
///
/// fn describe(waited: &Waited) -> String {
///     match waited {
///         Waited::Events(batch) if batch.gap() => "read the state anew".into(),
///         Waited::Events(batch) => format!("{} events", batch.len()),
///         Waited::TimedOut { .. } => "nothing in time".into(),
///         Waited::Refused { reason, .. } if reason.is_temporary() => "come back later".into(),
///         other => format!("{other:?}"),
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Waited {
    /// There are events, or the client is told that some are gone ([`Batch::gap`]).
    Events(Batch),
    /// The hold ran out with nothing to tell.
    TimedOut {
        /// Where to go on.
        cursor: Cursor,
    },
    /// A channel of the wait was deleted, and nothing else had ended the wait before. An event that came
    /// later is for the next wait from this cursor; where events are gone, the gap is told instead.
    Deleted {
        /// The channel; one of them if several were.
        channel: Channel,
        /// Where to go on with the other channels, or with a new one of the same name.
        cursor: Cursor,
    },
    /// A channel of the wait was touched: something may have changed that is no event.
    Touched {
        /// Where to go on.
        cursor: Cursor,
    },
    /// A newer wait has the same key.
    Superseded {
        /// Where to go on.
        cursor: Cursor,
    },
    /// The hub let the wait go; it asks clients to come back elsewhere.
    Drained {
        /// Where to go on.
        cursor: Cursor,
    },
    /// The wait never began.
    Refused {
        /// Why.
        reason: Refused,
        /// Where to go on: the position that the wait came with, or now if it had none.
        cursor: Cursor,
    },
}

impl Waited {
    /// Where the client goes on, however the wait ended.
    pub fn cursor(&self) -> Cursor {
        match self {
            Self::Events(batch) => batch.cursor,
            Self::TimedOut { cursor }
            | Self::Deleted { cursor, .. }
            | Self::Touched { cursor }
            | Self::Superseded { cursor }
            | Self::Drained { cursor }
            | Self::Refused { cursor, .. } => *cursor,
        }
    }

    /// Of a poll that has come from further on than its hub, and was told nothing: it stays there.
    pub(crate) fn unmoved(mut self, since: Since) -> Self {
        match &mut self {
            Self::Events(_) => {}
            Self::TimedOut { cursor }
            | Self::Deleted { cursor, .. }
            | Self::Touched { cursor }
            | Self::Superseded { cursor }
            | Self::Drained { cursor }
            | Self::Refused { cursor, .. } => *cursor = cursor.unmoved(since),
        }
        self
    }

    /// For those who observe.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome::plain(match self {
            Self::Events(batch) => {
                let name = if batch.gap { "gap" } else { "events" };
                let published = batch.entries().first().map(Entry::published);
                return Outcome { events: batch.len(), published, ..Outcome::plain(name) };
            }
            Self::TimedOut { .. } => "timed_out",
            Self::Deleted { .. } => "deleted",
            Self::Touched { .. } => "touched",
            Self::Superseded { .. } => "superseded",
            Self::Drained { .. } => "drained",
            Self::Refused { reason, .. } => {
                return Outcome { reason: Some(reason.name()), ..Outcome::plain("refused") };
            }
        })
    }
}

/// Events of a poll, in the order in which they were published.
///
/// It is empty only if [`Batch::gap`] is set.
///
/// ```
/// use tower_longpoll::{Channel, Hub, Waited};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::builder().history_events(2).build()?;
/// let news = Channel::new("news")?;
/// let before = hub.cursor();
/// for text in ["one", "two", "three"] {
///     hub.publish(&news, text)?;
/// }
/// let Waited::Events(batch) = hub.wait([&news]).since(before).await else { panic!() };
/// assert!(batch.gap()); // "one" is gone
/// assert_eq!(batch.len(), 2);
/// assert_eq!(batch.cursor(), hub.cursor());
/// for entry in batch {
///     println!("{:?}", entry.payload());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    pub(crate) entries: EntryList,
    pub(crate) cursor: Cursor,
    pub(crate) gap: bool,
}

impl Batch {
    /// Of a poll that is told nothing.
    #[cfg(feature = "json")]
    pub(crate) fn empty(cursor: Cursor) -> Self {
        Self { entries: EntryList::One(None), cursor, gap: false }
    }

    /// Where to go on: all events of the wait's channels up to here are in this batch, were in an
    /// earlier one, or are gone and reported by [`Batch::gap`].
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Whether events between the cursor of the poll and what is still held are gone, or the
    /// cursor was not of this hub. Whoever keeps state should read it anew. A batch that was cut short
    /// at a limit may be followed by others with a gap, until the cursor has passed what is gone.
    pub fn gap(&self) -> bool {
        self.gap
    }

    /// The events, oldest first.
    pub fn entries(&self) -> &[Entry] {
        self.entries.as_slice()
    }

    /// The number of events.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there are no events, which means that there is a gap.
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// Iterates over the events, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries().iter()
    }
}

impl IntoIterator for Batch {
    type Item = Entry;
    type IntoIter = Entries;

    fn into_iter(self) -> Self::IntoIter {
        Entries(self.entries.into_iter())
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The events of a [`Batch`], oldest first.
///
/// By iterating over a [`Batch`] by value, which has an example.
#[derive(Clone, Debug)]
pub struct Entries(<EntryList as IntoIterator>::IntoIter);

impl Iterator for Entries {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.0.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Entries {
    fn next_back(&mut self) -> Option<Entry> {
        self.0.next_back()
    }
}

impl ExactSizeIterator for Entries {}

impl std::iter::FusedIterator for Entries {}

/// Why a wait was refused. Nothing was registered for it.
///
/// ```
/// use tower_longpoll::{Channel, Hub, Refused, Waited};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let none: [Channel; 0] = [];
/// let Waited::Refused { reason, .. } = Hub::new().wait(none).await else { panic!() };
/// assert_eq!(reason, Refused::NoChannels);
/// assert!(!reason.is_temporary());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The wait has no channels.
    NoChannels,
    /// The wait has more channels than one wait may have.
    ChannelsPerWait {
        /// The limit.
        max: usize,
    },
    /// A channel name is longer than this hub allows.
    ChannelName {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The key of the wait is longer than a channel name may be.
    Key {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The hub holds as many waits as it may.
    Waits {
        /// The limit.
        max: usize,
    },
    /// A channel has as many waits as it may have.
    WaitsPerChannel {
        /// The limit.
        max: usize,
    },
    /// The hub has as many channels as it may have.
    Channels {
        /// The limit.
        max: usize,
    },
    /// The hub is draining or drained.
    Draining,
    /// The hub is closed.
    Closed,
}

impl Refused {
    /// Whether asking again without a change may succeed.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::NoChannels
            | Self::ChannelsPerWait { .. }
            | Self::ChannelName { .. }
            | Self::Key { .. } => false,
            Self::Waits { .. }
            | Self::WaitsPerChannel { .. }
            | Self::Channels { .. }
            | Self::Draining
            | Self::Closed => true,
        }
    }

    /// For those who observe.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoChannels => "no_channels",
            Self::ChannelsPerWait { .. } => "channels_per_wait",
            Self::ChannelName { .. } => "channel_name",
            Self::Key { .. } => "key",
            Self::Waits { .. } => "waits",
            Self::WaitsPerChannel { .. } => "waits_per_channel",
            Self::Channels { .. } => "channels",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChannels => f.write_str("the poll names no channel"),
            Self::ChannelsPerWait { max } => write!(f, "the poll names more than {max} channels"),
            Self::ChannelName { max_bytes } => {
                write!(f, "a channel name is longer than {max_bytes} bytes")
            }
            Self::Key { max_bytes } => {
                write!(f, "the key of the poll is longer than {max_bytes} bytes")
            }
            Self::Waits { max } => write!(f, "the limit of {max} parked polls is reached"),
            Self::WaitsPerChannel { max } => {
                write!(f, "the limit of {max} parked polls on one channel is reached")
            }
            Self::Channels { max } => write!(f, "the limit of {max} channels is reached"),
            Self::Draining => f.write_str("the server lets its polls go before a shutdown"),
            Self::Closed => f.write_str("the server takes no more polls"),
        }
    }
}

/// What became of a publish.
///
/// ```
/// use tower_longpoll::{Channel, Hub};
///
/// let (hub, news) = (Hub::new(), Channel::new("news")?);
/// let published = hub.publish(&news, "hello")?;
/// assert_eq!(published.woken, 0); // who polls later gets it from the history
/// assert_eq!(published.cursor, hub.cursor());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// The event's position.
    pub cursor: Cursor,
    /// How many waits were parked on the channel, and are woken: at once, or by a task of the runtime
    /// if they are more than a thousand. None is no fault: the history keeps the event for the next
    /// poll. A wait on several channels may be woken by each of them before it is polled, one that is
    /// not woken yet by the next event, too, or have ended otherwise.
    pub woken: usize,
}

/// Why an event was not published. Nothing was changed.
///
/// ```
/// use tower_longpoll::{Channel, Hub, PublishError};
///
/// let hub = Hub::builder().max_payload_bytes(4).build()?;
/// let published = hub.publish(&Channel::new("news")?, "hello");
/// assert_eq!(published, Err(PublishError::Payload { max_bytes: 4 }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// The payload is longer than the hub allows.
    Payload {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The channel name is longer than this hub allows.
    ChannelName {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The hub has as many channels as it may have.
    Channels {
        /// The limit.
        max: usize,
    },
    /// All histories together hold as many bytes as they may.
    TotalHistory {
        /// The limit, in bytes.
        max_bytes: usize,
    },
    /// The hub is closed.
    Closed,
    /// The hub follows a log, and takes events from nowhere else: publish to the log.
    Follows,
}

impl PublishError {
    /// For those who observe.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Payload { .. } => "payload",
            Self::ChannelName { .. } => "channel_name",
            Self::Channels { .. } => "channels",
            Self::TotalHistory { .. } => "total_history",
            Self::Closed => "closed",
            Self::Follows => "follows",
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Payload { max_bytes } => {
                write!(f, "the payload is longer than {max_bytes} bytes")
            }
            Self::ChannelName { max_bytes } => {
                write!(f, "the channel name is longer than {max_bytes} bytes")
            }
            Self::Channels { max } => write!(f, "the limit of {max} channels is reached"),
            Self::TotalHistory { max_bytes } => {
                write!(f, "the limit of {max_bytes} bytes in all histories is reached")
            }
            Self::Closed => f.write_str("the hub is closed"),
            Self::Follows => f.write_str("the hub takes events from its log only"),
        }
    }
}

impl std::error::Error for PublishError {}
