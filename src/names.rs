//! The keys of records, found by the hashes of their names.
//!
//! Linear probing, as in Knuth, "The Art of Computer Programming", volume 3, section 6.4: who looks
//! for a name begins at the place that its hash says, and goes on to the first free one. The entries
//! are small and stand side by side, so that a name which nobody asked for lately costs one miss of
//! the caches. Tables that keep their marks apart (hashbrown) wait for two, one after the other.
//!
//! # Rules
//!
//! - The owner hashes and compares: hashes are keyed, or clients could choose names that meet.
//! - No free place stands between the place that an entry's hash says and the entry. Removing one
//!   moves others back into the gap (Algorithm R), and leaves no mark.
//! - At most three quarters of the places are taken.

use crate::slab::NIL;

#[derive(Clone, Copy)]
struct Entry {
    hash: u32,
    /// `NIL` where nothing is.
    key: u32,
}

const FREE: Entry = Entry { hash: 0, key: NIL };

/// As many entries as a cache line has room for. So small a table stays: the next name would
/// allocate it again.
const FIRST: usize = 8;

/// A map from names to keys. It allocates nothing until the first comes.
#[derive(Default)]
pub(crate) struct Names {
    /// As many as a power of two, or none.
    places: Box<[Entry]>,
    len: usize,
}

impl Names {
    /// The key with this hash for which `is_it` holds.
    pub(crate) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let entry = self.places.get(place).filter(|entry| entry.key != NIL)?;
            if entry.hash == hash && is_it(entry.key) {
                return Some(entry.key);
            }
            place = self.after(place);
        }
    }

    /// Adds a key that is not in the table.
    pub(crate) fn insert(&mut self, hash: u32, key: u32) {
        if (self.len + 1) * 4 > self.places.len() * 3 {
            self.resize((self.places.len() * 2).max(FIRST));
        }
        self.len += 1;
        self.put(Entry { hash, key });
    }

    /// Takes a key out, if it is there.
    pub(crate) fn remove(&mut self, hash: u32, key: u32) {
        let mut gap = self.home(hash);
        loop {
            match self.places.get(gap) {
                Some(entry) if entry.key == key => break,
                Some(entry) if entry.key != NIL => gap = self.after(gap),
                _ => return,
            }
        }
        self.len -= 1;
        let mut place = gap;
        loop {
            place = self.after(place);
            let entry = self.places.get(place).copied().unwrap_or(FREE);
            if entry.key == NIL {
                break;
            }
            // From where it wants to be to where it is: over the gap, or not.
            if self.distance(self.home(entry.hash), place) >= self.distance(gap, place) {
                self.set(gap, entry);
                gap = place;
            }
        }
        self.set(gap, FREE);
        if self.places.len() > FIRST && self.len * 8 < self.places.len() {
            self.resize((self.places.len() / 4).max(FIRST));
        }
    }

    fn resize(&mut self, places: usize) {
        let old = std::mem::replace(&mut self.places, vec![FREE; places].into());
        old.iter().filter(|entry| entry.key != NIL).for_each(|&entry| self.put(entry));
    }

    /// Writes an entry to the first free place, of which there is one.
    fn put(&mut self, entry: Entry) {
        let mut place = self.home(entry.hash);
        while self.places.get(place).is_some_and(|entry| entry.key != NIL) {
            place = self.after(place);
        }
        self.set(place, entry);
    }

    fn set(&mut self, place: usize, entry: Entry) {
        if let Some(slot) = self.places.get_mut(place) {
            *slot = entry;
        }
    }

    fn home(&self, hash: u32) -> usize {
        hash as usize & self.places.len().wrapping_sub(1)
    }

    fn after(&self, place: usize) -> usize {
        self.distance(0, place + 1)
    }

    /// How many places further on, all the way round.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & self.places.len().wrapping_sub(1)
    }
}

#[cfg(test)]
impl Names {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Checks every rule.
    pub(crate) fn validate(&self) {
        let taken = self.places.iter().filter(|entry| entry.key != NIL).count();
        assert_eq!(taken, self.len, "the length is counted");
        assert!(taken * 4 <= self.places.len() * 3, "places are left");
        for (place, entry) in self.places.iter().enumerate().filter(|(_, entry)| entry.key != NIL) {
            let found = self.find(entry.hash, |key| key == entry.key);
            assert_eq!(found, Some(entry.key), "the entry at {place} is found");
        }
    }
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{collections::BTreeSet, mem::size_of};

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(u32),
        /// Of those that are there, in any order.
        Remove(usize),
        Clear,
    }

    /// Hashes that meet, that follow each other, and that stand at the end of small tables.
    fn hashes() -> impl Strategy<Value = u32> {
        prop_oneof![0..4_u32, 0..40_u32, (0..4_u32).prop_map(|hash| u32::MAX - hash), any::<u32>()]
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            12 => hashes().prop_map(Step::Insert),
            8 => any::<usize>().prop_map(Step::Remove),
            1 => Just(Step::Clear),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn names_are_a_set_of_hashes_and_keys(steps in steps()) {
            let (mut names, mut model) = (Names::default(), BTreeSet::new());
            for (key, step) in (0..).zip(steps) {
                match step {
                    Step::Insert(hash) => {
                        names.insert(hash, key);
                        model.insert((hash, key));
                    }
                    Step::Remove(place) if !model.is_empty() => {
                        let (hash, key) = *model.iter().nth(place % model.len()).unwrap();
                        names.remove(hash, key);
                        model.remove(&(hash, key));
                        prop_assert_eq!(names.find(hash, |other| other == key), None);
                    }
                    Step::Remove(_) => names.remove(0, key),
                    Step::Clear => {
                        model.iter().for_each(|&(hash, key)| names.remove(hash, key));
                        model.clear();
                    }
                }
                names.validate();
                prop_assert_eq!(names.len(), model.len());
                for &(hash, key) in &model {
                    prop_assert_eq!(names.find(hash, |other| other == key), Some(key));
                }
            }
        }
    }

    #[test]
    fn an_entry_has_eight_bytes() {
        assert_eq!(size_of::<Entry>(), 8);
    }

    #[test]
    fn a_table_grows_at_three_quarters_and_shrinks_below_an_eighth() {
        let mut names = Names::default();
        let mut places = |key, is_added| {
            let change = if is_added { Names::insert } else { Names::remove };
            change(&mut names, key, key);
            names.places()
        };
        let grown: Vec<_> = (0..25).map(|key| places(key, true)).collect();
        assert_eq!((grown[0], grown[5], grown[6], grown[11]), (8, 8, 16, 16));
        assert_eq!((grown[12], grown[23], grown[24]), (32, 32, 64));
        let shrunk: Vec<_> = (0..25).map(|key| places(key, false)).collect();
        assert_eq!((shrunk[16], shrunk[17], shrunk[22], shrunk[24]), (64, 16, 16, 8));
    }
}
