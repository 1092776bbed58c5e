#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod model;

use super::*;

const SPAN: u64 = 1 << (DIGIT_BITS * LEVELS as u32);
/// More steps than any pop here needs, so that a cascade without an end fails.
const PLENTY: usize = 10_000;

impl Wheel {
    /// Recounts every invariant against the records.
    pub(crate) fn validate<T: Timed>(&self, records: &Slab<T>) {
        let mut waiting = 0;
        for level in 0..LEVELS as u8 {
            for slot in 0..SLOTS as u8 {
                let head = self.heads[usize::from(level)][usize::from(slot)];
                let is_occupied = self.occupied[usize::from(level)] >> slot & 1 == 1;
                assert_eq!(is_occupied, head != NIL, "map matches heads");
                let (mut key, mut prev) = (head, NIL);
                while key != NIL {
                    let timer = records[key].timer();
                    assert_eq!(timer.place, Some(Place { level, slot }));
                    assert_eq!(timer.prev, prev);
                    self.validate_place(timer.deadline, Place { level, slot });
                    (key, prev) = (timer.next, key);
                    waiting += 1;
                    assert!(waiting <= records.len(), "a list is no ring");
                }
            }
        }
        let set = records.keys_from(0).filter(|&key| records[key].timer().is_set()).count();
        assert_eq!(waiting, set, "a timer that is set is in a list");
    }

    /// Computes what the deadline demands in another way than the wheel does: by dividing.
    fn validate_place(&self, deadline: u64, place: Place) {
        let slots = SLOTS as u64;
        let span = slots.pow(u32::from(place.level));
        let deadline = deadline.max(self.elapsed);
        let (now, then) = (self.elapsed / span, deadline / span);
        let distance = (u64::from(place.slot) + slots - now % slots) % slots;
        if place.level == TOP as u8 {
            assert!(now + distance <= then, "a far deadline is put too early, not too late");
        } else {
            assert_eq!(now + distance, then, "the slot is the one of the deadline");
            assert_eq!(now / slots, then / slots, "the level is high enough");
        }
        if distance == 0 {
            assert_eq!(self.elapsed % span, 0, "no slot that began before elapsed is occupied");
        }
    }
}

/// A wheel with its records, each of which is only a timer.
struct Fixture {
    wheel: Wheel,
    records: Slab<Timer>,
}

impl Timed for Timer {
    fn timer(&self) -> &Timer {
        self
    }

    fn timer_mut(&mut self) -> &mut Timer {
        self
    }
}

impl Fixture {
    /// A wheel that has reached the tick `elapsed`.
    fn at(elapsed: u64) -> Self {
        let mut fixture = Self { wheel: Wheel::new(), records: Slab::new() };
        assert!(fixture.drain(elapsed).is_empty());
        fixture
    }

    fn insert(&mut self, deadline: u64) -> u32 {
        let key = self.records.insert(Timer::default());
        self.wheel.insert(&mut self.records, key, deadline);
        self.wheel.validate(&self.records);
        key
    }

    fn remove(&mut self, key: u32) -> bool {
        let was_set = self.wheel.remove(&mut self.records, key);
        self.wheel.validate(&self.records);
        was_set
    }

    fn pop(&mut self, now: u64, steps: &mut usize) -> Option<u32> {
        let key = self.wheel.pop(&mut self.records, now, steps);
        self.wheel.validate(&self.records);
        key
    }

    /// Pops with a single step, in which a record either fires or cascades.
    fn step(&mut self, now: u64) -> Option<u32> {
        self.pop(now, &mut 1)
    }

    /// Pops all that is due, and returns the deadlines in the order in which they fired.
    fn drain(&mut self, now: u64) -> Vec<u64> {
        let mut steps = PLENTY;
        let mut fired = Vec::new();
        while let Some(key) = self.pop(now, &mut steps) {
            fired.push(self.records.remove(key).unwrap().deadline);
        }
        assert!(steps > 0, "a drain ends");
        fired
    }

    fn is_drained(&self) -> bool {
        self.wheel.next().is_none()
    }
}

/// Ticks at, just before and just after the boundary of every level.
fn boundaries() -> impl Iterator<Item = u64> {
    (0..=LEVELS as u8).map(|level| 1 << shift(level)).flat_map(|span| {
        [span - 1, span, span + 1, 2 * span - 1, 2 * span, 63 * span, 64 * span - 1]
    })
}

