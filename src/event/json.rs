//! JSON payloads: made, or checked without building a tree of them.

use std::fmt;

use bytes::Bytes;
use serde_core::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::EventError;

pub(super) fn serialize<T: serde_core::Serialize + ?Sized>(value: &T) -> Result<Bytes, EventError> {
    let error = |reason: String| EventError::NotSerializable { reason };
    let written = serde_json::to_vec(value).map_err(|fault| error(fault.to_string()))?;
    if too_deep(&written).is_some() {
        return Err(error(format!("more than {MAX_LEVELS} levels")));
    }
    // A value may bring text of its own, as serde_json's `RawValue` does.
    read(&written).map_err(|fault| error(fault.to_string()))?;
    Ok(written.into())
}

pub(super) fn check(payload: &[u8]) -> Result<(), EventError> {
    let fault = |fault: serde_json::Error| (fault.line(), fault.column());
    read(payload).map_err(fault).map_err(|(line, column)| EventError::NotJson { line, column })?;
    too_deep(payload).map_or(Ok(()), |before| {
        let mut lines = before.rsplit(|&byte| byte == b'\n');
        let column = lines.next().map_or(0, <[u8]>::len) + 1;
        let line = lines.count() + 1;
        Err(EventError::NotJson { line, column })
    })
}

/// Reads all of it as a client's parser would.
fn read(payload: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice(payload).map(|Checked| ())
}

/// Three less than common parsers read: that many the reply adds around a payload. One that is
/// deeper would keep its readers from the whole batch.
const MAX_LEVELS: usize = 124;

/// What stands before the bracket that opens one level too many, in what is known to be JSON.
fn too_deep(json: &[u8]) -> Option<&[u8]> {
    // Most have fewer brackets than that, which is sooner found out.
    if sum(json, |byte| matches!(byte, b'[' | b'{').into()) <= MAX_LEVELS {
        return None;
    }
    let (mut level, mut is_string, mut is_escaped) = (0_usize, false, false);
    let place = json.iter().position(|byte| {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => level += 1,
            b']' | b'}' => level = level.saturating_sub(1),
            _ => {}
        }
        level > MAX_LEVELS
    });
    json.get(..place?)
}

/// The length of a payload as a string in JSON, without the quotes, or as base64 if it is no text;
/// zero for text that needs no escapes.
pub(super) fn transcoded(payload: &[u8]) -> usize {
    // Most texts are ASCII without escapes, which is sooner found out.
    if is_plain(payload) {
        return 0;
    }
    if std::str::from_utf8(payload).is_err() {
        return payload.len().div_ceil(3) * 4;
    }
    match quoted(payload) {
        length if length == payload.len() => 0,
        length => length,
    }
}

/// The most that a byte of text takes in JSON: `\u` and four digits.
pub(super) const MOST_PER_BYTE: usize = 6;

/// The length of a text as a string in JSON, without the quotes.
pub(super) fn quoted(text: impl AsRef<[u8]>) -> usize {
    let longer = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 1,
        0..0x20 => MOST_PER_BYTE as u8 - 1,
        _ => 0,
    };
    text.as_ref().len() + sum(text.as_ref(), longer)
}

/// Whether all is ASCII that needs no escapes. Without a branch: it looks at many bytes at once.
fn is_plain(text: &[u8]) -> bool {
    let is_plain = |byte: u8| (b' '..0x80).contains(&byte) & (byte != b'"') & (byte != b'\\');
    text.iter().fold(0, |any, &byte| any | u8::from(!is_plain(byte))) == 0
}

/// The sum of what each byte is worth, 5 at most: that of 32 fits into a byte.
fn sum(bytes: &[u8], worth: impl Fn(u8) -> u8) -> usize {
    let few = |few: &[u8]| few.iter().map(|&byte| worth(byte)).sum::<u8>();
    bytes.chunks(32).map(few).map(usize::from).sum()
}

/// Any JSON value, read and thrown away. Unlike serde's `IgnoredAny` it reads every string and
/// number for real, so that none is let through that a client's parser would refuse: a batch with
/// one such event in it could never be read.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        while fields.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}
