//! Changes as the fields of a stream's entries.

use bytes::Bytes;

use super::id::StreamId;
use crate::{
    change::Change,
    channel::Channel,
    event::{Event, EventError},
};

const PUBLISH: &[u8] = b"p";
const TOUCH: &[u8] = b"t";
const DELETE: &[u8] = b"d";

/// The fields of a change: names and values in turn. The script that appends them adds `b`, the id of
/// the entry before, and `n`, the count of entries so far.
pub(super) fn fields(change: &Change) -> Vec<&[u8]> {
    let kind = match change {
        Change::Publish(..) => PUBLISH,
        Change::Touch(_) => TOUCH,
        Change::Delete(_) => DELETE,
    };
    let mut fields: Vec<&[u8]> = vec![b"k", kind, b"c", change.channel().as_str().as_bytes()];
    if let Change::Publish(_, event) = change {
        if let Some(content_type) = event.content_type() {
            fields.extend([b"t", content_type.as_bytes()]);
        }
        fields.extend([&b"d"[..], event.payload()]);
    }
    fields
}

/// An entry that this driver appended, or a later version of it.
#[derive(Debug)]
pub(super) struct Own {
    /// The entry that was appended before.
    pub(super) before: StreamId,
    /// How many were appended so far.
    pub(super) count: u64,
    /// What it does; none if only a later version knows.
    pub(super) change: Option<Change>,
}

/// Reads the fields of an entry; none if it is not of this driver.
pub(super) fn read(fields: Vec<(Bytes, Bytes)>) -> Option<Own> {
    let (mut before, mut count, mut kind) = (None, None, None);
    let (mut channel, mut content_type, mut payload) = (None, None, None);
    for (name, value) in fields {
        let field = match &*name {
            b"b" => &mut before,
            b"n" => &mut count,
            b"k" => &mut kind,
            b"c" => &mut channel,
            b"t" => &mut content_type,
            b"d" => &mut payload,
            _ => continue,
        };
        *field = Some(value);
    }
    let before = StreamId::parse(&before?)?;
    let count = text(&count?)?.parse().ok()?;
    let change = || {
        let channel = Channel::new(text(&channel?)?).ok()?;
        match &*kind? {
            PUBLISH => Some(Change::Publish(channel, event(payload?, content_type)?)),
            TOUCH => Some(Change::Touch(channel)),
            DELETE => Some(Change::Delete(channel)),
            _ => None,
        }
    };
    Some(Own { before, count, change: change() })
}

fn event(payload: Bytes, content_type: Option<Bytes>) -> Option<Event> {
    let Some(content_type) = content_type else { return Some(Event::new(payload)) };
    match Event::typed(payload.clone(), text(&content_type)?.to_owned()) {
        Ok(event) => Some(event),
        // From a node without the feature `json`, which did not check it. Better without its type
        // than lost.
        Err(EventError::NotJson { .. }) => Some(Event::new(payload)),
        Err(_) => None,
    }
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn pairs(fields: &[&[u8]]) -> Vec<(Bytes, Bytes)> {
        let copy = Bytes::copy_from_slice;
        fields.chunks(2).map(|pair| (copy(pair[0]), copy(pair[1]))).collect()
    }

    fn appended(change: &Change) -> Vec<(Bytes, Bytes)> {
        let added: [&[u8]; 4] = [b"b", b"5-6", b"n", b"7"];
        pairs(&[&added[..], &fields(change)].concat())
    }

    #[test]
    fn changes_come_back_as_they_were() {
        let channel = || Channel::new("a").unwrap();
        let typed = Event::typed(vec![0, 255], "image/png").unwrap();
        let changes = [
            Change::Publish(channel(), "plain".into()),
            Change::Publish(channel(), Event::new("")),
            Change::Publish(channel(), typed),
            Change::Touch(channel()),
            Change::Delete(channel()),
        ];
        for change in changes {
            let own = read(appended(&change)).unwrap();
            assert_eq!((own.before, own.count), (StreamId { millis: 5, number: 6 }, 7));
            assert_eq!(format!("{:?}", own.change), format!("{:?}", Some(&change)));
            let (Some(Change::Publish(_, is)), Change::Publish(_, was)) = (own.change, change)
            else {
                continue;
            };
            assert_eq!(is, was);
        }
    }

    #[test]
    fn what_is_not_of_this_driver_does_nothing() {
        let foreign: [&[&[u8]]; 4] =
            [&[], &[b"k", b"p"], &[b"b", b"x", b"n", b"1"], &[b"b", b"1-0", b"n", b"\xff"]];
        for fields in foreign {
            assert!(read(pairs(fields)).is_none(), "{fields:?}");
        }
        let later: [&[&[u8]]; 4] = [
            &[b"k", b"z", b"c", b"a"],
            &[b"k", b"t", b"c", b"\n"],
            &[b"k", b"p", b"c", b"a"],
            &[b"k", b"p", b"c", b"a", b"t", b"no type", b"d", b"x"],
        ];
        let added: [&[u8]; 4] = [b"b", b"1-0", b"n", b"1"];
        for fields in later {
            let fields = [&added, fields].concat();
            assert!(read(pairs(&fields)).unwrap().change.is_none(), "{fields:?}");
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_that_nobody_checked_is_kept_without_its_type() {
        let fields: [&[u8]; 12] = [
            b"b",
            b"1-0",
            b"n",
            b"1",
            b"k",
            b"p",
            b"c",
            b"a",
            b"t",
            b"application/json",
            b"d",
            b"{",
        ];
        let Some(Change::Publish(_, event)) = read(pairs(&fields)).unwrap().change else {
            panic!("lost")
        };
        assert_eq!((&event.payload()[..], event.content_type()), (&b"{"[..], None));
    }
}
