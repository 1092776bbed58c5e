//! Publishing, and deleting.

use std::sync::Arc;

use super::{Cell, Common, Phase, Registry, Room, TICKS_PER_MS, Wanted};
use crate::{
    channel::Channel,
    event::{Event, Stored},
    history::{Bounds, Evicted, Held},
    outcome::{PublishError, Published},
    shard::{BATCH, Ended, Pace, Short},
    trace::{Changes, Moment},
    waiters::State,
    wake::{Panics, WakeList},
};

/// An event that has its place in the history.
struct Placed {
    sequence: u64,
    /// The deadline of a timer that was set for it.
    timer: Option<u64>,
    /// How many waits are parked on its channel, and what of them was ended.
    parked: usize,
    ended: Ended,
}

/// When an event is published.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    pub(crate) now: u64,
    /// The tick at which it is too old.
    pub(crate) expires: u64,
    pub(crate) moment: Moment,
}

impl Times {
    #[cfg(test)]
    pub(crate) const fn new(now: u64, expires: u64) -> Self {
        Self { now, expires, moment: Moment::NEVER }
    }
}

impl Registry {
    /// Stores an event and wakes who waits for it. Also returns the deadline of a timer that was
    /// set, and the panics of foreign wakers.
    pub(crate) fn publish(
        &self,
        channel: &Channel,
        event: Event,
        times: Times,
    ) -> Result<(Published, Option<u64>, Panics), PublishError> {
        if self.common.config.follows {
            return Err(PublishError::Follows);
        }
        self.publish_as(Number::Next, channel, event, times)
    }

    pub(super) fn publish_as(
        &self,
        number: Number,
        channel: &Channel,
        event: Event,
        times: Times,
    ) -> Result<(Published, Option<u64>, Panics), PublishError> {
        let config = &self.common.config;
        if event.payload().len() > config.max_payload_bytes {
            return Err(PublishError::Payload { max_bytes: config.max_payload_bytes });
        }
        if channel.as_str().len() > config.max_channel_name_bytes {
            return Err(PublishError::ChannelName { max_bytes: config.max_channel_name_bytes });
        }
        let cell = self.locate(channel);
        let stored = Some(Stored::new(channel.clone(), event, times.moment));
        let changes = Changes::default();
        // What is let go is dropped when the waits have been woken: nothing foreign comes before.
        let (gone, wakers) = (Evicted::default(), WakeList::default());
        let mut publish = Publish { number, times, stored, gone, wakers };
        let placed = match publish.place(cell, false, &changes) {
            Ok(placed) => placed,
            Err(short) => self.place_short(cell, &mut publish, short, &changes)?,
        };
        let Some(Placed { sequence, timer, parked: woken, ended }) = placed else {
            return Err(PublishError::Closed);
        };
        let broadcast = Broadcast { channel, sequence, state: State::Woken, now: times.now };
        let panics = cell.wake_rest(&broadcast, &mut publish.wakers, ended);
        Ok((Published { cursor: self.common.cursor(sequence), woken }, timer, panics))
    }

    /// Places an event for which there was no room, if room can be made.
    #[cold]
    fn place_short(
        &self,
        cell: &Cell,
        publish: &mut Publish,
        short: Short,
        changes: &Changes,
    ) -> Result<Option<Placed>, PublishError> {
        let config = &self.common.config;
        let mut placed = Err(short);
        for step in Room::STEPS {
            for _ in 0..step.tries() {
                let Err(short) = placed else { break };
                let wanted = Wanted { wait: None, channels: vec![cell.index] };
                let now = publish.times.now;
                if !step.may_help(short) || !self.common.make_room(step, now, &wanted) {
                    break;
                }
                placed = publish.place(cell, true, changes);
            }
        }
        let weight = publish.stored.as_ref().map_or(0, |stored| stored.weight());
        // Invariant: with all others gone there is room, so that this ends.
        let evicts = config.evict_oldest && weight <= config.total_history_bytes;
        while let (true, Err(Short::Bytes(missing))) = (evicts, &placed) {
            // Others may be quicker to use what was freed.
            self.evict_oldest(*missing, &mut publish.gone, changes);
            placed = publish.place(cell, true, changes);
        }
        placed.map_err(|short| match short {
            Short::Bytes(_) => PublishError::TotalHistory { max_bytes: config.total_history_bytes },
            Short::Channels | Short::Waits | Short::Ahead => {
                PublishError::Channels { max: config.max_channels }
            }
        })
    }

