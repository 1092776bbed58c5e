//! The JSON reply. What is put around an event's payload is encoded once, by the first answer that
//! the event is in; a payload that is JSON, or text without anything to escape, is sent as it is
//! held.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::HeaderValue;

use super::text::{Text, value};
use crate::{
    event::{Encoded, Entry},
    outcome::{Batch, EntryList},
};

/// Up to this size an answer is copied into one piece, which is cheaper to send than many.
const COPIED_BYTES: usize = 16 * 1024;

/// An answer that is not written yet: it may never be, or only when its client has room for it.
pub(super) struct Answer {
    /// Up to the events.
    start: Bytes,
    entries: EntryList,
}

/// An answer as it is sent.
pub(super) enum Written {
    /// In one piece.
    Copied(Bytes),
    /// With payloads that are those of the history.
    Shared(Vec<Bytes>),
}

impl Answer {
    /// The answer, and its cursor for the head.
    pub(super) fn new(batch: Batch) -> (Self, HeaderValue) {
        let mut start = Text::new();
        start.add(r#"{"cursor":""#);
        let cursor = batch.cursor().with_text(|cursor| start.add(cursor));
        start.add(r#"","gap":"#);
        start.add(if batch.gap() { "true" } else { "false" });
        start.add(r#","events":["#);
        let start = start.finish();
        let cursor = value(&start, cursor);
        (Self { start, entries: batch.entries }, cursor)
    }

    fn entries(&self) -> &[Entry] {
        self.entries.as_slice()
    }

    pub(super) fn len(&self) -> u64 {
        let parts = self.entries().iter().flat_map(|entry| encoded(entry).parts(entry));
        let parts: u64 = parts.map(|part| part.len() as u64).sum();
        let commas = self.entries().len().saturating_sub(1);
        self.start.len() as u64 + parts + commas as u64 + END.len() as u64
    }

    /// Writes it, in one piece if that has few bytes.
    pub(super) fn write(self, length: u64) -> Written {
        match usize::try_from(length) {
            Ok(length @ ..=COPIED_BYTES) => Written::Copied(self.copied(length)),
            _ => Written::Shared(self.shared()),
        }
    }

    fn copied(self, length: usize) -> Bytes {
        let mut text = Vec::with_capacity(length);
        text.extend_from_slice(&self.start);
        for (place, entry) in self.entries().iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            encoded(entry).parts(entry).into_iter().for_each(|part| text.extend_from_slice(part));
        }
        text.extend_from_slice(END);
        text.into()
    }

    fn shared(self) -> Vec<Bytes> {
        let mut pieces = vec![self.start.clone()];
        for (place, entry) in self.entries().iter().enumerate() {
            if place > 0 {
                pieces.push(Bytes::from_static(b","));
            }
            let encoded = encoded(entry);
            let payload = encoded.payload(entry).clone();
            let parts = [encoded.head.clone(), payload, Bytes::from_static(encoded.tail)];
            pieces.extend(parts.into_iter().filter(|part| !part.is_empty()));
        }
        pieces.push(Bytes::from_static(END));
        pieces
    }
}

const END: &[u8] = b"]}";

/// Encodes an event, unless another answer has.
fn encoded(entry: &Entry) -> &Encoded {
    entry.stored().json.get_or_init(|| Box::new(encode(entry)))
}

impl Encoded {
    fn payload<'a>(&'a self, entry: &'a Entry) -> &'a Bytes {
        self.payload.as_ref().unwrap_or(entry.payload())
    }

    fn parts<'a>(&'a self, entry: &'a Entry) -> [&'a [u8]; 3] {
        [&self.head, self.payload(entry), self.tail]
    }
}

fn encode(entry: &Entry) -> Encoded {
    let (event, mut head) = (entry.event(), Text::new());
    head.add(r#"{"channel":"#);
    quote(entry.channel().as_str(), &mut head);
    head.add(r#","id":""#);
    entry.cursor().with_text(|cursor| head.add(cursor));
    head.add(r#"""#);
    if let Some(content_type) = event.content_type() {
        head.add(r#","type":"#);
        quote(content_type, &mut head);
    }
    head.add(r#","data":"#);
    let (payload, tail): (_, &[u8]) = match std::str::from_utf8(event.payload()) {
        Ok(_) if event.is_json() => (None, b"}"),
        Ok(_) if event.transcoded() == 0 => {
            head.add(r#"""#);
            (None, b"\"}")
        }
        Ok(text) => {
            let mut quoted = Vec::with_capacity(event.transcoded() + r#""""#.len());
            quote(text, &mut quoted);
            (Some(quoted), b"}")
        }
        Err(_) => {
            head.add(r#"""#);
            let encoded = STANDARD.encode(event.payload()).into_bytes();
            (Some(encoded), b"\",\"encoding\":\"base64\"}")
        }
    };
    // Held as long as the event: without spare room.
    let head = Bytes::copy_from_slice(head.as_ref());
    Encoded { head, payload: payload.map(Bytes::from), tail }
}

fn quote(text: &str, to: impl io::Write) {
    serde_json::to_writer(to, text).expect("every string has a form in JSON");
}
