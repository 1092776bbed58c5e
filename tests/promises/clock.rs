//! Promise 5 when the clock does what clocks do: it stands still for long, and then jumps.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};

use tower_longpoll::Wait;

use super::*;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A wait that counts how often it is woken.
struct Counted(Pin<Box<Wait>>, Arc<Counter>);

impl Counted {
    fn park(wait: Wait) -> Self {
        let mut counted = Self(Box::pin(wait), Arc::default());
        assert!(counted.poll().is_pending());
        counted
    }

    fn poll(&mut self) -> Poll<Waited> {
        let waker = Waker::from(Arc::clone(&self.1));
        self.0.as_mut().poll(&mut Context::from_waker(&waker))
    }

    fn woken(&self) -> usize {
        self.1.0.load(Ordering::Relaxed)
    }
}

fn patient() -> Hub {
    Hub::builder().max_hold(Duration::MAX).history_age(SECOND).build().unwrap()
}

/// Holds on all levels of the wheel, from a millisecond to a year, and around their edges.
fn holds() -> Vec<Duration> {
    let edges = (0..6).map(|level| 64_u64.pow(level));
    let near = edges.flat_map(|edge| [edge - 1, edge, edge + 1, 63 * edge, 64 * edge]);
    let millis = near.filter(|&millis| millis > 0).map(Duration::from_millis);
    let mut holds: Vec<_> = millis.chain([YEAR - MS, YEAR]).filter(|&hold| hold <= YEAR).collect();
    holds.sort_unstable();
    holds.dedup();
    holds
}

#[tokio::test(start_paused = true)]
async fn a_jump_of_a_year_ends_every_wait_once() {
    let (hub, c) = (patient(), channels(9));
    let wait = |(number, hold): (usize, Duration)| {
        let from = number % 7;
        Counted::park(hub.wait(&c[from..=from + number % 3]).hold(hold))
    };
    let mut waits: Vec<_> = holds().into_iter().enumerate().map(wait).collect();
    waits.push(Counted::park(hub.wait(&c).hold(Duration::MAX)));
    assert_eq!(hub.stats().parked, waits.len());
    pass(YEAR).await;
    for wait in &mut waits {
        assert_eq!(wait.woken(), 1);
        timed_out(assert_ready!(wait.poll()));
    }
    assert_eq!(hub.stats().timed_out, waits.len() as u64);
    assert_empty(&hub);
    // And nobody comes back to them.
    pass(YEAR).await;
    assert!(waits.iter().all(|wait| wait.woken() == 1));
    let (took, waited) = timed(hub.wait(&c).hold(SECOND)).await;
    timed_out(waited);
    assert_eq!(took, SECOND, "the clock of the hub is right");
}

#[tokio::test(start_paused = true)]
async fn a_jump_ends_what_is_over_and_nothing_else() {
    for jump in holds() {
        let (hub, c) = (patient(), channels(1));
        let mut waits: Vec<_> = holds()
            .into_iter()
            .map(|hold| (hold, Counted::park(hub.wait(&c).hold(hold))))
            .collect();
        pass(jump).await;
        let over = waits.partition_point(|(hold, _)| *hold <= jump);
        for (hold, wait) in &mut waits[..over] {
            assert_eq!(wait.woken(), 1, "{hold:?} after {jump:?}");
            timed_out(assert_ready!(wait.poll()));
        }
        assert_eq!(hub.stats().parked, waits.len() - over);
        // The next ends at its own instant, however far the jump was.
        if let Some((hold, wait)) = waits.get_mut(over) {
            pass(*hold - jump - Duration::from_nanos(1)).await;
            assert_eq!(wait.woken(), 0, "{hold:?} after {jump:?}: early");
            pass(Duration::from_nanos(1)).await;
            assert_eq!(wait.woken(), 1, "{hold:?} after {jump:?}: late");
        }
        drop(waits);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_jump_lets_old_events_go_and_says_so() {
    let (hub, c) = (patient(), channels(3));
    let cursor = hub.cursor();
    c.iter().for_each(|c| publish(&hub, c, "event"));
    pass(YEAR).await;
    assert_empty(&hub);
    let told = batch(ask(&hub, &c, cursor));
    assert!(told.gap() && told.is_empty());
    timed_out(ask(&hub, &c, told.cursor()));
}

#[tokio::test(start_paused = true)]
async fn after_a_jump_what_comes_before_the_driver_does_is_told_once() {
    let (hub, c) = (patient(), channels(1));
    let mut wait = Counted::park(hub.wait(&c).hold(SECOND));
    // The clock has moved, and no task has run.
    assert_pending!(task::spawn(tokio::time::advance(YEAR)).poll());
    assert_eq!(hub.publish(&c[0], "event").unwrap().woken, 1);
    settle().await;
    assert_eq!(wait.woken(), 1);
    assert_eq!(whole(assert_ready!(wait.poll())), ["event"]);
    assert_eq!((hub.stats().parked, hub.stats().timed_out), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hold_of_zero_is_over_before_it_begins() {
    let (hub, c) = (patient(), channels(3));
    for _ in 0..100 {
        timed_out(ask(&hub, &c, Since::Now));
    }
    assert_eq!((hub.stats().timed_out, hub.stats().dropped), (100, 0));
    assert_empty(&hub);
    // Less than a tick is a tick, and not none.
    let mut wait = Counted::park(hub.wait(&c).hold(Duration::from_nanos(1)));
    pass(MS).await;
    timed_out(assert_ready!(wait.poll()));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_forgotten_disturbs_nobody_and_its_waker_is_freed_at_its_deadline() {
    let (hub, c) = (patient(), channels(1));
    let Counted(wait, waker) = Counted::park(hub.wait(&c).hold(SECOND));
    mem::forget(wait);
    assert_eq!(Arc::strong_count(&waker), 2, "the hub's, and ours");
    pass(SECOND).await;
    assert_eq!((waker.0.load(Ordering::Relaxed), Arc::strong_count(&waker)), (1, 1));
    pass(YEAR).await;
    let mut others: Vec<_> = (0..100).map(|_| park(&hub, &c, Since::Now)).collect();
    assert_eq!(hub.publish(&c[0], "event").unwrap().woken, 100);
    for wait in &mut others {
        assert_eq!(whole(assert_ready!(wait.poll())), ["event"]);
    }
    assert!(hub.delete(&c[0]));
    assert_eq!(waker.0.load(Ordering::Relaxed), 1, "it is over");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_forgotten_keeps_its_place_and_no_more() {
    let hub = Hub::builder().max_waits(2).build().unwrap();
    let c = channels(1);
    mem::forget(Counted::park(hub.wait(&c).hold(SECOND)).0);
    pass(SECOND).await;
    // Only the wait itself can free its record; it counts for as long as the hub lives.
    assert_eq!(held(&hub), (1, 1, 0, 0));
    for _ in 0..1_000 {
        drop(park(&hub, &c, Since::Now));
        publish(&hub, &c[0], "event");
        hub.delete(&c[0]);
    }
    assert_eq!(held(&hub), (1, 1, 0, 0));
}
