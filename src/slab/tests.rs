#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeMap, mem::size_of_val, sync::Arc};

use proptest::{collection::vec, prelude::*};

use super::*;

const CHUNK: usize = CHUNK_SLOTS as usize;

impl<T: Default> Slab<T> {
    /// Recounts every invariant.
    pub(crate) fn validate(&self) {
        let partial = self.list(self.partial);
        let bare = self.list(self.bare);
        let mut len = 0;
        assert_eq!(self.chunks.len(), self.storage.len());
        assert_eq!(self.chunks.capacity(), self.storage.capacity(), "both shrink");
        for (index, (chunk, storage)) in (0..).zip(self.chunks.iter().zip(&self.storage)) {
            let records = chunk.occupied.count_ones() as usize;
            len += records;
            let stored = storage.as_ref().map_or(0, |slots| slots.len());
            assert!(stored == CHUNK || stored == 0 && records == 0);
            assert_eq!(partial.contains(&index), 0 < records && records < CHUNK, "partial {index}");
            assert_eq!(bare.contains(&index), stored == 0, "bare {index}");
            assert_eq!(self.spare == index, stored > 0 && records == 0, "spare {index}");
        }
        assert_eq!(self.len, len);
        assert!(self.storage.last().is_none_or(Option::is_some), "end is trimmed");
    }

    /// The chunks of a list, whose links it checks.
    fn list(&self, head: u32) -> Vec<u32> {
        let mut listed = Vec::new();
        let mut index = head;
        while index != NIL {
            let chunk = &self.chunks[index as usize];
            assert_eq!(chunk.prev, listed.last().copied().unwrap_or(NIL));
            listed.push(index);
            assert!(listed.len() <= self.chunks.len(), "a list is no ring");
            index = chunk.next;
        }
        listed
    }
}

fn filled(records: usize) -> (Slab<usize>, Vec<u32>) {
    let mut slab = Slab::new();
    let keys = (0..records).map(|value| slab.insert(value)).collect();
    slab.validate();
    (slab, keys)
}

#[test]
fn record_is_found_under_its_key_until_removed() {
    let (mut slab, keys) = filled(3 * CHUNK);
    for (value, &key) in keys.iter().enumerate() {
        assert_eq!(slab.get(key), Some(&value));
        assert_eq!(slab[key], value);
        slab[key] += 1;
        slab[key] += 1;
        assert_eq!(slab.remove(key), Some(value + 2));
        assert_eq!(slab.get(key), None);
        assert_eq!(slab.remove(key), None);
        slab.validate();
    }
    assert_eq!(slab.len(), 0);
}

#[test]
fn unknown_key_names_no_record() {
    let (mut slab, _) = filled(1);
    for key in [1, CHUNK_SLOTS, NIL - 1, NIL] {
        assert_eq!(slab.get(key), None);
        assert_eq!(slab.remove(key), None);
        assert_eq!(slab.keys_from(key).next(), None);
    }
    assert_eq!(slab.len(), 1);
}

#[test]
#[should_panic(expected = "a key is used only while its record lives")]
fn index_by_the_key_of_a_dead_record_panics() {
    let (mut slab, keys) = filled(1);
    slab.remove(keys[0]);
    let _ = slab[keys[0]];
}

#[test]
fn no_key_is_nil() {
    const { assert!((MAX_CHUNKS - 1) * CHUNK_SLOTS + (CHUNK_SLOTS - 1) < NIL) };
}

#[test]
fn empty_slab_holds_no_memory() {
    let slab = Slab::<u64>::new();
    assert_eq!((slab.slots(), slab.chunks.capacity()), (0, 0));
}

#[test]
fn a_slot_is_no_larger_than_its_record() {
    let mut slab = Slab::new();
    slab.insert(7_u64);
    let slots = slab.storage[0].as_ref().unwrap();
    assert_eq!(size_of_val(&**slots), CHUNK * size_of::<u64>());
}

#[test]
fn a_record_that_was_removed_leaves_nothing_behind() {
    let mut slab = Slab::new();
    let record = Arc::new(());
    let key = slab.insert(Some(Arc::clone(&record)));
    let _other = slab.insert(None);
    assert!(slab.remove(key).is_some());
    assert_eq!(Arc::strong_count(&record), 1);
    assert_eq!(slab.get(key), None);
    assert_eq!(slab.remove(key), None);
}

#[test]
fn growing_moves_no_record() {
    let (mut slab, keys) = filled(1);
    let before: *const usize = &slab[keys[0]];
    for value in 0..100 * CHUNK {
        slab.insert(value);
    }
    assert!(std::ptr::eq(before, &slab[keys[0]]));
}

