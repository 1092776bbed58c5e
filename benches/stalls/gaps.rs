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
use tower_longpoll::Channel;

use crate::hand::{
    Broadcast, Notified, Ours, Registry,
    clock::worked,
    crowd::{Counter, Crowd},
    table,
};

/// More than two digits of a wheel's ticks: timers come down two levels on the way.
const AHEAD: Duration = Duration::from_millis(4_500);

pub fn measure(count: usize, rounds: usize) -> String {
    let head = ["", "waits", "before: CPU", "wall", "at the end: CPU", "wall", "all ended after"];
    let mut rows = vec![table::row(head)];
    rows.push(cells::<Ours>("", "none", false, 0, rounds));
    for (waits, tasks) in [("polled by hand", false), ("tasks", true)] {
        rows.push(cells::<Ours>("ours", waits, tasks, count, rounds));
        rows.push(cells::<Notified>("`Notify`", waits, tasks, count, rounds));
        rows.push(cells::<Broadcast>("`broadcast`", waits, tasks, count, rounds));
    }
    let title = format!("The longest gap between two turns of a task, {count} waits, one thread");
    table::markdown(&title, &rows)
}

fn cells<R: Registry>(
    name: &str,
    waits: &str,
    tasks: bool,
    count: usize,
    rounds: usize,
) -> Vec<String> {
    let mut all = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let round = runtime.block_on(round::<R>(tasks, count));
        all.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
    }
    let medians = all.iter_mut().map(|all| table::time(table::median(all)));
    [name.to_owned(), waits.to_owned()].into_iter().chain(medians).collect()
}

async fn round<R: Registry>(tasks: bool, count: usize) -> [u64; 5] {
    let (registry, channel) = (R::new(), Channel::new("all").unwrap());
    let parked = Duration::from_millis(count as u64 / 400);
    // In the middle of a tick.
    let until = Instant::now() + parked + AHEAD + Duration::from_micros(500);
    let mut crowd = None;
    let ended = if tasks {
        let ended = Arc::new(Counter::default());
        for _ in 0..count {
            let (wait, ended) = (registry.clone().wait(channel.clone(), until), Arc::clone(&ended));
            tokio::spawn(async move {
                wait.await;
                ended.up();
            });
        }
        ended
    } else {
        let all =
            crowd.insert(Crowd::park(count, |_| registry.clone().wait(channel.clone(), until)));
        Arc::clone(&all.woken)
    };
    // Each is polled for the first time.
    sleep(Duration::from_millis(200)).await;
    assert!(Instant::now() < until - AHEAD / 10, "all are parked in time");

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
