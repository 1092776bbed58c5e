#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod fanouts;
mod model;
mod records;

use std::{sync::Arc, task::Waker};

use proptest::{collection::vec, prelude::*, sample::Index};

use self::model::{Bell, Broadcast, Model, Wait};
use super::*;
use crate::event::{Event, Stored};
use crate::{trace::Moment, waiters::State, wake::WakeList};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const BOUNDS: Bounds = Bounds { events: 3, bytes: 3 * Event::OVERHEAD_BYTES + 50 };

/// What a registry does to a shard under one lock.
#[derive(Clone, Debug)]
enum Step {
    Tick {
        ticks: u64,
    },
    /// Stores an event and wakes a batch. As events of a hub may all grow equally old, none is too
    /// old before an earlier one of its channel.
    Publish {
        name: usize,
        age: u64,
        bytes: usize,
    },
    /// Goes on with a broadcast that needs more than a batch.
    GoOn {
        broadcast: Index,
    },
    /// Looks at a channel from some position on, as a poll does.
    Poll {
        name: usize,
        since: Index,
    },
    /// Parks waits on a channel. Without a hold they are other channels of waits whose lead stands
    /// elsewhere.
    Park {
        name: usize,
        hold: Option<u64>,
        count: usize,
    },
    Leave {
        wait: Index,
    },
    /// Does what is due, so many steps at a time. Two is the least: one for the timer of a channel,
    /// one for an event.
    Turn {
        steps: usize,
    },
    Delete {
        name: usize,
    },
    Drain {
        wait: Index,
        over: Option<u64>,
    },
    ForgetRemnants,
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..NAMES.len();
    let ticks = || prop_oneof![4 => 0..4_u64, 4 => 0..100_u64, 1 => 0..10_000_u64];
    let hold = move || proptest::option::weighted(0.8, ticks());
    let count = prop_oneof![8 => 1..4_usize, 1 => 60..140_usize];
    prop_oneof![
        4 => ticks().prop_map(|ticks| Step::Tick { ticks }),
        6 => (name(), ticks(), 0..60_usize)
            .prop_map(|(name, age, bytes)| Step::Publish { name, age, bytes }),
        2 => any::<Index>().prop_map(|broadcast| Step::GoOn { broadcast }),
        4 => (name(), any::<Index>()).prop_map(|(name, since)| Step::Poll { name, since }),
        4 => (name(), hold(), count).prop_map(|(name, hold, count)| Step::Park { name, hold, count }),
        8 => any::<Index>().prop_map(|wait| Step::Leave { wait }),
        4 => (2..6_usize).prop_map(|steps| Step::Turn { steps }),
        1 => name().prop_map(|name| Step::Delete { name }),
        1 => (any::<Index>(), hold()).prop_map(|(wait, over)| Step::Drain { wait, over }),
        1 => Just(Step::ForgetRemnants),
    ]
}

/// A shard, and what it should do.
struct Fixture {
    shard: Shard,
    model: Model,
}

/// Two names share a hash, so that only the name tells them apart.
fn channel(name: usize) -> Channel {
    Channel::with_hash(NAMES[name], (name / 2) as u64)
}

impl Fixture {
    fn new() -> Self {
        let mut shard = Shard::with_order();
        (shard.spare_waits, shard.spare_channels) = (PERMITS, NAMES.len());
        Self { shard, model: Model::default() }
    }

    fn find(&self, name: usize) -> Option<u32> {
        self.shard.find(&channel(name))
    }

    /// Finds a channel that is one now: with waits, or events that are not too old.
    fn find_current(&mut self, name: usize) -> Option<u32> {
        let (key, mut gone) = (self.find(name)?, Evicted::default());
        self.shard.expire(key, self.model.now, &mut usize::MAX.clone(), &mut gone);
        self.model.expire(name);
        self.shard.retire(key);
        self.find(name).filter(|&key| self.shard.channels[key].is_needed())
    }

