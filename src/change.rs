//! What an entry of a log does to a hub that follows it.

use crate::{channel::Channel, event::Event};

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
}
