//! Polls: answered from the histories, parked, woken, and gone.

use std::{iter, sync::Arc, task::Waker};

use super::{Cell, Common, Phase, Registry, Room};
use crate::{
    channel::Channel,
    cursor::{Cursor, Since},
    event::Entry,
    history::{Evicted, Held},
    outcome::{Batch, Refused, Waited},
    shard::{Shard, Short},
    slab::NIL,
    sync::MutexGuard,
    waiters::State,
    wake::WakeList,
};

/// One channel of a poll.
pub(crate) struct Part {
    cell: Arc<Cell>,
    channel: Channel,
    hash: u64,
}

/// Where a part of a poll stands.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    /// The key of the waiter once it is parked; before, of the channel, or `NIL` if it has none.
    key: u32,
    /// Which of the locked shards is the channel's.
    guard: u32,
}

/// The channels of a poll: in the order of their shards, each once, at least one. The first is the
/// lead.
pub(crate) enum Parts {
    One(Part, Slot),
    Many(Box<[Part]>, Box<[Slot]>),
}

/// What a poll asks for.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) since: Since,
    /// None to be answered at once.
    pub(crate) deadline: Option<u64>,
    pub(crate) max_events: usize,
}

impl Registry {
    /// Finds the shards of channels.
    pub(crate) fn parts<C>(&self, channels: C) -> Result<Parts, Refused>
    where
        C: IntoIterator<Item: Into<Channel>>,
    {
        let max = self.common.config.max_channels_per_wait;
        let mut channels = channels.into_iter().map(Into::into);
        let first = self.part(channels.next().ok_or(Refused::NoChannels)?)?;
        let mut slot = Slot { key: NIL, guard: 0 };
        let too_many = Refused::ChannelsPerWait { max };
        let Some(second) = channels.next() else {
            return (max > 0).then_some(Parts::One(first, slot)).ok_or(too_many);
        };

        if max == 0 {
            return Err(too_many);
        }
        let mut parts = vec![first];
        for channel in iter::once(second).chain(channels) {
            let part = self.part(channel)?;
            if parts.iter().any(|other| other.is(&part)) {
                continue;
            }
            if parts.len() == max {
                return Err(too_many);
            }
            parts.push(part);
        }
        parts.sort_unstable_by_key(|part| part.cell.index);
        let mut previous = None;
        let slots = parts.iter().map(|part| {
            let shard = previous.replace(part.cell.index);
            slot.guard += u32::from(shard.is_some_and(|shard| shard != part.cell.index));
            slot
        });
        let slots = slots.collect();
        Ok(Parts::Many(parts.into(), slots))
    }

    fn part(&self, channel: Channel) -> Result<Part, Refused> {
        let max_bytes = self.common.config.max_channel_name_bytes;
        if channel.as_str().len() > max_bytes {
            return Err(Refused::ChannelName { max_bytes });
        }
        let (hash, cell) = self.locate(channel.as_str());
        Ok(Part { cell: Arc::clone(cell), channel, hash })
    }

    /// Counts a poll that was refused before it came to a shard.
    pub(crate) fn count_refused(&self) {
        if let Some(cell) = self.cells.first() {
            cell.lock().counts.refused += 1;
        }
    }
}

impl Part {
    fn is(&self, other: &Self) -> bool {
        self.hash == other.hash && self.channel == other.channel
    }
}

impl Parts {
    fn split(&mut self) -> (&[Part], &mut [Slot]) {
        match self {
            Self::One(part, slot) => (std::slice::from_ref(part), std::slice::from_mut(slot)),
            Self::Many(parts, slots) => (parts, slots),
        }
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        let lead = match self {
            Self::One(part, _) => Some(part),
            Self::Many(parts, _) => parts.first(),
        };
        &lead.expect("a poll has a channel").cell.common
    }

    /// Answers the poll if there is anything to answer, else parks it; both under the same locks.
    pub(crate) fn start(&mut self, ask: &Ask, waker: &Waker, now: u64) -> Option<Waited> {
        let mut ended = self.try_start(ask, waker, now, false);
        for step in Room::STEPS {
            let Err(short) = ended else { break };
            if step.may_help(short) {
                let (parts, _) = self.split();
                let wanting: Vec<_> = parts.iter().map(|part| part.cell.index).collect();
                self.common().make_room(step, now, &wanting);
                ended = self.try_start(ask, waker, now, true);
            }
        }
        ended.unwrap_or_else(|short| {
            let (parts, slots) = self.split();
            let mut poll = Poll::lock(parts, slots, ask.max_events);
            let config = &poll.common.config;
            let reason = match short {
                Short::Waits => Refused::Waits { max: config.max_waits },
                Short::Channels | Short::Bytes => Refused::Channels { max: config.max_channels },
            };
            Some(poll.refuse(reason, ask.since))
        })
    }

