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
    pub(crate) const fn new() -> Self {
        Self::One(None)
    }

    pub(crate) fn as_slice(&self) -> &[Entry] {
        match self {
            Self::One(entry) => entry.as_slice(),
            Self::Many(entries) => entries,
        }
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        match self {
            Self::One(one) => match one.take() {
                None => *one = Some(entry),
                Some(first) => *self = Self::Many(vec![first, entry]),
            },
            Self::Many(entries) => entries.push(entry),
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
