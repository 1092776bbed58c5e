//! A recorder is foreign code: it may come back for the hub, or panic.

use std::{
    panic::resume_unwind,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit, set_default_local_recorder as install,
};
use tokio_test::assert_ready;
use tower_longpoll::{Hub, Since};

use super::common::*;

/// Calls back whatever it is told.
struct Calls<F>(Arc<F>);

impl<F: Fn() + Send + Sync + 'static> CounterFn for Called<F> {
    fn increment(&self, _: u64) {
        self.0();
    }

    fn absolute(&self, _: u64) {
        self.0();
    }
}

impl<F: Fn() + Send + Sync + 'static> GaugeFn for Called<F> {
    fn increment(&self, _: f64) {
        self.0();
    }

    fn decrement(&self, _: f64) {
        self.0();
    }

    fn set(&self, _: f64) {
        self.0();
    }
}

impl<F: Fn() + Send + Sync + 'static> HistogramFn for Called<F> {
    fn record(&self, _: f64) {
        self.0();
    }
}

struct Called<F>(Arc<F>);

impl<F: Fn() + Send + Sync + 'static> Recorder for Calls<F> {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(Called(Arc::clone(&self.0))))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(Called(Arc::clone(&self.0))))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(Arc::new(Called(Arc::clone(&self.0))))
    }
}

/// Uses a hub in all ways in which something is reported.
async fn use_some(hub: &Hub) {
    let c = channels(200);
    let mut several = park(hub, &c[..64], Since::Now);
    let all: Vec<_> = (0..200).map(|_| park(hub, &c[..1], Since::Now)).collect();
    publish(hub, &c[0], "event");
    assert_ready!(several.poll());
    for mut wait in all {
        assert!(wait.is_woken(), "nobody misses an event for what a recorder does");
        assert_eq!(whole(assert_ready!(wait.poll())), ["event"]);
    }
    drop(park(hub, &c[5..9], Since::Now));
    let mut older = tokio_test::task::spawn(hub.wait(&c[..2]).supersede_by("key"));
    assert!(older.poll().is_pending());
    let _newer = park_by(hub, "key");
    assert_ready!(older.poll());
    // More than there is room for: the oldest go.
    c.iter().for_each(|c| publish(hub, c, "event"));
    assert!(hub.publish(&c[0], vec![0; 2 << 20]).is_err());
    ask(hub, &[], Since::Now);
    hub.touch(&c[1]);
    hub.delete(&c[2]);
    pass(SECOND * 3_601).await;
    hub.stats();
    hub.drain(SECOND);
    pass(SECOND).await;
    hub.close();
}

fn park_by(hub: &Hub, key: &str) -> Parked {
    let mut wait = tokio_test::task::spawn(hub.wait(channels(2)).supersede_by(key));
    assert!(wait.poll().is_pending());
    wait
}

fn evicting() -> Hub {
    let hub = Hub::builder()
        .shards(2)
        .max_channels(150)
        .max_payload_bytes(1_000)
        .total_history_bytes(20_000);
    hub.evict_oldest(true).history_events(2).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_comes_back_for_the_hub_finds_no_lock_held() {
    let (hub, calls) = (Arc::new(OnceLock::<Hub>::new()), Arc::new(AtomicUsize::new(0)));
    let (again, counted) = (Arc::clone(&hub), Arc::clone(&calls));
    let recorder = Calls(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        // Locks all shards, one after the other.
        again.get().map(Hub::stats);
    }));
    let _installed = install(&recorder);
    let hub = hub.get_or_init(evicting);
    let before = calls.load(Ordering::Relaxed);
    use_some(hub).await;
    assert!(calls.load(Ordering::Relaxed) > before + 500);
}

#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_disturbs_nobody() {
    // As `panic!`, but the hook does not print a hundred of them.
    let recorder = Calls(Arc::new(|| resume_unwind(Box::new("a recorder without manners"))));
    let _installed = install(&recorder);
    use_some(&evicting()).await;
}
