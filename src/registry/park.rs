//! Polls: answered from the histories, parked, woken, and gone.

use std::{iter, sync::Arc, task::Waker};

use super::{Cell, Common, Registry, Room, Wanted, poll::Poll};
use crate::{
    channel::{Channel, Role},
    cursor::Since,
    history::Evicted,
    outcome::{Refused, Waited},
    random,
    shard::Short,
    slab::NIL,
    wake::WakeList,
};

/// One channel of a poll.
pub(crate) struct Part {
    pub(super) cell: Arc<Cell>,
    pub(super) channel: Channel,
    pub(super) hash: u64,
}

/// Where a part of a poll stands.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    /// The key of the waiter once it is parked; before, of the channel, or `NIL` if it has none.
    pub(super) key: u32,
    /// Which of the locked shards is the channel's.
    pub(super) guard: u32,
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
        let slot = Slot { key: NIL, guard: 0 };
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
        Ok(Parts::many(parts))
    }

    fn part(&self, channel: Channel) -> Result<Part, Refused> {
        let max_bytes = self.common.config.max_channel_name_bytes;
        if channel.as_str().len() > max_bytes {
            return Err(Refused::ChannelName { max_bytes });
        }
        let (hash, cell) = self.locate(channel.as_str());
        Ok(Part { cell: Arc::clone(cell), channel, hash })
    }

    /// Where nothing ever happens: any shard will do.
    pub(crate) fn nowhere(&self) -> Parts {
        let channel = Channel::nothing();
        let (hash, _) = self.common.locate(channel.as_str());
        let place = random::up_to(self.cells.len() as u64 - 1) as usize;
        let cell = self.cells.get(place).expect("there is a shard for every place");
        let part = Part { cell: Arc::clone(cell), channel, hash };
        Parts::One(part, Slot { key: NIL, guard: 0 })
    }
}

impl Common {
    /// Counts a poll that was refused before it came to a shard.
    pub(crate) fn count_refused(&self) {
        if let Some(cell) = self.cells().next() {
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
    fn many(mut parts: Vec<Part>) -> Self {
        parts.sort_unstable_by_key(|part| part.cell.index);
        let (mut slot, mut previous) = (Slot { key: NIL, guard: 0 }, None);
        let slots = parts.iter().map(|part| {
            let shard = previous.replace(part.cell.index);
            slot.guard += u32::from(shard.is_some_and(|shard| shard != part.cell.index));
            slot
        });
        let slots = slots.collect();
        Self::Many(parts.into(), slots)
    }

    /// Adds the key that only the newest wait has, or says why not.
    pub(crate) fn with_key(self, key: &str) -> Result<Self, (Refused, Self)> {
        let common = self.common();
        let max_bytes = common.config.max_channel_name_bytes;
        if key.len() > max_bytes {
            return Err((Refused::Key { max_bytes }, self));
        }
        let channel = Channel::key(key);
        let (hash, index) = common.locate(channel.as_str());
        // If the shard is gone, so are the hub and every other wait that is parked with the key.
        let Ok(Some(cell)) = common.cell(index) else { return Ok(self) };
        let mut parts = match self {
            Self::One(part, _) => vec![part],
            Self::Many(parts, _) => parts.into(),
        };
        parts.retain(|part| part.channel.role() == Role::Channel);
        parts.push(Part { cell, channel, hash });
        Ok(Self::many(parts))
    }

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
            let Err((short, wanted)) = &ended else { break };
            if step.may_help(*short) {
                self.common().make_room(step, now, wanted);
                ended = self.try_start(ask, waker, now, true);
            }
        }
        ended.unwrap_or_else(|(short, _)| {
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
    ) -> Result<Option<Waited>, (Short, Wanted)> {
        let (parts, slots) = self.split();
        let parks = if ask.deadline.is_some() { parts.len() } else { 0 };
        let mut wakers = WakeList::of(waker, parks);
        let mut gone = Evicted::default();
        let mut poll = Poll::lock(parts, slots, ask.max_events);
        poll.frugal = frugal;
        let common = poll.common;
        let mut older = WakeList::default();
        let started = poll.start(ask, now, &mut wakers, &mut gone, &mut older);
        let started = started.map_err(|short| (short, poll.wanted()));
        common.give_back(gone.weight);
        drop(poll);
        // A waker that panics has said so by now, and this poll is on its way.
        drop(older.wake());
        started
    }

    /// Looks at a parked poll that is polled again: its outcome, or none while it stays parked.
    pub(crate) fn resume(&mut self, max_events: usize, waker: &Waker) -> Option<Waited> {
        let (parts, slots) = self.split();
        let mut wakers = WakeList::of(waker, parts.len());
        let mut old = WakeList::default();
        let mut poll = Poll::lock(parts, slots, max_events);
        let ended = poll.resume(&mut wakers, &mut old);
        drop(poll);
        ended
    }

    /// Frees the records of a parked poll whose future is dropped; counted if its client left.
    pub(crate) fn abandon(&mut self, is_counted: bool) {
        let mut wakers = WakeList::default();
        let (parts, slots) = self.split();
        for (part, slot) in parts.iter().zip(slots) {
            let mut shard = part.cell.lock();
            shard.counts.dropped += u64::from(is_counted && shard.waiter(slot.key).lead);
            wakers.push(shard.leave(slot.key));
            part.cell.trim(&mut shard);
        }
    }
}
