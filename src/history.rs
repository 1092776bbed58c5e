//! The last events of one channel.
//!
//! Rules: sequence numbers ascend; at least the newest event is kept whatever it weighs, until it
//! is too old; `floor` is the highest number that was ever let go. Nothing is dropped in here:
//! what is let go moves to an [`Evicted`], for its owner to drop after it has unlocked.

use std::{collections::VecDeque, sync::Arc};

use crate::{event::Stored, wake::drop_alone};

/// An event in its place.
pub(crate) struct Held {
    pub(crate) sequence: u64,
    /// The tick at which it is too old.
    pub(crate) expires: u64,
    pub(crate) stored: Arc<Stored>,
}

/// Events that were let go, in order, and what they weighed.
#[derive(Default)]
pub(crate) struct Evicted {
    /// A full ring lets one event go for each that comes: that one needs no vector.
    first: Option<Arc<Stored>>,
    rest: Vec<Arc<Stored>>,
    pub(crate) weight: usize,
}

impl Drop for Evicted {
    #[inline]
    fn drop(&mut self) {
        if self.first.is_some() {
            self.drop_all();
        }
    }
}

impl Evicted {
    /// Payloads may be anybody's memory, and run anybody's code when they are freed.
    fn drop_all(&mut self) {
        drop_alone(self.first.take());
        if !self.rest.is_empty() {
            self.rest.drain(..).for_each(drop_alone);
        }
    }

    fn push(&mut self, held: Held) {
        self.weight += held.stored.event.weight();
        match self.first {
            None => self.first = Some(held.stored),
            Some(_) => self.rest.push(held.stored),
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}

/// The bounds of a history.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// At least one.
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

#[derive(Default)]
#[repr(C)]
pub(crate) struct History {
    /// Beside the ring, so that a channel that holds one event needs no ring. First, and the floor
    /// second, since every poll looks at these.
    newest: Option<Held>,
    floor: u64,
    older: VecDeque<Held>,
    weight: usize,
}

impl History {
    /// Bytes from the beginning that every poll looks at.
    #[cfg(test)]
    pub(crate) const SEEN_BY_POLLS: usize = std::mem::offset_of!(Self, older);

    /// An empty history of a channel of which all events up to `floor` may be gone.
    pub(crate) fn new(floor: u64) -> Self {
        Self { floor, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.older.len() + usize::from(self.newest.is_some())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.newest.is_none()
    }

    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// A cursor below the floor has missed events.
    pub(crate) fn floor(&self) -> u64 {
        self.floor
    }

    /// The number of the newest event held.
    pub(crate) fn latest(&self) -> Option<u64> {
        self.newest.as_ref().map(|held| held.sequence)
    }

    /// The number of the oldest event held.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.iter().next().map(|held| held.sequence)
    }

    /// When the oldest event held is too old.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.older.front().or(self.newest.as_ref()).map(|held| held.expires)
    }

    /// How many events, of what weight, a new event of `weight` would push out.
    pub(crate) fn pushed_out_by(&self, weight: usize, bounds: Bounds) -> (usize, usize) {
        let (mut count, mut gone) = (0, 0);
        while let Some(held) = self.get(count) {
            let fits = (self.weight - gone).saturating_add(weight) <= bounds.bytes;
            if fits && self.len() - count < bounds.events {
                break;
            }
            gone += held.stored.event.weight();
            count += 1;
        }
        (count, gone)
    }

    /// Adds the newest event, and lets the `count` oldest go as [`History::pushed_out_by`] said.
    pub(crate) fn push(&mut self, held: Held, count: usize, evicted: &mut Evicted) {
        debug_assert!(self.latest().unwrap_or(self.floor) < held.sequence, "numbers ascend");
        self.evict(count, evicted);
        self.weight += held.stored.event.weight();
        if let Some(previous) = self.newest.replace(held) {
            self.older.push_back(previous);
        }
    }

    /// Lets go, oldest first, what is too old; at most `steps` events, which it counts down.
    pub(crate) fn expire(&mut self, now: u64, steps: &mut usize, evicted: &mut Evicted) {
        let old = self.iter().take(*steps).take_while(|held| held.expires <= now).count();
        *steps -= old;
        self.evict(old, evicted);
    }

    /// Lets the oldest event go.
    pub(crate) fn evict_oldest(&mut self, evicted: &mut Evicted) {
        self.evict(self.len().min(1), evicted);
    }

    /// Lets everything go.
    pub(crate) fn clear(&mut self, evicted: &mut Evicted) {
        self.evict(self.len(), evicted);
    }

    /// The events after `sequence`, in order.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = &Held> {
        // The newest first: in the most common case it alone is new, and the ring is not touched.
        let is_new = |held: &&Held| held.sequence > sequence;
        let newest = self.newest.as_ref().filter(is_new);
        let seen = match self.older.back().filter(is_new) {
            None => self.older.len(),
            Some(_) => self.older.partition_point(|held| held.sequence <= sequence),
        };
        self.older.range(seen..).chain(newest)
    }

    fn get(&self, place: usize) -> Option<&Held> {
        if place == self.older.len() { self.newest.as_ref() } else { self.older.get(place) }
    }

    fn iter(&self) -> impl Iterator<Item = &Held> {
        self.older.iter().chain(&self.newest)
    }

    fn evict(&mut self, count: usize, evicted: &mut Evicted) {
        for _ in 0..count {
            let Some(held) = self.older.pop_front().or_else(|| self.newest.take()) else { break };
            self.floor = held.sequence;
            self.weight -= held.stored.event.weight();
            evicted.push(held);
        }
        // Memory goes back after a peak, not at each turn of the ring.
        if count > 0 && self.older.len() * 4 < self.older.capacity() {
            self.older.shrink_to(self.older.len() * 2);
        }
    }

    /// Recounts every invariant.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        let numbers: Vec<_> = self.iter().map(|held| held.sequence).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "numbers ascend");
        assert!(numbers.first().is_none_or(|first| self.floor < *first), "the floor is below");
        let weight: usize = self.iter().map(|held| held.stored.event.weight()).sum();
        assert_eq!(weight, self.weight, "the weight is that of the events held");
        assert!(self.newest.is_some() || self.older.is_empty(), "the ring is for older events");
    }
}

#[cfg(test)]
mod tests;
