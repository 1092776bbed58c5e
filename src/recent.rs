//! Who did the same a short time ago.

use std::hash::{BuildHasher, Hash};

use crate::sync::{AtomicU64, Ordering, RandomState};

/// Remembers the last things that were done, in so much memory and no more: each has one place, by
/// its keyed hash, and takes it from whoever had it. So somebody may be forgotten early, and, with a
/// chance of one in 2^24 for who shares a place, be taken for another.
pub(crate) struct Recent {
    keys: RandomState,
    /// A part of the hash, and the tick, in each.
    places: Box<[AtomicU64]>,
}

const TICK_BITS: u32 = 40;

impl Recent {
    pub(crate) fn new(places: usize) -> Self {
        let places = (0..places.next_power_of_two()).map(|_| AtomicU64::new(0)).collect();
        Self { keys: RandomState::new(), places }
    }

    /// When something may be done that is not to be done more than once in `within` ticks: now, or
    /// that long after the last time.
    pub(crate) fn due(&self, what: impl Hash, now: u64, within: u64) -> u64 {
        let hash = self.keys.hash_one(what);
        let Some(place) = self.places.get(hash as usize & (self.places.len() - 1)) else {
            return now;
        };
        // Never zero, which is the tag of an empty place.
        let tag = hash >> TICK_BITS | 1;
        let last = place.load(Ordering::Relaxed);
        let (last_tag, last_tick) = (last >> TICK_BITS, last & ((1 << TICK_BITS) - 1));
        let due =
            if last_tag == tag { (last_tick + within).min(now + within).max(now) } else { now };
        place.store(tag << TICK_BITS | due & ((1 << TICK_BITS) - 1), Ordering::Relaxed);
        due
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_due_once_in_a_while_and_others_at_once() {
        let recent = Recent::new(1 << 10);
        assert_eq!(recent.due("a", 0, 1_000), 0);
        assert_eq!(recent.due("b", 1, 1_000), 1, "another");
        assert_eq!(recent.due("a", 1, 1_000), 1_000);
        assert_eq!(recent.due("a", 2, 1_000), 1_002, "no more than a while, however many wait");
        assert_eq!(recent.due("a", 2_001, 1_000), 2_002);
        assert_eq!(recent.due("a", 3_002, 1_000), 3_002, "the while has passed");
        assert_eq!(recent.due("a", 9_000, 0), 9_000);
    }

    #[test]
    fn memory_is_bounded_and_who_is_forgotten_is_not_held_up() {
        let recent = Recent::new(2);
        for number in 0..1_000 {
            assert_eq!(recent.due(number, 1, 1_000), 1, "a stranger");
        }
        assert_eq!(recent.places.len(), 2);
    }
}