    /// Lets the oldest events of all channels go until so much is freed, or nothing is left.
    fn evict_oldest(&self, bytes: usize, old: &mut Evicted, changes: &Changes) {
        let enough = old.weight.saturating_add(bytes);
        while old.weight < enough {
            let oldest = self.cells.iter().filter_map(|cell| Some((cell.look().oldest()?, cell)));
            let mut oldest: Vec<_> = oldest.collect();
            oldest.sort_unstable_by_key(|&(sequence, _)| sequence);
            let Some((_, cell)) = oldest.first() else { return };
            // Until another shard has the oldest.
            let until = oldest.get(1).map_or(u64::MAX, |&(sequence, _)| sequence);
            let mut shard = cell.lock(changes);
            let before = old.weight;
            for _ in 0..BATCH {
                if old.weight >= enough || shard.oldest().is_none_or(|oldest| oldest >= until) {
                    break;
                }
                shard.evict_oldest(old);
            }
            self.common.give_back(old.weight - before);
        }
    }

    /// Wakes who waits on a channel, without an event. Returns how many.
    pub(crate) fn touch(&self, channel: &Channel, now: u64) -> (usize, Panics) {
        if self.common.config.follows {
            return (0, Panics::default());
        }
        self.touch_as(Number::Next, channel, now)
    }

    pub(super) fn touch_as(&self, number: Number, channel: &Channel, now: u64) -> (usize, Panics) {
        let cell = self.locate(channel);
        let (changes, mut wakers) = (Changes::default(), WakeList::default());
        let mut shard = cell.lock(&changes);
        let found = shard.find(channel);
        let Some(key) = found.filter(|&key| shard.parked(key) > 0) else {
            return (0, Panics::default());
        };
        // Who registers from now on was not meant.
        let sequence = self.common.take(number);
        let woken = shard.parked(key);
        let pace = self.common.config.max_releases_per_ms;
        let ended = shard.broadcast(key, sequence, State::Touched, pace, &mut wakers);
        drop(shard);
        let broadcast = Broadcast { channel, sequence, state: State::Touched, now };
        (woken, cell.wake_rest(&broadcast, &mut wakers, ended))
    }

    /// Lets all events of a channel go and ends its waits. False if there is no such channel.
    pub(crate) fn delete(&self, channel: &Channel, now: u64) -> bool {
        if self.common.config.follows {
            return false;
        }
        let (is_deleted, panics) = self.delete_as(Number::Next, channel, now);
        panics.resume();
        is_deleted
    }

    pub(super) fn delete_as(&self, number: Number, channel: &Channel, now: u64) -> (bool, Panics) {
        let cell = self.locate(channel);
        let changes = Changes::default();
        let (mut gone, mut wakers) = (Evicted::default(), WakeList::default());
        let mut shard = cell.lock(&changes);
        let Some(key) = shard.find_current(channel, now, &mut gone) else {
            self.common.give_back(gone.weight);
            drop(shard);
            return (false, Panics::default());
        };
        // Who registers from now on waits for a new channel of the same name.
        let sequence = self.common.take(number);
        let pace = self.common.config.max_releases_per_ms;
        let ended = shard.broadcast(key, sequence, State::Deleted, pace, &mut wakers);
        shard.delete(key, &mut gone);
        self.common.give_back(gone.weight);
        drop(shard);
        let broadcast = Broadcast { channel, sequence, state: State::Deleted, now };
        (true, cell.wake_rest(&broadcast, &mut wakers, ended))
    }
}

/// Where an event has its number from.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// It is the next one of this hub.
    Next,
    /// The log has given it.
    Given(u64),
}

impl Common {
    /// Under the lock of the shard that the number is for.
    fn take(&self, number: Number) -> u64 {
        match number {
            Number::Next => self.next_sequence(),
            Number::Given(sequence) => self.advance(sequence),
        }
    }
}

/// What the waits of a channel are ended for that registered before it.
struct Broadcast<'a> {
    channel: &'a Channel,
    sequence: u64,
    state: State,
    now: u64,
}

/// An event on its way to its place.
struct Publish {
    number: Number,
    times: Times,
    /// None once it is in its place.
    stored: Option<Arc<Stored>>,
    /// What makes way for it, and who is woken for it.
    gone: Evicted,
    wakers: WakeList,
}

