//! Texts that are made for one answer.

use std::{io, ops::Range};

use bytes::Bytes;
use http::HeaderValue;

/// Several texts in one piece of memory, of which each can be the value of a header field.
pub(super) struct Text {
    short: Short,
    /// All of it, if it is longer than that.
    long: Vec<u8>,
}

/// Cursor, channel and content type of most answers. `Bytes` adds 16 bytes, which makes 128.
struct Short {
    bytes: [u8; 111],
    used: u8,
}

impl Text {
    pub(super) fn new() -> Self {
        Self { short: Short { bytes: [0; 111], used: 0 }, long: Vec::new() }
    }

    /// Adds a text, and says where it is.
    pub(super) fn add(&mut self, text: impl AsRef<[u8]>) -> Range<usize> {
        let text = text.as_ref();
        let start = self.as_ref().len();
        if !self.long.is_empty() || !self.short.add(text) {
            if self.long.is_empty() {
                self.long = [self.short.as_ref(), text].concat();
            } else {
                self.long.extend_from_slice(text);
            }
        }
        start..start + text.len()
    }

    pub(super) fn finish(self) -> Bytes {
        if self.long.is_empty() { Bytes::from_owner(self.short) } else { Bytes::from(self.long) }
    }
}

impl Short {
    /// Adds a text; false if there is no room.
    fn add(&mut self, text: &[u8]) -> bool {
        let start = usize::from(self.used);
        let end = start + text.len();
        let (Some(room), Ok(used)) = (self.bytes.get_mut(start..end), u8::try_from(end)) else {
            return false;
        };
        room.copy_from_slice(text);
        self.used = used;
        true
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        if self.long.is_empty() { self.short.as_ref() } else { &self.long }
    }
}

impl AsRef<[u8]> for Short {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.used)).unwrap_or_default()
    }
}

/// It takes whatever is written.
impl io::Write for Text {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        Ok(self.add(text).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A part of a text that is safe in a header field.
pub(super) fn value(text: &Bytes, range: Range<usize>) -> HeaderValue {
    HeaderValue::from_maybe_shared(text.slice(range)).expect("the text is safe in a header field")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_was_added_whether_short_or_long() {
        for length in [0, 1, 50, 54, 55, 56, 57, 110, 111, 112, 300, 5_000] {
            let mut text = Text::new();
            let parts = ["a".repeat(length), String::new(), "b".repeat(length), "c".into()];
            let places = parts.clone().map(|part| text.add(&part));
            let text = text.finish();
            assert_eq!(text, parts.concat(), "{length}");
            for (part, place) in parts.iter().zip(places) {
                assert_eq!(value(&text, place), **part, "{length}");
            }
        }
    }
}
