//! How long somebody else's park, publish and answer takes while very many waits end at once.
//!
//! Two threads are busy, one for each core: the one that ends the waits (a worker of the runtime if
//! their time is over, a plain thread if it publishes), and the one that measures. The waits are
//! polled by hand and their wakers only count: what is seen is what the registry does, not how the
//! tasks that it wakes compete for the cores.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Builder, time::Instant};
use tower_longpoll::Channel;

use crate::hand::{Broadcast, Notified, Ours, Registry, crowd::Crowd, table};

/// Channels of the neighbour: some in each shard, one after the other.
const CHANNELS: usize = 1_024;
const LONG: Duration = Duration::from_secs(600);
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
    let mut rows = vec![table::row(["", "while", "p50", "p99", "p99.9", "max", "all ended after"])];
    let whiles = [
        ("nothing happens", While::Quiet),
        ("one channel's waits expire", While::Expiring { channels: 1 }),
        ("each channel's wait expires", While::Expiring { channels: count }),
        ("one event goes to all", While::Broadcast),
    ];
    for (what, during) in whiles {
        rows.push(cells::<Ours>("ours", what, during, count, rounds));
        rows.push(cells::<Notified>("`Notify`", what, during, count, rounds));
        rows.push(cells::<Broadcast>("`broadcast`", what, during, count, rounds));
    }
    let title = format!("Park, publish and answer on another channel, beside {count} waits");
    table::markdown(&title, &rows)
}

fn cells<R: Registry>(
    name: &str,
    what: &str,
    during: While,
    count: usize,
    rounds: usize,
) -> Vec<String> {
    let mut quantiles = [const { Vec::new() }; 5];
    for _ in 0..rounds {
        let (mut times, took) = round::<R>(during, count);
        let parts = [0.5, 0.99, 0.999, 1.0].map(|part| table::quantile(&mut times, part));
        for (all, one) in quantiles.iter_mut().zip(parts.into_iter().chain([took])) {
            all.push(one);
        }
    }
    let medians = quantiles.iter_mut().map(|all| table::time(table::median(all)));
    [name.to_owned(), what.to_owned()].into_iter().chain(medians).collect()
}

/// What each took, and how long it was until all waits were woken; both in nanoseconds.
fn round<R: Registry>(during: While, count: usize) -> (Vec<u64>, u64) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let _entered = runtime.enter();
    let (registry, start) = (R::new(), Instant::now());
    let (until, channels) = match during {
        // In the middle of a tick, and after all are parked.
        While::Expiring { channels } => {
            let parked = Duration::from_millis(100 + count as u64 / 200);
            (start + parked + Duration::from_micros(500), channels)
        }
        While::Quiet | While::Broadcast => (start + LONG, 1),
    };
    let channel = |number: usize| Channel::new(format!("crowd {}", number % channels)).unwrap();
    let crowd = Crowd::park(count, |number| registry.clone().wait(channel(number), until));
    let others: Vec<_> = (0..CHANNELS.min(count))
        .map(|number| Channel::new(format!("neighbour {number}")).unwrap())
        .collect();

    let mut times = Vec::with_capacity(MOST);
    let mut begin = Instant::now();
    match during {
        While::Quiet => {
            times
                .extend((0..count).map(|number| answer(&registry, &others[number % others.len()])));
            return (times, 0);
        }
        While::Expiring { .. } => {
            assert!(begin < until, "all are parked in time");
            thread::sleep(until - begin);
            begin = until;
        }
        While::Broadcast => {
            let (registry, channel) = (registry.clone(), channel(0));
            thread::spawn(move || registry.publish(&channel, Bytes::from_static(b"event")));
        }
    }
    while crowd.woken.count() < count && times.len() < MOST {
        times.push(answer(&registry, &others[times.len() % others.len()]));
    }
    let took = begin.elapsed();
    (times, took.as_nanos() as u64)
}

/// In nanoseconds.
fn answer<R: Registry>(registry: &R, channel: &Channel) -> u64 {
    let mut cx = Context::from_waker(Waker::noop());
    let start = Instant::now();
    let mut wait = pin!(registry.clone().wait(channel.clone(), start + LONG));
    assert!(wait.as_mut().poll(&mut cx).is_pending());
    registry.publish(channel, Bytes::from_static(b"event"));
    assert!(matches!(wait.as_mut().poll(&mut cx), Poll::Ready(_)));
    start.elapsed().as_nanos() as u64
}
