//! Entries of a log that hubs follow: what they do, and where they stand.

use std::{fmt, num::NonZeroU64};

use crate::{channel::Channel, event::Event, random};

/// What an entry of a log does on every hub that follows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Change {
    /// An event is published.
    Publish(Channel, Event),
    /// A channel is touched: see [`Hub::touch`](crate::Hub::touch).
    Touch(Channel),
    /// A channel is deleted: see [`Hub::delete`](crate::Hub::delete).
    Delete(Channel),
}

impl Change {
    /// The channel that it concerns.
    pub fn channel(&self) -> &Channel {
        match self {
            Self::Publish(channel, _) | Self::Touch(channel) | Self::Delete(channel) => channel,
        }
    }

    /// What it counts when a log is trimmed by bytes: an event, as in the history of a hub.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Publish(_, event) => event.weight(),
            Self::Touch(channel) | Self::Delete(channel) => channel.as_str().len() + 64,
        }
    }
}

/// A place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which log it is. Another one has another epoch, even if it has the same name and place: one
    /// that was made anew after its data were lost.
    pub epoch: NonZeroU64,
    /// The number of an entry; numbers ascend, and need not be dense.
    pub sequence: u64,
}

/// Tells one append from another: the same for tries to append the same entry.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EntryId(String);

impl EntryId {
    /// An id that no other entry has, as far as chance allows.
    pub fn random() -> Self {
        Self(format!("{:016x}{:016x}", random::number(), random::number()))
    }

    /// An id that the application has for what it publishes, such as the key of a row. None if it is
    /// empty, longer than 128 bytes, or has other characters than visible ASCII.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let is_id = (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        is_id.then_some(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryId({:?})", self.0)
    }
}
