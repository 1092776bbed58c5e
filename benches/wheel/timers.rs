//! Timers of several makes, all with as many outstanding.

use std::{collections::BTreeMap, pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::time::{DelayQueue, delay_queue};

use crate::{
    slab::Slab,
    wheel::{Timed, Timer, Wheel},
};

/// A number of outstanding timers.
pub trait Timers {
    /// Cancels one at random and sets another, so many times.
    fn replace(&mut self, times: usize, draw: &mut Draw);
}

/// When timers are due.
#[derive(Clone, Copy)]
pub enum Due {
    /// At any time within a minute: neighbours in a slot lie anywhere in memory.
    Anyhow,
    /// 25 seconds after they were set, a thousand in each tick, as polls of one hold are:
    /// neighbours in a slot lie side by side.
    InOrder,
}

/// The same numbers for the same seed.
pub struct Draw {
    state: u64,
    due: Due,
    set: u64,
}

impl Draw {
    pub fn new(due: Due) -> Self {
        Self { state: 0x9e37_79b9_7f4a_7c15, due, set: 0 }
    }

    /// xorshift64*.
    fn below(&mut self, bound: u64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    fn place(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// In ticks of a millisecond.
    fn deadline(&mut self) -> u64 {
        self.set += 1;
        match self.due {
            Due::Anyhow => 1 + self.below(60_000),
            Due::InOrder => 25_000 + self.set / 1_000,
        }
    }
}

/// As large as the record of a wait.
#[derive(Default)]
pub struct Record {
    timer: Timer,
    _rest: [u64; 5],
}

impl Timed for Record {
    fn timer(&self) -> &Timer {
        &self.timer
    }

    fn timer_mut(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

/// The wheel, whose timers lie in records.
pub struct Ours {
    wheel: Wheel,
    records: Slab<Record>,
    keys: Vec<u32>,
    /// Whether the records come and go with their timers. Else they are there for something else,
    /// such as a wait, and the timer alone is measured.
    whole: bool,
}

impl Ours {
    pub fn new(count: usize, draw: &mut Draw, whole: bool) -> Self {
        let (mut wheel, mut records) = (Wheel::new(), Slab::new());
        let keys = (0..count).map(|_| {
            let key = records.insert(Record::default());
            wheel.insert(&mut records, key, draw.deadline());
            key
        });
        let keys = keys.collect();
        Self { wheel, records, keys, whole }
    }
}

impl Timers for Ours {
    fn replace(&mut self, times: usize, draw: &mut Draw) {
        for _ in 0..times {
            let place = draw.place(self.keys.len());
            let key = &mut self.keys[place];
            self.wheel.remove(&mut self.records, *key);
            if self.whole {
                self.records.remove(*key);
                *key = self.records.insert(Record::default());
            }
            self.wheel.insert(&mut self.records, *key, draw.deadline());
        }
    }
}

/// Registered by being polled; each in a box, as its future cannot move.
pub struct Sleeps {
    base: Instant,
    sleeps: Vec<Pin<Box<Sleep>>>,
}

impl Sleeps {
    pub fn new(count: usize, draw: &mut Draw) -> Self {
        let base = Instant::now();
        let sleeps = (0..count).map(|_| set(Box::pin(sleep_until(at(base, draw.deadline())))));
        Self { base, sleeps: sleeps.collect() }
    }
}

impl Timers for Sleeps {
    fn replace(&mut self, times: usize, draw: &mut Draw) {
        for _ in 0..times {
            let place = draw.place(self.sleeps.len());
            let sleep = Box::pin(sleep_until(at(self.base, draw.deadline())));
            self.sleeps[place] = set(sleep);
        }
    }
}

fn set(mut sleep: Pin<Box<Sleep>>) -> Pin<Box<Sleep>> {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(sleep.as_mut().poll(&mut cx).is_pending(), "it is hours ahead");
    sleep
}

/// Hours later than meant: time goes on while it is measured.
fn at(base: Instant, deadline: u64) -> Instant {
    base + Duration::from_millis(3_600_000 + deadline)
}

pub struct Delays {
    base: Instant,
    queue: DelayQueue<()>,
    keys: Vec<delay_queue::Key>,
}

impl Delays {
    pub fn new(count: usize, draw: &mut Draw) -> Self {
        let base = Instant::now();
        let mut queue = DelayQueue::new();
        let keys = (0..count).map(|_| queue.insert_at((), at(base, draw.deadline())));
        let keys = keys.collect();
        Self { base, queue, keys }
    }
}

impl Timers for Delays {
    fn replace(&mut self, times: usize, draw: &mut Draw) {
        for _ in 0..times {
            let place = draw.place(self.keys.len());
            self.queue.remove(&self.keys[place]);
            self.keys[place] = self.queue.insert_at((), at(self.base, draw.deadline()));
        }
    }
}

/// By time, and by a number that tells timers of the same time apart.
pub struct Ordered {
    base: Instant,
    map: BTreeMap<(Instant, u64), ()>,
    keys: Vec<(Instant, u64)>,
    last: u64,
}

impl Ordered {
    pub fn new(count: usize, draw: &mut Draw) -> Self {
        let (base, mut last) = (Instant::now(), 0);
        let mut map = BTreeMap::new();
        let keys = (0..count).map(|_| {
            last += 1;
            let key = (at(base, draw.deadline()), last);
            map.insert(key, ());
            key
        });
        let keys = keys.collect();
        Self { base, map, keys, last }
    }
}

impl Timers for Ordered {
    fn replace(&mut self, times: usize, draw: &mut Draw) {
        for _ in 0..times {
            let place = draw.place(self.keys.len());
            self.map.remove(&self.keys[place]);
            self.last += 1;
            self.keys[place] = (at(self.base, draw.deadline()), self.last);
            self.map.insert(self.keys[place], ());
        }
    }
}
