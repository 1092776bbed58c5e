//! A first-in-first-out list in a ring of slots.
//!
//! A `VecDeque` of 24 bytes: with 32, the record of a channel would not fit into two cache lines.

use std::{mem, ops::Range};

/// Items in the order in which they came. It allocates nothing until the first comes.
pub(crate) struct Ring<T> {
    /// As many as a power of two, or none. Full are `len` from `head` on, all the way round.
    slots: Box<[Option<T>]>,
    head: u32,
    len: u32,
}

/// Slots of a ring that begins.
const FIRST: usize = 4;

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { slots: Box::default(), head: 0, len: 0 }
    }
}

impl<T> Ring<T> {
    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    /// How many items there are slots for.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The item that came so many after the oldest.
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index < self.len() { self.slots.get(self.place(index))?.as_ref() } else { None }
    }

    /// Adds the newest item.
    ///
    /// # Panics
    ///
    /// When there are four thousand million.
    pub(crate) fn push(&mut self, item: T) {
        assert!(self.len < u32::MAX, "a ring has no more items than it can count");
        if self.len() == self.capacity() {
            self.resize((self.capacity() * 2).max(FIRST));
        }
        let place = self.place(self.len());
        if let Some(slot) = self.slots.get_mut(place) {
            let old = slot.replace(item);
            debug_assert!(old.is_none(), "beyond the newest nothing is held");
            self.len += 1;
        }
    }

    /// Takes the oldest item out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = self.slots.get_mut(self.head as usize)?.take()?;
        self.head = self.place(1) as u32;
        self.len -= 1;
        Some(item)
    }

    /// How many of the oldest a test holds for, which holds for none that comes after one for which
    /// it does not.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (mut least, mut most) = (0, self.len());
        while least < most {
            let middle = least.midpoint(most);
            if self.get(middle).is_some_and(&is_before) {
                least = middle + 1;
            } else {
                most = middle;
            }
        }
        least
    }

    /// All items, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.range(0..self.len())
    }

    /// The items at these indices. An empty range looks at nothing.
    pub(crate) fn range(&self, indices: Range<usize>) -> impl Iterator<Item = &T> {
        indices.map_while(|index| self.get(index))
    }

    /// Gives memory back after a peak; not at each turn.
    pub(crate) fn trim(&mut self) {
        if self.len() * 4 < self.capacity() {
            self.resize(match self.len() {
                0 => 0,
                len => (len * 2).next_power_of_two(),
            });
        }
    }

    fn resize(&mut self, capacity: usize) {
        let mut slots = mem::take(&mut self.slots).into_vec();
        slots.rotate_left(self.head as usize);
        slots.reserve_exact(capacity.saturating_sub(slots.len()));
        slots.resize_with(capacity, || None);
        (self.slots, self.head) = (slots.into(), 0);
    }

    fn place(&self, index: usize) -> usize {
        // Without a slot there is nothing at any place.
        (self.head as usize + index) & self.capacity().wrapping_sub(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Push(usize),
        Pop(usize),
        Trim,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..40usize).prop_map(Step::Push),
            (0..40usize).prop_map(Step::Pop),
            Just(Step::Trim)
        ]
    }

    proptest! {
        /// The model is a `VecDeque`.
        #[test]
        fn a_ring_is_a_queue(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut ring, mut model, mut next) = (Ring::default(), VecDeque::new(), 0);
            for step in steps {
                match step {
                    Step::Push(count) => for _ in 0..count {
                        next += 1;
                        ring.push(next);
                        model.push_back(next);
                    },
                    Step::Pop(count) => for _ in 0..count {
                        prop_assert_eq!(ring.pop(), model.pop_front());
                    },
                    Step::Trim => {
                        ring.trim();
                        prop_assert!(ring.capacity() <= ring.len() * 4);
                    }
                }
                prop_assert_eq!(ring.len(), model.len());
                prop_assert!(ring.iter().eq(&model));
                prop_assert!(ring.get(model.len()).is_none());
                for (index, item) in model.iter().enumerate() {
                    prop_assert_eq!(ring.get(index), Some(item));
                    prop_assert_eq!(ring.partition_point(|other| other < item), index);
                    prop_assert!(ring.range(index..model.len()).eq(model.range(index..)));
                }
                prop_assert_eq!(ring.partition_point(|_| true), model.len());
            }
        }
    }

    #[test]
    fn a_ring_drops_what_is_left_in_it() {
        let item = std::sync::Arc::new(());
        let mut ring = Ring::default();
        (0..5).for_each(|_| ring.push(item.clone()));
        drop(ring.pop());
        assert_eq!(std::sync::Arc::strong_count(&item), 5);
        drop(ring);
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
    }

    #[test]
    fn a_steady_ring_does_not_touch_the_allocator() {
        let mut ring = Ring::default();
        (0..100).for_each(|item| ring.push(item));
        let slots = ring.slots.as_ptr();
        for item in 100..1_000 {
            ring.pop().unwrap();
            ring.push(item);
            ring.trim();
        }
        assert_eq!((ring.slots.as_ptr(), ring.capacity()), (slots, 128));
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_ring_has_24_bytes() {
        assert_eq!(std::mem::size_of::<Ring<u8>>(), 24);
    }
}
