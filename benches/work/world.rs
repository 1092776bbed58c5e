//! The runtime in which everything is measured, and threads in it.

use std::{
    sync::{Arc, Barrier},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, Runtime},
    task::block_in_place,
    time::sleep,
};

pub(crate) struct World {
    pub(crate) runtime: Runtime,
}

impl World {
    /// A runtime with two workers, and a timer that is always due before all others: without one,
    /// tokio's own timers wake the runtime whenever one is set that is the next, which no server
    /// with some traffic would see.
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.spawn(async {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        });
        Self { runtime }
    }

    /// A runtime without workers.
    pub(crate) fn single() -> Self {
        Self { runtime: Builder::new_current_thread().enable_time().build().unwrap() }
    }

    /// Works on several threads at once, inside of tasks as handlers are. Tokio's cooperative
    /// budget does not count, and the threads do not serve other tasks meanwhile.
    pub(crate) fn together<R: Send + 'static>(
        &self,
        threads: usize,
        work: impl Fn(usize) -> R + Send + Sync + 'static,
    ) -> Vec<R> {
        let shared = Arc::new((Barrier::new(threads), work));
        let spawn = |thread| {
            let shared = Arc::clone(&shared);
            let work = move || {
                let (barrier, work) = &*shared;
                barrier.wait();
                work(thread)
            };
            self.runtime.spawn(async { block_in_place(work) })
        };
        let tasks: Vec<_> = (0..threads).map(spawn).collect();
        tasks.into_iter().map(|task| self.runtime.block_on(task).unwrap()).collect()
    }

    /// Works on one thread.
    pub(crate) fn alone<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        if self.runtime.metrics().num_workers() == 1 {
            let _entered = self.runtime.enter();
            return work();
        }
        self.runtime.block_on(self.runtime.spawn(async { block_in_place(work) })).unwrap()
    }
}

/// How long it takes.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

/// Nanoseconds for each of `count`.
pub(crate) fn each(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_secs_f64() * 1e9 / count as f64
}
