//! Many waits at once, and how many of them have been woken.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

/// Counts wakes, or whatever else happens on several threads.
#[derive(Default)]
pub(crate) struct Counter(AtomicUsize);

impl Counter {
    pub(crate) fn up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.up();
    }
}

/// Futures that are polled by hand, with one waker that counts.
pub(crate) struct Crowd<F> {
    pub(crate) waits: Vec<Pin<Box<F>>>,
    pub(crate) woken: Arc<Counter>,
}

impl<F: Future> Crowd<F> {
    pub(crate) fn park(count: usize, wait: impl Fn(usize) -> F) -> Self {
        let woken = Arc::new(Counter::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let waits = (0..count).map(|number| {
            let mut wait = Box::pin(wait(number));
            assert!(wait.as_mut().poll(&mut cx).is_pending(), "nothing has happened yet");
            wait
        });
        Self { waits: waits.collect(), woken }
    }
}
