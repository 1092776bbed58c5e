//! Promises 6 and 7, byte by byte: what was taken goes back, and what others can take is bounded.
//!
//! The whole process is measured, so the tests here take turns, and a `SLACK` is for what the test
//! harness does meanwhile. `TEST_FULL=1` takes the full numbers, which are too many for a debug build
//! to do each time.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    task::Poll,
};

use common::*;
use peak_alloc::PeakAlloc;
use tokio::runtime::Builder;
use tokio_test::task;
use tower_longpoll::{Channel, Event, Hub, PublishError, Refused, Since, Waited};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What the harness may take or let go at any moment, in bytes.
const SLACK: usize = 16 << 10;

/// What a hub of 64 shards may keep in case that it is needed again, in bytes: in each shard room
/// for 64 channels and 64 polls.
const SPARE: usize = 64 * 64 * 224;

/// Runs a test by itself, on a paused clock.
fn alone<F: Future>(test: impl FnOnce() -> F) -> F::Output {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let output = runtime.block_on(async { test().await });
    drop(runtime);
    output
}

/// The full number of something if that is asked for, else a part of it.
fn full_or(full: usize, part: usize) -> usize {
    if std::env::var_os("TEST_FULL").is_some() { full } else { part }
}

fn used() -> usize {
    MEMORY.current_usage()
}

#[track_caller]
fn assert_back_to(before: usize, allowed: usize, what: &str) {
    let grown = used().saturating_sub(before);
    assert!(grown <= allowed, "{what}: {grown} bytes more than before, not {allowed} at most");
}

fn numbered(number: usize) -> Channel {
    channel(&format!("channel {number}"))
}

#[test]
fn polls_that_come_and_go_leave_not_a_byte() {
    const WARM: usize = 20_000;
    let polls = full_or(1_000_000, 100_000);
    alone(|| async {
        let hub = Hub::new();
        let come_and_go = |number| drop(park(&hub, &[numbered(number)], Since::Now));
        (0..WARM).for_each(come_and_go);
        let before = used();
        (WARM..WARM + polls).for_each(come_and_go);
        assert_back_to(before, SLACK, "polls that are gone");
        assert_empty(&hub);
    });
}

#[test]
fn what_a_peak_of_polls_took_goes_back() {
    let polls = full_or(200_000, 50_000);
    alone(|| async {
        let before_the_hub = used();
        let hub = Hub::new();
        let before = used();
        let mut random = Random::new(1);
        // In the order in which they came, from the newest to the oldest, and anyhow.
        for order in ["oldest first", "newest first", "anyhow"] {
            let mut waits: Vec<_> =
                (0..polls).map(|n| park(&hub, &[numbered(n)], Since::Now)).collect();
            let peak = used() - before;
            assert_eq!((hub.stats().parked, hub.stats().channels), (polls, polls));
            assert!(peak > 5 * SPARE, "{peak} bytes are no peak");
            println!("{polls} polls on as many channels, test included: {peak} bytes");
            match order {
                "newest first" => waits.reverse(),
                "anyhow" => (1..polls).for_each(|n| waits.swap(n, random.below(n))),
                _ => {}
            }
            drop(waits);
            assert_empty(&hub);
            println!("kept, {order}: {} bytes", used() - before);
            assert_back_to(before, SPARE + SLACK, order);
        }
        // The same in one shard, on one channel.
        let one = [numbered(0)];
        drop((0..polls).map(|_| park(&hub, &one, Since::Now)).collect::<Vec<_>>());
        assert_back_to(before, SPARE + SLACK, "on one channel");
        drop(hub);
        settle().await;
        assert_back_to(before_the_hub, SLACK, "a hub that is gone");
    });
}

#[test]
fn what_a_peak_of_events_took_goes_back_when_they_are_too_old() {
    let events = full_or(100_000, 50_000);
    alone(|| async {
        let hub = Hub::builder().history_age(SECOND).build().unwrap();
        let before = used();
        for round in 0..3 {
            for number in 0..events {
                let c = numbered(number % 5_000);
                hub.publish(&c, Event::text(format!("event {number}"))).unwrap();
            }
            let peak = used() - before;
            assert!(peak > 3 * SPARE, "{peak} bytes are no peak");
            let held = hub.stats().history_bytes;
            assert!(held + SPARE > peak, "{peak} bytes are counted as {held}");
            pass(SECOND).await;
            // The driver lets others run after each thousand.
            for _ in 0..events / 4_000 {
                settle().await;
            }
            assert_back_to(before, SPARE + SLACK, &format!("round {round}"));
            assert_empty(&hub);
        }
    });
}

