//! Some of a hub's channels, with the waits that are parked on them and the timers of both.
//!
//! A state machine: it is told the time, calls nobody and drops nothing foreign. Wakers and
//! payloads leave through `WakeList` and `Evicted`, for the caller to act on once it has unlocked.
//!
//! The life of a channel's record: it is opened by the first publish or parked poll, and forgotten
//! when no wait has it, nothing is held, and the last event has *settled*, that is, would be too
//! old by now in any case. Its floor then merges into the shard's floor, with which new records
//! start: a cursor below that is older than the history's age. A record that waits for nothing but
//! to settle (its events were deleted) is a *remnant*; it no longer counts as a channel.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

mod counts;
mod fanouts;
mod follow;
mod record;
mod waits;

use std::{collections::BTreeSet, sync::Arc};

pub(crate) use self::{
    counts::{Counts, Holds},
    fanouts::Pace,
};
use self::{fanouts::Fanout, record::Record};
use crate::{
    channel::{Channel, Role},
    event::Stored,
    history::{Bounds, Evicted, Held, History},
    names::Names,
    outcome::{Batch, Refused},
    slab::Slab,
    trace::{Meter, Metered, Readings},
    waiters::Waiter,
    wheel::Wheel,
};

/// How many waits are woken, or timers moved, before the lock is let go.
pub(crate) const BATCH: usize = if cfg!(loom) { 2 } else { 64 };

/// How many waits a batch has ended, and whether there are more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) count: usize,
    pub(crate) more: bool,
}

/// What a shard has no room for within the limits that all shards share.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Short {
    Waits,
    Channels,
    /// By so many.
    Bytes(usize),
    /// Of events: the poll is ahead of its hub.
    Ahead,
}

