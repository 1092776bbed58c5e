//! Records under small integer keys, in memory that grows and shrinks a chunk at a time.
//!
//! A `Vec` that doubles moves every record it holds, which at a million records stalls its owner
//! for tens of milliseconds. A slab adds a chunk of [`CHUNK_SLOTS`] slots instead: a record never
//! moves, and the memory of a peak goes back when its chunks have drained.
//!
//! # Rules
//!
//! - A key is used only while its record lives. Keys are reused: an old key may name a new record,
//!   and may, where debug assertions are off, read what is left of the old one.
//! - No key is [`NIL`], so that whoever links records by key has a word for "none".
//! - A chunk is in exactly one of four states:
//!
//! | state   | records   | storage | found through                 |
//! |---------|-----------|---------|-------------------------------|
//! | full    | all slots | yes     | nothing: it has no room       |
//! | partial | some      | yes     | the list `partial`            |
//! | spare   | none      | yes     | `spare`: there is at most one |
//! | bare    | none      | no      | the list `bare`               |
//!
//! - A new record goes to the partial chunk that opened last, which tends to be the fullest; chunks
//!   further down the list are left to drain. The spare comes next, then a bare chunk, then a new
//!   one.
//! - The spare is the hysteresis. Storage is freed only while a whole spare chunk is left, and
//!   allocated only when every chunk is full: a population that swings by less than [`CHUNK_SLOTS`]
//!   does not touch the allocator, wherever the edges of its chunks are.

use std::{
    mem,
    ops::{Index, IndexMut},
};

/// The key no record ever has.
pub(crate) const NIL: u32 = u32::MAX;

/// Slots in a chunk: one for each bit of its occupancy map.
const CHUNK_SLOTS: u32 = u64::BITS;

/// Chunks a slab may have. One less than keys allow, so that no slot's key is [`NIL`].
const MAX_CHUNKS: u32 = u32::MAX / CHUNK_SLOTS;

/// The occupancy map of a chunk without a free slot.
const FULL: u64 = u64::MAX;

const LIVES: &str = "a key is used only while its record lives";
const LISTED: &str = "a list names only chunks that exist";

/// A map from keys it chooses to records. Inserting and removing take constant (amortised) time.
pub(crate) struct Slab<T> {
    /// The storage of each chunk, or none when it is bare. Apart from the rest, which only those need
    /// who come and go: of very many chunks, this stays in the caches.
    storage: Vec<Option<Slots<T>>>,
    chunks: Vec<Chunk>,
    len: usize,
    /// First chunk of the list of partial ones, or `NIL`.
    partial: u32,
    /// First chunk of the list of bare ones, or `NIL`.
    bare: u32,
    /// The empty chunk that kept its storage, or `NIL`.
    spare: u32,
}

/// Not options: whether a record lives its chunk tells, which is looked at in any case, and not the
/// line of the record in which an option's mark would happen to be. A slot without a record has a
/// default in it, or what is left of its last record.
type Slots<T> = Box<[T; CHUNK_SLOTS as usize]>;

/// The header of up to [`CHUNK_SLOTS`] records.
struct Chunk {
    /// Bit `i` is set exactly when slot `i` holds a record.
    occupied: u64,
    /// Neighbours in the list of partial or of bare chunks, `NIL` at its ends.
    next: u32,
    prev: u32,
}

impl<T: Default> Slab<T> {
    /// An empty slab. It allocates nothing until the first insert.
    pub(crate) const fn new() -> Self {
        Self {
            storage: Vec::new(),
            chunks: Vec::new(),
            len: 0,
            partial: NIL,
            bare: NIL,
            spare: NIL,
        }
    }

