//! How long one thread's runtime is kept from its other tasks while very many waits come to their
//! end in one tick, and on the way there.

use std::{
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use tokio::{
    runtime::Builder,
    task::{JoinHandle, yield_now},
    time::{Instant, sleep},
};
use tower_longpoll::Hub;

use crate::work::{
    Broadcast, Notifying, Subject,
    clock::worked,
    crowd::{Counter, Crowd},
    figures,
    subject::wait_for,
};

/// More than two digits of a wheel's ticks: timers come down two levels on the way.
const AHEAD: Duration = Duration::from_millis(4_500);

#[derive(Clone, Copy)]
enum Waits {
    None,
    ByHand,
    Tasks,
}

pub fn measure(count: usize, rounds: usize, is_test: bool) -> String {
    let ahead = if is_test { AHEAD / 10 } else { AHEAD };
    let head = ["", "waits", "before: CPU", "wall", "at the end: CPU", "wall", "all ended after"];
    let mut rows = vec![figures::row(head)];
    rows.push(cells::<Hub>(Waits::None, 0, ahead, rounds));
    for waits in [Waits::ByHand, Waits::Tasks] {
        rows.push(cells::<Hub>(waits, count, ahead, rounds));
        rows.push(cells::<Notifying>(waits, count, ahead, rounds));
        rows.push(cells::<Broadcast>(waits, count, ahead, rounds));
    }
    let title = format!("The longest gap between two turns of a task, {count} waits, one thread");
    figures::titled(&title, &rows)
}

fn cells<S: Subject>(waits: Waits, count: usize, ahead: Duration, rounds: usize) -> Vec<String> {
    let mut all = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let round = runtime.block_on(round::<S>(waits, count, ahead));
        all.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
    }
    let head = match waits {
        Waits::None => ["", "none"],
        Waits::ByHand => [S::NAME, "polled by hand"],
        Waits::Tasks => [S::NAME, "tasks"],
    };
    let medians = all.iter_mut().map(|all| figures::duration(figures::median(all)));
    figures::row(head).into_iter().chain(medians).collect()
}

async fn round<S: Subject>(waits: Waits, count: usize, ahead: Duration) -> [u64; 5] {
    let (subject, name) = (S::new(), S::name("all"));
    let parked = Duration::from_millis(count as u64 / 400);
    // In the middle of a tick.
    let until = Instant::now() + parked + ahead + Duration::from_micros(500);
    let wait = || wait_for(&subject, &name, until - Instant::now());
    let mut crowd = None;
    let ended = if let Waits::Tasks = waits {
        let ended = Arc::new(Counter::default());
        for _ in 0..count {
            let (wait, ended) = (wait(), Arc::clone(&ended));
            tokio::spawn(async move {
                wait.await;
                ended.up();
            });
        }
        ended
    } else {
        Arc::clone(&crowd.insert(Crowd::park(count, |_| wait())).woken)
    };
    // Each is polled for the first time.
    sleep(Duration::from_millis(200)).await;
    assert!(Instant::now() < until - ahead / 10, "all are parked in time");

    let spinner = Spinner::start(until);
    while ended.count() < count || Instant::now() < until {
        sleep(Duration::from_millis(1)).await;
    }
    let took = until.elapsed().as_nanos() as u64;
    let [before, during] = spinner.stop().await;
    [before.cpu, before.wall, during.cpu, during.wall, took]
}

/// The longest time for which a task that has nothing to wait for had to wait.
#[derive(Clone, Copy, Default)]
struct Gap {
    wall: u64,
    /// Of the thread: without what other processes took.
    cpu: u64,
}

struct Spinner {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<[Gap; 2]>,
}

impl Spinner {
    /// Tells gaps that end before `until` from those after.
    fn start(until: Instant) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let stops = Arc::clone(&is_over);
        let task = tokio::spawn(async move {
            let mut gaps = [Gap::default(); 2];
            let (mut last, mut last_cpu) = (Instant::now(), worked());
            while !stops.load(Ordering::Relaxed) {
                yield_now().await;
                let (now, now_cpu) = (Instant::now(), worked());
                let gap = &mut gaps[usize::from(now >= until)];
                gap.wall = gap.wall.max((now - last).as_nanos() as u64);
                gap.cpu = gap.cpu.max(now_cpu - last_cpu);
                (last, last_cpu) = (now, now_cpu);
            }
            gaps
        });
        Self { is_over, task }
    }

    async fn stop(self) -> [Gap; 2] {
        self.is_over.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}
