//! One poll at a time, each on one of many channels, while others stay parked.

use std::{pin::pin, sync::Arc, time::Duration};

use super::{
    Size,
    slots::{Slot, poll},
    subject::{self, HISTORY, Subject, check, names, payload},
    world::{World, time},
};

pub(crate) struct Park<S: Subject> {
    /// Dropped first: it belongs to the runtime.
    _background: Box<dyn Send>,
    shared: Arc<Shared<S>>,
    world: World,
    iterations: usize,
}

struct Shared<S: Subject> {
    subject: S,
    /// With polls that stay parked.
    busy: Vec<S::Name>,
    /// Without: who publishes on these wakes one poll.
    quiet: Vec<S::Name>,
}

impl<S: Subject> Park<S> {
    pub(crate) fn new(size: &Size) -> Self {
        Self::with(S::new(), size)
    }

    pub(crate) fn with(subject: S, size: &Size) -> Self {
        let world = World::new();
        let (busy, quiet) = (names::<S>("busy", size.channels), names::<S>("quiet", size.channels));
        let shared = Arc::new(Shared { subject, busy, quiet });
        let (to_fill, count) = (Arc::clone(&shared), size.background);
        let background = world.alone(move || to_fill.fill(count));
        Self { _background: background, shared, world, iterations: size.iterations }
    }

    /// How long each thread takes to park and cancel, on channels of its own.
    pub(crate) fn cancel(&self, threads: usize) -> Duration {
        self.each_thread(threads, |shared, mine, iterations| {
            let mine = mine.of(&shared.busy);
            for name in steps(mine).take(iterations) {
                let mut wait = pin!(subject::wait(&shared.subject, name, None));
                assert!(poll(wait.as_mut()).is_pending(), "not parked");
            }
        })
    }

    /// How long each thread takes to park, publish and be answered, on channels of its own.
    pub(crate) fn wake(&self, threads: usize) -> Duration {
        self.each_thread(threads, |shared, mine, iterations| {
            for name in steps(mine.of(&shared.quiet)).take(iterations) {
                let mut wait = pin!(subject::wait(&shared.subject, name, None));
                assert!(poll(wait.as_mut()).is_pending(), "not parked");
                let position = shared.subject.publish(name, payload());
                let std::task::Poll::Ready(output) = poll(wait.as_mut()) else {
                    panic!("not answered")
                };
                check::<S>(&output, position);
            }
        })
    }

    /// How long each thread takes to publish where nobody waits, on channels of its own.
    pub(crate) fn publish(&self, threads: usize) -> Duration {
        self.each_thread(threads, |shared, mine, iterations| {
            for name in steps(mine.of(&shared.quiet)).take(iterations) {
                shared.subject.publish(name, payload());
            }
        })
    }

    /// How long each thread takes to publish on one channel, where nobody waits.
    pub(crate) fn publish_hot(&self, threads: usize) -> Duration {
        self.each_thread(threads, |shared, _, iterations| {
            for _ in 0..iterations {
                shared.subject.publish(&shared.quiet[0], payload());
            }
        })
    }

    /// The longest of all threads.
    fn each_thread(
        &self,
        threads: usize,
        work: impl Fn(&Shared<S>, Share, usize) + Send + Sync + 'static,
    ) -> Duration {
        let (shared, iterations) = (Arc::clone(&self.shared), self.iterations);
        let times = self.world.together(threads, move |thread| {
            time(|| work(&shared, Share { thread, threads }, iterations))
        });
        times.into_iter().max().unwrap()
    }
}

impl<S: Subject> Shared<S> {
    /// Parks the background, and fills the histories so that their rings have grown.
    fn fill(&self, background: usize) -> Box<dyn Send> {
        let mut slots = Slot::many(background);
        for (slot, name) in slots.iter_mut().zip(self.busy.iter().cycle()) {
            slot.park(subject::wait(&self.subject, name, None));
        }
        for name in self.quiet.iter().cycle().take(self.quiet.len() * HISTORY) {
            self.subject.publish(name, payload());
        }
        Box::new(slots)
    }
}

/// The part of all channels that one thread has.
struct Share {
    thread: usize,
    threads: usize,
}

impl Share {
    fn of<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        all.chunks(all.len() / self.threads).nth(self.thread).unwrap()
    }
}

/// All again and again, neighbours far apart.
fn steps<T>(all: &[T]) -> impl Iterator<Item = &T> {
    let mut place = 0;
    std::iter::repeat_with(move || {
        place = (place + 7919) % all.len();
        &all[place]
    })
}
