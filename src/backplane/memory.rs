//! A log in the memory of the process.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    num::NonZeroU64,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::watch, time::Instant};

use super::driver::{Driver, Entry, Opened, Portion, Reader, Retention};
use crate::{
    change::{Change, EntryId, Position},
    random,
};

/// A log in the memory of the process: for tests, and for several hubs in one process.
///
/// Clones are the same log. It keeps what the [`Retention`] of the hub that opened it first says, and
/// ends with the last of its clones.
#[derive(Clone, Debug)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    epoch: NonZeroU64,
    held: Mutex<Held>,
    /// The number of the last entry.
    last: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Held {
    entries: VecDeque<(u64, Instant, Change)>,
    floor: u64,
    bytes: usize,
    ids: HashMap<EntryId, u64>,
    recent: VecDeque<(Instant, EntryId)>,
    retention: Option<Retention>,
}

/// Entries of one portion at most.
const PORTION: usize = 256;

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        let epoch = NonZeroU64::new(random::number()).unwrap_or(NonZeroU64::MIN);
        let shared = Shared { epoch, held: Mutex::default(), last: watch::Sender::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Lets all entries go up to this number, as if they were too old.
    pub fn trim(&self, sequence: u64) {
        let mut held = self.shared.lock();
        while held.entries.front().is_some_and(|(number, ..)| *number <= sequence) {
            held.drop_first();
        }
    }
}

impl Default for MemoryLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn drop_first(&mut self) {
        if let Some((sequence, _, change)) = self.entries.pop_front() {
            self.floor = sequence;
            self.bytes -= change.weight();
        }
    }

    /// Lets go what is too old, or too much.
    fn trim(&mut self, now: Instant) {
        let Some(retention) = self.retention else { return };
        let is_old = |at: &Instant| now.saturating_duration_since(*at) >= retention.age;
        while self.bytes > retention.bytes
            || self.entries.front().is_some_and(|(_, at, _)| is_old(at))
        {
            self.drop_first();
        }
        let is_forgotten =
            |at: &Instant| now.saturating_duration_since(*at) > Retention::DUPLICATES;
        while self.recent.front().is_some_and(|(at, _)| is_forgotten(at)) {
            if let Some((_, id)) = self.recent.pop_front() {
                self.ids.remove(&id);
            }
        }
    }
}

impl Driver for MemoryLog {
    type Error = Infallible;
    type Reader = MemoryReader;

    async fn open(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> Result<Opened<MemoryReader>, Infallible> {
        let mut held = self.shared.lock();
        held.retention.get_or_insert(*retention);
        held.trim(Instant::now());
        let after = after.filter(|after| after.epoch == self.shared.epoch);
        let read = after.map_or(held.floor, |after| after.sequence);
        let reader = MemoryReader { log: self.clone(), last: self.shared.last.subscribe(), read };
        let (epoch, floor) = (self.shared.epoch, held.floor);
        Ok(Opened { epoch, floor, last: *self.shared.last.borrow(), reader })
    }

    async fn append(&self, id: &EntryId, change: &Change) -> Result<Position, Infallible> {
        let (now, epoch) = (Instant::now(), self.shared.epoch);
        let mut held = self.shared.lock();
        held.trim(now);
        if let Some(&sequence) = held.ids.get(id) {
            return Ok(Position { epoch, sequence });
        }
        let sequence = *self.shared.last.borrow() + 1;
        held.bytes += change.weight();
        held.entries.push_back((sequence, now, change.clone()));
        held.ids.insert(id.clone(), sequence);
        held.recent.push_back((now, id.clone()));
        // Under the lock, so that the numbers come one after the other.
        self.shared.last.send_replace(sequence);
        Ok(Position { epoch, sequence })
    }
}

/// Reads a [`MemoryLog`].
#[derive(Debug)]
pub struct MemoryReader {
    log: MemoryLog,
    last: watch::Receiver<u64>,
    read: u64,
}

impl Reader for MemoryReader {
    type Error = Infallible;

    async fn next(&mut self) -> Result<Portion, Infallible> {
        let read = self.read;
        // The sender is the log, of which this reader has a clone.
        let _ = self.last.wait_for(|&last| last > read).await;
        let now = Instant::now();
        let held = self.log.shared.lock();
        let floor = if held.floor > read { held.floor } else { 0 };
        let new = held.entries.partition_point(|(sequence, ..)| *sequence <= read);
        let entries = held.entries.range(new..).take(PORTION).map(|(sequence, at, change)| Entry {
            sequence: *sequence,
            age: now.saturating_duration_since(*at),
            change: Some(change.clone()),
        });
        let entries: Vec<_> = entries.collect();
        let behind = (held.entries.len() - new - entries.len()) as u64;
        self.read = entries.last().map_or(floor.max(read), |entry| entry.sequence);
        Ok(Portion { floor, entries, behind })
    }
}