/// In the order of use: what every poll and every publish needs is on neighbouring cache lines.
#[repr(C)]
pub(crate) struct Shard {
    names: Names,
    channels: Slab<Record>,
    waiters: Slab<Waiter>,
    waits: usize,
    /// Waits that may still park here without asking the hub's quota.
    pub(crate) spare_waits: usize,
    /// Channels that may still be opened here without asking the hub's quota.
    pub(crate) spare_channels: usize,
    floor: u64,
    /// The latest time that the shard was told.
    now: u64,
    /// Waits that are ahead of their hub, by where they are.
    ahead: BTreeSet<(u64, u32)>,
    pub(crate) counts: Counts,
    meter: Meter,
    events: usize,
    bytes: usize,
    fanouts: Vec<Fanout>,
    /// The oldest event of each channel that has any, if the hub lets the oldest of all go.
    oldest: Option<BTreeSet<(u64, u32)>>,
    /// Remnants by when they have settled.
    remnants: BTreeSet<(u64, u32)>,
    /// Records that are no channels.
    others: usize,
    /// The deadlines of waits.
    holds: Wheel,
    /// The timers of channels.
    ages: Wheel,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self {
            names: Names::default(),
            channels: Slab::new(),
            waiters: Slab::new(),
            holds: Wheel::new(),
            ages: Wheel::new(),
            remnants: BTreeSet::new(),
            fanouts: Vec::new(),
            oldest: None,
            ahead: BTreeSet::new(),
            others: 0,
            floor: 0,
            now: 0,
            waits: 0,
            events: 0,
            bytes: 0,
            counts: Counts::default(),
            meter: Meter::default(),
            spare_waits: 0,
            spare_channels: 0,
        }
    }

    /// A shard that can let the oldest of its events go.
    pub(crate) fn with_order() -> Self {
        Self { oldest: Some(BTreeSet::new()), ..Self::new() }
    }

    pub(crate) fn holds(&self) -> Holds {
        Holds {
            waits: self.waits,
            channels: self.channels.len() - self.remnants.len() - self.others,
            events: self.events,
            bytes: self.bytes,
        }
    }

    pub(crate) fn find(&self, name: &Channel) -> Option<u32> {
        self.names.find(half_hash(name), |key| self.channels[key].has_name(name))
    }

    /// Finds a channel after letting go what is too old in it, which may be all that it was.
    pub(crate) fn find_now(&mut self, name: &Channel, now: u64, gone: &mut Evicted) -> Option<u32> {
        let key = self.find(name)?;
        if self.is_up_to_date(key, now) {
            return Some(key);
        }
        self.expire(key, now, &mut usize::MAX.clone(), gone);
        self.retire(key);
        self.find(name)
    }

    /// Finds a channel for a poll since `sequence`, after letting go what is too old in it if the
    /// poll would be told any of it.
    pub(crate) fn find_since(
        &mut self,
        name: &Channel,
        sequence: u64,
        now: u64,
        gone: &mut Evicted,
    ) -> Option<u32> {
        let key = self.find(name)?;
        let has_news = self.look(Some(key), sequence).0;
        if has_news { self.find_now(name, now, gone) } else { Some(key) }
    }

    /// Finds a channel that is one now: with waits, or events that are not too old.
    pub(crate) fn find_current(
        &mut self,
        name: &Channel,
        now: u64,
        gone: &mut Evicted,
    ) -> Option<u32> {
        self.find_now(name, now, gone).filter(|&key| self.channels[key].is_needed())
    }

    /// Makes the record of a channel that has none. Takes a permit, if it is a channel.
    pub(crate) fn open(&mut self, name: &Channel) -> Result<u32, Short> {
        let is_channel = name.role() == Role::Channel;
        if is_channel {
            self.spare_channels = self.spare_channels.checked_sub(1).ok_or(Short::Channels)?;
        } else {
            self.others += 1;
        }
        let hash = half_hash(name);
        let key = self.channels.insert(Record {
            name: Some(Arc::clone(name.text())),
            hash,
            history: History::new(self.floor),
            ..Record::default()
        });
        self.names.insert(hash, key);
        Ok(key)
    }

    /// The waits on a channel, and what its history holds.
    pub(crate) fn channel_holds(&self, key: u32) -> Holds {
        let Record { history, waiters, .. } = &self.channels[key];
        let (events, bytes) = (history.len(), history.weight());
        Holds { waits: *waiters as usize, channels: 1, events, bytes }
    }

    /// The channel's own name, if it is another piece of memory than this one, which equals it.
    pub(crate) fn own_name(&self, key: u32, name: &Channel) -> Option<Channel> {
        let own = self.channels[key].name.as_ref()?;
        (!Arc::ptr_eq(own, name.text())).then(|| Channel::of(Arc::clone(own), name.hash()))
    }

    /// Whether a poll since `sequence` would find anything, and whether it would miss anything.
    pub(crate) fn look(&self, key: Option<u32>, sequence: u64) -> (bool, bool) {
        let Some(record) = key.map(|key| &self.channels[key]) else {
            return (false, sequence < self.floor);
        };
        let history = &record.history;
        (history.latest().is_some_and(|latest| sequence < latest), sequence < history.floor())
    }

    /// Whether nothing that a channel holds is too old, for certain.
    fn is_up_to_date(&self, key: u32, now: u64) -> bool {
        let Record { history, timer, .. } = &self.channels[key];
        // Invariant: the timer is never later than the end of the oldest event.
        history.is_empty() || timer.deadline().is_none_or(|deadline| now < deadline)
    }

    pub(crate) fn history(&self, key: u32) -> &History {
        &self.channels[key].history
    }

    /// Counts what a poll is answered.
    pub(crate) fn count(&mut self, batch: &Batch) {
        self.counts.delivered += batch.len() as u64;
        self.counts.gaps += u64::from(batch.gap);
        if !batch.gap {
            self.meter.answered();
        }
    }

    /// Counts a poll that is refused.
    pub(crate) fn refuse(&mut self, reason: Refused) {
        self.counts.refused += 1;
        self.meter.refused(reason.name());
    }

    /// The events of a channel after `sequence`, and their numbers, in order.
    pub(crate) fn after(
        &self,
        key: Option<u32>,
        sequence: u64,
    ) -> impl Iterator<Item = (u64, &Arc<Stored>)> {
        let history = key.map(|key| &self.channels[key].history);
        history.into_iter().flat_map(move |history| history.after(sequence))
    }

    /// Lets the events of a channel go that are too old.
    pub(crate) fn expire(&mut self, key: u32, now: u64, steps: &mut usize, gone: &mut Evicted) {
        self.now = self.now.max(now);
        self.evict(key, gone, |history, gone| history.expire(now, steps, gone));
    }

    /// How many events, of what weight, a new event of `weight` would push out.
    pub(crate) fn pushed_out_by(&self, key: u32, weight: usize, bounds: Bounds) -> (usize, usize) {
        self.channels[key].history.pushed_out_by(weight, bounds)
    }

    /// Stores an event and lets the `count` oldest go. Returns the deadline of the channel's timer
    /// if that had to be set.
    pub(crate) fn store(
        &mut self,
        key: u32,
        mut held: Held,
        count: usize,
        gone: &mut Evicted,
    ) -> Option<u64> {
        self.revive(key);
        self.events += 1;
        self.bytes += held.stored.weight();
        self.counts.published += 1;
        let record = &self.channels[key];
        // Invariant: no event outlives a later one, whichever runtime's clock it came by.
        held.expires = held.expires.max(record.history.settles());
        self.evict(key, gone, |history, gone| history.push(held, count, gone));
        let record = &self.channels[key];
        if record.timer.is_set() {
            return None;
        }
        let deadline = record.history.next_expiry()?;
        self.ages.insert(&mut self.channels, key, deadline);
        Some(deadline)
    }

    /// Lets all events of a channel go. Its waits are still to be woken.
    pub(crate) fn delete(&mut self, key: u32, gone: &mut Evicted) {
        self.evict(key, gone, History::clear);
        self.retire(key);
    }

    /// Channels from `key` on, for walks in steps.
    pub(crate) fn channels_from(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        self.channels.keys_from(key)
    }

    fn evict(&mut self, key: u32, gone: &mut Evicted, by: impl FnOnce(&mut History, &mut Evicted)) {
        let (events, bytes) = (gone.len(), gone.weight);
        let history = &mut self.channels[key].history;
        let before = self.oldest.as_ref().and_then(|_| history.oldest());
        by(history, gone);
        self.events -= gone.len() - events;
        self.bytes -= gone.weight - bytes;
        if let Some(oldest) = &mut self.oldest {
            let after = history.oldest();
            if before != after {
                before.map(|sequence| oldest.remove(&(sequence, key)));
                oldest.extend(after.map(|sequence| (sequence, key)));
            }
        }
    }

    /// The number of the oldest event in the shard.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.oldest.as_ref()?.first().map(|&(sequence, _)| sequence)
    }

    /// Lets the oldest event in the shard go.
    pub(crate) fn evict_oldest(&mut self, gone: &mut Evicted) {
        let first = self.oldest.as_ref().and_then(|oldest| oldest.first().copied());
        if let Some((_, key)) = first {
            self.evict(key, gone, History::evict_oldest);
            self.retire(key);
        }
    }

    /// Makes a channel of a remnant again, before it is needed.
    #[inline]
    fn revive(&mut self, key: u32) {
        let record = &self.channels[key];
        // Most are needed already, which their first line tells.
        if !record.is_needed() {
            self.remnants.remove(&(record.history.settles(), key));
        }
    }

    /// Forgets a channel that nothing needs any more, or makes a remnant of it.
    #[inline]
    pub(crate) fn retire(&mut self, key: u32) {
        if !self.channels[key].is_needed() {
            self.settle(key);
        }
    }

    fn settle(&mut self, key: u32) {
        let Record { history, timer, .. } = &self.channels[key];
        if history.settles() <= self.now || history.floor() <= self.floor {
            self.forget(key);
        } else {
            debug_assert!(timer.is_set(), "a timer ends every remnant");
            self.remnants.insert((history.settles(), key));
        }
    }

    /// Forgets a channel; gives its permit back.
    fn forget(&mut self, key: u32) {
        self.revive(key);
        self.cut_fanout(key);
        self.ages.remove(&mut self.channels, key);
        let Some(record) = self.channels.remove(key) else { return };
        debug_assert_eq!((record.waiters, record.history.len()), (0, 0), "nothing needs it");
        self.floor = self.floor.max(record.history.floor());
        self.names.remove(record.hash, key);
        if record.role() == Role::Channel {
            self.spare_channels += 1;
        } else {
            self.others -= 1;
        }
    }

    /// When the first remnant has settled.
    pub(crate) fn next_remnant(&self) -> Option<u64> {
        self.remnants.first().map(|&(settles, _)| settles)
    }

    /// Forgets the remnant early that settles first: the hub is short of channels, or closed. Clients
    /// whose cursor is older than the events that were deleted may be told of a gap that is not
    /// theirs. False if there is none.
    pub(crate) fn forget_remnant(&mut self) -> bool {
        let first = self.remnants.first().map(|&(_, key)| key);
        first.map(|key| self.forget(key)).is_some()
    }

    /// Forgets up to a batch of remnants. False once there are none.
    pub(crate) fn forget_remnants(&mut self) -> bool {
        (0..BATCH).all(|_| self.forget_remnant())
    }
}

/// What the table of names has of a name's hash: the other half says which shard it is in.
fn half_hash(name: &Channel) -> u32 {
    name.hash() as u32
}

impl Metered for Shard {
    fn readings(&self) -> Readings {
        Readings { levels: self.holds().levels(), totals: self.counts.totals() }
    }

    fn meter(&mut self) -> &mut Meter {
        &mut self.meter
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod validate;
