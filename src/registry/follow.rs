//! A hub that follows a log: its events come one after the other, with the numbers of the log.
//!
//! One task applies them. The position of the hub is the number of the last one, whatever channel it
//! was for, and even if there was no room for it. Polls that come from further on, from a hub that
//! has applied more, wait until this one has come there.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicBool, AtomicU64},
};

use super::{Common, Locked, Registry, Times, publish::Number};
use crate::{
    change::Change,
    channel::Channel,
    history::Evicted,
    sync::Ordering,
    trace::{self, Changes},
    wake::{Panics, WakeList},
};

/// How far a hub is behind its log.
pub(crate) struct Following {
    ready: AtomicBool,
    lag: AtomicU64,
}

impl Following {
    pub(super) fn new(follows: bool) -> Self {
        Self { ready: AtomicBool::new(!follows), lag: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, ready: bool, lag: u64) {
        self.ready.store(ready, Ordering::Relaxed);
        trace::lags(self.lag.swap(lag, Ordering::Relaxed), lag);
    }

    pub(crate) fn get(&self) -> (bool, u64) {
        (self.ready.load(Ordering::Relaxed), self.lag.load(Ordering::Relaxed))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        trace::lags(*self.lag.get_mut(), 0);
    }
}

impl Registry {
    /// Applies the entry of this number. Also returns the deadline of a timer that was set, and the
    /// panics of foreign wakers. An entry that was applied is not applied again.
    pub(crate) fn apply(
        &self,
        sequence: u64,
        change: Change,
        times: Times,
    ) -> (Option<u64>, Panics) {
        let (common, number) = (&self.common, Number::Given(sequence));
        if sequence <= common.sequence() {
            return (None, Panics::default());
        }
        let applied = match change {
            Change::Publish(channel, event) => {
                match self.publish_as(number, &channel, event, times) {
                    Ok((_, timer, panics)) => (timer, panics),
                    Err(_) => (None, self.lose(sequence, &channel, times.now)),
                }
            }
            Change::Touch(channel) => (None, self.touch_as(number, &channel, times.now).1),
            Change::Delete(channel) => (None, self.delete_as(number, &channel, times.now).1),
        };
        common.advance(sequence);
        applied
    }

    /// Applies an entry that does nothing but take a number.
    pub(crate) fn pass(&self, sequence: u64) {
        if sequence > self.common.sequence() {
            self.common.advance(sequence);
        }
    }

    /// There was no room for an event, or there is none for its like: that is a gap.
    fn lose(&self, sequence: u64, channel: &Channel, now: u64) -> Panics {
        let cell = self.locate(channel);
        let (changes, mut gone) = (Changes::default(), Evicted::default());
        let mut shard = cell.lock(&changes);
        match shard.find(channel) {
            Some(key) => shard.lose(key, sequence, &mut gone),
            None => shard.lose_unknown(sequence),
        }
        self.common.advance(sequence);
        self.common.give_back(gone.weight);
        drop(shard);
        self.touch_as(Number::Given(sequence), channel, now).1
    }

    /// Lets the polls begin that waited for what was applied since they came, and no others: whoever
    /// forges a cursor from far ahead would have each event wake them.
    pub(crate) fn arrive(&self) -> Panics {
        let (cell, mut panics) = (self.locate(&Channel::ahead()), Panics::default());
        loop {
            let (changes, mut wakers) = (Changes::default(), WakeList::default());
            let more = cell.lock(&changes).arrive(self.common.sequence(), &mut wakers);
            panics = panics.and(wakers.wake());
            if !more {
                return panics;
            }
        }
    }

    /// Goes on after `sequence`: the log has let go what was before, of channels that nobody knows.
    pub(crate) fn skip_to(&self, sequence: u64) -> Panics {
        let changes = Changes::default();
        let shards = self.lock_all(&changes);
        self.common.floor.store(sequence, Ordering::Relaxed);
        self.common.advance(sequence);
        drop(shards);
        self.rouse().and(self.arrive())
    }

    /// Begins anew after `sequence` of another log: every cursor so far is a gap.
    pub(crate) fn reset(&self, epoch: NonZeroU64, sequence: u64) -> Panics {
        let (changes, mut gone) = (Changes::default(), Evicted::default());
        let mut shards = self.lock_all(&changes);
        self.common.begin(epoch, sequence);
        shards.iter_mut().for_each(|shard| shard.reset(&mut gone));
        self.common.give_back(gone.weight);
        drop(shards);
        self.rouse().and(self.arrive())
    }

    fn lock_all<'a>(&'a self, changes: &'a Changes) -> Vec<Locked<'a>> {
        self.cells.iter().map(|cell| cell.lock(changes)).collect()
    }
}

impl Common {
    /// Under the locks of all shards. Who reads without one sees no epoch beside another's number.
    fn begin(&self, epoch: NonZeroU64, sequence: u64) {
        self.epoch.store(0, Ordering::Release);
        self.traffic.sequence.store(sequence, Ordering::Release);
        self.floor.store(sequence, Ordering::Relaxed);
        self.epoch.store(epoch.get(), Ordering::Release);
    }
}