    fn take(&mut self, step: Step) {
        let now = self.model.now;
        match step {
            Step::Tick { ticks } => self.model.now += ticks,
            Step::Publish { name, age, bytes } => {
                let earlier = self.model.sent.iter().filter(|sent| sent.name == name);
                let earliest = earlier.map(|sent| sent.expires).max();
                self.publish(name, earliest.unwrap_or(0).max(now + age), bytes);
            }
            Step::GoOn { broadcast } => {
                if !self.model.broadcasts.is_empty() {
                    let broadcast = broadcast.index(self.model.broadcasts.len());
                    let broadcast = self.model.broadcasts.remove(broadcast);
                    self.end(broadcast);
                }
            }
            Step::Poll { name, since } => self.poll(name, since),
            Step::Park { name, hold, count } => {
                for _ in 0..count {
                    self.park(name, hold.map(|hold| now + hold));
                }
            }
            Step::Leave { wait } => {
                if !self.model.waits.is_empty() {
                    let wait = wait.index(self.model.waits.len());
                    let wait = self.model.waits.remove(wait);
                    let waker = self.shard.leave(wait.key);
                    assert_eq!(waker.is_some(), wait.state == State::Parked);
                }
            }
            Step::Turn { steps } => self.turn(steps),
            Step::Delete { name } => self.delete(name),
            Step::Drain { wait, over } => {
                if !self.model.waits.is_empty() {
                    let wait = wait.index(self.model.waits.len());
                    self.drain(wait, over.map(|over| now + over));
                }
            }
            Step::ForgetRemnants => {
                self.shard.forget_remnants();
                self.model.forgot_early = true;
            }
        }
    }

    fn publish(&mut self, name: usize, expires: u64, bytes: usize) {
        let channel = channel(name);
        let key = self.find(name);
        let key = key.unwrap_or_else(|| self.shard.open(&channel).unwrap());
        let mut gone = Evicted::default();
        self.shard.expire(key, self.model.now, &mut usize::MAX.clone(), &mut gone);
        self.model.expire(name);

        let stored = Stored::new(channel, Event::new(vec![0; bytes]), Moment::NEVER);
        let weight = stored.weight();
        self.model.publish(name, expires, weight);
        let (count, freed) = self.shard.pushed_out_by(key, weight, BOUNDS);
        let mut gone = Evicted::default();
        let held = Held { sequence: self.model.sequence, expires, stored };
        let timer = self.shard.store(key, held, count, &mut gone);
        assert_eq!((gone.len(), gone.weight), (count, freed), "what was said is what went");
        if let Some(timer) = timer {
            assert!(self.shard.next_turn().unwrap() <= timer);
        }
        self.end(Broadcast { name, before: self.model.sequence, state: State::Woken });
    }

    fn end(&mut self, broadcast: Broadcast) {
        let Broadcast { name, before, state } = broadcast;
        let mut wakers = WakeList::default();
        let more = self
            .find(name)
            .is_some_and(|key| self.shard.end_before(key, before, state, BATCH, &mut wakers).more);
        wakers.wake().resume();
        assert_eq!(more, self.model.end(&broadcast), "a broadcast ends with its last wait");
        if more {
            self.model.broadcasts.push(broadcast);
        }
    }

    fn poll(&mut self, name: usize, since: Index) {
        let model = &mut self.model;
        // Zero, the present and what lies between.
        let since = since.index(model.sequence as usize + 1) as u64;
        let mut gone = Evicted::default();
        let key = self.shard.find_since(&channel(name), since, model.now, &mut gone);
        // What is too old has to go only if it would be told.
        if model.held(name).any(|sent| since < sent.sequence) {
            model.expire(name);
        }
        let (news, missed) = self.shard.look(key, since);
        let after: Vec<_> = self.shard.after(key, since).map(|(sequence, _)| sequence).collect();
        let new = model.held(name).map(|sent| sent.sequence).filter(|&sequence| since < sequence);
        assert_eq!(after, new.collect::<Vec<_>>());
        assert_eq!(news, !after.is_empty());
        if model.has_missed(name, since) {
            assert!(missed, "who has missed an event is told");
        } else if missed {
            let is_excused = model.is_old(since) || model.forgot_early;
            assert!(is_excused, "who has missed nothing is told so, unless the cursor is old");
        }
        // A channel of which nothing is left is forgotten by whoever finds it so.
        self.find_current(name);
    }

    fn park(&mut self, name: usize, deadline: Option<u64>) {
        let (bell, registered) = (Arc::<Bell>::default(), self.model.sequence);
        let waker = Waker::from(Arc::clone(&bell));
        let key = self.find(name);
        let key = self.shard.park(key, &channel(name), deadline, registered, waker);
        let (key, state) = (key.unwrap_or_else(|_| panic!("there are permits")), State::Parked);
        let is_draining = false;
        let wait = Wait { name, deadline, is_draining, registered, state, key, bell };
        self.model.waits.push(wait);
    }

