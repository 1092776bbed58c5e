//! Events in their places: held by their channel, and received by polls.

use std::{fmt, sync::Arc};

use bytes::Bytes;

use super::Event;
use crate::{channel::Channel, cursor::Cursor, trace::Moment};

/// An event as its channel holds it; all who receive it share it.
pub(crate) struct Stored {
    pub(crate) channel: Channel,
    pub(crate) event: Event,
    weight: usize,
    published: Moment,
    /// Its place in a JSON reply, written by the first poll that needs it.
    #[cfg(feature = "json")]
    pub(crate) json: std::sync::OnceLock<Box<Encoded>>,
}

/// An event as it stands in a JSON reply.
#[cfg(feature = "json")]
pub(crate) struct Encoded {
    /// Up to the payload.
    pub(crate) head: Bytes,
    /// The payload in a form of its own, if it cannot be sent as it is held. Counted in the weight.
    pub(crate) payload: Option<Bytes>,
    pub(crate) tail: &'static [u8],
}

impl Stored {
    pub(crate) fn new(channel: Channel, event: Event, published: Moment) -> Arc<Self> {
        Arc::new(Self {
            weight: event.weight_on(&channel),
            channel,
            event,
            published,
            #[cfg(feature = "json")]
            json: std::sync::OnceLock::new(),
        })
    }

    /// What it counts against the byte limits of a history.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

/// A published event: where it stands, and what was published. Cloning is cheap.
///
/// ```
/// use tower_longpoll::{Channel, Event, Hub, Since, Waited};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (hub, news) = (Hub::new(), Channel::new("news")?);
/// let published = hub.publish(&news, Event::text("hello"))?;
/// let Waited::Events(batch) = hub.wait([&news]).since(Since::Oldest).await else { panic!() };
/// let entry = &batch.entries()[0];
/// assert_eq!((entry.channel(), entry.cursor()), (&news, published.cursor));
/// assert_eq!(entry.payload(), "hello");
/// assert_eq!(entry.event().content_type(), Some("text/plain; charset=utf-8"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Entry {
    cursor: Cursor,
    stored: Arc<Stored>,
}

impl Entry {
    pub(crate) fn new(cursor: Cursor, stored: Arc<Stored>) -> Self {
        Self { cursor, stored }
    }

    /// The event's own position: who polls since here has seen all up to this event.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// The channel that it was published on.
    pub fn channel(&self) -> &Channel {
        &self.stored.channel
    }

    /// What was published.
    pub fn event(&self) -> &Event {
        &self.stored.event
    }

    /// The payload of the event.
    pub fn payload(&self) -> &Bytes {
        self.event().payload()
    }

    pub(crate) fn published(&self) -> Moment {
        self.stored.published
    }

    #[cfg(feature = "json")]
    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Entry");
        out.field("cursor", &self.cursor).field("channel", self.channel());
        out.field("event", self.event()).finish()
    }
}
