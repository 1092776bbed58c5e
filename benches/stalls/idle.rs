//! What parked polls cost while nothing happens.

use std::{thread, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;
use tower_longpoll::Hub;

use crate::work::{Broadcast, Notifying, Subject, crowd::Crowd, figures, subject};

pub fn measure(count: usize, seconds: u64) -> String {
    let mut rows = vec![figures::row(["", "one channel", "a channel each"])];
    rows.push(cells::<Hub>(count, seconds));
    rows.push(cells::<Notifying>(count, seconds));
    rows.push(cells::<Broadcast>(count, seconds));
    figures::titled(&format!("CPU time while {count} polls are parked for {seconds} s"), &rows)
}

fn cells<S: Subject>(count: usize, seconds: u64) -> Vec<String> {
    let used = [1, count].map(|channels| cpu::<S>(count, seconds, channels));
    let used = used.map(|used| figures::duration(used.as_nanos() as u64));
    [S::NAME.to_owned()].into_iter().chain(used).collect()
}

/// Of the whole process, with two workers.
fn cpu<S: Subject>(count: usize, seconds: u64, channels: usize) -> Duration {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let _entered = runtime.enter();
    let subject = S::new();
    let crowd = Crowd::park(count, |number| {
        subject::wait(&subject, &S::name(&format!("channel:{:07}", number % channels)), None)
    });
    // What parking has woken settles first.
    thread::sleep(Duration::from_millis(100));
    let before = clock_gettime(ClockId::ProcessCPUTime);
    thread::sleep(Duration::from_secs(seconds));
    let used = clock_gettime(ClockId::ProcessCPUTime) - before;
    assert_eq!(crowd.woken.count(), 0);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}
