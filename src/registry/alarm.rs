//! What wakes the drivers.
//!
//! Invariant: every driver looks at all shards at its `until` or earlier, or has been rung for, and
//! `armed` is the latest of these. A deadline at or after `armed` therefore needs nobody's
//! attention.
//!
//! How it holds: a driver sets its `until` to never, then looks at the shards under their locks,
//! then lowers it to the earliest deadline that it saw. Whoever registers a deadline does so under
//! a shard's lock, and then reads `armed`. If a driver looked first, the lock makes its "never"
//! (or what came after that) visible, and the deadline rings; if it looked later, it saw the
//! deadline.

use std::task::Waker;

use crate::{
    sync::{AtomicU64, Mutex, Ordering},
    wake::{Panics, WakeList},
};

const NEVER: u64 = u64::MAX;

pub(crate) struct Alarm {
    /// Written under the lock of the drivers.
    armed: AtomicU64,
    /// How many drivers have gone.
    gone: AtomicU64,
    drivers: Mutex<Vec<Driver>>,
}

/// One for each runtime on which the hub is in use.
struct Driver {
    runtime: u64,
    /// Whether its runtime has threads of its own, so that it is sure to be polled.
    works_alone: bool,
    /// Whether its runtime has timers, as far as is known.
    sleeps: bool,
    until: u64,
    waker: Option<Waker>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        let (armed, gone) = (AtomicU64::new(NEVER), AtomicU64::new(0));
        Self { armed, gone, drivers: Mutex::new(Vec::new()) }
    }

    /// Whether all drivers look at `deadline` or earlier. To be asked after the deadline has been
    /// registered.
    pub(crate) fn covers(&self, deadline: u64) -> bool {
        self.armed.load(Ordering::Relaxed) <= deadline
    }

    /// Whether all drivers will look again, of themselves. There is none if not, or nothing to do.
    pub(crate) fn is_armed(&self) -> bool {
        self.covers(NEVER - 1)
    }

    /// Has the drivers look at `deadline` at the latest.
    pub(crate) fn cover(&self, deadline: u64) {
        if !self.covers(deadline) {
            self.ring_before(deadline);
        }
    }

    /// Has the drivers look now.
    pub(crate) fn ring(&self) {
        self.ring_before(0);
    }

    /// Has the drivers look now, if there is one to rely on for broadcasts: one that is sure to be
    /// polled, or if they are paced, any that can sleep. A driver that goes, or finds out that it
    /// cannot sleep, later than this has its work done by
    /// [`Common::hand_over`](super::Common::hand_over).
    pub(super) fn ring_any(&self, is_paced: bool) -> bool {
        let drivers = self.drivers.lock();
        let does = |driver: &Driver| if is_paced { driver.sleeps } else { driver.works_alone };
        let found = drivers.iter().any(does);
        drop(drivers);
        if found {
            self.ring();
        }
        found
    }

    fn ring_before(&self, deadline: u64) {
        let mut wakers = WakeList::default();
        let mut drivers = self.drivers.lock();
        for driver in drivers.iter_mut().filter(|driver| driver.until > deadline) {
            driver.until = deadline;
            wakers.push(driver.waker.take());
        }
        self.settle(&drivers);
        drop(drivers);
        // A driver's waker is the runtime's own: it does not panic.
        let Panics { .. } = wakers.wake();
    }

    /// Adds the driver of a runtime; false if it has one.
    pub(crate) fn enlist(&self, runtime: u64, works_alone: bool) -> bool {
        let mut drivers = self.drivers.lock();
        if drivers.iter().any(|driver| driver.runtime == runtime) {
            return false;
        }
        drivers.push(Driver { runtime, works_alone, sleeps: true, until: NEVER, waker: None });
        self.settle(&drivers);
        true
    }

    /// Takes note that a runtime has no timers.
    pub(crate) fn cannot_sleep(&self, runtime: u64) {
        let mut drivers = self.drivers.lock();
        if let Some(driver) = drivers.iter_mut().find(|driver| driver.runtime == runtime) {
            driver.sleeps = false;
        }
    }

    /// Takes the driver of a runtime out. True if no driver is left that is sure to be polled: then
    /// who relied on it has to be told.
    pub(crate) fn retire(&self, runtime: u64) -> bool {
        let mut drivers = self.drivers.lock();
        let place = drivers.iter().position(|driver| driver.runtime == runtime);
        let retired = place.map(|place| drivers.swap_remove(place));
        self.gone.fetch_add(1, Ordering::Relaxed);
        self.settle(&drivers);
        let alone = !drivers.iter().any(|driver| driver.works_alone);
        drop(drivers);
        drop(retired);
        alone
    }

    /// How many drivers have gone.
    pub(crate) fn gone(&self) -> u64 {
        self.gone.load(Ordering::Relaxed)
    }

    /// Leaves the waker by which a driver is rung for. To be called before it looks at the shards.
    pub(crate) fn listen(&self, runtime: u64, waker: &Waker) {
        let mut waker = Some(waker.clone());
        let mut drivers = self.drivers.lock();
        if let Some(driver) = drivers.iter_mut().find(|driver| driver.runtime == runtime) {
            std::mem::swap(&mut driver.waker, &mut waker);
            driver.until = NEVER;
        }
        self.settle(&drivers);
        drop(drivers);
    }

    /// Ends a driver's look at all shards whose earliest deadline was `next`. Returns when it looks
    /// again.
    pub(crate) fn arm(&self, runtime: u64, next: Option<u64>) -> Option<u64> {
        let mut drivers = self.drivers.lock();
        let driver = drivers.iter_mut().find(|driver| driver.runtime == runtime)?;
        driver.until = driver.until.min(next.unwrap_or(NEVER));
        let until = driver.until;
        self.settle(&drivers);
        (until != NEVER).then_some(until)
    }

    fn settle(&self, drivers: &[Driver]) {
        let latest = drivers.iter().map(|driver| driver.until).max();
        self.armed.store(latest.unwrap_or(NEVER), Ordering::Relaxed);
    }
}
