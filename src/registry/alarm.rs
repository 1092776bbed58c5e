//! What wakes the drivers.
//!
//! Invariant: every driver looks at all shards at `armed` or earlier, or has been rung for. A
//! deadline at or after `armed` therefore needs nobody's attention.
//!
//! How it holds: a driver sets `armed` to never, then looks at the shards under their locks, then
//! lowers `armed` to the earliest deadline that it saw. Whoever registers a deadline does so under
//! a shard's lock, and then reads `armed`. If the driver looked first, the lock makes its "never"
//! (or what came after that) visible, and the deadline rings; if it looked later, it saw the
//! deadline.

use std::task::Waker;

use crate::{
    sync::{AtomicU64, Mutex, Ordering},
    wake::{Panics, WakeList},
};

const NEVER: u64 = u64::MAX;

pub(crate) struct Alarm {
    armed: AtomicU64,
    drivers: Mutex<Vec<Driver>>,
}

/// One for each runtime on which the hub is in use.
struct Driver {
    runtime: u64,
    waker: Option<Waker>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { armed: AtomicU64::new(NEVER), drivers: Mutex::new(Vec::new()) }
    }

    /// Whether some driver looks at `deadline` or earlier. To be asked after the deadline has been
    /// registered.
    pub(crate) fn covers(&self, deadline: u64) -> bool {
        self.armed.load(Ordering::Relaxed) <= deadline
    }

    /// Has the drivers look at `deadline` at the latest.
    pub(crate) fn cover(&self, deadline: u64) {
        if self.armed.fetch_min(deadline, Ordering::Relaxed) > deadline {
            self.ring();
        }
    }

    /// Has the drivers look now.
    pub(crate) fn ring(&self) {
        let mut wakers = WakeList::default();
        for driver in self.drivers.lock().iter_mut() {
            wakers.push(driver.waker.take());
        }
        // A driver's waker is the runtime's own: it does not panic.
        let Panics { .. } = wakers.wake();
    }

    /// Adds the driver of a runtime; false if it has one.
    pub(crate) fn enlist(&self, runtime: u64) -> bool {
        let mut drivers = self.drivers.lock();
        if drivers.iter().any(|driver| driver.runtime == runtime) {
            return false;
        }
        drivers.push(Driver { runtime, waker: None });
        true
    }

    /// Takes the driver of a runtime out; the next deadline on that runtime finds that it is gone.
    pub(crate) fn retire(&self, runtime: u64) {
        let mut wakers = WakeList::default();
        let mut drivers = self.drivers.lock();
        if let Some(place) = drivers.iter().position(|driver| driver.runtime == runtime) {
            wakers.push(drivers.swap_remove(place).waker);
        }
        self.armed.store(NEVER, Ordering::Relaxed);
        drop(drivers);
    }

    /// Leaves the waker by which a driver is rung for. To be called before it looks at the shards.
    pub(crate) fn listen(&self, runtime: u64, waker: &Waker) {
        let mut waker = Some(waker.clone());
        let mut drivers = self.drivers.lock();
        if let Some(driver) = drivers.iter_mut().find(|driver| driver.runtime == runtime) {
            std::mem::swap(&mut driver.waker, &mut waker);
        }
        self.armed.store(NEVER, Ordering::Relaxed);
        drop(drivers);
    }

    /// Ends a look at all shards whose earliest deadline was `next`. Returns when to look again.
    pub(crate) fn arm(&self, next: Option<u64>) -> Option<u64> {
        let next = next.unwrap_or(NEVER);
        let armed = self.armed.fetch_min(next, Ordering::Relaxed).min(next);
        (armed != NEVER).then_some(armed)
    }
}
