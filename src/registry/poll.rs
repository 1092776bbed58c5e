//! A poll while its shards are locked.

use std::{iter, sync::Arc};

use super::{
    Common, Locked, Phase, Wanted,
    park::Ask,
    parts::{HAS_CHANNEL, Part, Places, Slot},
};
use crate::{
    channel::Role,
    cursor::{Cursor, Since},
    event::{Entry, Stored},
    history::Evicted,
    outcome::{Batch, Refused, Waited},
    shard::{Shard, Short},
    slab::NIL,
    trace::Changes,
    waiters::State,
    wake::WakeList,
};

/// A poll with its shards locked.
pub(super) struct Poll<'a> {
    pub(super) common: &'a Common,
    parts: &'a [Part],
    slots: &'a mut [Slot],
    guards: Guards<'a>,
    /// The hub's sequence, read under the locks.
    sequence: u64,
    max_events: usize,
    /// Whether permits were short just now.
    pub(super) frugal: bool,
}

enum Guards<'a> {
    One(Locked<'a>),
    Many(Vec<Locked<'a>>),
}

impl Guards<'_> {
    fn get(&self, slot: Slot) -> &Shard {
        match self {
            Self::One(guard) => guard,
            Self::Many(guards) => guards.get(slot.guard as usize).expect(ALL_LOCKED),
        }
    }

    fn get_mut(&mut self, slot: Slot) -> &mut Shard {
        match self {
            Self::One(guard) => guard,
            Self::Many(guards) => guards.get_mut(slot.guard as usize).expect(ALL_LOCKED),
        }
    }
}

const ALL_LOCKED: &str = "the shard of every part of a poll is locked";

impl<'a> Poll<'a> {
    pub(super) fn lock(
        (parts, slots): Places<'a>,
        max_events: usize,
        changes: &'a Changes,
    ) -> Self {
        let (lead, others) = parts.split_first().expect(HAS_CHANNEL);
        let guards = if others.is_empty() {
            Guards::One(lead.cell.lock(changes))
        } else {
            let mut guards = Vec::new();
            for (part, slot) in parts.iter().zip(&*slots) {
                if slot.guard as usize == guards.len() {
                    guards.push(part.cell.lock(changes));
                }
            }
            Guards::Many(guards)
        };
        let common = &*lead.cell.common;
        let sequence = common.sequence();
        Self { common, parts, slots, guards, sequence, max_events, frugal: false }
    }

    /// What the poll needs to be parked.
    pub(super) fn wanted(&self) -> Wanted {
        let parts = self.parts.iter().zip(&*self.slots);
        let channels = parts.filter(|(part, slot)| {
            let shard = self.guards.get(**slot);
            part.channel.role() == Role::Channel && shard.find(&part.channel).is_none()
        });
        Wanted {
            wait: self.parts.first().map(|lead| lead.cell.index),
            channels: channels.map(|(part, _)| part.cell.index).collect(),
        }
    }

    /// Answers the poll or parks it. Older polls of its key end, unless it is refused: `ended` takes
    /// their wakers.
    pub(super) fn start(
        &mut self,
        ask: &Ask,
        now: u64,
        wakers: &mut WakeList,
        gone: &mut Evicted,
        ended: &mut WakeList,
    ) -> Result<Option<Waited>, Short> {
        let started = self.answer_or_park(ask, now, wakers, gone)?;
        // Who waited for the hub, which is here, only begins.
        if !matches!(started, Some(Waited::Refused { .. } | Waited::Touched { .. })) {
            self.supersede(started.is_none(), ended);
        }
        Ok(started)
    }

    fn answer_or_park(
        &mut self,
        ask: &Ask,
        now: u64,
        wakers: &mut WakeList,
        gone: &mut Evicted,
    ) -> Result<Option<Waited>, Short> {
        // Read once: a drain that begins meanwhile finds the poll parked.
        let phase = self.common.phase();
        let refused = match phase {
            Phase::Open => None,
            // It is let go, but not without the events that are there.
            Phase::Draining if ask.was_parked => None,
            Phase::Draining => Some(Refused::Draining),
            Phase::Closed => Some(Refused::Closed),
        };
        if let Some(reason) = refused {
            return Ok(Some(self.refuse(reason, ask.since)));
        }
        let resolved = self.common.resolve(ask.since, self.sequence);
        let (since, mut gap) = match (resolved, self.waits_for_hub()) {
            (Some(_), true) => return Ok(Some(Waited::Touched { cursor: self.cursor() })),
            (None, false) => return Err(Short::Ahead),
            (resolved, _) => resolved.unwrap_or((self.sequence, false)),
        };
        let mut ready = gap;
        for (part, slot) in self.parts.iter().zip(&mut *self.slots) {
            let shard = self.guards.get_mut(*slot);
            let key = shard.find_since(&part.channel, since, now, gone);
            slot.key = key.unwrap_or(NIL);
            if part.channel.role() != Role::Channel {
                continue;
            }
            let (news, missed) = shard.look(key, since);
            // What is gone before all that is held was not promised; a hole in it is told.
            let oldest = || shard.after(key, since).next();
            let has_hole = || oldest().is_some_and(|(number, _)| self.common.has_missed(number));
            gap |= if ask.since == Since::Oldest { has_hole() } else { missed };
            ready |= news || gap;
        }
        if ready {
            return Ok(Some(Waited::Events(self.batch(since, gap, |_, key| known(key)))));
        }
        if phase == Phase::Draining {
            self.lead_mut().counts.drained += 1;
            return Ok(Some(Waited::Drained { cursor: self.cursor() }));
        }
        let Some(deadline) = ask.deadline else { return Ok(Some(self.time_out())) };
        self.park(ask.since, deadline, wakers)
    }

