//! Holds run out on whatever runtimes a hub is used, and nothing of it outlives the hub.
//!
//! Some of these need the real clock. They keep their holds short and assert no wall time, but for
//! a limit at which they give up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;
#[path = "runtimes/threads.rs"]
mod threads;

use std::{
    future::Future,
    sync::{Arc, mpsc},
    time::Duration,
};

use bytes::Bytes;
use common::*;
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tokio_test::{assert_pending, assert_ready, task};
use tower_longpoll::{Channel, Event, Hub, Since, Waited};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

fn workers() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

/// Gives up on a future that never ends.
async fn ends<F: Future>(future: F) -> Option<F::Output> {
    timeout(3 * SECOND, future).await.ok()
}

fn alive(runtime: &Runtime) -> usize {
    runtime.metrics().num_alive_tasks()
}

#[test]
fn a_hub_made_and_published_on_outside_of_a_runtime_works_inside() {
    let (hub, c) = (Hub::new(), channels(1));
    let cursor = hub.cursor();
    hub.publish(&c[0], "outside").unwrap();
    let runtime = runtime();
    assert_eq!(whole(runtime.block_on(hub.wait(&c).since(cursor))), ["outside"]);
    timed_out(runtime.block_on(hub.wait(&c).hold(5 * MS)));
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn a_wait_polled_outside_of_a_runtime_ends_by_an_event() {
    let (hub, c) = (Hub::new(), channels(2));
    let mut wait = park(&hub, &c, Since::Now);
    assert_eq!(hub.publish(&c[1], "event").unwrap().woken, 1);
    assert!(wait.is_woken());
    assert_eq!(whole(assert_ready!(wait.poll())), ["event"]);
    let mut wait = park(&hub, &c, Since::Now);
    hub.drain(Duration::ZERO);
    assert!(matches!(assert_ready!(wait.poll()), Waited::Drained { .. }));
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn holds_run_out_on_two_runtimes_at_once() {
    for _ in 0..20 {
        let (hub, c) = (Hub::new(), channels(3));
        let (first, second) = (workers(), workers());
        let poll = |runtime: &Runtime, hold: u64| {
            let wait = hub.wait(&c).hold(MS * hold as u32);
            runtime.spawn(ends(wait))
        };
        let polls: Vec<_> =
            (1..20).flat_map(|hold| [poll(&first, hold % 7 + 1), poll(&second, hold)]).collect();
        for poll in polls {
            timed_out(runtime().block_on(poll).unwrap().expect("it never ended"));
        }
        assert_eq!(hub.stats().parked, 0);
    }
}

#[test]
fn a_wait_outlives_the_runtime_on_which_another_was_parked_before() {
    for _ in 0..20 {
        let (hub, c) = (Hub::new(), channels(1));
        let (first, second) = (workers(), runtime());
        let ended = first.spawn(ends(hub.wait(&c).hold(20 * SECOND)));
        while hub.stats().parked < 1 {
            std::thread::yield_now();
        }
        let waited = second.block_on(async {
            let wait = tokio::spawn(ends(hub.wait(&c).hold(10 * MS)));
            tokio::task::yield_now().await;
            first.shutdown_background();
            wait.await.unwrap()
        });
        timed_out(waited.expect("it never ended"));
        drop(second.block_on(ended));
        assert_eq!(hub.stats().parked, 0);
    }
}

/// A wait is parked on a runtime that is then never driven again, but lives on.
fn on_an_idle_runtime(clock: fn() -> Runtime, spawned: bool, next: fn() -> Runtime) -> bool {
    let (first, c) = (clock(), channels(1));
    let hub = first.block_on(async { Hub::new() });
    let mut parked = task::spawn(hub.wait(&c).hold(5 * MS));
    first.block_on(async { assert_pending!(parked.poll()) });
    let second = next();
    let wait = hub.wait(&c).hold(5 * MS);
    let ended = if spawned {
        second.block_on(async { tokio::spawn(ends(wait)).await.unwrap() })
    } else {
        second.block_on(ends(wait))
    };
    ended.is_some_and(|waited| matches!(waited, Waited::TimedOut { .. }))
}

#[test]
fn a_wait_does_not_depend_on_an_idle_runtime_of_the_same_thread() {
    // Both in the same tick on the same thread, most of the time.
    for round in 0..50 {
        for spawned in [false, true] {
            assert!(on_an_idle_runtime(runtime, spawned, runtime), "#{round}, {spawned}");
            assert!(on_an_idle_runtime(runtime, spawned, workers), "#{round}, {spawned}");
        }
    }
}

#[test]
fn a_wait_does_not_depend_on_an_idle_runtime_of_another_thread() {
    for _ in 0..20 {
        let (hub, c) = (Hub::new(), channels(1));
        let idle = runtime();
        let mut parked = task::spawn(hub.wait(&c).hold(5 * MS));
        idle.block_on(async { assert_pending!(parked.poll()) });
        let (hub2, c2) = (hub.clone(), c.clone());
        let other =
            std::thread::spawn(move || runtime().block_on(ends(hub2.wait(&c2).hold(5 * MS))));
        timed_out(other.join().unwrap().expect("it never ended"));
        // What was parked on the idle runtime ends as well.
        assert!(parked.is_woken());
        timed_out(assert_ready!(parked.poll()));
        assert_eq!(hub.stats().parked, 0);
    }
}

#[test]
fn a_parked_wait_moves_to_another_runtime() {
    for first_lives in [false, true] {
        for _ in 0..10 {
            let (hub, c) = (Hub::new(), channels(2));
            let (first, second) = (runtime(), runtime());
            let mut wait = Box::pin(hub.wait(&c).hold(10 * MS));
            first.block_on(async {
                let mut wait = task::spawn(wait.as_mut());
                assert_pending!(wait.poll());
                tokio::task::yield_now().await;
            });
            let first = first_lives.then_some(first);
            // It registers its new waker here; from now on only this runtime runs.
            let waited = second.block_on(ends(wait));
            timed_out(waited.unwrap_or_else(|| panic!("it never ended, {first_lives}")));
            drop(first);
            assert_eq!(hub.stats().parked, 0);
        }
    }
}

#[test]
fn a_drain_is_spread_on_the_runtime_that_asks_for_it() {
    let (hub, c) = (Hub::new(), channels(1));
    let idle = runtime();
    let mut waits: Vec<_> = (0..5).map(|_| task::spawn(hub.wait(&c))).collect();
    idle.block_on(async { waits.iter_mut().for_each(|wait| assert_pending!(wait.poll())) });
    let second = runtime();
    second.block_on(async {
        hub.drain(5 * MS);
        let all = async {
            while !waits.iter().all(task::Spawn::is_woken) {
                tokio::time::sleep(MS).await;
            }
        };
        ends(all).await.expect("they were never let go");
    });
    for wait in &mut waits {
        assert!(matches!(assert_ready!(wait.poll()), Waited::Drained { .. }));
    }
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn waits_that_outlive_the_hub_time_out() {
    let runtime = paused();
    runtime.block_on(async {
        let (hub, c) = (Hub::new(), channels(100));
        let wait = |hold: u32| hub.wait(&c[..hold as usize]).hold(SECOND * hold);
        let waits: Vec<_> = (1..=64).map(|hold| tokio::spawn(timed(wait(hold)))).collect();
        let late = wait(7);
        settle().await;
        assert_eq!(hub.stats().parked, 64);
        drop(hub);
        for (hold, wait) in (1..).zip(waits) {
            let (took, waited) = wait.await.unwrap();
            assert_eq!(took, SECOND * hold);
            timed_out(waited);
        }
        // One that is first polled after the hub is gone.
        let (took, waited) = timed(late).await;
        assert_eq!(took, 7 * SECOND);
        timed_out(waited);
        settle().await;
    });
    assert_eq!(alive(&runtime), 0);
}

#[test]
fn a_thousand_waits_have_one_task_which_ends_with_the_hub() {
    let runtime = paused();
    let (hub, c) = runtime.block_on(async { (Hub::new(), channels(1_000)) });
    assert_eq!(alive(&runtime), 0, "no task before there is a deadline");
    let waits: Vec<_> =
        runtime.block_on(async { c.chunks(1).map(|c| park(&hub, c, Since::Now)).collect() });
    assert_eq!(alive(&runtime), 1);
    runtime.block_on(async {
        for c in &c {
            hub.publish(c, "event").unwrap();
        }
        settle().await;
    });
    assert_eq!(alive(&runtime), 1);
    drop(hub);
    runtime.block_on(settle());
    assert_eq!(alive(&runtime), 1, "the waits live");
    drop(waits);
    runtime.block_on(settle());
    assert_eq!(alive(&runtime), 0);
}

#[test]
fn the_driver_ends_with_a_hub_that_is_dropped_elsewhere() {
    for with_events in [true, false] {
        let (hub, c, runtime) = (Hub::new(), channels(1), runtime());
        runtime.block_on(async {
            drop(park(&hub, &c, Since::Now));
            if with_events {
                hub.publish(&c[0], "event").unwrap();
            }
            settle().await;
        });
        assert_eq!(alive(&runtime), 1);
        std::thread::spawn(move || drop(hub)).join().unwrap();
        runtime.block_on(settle());
        assert_eq!(alive(&runtime), 0);
    }
}

#[test]
fn many_runtimes_one_after_another_leave_nothing() {
    let (hub, c) = (Hub::builder().history_age(MS).build().unwrap(), channels(3));
    for round in 0..100 {
        let runtime = if round % 2 == 0 { runtime() } else { workers() };
        hub.publish(&c[0], "event").unwrap();
        let waited = runtime.block_on(ends(hub.wait(&c).hold(MS)));
        assert!(waited.is_some(), "#{round} never ended");
        if round % 3 == 0 {
            runtime.spawn(hub.wait(&c).hold(10 * SECOND));
        }
    }
    runtime().block_on(ends(hub.wait(&c).hold(5 * MS))).unwrap();
    assert_empty(&hub);
}

#[test]
fn a_thread_that_worked_for_a_runtime_that_is_gone_starts_anew() {
    for kind in ["local tasks", "blocking"] {
        let (hub, c) = (Hub::new(), channels(1));
        let poll = |hold: u32| ends(hub.wait(&c).hold(MS * hold));
        let (wait, next, first) = (poll(2), poll(5), workers());
        let again = || runtime().block_on(async { tokio::spawn(next).await.unwrap() });
        let waited = if kind == "local tasks" {
            let local = tokio::task::LocalSet::new();
            let ended = local.block_on(&first, async { tokio::task::spawn_local(wait).await });
            timed_out(ended.unwrap().expect("it never ended"));
            drop((local, first));
            again()
        } else {
            let (handle, (ended, has_ended), (go, went)) =
                (first.handle().clone(), mpsc::channel(), mpsc::channel());
            let thread = first.spawn_blocking(move || {
                ended.send(handle.block_on(wait).is_some()).unwrap();
                went.recv().unwrap();
                again()
            });
            assert!(has_ended.recv().unwrap());
            first.shutdown_background();
            go.send(()).unwrap();
            runtime().block_on(thread).unwrap()
        };
        timed_out(waited.unwrap_or_else(|| panic!("{kind}: it never ended")));
        assert_eq!(hub.stats().parked, 0);
    }
}

#[test]
fn on_a_runtime_without_time_waits_end_by_events_and_the_hub_stays_whole() {
    let (hub, c) = (Hub::new(), channels(1));
    let timeless = Builder::new_current_thread().build().unwrap();
    timeless.block_on(async {
        let wait = tokio::spawn(hub.wait(&c));
        settle().await;
        hub.publish(&c[0], "event").unwrap();
        whole(wait.await.unwrap());
        settle().await;
    });
    // Its driver stays, asleep: a new one would fare no better.
    assert_eq!((hub.stats().parked, alive(&timeless)), (0, 1));
    timed_out(runtime().block_on(ends(hub.wait(&c).hold(5 * MS))).expect("it never ended"));
}

/// An event of which is known whether it is still held.
fn counted(alive: &Arc<()>) -> Event {
    struct Counted {
        _alive: Arc<()>,
    }
    impl AsRef<[u8]> for Counted {
        fn as_ref(&self) -> &[u8] {
            b"event"
        }
    }
    Event::new(Bytes::from_owner(Counted { _alive: Arc::clone(alive) }))
}

#[test]
fn events_of_a_runtime_that_is_gone_age_on_the_next_that_uses_the_hub() {
    type Use = fn(&Hub, &[Channel]);
    let publish: Use = |hub, c| publish(hub, &c[0], "later");
    let look: Use = |hub, c| _ = timed_out(ask(hub, c, Since::Now));
    for next in [publish, look] {
        let hub = Hub::builder().history_age(SECOND).build().unwrap();
        let (c, alive) = (channels(1), Arc::new(()));
        paused().block_on(async {
            hub.publish(&c[0], counted(&alive)).unwrap();
            settle().await;
        });
        paused().block_on(async {
            next(&hub, &c);
            assert_eq!(Arc::strong_count(&alive), 2, "it is not too old yet");
            tokio::time::sleep(2 * SECOND).await;
        });
        assert_eq!(Arc::strong_count(&alive), 1, "it was too old for a second");
    }
}
