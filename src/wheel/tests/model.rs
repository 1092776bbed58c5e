//! The wheel beside a search through all records, step by step.

use proptest::{collection::vec, prelude::*};

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    InsertPast(u64),
    InsertLast,
    Remove(prop::sample::Index),
    Pop { delta: u64, steps: usize },
    PopEarlier { delta: u64, steps: usize },
    PopAtNext { steps: usize },
}

/// Distances of every magnitude, and often right at the boundary of a level.
fn delta() -> impl Strategy<Value = u64> {
    let magnitude = (0..=38_u32).prop_flat_map(|bits| 0..=1_u64 << bits);
    prop_oneof![0..3_u64, magnitude, prop::sample::select(boundaries().collect::<Vec<_>>()),]
}

fn step() -> impl Strategy<Value = Step> {
    let steps = || prop_oneof![4 => 0..6_usize, 1 => Just(PLENTY)];
    prop_oneof![
        8 => delta().prop_map(Step::Insert),
        1 => delta().prop_map(Step::InsertPast),
        1 => Just(Step::InsertLast),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        4 => (delta(), steps()).prop_map(|(delta, steps)| Step::Pop { delta, steps }),
        1 => (delta(), steps()).prop_map(|(delta, steps)| Step::PopEarlier { delta, steps }),
        4 => steps().prop_map(|steps| Step::PopAtNext { steps }),
    ]
}

/// What a wheel does, by looking at every record: the due tick and the key of each.
#[derive(Default)]
struct Model {
    waiting: Vec<(u64, u32)>,
    elapsed: u64,
}

impl Model {
    fn earliest(&self) -> Option<u64> {
        self.waiting.iter().map(|&(due, _)| due).min()
    }

    /// Pops the fixture until it returns `None`, and holds all it does against the model.
    fn pop(&mut self, fixture: &mut Fixture, now: u64, budget: usize) {
        let mut steps = budget;
        let limit = now.max(self.elapsed);
        while let Some(key) = fixture.pop(now, &mut steps) {
            let index = self.waiting.iter().position(|&(_, waiting)| waiting == key).unwrap();
            let earliest = self.earliest().unwrap();
            let (due, _) = self.waiting.swap_remove(index);
            assert!(due <= limit, "nothing fires early");
            assert_eq!(due, earliest, "nothing fires out of order");
            assert_eq!(due, fixture.wheel.elapsed, "a record fires when its tick is reached");
            assert!(!fixture.records.remove(key).unwrap().is_set());
        }
        assert!(steps > 0 || budget < PLENTY, "a pop ends");
        if steps > 0 {
            assert_eq!(fixture.wheel.elapsed, limit);
            assert!(self.earliest().is_none_or(|due| due > limit), "nothing due is left");
        }
        assert!(fixture.wheel.elapsed >= self.elapsed, "elapsed does not go back");
        self.elapsed = fixture.wheel.elapsed;
    }

    fn check_next(&self, wheel: &Wheel) {
        assert_eq!(wheel.next().is_none(), self.waiting.is_empty());
        let Some(next) = wheel.next() else { return };
        assert!(next <= self.earliest().unwrap(), "next is not late");
        assert!(next >= self.elapsed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn wheel_behaves_like_a_search_through_all_records(
        start in prop_oneof![Just(0), delta(), delta().prop_map(|delta| u64::MAX - delta)],
        steps in vec(step(), 1..120),
    ) {
        let mut fixture = Fixture::at(start);
        let mut model = Model { elapsed: start, ..Model::default() };
        for step in steps {
            let mut insert = |deadline: u64| {
                let key = fixture.insert(deadline);
                model.waiting.push((deadline.max(model.elapsed), key));
            };
            match step {
                Step::Insert(delta) => insert(model.elapsed.saturating_add(delta)),
                Step::InsertPast(delta) => insert(model.elapsed.saturating_sub(delta)),
                Step::InsertLast => insert(u64::MAX),
                Step::Remove(index) if !model.waiting.is_empty() => {
                    let index = index.index(model.waiting.len());
                    let (_, key) = model.waiting.swap_remove(index);
                    prop_assert!(fixture.remove(key));
                    prop_assert!(!fixture.remove(key));
                    fixture.records.remove(key);
                }
                Step::Remove(_) => {}
                Step::Pop { delta, steps } => {
                    let now = model.elapsed.saturating_add(delta);
                    model.pop(&mut fixture, now, steps);
                }
                Step::PopEarlier { delta, steps } => {
                    let now = model.elapsed.saturating_sub(delta);
                    model.pop(&mut fixture, now, steps);
                }
                Step::PopAtNext { steps } => {
                    let now = fixture.wheel.next().unwrap_or(0);
                    model.pop(&mut fixture, now, steps);
                    if steps == PLENTY {
                        let next = fixture.wheel.next();
                        prop_assert!(next.is_none_or(|next| next > model.elapsed));
                    }
                }
            }
            model.check_next(&fixture.wheel);
        }
    }
}
