//! What a parked poll costs, beside the same written by hand: `broadcast` and `timeout`.
//!
//! `cargo bench --bench park`. The rival does less: no history, no cursor, no limits.

#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Waker},
    time::Duration,
};

use divan::{Bencher, black_box};
use tokio::{runtime::Runtime, sync::broadcast, time::timeout};
use tower_longpoll::{Channel, Hub};

const HOLD: Duration = Duration::from_secs(25);

fn main() {
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    divan::main();
}

#[divan::bench(sample_size = 1000)]
fn park_and_cancel(bencher: Bencher<'_, '_>) {
    let (hub, channels) = (Hub::new(), channels());
    // What stays parked keeps the driver armed for something earlier, as on a server.
    let mut early = pin!(hub.wait(channels.first()).hold(HOLD / 2));
    poll(early.as_mut());
    bencher.with_inputs(|| pick(&channels)).bench_refs(|channel| {
        let mut wait = pin!(hub.wait([&*channel]).hold(HOLD));
        black_box(poll(wait.as_mut()));
    });
}

#[divan::bench(sample_size = 1000)]
fn park_and_cancel_by_hand(bencher: Bencher<'_, '_>) {
    let (rooms, channels) = (Arc::new(Mutex::new(HashMap::new())), channels());
    bencher.with_inputs(|| pick(&channels)).bench_refs(|channel| {
        let mut receiver = rooms
            .lock()
            .unwrap()
            .entry(channel.as_str().to_owned())
            .or_insert_with(|| broadcast::channel::<bytes::Bytes>(16).0)
            .subscribe();
        let mut wait = pin!(timeout(HOLD, receiver.recv()));
        black_box(poll(wait.as_mut()));
    });
}

#[divan::bench(sample_size = 1000)]
fn park_and_wake(bencher: Bencher<'_, '_>) {
    let (hub, channels) = (Hub::builder().history_events(1).build().unwrap(), channels());
    bencher.with_inputs(|| pick(&channels)).bench_refs(|channel| {
        let mut wait = pin!(hub.wait([&*channel]).hold(HOLD));
        assert!(poll(wait.as_mut()));
        hub.publish(channel, "event").unwrap();
        assert!(!poll(wait.as_mut()));
    });
}

/// Whether it is pending.
fn poll(wait: std::pin::Pin<&mut impl Future>) -> bool {
    wait.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

fn channels() -> Vec<Channel> {
    (0..10_000).map(|place| Channel::new(format!("channel:{place}")).unwrap()).collect()
}

fn pick(channels: &[Channel]) -> Channel {
    thread_local! {
        static NEXT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    let place = NEXT.replace(NEXT.get() + 7919);
    channels.get(place % channels.len()).unwrap().clone()
}
