#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;
use crate::{channel::Channel, event::Event, trace::Moment};

fn held(sequence: u64, expires: u64, bytes: usize) -> Held {
    let stored = Stored::new(Channel::new("c").unwrap(), Event::new(vec![0; bytes]), Moment::NEVER);
    Held { sequence, expires, stored }
}

fn push(history: &mut History, held: Held, bounds: Bounds) -> Vec<u64> {
    let before: Vec<_> = history.after(0).map(|(sequence, _)| sequence).collect();
    let (count, weight) = history.pushed_out_by(held.stored.weight(), bounds);
    let mut evicted = Evicted::default();
    history.push(held, count, &mut evicted);
    history.validate();
    assert_eq!((evicted.len(), evicted.weight), (count, weight), "what was said is what went");
    before[..count].to_vec()
}

#[test]
fn the_newest_event_is_kept_whatever_it_weighs() {
    let bounds = Bounds { events: 10, bytes: 1 };
    let mut history = History::default();
    assert!(push(&mut history, held(1, 9, 1000), bounds).is_empty());
    assert_eq!(push(&mut history, held(2, 9, 1000), bounds), [1]);
    assert_eq!((history.len(), history.floor()), (1, 1));
}

#[test]
fn a_ring_gives_its_memory_back() {
    let bounds = Bounds { events: 1000, bytes: usize::MAX };
    let mut history = History::default();
    for sequence in 1..=1000 {
        push(&mut history, held(sequence, sequence, 0), bounds);
    }
    history.expire(999, &mut usize::MAX.clone(), &mut Evicted::default());
    assert!(history.older.capacity() < 10, "{}", history.older.capacity());
}

#[derive(Clone, Debug)]
enum Step {
    Push { skip: u64, bytes: usize },
    Expire { ticks: u64, steps: usize },
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..5u64, 0..300usize).prop_map(|(skip, bytes)| Step::Push { skip, bytes }),
        2 => (0..10u64, 0..5usize).prop_map(|(ticks, steps)| Step::Expire { ticks, steps }),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    /// The model is a vector of (sequence, expires, weight) that is filtered the naive way.
    #[test]
    fn a_history_holds_what_the_naive_model_holds(
        steps in prop::collection::vec(step(), 1..100),
        events in 1..8usize,
        bytes in 0..1500usize,
    ) {
        const AGE: u64 = 12;
        let bounds = Bounds { events, bytes };
        let (mut history, mut model) = (History::default(), Vec::<(u64, u64, usize)>::new());
        let (mut now, mut sequence, mut floor) = (0, 0, 0);
        for step in steps {
            let mut evicted = Evicted::default();
            let before = model.len();
            match step {
                Step::Push { skip, bytes: size } => {
                    sequence += skip;
                    let held = held(sequence, now + AGE, size);
                    model.push((sequence, now + AGE, held.stored.weight()));
                    let weight = |model: &[(u64, u64, usize)]| -> usize {
                        model.iter().map(|held| held.2).sum()
                    };
                    while model.len() > 1 && (model.len() > events || weight(&model) > bytes) {
                        floor = model.remove(0).0;
                    }
                    push(&mut history, held, bounds);
                }
                Step::Expire { ticks, mut steps } => {
                    now += ticks;
                    history.expire(now, &mut steps.clone(), &mut evicted);
                    while steps > 0 && model.first().is_some_and(|held| held.1 <= now) {
                        floor = model.remove(0).0;
                        steps -= 1;
                    }
                    prop_assert_eq!(evicted.len(), before - model.len());
                }
                Step::Clear => {
                    history.clear(&mut evicted);
                    floor = model.last().map_or(floor, |held| held.0);
                    model.clear();
                }
            }
            history.validate();
            prop_assert_eq!(history.floor(), floor);
            prop_assert_eq!(history.len(), model.len());
            prop_assert_eq!(history.is_empty(), model.is_empty());
            prop_assert_eq!(history.latest(), model.last().map(|held| held.0));
            prop_assert_eq!(history.next_expiry(), model.first().map(|held| held.1));
            prop_assert_eq!(history.weight(), model.iter().map(|held| held.2).sum::<usize>());
            for since in 0..=sequence {
                let got: Vec<_> = history.after(since).map(|(sequence, _)| sequence).collect();
                let new = model.iter().filter(|held| held.0 > since);
                prop_assert_eq!(got, new.map(|held| held.0).collect::<Vec<_>>());
            }
        }
    }
}
