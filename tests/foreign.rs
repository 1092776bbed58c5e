//! Foreign code that panics, runtimes that cannot sleep, and clocks that overtake each other.
#![cfg(not(loom))]
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::Empty;
use tokio::runtime::Builder;
use tower::{Layer, Service, service_fn};
use tower_longpoll::{Channel, Event, Hub, HubBuilder, LongPollLayer, Wait, Waited, http::Routed};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(SeqCst)
    }
}

fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

/// Polls a wait by hand; whether it stays parked.
fn parks(wait: &mut Pin<Box<Wait>>, waker: &Waker) -> bool {
    wait.as_mut().poll(&mut Context::from_waker(waker)).is_pending()
}

fn park(hub: &Hub, name: &str) -> (Pin<Box<Wait>>, Arc<Count>) {
    let (mut wait, count) = (Box::pin(hub.wait([channel(name)])), Arc::<Count>::default());
    assert!(parks(&mut wait, &Waker::from(count.clone())));
    (wait, count)
}

/// A payload, or a waker, whose drop panics.
struct Bomb;

impl AsRef<[u8]> for Bomb {
    fn as_ref(&self) -> &[u8] {
        b"bomb"
    }
}

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "a foreign drop panics");
    }
}

#[test]
fn a_payload_whose_drop_panics_costs_nobody_a_wakeup() {
    let hub = Hub::builder().history_events(1).build().unwrap();
    hub.publish(&channel("a"), Bytes::from_owner(Bomb)).unwrap();
    let (mut wait, count) = park(&hub, "a");
    // It pushes the first event out.
    let publish = || hub.publish(&channel("a"), "next").unwrap().woken;
    assert_eq!(catch_unwind(AssertUnwindSafe(publish)).ok(), Some(1));
    assert_eq!(count.get(), 1);
    assert!(!parks(&mut wait, Waker::noop()));
    assert_eq!(hub.stats().parked, 0);
}

