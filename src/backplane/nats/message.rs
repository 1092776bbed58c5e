//! Entries as messages of NATS, and back.
//!
//! The payload of an event is the payload of its message. What else there is stands in the subject,
//! see [`subject`](super::subject), and in headers.

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::subject;
use crate::{backplane::EntryId, change::Change, event::Event};

/// A message, before it is stored.
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// What the headers of an entry take at most: the full name of a channel, of which a byte is up to
/// three; its content type, likewise; the id; the stream; and what the protocol adds.
pub(super) const MAX_HEADER_BYTES: usize = 16 * 1_024;

/// Spaces at the ends of a header are not kept.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

const EVENT: &str = "event";
const TOUCH: &str = "touch";
const DELETE: &str = "delete";

const ID: &str = "Nats-Msg-Id";
const STREAM: &str = "Nats-Expected-Stream";
const TYPE: &str = "Longpoll-Type";
const CHANNEL: &str = "Longpoll-Channel";

impl Message {
    /// `base` is what the subjects of the stream begin with, with the dot.
    pub(super) fn new(base: &str, stream: &str, id: &EntryId, change: &Change) -> Self {
        let (name, full) = subject::write(change.channel());
        let mut headers = HeaderMap::new();
        headers.insert(ID, id.as_str());
        headers.insert(STREAM, stream);
        if let Some(full) = full {
            headers.insert(CHANNEL, &*full);
        }
        let (kind, payload) = match change {
            Change::Publish(_, event) => {
                if let Some(content_type) = event.content_type() {
                    headers.insert(TYPE, &*utf8_percent_encode(content_type, ESCAPED).to_string());
                }
                (EVENT, event.payload().clone())
            }
            Change::Touch(_) => (TOUCH, Bytes::new()),
            Change::Delete(_) => (DELETE, Bytes::new()),
        };
        Self { subject: format!("{base}{kind}.{name}"), headers, payload }
    }

    /// What it takes of the server's `max_payload`.
    pub(super) fn bytes(&self) -> usize {
        let values = self.headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| name.len() + value.as_str().len() + ": \r\n".len())
        });
        "NATS/1.0\r\n\r\n".len() + values.sum::<usize>() + self.payload.len()
    }
}

/// What a message does; none if it was not made by [`Message::new`].
pub(super) fn read(
    base: &str,
    subject: &str,
    headers: Option<&HeaderMap>,
    payload: Bytes,
) -> Option<Change> {
    let header = |name: &str| headers?.get(name).map(HeaderValue::as_str);
    let (kind, name) = subject.strip_prefix(base)?.split_once('.')?;
    let channel = subject::read(name, header(CHANNEL))?;
    match kind {
        EVENT => {
            let event = match header(TYPE) {
                None => Event::new(payload),
                Some(text) => {
                    let content_type = percent_decode_str(text).decode_utf8().ok()?;
                    Event::typed(payload, content_type.into_owned()).ok()?
                }
            };
            Some(Change::Publish(channel, event))
        }
        TOUCH => Some(Change::Touch(channel)),
        DELETE => Some(Change::Delete(channel)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::channel::Channel;

    fn there_and_back(change: &Change) -> Option<Change> {
        let id = EntryId::random();
        let Message { subject, headers, payload } = Message::new("p.t.", "S", &id, change);
        assert_eq!(headers.get(ID).unwrap().as_str(), id.as_str());
        read("p.t.", &subject, Some(&headers), payload)
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let channel = Channel::new("a b").unwrap();
        let typed = Event::typed(&b"\0\xff"[..], "text/x; a=\"100 %\" ").unwrap();
        for event in [typed, Event::new(""), Event::text("é")] {
            let change = Change::Publish(channel.clone(), event.clone());
            let back = there_and_back(&change);
            let Some(Change::Publish(to, same)) = back else { panic!("{back:?}") };
            assert_eq!((to, same), (channel.clone(), event));
        }
        let back = there_and_back(&Change::Touch(channel.clone()));
        assert!(matches!(back, Some(Change::Touch(to)) if to == channel));
        let back = there_and_back(&Change::Delete(channel.clone()));
        assert!(matches!(back, Some(Change::Delete(to)) if to == channel));
    }

    #[test]
    fn a_foreign_message_is_none() {
        let typed =
            |text: &str| HeaderMap::from_iter([(TYPE.parse().unwrap(), text.parse().unwrap())]);
        for (subject, headers) in [
            ("p.t.event.a", typed("no type")),
            ("p.t.event.a", typed("%FF")),
            ("p.t.event.a.b", HeaderMap::new()),
            ("p.t.event", HeaderMap::new()),
            ("p.t.event.", HeaderMap::new()),
            ("p.t.later.a", HeaderMap::new()),
            ("p.other.event.a", HeaderMap::new()),
        ] {
            assert!(read("p.t.", subject, Some(&headers), Bytes::new()).is_none(), "{subject}");
        }
        assert!(read("p.t.", "p.t.event.a", None, Bytes::new()).is_some());
    }

    #[test]
    fn the_longest_headers_are_within_their_bound() {
        let channel = Channel::new(" ".repeat(Channel::MAX_BYTES)).unwrap();
        let content_type = format!("a/b;{}", " ".repeat(Event::MAX_CONTENT_TYPE_BYTES - 4));
        let change = Change::Publish(channel, Event::typed("", content_type).unwrap());
        let id = EntryId::new("i".repeat(128)).unwrap();
        let message = Message::new("p.t.", &"S".repeat(64), &id, &change);
        let written = "NATS/1.0\r\n".len()
            + message
                .headers
                .iter()
                .map(|(name, values)| {
                    name.to_string().len() + values.first().unwrap().as_str().len() + 4
                })
                .sum::<usize>()
            + 2;
        assert_eq!(message.bytes(), written);
        assert!(written <= MAX_HEADER_BYTES, "{written}");
    }
}