    fn turn(&mut self, budget: usize) {
        let (mut wakers, mut gone) = (WakeList::default(), Evicted::default());
        let held = self.model.holds().events;
        loop {
            let mut steps = budget;
            self.shard.turn(self.model.now, &mut steps, &mut wakers, &mut gone);
            self.shard.validate();
            if steps > 0 {
                break;
            }
        }
        self.model.turn();
        wakers.wake().resume();
        assert_eq!(gone.len(), held - self.model.holds().events);
        assert!(self.shard.next_turn().is_none_or(|next| self.model.now < next), "all is done");
    }

    fn delete(&mut self, name: usize) {
        let Some(key) = self.find_current(name) else {
            return assert!(!self.model.is_there(name));
        };
        assert!(self.model.is_there(name));
        self.model.sequence += 1;
        self.end(Broadcast { name, before: self.model.sequence, state: State::Deleted });
        let mut gone = Evicted::default();
        self.shard.delete(key, &mut gone);
        assert_eq!(gone.len(), self.model.held(name).count());
        self.model.let_go(name, |_| false);
    }

    fn drain(&mut self, wait: usize, deadline: Option<u64>) {
        let mut wakers = WakeList::default();
        let wait = &mut self.model.waits[wait];
        self.shard.drain(wait.key, deadline, &mut wakers);
        wakers.wake().resume();
        match (&mut wait.deadline, deadline) {
            _ if wait.state != State::Parked => {}
            (Some(_), None) => wait.state = State::Drained,
            (Some(own), Some(deadline)) if deadline < *own => {
                (*own, wait.is_draining) = (deadline, true);
            }
            _ => {}
        }
    }

    fn compare(&mut self) {
        self.shard.validate();
        let (shard, model) = (&self.shard, &self.model);
        let (is, should) = (shard.holds(), model.holds());
        assert_eq!((is.waits, is.events, is.bytes), (should.waits, should.events, should.bytes));
        assert_eq!(is.channels, should.channels, "a channel is there while something needs it");
        assert_eq!(shard.spare_waits, PERMITS - is.waits, "who leaves gives the permit back");
        for wait in &model.waits {
            assert_eq!(shard.waiter(wait.key).state, wait.state);
            let rung = wait.bell.rung();
            assert_eq!(rung, usize::from(wait.state != State::Parked), "woken exactly once");
        }
        for name in 0..NAMES.len() {
            let key = self.find(name).filter(|&key| shard.channels[key].is_needed());
            let holds = key.map(|key| shard.channel_holds(key));
            assert_eq!(holds.is_some(), model.is_there(name));
            let (waits, events) = holds.map_or((0, 0), |holds| (holds.waits, holds.events));
            assert_eq!(waits, model.waits.iter().filter(|wait| wait.name == name).count());
            assert_eq!(events, model.held(name).count());
        }
        // What is due is not slept through.
        let deadlines = model.waits.iter().filter(|wait| wait.state == State::Parked);
        let deadlines = deadlines.filter_map(|wait| wait.deadline);
        let first = deadlines.min().map(|first| first.max(shard.now));
        assert!(first.is_none_or(|first| shard.next_turn().is_some_and(|next| next <= first)));
    }
}

const PERMITS: usize = 1 << 20;

proptest! {
    #[test]
    fn a_shard_does_what_the_naive_model_does(steps in vec(step(), 1..150)) {
        let mut fixture = Fixture::new();
        for step in steps {
            fixture.take(step);
            fixture.compare();
        }
        // When all have left and all is too old, no record is left and all permits are back.
        for wait in std::mem::take(&mut fixture.model.waits) {
            fixture.shard.leave(wait.key);
        }
        fixture.model.now += 20_000;
        fixture.turn(1_000);
        fixture.compare();
        prop_assert_eq!(fixture.shard.names.len(), 0);
        prop_assert_eq!(fixture.shard.spare_channels, NAMES.len());
    }
}

#[test]
fn a_turn_by_a_clock_that_was_overtaken_ends() {
    let (mut shard, name) = (Shard::new(), Channel::new("a").unwrap());
    shard.spare_channels = 1;
    let (mut wakers, mut gone) = (WakeList::default(), Evicted::default());
    shard.turn(12, &mut 64, &mut wakers, &mut gone);
    let key = shard.open(&name).unwrap();
    let stored = crate::event::Stored::new(name, "x".into(), Moment::NEVER);
    let held = Held { sequence: 1, expires: 11, stored };
    shard.store(key, held, 0, &mut gone);
    // The wheel is at 12 and hands out what is due then; at 10 it would be put back for ever.
    let mut steps = 64;
    shard.turn(10, &mut steps, &mut wakers, &mut gone);
    assert!(steps > 0, "nothing is left to do");
    shard.validate();
}
