//! Waits in tasks of their own, from the publish until all tasks are joined.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, unconstrained};

use super::{
    subject::{HOLD, Subject, check, names, payload},
    world::World,
};

/// Tasks that are all parked, and what they wait on.
pub(crate) struct Tasks<S: Subject> {
    world: World,
    subject: S,
    names: Vec<S::Name>,
    tasks: Vec<JoinHandle<S::Output>>,
}

impl<S: Subject> Tasks<S> {
    /// All on one channel.
    pub(crate) fn on_one(count: usize) -> Self {
        Self::new(count, names::<S>("tasks", 1))
    }

    /// Each on its own.
    pub(crate) fn on_their_own(count: usize) -> Self {
        Self::new(count, names::<S>("tasks", count))
    }

    fn new(count: usize, names: Vec<S::Name>) -> Self {
        let (world, subject, parked) = (World::new(), S::new(), Parked::new());
        let spawn = |name| {
            let (ask, parked) = (subject.ask(name, None), parked.clone());
            world.runtime.spawn(async move {
                parked.count();
                S::wait(ask, HOLD).await
            })
        };
        let tasks = names.iter().cycle().take(count).map(spawn).collect();
        parked.wait_for(count);
        Self { world, subject, names, tasks }
    }

    /// Publishes once on each channel.
    pub(crate) fn publish(self) -> Duration {
        let Self { world, subject, names, tasks } = self;
        joined(&world, tasks, move || {
            let publish = |name| subject.publish(name, payload());
            let positions: Vec<_> = names.iter().map(publish).collect();
            move |place, output| check::<S>(&output, positions[place % positions.len()])
        })
    }
}

/// Counts tasks just before they park.
#[derive(Clone)]
pub(crate) struct Parked(Arc<AtomicUsize>);

impl Parked {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn count(self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn wait_for(&self, count: usize) {
        while self.0.load(Ordering::Relaxed) < count {
            thread::sleep(Duration::from_millis(1));
        }
        // Those that were counted last are still on their way.
        thread::sleep(Duration::from_millis(50));
    }
}

/// How long it takes to wake all tasks and to join them. Who wakes is a task itself, and says how
/// to check what they return.
pub(crate) fn joined<R, C>(
    world: &World,
    tasks: Vec<JoinHandle<R>>,
    wake: impl FnOnce() -> C + Send + 'static,
) -> Duration
where
    R: Send + 'static,
    C: FnMut(usize, R) + Send + 'static,
{
    let run = async {
        let start = Instant::now();
        let mut check = wake();
        for (place, task) in tasks.into_iter().enumerate() {
            check(place, task.await.unwrap());
        }
        start.elapsed()
    };
    world.runtime.block_on(world.runtime.spawn(unconstrained(run))).unwrap()
}
