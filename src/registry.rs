//! Shards behind their locks.
//!
//! A channel belongs to the shard that its keyed hash says. The rules of locking:
//!
//! - Whoever needs several shards locks them in the order of their index.
//! - Under a lock nothing foreign runs: no waker is called, cloned or dropped, no payload dropped.
//! - A publish takes the next sequence number under the lock of its channel's shard, and stores the
//!   event under the same lock. So whoever holds the locks of some channels knows that every number
//!   handed out for them is stored, and that the hub's sequence is an exact position for them.
//! - What changes is reported after all locks are gone, and after all wakers were woken: whoever
//!   locks makes its [`Changes`] first.

mod alarm;
mod drain;
mod follow;
#[cfg(all(test, loom))]
mod models;
mod park;
mod parts;
mod poll;
mod publish;
mod quota;
#[cfg(all(test, not(loom)))]
mod tests;

use std::{
    any::Any,
    hash::BuildHasher,
    num::NonZeroU64,
    ops::Deref,
    sync::{Arc, OnceLock, Weak, atomic},
    time::Instant,
};

use self::follow::Following;
use self::quota::Quota;
pub(crate) use self::{alarm::Alarm, park::Ask, parts::Parts, publish::Times};
use crate::{
    channel::Channel,
    config::Config,
    cursor::{Cursor, Since},
    history::Evicted,
    shard::{BATCH, Counts, Holds, Shard, Short},
    sync::{AtomicU8, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, Padded, RandomState},
    trace::{Changes, Telling},
    wake::{Panics, WakeList},
};

/// Deadlines are rounded up to a tick: a fine one, or half a millisecond would be lost on average
/// beside what tokio takes, whose timers are no finer.
pub(crate) const TICKS_PER_MS: u64 = 4;

/// What every publish writes to.
struct Traffic {
    /// The last number handed out.
    sequence: AtomicU64,
    /// The weight of all histories.
    history_bytes: AtomicUsize,
}

/// What all shards of a hub share. It knows the shards, but does not keep them alive.
pub(crate) struct Common {
    pub(crate) config: Config,
    /// Tick 0.
    pub(crate) base: Instant,
    id: u64,
    /// Changed only under the locks of all shards, and zero only there.
    epoch: atomic::AtomicU64,
    /// A poll from before here has missed events, whatever its channels. Changed like the epoch.
    floor: atomic::AtomicU64,
    /// Set once, when the hub is made.
    cells: OnceLock<Box<[Weak<Cell>]>>,
    phase: AtomicU8,
    waits: Padded<Quota>,
    channels: Padded<Quota>,
    traffic: Padded<Traffic>,
    pub(crate) alarm: Padded<Alarm>,
    pub(crate) following: Following,
}

/// A shard and its lock. A wait keeps its shards alive by their own counts: one count for the whole
/// hub would be written to by all cores at every wait.
pub(crate) struct Cell {
    index: usize,
    pub(crate) common: Arc<Common>,
    shard: Mutex<Shard>,
}

impl Drop for Cell {
    fn drop(&mut self) {
        // The driver looks whether this was the last.
        self.common.alarm.ring();
    }
}

/// A locked shard. What it changes is noted when it is unlocked.
type Locked<'a> = Telling<'a, MutexGuard<'a, Shard>>;

/// Where room is found at a limit that all shards share, in the order in which it is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Permits that other shards have to spare.
    Spare,
    /// What has run out and no driver has looked at yet.
    Due,
    /// Channels that only remember that they were deleted.
    Remnants,
}

impl Room {
    const STEPS: [Self; 3] = [Self::Spare, Self::Due, Self::Remnants];

    /// How often it is worth a try. What remnants leave may be one of the channels that are wanted, or
    /// somebody else is quicker.
    fn tries(self) -> usize {
        if self == Self::Remnants { 64 } else { 1 }
    }

    fn may_help(self, short: Short) -> bool {
        match short {
            // A wait whose time is over keeps its permit until its future has seen it.
            Short::Waits => self == Self::Spare,
            Short::Channels => true,
            Short::Bytes(_) => self == Self::Due,
            Short::Ahead => false,
        }
    }
}

/// In which shards somebody wants room.
struct Wanted {
    wait: Option<usize>,
    channels: Vec<usize>,
}

/// How far a hub is from its end. Read under any shard's lock, it is exact: a phase is set before
/// all shards are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Open = 0,
    Draining = 1,
    Closed = 2,
}

impl Common {
    /// The index of a channel's shard.
    fn locate(&self, channel: &Channel) -> usize {
        // The table in the shard has the lower half. The number of shards is a power of two.
        (channel.hash() >> 32) as usize & (self.config.shards - 1)
    }

    fn sequence(&self) -> u64 {
        self.traffic.sequence.load(Ordering::Relaxed)
    }

