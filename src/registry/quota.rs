//! A limit that all shards share and none has to ask at every step.
//!
//! Permits are handed to shards in blocks; a shard gives back what it has in plenty. Invariant: the
//! permits in the quota, to spare in the shards, and in use add up to the limit. So the limit is
//! exact: before anyone is refused, what the shards have to spare is collected.

use crate::sync::{AtomicUsize, Ordering};

pub(super) struct Quota {
    free: AtomicUsize,
    block: usize,
}

impl Quota {
    pub(super) fn new(limit: usize, shards: usize) -> Self {
        // Small enough that what lies spare in all shards together is a small part of the limit.
        let block = (limit / shards / 8).clamp(1, 64);
        Self { free: AtomicUsize::new(limit), block }
    }

    /// A block of permits, or what is left; one if the taker is to be `frugal`, since permits were
    /// short just now and others may need the rest.
    pub(super) fn take(&self, frugal: bool) -> usize {
        let block = if frugal { 1 } else { self.block };
        let rest = |free: usize| (free > 0).then(|| free.saturating_sub(block));
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        taken.map_or(0, |free| free.min(block))
    }

    pub(super) fn give(&self, permits: usize) {
        if permits > 0 {
            self.free.fetch_add(permits, Ordering::Relaxed);
        }
    }

    /// Leaves a block of `spare`, if it is more than two.
    pub(super) fn trim(&self, spare: &mut usize) {
        if *spare > 2 * self.block {
            self.give(*spare - self.block);
            *spare = self.block;
        }
    }
}