#[test]
fn a_channel_that_was_busy_once_is_small_again() {
    const EVENTS: usize = 50_000;
    alone(|| async {
        let hub = Hub::builder().history_age(2 * SECOND).history_events(EVENTS).build().unwrap();
        let c = channels(1);
        let before = used();
        (0..EVENTS).for_each(|number| publish(&hub, &c[0], number.to_string()));
        pass(SECOND).await;
        publish(&hub, &c[0], "the last");
        pass(SECOND).await;
        assert_eq!(hub.stats().history_events, 1);
        assert_back_to(before, 64 << 10, "one event");
    });
}

/// One client polls and publishes on names that it makes up, one after the other.
async fn flood(names: usize) {
    const MAX: usize = 10_000;
    let hub = Hub::builder().max_channels(MAX).history_age(60 * SECOND).build().unwrap();
    let in_use: Vec<_> = (0..200).map(|n| channel(&format!("in use {n}"))).collect();
    let mut parked: Vec<_> = in_use[..100].chunks(1).map(|c| park(&hub, c, Since::Now)).collect();
    in_use[100..].iter().for_each(|c| publish(&hub, c, "kept"));
    let before = used();
    MEMORY.reset_peak_usage();

    let (mut waits, mut taken) = (Vec::with_capacity(MAX), 0);
    for number in 0..names {
        let c = [channel(&format!("{number:0>256}"))];
        let refused = if number % 2 == 0 {
            let mut wait = task::spawn(hub.wait(&c));
            match wait.poll() {
                Poll::Pending => {
                    waits.push(wait);
                    false
                }
                Poll::Ready(Waited::Refused { reason: Refused::Channels { max: MAX }, .. }) => true,
                Poll::Ready(other) => panic!("#{number}: {other:?}"),
            }
        } else {
            match hub.publish(&c[0], "x") {
                Ok(_) => false,
                Err(PublishError::Channels { max: MAX }) => true,
                Err(other) => panic!("#{number}: {other:?}"),
            }
        };
        assert_eq!(refused, taken == MAX - in_use.len(), "#{number}: the limit is exact");
        taken += usize::from(!refused);
    }
    assert_eq!(hub.stats().channels, MAX);
    let peak = MEMORY.peak_usage() - before;
    println!("{names} names of 256 bytes at a limit of {MAX} channels: {peak} bytes at most");
    assert!(peak < MAX * 1_536, "{peak} bytes for {MAX} channels");

    // Nobody had to go for them.
    assert!(parked.iter_mut().all(|wait| !wait.is_woken() && wait.poll().is_pending()));
    for c in &in_use[100..] {
        assert_eq!(whole(ask(&hub, std::slice::from_ref(c), Since::Oldest)), ["kept"]);
    }
    for (c, wait) in in_use.iter().zip(&mut parked) {
        assert_eq!(hub.publish(c, "told").unwrap().woken, 1);
        assert!(wait.poll().is_ready());
    }

    // They leave, their events age, and all of it is free again.
    drop((waits, parked));
    pass(60 * SECOND).await;
    assert_empty(&hub);
    assert_back_to(before, SPARE + SLACK, "after the flood");
    publish(&hub, &channel("new"), "event");
}

#[test]
fn a_flood_of_names_ends_at_the_limit_and_leaves_nothing() {
    alone(|| flood(full_or(1_000_000, 30_000)));
}

#[test]
fn a_payload_is_held_once_however_many_get_it() {
    const POLLS: usize = 1_000;
    const BYTES: usize = 1 << 20;
    alone(|| async {
        let (hub, c) = (Hub::new(), channels(1));
        let mut waits: Vec<_> = (0..POLLS).map(|_| park(&hub, &c, Since::Now)).collect();
        let before = used();
        publish(&hub, &c[0], vec![b'x'; BYTES]);
        let batches: Vec<_> = waits.iter_mut().map(task::Spawn::poll).collect();
        assert!(batches.iter().all(Poll::is_ready));
        assert_back_to(before, 2 * BYTES, "a thousand answers");
        assert_eq!(hub.stats().parked, 0);
    });
}