#[test]
fn timer_takes_at_most_20_bytes() {
    assert!(size_of::<Timer>() <= 20);
    assert_eq!(size_of::<Option<Timer>>(), size_of::<Timer>());
}

#[test]
fn timer_tells_its_deadline_while_set() {
    let mut fixture = Fixture::at(0);
    let key = fixture.insert(7);
    assert_eq!((fixture.records[key].is_set(), fixture.records[key].deadline()), (true, Some(7)));
    fixture.remove(key);
    assert_eq!((fixture.records[key].is_set(), fixture.records[key].deadline()), (false, None));
}

#[test]
fn deadline_fires_at_its_tick_and_not_one_earlier() {
    for elapsed in boundaries().chain([u64::MAX - SPAN, u64::MAX - 64, u64::MAX - 1]) {
        for delta in boundaries() {
            let Some(deadline) = elapsed.checked_add(delta) else {
                continue;
            };
            let mut fixture = Fixture::at(elapsed);
            fixture.insert(deadline);
            if deadline > elapsed {
                assert!(
                    fixture.drain(deadline - 1).is_empty(),
                    "{elapsed} + {delta}, one tick early"
                );
            }
            assert_eq!(fixture.drain(deadline), [deadline], "{elapsed} + {delta}");
            assert!(fixture.is_drained());
        }
    }
}

#[test]
fn deadlines_fire_in_the_order_of_their_ticks() {
    let mut fixture = Fixture::at(0);
    let mut deadlines: Vec<u64> = boundaries().chain(boundaries()).collect();
    for &deadline in &deadlines {
        fixture.insert(deadline);
    }
    deadlines.sort_unstable();
    assert_eq!(fixture.drain(64 * SPAN), deadlines);
}

#[test]
fn last_tick_of_all_fires_when_it_comes() {
    let mut fixture = Fixture::at(0);
    let far = fixture.insert(u64::MAX);
    assert!(fixture.drain(5 * SPAN).is_empty());
    assert!(fixture.records[far].is_set());
    for elapsed in [u64::MAX - 100 * SPAN, u64::MAX - SPAN, u64::MAX - 65, u64::MAX - 1, u64::MAX] {
        let mut fixture = Fixture::at(elapsed);
        fixture.insert(u64::MAX);
        assert_eq!(fixture.drain(u64::MAX - 1).len(), usize::from(elapsed == u64::MAX));
        fixture.drain(u64::MAX);
        assert!(fixture.is_drained());
    }
}

#[test]
fn past_deadline_is_due_at_once() {
    let mut fixture = Fixture::at(1000);
    for deadline in [0, 999, 1000] {
        fixture.insert(deadline);
        assert_eq!(fixture.wheel.next(), Some(1000));
        assert_eq!(fixture.drain(1000), [deadline]);
    }
    assert!(fixture.is_drained());
}

#[test]
fn now_that_goes_backwards_fires_only_what_elapsed_had_reached() {
    let mut fixture = Fixture::at(100);
    fixture.insert(40);
    fixture.insert(100);
    fixture.insert(101);
    let mut fired = fixture.drain(50);
    fired.sort_unstable();
    assert_eq!(fired, [40, 100]);
    assert_eq!(fixture.wheel.elapsed, 100);
    assert_eq!(fixture.drain(101), [101]);
}

#[test]
fn removed_deadline_does_not_fire() {
    // In a list of three, the first, the middle and the last have different neighbours.
    for removed in 0..3 {
        let mut fixture = Fixture::at(0);
        let keys = [(); 3].map(|()| fixture.insert(70));
        assert!(fixture.remove(keys[removed]));
        assert!(!fixture.remove(keys[removed]), "it is not set any more");
        assert_eq!(fixture.drain(70).len(), 2);
        assert!(fixture.is_drained());
    }
}

#[test]
fn each_record_moved_costs_one_step() {
    let near = [(0, 1), (63, 1), (64, 2), (65, 2), (4096 + 63, 2), (4096 + 64, 3)];
    // The furthest slot of the top level is the last that is reached without a detour.
    let far = [(SPAN / 64 * 63, 2), (SPAN, 3), (2 * SPAN, 4)];
    for (deadline, moves) in near.into_iter().chain(far) {
        let mut fixture = Fixture::at(0);
        fixture.insert(deadline);
        let mut steps = 10;
        assert!(fixture.pop(deadline, &mut steps).is_some());
        assert_eq!(10 - steps, moves, "deadline {deadline}");
    }
}