    /// Stores `value` and returns its key.
    ///
    /// # Panics
    ///
    /// When every key is taken, at four thousand million records.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if self.partial == NIL {
            self.open_chunk();
        }
        let index = self.partial;
        let Some(chunk) = self.chunks.get_mut(index as usize) else { no_chunk() };
        let slot = chunk.occupied.trailing_ones();
        chunk.occupied |= 1 << slot;
        if chunk.occupied == FULL {
            unlink(&mut self.chunks, &mut self.partial, index);
        }
        self.len += 1;
        let key = index * CHUNK_SLOTS + slot;
        self[key] = value;
        key
    }

    /// Takes the record of `key` out, or returns `None` when there is none.
    pub(crate) fn remove(&mut self, key: u32) -> Option<T> {
        let value = self.has(key).then(|| mem::take(&mut self[key]))?;
        self.free(key);
        Some(value)
    }

    /// Frees the slot of a record. What is left in it is dropped with the next one's insertion, or with
    /// its chunk: what matters has been taken out.
    pub(crate) fn free(&mut self, key: u32) {
        let (index, slot) = split(key);
        debug_assert!(self.has(key), "{LIVES}");
        let Some(chunk) = self.chunks.get_mut(index as usize) else { return };
        let was_full = chunk.occupied == FULL;
        chunk.occupied &= !(1 << slot);
        let is_empty = chunk.occupied == 0;
        self.len -= 1;
        if was_full {
            link(&mut self.chunks, &mut self.partial, index);
        } else if is_empty {
            self.retire(index);
        }
    }

    /// The record of `key`, or `None` when there is none.
    #[cfg(test)]
    pub(crate) fn get(&self, key: u32) -> Option<&T> {
        self.has(key).then(|| &self[key])
    }

    fn has(&self, key: u32) -> bool {
        let (index, slot) = split(key);
        self.chunks.get(index as usize).is_some_and(|chunk| chunk.occupied & (1 << slot) != 0)
    }

    /// How many records live.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The keys of all records from `key` on, ascending. A walk over the whole slab can so be taken
    /// in steps, with changes in between: it goes on after the last key it saw.
    pub(crate) fn keys_from(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        let (first, slot) = split(key);
        (first..).zip(self.chunks.iter().skip(first as usize)).flat_map(move |(index, chunk)| {
            let wanted = if index == first { FULL << slot } else { FULL };
            ones(chunk.occupied & wanted).map(move |slot| index * CHUNK_SLOTS + slot)
        })
    }

    /// What is left in the slots without a record.
    #[cfg(test)]
    pub(crate) fn leavings(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().zip(&self.storage).flat_map(|(chunk, slots)| {
            let slots = slots.iter().flat_map(|slots| slots.iter());
            slots
                .zip(0..)
                .filter(|(_, slot)| chunk.occupied & (1 << slot) == 0)
                .map(|(left, _)| left)
        })
    }

    /// How many slots there is memory for now. Looks at every chunk.
    #[cfg(test)]
    pub(crate) fn slots(&self) -> usize {
        self.storage.iter().flatten().map(|slots| slots.len()).sum()
    }

    /// Makes a chunk the first of the partial ones, of which there is none.
    #[cold]
    fn open_chunk(&mut self) {
        let index = match mem::replace(&mut self.spare, NIL) {
            NIL => self.furnish_chunk(),
            spare => spare,
        };
        link(&mut self.chunks, &mut self.partial, index);
    }

    /// Allocates storage for a bare chunk, or for a new one when none is bare.
    fn furnish_chunk(&mut self) -> u32 {
        // Not an array first: that would stand on the stack.
        let slots: Box<[_]> = (0..CHUNK_SLOTS).map(|_| T::default()).collect();
        let slots = slots.try_into().ok();
        let index = self.bare;
        if index != NIL {
            unlink(&mut self.chunks, &mut self.bare, index);
            *self.storage.get_mut(index as usize).expect(LISTED) = slots;
            return index;
        }
        let index = u32::try_from(self.chunks.len()).unwrap_or(MAX_CHUNKS);
        assert!(index < MAX_CHUNKS, "a slab holds fewer records than there are keys");
        self.storage.push(slots);
        self.chunks.push(Chunk { occupied: 0, next: NIL, prev: NIL });
        index
    }

    /// Makes a partial chunk that ran empty the spare or, when there is one already, frees one of
    /// the two.
    fn retire(&mut self, index: u32) {
        unlink(&mut self.chunks, &mut self.partial, index);
        if self.spare == NIL {
            self.spare = index;
            return;
        }
        // The spare is the lower one: a high spare would keep the headers below it alive.
        let freed = self.spare.max(index);
        self.spare = self.spare.min(index);
        *self.storage.get_mut(freed as usize).expect(LISTED) = None;
        link(&mut self.chunks, &mut self.bare, freed);
        self.trim();
    }

    /// Gives the headers of bare chunks at the end back.
    fn trim(&mut self) {
        while self.storage.last().is_some_and(Option::is_none) {
            // The cast is exact: `furnish_chunk` made no more chunks than MAX_CHUNKS.
            let last = (self.chunks.len() - 1) as u32;
            unlink(&mut self.chunks, &mut self.bare, last);
            self.chunks.pop();
            self.storage.pop();
        }
        // Down to half full, so that the next doubling and the next shrinking are both far away.
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
            self.storage.shrink_to(self.chunks.len() * 2);
        }
    }
}

impl<T: Default> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, key: u32) -> &T {
        debug_assert!(self.has(key), "{LIVES}");
        let (index, slot) = split(key);
        let slots = self.storage.get(index as usize).and_then(Option::as_ref);
        let Some(record) = slots.and_then(|slots| slots.get(slot as usize)) else { no_record() };
        record
    }
}

impl<T: Default> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, key: u32) -> &mut T {
        debug_assert!(self.has(key), "{LIVES}");
        let (index, slot) = split(key);
        let slots = self.storage.get_mut(index as usize).and_then(Option::as_mut);
        let Some(record) = slots.and_then(|slots| slots.get_mut(slot as usize)) else {
            no_record()
        };
        record
    }
}

/// Without a place in the code that would be loaded at each access.
#[cold]
fn no_record() -> ! {
    panic!("{LIVES}")
}

#[cold]
fn no_chunk() -> ! {
    panic!("{LISTED}")
}

/// The chunk of a key, and the slot in it.
const fn split(key: u32) -> (u32, u32) {
    (key / CHUNK_SLOTS, key % CHUNK_SLOTS)
}

/// The positions of the bits set in `map`, ascending.
fn ones(mut map: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let position = (map != 0).then(|| map.trailing_zeros());
        map &= map.saturating_sub(1);
        position
    })
}

/// Puts a chunk at the front of the list that starts at `head`.
#[cold]
fn link(chunks: &mut [Chunk], head: &mut u32, index: u32) {
    let next = mem::replace(head, index);
    let chunk = chunks.get_mut(index as usize).expect(LISTED);
    (chunk.next, chunk.prev) = (next, NIL);
    if next != NIL {
        chunks.get_mut(next as usize).expect(LISTED).prev = index;
    }
}

/// Takes a chunk out of the list that starts at `head`.
#[cold]
fn unlink(chunks: &mut [Chunk], head: &mut u32, index: u32) {
    let chunk = chunks.get_mut(index as usize).expect(LISTED);
    let next = mem::replace(&mut chunk.next, NIL);
    let prev = mem::replace(&mut chunk.prev, NIL);
    if next != NIL {
        chunks.get_mut(next as usize).expect(LISTED).prev = prev;
    }
    if prev != NIL {
        chunks.get_mut(prev as usize).expect(LISTED).next = next;
    } else {
        *head = next;
    }
}

#[cfg(test)]
mod tests;
