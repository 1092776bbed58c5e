//! All waits on one channel.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{
    slots::Slot,
    subject::{self, Make, Subject, check, names, payload},
    world::{World, time},
};

pub(crate) struct Fanout<S: Subject, F> {
    /// Dropped first: the waits belong to the runtime.
    state: Arc<Mutex<State<S, F>>>,
    world: World,
}

struct State<S: Subject, F> {
    make: Make<S, F>,
    slots: Vec<Slot<F>>,
    subject: S,
    name: S::Name,
    position: Option<S::Cursor>,
}

/// All parked.
pub(crate) fn fanout<S: Subject>(
    count: usize,
) -> Fanout<S, impl Future<Output = S::Output> + Send + use<S>> {
    let state = State {
        make: subject::wait::<S>,
        slots: Slot::many(count),
        subject: S::new(),
        name: names::<S>("fanout", 1).remove(0),
        position: None,
    };
    // With workers a hub would leave most waits to one of them, and publishing take no time.
    let fanout = Fanout { state: Arc::new(Mutex::new(state)), world: World::single() };
    fanout.park();
    fanout
}

impl<S: Subject, F: Future<Output = S::Output> + Send + 'static> Fanout<S, F> {
    pub(crate) fn park(&self) -> Duration {
        self.run(|state| {
            for slot in &mut state.slots {
                slot.park((state.make)(&state.subject, &state.name, state.position));
            }
        })
    }

    pub(crate) fn publish(&self) -> Duration {
        self.run(|state| state.position = Some(state.subject.publish(&state.name, payload())))
    }

    /// Has all waits that were woken answered.
    pub(crate) fn collect(&self) -> Duration {
        self.run(|state| {
            let position = state.position.unwrap();
            state.slots.iter_mut().for_each(|slot| check::<S>(&slot.answered(), position));
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