    fn next_sequence(&self) -> u64 {
        self.traffic.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn advance(&self, sequence: u64) -> u64 {
        self.traffic.sequence.store(sequence, Ordering::Relaxed);
        sequence
    }

    /// Under the lock of a shard.
    fn epoch(&self) -> NonZeroU64 {
        NonZeroU64::new(self.epoch.load(Ordering::Relaxed)).unwrap_or(NonZeroU64::MIN)
    }

    /// Under the lock of a shard.
    fn cursor(&self, sequence: u64) -> Cursor {
        Cursor::new(self.epoch(), sequence)
    }

    /// The hub's position, exact for every event whose publish has returned.
    pub(crate) fn present(&self) -> Cursor {
        loop {
            let epoch = self.epoch.load(Ordering::Acquire);
            let sequence = self.traffic.sequence.load(Ordering::Acquire);
            // A reset sets them one after the other, and the epoch to zero before.
            if let Some(epoch) = NonZeroU64::new(epoch) {
                if self.epoch.load(Ordering::Relaxed) == epoch.get() {
                    return Cursor::new(epoch, sequence);
                }
            }
        }
    }

    /// Whether a poll from `sequence` on has missed events of channels that nobody knows.
    fn has_missed(&self, sequence: u64) -> bool {
        sequence < self.floor.load(Ordering::Relaxed)
    }

    /// The number after which a poll reads while `present` is the last, and whether it has missed
    /// something for certain. None if it is ahead of a hub that will come there.
    fn resolve(&self, since: Since, present: u64) -> Option<(u64, bool)> {
        match since {
            Since::Now => Some((present, false)),
            Since::Oldest => Some((0, false)),
            Since::Cursor(cursor) => {
                let sequence = cursor.sequence();
                // Another hub's, or ahead of this hub: nobody knows what its client has seen.
                let foreign = Some((0, true));
                if cursor.epoch() != self.epoch() {
                    foreign
                } else if sequence <= present {
                    Some((sequence, self.has_missed(sequence)))
                } else if self.config.follows {
                    None
                } else {
                    foreign
                }
            }
        }
    }

    /// A number that no other hub of the process has, as far as chance allows.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Open,
            1 => Phase::Draining,
            _ => Phase::Closed,
        }
    }

    /// The shards that are still needed by the hub or a wait.
    pub(crate) fn cells(&self) -> impl Iterator<Item = Arc<Cell>> + '_ {
        self.cells.get().into_iter().flatten().filter_map(Weak::upgrade)
    }

    /// The shard of an index, if there is one that is still needed.
    pub(crate) fn cell(&self, index: usize) -> Option<Arc<Cell>> {
        self.cells.get()?.get(index)?.upgrade()
    }

    /// Counts the bytes of an event that is held instead of others, unless that is too much.
    fn take_bytes(&self, weight: usize, instead_of: usize) -> Result<(), Short> {
        // In a full history of like events, as many: no line is written that all cores share.
        if weight == instead_of {
            return Ok(());
        }
        let total = self.config.total_history_bytes;
        let then = |held: usize| held.saturating_add(weight).saturating_sub(instead_of);
        let fits = |held: usize| Some(then(held)).filter(|&then| then <= total);
        let held = &self.traffic.history_bytes;
        let taken = held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.map(drop).map_err(|held| Short::Bytes(then(held) - total))
    }

    /// Makes the bytes of evicted events free again.
    fn give_back(&self, weight: usize) {
        if weight > 0 {
            self.traffic.history_bytes.fetch_sub(weight, Ordering::Relaxed);
        }
    }

    /// Makes room for somebody who found none: one step for each of their tries, the dearest last. False
    /// if there was nothing to be made.
    fn make_room(&self, step: Room, now: u64, wanted: &Wanted) -> bool {
        let cells: Vec<_> = self.cells().collect();
        let changes = Changes::default();
        if step == Room::Due {
            cells.iter().for_each(|cell| while cell.turn(now).0 {});
        }
        // All at once, so that no permit slips by from a shard that is still to be visited into one
        // that was; and what there is goes to the shards that want it, not to who comes first.
        let mut shards: Vec<_> = cells.iter().map(|cell| cell.lock(&changes)).collect();
        let mut is_made = step != Room::Remnants;
        if step == Room::Remnants {
            // No more than are wanted, and first those that matter least.
            for _ in &wanted.channels {
                let with =
                    shards.iter_mut().filter_map(|shard| Some((shard.next_remnant()?, shard)));
                let first = with.min_by_key(|&(settles, _)| settles);
                is_made |= first.is_some_and(|(_, shard)| shard.forget_remnant());
            }
        }
        for shard in &mut shards {
            self.waits.give(std::mem::take(&mut shard.spare_waits));
            self.channels.give(std::mem::take(&mut shard.spare_channels));
        }
        for (cell, shard) in cells.iter().zip(&mut shards) {
            if wanted.wait == Some(cell.index) {
                shard.spare_waits += self.waits.take(true);
            }
            for _ in wanted.channels.iter().filter(|&&index| index == cell.index) {
                shard.spare_channels += self.channels.take(true);
            }
        }
        is_made
    }
}

impl Cell {
    #[inline]
    fn lock<'a>(&'a self, changes: &'a Changes) -> Locked<'a> {
        Telling::new(self.shard.lock(), changes)
    }

