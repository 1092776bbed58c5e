//! Visiting every parked poll: to let it go, or to have it look for a driver.

use super::{Cell, Common, Phase, Registry};
use crate::{
    history::Evicted,
    shard::{BATCH, Shard},
    sync::Ordering,
    trace::Changes,
    wake::{Panics, WakeList},
};

impl Cell {
    /// Visits the records of all waits, a batch under each lock.
    fn visit(&self, mut each: impl FnMut(&mut Shard, u32, &mut WakeList)) -> Panics {
        let (mut from, mut panics) = (0, Panics::default());
        loop {
            let (changes, mut wakers) = (Changes::default(), WakeList::default());
            let mut shard = self.lock(&changes);
            let keys: Vec<_> = shard.waiters_from(from).take(BATCH).collect();
            keys.iter().for_each(|&key| each(&mut shard, key, &mut wakers));
            drop(shard);
            panics = panics.and(wakers.wake());
            match keys.last() {
                Some(last) => from = last + 1,
                None => return panics,
            }
        }
    }
}

impl Common {
    /// Has every parked wait polled again, to look for a driver: one has gone.
    pub(crate) fn recall(&self) {
        // A waker that panics has said so by now.
        self.cells().for_each(|cell| drop(cell.visit(Shard::recall)));
    }
}

impl Registry {
    fn visit(&self, mut each: impl FnMut(&mut Shard, u32, &mut WakeList)) -> Panics {
        let panics = self.cells.iter().map(|cell| cell.visit(&mut each));
        panics.fold(Panics::default(), Panics::and)
    }

    /// Has the waits polled again that have missed events, whatever their channels.
    pub(super) fn rouse(&self) -> Panics {
        self.visit(|shard, key, wakers| {
            let waiter = shard.waiter(key);
            if waiter.stale || self.common.has_missed(waiter.registered) {
                shard.rouse(key, wakers);
            }
        })
    }

    /// Enters a phase, and has the waits that are parked end one after the other over `over` ticks
    /// from `now`, but none later than its own deadline.
    pub(crate) fn drain(&self, phase: Phase, now: u64, over: u64) -> Panics {
        // Set before the shards are visited: who parked before is visited, who comes after sees it.
        self.common.phase.fetch_max(phase as u8, Ordering::Relaxed);
        let waits: usize = self.cells.iter().map(|cell| cell.look().holds().waits).sum();
        let step = |place: usize| over.saturating_mul(place as u64) / waits.max(1) as u64;
        let mut visited = 0;
        self.visit(|shard, key, wakers| {
            let deadline = (over > 0).then(|| now + step(visited));
            visited += usize::from(shard.waiter(key).lead);
            shard.drain(key, deadline, wakers);
        })
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
