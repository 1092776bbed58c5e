//! What is counted: every request, and the time that answers and events take.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use hdrhistogram::Histogram;

/// Requests: each is sent once, and comes to one end.
#[derive(Default)]
pub(crate) struct Requests {
    pub(crate) sent: AtomicU64,
    /// With a whole answer, whatever its status.
    pub(crate) answered: AtomicU64,
    /// Without one.
    pub(crate) failed: AtomicU64,
    /// By the client itself, which left.
    pub(crate) cut: AtomicU64,
    /// Answers with another status than they should have, or with what cannot be; they are among
    /// those answered.
    pub(crate) refused: AtomicU64,
    reasons: Mutex<BTreeMap<String, u64>>,
}

/// A request under way. Dropping it without an end is cutting it.
pub(crate) struct Request<'a>(Option<&'a Requests>);

/// Different reasons that are kept.
const MAX_REASONS: usize = 20;

impl Requests {
    pub(crate) fn send(&self) -> Request<'_> {
        self.sent.fetch_add(1, Relaxed);
        Request(Some(self))
    }

    /// No connection: nothing was sent, and yet it is a failure.
    pub(crate) fn no_connection(&self, reason: String) {
        self.send().fail(reason);
    }

    pub(crate) fn refuse(&self, reason: String) {
        self.refused.fetch_add(1, Relaxed);
        self.keep(reason);
    }

    pub(crate) fn under_way(&self) -> u64 {
        let ended =
            self.answered.load(Relaxed) + self.failed.load(Relaxed) + self.cut.load(Relaxed);
        self.sent.load(Relaxed).saturating_sub(ended)
    }

    /// What went wrong, and how often.
    pub(crate) fn reasons(&self) -> BTreeMap<String, u64> {
        self.reasons.lock().expect("no panic").clone()
    }

    fn keep(&self, reason: String) {
        let mut reasons = self.reasons.lock().expect("no panic");
        if reasons.len() < MAX_REASONS || reasons.contains_key(&reason) {
            *reasons.entry(reason).or_default() += 1;
        }
    }
}

impl Request<'_> {
    pub(crate) fn answer(mut self) {
        if let Some(requests) = self.0.take() {
            requests.answered.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn fail(mut self, reason: String) {
        if let Some(requests) = self.0.take() {
            requests.failed.fetch_add(1, Relaxed);
            requests.keep(reason);
        }
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if let Some(requests) = self.0 {
            requests.cut.fetch_add(1, Relaxed);
        }
    }
}

/// Times, in microseconds, of the current second and of all seconds before.
pub(crate) struct Times {
    shards: Vec<Mutex<Histogram<u64>>>,
    past: Mutex<Past>,
}

struct Past {
    all: Histogram<u64>,
    seconds: Vec<Second>,
}

/// A second of the run, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Second {
    pub(crate) at: f64,
    pub(crate) median: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// Nothing takes longer.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new(3).expect("three digits are allowed")
}

impl Default for Times {
    fn default() -> Self {
        let shards = (0..16).map(|_| Mutex::new(histogram())).collect();
        Self { shards, past: Mutex::new(Past { all: histogram(), seconds: Vec::new() }) }
    }
}

impl Times {
    pub(crate) fn record(&self, who: usize, time: Duration) {
        let micros = u64::try_from(time.min(DAY).as_micros()).unwrap_or(u64::MAX);
        if let Some(shard) = self.shards.get(who % self.shards.len().max(1)) {
            shard.lock().expect("no panic").record(micros).expect("it grows by itself, for a day");
        }
    }

    /// Ends a second.
    pub(crate) fn turn(&self, at: Duration) {
        let mut second = histogram();
        for shard in &self.shards {
            let mut shard = shard.lock().expect("no panic");
            second.add(&*shard).expect("they grow by themselves");
            shard.reset();
        }
        let mut past = self.past.lock().expect("no panic");
        past.all.add(&second).expect("they grow by themselves");
        if !second.is_empty() {
            past.seconds.push(Second {
                at: at.as_secs_f64(),
                median: second.value_at_quantile(0.5),
                p99: second.value_at_quantile(0.99),
                max: second.max(),
            });
        }
    }

    pub(crate) fn all(&self) -> Histogram<u64> {
        self.past.lock().expect("no panic").all.clone()
    }

    pub(crate) fn seconds(&self) -> Vec<Second> {
        self.past.lock().expect("no panic").seconds.clone()
    }
}