/// A payload that notes, when it is dropped, how often a waker was called by then.
struct Witness {
    woken: Arc<Count>,
    seen: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Witness {
    fn as_ref(&self) -> &[u8] {
        b"witness"
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.seen.store(self.woken.get(), SeqCst);
    }
}

#[test]
fn what_makes_way_for_an_event_is_dropped_when_its_waits_were_woken() {
    type Row = (&'static str, fn(HubBuilder) -> HubBuilder);
    let rows: [Row; 2] =
        [("a", |hub| hub.history_events(1)), ("other", |hub| hub.evict_oldest(true))];
    for (name, limit) in rows {
        // Of one event, not of two.
        let total = 2 * Event::OVERHEAD_BYTES - 1;
        let hub = Hub::builder().max_payload_bytes(7).total_history_bytes(total);
        let hub = limit(hub).build().unwrap();
        let (woken, seen) = (Arc::<Count>::default(), Arc::new(AtomicUsize::new(usize::MAX)));
        let witness = Witness { woken: woken.clone(), seen: seen.clone() };
        hub.publish(&channel(name), Bytes::from_owner(witness)).unwrap();
        let mut wait = Box::pin(hub.wait([channel("a")]));
        assert!(parks(&mut wait, &Waker::from(woken.clone())));
        hub.publish(&channel("a"), "next").unwrap();
        assert_eq!(seen.load(SeqCst), 1, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_payload_whose_drop_panics_leaves_no_wait_behind() {
    let hub = Hub::builder().history_age(Duration::from_secs(1)).build().unwrap();
    hub.publish(&channel("a"), Bytes::from_owner(Bomb)).unwrap();
    // Time passes, but nobody else runs: the poll finds the event too old.
    let mut later = Box::pin(tokio::time::advance(Duration::from_secs(1)));
    assert!(later.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(catch_unwind(AssertUnwindSafe(|| park(&hub, "a"))));
    assert_eq!((hub.stats().parked, hub.stats().history_events), (0, 0));
}

#[test]
fn a_waker_whose_drop_panics_frees_nobody_elses_wait() {
    let hub = Hub::builder().shards(1).build().unwrap();
    let mut wait = Box::pin(hub.wait([channel("a"), channel("b")]));
    assert!(parks(&mut wait, &Waker::from(Arc::new(Bomb))));
    // One clone is woken, the other is left for the wait to drop.
    hub.publish(&channel("a"), "x").unwrap();
    drop(catch_unwind(AssertUnwindSafe(|| parks(&mut wait, Waker::noop()))));
    let (others, count) = park(&hub, "c");
    drop(catch_unwind(AssertUnwindSafe(|| drop(wait))));
    hub.publish(&channel("c"), "x").unwrap();
    assert_eq!(count.get(), 1);
    drop(others);
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn on_a_runtime_without_time_a_wait_sleeps_until_something_happens() {
    let hub = Hub::new();
    let (elsewhere, elsewhere_woken) = park(&hub, "a");
    let timeless = Builder::new_current_thread().build().unwrap();
    timeless.block_on(async {
        let (wait, woken) = park(&hub, "a");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!((woken.get(), elsewhere_woken.get()), (0, 0), "there is nothing to do");
        hub.publish(&channel("a"), "x").unwrap();
        assert_eq!((woken.get(), elsewhere_woken.get()), (1, 1));
        drop(wait);
    });
    drop(elsewhere);
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn on_a_runtime_that_has_shut_down_a_wait_sleeps_until_something_happens() {
    let hub = Hub::new();
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let _entered = handle.enter();
    let (mut wait, woken) = park(&hub, "a");
    assert_eq!(woken.get(), 0, "its driver cannot live there, and that is not for it to mend");
    hub.publish(&channel("a"), "x").unwrap();
    assert_eq!(woken.get(), 1);
    assert!(!parks(&mut wait, Waker::noop()));
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn a_runtime_that_comes_and_goes_wakes_nobody_on_one_that_works_by_itself() {
    let hub = Hub::new();
    let workers = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let quiet: Vec<_> = {
        let _entered = workers.enter();
        (0..100).map(|number| park(&hub, &format!("quiet {number}"))).collect()
    };
    for number in 0..5 {
        let other = Builder::new_current_thread().enable_all().build().unwrap();
        let (hub, name) = (hub.clone(), channel(&format!("other {number}")));
        other.block_on(async { hub.publish(&name, "x").map(drop).unwrap() });
        other.block_on(tokio::task::yield_now());
    }
    assert!(quiet.iter().all(|(_, woken)| woken.get() == 0), "nothing happened for them");
    drop(quiet);
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn no_channels_allowed_means_none_however_often_one_is_named() {
    let hub = Hub::builder().max_channels_per_wait(0).build().unwrap();
    let mut wait = Box::pin(hub.wait([channel("a"), channel("a")]));
    let ended = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(ended, std::task::Poll::Ready(Waited::Refused { .. })), "{ended:?}");
}

type Route = fn(&Parts) -> Routed;

/// Whether a poll of this layer panics.
fn panics(hub: &Hub, layer: LongPollLayer<Route>, cursor: &str) -> bool {
    let inner = service_fn(|_: Request<()>| async {
        Ok::<_, std::convert::Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let poll = || {
        let request = Request::get(format!("/?wait=0{cursor}")).body(()).unwrap();
        let mut answer = Box::pin(layer.layer(inner).call(request));
        _ = answer.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    };
    let panicked = catch_unwind(AssertUnwindSafe(poll)).is_err();
    assert_eq!(hub.stats().parked, 0, "nothing is left of it");
    panicked
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_costs_nobody_but_its_caller() {
    type Row =
        (&'static str, Route, fn(LongPollLayer<Route>) -> LongPollLayer<Route>, &'static str);
    const ROUTE: Route = |_| Routed::Poll(channel("a"));
    const PANIC: fn(&Parts) -> Option<String> = |_| panic!("a key");
    let rows: [Row; 7] = [
        ("route", |_| panic!("a route"), |layer| layer, ""),
        ("supersede_by", ROUTE, |layer| layer.supersede_by(PANIC), ""),
        ("damp_by", ROUTE, |layer| layer.damp_by(Duration::from_secs(1), PANIC), ""),
        ("on_events", ROUTE, |layer| layer.on_events(|_| panic!("events")), "&cursor=oldest"),
        ("on_timeout", ROUTE, |layer| layer.on_timeout(|_| panic!("a timeout")), ""),
        ("on_invalid", ROUTE, |layer| layer.on_invalid(|_| panic!("invalid")), "&cursor=x"),
        ("on_refused", |_| Routed::PollAny(vec![]), |layer| layer.on_refused(|_| panic!()), ""),
    ];
    let hub = Hub::new();
    hub.publish(&channel("a"), "news").unwrap();
    for (row, route, set, cursor) in rows {
        let layer = set(LongPollLayer::new(hub.clone(), route));
        assert!(panics(&hub, layer, cursor), "{row}");
        let (mut parked, _) = park(&hub, "other");
        hub.publish(&channel("other"), "goes on").unwrap();
        assert!(!parks(&mut parked, Waker::noop()), "{row}: the hub goes on");
    }
}