    fn try_start(
        &mut self,
        ask: &Ask,
        waker: &Waker,
        now: u64,
        frugal: bool,
    ) -> Result<Option<Waited>, Short> {
        let (parts, slots) = self.split();
        let parks = if ask.deadline.is_some() { parts.len() } else { 0 };
        let mut wakers: WakeList = iter::repeat_n(waker, parks).cloned().collect();
        let mut gone = Evicted::default();
        let mut poll = Poll::lock(parts, slots, ask.max_events);
        poll.frugal = frugal;
        let common = poll.common;
        let ended = poll.start(ask, now, &mut wakers, &mut gone);
        common.give_back(gone.weight);
        drop(poll);
        ended
    }

    /// Looks at a parked poll that is polled again: its outcome, or none while it stays parked.
    pub(crate) fn resume(&mut self, max_events: usize, waker: &Waker) -> Option<Waited> {
        let (parts, slots) = self.split();
        let mut wakers: WakeList = iter::repeat_n(waker, parts.len()).cloned().collect();
        let mut old = WakeList::default();
        let mut poll = Poll::lock(parts, slots, max_events);
        let ended = poll.resume(&mut wakers, &mut old);
        drop(poll);
        ended
    }

    /// Frees the records of a parked poll whose future is dropped.
    pub(crate) fn abandon(&mut self) {
        let mut wakers = WakeList::default();
        let (parts, slots) = self.split();
        for (part, slot) in parts.iter().zip(slots) {
            let mut shard = part.cell.lock();
            shard.counts.dropped += u64::from(shard.waiter(slot.key).lead);
            wakers.push(shard.leave(slot.key));
            part.cell.trim(&mut shard);
        }
    }
}

/// A poll with its shards locked.
struct Poll<'a> {
    common: &'a Common,
    parts: &'a [Part],
    slots: &'a mut [Slot],
    guards: Guards<'a>,
    /// The hub's sequence, read under the locks.
    sequence: u64,
    max_events: usize,
    /// Whether permits were short just now.
    frugal: bool,
}

