//! Wakers on their way from a shard to where no lock is held.

use std::{
    panic::{self, AssertUnwindSafe},
    task::Waker,
};

/// Wakers taken under a lock. They are woken, or dropped, after it: both may run foreign code that
/// comes back for the same lock.
#[derive(Default)]
pub(crate) struct WakeList {
    /// Most publishes wake one wait: that one needs no vector.
    first: Option<Waker>,
    rest: Vec<Waker>,
}

/// For as many more as a shard hands over at once.
const ROOM: usize = 64;

impl WakeList {
    /// So many of the same.
    #[inline]
    pub(crate) fn of(waker: &Waker, count: usize) -> Self {
        let first = (count > 0).then(|| waker.clone());
        let mut wakers = Self { first, rest: Vec::new() };
        if count > 1 {
            wakers.rest.extend((1..count).map(|_| waker.clone()));
        }
        wakers
    }

    #[inline]
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        match (&self.first, waker) {
            (None, waker) => self.first = waker,
            (Some(_), Some(waker)) => {
                // The second of a broadcast: a batch of others follows.
                if self.rest.capacity() == 0 {
                    self.rest.reserve(ROOM);
                }
                self.rest.push(waker);
            }
            (Some(_), None) => {}
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Waker> {
        self.rest.pop().or_else(|| self.first.take())
    }

    /// Wakes all. A waker that panics takes none of the others with it: its panic is handed back,
    /// for the caller to go on with when all work is done.
    #[inline]
    pub(crate) fn wake(&mut self) -> Panics {
        if self.is_empty() { Panics::default() } else { self.wake_all() }
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.rest.is_empty()
    }

    /// Wakers that are not woken are dropped, each by itself: one whose drop panics takes none of
    /// the others, nor what is still to be done, with it.
    fn drop_all(&mut self) {
        while let Some(waker) = self.pop() {
            drop_alone(waker);
        }
    }

    fn wake_all(&mut self) -> Panics {
        let mut panics = self.first.take().map_or_else(Panics::default, wake_alone);
        if !self.rest.is_empty() {
            panics = self.rest.drain(..).map(wake_alone).fold(panics, Panics::and);
        }
        panics
    }
}

impl Drop for WakeList {
    #[inline]
    fn drop(&mut self) {
        if !self.is_empty() {
            self.drop_all();
        }
    }
}

fn wake_alone(waker: Waker) -> Panics {
    Panics(panic::catch_unwind(AssertUnwindSafe(|| waker.wake())).err())
}

/// Drops something foreign. Its panic has been reported by the panic hook, and ends here.
pub(crate) fn drop_alone<T>(foreign: T) {
    let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(foreign)));
}

/// The first panic of a foreign waker, if there was one.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Panics(Option<Box<dyn std::any::Any + Send>>);

impl Panics {
    pub(crate) fn and(self, later: Self) -> Self {
        Self(self.0.or(later.0))
    }

    /// Goes on with the panic, in the caller's name.
    pub(crate) fn resume(self) {
        if let Some(payload) = self.0 {
            panic::resume_unwind(payload);
        }
    }
}
