//! Entries that were read, on their way to becoming portions.
//!
//! Numbers that are missing between two entries mean nothing by themselves: the stream has let
//! single entries go that others of their channels pushed out. But if they are below the stream's
//! first entry, anything may have been there.

use std::{collections::VecDeque, time::Duration};

use crate::backplane::{Entry, Portion};

/// Entries of one portion, and their bytes, about.
const MAX_ENTRIES: usize = 256;
const MAX_BYTES: usize = 4 << 20;

#[derive(Debug)]
pub(super) struct Gathered {
    entries: Vec<Entry>,
    bytes: usize,
    /// All up to here is in portions.
    told: u64,
    portions: VecDeque<Portion>,
}

impl Gathered {
    /// Nothing is wanted up to `told`.
    pub(super) fn after(told: u64) -> Self {
        Self { entries: Vec::new(), bytes: 0, told, portions: VecDeque::new() }
    }

    /// The number of the last entry.
    pub(super) fn read(&self) -> u64 {
        self.entries.last().map_or(self.told, |entry| entry.sequence)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES || self.bytes >= MAX_BYTES
    }

    pub(super) fn push(&mut self, entry: Entry, bytes: usize) {
        self.entries.push(entry);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Makes portions of the entries, when all up to `floor` is gone from the stream that was not
    /// read, and nothing comes after them up to `none_up_to`.
    pub(super) fn arrange(&mut self, floor: u64, none_up_to: u64) {
        self.bytes = 0;
        let mut portion = Portion::default();
        for entry in std::mem::take(&mut self.entries) {
            self.tell_gone(floor.min(entry.sequence.saturating_sub(1)), &mut portion);
            self.told = entry.sequence;
            portion.entries.push(entry);
        }
        if none_up_to > self.told {
            self.tell_gone(floor, &mut portion);
            self.told = none_up_to;
            // Takes the number, and does nothing.
            portion.entries.push(Entry { sequence: none_up_to, age: Duration::ZERO, change: None });
        }
        self.end(portion);
    }

    /// What is gone comes before the entries of a portion, so it begins a new one.
    fn tell_gone(&mut self, floor: u64, portion: &mut Portion) {
        if floor > self.told {
            let before = std::mem::replace(portion, Portion { floor, ..Portion::default() });
            self.end(before);
        }
    }

    fn end(&mut self, portion: Portion) {
        if !portion.entries.is_empty() {
            self.portions.push_back(portion);
        }
    }

    /// Has the next portion say how many are pending, though there may be nothing else to say.
    pub(super) fn tell_pending(&mut self) {
        if self.portions.is_empty() {
            self.portions.push_back(Portion::default());
        }
    }

    /// The next portion, when the server has `pending` more.
    pub(super) fn pop(&mut self, pending: u64) -> Option<Portion> {
        let mut portion = self.portions.pop_front()?;
        let held: usize = self.portions.iter().map(|portion| portion.entries.len()).sum();
        portion.behind = pending.saturating_add(held as u64);
        Some(portion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gathered(told: u64, sequences: &[u64]) -> Gathered {
        let mut gathered = Gathered::after(told);
        for &sequence in sequences {
            gathered.push(Entry { sequence, age: Duration::ZERO, change: None }, 0);
        }
        gathered
    }

    /// A portion: its floor, its numbers, and how many come after.
    type Expected = (u64, &'static [u64], u64);

    /// What was read, the floor, up to where nothing comes, and the portions of that.
    type Row = (&'static str, &'static [u64], u64, u64, Vec<Expected>);

    fn portions(mut gathered: Gathered) -> Vec<(u64, Vec<u64>, u64)> {
        let pop = || gathered.pop(7);
        std::iter::from_fn(pop)
            .map(|Portion { floor, entries, behind }| {
                (floor, entries.iter().map(|entry| entry.sequence).collect(), behind)
            })
            .collect()
    }

    #[test]
    fn what_is_missing_is_gone_only_below_the_first_entry() {
        let rows: [Row; 10] = [
            ("nothing is missing", &[11, 12], 0, 0, vec![(0, &[11, 12], 7)]),
            ("single ones are", &[12, 15], 5, 0, vec![(0, &[12, 15], 7)]),
            ("the first of what is left", &[15, 16], 14, 0, vec![(14, &[15, 16], 7)]),
            ("all, while they were on their way", &[11, 12], 50, 0, vec![(0, &[11, 12], 7)]),
            ("some, after others were read", &[11, 15], 14, 0, vec![(0, &[11], 8), (14, &[15], 7)]),
            ("some more than are missing", &[11, 15], 40, 0, vec![(0, &[11], 8), (14, &[15], 7)]),
            ("some, then single ones", &[13, 20], 12, 0, vec![(12, &[13, 20], 7)]),
            ("the last ones", &[11], 0, 20, vec![(0, &[11, 20], 7)]),
            ("all", &[], 20, 20, vec![(20, &[20], 7)]),
            ("what was read already", &[11], 11, 11, vec![(0, &[11], 7)]),
        ];
        for (name, read, floor, none_up_to, expected) in rows {
            let mut gathered = gathered(10, read);
            gathered.arrange(floor, none_up_to);
            assert!(gathered.is_empty(), "{name}");
            assert_eq!(
                gathered.read(),
                expected.last().and_then(|last| last.1.last()).copied().unwrap_or(10)
            );
            let expected: Vec<_> = expected
                .iter()
                .map(|(floor, told, behind)| (*floor, told.to_vec(), *behind))
                .collect();
            assert_eq!(portions(gathered), expected, "{name}");
        }
    }

    #[test]
    fn what_is_pending_is_told_though_nothing_else_is() {
        let mut gathered = gathered(10, &[]);
        gathered.arrange(0, 10);
        gathered.tell_pending();
        gathered.tell_pending();
        assert_eq!(portions(gathered), [(0, vec![], 7)]);
        let mut gathered = self::gathered(10, &[11]);
        gathered.arrange(0, 0);
        gathered.tell_pending();
        assert_eq!(portions(gathered), [(0, vec![11], 7)]);
    }

    #[test]
    fn a_portion_has_bounds() {
        let mut gathered = Gathered::after(0);
        gathered.push(Entry { sequence: 1, age: Duration::ZERO, change: None }, MAX_BYTES);
        assert!(gathered.is_full());
        gathered.arrange(0, 0);
        assert!(!gathered.is_full());
        for sequence in 2..=MAX_ENTRIES as u64 {
            gathered.push(Entry { sequence, age: Duration::ZERO, change: None }, 1);
        }
        assert!(!gathered.is_full());
        gathered.push(Entry { sequence: 999, age: Duration::ZERO, change: None }, 1);
        assert!(gathered.is_full());
    }
}
