//! What parked polls cost while nothing happens.

use std::{thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::{runtime::Builder, time::Instant};
use tower_longpoll::Channel;

use crate::hand::{Broadcast, Notified, Ours, Registry, crowd::Crowd, table};

const HOLD: Duration = Duration::from_secs(600);

pub fn measure(count: usize, seconds: u64) -> String {
    let used = |ours: [Duration; 2]| ours.map(|used| table::time(used.as_nanos() as u64));
    let mut rows = vec![table::row(["", "one channel", "a channel each"])];
    for (name, used) in [
        ("ours", used([cpu::<Ours>(count, seconds, 1), cpu::<Ours>(count, seconds, count)])),
        ("`Notify`", used([1, count].map(|channels| cpu::<Notified>(count, seconds, channels)))),
        (
            "`broadcast`",
            used([1, count].map(|channels| cpu::<Broadcast>(count, seconds, channels))),
        ),
    ] {
        rows.push(table::row([name, &used[0], &used[1]]));
    }
    table::markdown(&format!("CPU time while {count} polls are parked for {seconds} s"), &rows)
}

/// Of the whole process, with two workers.
fn cpu<R: Registry>(count: usize, seconds: u64, channels: usize) -> Duration {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let _entered = runtime.enter();
    let registry = R::new();
    let until = Instant::now() + HOLD;
    let crowd = Crowd::park(count, |number| {
        let channel = Channel::new(format!("channel {}", number % channels)).unwrap();
        registry.clone().wait(channel, until)
    });
    // What parking has woken settles first.
    thread::sleep(Duration::from_millis(100));
    let before = clock_gettime(ClockId::ProcessCPUTime);
    thread::sleep(Duration::from_secs(seconds));
    let used = clock_gettime(ClockId::ProcessCPUTime) - before;
    assert_eq!(crowd.woken.count(), 0);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}
