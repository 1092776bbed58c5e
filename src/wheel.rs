//! A hierarchical timing wheel: deadlines set, cleared and met in constant time.
//!
//! After Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (1987). The wheel knows no
//! clock: time is a number of ticks that its owner passes in. It owns no memory either: a record of
//! a [`Slab`] carries its [`Timer`], and records that wait in the same slot are linked by their
//! keys.
//!
//! # Geometry
//!
//! A tick is read as a number of [`LEVELS`] digits of [`DIGIT_BITS`] bits. A record waits on the
//! level of the highest digit in which its deadline and `elapsed` differ, in the slot which that
//! digit of the deadline names. A slot of level 0 is one tick; a slot of level `n` spans all slots
//! of level `n - 1`. When `elapsed` reaches the start of a slot above level 0, its records cascade:
//! each is placed anew and, as one digit more agrees now, comes to a lower level.
//!
//! The top level is a ring of [`SLOTS`] slots that starts at `elapsed`. A deadline beyond its end
//! waits in its furthest slot and is placed anew when that one comes.
//!
//! # Rules
//!
//! - `elapsed` never goes back, and never passes the start of a slot that holds a record. So a
//!   record never fires early, and records fire in the order of their ticks.
//! - A slot that has begun to cascade starts at `elapsed`. As long as it holds a record, `elapsed`
//!   stays and nothing fires: of two slots with the same start, the higher is emptied first. So
//!   [`Wheel::pop`] may stop anywhere in a cascade, and records may come and go before it goes on.
//! - A deadline that has passed counts as `elapsed`, and so fires before `elapsed` moves on.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use std::{cmp::Reverse, mem};

use crate::slab::{NIL, Slab};

/// Bits in a digit: a level has one slot for each bit of its occupancy map.
const DIGIT_BITS: u32 = u64::BITS.ilog2();
const SLOTS: usize = 1 << DIGIT_BITS;
const LEVELS: usize = 6;
const TOP: usize = LEVELS - 1;

const IN_WHEEL: &str = "a place lies within the wheel";

/// A record that can wait in a [`Wheel`].
pub(crate) trait Timed: Default {
    fn timer(&self) -> &Timer;
    fn timer_mut(&mut self) -> &mut Timer;
}

/// What a record carries to wait in a [`Wheel`]. Only the wheel changes it.
///
/// Packed, or four of its bytes would be of no use: a channel's record has none to spare.
#[repr(C, packed(4))]
pub(crate) struct Timer {
    deadline: u64,
    /// Where the record waits, or `None` when it is in no wheel.
    place: Option<Place>,
    /// Neighbours in the list of the slot, `NIL` at its ends.
    next: u32,
    prev: u32,
}

/// A slot of the wheel. Two bytes, because every record holds one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    level: u8,
    slot: u8,
}

/// Records by deadline.
///
/// A wheel and the slab of its records belong together: every call is given the same slab, and a
/// record is removed from both before anything else is done with either.
pub(crate) struct Wheel {
    /// The tick up to which deadlines have been met.
    elapsed: u64,
    /// Invariant: bit `s` of `occupied[l]` is set exactly when `heads[l][s]` is not `NIL`.
    occupied: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS],
}

impl Default for Timer {
    /// A timer that is not set.
    fn default() -> Self {
        Self { deadline: 0, next: NIL, prev: NIL, place: None }
    }
}

impl Timer {
    /// Whether the record waits in a wheel.
    pub(crate) const fn is_set(&self) -> bool {
        self.place.is_some()
    }

    /// The tick the record waits for, or `None` when it waits for none.
    pub(crate) const fn deadline(&self) -> Option<u64> {
        if self.is_set() { Some(self.deadline) } else { None }
    }
}

impl Wheel {
    /// A wheel at tick 0 in which nothing waits.
    pub(crate) const fn new() -> Self {
        Self { elapsed: 0, occupied: [0; LEVELS], heads: [[NIL; SLOTS]; LEVELS] }
    }

    /// Lets a record that is not set wait for `deadline`. If that has passed, it is due at once.
    pub(crate) fn insert<T: Timed>(&mut self, records: &mut Slab<T>, key: u32, deadline: u64) {
        debug_assert!(!records[key].timer().is_set(), "a record waits for one deadline at a time");
        let place = self.place_of(deadline);
        let next = mem::replace(self.head_mut(place), key);
        *records[key].timer_mut() = Timer { deadline, next, prev: NIL, place: Some(place) };
        if next != NIL {
            records[next].timer_mut().prev = key;
        }
        *self.occupied_mut(place) |= 1 << place.slot;
    }

