//! The JSON reply. An event is encoded once, by the first answer that it is in.

use base64::{display::Base64Display, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Response, header::CONTENT_TYPE};

use super::ReplyBody;
use crate::{cursor::Cursor, event::Entry};

/// Up to this size an answer is copied into one piece, which is cheaper to send than many.
const COPIED_BYTES: usize = 16 * 1024;

pub(super) fn batch(cursor: Cursor, gap: bool, entries: &[Entry]) -> Response<ReplyBody> {
    let start = format!(r#"{{"cursor":"{cursor}","gap":{gap},"events":["#);
    let size =
        entries.iter().map(|entry| encoded(entry).len() + 1).sum::<usize>() + start.len() + 2;
    let body = if size <= COPIED_BYTES {
        let mut text = Vec::with_capacity(size);
        text.extend_from_slice(start.as_bytes());
        for (place, entry) in entries.iter().enumerate() {
            if place > 0 {
                text.push(b',');
            }
            text.extend_from_slice(encoded(entry));
        }
        text.extend_from_slice(b"]}");
        ReplyBody::from(Bytes::from(text))
    } else {
        let mut chunks = vec![Bytes::from(start)];
        for (place, entry) in entries.iter().enumerate() {
            if place > 0 {
                chunks.push(Bytes::from_static(b","));
            }
            chunks.push(encoded(entry).clone());
        }
        chunks.push(Bytes::from_static(b"]}"));
        ReplyBody::of(chunks)
    };
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn encoded(entry: &Entry) -> &Bytes {
    entry.stored().json.get_or_init(|| Bytes::from(encode(entry)))
}

fn encode(entry: &Entry) -> Vec<u8> {
    let event = entry.event();
    let channel = quoted(entry.channel().as_str());
    let mut text = format!(r#"{{"channel":{channel},"id":"{}""#, entry.cursor());
    if let Some(content_type) = event.content_type() {
        text += r#","type":"#;
        text += &quoted(content_type);
    }
    let payload = event.payload();
    match std::str::from_utf8(payload) {
        Ok(json) if event.is_json() => text += &format!(r#","data":{json}}}"#),
        Ok(plain) => text += &format!(r#","data":{}}}"#, quoted(plain)),
        Err(_) => {
            let data = Base64Display::new(payload, &STANDARD);
            text += &format!(r#","data":"{data}","encoding":"base64"}}"#);
        }
    }
    text.into_bytes()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("every string has a form in JSON")
}
