//! First-in-first-out lists whose links live in the records of a [`Slab`].

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use crate::slab::{NIL, Slab};

/// The neighbours of a record in its queue.
#[derive(Clone, Copy)]
pub(crate) struct Links {
    next: u32,
    previous: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { next: NIL, previous: NIL }
    }
}

/// A record that can stand in one queue at a time.
pub(crate) trait Linked: Default {
    fn links_mut(&mut self) -> &mut Links;
}

/// A queue of records, which belong to the slab.
pub(crate) struct Queue {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: NIL, tail: NIL, len: 0 }
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn front(&self) -> Option<u32> {
        (self.head != NIL).then_some(self.head)
    }

    /// Puts a record that is in no queue at the end.
    pub(crate) fn push<T: Linked>(&mut self, records: &mut Slab<T>, key: u32) {
        *records[key].links_mut() = Links { next: NIL, previous: self.tail };
        match self.tail {
            NIL => self.head = key,
            tail => records[tail].links_mut().next = key,
        }
        self.tail = key;
        self.len += 1;
    }

    /// Takes out a record that is in this queue.
    pub(crate) fn remove<T: Linked>(&mut self, records: &mut Slab<T>, key: u32) {
        let links = std::mem::take(records[key].links_mut());
        self.close(records, links);
    }

    /// Closes the gap that a record of this queue has left, which had these neighbours.
    pub(crate) fn close<T: Linked>(&mut self, records: &mut Slab<T>, gap: Links) {
        let Links { next, previous } = gap;
        match previous {
            NIL => self.head = next,
            previous => records[previous].links_mut().next = next,
        }
        match next {
            NIL => self.tail = previous,
            next => records[next].links_mut().previous = previous,
        }
        self.len -= 1;
    }

    /// Lists the records, front first, and checks the links.
    #[cfg(test)]
    pub(crate) fn validate<T: Linked>(&self, records: &mut Slab<T>) -> Vec<u32> {
        let (mut keys, mut key, mut previous) = (Vec::new(), self.head, NIL);
        while key != NIL {
            let links = *records[key].links_mut();
            assert_eq!(links.previous, previous, "links run both ways");
            keys.push(key);
            (previous, key) = (key, links.next);
        }
        assert_eq!(self.tail, previous, "the tail is the last");
        assert_eq!(self.len(), keys.len(), "the length is counted");
        keys
    }
}
