//! Whose turn it is, where only so many may work at once.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Hands out turns, first come, first served. Clones hand out the same.
#[derive(Clone, Debug)]
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    /// At most `most` turns at once; zero counts as one.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS))))
    }

    pub(crate) fn next(&self) -> NextTurn {
        match Arc::clone(&self.0).try_acquire_owned() {
            Ok(permit) => NextTurn::Now(Some(permit)),
            Err(_) => NextTurn::Later(Box::pin(Arc::clone(&self.0).acquire_owned())),
        }
    }
}

/// A turn; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// Waits for a turn. Dropping it gives the place in the queue up.
pub(crate) enum NextTurn {
    /// Nobody was before it. Taken at once: a task that has used up tokio's budget would have to
    /// wait though there is a turn.
    Now(Option<OwnedSemaphorePermit>),
    Later(Pin<Box<Acquire>>),
}

pub(crate) type Acquire =
    dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send + Sync;

impl Future for NextTurn {
    type Output = Turn;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Turn> {
        let permit = match &mut *self {
            Self::Now(permit) => permit.take(),
            // Nobody closes the semaphore.
            Self::Later(acquire) => ready!(acquire.as_mut().poll(cx)).ok(),
        };
        Poll::Ready(Turn { _permit: permit })
    }
}
