//! Futures that stay parked.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// Room for a future, in a box of its own as in a task, which is made before anything is measured
/// and used again.
pub(crate) struct Slot<F>(Pin<Box<Option<F>>>);

impl<F: Future> Slot<F> {
    pub(crate) fn new() -> Self {
        Self(Box::pin(None))
    }

    /// As many as asked.
    pub(crate) fn many(count: usize) -> Vec<Self> {
        (0..count).map(|_| Self::new()).collect()
    }

    /// Polls a future for the first time and keeps it.
    pub(crate) fn park(&mut self, future: F) {
        self.0.set(Some(future));
        assert!(self.poll().is_pending(), "not parked");
    }

    /// The output of a future that was woken. The future is dropped.
    pub(crate) fn answered(&mut self) -> F::Output {
        let Poll::Ready(output) = self.poll() else { panic!("not answered") };
        self.0.set(None);
        output
    }

    fn poll(&mut self) -> Poll<F::Output> {
        poll(self.0.as_mut().as_pin_mut().expect("parked before"))
    }
}

/// Polls without a task: what is measured is the wait, not the scheduler.
pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
