//! How often the allocator is asked for memory, to the call.
//!
//! Each thread counts by itself, so the test harness does not disturb. Whatever grows only at first
//! (slabs, the timer of the driver, hash tables) has grown before anything is counted.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "allocations/layer.rs"]
mod layer;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use allocation_counter::measure;
use common::*;
use tokio::runtime::Builder;
use tokio_test::task;
use tower_longpoll::{Channel, Event, Hub, Since, Wait, Waited};

/// Before this many have come and gone nothing is counted.
const WARM: usize = 200;
const COUNTED: usize = 100;

/// Runs a test on a paused clock, on one thread.
fn run<F: Future>(test: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

/// How often `work` allocates, without what it returns being dropped.
fn allocations<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let mut output = None;
    let info = measure(|| output = Some(work()));
    (info.count_total, output.unwrap())
}

/// Does it again and again; the most allocations that it takes once it is warm.
fn most(mut work: impl FnMut() -> u64) -> u64 {
    (0..WARM).for_each(|_| _ = work());
    (0..COUNTED).map(|_| work()).max().unwrap()
}

/// Polls a wait with a waker that needs no memory.
fn look(wait: &mut Wait) -> Poll<Waited> {
    Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
}

/// So many waits, so that nothing is the first or the last of its kind.
fn crowd(hub: &Hub, channels: &[Channel]) -> Vec<Parked> {
    (0..WARM).map(|n| park(hub, &channels[n % channels.len()..][..1], Since::Now)).collect()
}

#[test]
fn a_park_and_a_cancel_allocate_nothing() {
    run(async {
        let (hub, c) = (Hub::new(), channels(10));
        let _crowd = crowd(&hub, &c);
        settle().await;
        let mut number = 0;
        let parks_and_cancels = most(|| {
            number += 1;
            let (parks, wait) = allocations(|| {
                let mut wait = hub.wait([&c[number % 10]]);
                assert!(look(&mut wait).is_pending());
                wait
            });
            let (cancels, ()) = allocations(|| drop(wait));
            parks + cancels
        });
        assert_eq!(parks_and_cancels, 0);
    });
}

#[test]
fn waking_a_wait_allocates_nothing_but_the_event() {
    // The ring beside the newest event has room for none, for one, and for more.
    for events in [1, 2, 4] {
        run(wake(events));
    }
}

async fn wake(history_events: usize) {
    let builder = Hub::builder().history_events(history_events);
    let (hub, c) = (builder.build().unwrap(), channels(1));
    settle().await;
    let woken = |waits: usize| {
        most(|| {
            let mut parked: Vec<_> = (0..waits).map(|_| park(&hub, &c, Since::Now)).collect();
            let event = Event::text("event");
            let (count, published) = allocations(|| hub.publish(&c[0], event).unwrap());
            assert_eq!(published.woken, waits);
            assert!(parked.iter_mut().all(|wait| wait.is_woken() && wait.poll().is_ready()));
            count
        })
    };
    let (nobody, one) = (woken(0), woken(1));
    assert_eq!(nobody, 1, "what is kept of an event is one record");
    assert_eq!(one, nobody, "one that is woken");
    // Wakers are taken out under the lock in batches, which use the same memory.
    for many in [64, 1_000] {
        assert!(woken(many) <= nobody + 1, "{many} that are woken: {}", woken(many));
    }
}

#[test]
fn looking_again_at_a_parked_wait_allocates_nothing() {
    run(async {
        let (hub, c) = (Hub::new(), channels(1));
        let mut wait = park(&hub, &c, Since::Now);
        settle().await;
        assert_eq!(most(|| allocations(|| assert!(wait.poll().is_pending())).0), 0);
    });
}

#[test]
fn an_answer_allocates_its_batch_and_a_timeout_nothing() {
    run(async {
        let (hub, c) = (Hub::builder().history_events(4).build().unwrap(), channels(1));
        let answered = most(|| {
            let mut wait = park(&hub, &c, Since::Now);
            publish(&hub, &c[0], "event");
            allocations(|| whole_of(&mut wait)).0
        });
        assert!(answered <= 1, "the batch's entries: {answered}");

        let mut timeouts = 0;
        for round in 0..WARM {
            let mut wait = task::spawn(hub.wait(&c).hold(MS));
            assert!(wait.poll().is_pending());
            pass(2 * MS).await;
            let (count, ended) = allocations(|| wait.poll());
            assert!(ended.is_ready());
            timeouts = timeouts.max(count * u64::from(round > WARM / 2));
        }
        assert_eq!(timeouts, 0);
    });
}

/// The answer of a wait that was woken.
fn whole_of(wait: &mut Parked) -> tower_longpoll::Batch {
    match wait.poll() {
        Poll::Ready(waited) => batch(waited),
        Poll::Pending => panic!("it was woken"),
    }
}
