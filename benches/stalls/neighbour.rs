//! How long somebody else's park, publish and answer takes while very many waits end at once.
//!
//! Two threads are busy, one for each core: the one that ends the waits (a worker of the runtime if
//! their time is over, a plain thread if it publishes), and the one that measures. The waits are
//! polled by hand and their wakers only count: what is seen is what the subject does, not how the
//! tasks that it wakes compete for the cores.

use std::{pin::pin, task::Poll, thread, time::Duration};

use tokio::{runtime::Builder, time::Instant};
use tower_longpoll::Hub;

use crate::work::{
    Broadcast, Notifying, Subject,
    crowd::Crowd,
    figures,
    slots::poll,
    subject::{self, HOLD, check, payload},
};

/// Channels of the neighbour: some in each shard, one after the other.
const CHANNELS: usize = 1_024;
const MOST: usize = 4_000_000;

#[derive(Clone, Copy)]
enum While {
    Quiet,
    /// The waits, of one channel or each of its own, expire in the same tick.
    Expiring {
        channels: usize,
    },
    Broadcast,
}

pub fn measure(count: usize, rounds: usize) -> String {
    let mut rows =
        vec![figures::row(["", "while", "p50", "p99", "p99.9", "max", "all ended after"])];
    let whiles = [
        ("nothing happens", While::Quiet),
        ("one channel's waits expire", While::Expiring { channels: 1 }),
        ("each channel's wait expires", While::Expiring { channels: count }),
        ("one event goes to all", While::Broadcast),
    ];
    for (what, during) in whiles {
        rows.push(cells::<Hub>(what, during, count, rounds));
        rows.push(cells::<Notifying>(what, during, count, rounds));
        rows.push(cells::<Broadcast>(what, during, count, rounds));
    }
    let title = format!("Park, publish and answer on another channel, beside {count} waits");
    figures::titled(&title, &rows)
}

fn cells<S: Subject>(what: &str, during: While, count: usize, rounds: usize) -> Vec<String> {
    let mut quantiles = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        let (mut times, took) = round::<S>(during, count);
        let parts = [0.5, 0.99, 0.999, 1.0].map(|part| figures::quantile(&mut times, part));
        for (all, one) in quantiles.iter_mut().zip(parts.into_iter().chain([took])) {
            all.push(one);
        }
    }
    let medians = quantiles.iter_mut().map(|all| figures::duration(figures::median(all)));
    [S::NAME.to_owned(), what.to_owned()].into_iter().chain(medians).collect()
}

/// What each took, and how long it was until all waits were woken; both in nanoseconds.
fn round<S: Subject>(during: While, count: usize) -> (Vec<u64>, u64) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let _entered = runtime.enter();
    let (subject, start) = (S::new(), Instant::now());
    let (until, channels) = match during {
        // In the middle of a tick, and after all are parked.
        While::Expiring { channels } => {
            let parked = Duration::from_millis(100 + count as u64 / 200);
            (start + parked + Duration::from_micros(500), channels)
        }
        While::Quiet | While::Broadcast => (start + HOLD, 1),
    };
    let name = |number: usize| S::name(&format!("crowd:{:07}", number % channels));
    let crowd = Crowd::park(count, |number| {
        subject::wait_for(&subject, &name(number), until - Instant::now())
    });
    let others: Vec<_> =
        (0..CHANNELS.min(count)).map(|number| S::name(&format!("neighbour:{number:04}"))).collect();

    let mut times = Vec::with_capacity(MOST);
    let mut begin = Instant::now();
    match during {
        While::Quiet => {
            times.extend((0..count).map(|number| answer(&subject, &others[number % others.len()])));
            return (times, 0);
        }
        While::Expiring { .. } => {
            assert!(begin < until, "all are parked in time");
            thread::sleep(until - begin);
            begin = until;
        }
        While::Broadcast => {
            let (subject, name) = (subject.clone(), name(0));
            thread::spawn(move || subject.publish(&name, payload()));
        }
    }
    while crowd.woken.count() < count && times.len() < MOST {
        times.push(answer(&subject, &others[times.len() % others.len()]));
    }
    let took = begin.elapsed();
    (times, took.as_nanos() as u64)
}

/// In nanoseconds.
fn answer<S: Subject>(subject: &S, name: &S::Name) -> u64 {
    let start = Instant::now();
    let mut wait = pin!(subject::wait(subject, name, None));
    assert!(poll(wait.as_mut()).is_pending(), "not parked");
    let position = subject.publish(name, payload());
    let Poll::Ready(output) = poll(wait.as_mut()) else { panic!("not answered") };
    check::<S>(&output, position);
    start.elapsed().as_nanos() as u64
}
