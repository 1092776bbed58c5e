//! The waits of a shard, and what time does to them and to the histories.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use std::task::Waker;

use super::{Ended, Shard, Short, record::Record};
use crate::{
    channel::{Channel, Role},
    history::Evicted,
    waiters::{State, Waiter},
    wake::WakeList,
};

impl Shard {
    /// How many waits a channel has.
    pub(crate) fn waiters(&self, key: Option<u32>) -> usize {
        key.map_or(0, |key| self.channels[key].waiters as usize)
    }

    /// How many waits of a channel are parked, and not ended yet.
    pub(crate) fn parked(&self, key: u32) -> usize {
        self.channels[key].queue.len()
    }

    /// Parks a wait on a channel, which is opened if it has no record yet. Who has a deadline is
    /// the lead, and takes a permit.
    pub(crate) fn park(
        &mut self,
        channel: Option<u32>,
        name: &Channel,
        deadline: Option<u64>,
        registered: u64,
        waker: Waker,
    ) -> Result<u32, (Short, Waker)> {
        if deadline.is_some() && self.spare_waits == 0 {
            return Err((Short::Waits, waker));
        }
        let channel = match channel.map_or_else(|| self.open(name), Ok) {
            Ok(channel) => channel,
            Err(short) => return Err((short, waker)),
        };
        let key = self.enqueue(channel, deadline, registered, waker);
        if name.role() == Role::Ahead {
            self.ahead.insert((registered, key));
        }
        Ok(key)
    }

    /// Parks a wait on a channel that has a record. Who has a deadline is the lead, for which the
    /// shard has a permit.
    pub(crate) fn enqueue(
        &mut self,
        channel: u32,
        deadline: Option<u64>,
        registered: u64,
        waker: Waker,
    ) -> u32 {
        self.revive(channel);
        let key = self.waiters.insert(Waiter::new(channel, deadline.is_some(), registered, waker));
        let record = &mut self.channels[channel];
        record.waiters += 1;
        record.queue.push(&mut self.waiters, key);
        if let Some(deadline) = deadline {
            self.waits += 1;
            self.spare_waits -= 1;
            self.holds.insert(&mut self.waiters, key, deadline);
        }
        key
    }

    /// The record of a parked wait.
    pub(crate) fn waiter(&self, key: u32) -> &Waiter {
        &self.waiters[key]
    }

    /// Swaps the waker of a parked wait.
    pub(crate) fn set_waker(&mut self, key: u32, waker: &mut Option<Waker>) {
        std::mem::swap(&mut self.waiters[key].waker, waker);
    }

    /// Frees the record of a wait, whatever state it is in. The future that owns it does this, once.
    pub(crate) fn leave(&mut self, key: u32) -> Option<Waker> {
        let waiter = &mut self.waiters[key];
        let waker = waiter.waker.take();
        let &mut Waiter { channel, state, lead, links, registered, .. } = waiter;
        if lead {
            self.holds.remove(&mut self.waiters, key);
            self.waits -= 1;
            self.spare_waits += 1;
        }
        self.waiters.free(key);
        let record = &mut self.channels[channel];
        record.waiters -= 1;
        if state == State::Parked {
            record.queue.close(&mut self.waiters, links);
            if !self.ahead.is_empty() {
                self.ahead.remove(&(registered, key));
            }
        }
        self.retire(channel);
        waker
    }

    /// Ends the waits of a channel that registered before `sequence`, but at most so many.
    pub(crate) fn end_before(
        &mut self,
        channel: u32,
        sequence: u64,
        state: State,
        most: usize,
        wakers: &mut WakeList,
    ) -> Ended {
        let Record { queue, history, .. } = &mut self.channels[channel];
        let mut count = 0;
        while let Some(key) = queue.front() {
            let waiter = &mut self.waiters[key];
            if waiter.registered >= sequence {
                break;
            }
            if count == most {
                return Ended { count, more: true };
            }
            waiter.state = state;
            if state == State::Deleted && history.is_quiet(waiter.registered, sequence) {
                waiter.registered = sequence;
            }
            wakers.push(waiter.waker.take());
            queue.remove(&mut self.waiters, key);
            count += 1;
        }
        Ended { count, more: false }
    }

    /// Ends the waits that have a key, except the newest if that is parked.
    pub(crate) fn supersede(&mut self, key: u32, newest: Option<u32>, wakers: &mut WakeList) {
        while let Some(older) = self.channels[key].queue.front() {
            if Some(older) == newest {
                break;
            }
            self.end(older, State::Superseded, wakers);
        }
    }

    pub(super) fn end(&mut self, key: u32, state: State, wakers: &mut WakeList) {
        let waiter = &mut self.waiters[key];
        waiter.state = state;
        wakers.push(waiter.waker.take());
        if !self.ahead.is_empty() {
            self.ahead.remove(&(waiter.registered, key));
        }
        self.channels[waiter.channel].queue.remove(&mut self.waiters, key);
    }

    /// Brings the deadline of a parked wait forward, as a drain does; now if `deadline` is none.
    pub(crate) fn drain(&mut self, key: u32, deadline: Option<u64>, wakers: &mut WakeList) {
        let waiter = &mut self.waiters[key];
        if !waiter.lead || waiter.state != State::Parked {
            return;
        }
        let Some(deadline) = deadline else { return self.end(key, State::Drained, wakers) };
        if waiter.timer.deadline().is_none_or(|own| deadline < own) {
            waiter.draining = true;
            self.holds.remove(&mut self.waiters, key);
            self.holds.insert(&mut self.waiters, key, deadline);
        }
    }

    /// Has a parked wait polled again; it stays parked.
    pub(crate) fn recall(&mut self, key: u32, wakers: &mut WakeList) {
        wakers.push(self.waiters[key].waker.take());
    }

    /// Records of waits from `key` on, for walks in steps.
    pub(crate) fn waiters_from(&self, key: u32) -> impl Iterator<Item = u32> + '_ {
        self.waiters.keys_from(key)
    }

    // Time.

    /// Ends waits whose deadline has come and lets events go that are too old, for as long as
    /// `steps` last. If any are left, nothing more is due.
    pub(crate) fn turn(
        &mut self,
        now: u64,
        steps: &mut usize,
        wakers: &mut WakeList,
        gone: &mut Evicted,
    ) {
        self.now = self.now.max(now);
        // Invariant: not before what a wheel has reached, or what it hands out would not be due.
        let now = self.now;
        while let Some(key) = self.holds.pop(&mut self.waiters, now, steps) {
            let waiter = &self.waiters[key];
            if waiter.state == State::Parked {
                let state = if waiter.draining { State::Drained } else { State::Expired };
                self.end(key, state, wakers);
            }
        }
        while let Some(key) = self.ages.pop(&mut self.channels, now, steps) {
            self.expire(key, now, steps, gone);
            let record = &self.channels[key];
            let settles = Some(record.history.settles()).filter(|&settles| now < settles);
            if let Some(deadline) = record.history.next_expiry().or(settles) {
                self.ages.insert(&mut self.channels, key, deadline);
            }
            self.retire(key);
        }
    }

    /// The next tick at which [`Shard::turn`] or [`Shard::release`] has something to do.
    pub(crate) fn next_turn(&self) -> Option<u64> {
        [self.holds.next(), self.ages.next(), self.next_release()].into_iter().flatten().min()
    }
}
