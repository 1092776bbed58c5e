//! Polls: answered from the histories, parked, woken, and gone.

use std::{mem, task::Waker};

use super::{
    Common, Parts, Phase, Room, Wanted,
    parts::{Part, Slot},
    poll::{Poll, collect},
};
use crate::{
    cursor::Since,
    history::Evicted,
    outcome::{Batch, Refused, Waited},
    shard::Short,
    slab::NIL,
    trace::Changes,
    waiters::State,
    wake::{WakeList, drop_alone},
};

/// What a poll asks for.
#[derive(Clone, Copy)]
pub(crate) struct Ask {
    pub(crate) since: Since,
    /// None to be answered at once.
    pub(crate) deadline: Option<u64>,
    pub(crate) max_events: usize,
    /// Whether it was parked before, until its hub came to where it is.
    pub(crate) was_parked: bool,
}

impl Common {
    /// Counts a poll that was refused before it came to a shard.
    pub(crate) fn count_refused(&self, reason: Refused) {
        let changes = Changes::default();
        if let Some(cell) = self.cells().next() {
            cell.lock(&changes).refuse(reason);
        }
    }
}

impl Parts {
    /// Answers the poll if there is anything to answer, else parks it; both under the same locks.
    pub(crate) fn start(&mut self, ask: &Ask, waker: &Waker, now: u64) -> Option<Waited> {
        if let Self::One(part, slot) = self {
            if part.park(slot, ask, waker) {
                return None;
            }
        }
        match self.try_start(ask, waker, now, false) {
            Ok(ended) => ended,
            Err((Short::Ahead, _)) if self.fall_in() => self.start_ahead(ask, waker, now),
            Err(short) => self.start_short(ask, waker, now, short),
        }
    }

    /// Starts a poll that waits for its hub, unless that has come by now.
    fn start_ahead(&mut self, ask: &Ask, waker: &Waker, now: u64) -> Option<Waited> {
        let ended = match self.try_start(ask, waker, now, false) {
            Ok(ended) => ended,
            Err(short) => self.start_short(ask, waker, now, short),
        };
        match ended {
            Some(Waited::Touched { .. }) => {
                self.go_on();
                self.start(ask, waker, now)
            }
            ended => ended.map(|ended| ended.unmoved(ask.since)),
        }
    }