    fn waits_for_hub(&self) -> bool {
        self.parts.iter().any(Part::is_ahead)
    }

    /// Parks every part, or none.
    fn park(
        &mut self,
        since: Since,
        deadline: u64,
        wakers: &mut WakeList,
    ) -> Result<Option<Waited>, Short> {
        let max = self.common.config.max_waits_per_channel;
        let is_full = |slot: Slot| self.guards.get(slot).waiters(known(slot.key)) >= max;
        if self.channels().any(is_full) {
            return Ok(Some(self.refuse(Refused::WaitsPerChannel { max }, since)));
        }
        let mut deadline = Some(deadline);
        for place in 0..self.slots.len() {
            let (Some(part), Some(slot)) = (self.parts.get(place), self.slots.get_mut(place))
            else {
                break;
            };
            let shard = self.guards.get_mut(*slot);
            if deadline.is_some() {
                part.cell.refill_waits(shard, self.frugal);
            }
            if slot.key == NIL && part.channel.role() == Role::Channel {
                part.cell.refill_channels(shard, self.frugal);
            }
            let waker = wakers.pop().expect("there is a waker for every part");
            // Who waits for the hub has seen what the hub will know there.
            let target = match since {
                Since::Cursor(cursor) if part.is_ahead() => cursor.sequence(),
                _ => self.sequence,
            };
            match shard.park(known(slot.key), &part.channel, deadline.take(), target, waker) {
                Ok(key) => slot.key = key,
                Err((short, waker)) => {
                    wakers.push(Some(waker));
                    for slot in self.slots.iter_mut().take(place) {
                        let shard = self.guards.get_mut(*slot);
                        wakers.push(slot.take().and_then(|key| shard.leave(key)));
                    }
                    // These are channels that it does not wait on.
                    self.slots.iter_mut().for_each(|slot| slot.key = NIL);
                    return Err(short);
                }
            }
        }
        Ok(None)
    }

    fn supersede(&mut self, is_parked: bool, ended: &mut WakeList) {
        let keys = self.parts.iter().zip(&*self.slots);
        for (_, slot) in keys.filter(|(part, _)| part.channel.role() == Role::Key) {
            let shard = self.guards.get_mut(*slot);
            let newest = is_parked.then_some(slot.key);
            let key = newest.map_or(known(slot.key), |own| Some(shard.waiter(own).channel));
            if let Some(key) = key {
                shard.supersede(key, newest, ended);
            }
        }
    }

    /// The parts that are channels, where events are published.
    fn channels(&self) -> impl Iterator<Item = Slot> {
        let parts = self.parts.iter().zip(&*self.slots);
        parts.filter(|(part, _)| part.channel.role() == Role::Channel).map(|(_, slot)| *slot)
    }

    pub(super) fn resume(&mut self, wakers: &mut WakeList, old: &mut WakeList) -> Option<Waited> {
        let states = || self.slots.iter().map(|&slot| self.guards.get(slot).waiter(slot.key).state);
        if states().all(|state| state == State::Parked) {
            for slot in &*self.slots {
                let mut waker = wakers.pop();
                self.guards.get_mut(*slot).set_waker(slot.key, &mut waker);
                old.push(waker);
            }
            return None;
        }
        let is_any = |wanted| states().any(|state| state == wanted);
        let (woken, touched) = (is_any(State::Woken), is_any(State::Touched));
        let superseded = is_any(State::Superseded);
        let lead = self.lead().waiter(self.slots.first().expect(HAS_CHANNEL).key);
        let (lead, stale) = (lead.state, lead.stale);
        let waiters = || self.slots.iter().map(|&slot| self.guards.get(slot).waiter(slot.key));
        let since = waiters().map(|waiter| waiter.registered).min().expect(HAS_CHANNEL);
        let deletes = (0..).zip(waiters()).filter(|(_, waiter)| waiter.state == State::Deleted);
        let deleted = deletes.map(|(place, waiter)| (waiter.registered, place)).min();
        // Who waits for the hub, or only pauses, misses nothing by it: that is found out afterwards.
        let reads = self.channels().next().is_some();
        let (mut ready, mut gap) = (false, reads && (stale || self.common.has_missed(since)));
        for slot in self.channels() {
            let shard = self.guards.get(slot);
            let (news, missed) = shard.look(Some(shard.waiter(slot.key).channel), since);
            ready |= news;
            gap |= missed;
        }
        // What came first is told: the other is not lost, or was not told to who was answered before.
        let first = deleted.filter(|&(deleted, _)| !gap && !self.has_news(since, deleted));
        let deleted = first.and_then(|(sequence, place)| Some((sequence, self.parts.get(place)?)));
        let cursor = self.cursor();
        let ended = if let Some((sequence, part)) = deleted {
            let cursor = if ready { self.common.cursor(sequence) } else { cursor };
            self.lead_mut().counts.deleted += 1;
            Waited::Deleted { channel: part.channel.clone(), cursor }
        } else if ready || gap || woken {
            // Invariant: the event that woke a wait is held, or is below its channel's floor.
            debug_assert!(ready || gap, "a woken wait finds its event or a gap");
            let channel = |shard: &Shard, key| Some(shard.waiter(key).channel);
            Waited::Events(self.batch(since, gap, channel))
        } else if touched && !(superseded && self.waits_for_hub()) {
            self.lead_mut().counts.touched += 1;
            Waited::Touched { cursor }
        } else if superseded {
            self.lead_mut().counts.superseded += 1;
            Waited::Superseded { cursor }
        } else if lead == State::Drained {
            self.lead_mut().counts.drained += 1;
            Waited::Drained { cursor }
        } else {
            self.time_out()
        };
        for (part, slot) in self.parts.iter().zip(&mut *self.slots) {
            let shard = self.guards.get_mut(*slot);
            old.push(slot.take().and_then(|key| shard.leave(key)));
            part.cell.trim(shard);
        }
        Some(ended)
    }

