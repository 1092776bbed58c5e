//! The entries of a batch.

use std::{fmt, iter, option, vec};

use crate::event::Entry;

/// Most batches have one entry: that one needs no vector.
#[derive(Clone)]
pub(crate) enum EntryList {
    One(Option<Entry>),
    Many(Vec<Entry>),
}

impl EntryList {
    pub(crate) fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => entry.as_slice(),
            Self::Many(entries) => entries,
        }
    }
}

impl FromIterator<Entry> for EntryList {
    #[inline]
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut entries = entries.into_iter();
        let first = entries.next();
        match entries.next() {
            None => Self::One(first),
            second => Self::Many(first.into_iter().chain(second).chain(entries).collect()),
        }
    }
}

impl fmt::Debug for EntryList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl IntoIterator for EntryList {
    type Item = Entry;
    type IntoIter = iter::Chain<option::IntoIter<Entry>, vec::IntoIter<Entry>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::One(one) => (one, Vec::new()),
            Self::Many(many) => (None, many),
        };
        one.into_iter().chain(many)
    }
}