impl Publish {
    /// Gives the event its number and its place, both under the lock, and takes the first wakers.
    /// None if the hub is closed.
    fn place(
        &mut self,
        cell: &Cell,
        frugal: bool,
        changes: &Changes,
    ) -> Result<Option<Placed>, Short> {
        let common = &*cell.common;
        let config = &common.config;
        let Self { number, times: Times { now, expires, .. }, stored, gone, wakers } = self;
        let Some(new) = stored.as_mut() else { return Ok(None) };
        let mut shard = cell.lock(changes);
        if common.phase() == Phase::Closed {
            return Ok(None);
        }
        let before = gone.weight;
        let found = shard.find_now(&new.channel, *now, gone);
        common.give_back(gone.weight - before);
        let key = match found {
            Some(key) => {
                // All events of a channel share its name.
                if let Some(name) = shard.own_name(key, &new.channel) {
                    if let Some(new) = Arc::get_mut(new) {
                        new.channel = name;
                    }
                }
                key
            }
            None => {
                cell.refill_channels(&mut shard, frugal);
                shard.open(&new.channel)?
            }
        };

        let weight = new.weight();
        let bounds = Bounds { events: config.history_events, bytes: config.history_bytes };
        let (count, freed) = shard.pushed_out_by(key, weight, bounds);
        if let Err(short) = common.take_bytes(weight, freed) {
            shard.retire(key);
            return Err(short);
        }
        let sequence = common.take(*number);
        let held = stored.take().map(|stored| Held { sequence, expires: *expires, stored });
        let timer = held.and_then(|held| shard.store(key, held, count, gone));
        let parked = shard.parked(key);
        let pace = config.max_releases_per_ms;
        let ended = shard.broadcast(key, sequence, State::Woken, pace, wakers);
        drop(shard);
        Ok(Some(Placed { sequence, timer, parked, ended }))
    }
}

impl Cell {
    /// Wakes the waits that were taken, then the rest in batches, each under a lock of its own: the
    /// other channels of the shard wait for one batch at most. Waits that register meanwhile have
    /// seen the sequence and are left alone. After so many, the rest is left to a driver.
    fn wake_rest(
        &self,
        broadcast: &Broadcast<'_>,
        wakers: &mut WakeList,
        mut ended: Ended,
    ) -> Panics {
        let &Broadcast { channel, sequence, state, now } = broadcast;
        let per_ms = self.common.config.max_releases_per_ms;
        let mut pace = Pace::new(per_ms, TICKS_PER_MS, now);
        pace.take(ended.count);
        let mut at_once = BATCHES_AT_ONCE * BATCH - ended.count;
        let changes = Changes::default();
        let mut panics = wakers.wake();
        while ended.more {
            let most = pace.allows(now).min(at_once);
            let mut shard = self.lock(&changes);
            // The channel may be gone by now, or another one of its name; the sequence tells.
            let Some(key) = shard.find(channel) else { break };
            if most == 0 {
                shard.fan_out(key, sequence, state, pace);
                drop(shard);
                let is_left = self.common.rings();
                return if is_left { panics } else { panics.and(self.release_all()) };
            }
            ended = shard.end_before(key, sequence, state, most.min(BATCH), wakers);
            drop(shard);
            pace.take(ended.count);
            at_once -= ended.count;
            panics = panics.and(wakers.wake());
        }
        panics
    }

    /// Ends all broadcasts on their way at once.
    fn release_all(&self) -> Panics {
        let mut panics = Panics::default();
        while self.lock(&Changes::default()).hurry() {
            panics = panics.and(self.release(0).1);
        }
        panics
    }
}

impl Common {
    /// Has a driver see to broadcasts on their way; false if there is none to rely on.
    fn rings(&self) -> bool {
        self.alarm.ring_any(self.config.max_releases_per_ms < usize::MAX)
    }

    /// Leaves broadcasts on their way to another driver, or ends them: one has gone, or cannot pace
    /// them.
    pub(crate) fn hand_over(&self) {
        if !self.rings() {
            // A waker that panics has said so by now.
            self.cells().for_each(|cell| drop(cell.release_all()));
        }
    }
}

/// How many batches of waits a broadcast wakes before its publisher goes on; what is left is for a
/// driver.
const BATCHES_AT_ONCE: usize = if cfg!(loom) { 1 } else { 16 };
