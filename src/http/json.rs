//! The JSON reply. What is put around an event's payload is encoded once, by the first answer that
//! the event is in; a payload that is JSON, or text without anything to escape, is sent as it is
//! held.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use crate::{
    cursor::Cursor,
    event::{Encoded, Entry},
};

/// Up to this size an answer is copied into one piece, which is cheaper to send than many.
const COPIED_BYTES: u64 = 16 * 1024;

/// An answer that is not written yet: it may never be, or only when its client has room for it.
pub(super) struct Answer {
    start: String,
    entries: Vec<Entry>,
}

impl Answer {
    pub(super) fn new(cursor: Cursor, gap: bool, entries: &[Entry]) -> Self {
        let start = format!(r#"{{"cursor":"{cursor}","gap":{gap},"events":["#);
        Self { start, entries: entries.to_vec() }
    }

    pub(super) fn len(&self) -> u64 {
        let entries = self.entries.iter().flat_map(parts).map(|part| part.len() as u64);
        let commas = self.entries.len().saturating_sub(1);
        self.start.len() as u64 + entries.sum::<u64>() + commas as u64 + END.len() as u64
    }

    /// Writes it: in one piece if it is small, else sharing the payloads.
    pub(super) fn write(self) -> Vec<Bytes> {
        let length = self.len();
        let mut pieces = vec![Bytes::from(self.start)];
        for (place, entry) in self.entries.iter().enumerate() {
            if place > 0 {
                pieces.push(Bytes::from_static(b","));
            }
            pieces.extend(parts(entry).into_iter().filter(|part| !part.is_empty()));
        }
        pieces.push(Bytes::from_static(END));
        if length > COPIED_BYTES { pieces } else { vec![Bytes::from(pieces.concat())] }
    }
}

const END: &[u8] = b"]}";

fn parts(entry: &Entry) -> [Bytes; 3] {
    let encoded = entry.stored().json.get_or_init(|| Box::new(encode(entry)));
    let payload = encoded.payload.as_ref().unwrap_or(entry.payload());
    [encoded.head.clone(), payload.clone(), Bytes::from_static(encoded.tail)]
}

fn encode(entry: &Entry) -> Encoded {
    let event = entry.event();
    let channel = quoted(entry.channel().as_str());
    let mut head = format!(r#"{{"channel":{channel},"id":"{}""#, entry.cursor());
    if let Some(content_type) = event.content_type() {
        head += r#","type":"#;
        head += &quoted(content_type);
    }
    head += r#","data":"#;
    let (payload, tail): (_, &[u8]) = match std::str::from_utf8(event.payload()) {
        Ok(_) if event.is_json() => (None, b"}"),
        Ok(text) => {
            let quoted = quoted(text);
            if quoted.len() == text.len() + 2 {
                head.push('"');
                (None, b"\"}")
            } else {
                (Some(quoted), b"}")
            }
        }
        Err(_) => {
            head.push('"');
            (Some(STANDARD.encode(event.payload())), b"\",\"encoding\":\"base64\"}")
        }
    };
    Encoded { head: Bytes::from(head), payload: payload.map(Bytes::from), tail }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every string has a form in JSON")
}