    /// Locks the shard to look at it only.
    fn look(&self) -> impl Deref<Target = Shard> {
        self.shard.lock()
    }

    /// Makes sure, as far as the quota allows, that a wait finds its permit.
    fn refill_waits(&self, shard: &mut Shard, frugal: bool) {
        if shard.spare_waits == 0 {
            shard.spare_waits = self.common.waits.take(frugal);
        }
    }

    /// Makes sure, as far as the quota allows, that a channel finds its permit.
    fn refill_channels(&self, shard: &mut Shard, frugal: bool) {
        if shard.spare_channels == 0 {
            shard.spare_channels = self.common.channels.take(frugal);
        }
    }

    /// Gives permits back that the shard has in plenty.
    fn trim(&self, shard: &mut Shard) {
        self.common.waits.trim(&mut shard.spare_waits);
        self.common.channels.trim(&mut shard.spare_channels);
    }

    /// Does one batch of what is due. True if there may be more.
    pub(crate) fn turn(&self, now: u64) -> (bool, Panics) {
        let changes = Changes::default();
        let (mut wakers, mut gone, mut steps) = (WakeList::default(), Evicted::default(), BATCH);
        let mut shard = self.lock(&changes);
        shard.turn(now, &mut steps, &mut wakers, &mut gone);
        self.trim(&mut shard);
        self.common.give_back(gone.weight);
        drop(shard);
        (steps == 0, wakers.wake())
    }

    /// The same for broadcasts on their way.
    pub(crate) fn release(&self, now: u64) -> (bool, Panics) {
        let changes = Changes::default();
        let (mut wakers, mut steps) = (WakeList::default(), BATCH);
        self.lock(&changes).release(now, &mut steps, &mut wakers);
        (steps == 0, wakers.wake())
    }

    pub(crate) fn next_turn(&self) -> Option<u64> {
        self.look().next_turn()
    }
}

/// All shards of one hub.
pub(crate) struct Registry {
    pub(crate) common: Arc<Common>,
    cells: Box<[Arc<Cell>]>,
    /// What goes with the last of the hub's handles.
    pub(crate) attached: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Registry {
    pub(crate) fn new(config: Config, base: Instant) -> Self {
        // Keys of their own: the epoch is in every cursor, and tells nothing about those of the names.
        let epoch = RandomState::new().hash_one(0);
        let shards = config.shards;
        let common = Arc::new(Common {
            base,
            id: epoch,
            epoch: atomic::AtomicU64::new(epoch.max(1)),
            floor: atomic::AtomicU64::new(0),
            cells: OnceLock::new(),
            phase: AtomicU8::new(Phase::Open as u8),
            waits: Padded(Quota::new(config.max_waits, shards)),
            channels: Padded(Quota::new(config.max_channels, shards)),
            traffic: Padded(Traffic {
                sequence: AtomicU64::new(0),
                history_bytes: AtomicUsize::new(0),
            }),
            alarm: Padded(Alarm::new()),
            following: Following::new(config.follows),
            config,
        });
        let cell = |index| {
            let common = Arc::clone(&common);
            let evicts = common.config.evict_oldest;
            let shard = if evicts { Shard::with_order() } else { Shard::new() };
            Arc::new(Cell { index, common, shard: Mutex::new(shard) })
        };
        let cells: Box<[_]> = (0..shards).map(cell).collect();
        let weak = cells.iter().map(Arc::downgrade).collect();
        assert!(common.cells.set(weak).is_ok(), "set once");
        Self { common, cells, attached: OnceLock::new() }
    }

    /// The shard of a channel.
    fn locate(&self, channel: &Channel) -> &Arc<Cell> {
        self.cells.get(self.common.locate(channel)).expect("there is a shard for every name")
    }

    /// What all shards hold, and what has happened in them. Does what is due first, so that it is
    /// right even where no driver runs.
    pub(crate) fn stats(&self, now: u64) -> (Holds, Counts) {
        let (mut holds, mut counts) = (Holds::default(), Counts::default());
        for cell in &self.cells {
            while cell.turn(now).0 {}
            let (here, then) = {
                let shard = cell.look();
                (shard.holds(), shard.counts)
            };
            holds.add(here);
            counts.add(then);
        }
        (holds, counts)
    }

    /// What one channel holds; nothing if there is no such channel now.
    pub(crate) fn channel_stats(&self, channel: &Channel, now: u64) -> Option<Holds> {
        let cell = self.locate(channel);
        let (changes, mut gone) = (Changes::default(), Evicted::default());
        let mut shard = cell.lock(&changes);
        let key = shard.find_current(channel, now, &mut gone);
        let holds = key.map(|key| shard.channel_holds(key));
        self.common.give_back(gone.weight);
        drop(shard);
        holds
    }

    #[cfg(all(test, loom))]
    pub(crate) fn validate(&self) {
        let mut bytes = 0;
        for cell in &self.cells {
            let changes = Changes::default();
            let mut shard = cell.lock(&changes);
            shard.validate();
            bytes += shard.holds().bytes;
        }
        assert_eq!(bytes, self.common.traffic.history_bytes.load(Ordering::Relaxed));
    }
}