    /// Starts a poll for which there was no room, if room can be made.
    fn start_short(
        &mut self,
        ask: &Ask,
        waker: &Waker,
        now: u64,
        short: (Short, Wanted),
    ) -> Option<Waited> {
        let mut ended = Err(short);
        for step in Room::STEPS {
            for _ in 0..step.tries() {
                let Err((short, wanted)) = &ended else { break };
                if !step.may_help(*short) || !self.common().make_room(step, now, wanted) {
                    break;
                }
                ended = self.try_start(ask, waker, now, true);
            }
        }
        ended.unwrap_or_else(|(short, _)| {
            let changes = Changes::default();
            let mut poll = Poll::lock(self.split(), ask.max_events, &changes);
            let config = &poll.common.config;
            let reason = match short {
                Short::Waits => Refused::Waits { max: config.max_waits },
                // What it waits for will not come: the hub is gone.
                Short::Ahead => Refused::Closed,
                Short::Channels | Short::Bytes(_) => Refused::Channels { max: config.max_channels },
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
        let changes = Changes::default();
        let (parts, slots) = self.split();
        let parks = if ask.deadline.is_some() { parts.len() } else { 0 };
        let mut wakers = WakeList::of(waker, parks);
        let (mut gone, mut older) = (Evicted::default(), WakeList::default());
        let mut poll = Poll::lock((parts, slots), ask.max_events, &changes);
        poll.frugal = frugal;
        let started = poll.start(ask, now, &mut wakers, &mut gone, &mut older);
        let started = started.map_err(|short| (short, poll.wanted()));
        poll.common.give_back(gone.weight);
        drop(poll);
        // A waker that panics has said so by now, and this poll is on its way.
        drop(older.wake());
        started
    }

    /// Looks at a parked poll that is polled again: its outcome, or none while it stays parked. One
    /// that waited for its hub begins `now` if that has come.
    pub(crate) fn resume(
        &mut self,
        since: Since,
        max_events: usize,
        waker: &Waker,
        now: impl FnOnce(&Common) -> u64,
    ) -> Option<Waited> {
        if let Self::One(part, slot) = self {
            if let Some(batch) = part.answer(slot, max_events) {
                return Some(Waited::Events(batch));
            }
        }
        let (changes, ahead) = (Changes::default(), self.ahead());
        let (parts, slots) = self.split();
        let mut wakers = WakeList::of(waker, parts.len());
        let mut old = WakeList::default();
        let mut poll = Poll::lock((parts, slots), max_events, &changes);
        let ended = poll.resume(&mut wakers, &mut old);
        drop(poll);
        match (ahead, ended) {
            (Some(deadline), Some(Waited::Touched { .. })) => {
                self.go_on();
                let now = now(self.common());
                self.start(&Ask { since, deadline, max_events, was_parked: true }, waker, now)
            }
            (Some(_), ended) => ended.map(|ended| ended.unmoved(since)),
            (None, ended) => ended,
        }
    }

    /// Frees the records of a parked poll whose future is dropped; counted if its client left.
    pub(crate) fn abandon(&mut self, is_counted: bool) {
        let changes = Changes::default();
        let (parts, slots) = self.split();
        for (part, slot) in parts.iter().zip(slots) {
            let Some(key) = slot.take() else { continue };
            let mut shard = part.cell.lock(&changes);
            shard.counts.dropped += u64::from(is_counted && shard.waiter(key).lead);
            let waker = shard.leave(key);
            part.cell.trim(&mut shard);
            drop(shard);
            drop_alone(waker);
        }
    }
}

/// The two most common steps of polls of one channel. What they do [`Poll`] would do, too, but take
/// three times as long; every other case is left to it.
impl Part {
    /// Parks the poll if its channel has a record, but nothing to tell, and there is room.
    fn park(&self, slot: &mut Slot, ask: &Ask, waker: &Waker) -> bool {
        let Some(deadline) = ask.deadline else { return false };
        let changes = Changes::default();
        // Cloned before the lock, and if it is not used dropped after it.
        let mut waker = Some(waker.clone());
        let common = &*self.cell.common;
        let mut shard = self.cell.lock(&changes);
        let present = common.sequence();
        let parks = common.phase() == Phase::Open && shard.spare_waits > 0;
        let since = common.resolve(ask.since, present).filter(|&(_, gap)| parks && !gap);
        let channel = since.and_then(|(since, _)| {
            let channel = shard.find(&self.channel)?;
            let is_quiet = shard.look(Some(channel), since) == (false, false);
            let waits = shard.waiters(Some(channel));
            (is_quiet && waits < common.config.max_waits_per_channel).then_some(channel)
        });
        if let Some((channel, waker)) = channel.and_then(|channel| Some((channel, waker.take()?))) {
            slot.key = shard.enqueue(channel, Some(deadline), present, waker);
        }
        drop(shard);
        let is_parked = waker.is_none();
        drop_alone(waker);
        is_parked
    }

    /// Answers the poll if an event has woken it.
    fn answer(&self, slot: &mut Slot, max_events: usize) -> Option<Batch> {
        let common = &*self.cell.common;
        let changes = Changes::default();
        let mut shard = self.cell.lock(&changes);
        let waiter = shard.waiter(slot.key);
        if waiter.state != State::Woken {
            return None;
        }
        let since = waiter.registered;
        let history = shard.history(waiter.channel);
        let gap = waiter.stale || since < history.floor() || common.has_missed(since);
        let present = common.cursor(common.sequence());
        let batch = collect(common, history.after(since), (present, gap), max_events);
        // Invariant: the event that woke a wait is held, or is below its channel's floor.
        debug_assert!(batch.gap || !batch.is_empty(), "a woken wait finds its event or a gap");
        shard.count(&batch);
        let waker = shard.leave(mem::replace(&mut slot.key, NIL));
        self.cell.trim(&mut shard);
        drop(shard);
        drop_alone(waker);
        Some(batch)
    }
}
