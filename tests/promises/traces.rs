//! Promise 6: nothing is left behind; and what becomes of wakers.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use tower_longpoll::{Channel, Wait};

use super::*;

/// A waker that counts.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Counter {
    fn woken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_with(wait: &mut task::Spawn<Wait>, waker: &Arc<Counter>) -> Poll<Waited> {
    let wait: &mut Wait = wait;
    let waker = Waker::from(waker.clone());
    Pin::new(wait).poll(&mut Context::from_waker(&waker))
}

/// Drops a wait of three channels in a state, and checks that nothing of it is left.
#[tokio::test(start_paused = true)]
async fn a_wait_dropped_in_any_state_leaves_nothing_and_loses_nothing() {
    for state in ["new", "parked", "moved waker", "woken", "expired", "drained", "ended"] {
        let (hub, c) = (Hub::new(), channels(3));
        let cursor = hub.cursor();
        let mut wait = task::spawn(hub.wait(&c).since(cursor).hold(SECOND));
        if state != "new" {
            assert_pending!(wait.poll());
        }
        match state {
            "moved waker" => assert!(poll_with(&mut wait, &Arc::default()).is_pending()),
            "woken" => publish(&hub, &c[2], "kept"),
            "expired" => pass(SECOND).await,
            "drained" => hub.drain(Duration::ZERO),
            "ended" => {
                publish(&hub, &c[2], "kept");
                drop(assert_ready!(wait.poll()));
            }
            _ => {}
        }
        drop(wait);
        let stats = hub.stats();
        let is_dropped = !matches!(state, "new" | "ended");
        assert_eq!((stats.parked, stats.dropped), (0, is_dropped.into()), "{state}");
        if matches!(state, "woken" | "ended") {
            let held = hub.channel_stats(&c[2]).unwrap();
            assert_eq!((held.parked, held.history_events, stats.channels), (0, 1, 1));
            assert_eq!(whole(ask(&hub, &c, cursor)), ["kept"], "{state}");
        } else {
            assert_empty(&hub);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_is_not_woken_and_its_waker_is_freed() {
    let (hub, c) = (Hub::new(), channels(3));
    let waker = Arc::<Counter>::default();
    let mut wait = task::spawn(hub.wait(&c).hold(SECOND));
    assert!(poll_with(&mut wait, &waker).is_pending());
    drop(wait);
    assert_eq!(Arc::strong_count(&waker), 1);
    publish(&hub, &c[0], "event");
    pass(SECOND).await;
    assert_eq!(waker.woken(), 0);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn many_waits_on_one_channel_each_get_every_event() {
    let (hub, c) = (Hub::new(), channels(1));
    let mut waits: Vec<_> = (0..1_000).map(|_| park(&hub, &c, Since::Now)).collect();
    assert_eq!(hub.publish(&c[0], "event").unwrap().woken, 1_000);
    assert_eq!(hub.publish(&c[0], "again").unwrap().woken, 0, "they are awake");
    for wait in &mut waits {
        assert_eq!(whole(assert_ready!(wait.poll())), ["event", "again"]);
    }
    let stats = hub.stats();
    assert_eq!((stats.parked, stats.published, stats.delivered), (0, 2, 2_000));
}

#[tokio::test(start_paused = true)]
async fn only_the_last_waker_is_woken_once() {
    let (hub, c) = (Hub::new(), channels(3));
    for end in [EVENT, DELETE, DRAIN] {
        let mut wait = task::spawn(hub.wait(&c));
        let [first, last] = [(); 2].map(|()| Arc::<Counter>::default());
        assert!(poll_with(&mut wait, &first).is_pending());
        assert!(poll_with(&mut wait, &last).is_pending());
        assert_eq!(Arc::strong_count(&first), 1, "the old one is freed");
        end(&hub, &c[2]);
        assert_eq!((first.woken(), last.woken()), (0, 1));
        assert!(poll_with(&mut wait, &first).is_ready());
        assert_eq!(Arc::strong_count(&last), 1);
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_moves_between_tasks() {
    let (hub, c) = (Hub::new(), channels(2));
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut wait = park(&hub, &c, Since::Now);
        assert_pending!(wait.poll());
        _ = sender.send((wait.into_inner(), hub, c));
    });
    let (wait, hub, c) = receiver.await.unwrap();
    let moved = tokio::spawn(wait);
    settle().await;
    publish(&hub, &c[1], "event");
    assert_eq!(whole(moved.await.unwrap()), ["event"]);
    assert_eq!(hub.stats().parked, 0);
}

/// A waker that uses the hub, as a foreign executor might.
struct Reentrant(Hub, Channel);

impl Wake for Reentrant {
    fn wake(self: Arc<Self>) {
        publish(&self.0, &self.1, "from a waker");
        self.0.delete(&self.1);
        self.0.stats();
    }
}

impl Drop for Reentrant {
    fn drop(&mut self) {
        publish(&self.0, &self.1, "from a waker's drop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_may_use_the_hub() {
    let (hub, c) = (Hub::new(), channels(3));
    let waker = || Waker::from(Arc::new(Reentrant(hub.clone(), channel("c9"))));
    for end in [EVENT, DELETE, NOTHING, DRAIN] {
        let mut wait = Box::pin(hub.wait(&c));
        for waker in [waker(), waker()] {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        end(&hub, &c[0]);
        drop(wait);
        hub.stats();
    }
    assert_eq!(hub.stats().parked, 0);
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a foreign waker panics");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_takes_nobody_with_it() {
    for by_deadline in [false, true] {
        let (hub, c) = (Hub::builder().history_age(SECOND).build().unwrap(), channels(1));
        let mut waits: Vec<_> =
            (0..200).map(|_| task::spawn(hub.wait(&c).hold(5 * SECOND))).collect();
        for (number, wait) in waits.iter_mut().enumerate() {
            let panics = Waker::from(Arc::new(Panics));
            if number % 3 == 0 {
                let wait: &mut Wait = wait;
                let mut cx = Context::from_waker(&panics);
                assert!(Pin::new(wait).poll(&mut cx).is_pending());
            } else {
                assert_pending!(wait.poll());
            }
        }
        if by_deadline {
            pass(5 * SECOND).await;
        } else {
            let publish = std::panic::AssertUnwindSafe(|| hub.publish(&c[0], "event"));
            assert!(std::panic::catch_unwind(publish).is_err(), "it goes on here");
        }
        for (number, wait) in waits.iter_mut().enumerate() {
            assert!(number % 3 == 0 || wait.is_woken(), "#{number}");
            assert!(wait.poll().is_ready(), "#{number}");
        }
        assert_eq!(hub.stats().parked, 0);
        pass(SECOND).await;
        assert_empty(&hub);
    }
}

/// Parks a wait whose waker panics, and runs something that wakes it.
async fn panics(hub: &Hub, channel: &Channel, wake: impl FnOnce()) -> Pin<Box<Wait>> {
    let mut wait = Box::pin(hub.wait([channel]));
    let waker = Waker::from(Arc::new(Panics));
    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    settle().await;
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wake)).is_err());
    wait
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_history_alive() {
    let (hub, c) = (Hub::builder().history_age(SECOND).build().unwrap(), channels(1));
    let alive = Arc::new(());
    let event = bytes::Bytes::from_owner(Owner(alive.clone()));
    let wait = panics(&hub, &c[0], || publish(&hub, &c[0], event)).await;
    pass(SECOND).await;
    assert_eq!(Arc::strong_count(&alive), 1, "aged out by the driver, at its instant");
    drop(wait);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_no_hub_from_closing() {
    let (hub, c) = (Hub::new(), channels(1));
    publish(&hub, &c[0], "event");
    drop(panics(&hub, &c[0], || hub.close()).await);
    assert_empty(&hub);
}

struct Owner(#[expect(dead_code, reason = "counted")] Arc<()>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        b"owned"
    }
}

/// A waker that parks another poll on the channel, like a client that comes back at once.
struct Returns(Hub, Channel, std::sync::Mutex<Vec<Parked>>);

impl Wake for Returns {
    fn wake(self: Arc<Self>) {
        let wait = park(&self.0, std::slice::from_ref(&self.1), Since::Now);
        self.2.lock().unwrap().push(wait);
    }
}

#[tokio::test(start_paused = true)]
async fn waits_that_register_during_a_broadcast_are_not_part_of_it() {
    for end in ["publish", "delete"] {
        let (hub, c) = (Hub::new(), channels(1));
        let returns = Arc::new(Returns(hub.clone(), c[0].clone(), Default::default()));
        let waker = Waker::from(returns.clone());
        let mut waits: Vec<_> = (0..300).map(|_| Box::pin(hub.wait(&c))).collect();
        for wait in &mut waits {
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        match end {
            "publish" => assert_eq!(hub.publish(&c[0], "event").unwrap().woken, 300),
            _ => assert!(hub.delete(&c[0])),
        }
        let mut new = std::mem::take(&mut *returns.2.lock().unwrap());
        assert_eq!((new.len(), hub.stats().parked), (300, 600), "{end}");
        assert!(new.iter_mut().all(|wait| !wait.is_woken() && wait.poll().is_pending()));
        drop((waits, new));
        assert_eq!(hub.stats().parked, 0);
    }
}
