//! What only a hub has to do that follows a log: losing, beginning anew, and waits that are ahead.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use super::{BATCH, Shard};
use crate::{
    history::{Evicted, History},
    waiters::{State, Waiter},
    wake::WakeList,
};

impl Shard {
    /// Loses an event for which there is no room: who has not seen it is told of a gap.
    pub(crate) fn lose(&mut self, key: u32, sequence: u64, gone: &mut Evicted) {
        self.evict(key, gone, History::clear);
        self.channels[key].history.lose(sequence);
        self.retire(key);
    }

    /// The same, of a channel that has no record.
    pub(crate) fn lose_unknown(&mut self, sequence: u64) {
        self.floor = self.floor.max(sequence);
    }

    /// Begins a new sequence: lets everything go but the waits, which nobody knows what they missed.
    pub(crate) fn reset(&mut self, gone: &mut Evicted) {
        self.fanouts.clear();
        self.ahead.clear();
        let waits: Vec<_> = self.waiters.keys_from(0).collect();
        for key in waits {
            let waiter = &mut self.waiters[key];
            (waiter.stale, waiter.registered) = (true, 0);
        }
        while self.forget_remnants() {}
        let channels: Vec<_> = self.channels.keys_from(0).collect();
        for key in channels {
            // What comes may be too old earlier than what was there.
            self.ages.remove(&mut self.channels, key);
            self.evict(key, gone, History::clear);
            // Nothing is to settle, either: what nothing needs is forgotten.
            self.channels[key].history = History::default();
            self.retire(key);
        }
        self.floor = 0;
    }

    /// Ends a batch of the waits that were ahead of their hub, which has come to `sequence`. True if
    /// there are more.
    pub(crate) fn arrive(&mut self, sequence: u64, wakers: &mut WakeList) -> bool {
        for _ in 0..BATCH {
            match self.ahead.first() {
                Some(&(target, key)) if target <= sequence => {
                    self.end(key, State::Touched, wakers);
                }
                _ => return false,
            }
        }
        true
    }

    /// Ends a parked wait as if its channel was touched.
    pub(crate) fn rouse(&mut self, key: u32, wakers: &mut WakeList) {
        let Waiter { lead, state, .. } = self.waiters[key];
        if lead && state == State::Parked {
            self.end(key, State::Touched, wakers);
        }
    }
}