    /// Lets a record wait no longer. Returns false if it did not.
    pub(crate) fn remove<T: Timed>(&mut self, records: &mut Slab<T>, key: u32) -> bool {
        let timer = records[key].timer_mut();
        let Timer { next, prev, place, .. } = *timer;
        let Some(place) = place else {
            return false;
        };
        timer.place = None;
        if next != NIL {
            records[next].timer_mut().prev = prev;
        }
        if prev != NIL {
            records[prev].timer_mut().next = next;
            return true;
        }
        *self.head_mut(place) = next;
        if next == NIL {
            *self.occupied_mut(place) &= !(1 << place.slot);
        }
        true
    }

    /// Removes and returns a record whose deadline is `now` or earlier.
    ///
    /// Each record that is returned or cascades takes one of `steps`. `None` with steps left means
    /// that nothing more is due and `elapsed` has reached `now`; `None` without means that the next
    /// call goes on where this one stopped. A `now` before `elapsed` counts as `elapsed`.
    pub(crate) fn pop<T: Timed>(
        &mut self,
        records: &mut Slab<T>,
        now: u64,
        steps: &mut usize,
    ) -> Option<u32> {
        let now = now.max(self.elapsed);
        while *steps > 0 {
            let Some((start, place)) = self.earliest().filter(|&(start, _)| start <= now) else {
                self.elapsed = now;
                return None;
            };
            *steps -= 1;
            self.elapsed = start;
            let key = *self.head_mut(place);
            let deadline = records[key].timer().deadline;
            self.remove(records, key);
            if place.level == 0 {
                return Some(key);
            }
            self.insert(records, key, deadline);
        }
        None
    }

    /// The tick at which [`pop`](Self::pop) has work to do, or `None` when nothing waits.
    ///
    /// It is not later than the earliest deadline, where one that has passed counts as `elapsed`.
    /// It may be earlier, for a cascade. It is after `elapsed`, unless a record is due or a cascade
    /// has stopped half-way.
    pub(crate) fn next(&self) -> Option<u64> {
        self.earliest().map(|(start, _)| start)
    }

    /// The occupied slot that starts first, with its start. Of several, it is the highest.
    fn earliest(&self) -> Option<(u64, Place)> {
        let starts = (0..).zip(&self.occupied).filter_map(|(level, &occupied)| {
            let current = self.elapsed >> shift(level);
            // Invariant: no occupied slot lies behind `elapsed`. So the slots from the current one
            // on, all the way round, are in the order of their starts.
            let ahead = occupied.rotate_right(u32::from(digit(current)));
            let distance = (ahead != 0).then(|| u64::from(ahead.trailing_zeros()))?;
            // Nothing overflows: the slot holds a record whose deadline is not before the start.
            let index = current + distance;
            let slot = digit(index);
            Some((index << shift(level), Place { level, slot }))
        });
        starts.min_by_key(|&(start, place)| (start, Reverse(place.level)))
    }

    /// Where a record with this deadline has to wait now.
    fn place_of(&self, deadline: u64) -> Place {
        let deadline = deadline.max(self.elapsed);
        // Without a difference, the lowest digit is as good as the one that differs.
        let highest_bit = ((deadline ^ self.elapsed) | 1).ilog2();
        let level = ((highest_bit / DIGIT_BITS) as u8).min(TOP as u8);
        // Only on the top level can a deadline be further away than the furthest slot.
        let furthest = (self.elapsed >> shift(level)).saturating_add(SLOTS as u64 - 1);
        let index = (deadline >> shift(level)).min(furthest);
        let slot = digit(index);
        Place { level, slot }
    }

    fn head_mut(&mut self, place: Place) -> &mut u32 {
        let level = self.heads.get_mut(usize::from(place.level)).expect(IN_WHEEL);
        level.get_mut(usize::from(place.slot)).expect(IN_WHEEL)
    }

    fn occupied_mut(&mut self, place: Place) -> &mut u64 {
        self.occupied.get_mut(usize::from(place.level)).expect(IN_WHEEL)
    }
}

/// How many bits of a tick lie below the digit of `level`.
fn shift(level: u8) -> u32 {
    u32::from(level) * DIGIT_BITS
}

/// The lowest digit of a number.
fn digit(number: u64) -> u8 {
    (number % SLOTS as u64) as u8
}

#[cfg(test)]
mod tests;
