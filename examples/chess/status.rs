//! What the server is doing, measured each second while somebody looks; at no other time does
//! anything run for it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    time::{Instant, MissedTickBehavior, interval_at, sleep},
};
use tower_longpoll::{Channel, Event};

use crate::{probe::Probe, process, room::Room, times::ms};

/// The channel of the samples.
pub(crate) const CHANNEL: &str = "status";

const EVERY: Duration = Duration::from_secs(1);
/// Who looks at the page polls again at once. This long without a poll, nobody looks.
const LINGER: Duration = Duration::from_secs(3);
/// How many samples are kept for the first look.
const KEPT: usize = 120;

/// A second of the server's life.
#[derive(Clone, Serialize)]
pub(crate) struct Sample {
    at: u64,
    /// Polls that are parked now, this page's too.
    parked: usize,
    channels: usize,
    games: usize,
    threads: usize,
    /// The share of the last second that each worker thread worked.
    busy: Vec<f64>,
    /// Without the samples and the probes themselves.
    events_per_s: f64,
    answers_per_s: f64,
    /// From publishing to the waiting task's running, in microseconds.
    wake_us: Option<Wake>,
    /// The share of one core that the process used.
    cpu: f64,
    rss_bytes: Option<u64>,
    open_files: Option<u64>,
    uptime_s: u64,
}

#[derive(Clone, Serialize)]
struct Wake {
    p50: f64,
    p99: f64,
}

/// Measures, and keeps what was measured.
pub(crate) struct Status {
    room: Arc<Room>,
    runtime: Handle,
    channel: Channel,
    started: Instant,
    answers: AtomicU64,
    /// Events that are published only to measure.
    own: AtomicU64,
    watch: Mutex<Watch>,
    samples: Mutex<VecDeque<Sample>>,
}

/// Who looks.
#[derive(Default)]
struct Watch {
    polls: usize,
    ended: Option<Instant>,
    is_running: bool,
}

impl Status {
    /// Needs a runtime.
    pub(crate) fn new(room: Arc<Room>) -> Arc<Self> {
        Arc::new(Self {
            room,
            runtime: Handle::current(),
            channel: Channel::new(CHANNEL).expect("a name"),
            started: Instant::now(),
            answers: AtomicU64::new(0),
            own: AtomicU64::new(0),
            watch: Mutex::default(),
            samples: Mutex::default(),
        })
    }

    /// A poll has been answered.
    pub(crate) fn count_answer(&self) {
        self.answers.fetch_add(1, Relaxed);
    }

    /// Somebody looks.
    pub(crate) fn enter(self: &Arc<Self>) {
        let mut watch = self.watch();
        watch.polls += 1;
        if !std::mem::replace(&mut watch.is_running, true) {
            self.runtime.spawn(Arc::clone(self).run());
        }
    }

    /// One fewer looks.
    pub(crate) fn leave(&self) {
        let mut watch = self.watch();
        watch.polls = watch.polls.saturating_sub(1);
        watch.ended = Some(Instant::now());
    }

    /// The last samples, and where to go on from.
    pub(crate) fn recent(&self) -> Value {
        let samples = self.samples();
        json!({ "cursor": self.room.hub().cursor().to_string(), "samples": *samples })
    }

    async fn run(self: Arc<Self>) {
        let probe = Probe::start(self.room.hub());
        let mut before = Reading::of(&self);
        let mut ticks = interval_at(Instant::now() + EVERY, EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Between two samples the probes are made: one after the other, each on a quiet moment.
            let probing = async {
                loop {
                    if probe.once() {
                        self.own.fetch_add(1, Relaxed);
                    }
                    sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::select! {
                _ = ticks.tick() => {}
                () = probing => {}
            }
            if self.is_over() {
                break;
            }
            let now = Reading::of(&self);
            self.publish(now.since(&before, &self, &probe));
            before = now;
        }
        probe.stop(self.room.hub());
    }

    fn publish(&self, sample: Sample) {
        // Under the lock, so that the recent samples and the cursor agree.
        let mut samples = self.samples();
        let event = Event::json(&sample).expect("a struct of numbers");
        samples.push_back(sample);
        while samples.len() > KEPT {
            samples.pop_front();
        }
        match self.room.hub().publish(&self.channel, event) {
            Ok(_) => _ = self.own.fetch_add(1, Relaxed),
            Err(error) => eprintln!("note: a sample is not told: {error}"),
        }
    }

    fn is_over(&self) -> bool {
        let mut watch = self.watch();
        let lingers = watch.ended.is_some_and(|ended| ended.elapsed() < LINGER);
        watch.is_running = watch.polls > 0 || lingers;
        !watch.is_running
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only ever grows, at one time. The system's clock, since work takes real time.
struct Reading {
    at: std::time::Instant,
    published: u64,
    answers: u64,
    busy: Vec<Duration>,
    cpu: Duration,
}

impl Reading {
    fn of(status: &Status) -> Self {
        let metrics = status.runtime.metrics();
        let workers = 0..metrics.num_workers();
        let published = status.room.hub().stats().published;
        Self {
            at: std::time::Instant::now(),
            published: published.saturating_sub(status.own.load(Relaxed)),
            answers: status.answers.load(Relaxed),
            busy: workers.map(|worker| metrics.worker_total_busy_duration(worker)).collect(),
            cpu: process::cpu_time(),
        }
    }

    fn since(&self, before: &Self, status: &Status, probe: &Probe) -> Sample {
        let elapsed = (self.at - before.at).as_secs_f64().max(1e-3);
        let per_second = |count: u64| count as f64 / elapsed;
        let busy = self.busy.iter().zip(&before.busy);
        let busy = busy.map(|(now, then)| now.saturating_sub(*then).as_secs_f64() / elapsed);
        let stats = status.room.hub().stats();
        let published = self.published.saturating_sub(before.published);
        let wake = probe.latencies();
        Sample {
            at: status.room.now().unix_ms,
            parked: stats.parked.saturating_sub(probe.parked(status.room.hub())),
            channels: stats.channels.saturating_sub(1),
            games: status.room.games(),
            threads: self.busy.len(),
            busy: busy.map(|share| rounded(share.min(1.0), 1e4)).collect(),
            events_per_s: rounded(per_second(published), 10.0),
            answers_per_s: rounded(per_second(self.answers - before.answers), 10.0),
            wake_us: wake.map(|(p50, p99)| Wake { p50, p99 }),
            cpu: rounded(self.cpu.saturating_sub(before.cpu).as_secs_f64() / elapsed, 1e4),
            rss_bytes: process::resident_bytes(),
            open_files: process::open_files(),
            uptime_s: ms(status.started.elapsed()) / 1_000,
        }
    }
}

fn rounded(value: f64, places: f64) -> f64 {
    (value * places).round() / places
}
