//! The last events of one channel.
//!
//! Rules: sequence numbers ascend; at least the newest event is kept whatever it weighs, until it
//! is too old; `floor` is the highest number that was ever let go. Nothing is dropped in here:
//! what is let go moves to an [`Evicted`], for its owner to drop after it has unlocked.

use std::sync::Arc;

use crate::{event::Stored, ring::Ring, wake::drop_alone};

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

    fn push(&mut self, stored: Arc<Stored>) {
        self.weight += stored.weight();
        match self.first {
            None => self.first = Some(stored),
            Some(_) => self.rest.push(stored),
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
    /// Beside the ring, so that a channel that holds one event needs no ring. First, and the numbers
    /// next, since every poll looks at these; mostly it needs nothing else.
    newest: Option<Arc<Stored>>,
    /// The number of the newest event, if that is held.
    latest: u64,
    /// No event in the ring has a higher number.
    before: u64,
    floor: u64,
    /// When the newest event is too old, or would be if it were still held.
    expires: u64,
    older: Ring<Held>,
    weight: usize,
}

impl History {
    /// Bytes from the beginning that every poll looks at.
    #[cfg(all(test, target_pointer_width = "64"))]
    pub(crate) const SEEN_BY_POLLS: usize = std::mem::offset_of!(Self, expires);

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
        self.newest.is_some().then_some(self.latest)
    }

    /// The number of the oldest event held.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.older.get(0).map(|held| held.sequence).or(self.latest())
    }

    /// When the oldest event held is too old.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.older.get(0).map(|held| held.expires).or(self.last_expiry())
    }

    /// When the newest event held is too old.
    fn last_expiry(&self) -> Option<u64> {
        self.newest.is_some().then_some(self.expires)
    }

    /// When all events that were ever held are too old.
    pub(crate) fn settles(&self) -> u64 {
        self.expires
    }

    /// How many events, of what weight, a new event of `weight` would push out.
    pub(crate) fn pushed_out_by(&self, weight: usize, bounds: Bounds) -> (usize, usize) {
        let (mut count, mut gone) = (0, 0);
        while let Some(stored) = self.get(count) {
            let fits = (self.weight - gone).saturating_add(weight) <= bounds.bytes;
            if fits && self.len() - count < bounds.events {
                break;
            }
            gone += stored.weight();
            count += 1;
        }
        (count, gone)
    }

    /// Adds the newest event, and lets the `count` oldest go as [`History::pushed_out_by`] said.
    pub(crate) fn push(&mut self, held: Held, count: usize, evicted: &mut Evicted) {
        debug_assert!(self.latest().unwrap_or(self.floor) < held.sequence, "numbers ascend");
        self.evict(count, evicted);
        self.weight += held.stored.weight();
        if let Some(stored) = self.newest.replace(held.stored) {
            let (sequence, expires) = (self.latest, self.expires);
            self.before = sequence;
            self.older.push(Held { sequence, expires, stored });
        }
        (self.latest, self.expires) = (held.sequence, held.expires);
        // When the new one is in: a ring of one would be given back and made again each time.
        self.older.trim();
    }

    /// Lets go, oldest first, what is too old; at most `steps` events, which it counts down.
    pub(crate) fn expire(&mut self, now: u64, steps: &mut usize, evicted: &mut Evicted) {
        let all = self.older.iter().map(|held| held.expires).chain(self.last_expiry());
        let old = all.take(*steps).take_while(|&expires| expires <= now).count();
        *steps -= old;
        self.evict(old, evicted);
        self.older.trim();
    }

    /// Lets the oldest event go.
    pub(crate) fn evict_oldest(&mut self, evicted: &mut Evicted) {
        self.evict(self.len().min(1), evicted);
        self.older.trim();
    }

    /// Lets everything go.
    pub(crate) fn clear(&mut self, evicted: &mut Evicted) {
        self.evict(self.len(), evicted);
        self.older.trim();
    }

    /// Notes that events up to here are gone which were never held.
    pub(crate) fn lose(&mut self, sequence: u64) {
        self.floor = self.floor.max(sequence);
    }

    /// The events after `sequence`, and their numbers, in order.
    pub(crate) fn after(&self, sequence: u64) -> impl Iterator<Item = (u64, &Arc<Stored>)> {
        // In the most common case the newest alone is new, and the ring is not touched.
        let older = if sequence < self.before {
            self.older.partition_point(|held| held.sequence <= sequence)..self.older.len()
        } else {
            0..0
        };
        let older = self.older.range(older).map(|held| (held.sequence, &held.stored));
        let newest = self.newest.as_ref().map(|stored| (self.latest, stored));
        older.chain(newest.filter(|&(latest, _)| sequence < latest))
    }

    /// Whether there never was an event after `sequence`, but before `end`.
    pub(crate) fn is_quiet(&self, sequence: u64, end: u64) -> bool {
        self.floor <= sequence && self.after(sequence).next().is_none_or(|(first, _)| end < first)
    }

    fn get(&self, place: usize) -> Option<&Arc<Stored>> {
        match self.older.get(place) {
            Some(held) => Some(&held.stored),
            None => self.newest.as_ref().filter(|_| place == self.older.len()),
        }
    }

    fn pop(&mut self) -> Option<(u64, Arc<Stored>)> {
        match self.older.pop() {
            Some(held) => Some((held.sequence, held.stored)),
            None => Some((self.latest, self.newest.take()?)),
        }
    }

    fn evict(&mut self, count: usize, evicted: &mut Evicted) {
        for _ in 0..count {
            let Some((sequence, stored)) = self.pop() else { break };
            self.floor = sequence;
            self.weight -= stored.weight();
            evicted.push(stored);
        }
    }

    /// Recounts every invariant.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        let numbers: Vec<_> = self.after(0).map(|(sequence, _)| sequence).collect();
        assert_eq!(numbers.len(), self.len(), "all are found by their numbers");
        assert!(self.older.iter().all(|held| held.sequence <= self.before), "none is higher");
        assert!(numbers.is_sorted_by(|a, b| a < b), "numbers ascend");
        assert!(numbers.first().is_none_or(|first| self.floor < *first), "the floor is below");
        let weight: usize = self.after(0).map(|(_, stored)| stored.weight()).sum();
        assert_eq!(weight, self.weight, "the weight is that of the events held");
        assert!(self.newest.is_some() || self.older.len() == 0, "the ring is for older events");
    }
}

#[cfg(test)]
mod tests;
