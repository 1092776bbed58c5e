//! What a consumer receives.

use std::fmt;

use bytes::Bytes;
use serde_core::de::DeserializeOwned;

/// An item of [`EventStream`](super::EventStream).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Received {
    /// An event.
    Event(ReceivedEvent),
    /// Events are gone for good, or the server is another one than before: read the state anew, and
    /// go on. What the answer with the gap still had of events comes after it.
    Gap {
        /// Who goes on from here misses nothing that the stream has not handed out. If the answer
        /// still has events, it is where the stream was before them: going on there tells of the
        /// gap once more.
        cursor: String,
    },
}

/// An event that was received.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedEvent {
    pub(super) channel: String,
    pub(super) cursor: String,
    pub(super) content_type: Option<String>,
    pub(super) payload: Bytes,
}

impl ReceivedEvent {
    /// The name of the channel that it was published on.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The event's own position: who goes on from here has seen all up to this event.
    pub fn cursor(&self) -> &str {
        &self.cursor
    }

    /// The content type, if the answer names one. The raw reply has `application/octet-stream` for
    /// an event that was published without.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The payload as it was published; one of a JSON type that came in a JSON reply without white
    /// space around it.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The payload, without a copy.
    pub fn into_payload(self) -> Bytes {
        self.payload
    }

    /// The payload read as JSON, whatever its content type.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if it is no JSON, or not that of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| JsonError { reason: error.to_string() })
    }
}

impl fmt::Debug for ReceivedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ReceivedEvent");
        out.field("channel", &self.channel).field("cursor", &self.cursor);
        out.field("content_type", &self.content_type).field("bytes", &self.payload.len());
        out.finish_non_exhaustive()
    }
}

/// A payload that is not the JSON that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JsonError {
    reason: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the payload is not the expected JSON: {}", self.reason)
    }
}

impl std::error::Error for JsonError {}