#[test]
fn freed_slot_is_reused_before_memory_grows() {
    let (mut slab, keys) = filled(2 * CHUNK);
    for &key in [&keys[3], &keys[CHUNK + 5], &keys[CHUNK - 1]] {
        slab.remove(key);
        assert_eq!(slab.insert(0), key);
        slab.validate();
    }
    assert_eq!(slab.slots(), 2 * CHUNK);
}

#[test]
fn fullest_chunk_is_refilled_so_that_others_drain() {
    let (mut slab, keys) = filled(2 * CHUNK);
    for &key in &keys[1..CHUNK] {
        slab.remove(key);
    }
    slab.remove(keys[CHUNK]);
    assert_eq!(slab.insert(0), keys[CHUNK]);
}

#[test]
fn memory_of_a_peak_is_given_back() {
    for from_the_front in [true, false] {
        let (mut slab, mut keys) = filled(1000 * CHUNK);
        let survivor = keys.remove(10);
        if !from_the_front {
            keys.reverse();
        }
        for key in keys {
            slab.remove(key);
        }
        slab.validate();
        assert_eq!(slab.slots(), 2 * CHUNK, "the survivor's chunk and the spare");
        assert!(slab.chunks.capacity() < 16, "headers go too");
        assert_eq!(slab[survivor], 10);
    }
}

#[test]
fn bare_chunk_is_furnished_before_a_new_one_is_made() {
    let (mut slab, keys) = filled(4 * CHUNK);
    for &key in &keys[..3 * CHUNK] {
        slab.remove(key);
    }
    assert_eq!(slab.slots(), 2 * CHUNK);
    for value in 0..3 * CHUNK {
        assert!(slab.insert(value) < 4 * CHUNK_SLOTS);
        slab.validate();
    }
    assert_eq!(slab.slots(), 4 * CHUNK);
}

#[test]
fn swing_around_the_edge_of_a_chunk_keeps_its_memory() {
    for swing in 1..CHUNK {
        let (mut slab, keys) = filled(2 * CHUNK);
        let mut keys = std::collections::VecDeque::from(keys);
        for value in 0..swing {
            keys.push_back(slab.insert(value));
        }
        for _ in 0..10 {
            // First in, first out, and last in, first out, drain different chunks.
            for removed in 0..swing {
                let key = if removed % 2 == 0 { keys.pop_front() } else { keys.pop_back() };
                slab.remove(key.unwrap());
                assert_eq!(slab.slots(), 3 * CHUNK, "swing {swing}");
            }
            for value in 0..swing {
                keys.push_back(slab.insert(value));
                assert_eq!(slab.slots(), 3 * CHUNK, "swing {swing}");
            }
        }
        slab.validate();
    }
}

#[test]
fn walk_in_steps_sees_every_record_that_stays() {
    let (mut slab, keys) = filled(5 * CHUNK);
    for &key in &keys[CHUNK..4 * CHUNK] {
        slab.remove(key);
    }
    let mut seen = Vec::new();
    let mut from = 0;
    loop {
        let step: Vec<u32> = slab.keys_from(from).take(7).collect();
        let Some(last) = step.last() else { break };
        from = last + 1;
        seen.extend(step);
    }
    let stayed = keys[..CHUNK].iter().chain(&keys[4 * CHUNK..]).copied();
    assert_eq!(seen, stayed.collect::<Vec<_>>());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize),
    /// Removes some records from the given one on, in the order of keys.
    Remove(prop::sample::Index, usize),
    RemoveUnknown(u32),
    Walk(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..100_usize).prop_map(Step::Insert),
        (any::<prop::sample::Index>(), 1..100_usize).prop_map(|(i, n)| Step::Remove(i, n)),
        (0..1000_u32).prop_map(Step::RemoveUnknown),
        (0..1000_u32).prop_map(Step::Walk),
    ]
}

proptest! {
    #[test]
    fn slab_behaves_like_a_map(steps in vec(step(), 1..80)) {
        let mut slab = Slab::new();
        let mut model = BTreeMap::new();
        let mut value = 0;
        for step in steps {
            match step {
                Step::Insert(times) => for _ in 0..times {
                    let key = slab.insert(value);
                    prop_assert_eq!(model.insert(key, value), None, "a live key is not given out");
                    value += 1;
                },
                Step::Remove(index, times) => for _ in 0..times.min(model.len()) {
                    let key = *model.keys().nth(index.index(model.len())).unwrap();
                    prop_assert_eq!(slab.remove(key), model.remove(&key));
                },
                Step::RemoveUnknown(key) => {
                    prop_assert_eq!(slab.remove(key), model.remove(&key));
                }
                Step::Walk(from) => {
                    let expected = model.range(from..).map(|(&key, _)| key);
                    prop_assert!(slab.keys_from(from).eq(expected));
                }
            }
            slab.validate();
            prop_assert_eq!(slab.len(), model.len());
            prop_assert!(model.iter().all(|(&key, value)| slab.get(key) == Some(value)));
        }
    }
}
