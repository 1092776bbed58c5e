//! As many channels as waits, one each: little of it is in any cache.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    slots::{Slot, poll},
    subject::{self, Make, Subject, check, names, payload, shuffled},
    world::{World, time},
};

pub(crate) struct Many<S: Subject, F> {
    /// Dropped first: the waits belong to the runtime.
    state: Arc<Mutex<State<S, F>>>,
    world: World,
}

struct State<S: Subject, F> {
    make: Make<S, F>,
    subject: S,
    waits: Vec<Waiting<S, F>>,
    order: Vec<usize>,
}

/// What belongs to one wait lies together, as in a task.
struct Waiting<S: Subject, F> {
    slot: Slot<F>,
    name: S::Name,
    /// What was published last on the channel.
    position: Option<S::Cursor>,
}

/// All but the waits, on channels that keep this many events each.
pub(crate) fn many<S: Subject>(
    count: usize,
    kept: usize,
) -> Many<S, impl Future<Output = S::Output> + Send + use<S>> {
    let waiting = |name| Waiting { slot: Slot::new(), name, position: None };
    let state = State {
        make: subject::wait::<S>,
        subject: S::keeping(kept),
        waits: names::<S>("many", count).into_iter().map(waiting).collect(),
        order: shuffled(count),
    };
    Many { state: Arc::new(Mutex::new(state)), world: World::new() }
}

impl<S: Subject, F: Future<Output = S::Output> + Send + 'static> Many<S, F> {
    /// Parks one wait on each channel.
    pub(crate) fn park(&self) -> Duration {
        self.run(|state| (0..state.waits.len()).for_each(|place| state.park(place)))
    }

    /// Publishes on one channel after the other, and has each wait answered and parked again before
    /// the next, as when tasks run soon after they were woken.
    pub(crate) fn cycle(&self) -> Duration {
        self.run(|state| {
            for step in 0..state.order.len() {
                let place = state.order[step];
                state.publish(place);
                state.answer(place);
                state.park(place);
            }
        })
    }

    /// Publishes on all channels.
    pub(crate) fn publish(&self) -> Duration {
        self.run(|state| {
            for step in 0..state.order.len() {
                state.publish(state.order[step]);
            }
        })
    }

    /// Has all waits answered and parked again, when all were published on before.
    pub(crate) fn answer(&self) -> Duration {
        self.run(|state| {
            for step in (0..state.order.len()).rev() {
                let place = state.order[step];
                state.answer(place);
                state.park(place);
            }
        })
    }

    /// Has this many of the waits answered, and measures only until each is. They are parked again.
    pub(crate) fn publish_and_answer(&self, count: usize) -> Duration {
        let elapsed = self.run(move |state| {
            for step in 0..count {
                let place = state.order[step];
                state.publish(place);
                state.answer(place);
            }
        });
        self.run(move |state| {
            for step in 0..count {
                state.park(state.order[step]);
            }
        });
        elapsed
    }

    /// Parks and cancels this many more waits, on channels that each have one.
    pub(crate) fn cancel(&self, count: usize) -> Duration {
        self.run(move |state| {
            for step in 0..count {
                let place = state.order[step % state.order.len()];
                let mut more = pin!(state.wait(place));
                assert!(poll(more.as_mut()).is_pending(), "not parked");
            }
        })
    }

    fn run(&self, work: impl FnOnce(&mut State<S, F>) + Send + 'static) -> Duration {
        let state = Arc::clone(&self.state);
        self.world.alone(move || {
            let mut state = state.lock().unwrap();
            time(|| work(&mut state))
        })
    }
}

impl<S: Subject, F: Future<Output = S::Output>> State<S, F> {
    fn wait(&self, place: usize) -> F {
        let waiting = &self.waits[place];
        (self.make)(&self.subject, &waiting.name, waiting.position)
    }

    fn park(&mut self, place: usize) {
        let wait = self.wait(place);
        self.waits[place].slot.park(wait);
    }

    fn publish(&mut self, place: usize) {
        let waiting = &mut self.waits[place];
        let position = self.subject.publish(&waiting.name, payload());
        waiting.position = Some(position);
    }

    fn answer(&mut self, place: usize) {
        let waiting = &mut self.waits[place];
        check::<S>(&waiting.slot.answered(), waiting.position.unwrap());
    }
}
