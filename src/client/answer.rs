//! Reading an answer.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER},
    response::Parts,
};
use percent_encoding::percent_decode_str;
use serde_core::de::{Deserializer, Error, SeqAccess, Visitor};
use serde_json::Deserializer as Reader;

use super::{
    error::{ClientError, Failure},
    members::{Member, Members, value},
    received::ReceivedEvent,
};
use crate::{
    event::is_json_type,
    http::{CHANNEL, CURSOR, GAP},
};

/// An answer to a poll.
pub(super) struct Answer {
    /// Where the next poll goes on.
    pub(super) cursor: String,
    pub(super) gap: bool,
    pub(super) events: Vec<ReceivedEvent>,
}

/// An answer that cannot be used.
pub(super) enum Fault {
    /// To be asked again; perhaps after so many seconds.
    Temporary(Failure, Option<u64>),
    Final(ClientError),
}

/// Reads an answer whose body has ended. That of an error may be incomplete.
pub(super) fn read(head: &Parts, body: Vec<u8>) -> Result<Answer, Fault> {
    let (status, headers) = (head.status, &head.headers);
    let temporary = |seconds| Err(Fault::Temporary(Failure::Status(status), seconds));
    match status.as_u16() {
        200..=299 => {
            let failure =
                if is_short(headers, body.len()) { Failure::CutOff } else { Failure::Unreadable };
            success(head, body).ok_or(Fault::Temporary(failure, None))
        }
        429 | 503 => temporary(text(headers, &RETRY_AFTER).and_then(|text| text.parse().ok())),
        408 | 425 | 500.. => temporary(None),
        410 => {
            let channel = channel(headers).filter(|name| !name.is_empty());
            let cursor = cursor(headers);
            Err(Fault::Final(ClientError::Deleted { channel, cursor }))
        }
        300..=399 => {
            let location = text(headers, &LOCATION).map(str::to_owned);
            Err(Fault::Final(ClientError::Redirected { status, location }))
        }
        _ => Err(Fault::Final(ClientError::Refused { status, detail: detail(headers, &body) })),
    }
}

/// None if it is no answer of this protocol. An answer without a cursor is none: its events would
/// come again.
fn success(head: &Parts, body: Vec<u8>) -> Option<Answer> {
    let headers = &head.headers;
    if is_short(headers, body.len()) || headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let gap = text(headers, &GAP) == Some("true");
    match head.status {
        StatusCode::NO_CONTENT => Some(Answer { cursor: cursor(headers)?, gap, events: vec![] }),
        StatusCode::OK if headers.contains_key(CHANNEL) => {
            let cursor = cursor(headers)?;
            let event = ReceivedEvent {
                channel: channel(headers)?,
                cursor: cursor.clone(),
                content_type: text(headers, &CONTENT_TYPE).map(str::to_owned),
                payload: body.into(),
            };
            Some(Answer { cursor, gap, events: vec![event] })
        }
        StatusCode::OK if is_json_type(text(headers, &CONTENT_TYPE)?) => {
            let [in_body, told, events] = Members(["cursor", "gap", "events"]).of(&body)?;
            let cursor = match in_body {
                Some(cursor) => checked(value(cursor)?)?,
                None => cursor(headers)?,
            };
            let gap = gap || told.map_or(Some(false), value)?;
            let events = Reader::from_str(events?.get()).deserialize_seq(Events).ok()?;
            Some(Answer { cursor, gap, events })
        }
        _ => None,
    }
}

/// The events of a JSON reply, each read and checked before the next is looked at: what is no event
/// ends it, and takes no more memory.
struct Events;

impl<'de> Visitor<'de> for Events {
    type Value = Vec<ReceivedEvent>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        let names = ["channel", "id", "type", "data", "encoding"];
        while let Some(members) = list.next_element_seed(Members(names))? {
            events.push(event(members).ok_or_else(|| A::Error::custom("no event"))?);
        }
        Ok(events)
    }
}

fn event([channel, id, content_type, data, encoding]: [Member<'_>; 5]) -> Option<ReceivedEvent> {
    let content_type: Option<String> = match content_type {
        Some(content_type) => Some(value(content_type)?),
        None => None,
    };
    let data = data?;
    let is_json = content_type.as_deref().is_some_and(is_json_type);
    let payload = match encoding {
        Some(encoding) => {
            let encoding: String = value(encoding)?;
            let text: String = value(data).filter(|_| encoding == "base64")?;
            STANDARD.decode(text).ok()?.into()
        }
        // Copied: one payload that is kept would keep the whole answer alive.
        None if is_json || !data.get().starts_with('"') => {
            Bytes::copy_from_slice(data.get().as_bytes())
        }
        None => value::<String>(data)?.into(),
    };
    let (channel, cursor) = (value(channel?)?, checked(value(id?)?)?);
    Some(ReceivedEvent { channel, cursor, content_type, payload })
}

/// What goes into every request from now on has a limit.
const MAX_CURSOR_BYTES: usize = 1024;

fn checked(cursor: String) -> Option<String> {
    (1..=MAX_CURSOR_BYTES).contains(&cursor.len()).then_some(cursor)
}

fn cursor(headers: &HeaderMap) -> Option<String> {
    checked(text(headers, &CURSOR)?.to_owned())
}

fn channel(headers: &HeaderMap) -> Option<String> {
    let name = percent_decode_str(text(headers, &CHANNEL)?).decode_utf8().ok()?;
    Some(name.into_owned())
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Not every transport notices that a body has ended too soon.
fn is_short(headers: &HeaderMap, length: usize) -> bool {
    let announced = text(headers, &CONTENT_LENGTH).and_then(|text| text.parse().ok());
    announced.is_some_and(|announced: usize| length < announced)
}

/// The most of an error's text that is kept.
const MAX_DETAIL_BYTES: usize = 1024;

fn detail(headers: &HeaderMap, body: &[u8]) -> String {
    let content_type = text(headers, &CONTENT_TYPE).unwrap_or_default();
    let mut detail = if is_json_type(content_type) {
        let [detail] = Members(["detail"]).of(body).unwrap_or_default();
        detail.and_then(value).unwrap_or_default()
    } else if content_type.starts_with("text/plain") {
        String::from_utf8_lossy(body).trim().to_owned()
    } else {
        String::new()
    };
    let end = (0..=MAX_DETAIL_BYTES).rev().find(|&end| detail.is_char_boundary(end));
    if detail.len() > MAX_DETAIL_BYTES {
        detail.truncate(end.unwrap_or_default());
    }
    detail
}