enum Guards<'a> {
    One(MutexGuard<'a, Shard>),
    Many(Vec<MutexGuard<'a, Shard>>),
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
    fn lock(parts: &'a [Part], slots: &'a mut [Slot], max_events: usize) -> Self {
        let (lead, others) = parts.split_first().expect("a poll has a channel");
        let guards = if others.is_empty() {
            Guards::One(lead.cell.lock())
        } else {
            let mut guards = Vec::new();
            for (part, slot) in parts.iter().zip(&*slots) {
                if slot.guard as usize == guards.len() {
                    guards.push(part.cell.lock());
                }
            }
            Guards::Many(guards)
        };
        let common = &*lead.cell.common;
        let sequence = common.sequence();
        Self { common, parts, slots, guards, sequence, max_events, frugal: false }
    }

    fn start(
        &mut self,
        ask: &Ask,
        now: u64,
        wakers: &mut WakeList,
        gone: &mut Evicted,
    ) -> Result<Option<Waited>, Short> {
        let refused = match self.common.phase() {
            Phase::Open => None,
            Phase::Draining => Some(Refused::Draining),
            Phase::Closed => Some(Refused::Closed),
        };
        if let Some(reason) = refused {
            return Ok(Some(self.refuse(reason, ask.since)));
        }
        // Another hub's cursor, or one ahead of this hub: nobody knows what its client has seen.
        let (since, mut gap) = match ask.since {
            Since::Now => (self.sequence, false),
            Since::Oldest => (0, false),
            Since::Cursor(cursor) if !self.is_mine(cursor) => (0, true),
            Since::Cursor(cursor) => (cursor.sequence(), false),
        };
        let mut ready = gap;
        for (part, slot) in self.parts.iter().zip(&mut *self.slots) {
            let shard = self.guards.get_mut(*slot);
            let key = shard.find_now(part.hash, part.channel.as_str(), now, gone);
            slot.key = key.unwrap_or(NIL);
            let (news, missed) = shard.look(key, since);
            gap |= missed && ask.since != Since::Oldest;
            ready |= news || gap;
        }
        if ready {
            return Ok(Some(Waited::Events(self.batch(since, gap, |_, key| known(key)))));
        }
        let Some(deadline) = ask.deadline else {
            self.lead_mut().counts.timed_out += 1;
            return Ok(Some(Waited::TimedOut { cursor: self.cursor() }));
        };
        self.park(ask.since, deadline, wakers)
    }

    /// Parks every part, or none.
    fn park(
        &mut self,
        since: Since,
        deadline: u64,
        wakers: &mut WakeList,
    ) -> Result<Option<Waited>, Short> {
        let max = self.common.config.max_waits_per_channel;
        if self.slots.iter().any(|&slot| self.guards.get(slot).waiters(known(slot.key)) >= max) {
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
            if slot.key == NIL {
                part.cell.refill_channels(shard, self.frugal);
            }
            let waker = wakers.pop().expect("there is a waker for every part");
            let name = (part.hash, &part.channel);
            match shard.park(known(slot.key), name, deadline.take(), self.sequence, waker) {
                Ok(key) => slot.key = key,
                Err((short, waker)) => {
                    wakers.push(Some(waker));
                    for slot in self.slots.iter().take(place) {
                        wakers.push(self.guards.get_mut(*slot).leave(slot.key));
                    }
                    return Err(short);
                }
            }
        }
        Ok(None)
    }

    fn resume(&mut self, wakers: &mut WakeList, old: &mut WakeList) -> Option<Waited> {
        let states = self.slots.iter().map(|&slot| self.guards.get(slot).waiter(slot.key).state);
        if states.clone().all(|state| state == State::Parked) {
            for slot in &*self.slots {
                let mut waker = wakers.pop();
                self.guards.get_mut(*slot).set_waker(slot.key, &mut waker);
                old.push(waker);
            }
            return None;
        }
        let lead = self.lead().waiter(self.slots.first().expect("a poll has a channel").key);
        let (lead, since) = (lead.state, lead.registered);
        let woken = states.clone().any(|state| state == State::Woken);
        let deleted = states.clone().position(|state| state == State::Deleted);

        let (mut ready, mut gap) = (false, false);
        for &slot in &*self.slots {
            let shard = self.guards.get(slot);
            let (news, missed) = shard.look(Some(shard.waiter(slot.key).channel), since);
            ready |= news;
            gap |= missed;
        }
        let cursor = self.cursor();
        let ended = if ready || gap || woken {
            // Invariant: the event that woke a wait is held, or is below its channel's floor.
            debug_assert!(ready || gap, "a woken wait finds its event or a gap");
            let channel = |shard: &Shard, key| Some(shard.waiter(key).channel);
            Waited::Events(self.batch(since, gap, channel))
        } else if let Some(part) = deleted.and_then(|place| self.parts.get(place)) {
            self.lead_mut().counts.deleted += 1;
            Waited::Deleted { channel: part.channel.clone(), cursor }
        } else if lead == State::Drained {
            self.lead_mut().counts.drained += 1;
            Waited::Drained { cursor }
        } else {
            self.lead_mut().counts.timed_out += 1;
            Waited::TimedOut { cursor }
        };
        for (part, slot) in self.parts.iter().zip(&*self.slots) {
            let shard = self.guards.get_mut(*slot);
            old.push(shard.leave(slot.key));
            part.cell.trim(shard);
        }
        Some(ended)
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
        let mut batch = Batch { entries: Vec::new(), cursor: self.cursor(), gap };
        match &*self.slots {
            [slot] => self.fill(&mut batch, after(slot)),
            slots => self.fill(&mut batch, merge(slots.iter().map(after))),
        }
        let counts = &mut self.lead_mut().counts;
        counts.delivered += batch.len() as u64;
        counts.gaps += u64::from(gap);
        batch
    }

    fn fill<'h>(&self, batch: &mut Batch, events: impl Iterator<Item = &'h Held>) {
        let mut bytes = 0_usize;
        for held in events {
            bytes = bytes.saturating_add(held.stored.event.payload().len());
            let full = bytes > self.common.config.max_batch_bytes && !batch.is_empty();
            if full || batch.len() == self.max_events {
                // The rest is for the next poll.
                batch.cursor = batch.entries.last().map_or(batch.cursor, Entry::cursor);
                return;
            }
            let cursor = self.common.cursor(held.sequence);
            batch.entries.push(Entry::new(cursor, Arc::clone(&held.stored)));
        }
    }

    fn refuse(&mut self, reason: Refused, since: Since) -> Waited {
        self.lead_mut().counts.refused += 1;
        Waited::Refused { reason, cursor: self.cursor().unmoved(since) }
    }

    fn lead(&self) -> &Shard {
        self.guards.get(Slot { key: NIL, guard: 0 })
    }

    fn lead_mut(&mut self) -> &mut Shard {
        self.guards.get_mut(Slot { key: NIL, guard: 0 })
    }

    fn cursor(&self) -> Cursor {
        self.common.cursor(self.sequence)
    }

    fn is_mine(&self, cursor: Cursor) -> bool {
        cursor.epoch() == self.common.epoch && cursor.sequence() <= self.sequence
    }
}

fn known(key: u32) -> Option<u32> {
    (key != NIL).then_some(key)
}

/// Merges events of several channels in the order of their numbers.
fn merge<'h, I>(channels: impl Iterator<Item = I>) -> impl Iterator<Item = &'h Held>
where
    I: Iterator<Item = &'h Held>,
{
    let mut heads: Vec<_> = channels.map(Iterator::peekable).collect();
    iter::from_fn(move || {
        let heads = heads.iter_mut().filter_map(|head| Some((head.peek()?.sequence, head)));
        heads.min_by_key(|&(sequence, _)| sequence)?.1.next()
    })
}