    /// Whether a parked poll has events after `since`, but before `end`.
    fn has_news(&self, since: u64, end: u64) -> bool {
        self.channels().any(|slot| {
            let shard = self.guards.get(slot);
            let first = shard.after(Some(shard.waiter(slot.key).channel), since).next();
            first.is_some_and(|(number, _)| number < end)
        })
    }

    fn time_out(&mut self) -> Waited {
        // A pause is nobody's hold.
        let is_hold = self.channels().next().is_some() || self.waits_for_hub();
        self.lead_mut().counts.timed_out += u64::from(is_hold);
        Waited::TimedOut { cursor: self.cursor() }
    }

    /// Collects the events after `since`, oldest first, up to the limits.
    fn batch(
        &mut self,
        since: u64,
        gap: bool,
        channel: impl Fn(&Shard, u32) -> Option<u32>,
    ) -> Batch {
        let guards = &self.guards;
        let after = |slot: &Slot| {
            let shard = guards.get(*slot);
            shard.after(channel(shard, slot.key), since)
        };
        let batch = match &*self.slots {
            [slot] => collect(self.common, after(slot), (self.cursor(), gap), self.max_events),
            slots => {
                let events = merge(slots.iter().map(after));
                collect(self.common, events, (self.cursor(), gap), self.max_events)
            }
        };
        self.lead_mut().count(&batch);
        batch
    }

    pub(super) fn refuse(&mut self, reason: Refused, since: Since) -> Waited {
        self.lead_mut().refuse(reason);
        Waited::Refused { reason, cursor: self.cursor().unmoved(since) }
    }

    fn lead(&self) -> &Shard {
        self.guards.get(Slot::NONE)
    }

    fn lead_mut(&mut self) -> &mut Shard {
        self.guards.get_mut(Slot::NONE)
    }

    fn cursor(&self) -> Cursor {
        self.common.cursor(self.sequence)
    }
}

fn known(key: u32) -> Option<u32> {
    (key != NIL).then_some(key)
}

/// A batch of the first of these events, up to the limits.
#[inline]
pub(super) fn collect<'h>(
    common: &Common,
    events: impl Iterator<Item = (u64, &'h Arc<Stored>)>,
    (present, gap): (Cursor, bool),
    max_events: usize,
) -> Batch {
    let (mut count, mut bytes, mut is_full) = (0_usize, 0_usize, false);
    let fits = |&(_, stored): &(u64, &Arc<Stored>)| {
        bytes = bytes.saturating_add(stored.event.payload().len());
        is_full = count == max_events || (bytes > common.config.max_batch_bytes && count > 0);
        count += 1;
        !is_full
    };
    let mut cursor = present;
    let entry = |(sequence, stored)| {
        cursor = common.cursor(sequence);
        Entry::new(cursor, Arc::clone(stored))
    };
    let entries = events.take_while(fits).map(entry).collect();
    // Of a full one the rest is for the next poll.
    let cursor = if is_full { cursor } else { present };
    Batch { entries, cursor, gap }
}

/// Merges events of several channels in the order of their numbers.
fn merge<'h, I>(channels: impl Iterator<Item = I>) -> impl Iterator<Item = (u64, &'h Arc<Stored>)>
where
    I: Iterator<Item = (u64, &'h Arc<Stored>)>,
{
    let mut heads: Vec<_> = channels.map(Iterator::peekable).collect();
    iter::from_fn(move || {
        let heads = heads.iter_mut().filter_map(|head| Some((head.peek()?.0, head)));
        heads.min_by_key(|&(sequence, _)| sequence)?.1.next()
    })
}
