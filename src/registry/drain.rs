//! Visiting every parked poll: to let it go, or to have it look for a driver.

use super::{Common, Phase, Registry};
use crate::{
    history::Evicted,
    shard::BATCH,
    sync::Ordering,
    trace::Changes,
    wake::{Panics, WakeList},
};

impl Common {
    /// Has every parked wait polled again, to look for a driver: one has gone.
    pub(crate) fn recall(&self) {
        for cell in self.cells() {
            let mut from = 0;
            loop {
                let (changes, mut wakers) = (Changes::default(), WakeList::default());
                let mut shard = cell.lock(&changes);
                let keys: Vec<_> = shard.waiters_from(from).take(BATCH).collect();
                keys.iter().for_each(|&key| shard.recall(key, &mut wakers));
                drop(shard);
                drop(wakers.wake());
                match keys.last() {
                    Some(last) => from = last + 1,
                    None => break,
                }
            }
        }
    }
}

impl Registry {
    /// Has the waits polled again that have missed events, whatever their channels.
    pub(super) fn rouse(&self) -> Panics {
        let mut panics = Panics::default();
        for cell in &self.cells {
            let mut from = 0;
            loop {
                let (changes, mut wakers) = (Changes::default(), WakeList::default());
                let mut shard = cell.lock(&changes);
                let keys: Vec<_> = shard.waiters_from(from).take(BATCH).collect();
                for &key in &keys {
                    let waiter = shard.waiter(key);
                    if waiter.stale || self.common.has_missed(waiter.registered) {
                        shard.rouse(key, &mut wakers);
                    }
                }
                drop(shard);
                panics = panics.and(wakers.wake());
                match keys.last() {
                    Some(last) => from = last + 1,
                    None => break,
                }
            }
        }
        panics
    }

    /// Enters a phase, and has the waits that are parked end one after the other over `over` ticks
    /// from `now`, but none later than its own deadline.
    pub(crate) fn drain(&self, phase: Phase, now: u64, over: u64) -> Panics {
        // Set before the shards are visited: who parked before is visited, who comes after sees it.
        self.common.phase.fetch_max(phase as u8, Ordering::Relaxed);
        let waits: usize = self.cells.iter().map(|cell| cell.look().holds().waits).sum();
        let step = |place: usize| over.saturating_mul(place as u64) / waits.max(1) as u64;
        let changes = Changes::default();
        let (mut visited, mut panics, mut wakers) = (0, Panics::default(), WakeList::default());
        for cell in &self.cells {
            let mut from = 0;
            loop {
                let mut shard = cell.lock(&changes);
                let keys: Vec<_> = shard.waiters_from(from).take(BATCH).collect();
                for &key in &keys {
                    let deadline = (over > 0).then(|| now + step(visited));
                    visited += usize::from(shard.waiter(key).lead);
                    shard.drain(key, deadline, &mut wakers);
                }
                drop(shard);
                panics = panics.and(wakers.wake());
                match keys.last() {
                    Some(last) => from = last + 1,
                    None => break,
                }
            }
        }
        panics
    }

    /// Takes nothing more, ends every wait and lets every event go.
    pub(crate) fn close(&self, now: u64) {
        let panics = self.drain(Phase::Closed, now, 0);
        for cell in &self.cells {
            let mut from = 0;
            loop {
                let (changes, mut gone) = (Changes::default(), Evicted::default());
                let mut shard = cell.lock(&changes);
                let keys: Vec<_> = shard.channels_from(from).take(BATCH).collect();
                for &key in &keys {
                    shard.delete(key, &mut gone);
                }
                self.common.give_back(gone.weight);
                drop(shard);
                match keys.last() {
                    Some(last) => from = last + 1,
                    None => break,
                }
            }
            // Nobody can ask any more.
            while cell.lock(&Changes::default()).forget_remnants() {}
        }
        panics.resume();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use crate::{
        channel::Channel,
        config::Config,
        registry::{Registry, Times},
    };

    #[test]
    fn a_closed_registry_remembers_no_channel() {
        let registry = Registry::new(Config::default(), std::time::Instant::now());
        for number in 0..1_000 {
            let name = Channel::new(number.to_string()).expect("digits are a name");
            let times = Times::new(0, 3_600_000);
            assert!(registry.publish(&name, "event".into(), times).is_ok());
        }
        registry.close(1);
        let records = |cell: &crate::registry::Cell| cell.look().channels_from(0).count();
        assert_eq!(registry.cells.iter().map(|cell| records(cell)).sum::<usize>(), 0);
    }
}