#[test]
fn pop_without_steps_does_nothing() {
    let mut fixture = Fixture::at(0);
    fixture.insert(0);
    assert_eq!(fixture.pop(500, &mut 0), None);
    assert_eq!(fixture.wheel.elapsed, 0);
    assert_eq!(fixture.drain(500), [0]);
}

#[test]
fn single_steps_fire_what_one_long_pop_fires() {
    let (mut stepped, mut at_once) = (Fixture::at(5), Fixture::at(5));
    for deadline in boundaries().chain(boundaries()) {
        assert_eq!(stepped.insert(deadline), at_once.insert(deadline));
    }
    let now = 2 * SPAN;
    let mut fired = Vec::new();
    while stepped.wheel.next().is_some_and(|next| next <= now) {
        fired.extend(stepped.step(now).map(|key| stepped.records.remove(key).unwrap().deadline));
    }
    assert_eq!(stepped.step(now), None);
    assert_eq!(fired, at_once.drain(now));
    assert_eq!(stepped.wheel.elapsed, at_once.wheel.elapsed);
}

/// A wheel of which the slot from 4096 on has begun to cascade, with one of three records moved.
fn half_cascaded() -> (Fixture, [u32; 3]) {
    let mut fixture = Fixture::at(0);
    let keys = [4096, 4097, 8000].map(|deadline| fixture.insert(deadline));
    assert_eq!(fixture.step(10_000), None);
    assert_eq!(fixture.wheel.elapsed, 4096);
    assert_eq!(fixture.wheel.next(), Some(4096), "there is work at once");
    (fixture, keys)
}

#[test]
fn cascade_is_finished_before_anything_fires() {
    let mut fixture = Fixture::at(0);
    for _ in 0..3 {
        fixture.insert(64);
    }
    for _ in 0..3 {
        assert_eq!(fixture.step(64), None);
    }
    for _ in 0..3 {
        assert!(fixture.step(64).is_some());
    }
}

#[test]
fn cascade_goes_on_where_it_stopped() {
    let (mut fixture, _) = half_cascaded();
    assert_eq!(fixture.drain(10_000), [4096, 4097, 8000]);
}

#[test]
fn half_way_through_a_cascade_any_deadline_can_be_inserted() {
    let (mut fixture, _) = half_cascaded();
    for deadline in [1, 4096, 4098, 4200, 8000, 8192, 3 * SPAN] {
        fixture.insert(deadline);
    }
    let fired = fixture.drain(10_000);
    assert!(fired[..3].contains(&1) && fired[2..].is_sorted());
    assert_eq!(fired[3..], [4097, 4098, 4200, 8000, 8000, 8192]);
    assert_eq!(fixture.drain(3 * SPAN), [3 * SPAN]);
}

#[test]
fn half_way_through_a_cascade_any_record_can_be_removed() {
    for removed in 0..3 {
        let (mut fixture, keys) = half_cascaded();
        assert!(fixture.remove(keys[removed]));
        let mut expected = vec![4096, 4097, 8000];
        expected.remove(removed);
        assert_eq!(fixture.drain(10_000), expected);
    }
    let (mut fixture, keys) = half_cascaded();
    for key in keys {
        fixture.remove(key);
    }
    assert!(fixture.is_drained());
}

#[test]
fn half_cascaded_slot_is_finished_even_if_now_goes_backwards() {
    let (mut fixture, _) = half_cascaded();
    assert_eq!(fixture.drain(0), [4096]);
    assert_eq!(fixture.wheel.elapsed, 4096);
    assert_eq!(fixture.drain(10_000), [4097, 8000]);
}

#[test]
fn waking_at_next_misses_no_tick() {
    for deadline in boundaries() {
        let mut fixture = Fixture::at(3);
        fixture.insert(deadline);
        let mut now = 3;
        while let Some(next) = fixture.wheel.next() {
            assert!(next <= deadline.max(3), "next is not late");
            assert!(next > now || deadline <= 3, "next is not idle");
            now = next;
            fixture.drain(now);
        }
        assert_eq!(now, deadline.max(3));
    }
}
