//! A touch tells who is there that something may have changed, and leaves no trace.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
    time::Duration,
};

use common::*;
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, task};
use tower_longpoll::{Channel, Cursor, Hub, Refused, Since, Wait, Waited};

#[track_caller]
fn touched(waited: Waited) -> Cursor {
    match waited {
        Waited::Touched { cursor } => cursor,
        other => panic!("not touched: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_touch_wakes_who_is_parked_on_its_channel_and_nobody_else() {
    for shards in [1, 2, 64] {
        let hub = Hub::builder().shards(shards).build().unwrap();
        let c = channels(3);
        let polls: [(&str, &[Channel], bool); 6] = [
            ("on the channel", &c[..1], true),
            ("on it, too", &c[..1], true),
            ("on it and another", &c[..2], true),
            ("on it and two others", &c, true),
            ("on another", &c[1..2], false),
            ("on two others", &c[1..], false),
        ];
        let mut waits = polls.map(|(_, polled, _)| park(&hub, polled, Since::Now));
        assert_eq!(hub.touch(&c[0]), 4);
        assert_eq!((hub.stats().parked, hub.stats().touched), (6, 0), "none was polled yet");
        for ((row, _, is_meant), wait) in polls.iter().zip(&mut waits) {
            assert_eq!(wait.is_woken(), *is_meant, "{shards} shards, {row}");
            if *is_meant {
                assert_eq!(touched(assert_ready!(wait.poll())), hub.cursor(), "{row}");
            } else {
                assert_pending!(wait.poll(), "{row}");
            }
        }
        assert_eq!((hub.stats().parked, hub.stats().touched), (2, 4));
        for wait in &mut waits[..4] {
            assert_pending!(wait.poll(), "it has ended");
        }
        drop(waits);
        let stats = hub.stats();
        assert_eq!((stats.touched, stats.dropped, stats.timed_out), (4, 2, 0));
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_touch_wakes_at_the_instant_it_is_made() {
    let (hub, c) = (Hub::new(), channels(2));
    let wait = tokio::spawn(timed(hub.wait(&c)));
    settle().await;
    pass(7 * SECOND).await;
    assert_eq!(hub.touch(&c[1]), 1);
    let (took, waited) = wait.await.unwrap();
    touched(waited);
    assert_eq!(took, 7 * SECOND);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_touch_stores_nothing() {
    let (hub, c) = (Hub::new(), channels(2));
    let before = hub.cursor();
    let mut wait = park(&hub, &c, before);
    assert_eq!(hub.touch(&c[0]), 1);
    let after = touched(assert_ready!(wait.poll()));
    assert_empty(&hub);
    for (row, since) in [
        ("from before the touch", Since::from(before)),
        ("from the answer", after.into()),
        ("now", Since::Now),
        ("oldest", Since::Oldest),
    ] {
        assert_eq!(timed_out(ask(&hub, &c, since)), hub.cursor(), "{row}");
        let mut later = park(&hub, &c, since);
        settle().await;
        assert!(!later.is_woken(), "{row}");
        assert_pending!(later.poll(), "{row}");
    }
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn touching_an_idle_channel_does_nothing() {
    type Make = fn(&Hub, &Channel);
    let rows: [(&str, Make); 6] = [
        ("never used", |_, _| ()),
        ("polled once", |hub, c| drop(park(hub, std::slice::from_ref(c), Since::Now))),
        ("with events", |hub, c| publish(hub, c, "event")),
        ("deleted", |hub, c| {
            publish(hub, c, "event");
            assert!(hub.delete(c));
        }),
        ("of a hub that drains", |hub, _| hub.drain(Duration::ZERO)),
        ("of a closed hub", |hub, _| hub.close()),
    ];
    for (row, make) in rows {
        let (hub, c) = (Hub::new(), channels(1));
        make(&hub, &c[0]);
        let before = (hub.stats(), hub.channel_stats(&c[0]), hub.cursor());
        for _ in 0..3 {
            assert_eq!(hub.touch(&c[0]), 0, "{row}");
        }
        assert_eq!((hub.stats(), hub.channel_stats(&c[0]), hub.cursor()), before, "{row}");
    }
    let full = Hub::builder().max_channels(0).max_channel_name_bytes(1).build().unwrap();
    assert_eq!(full.touch(&channel("no room for it")), 0);
    assert_empty(&full);
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_a_touch_is_not_told() {
    let (hub, c) = (Hub::new(), channels(1));
    let made_before = hub.wait(&c);
    let mut early = park(&hub, &c, Since::Now);
    assert_eq!(hub.touch(&c[0]), 1);
    let mut late = [task::spawn(made_before), park(&hub, &c, Since::Now)];
    for wait in &mut late {
        assert_pending!(wait.poll());
    }
    touched(assert_ready!(early.poll()));
    assert_eq!(hub.touch(&c[0]), 2);
    for wait in &mut late {
        touched(assert_ready!(wait.poll()));
    }
    assert_eq!(hub.touch(&c[0]), 0, "all have gone");
    assert_empty(&hub);
}

type Step = fn(&Hub, &Channel);
const NOTHING: Step = |_, _| ();
const TOUCH: Step = |hub, c| _ = hub.touch(c);
const EVENT: Step = |hub, c| publish(hub, c, "event");
const DELETE: Step = |hub, c| _ = hub.delete(c);
const DRAIN: Step = |hub, _| hub.drain(Duration::ZERO);
const CLOSE: Step = |hub, _| hub.close();

fn told(waited: &Waited) -> &'static str {
    match waited {
        Waited::Events(batch) if batch.gap() => "gap",
        Waited::Events(_) => "events",
        Waited::TimedOut { .. } => "timed out",
        Waited::Deleted { .. } => "deleted",
        Waited::Touched { .. } => "touched",
        Waited::Drained { .. } => "drained",
        _ => "unknown",
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_or_whatever_came_first_decides() {
    let rows: [(&str, Step, Step, &str); 11] = [
        ("touch", TOUCH, NOTHING, "touched"),
        ("two touches", TOUCH, TOUCH, "touched"),
        ("touch, then event", TOUCH, EVENT, "events"),
        ("event, then touch", EVENT, TOUCH, "events"),
        ("touch, then deletion", TOUCH, DELETE, "touched"),
        ("deletion, then touch", DELETE, TOUCH, "deleted"),
        ("touch, then drain", TOUCH, DRAIN, "touched"),
        ("drain, then touch", DRAIN, TOUCH, "drained"),
        ("touch, then close", TOUCH, CLOSE, "touched"),
        ("close, then touch", CLOSE, TOUCH, "drained"),
        (
            "touch, then event that is gone",
            TOUCH,
            |hub, c| (EVENT(hub, c), DELETE(hub, c)).1,
            "gap",
        ),
    ];
    for (row, first, then, expected) in rows {
        let (hub, c) = (Hub::new(), channels(1));
        let mut wait = park(&hub, &c, Since::Now);
        first(&hub, &c[0]);
        assert!(wait.is_woken(), "{row}");
        then(&hub, &c[0]);
        let waited = assert_ready!(wait.poll(), "{row}");
        assert_eq!((told(&waited), waited.cursor()), (expected, hub.cursor()), "{row}");
        let touches = u64::from(expected == "touched");
        assert_eq!((hub.stats().touched, hub.stats().parked), (touches, 0), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_on_many_channels_is_told_of_the_weightiest() {
    let elsewhere: [(&str, Step, &str); 3] =
        [("event", EVENT, "events"), ("deletion", DELETE, "deleted"), ("touch", TOUCH, "touched")];
    for round in 0..10 {
        for (row, step, expected) in elsewhere {
            for touch_first in [true, false] {
                let (hub, c) = (Hub::new(), channels(3));
                let mut wait = park(&hub, &c, Since::Now);
                let steps: [(Step, &Channel); 2] =
                    [(TOUCH, &c[round % 3]), (step, &c[(round + 1) % 3])];
                let order = if touch_first { [0, 1] } else { [1, 0] };
                order.into_iter().for_each(|place| steps[place].0(&hub, steps[place].1));
                assert_eq!(told(&assert_ready!(wait.poll())), expected, "{row}");
                assert_eq!(hub.stats().parked, 0);
                assert_eq!(hub.stats().touched, u64::from(row == "touch"), "{row}: ends once");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_and_a_touch_go_by_who_came_first() {
    let rows = [("touch first", true, "touched"), ("deadline first", false, "timed out")];
    for (row, touch_first, expected) in rows {
        let (hub, c) = (Hub::new(), channels(1));
        let mut wait = task::spawn(hub.wait(&c).hold(SECOND));
        assert_pending!(wait.poll());
        if touch_first {
            assert_eq!(hub.touch(&c[0]), 1, "{row}");
        }
        pass(SECOND).await;
        assert_eq!(hub.touch(&c[0]), 0, "{row}: it has ended");
        assert_eq!(told(&assert_ready!(wait.poll())), expected, "{row}");
        let stats = hub.stats();
        assert_eq!(stats.touched + stats.timed_out, 1, "{row}");
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_to_be_drained_later_can_still_be_touched() {
    let (hub, c) = (Hub::new(), channels(1));
    let mut waits = [park(&hub, &c, Since::Now), park(&hub, &c, Since::Now)];
    hub.drain(10 * SECOND);
    pass(MS).await;
    assert_eq!(told(&assert_ready!(waits[0].poll())), "drained");
    assert_eq!(hub.touch(&c[0]), 1);
    assert_eq!(told(&assert_ready!(waits[1].poll())), "touched");
    assert_empty(&hub);
}

/// A waker that comes again at once, from within the call that wakes it.
struct Again {
    hub: Hub,
    channels: Vec<Channel>,
    /// How often it was woken, and what it polls since.
    came: Mutex<(usize, Vec<Pin<Box<Wait>>>)>,
}

impl Wake for Again {
    fn wake(self: Arc<Self>) {
        let mut again = Box::pin(self.hub.wait(&self.channels));
        let mut came = self.came.lock().unwrap();
        came.0 += 1;
        // Its own waker keeps nothing alive: it would be a circle.
        assert!(again.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        came.1.push(again);
    }
}

#[tokio::test(start_paused = true)]
async fn a_touch_of_many_meets_each_once_though_they_come_again_at_once() {
    for shards in [1, 64] {
        for count in [1, 63, 64, 65, 128, 129, 1_000] {
            let hub = Hub::builder().shards(shards).build().unwrap();
            let c = channels(2);
            let waits: Vec<_> = (0..count)
                .map(|_| {
                    let came = Mutex::default();
                    let again = Arc::new(Again { hub: hub.clone(), channels: c.clone(), came });
                    let mut wait = Box::pin(hub.wait(&c));
                    let waker = Waker::from(Arc::clone(&again));
                    assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    (wait, again)
                })
                .collect();
            assert_eq!(hub.touch(&c[0]), count);
            let mut parked = Vec::new();
            for (mut wait, again) in waits {
                let (woken, mut new) = std::mem::take(&mut *again.came.lock().unwrap());
                assert_eq!((woken, new.len()), (1, 1), "{count} on {shards} shards");
                let cx = &mut Context::from_waker(Waker::noop());
                touched(assert_ready!(wait.as_mut().poll(cx)));
                assert_pending!(new[0].as_mut().poll(cx), "it was not meant");
                parked.append(&mut new);
            }
            assert_eq!(hub.touch(&c[1]), count, "all are back");
            drop(parked);
            assert_empty(&hub);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_a_touch() {
    let (hub, c) = (Hub::new(), channels(2));
    let mut events = task::spawn(hub.events(&c, Since::Now));
    assert_pending!(events.poll_next());
    for (round, touched) in (1..).zip(c.iter().cycle().take(5)) {
        assert_eq!(hub.touch(touched), 1);
        assert_pending!(events.poll_next());
        assert_eq!(events.cursor(), Some(hub.cursor()));
        assert_eq!((hub.stats().parked, hub.stats().touched), (1, round));
        publish(&hub, &c[0], "one");
        assert_eq!(whole(assert_ready!(events.poll_next()).unwrap()), ["one"]);
        assert_pending!(events.poll_next());
    }
    hub.touch(&c[0]);
    publish(&hub, &c[1], "rides along");
    assert_eq!(whole(assert_ready!(events.poll_next()).unwrap()), ["rides along"]);
    assert_pending!(events.poll_next());
    assert!(hub.delete(&c[1]));
    assert!(matches!(assert_ready!(events.poll_next()), Some(Waited::Deleted { .. })));
    assert_ready_eq!(events.poll_next().map(|item| item.is_none()), true);
    hub.delete(&c[0]);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_touched_between_events_loses_none() {
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let hub = Hub::builder().shards([1, 64][seed as usize % 2]).build().unwrap();
        let c = channels(3);
        let (mut cursor, mut told, mut sent, mut touches) = (hub.cursor(), vec![], vec![], 0);
        let mut wait = None;
        for step in 0..300 {
            match random.below(4) {
                0 => _ = hub.touch(&c[random.below(3)]),
                1 => {
                    sent.push(step.to_string());
                    publish(&hub, &c[random.below(3)], step.to_string());
                }
                _ => {
                    let polled = wait.get_or_insert_with(|| {
                        task::spawn(hub.wait(&c).since(cursor).max_events(2))
                    });
                    let std::task::Poll::Ready(waited) = polled.poll() else { continue };
                    wait = None;
                    cursor = waited.cursor();
                    match waited {
                        Waited::Touched { .. } => touches += 1,
                        other => told.append(&mut whole(other)),
                    }
                }
            }
        }
        drop(wait);
        while let Waited::Events(batch) = ask(&hub, &c, cursor) {
            cursor = batch.cursor();
            told.append(&mut texts(&batch));
        }
        assert_eq!(told, sent, "seed {seed}");
        assert_eq!((hub.stats().parked, hub.stats().touched), (0, touches), "seed {seed}");
        assert!(touches > 0, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_after_the_touch_is_found_from_the_cursor_of_the_touched() {
    let (hub, c) = (Hub::new(), channels(2));
    let mut waits = [park(&hub, &c, Since::Now), park(&hub, &c[..1], Since::Now)];
    assert_eq!(hub.touch(&c[0]), 2);
    let early = touched(assert_ready!(waits[0].poll()));
    publish(&hub, &c[1], "event");
    // The other polls late: what it does not wait for is behind its cursor.
    let late = touched(assert_ready!(waits[1].poll()));
    assert_eq!(whole(ask(&hub, &c, early)), ["event"]);
    assert_eq!(late, hub.cursor());
    timed_out(ask(&hub, &c, late));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_touched_wait_keeps_its_place_until_it_is_polled_or_dropped() {
    for (row, is_polled) in [("polled", true), ("dropped", false)] {
        let hub = Hub::builder().max_waits(1).max_channels(1).build().unwrap();
        let c = channels(2);
        for _ in 0..10 {
            let mut wait = park(&hub, &c[..1], Since::Now);
            assert_eq!(hub.touch(&c[0]), 1, "{row}");
            let refused = assert_ready!(task::spawn(hub.wait(&c[..1])).poll());
            let reason = Refused::Waits { max: 1 };
            assert!(
                matches!(refused, Waited::Refused { reason: why, .. } if why == reason),
                "{row}"
            );
            if is_polled {
                touched(assert_ready!(wait.poll()));
            } else {
                drop(wait);
            }
            assert_empty(&hub);
        }
        let stats = hub.stats();
        let expected = if is_polled { (10, 0) } else { (0, 10) };
        assert_eq!((stats.touched, stats.dropped), expected, "{row}");
    }
}

struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("a foreign waker panics");
    }
}

#[test]
fn a_waker_that_panics_costs_nobody_else_a_touch() {
    let (hub, c) = (Hub::builder().shards(1).build().unwrap(), channels(1));
    let bomb = || {
        let mut wait = Box::pin(hub.wait(&c));
        let waker = Waker::from(Arc::new(Bomb));
        assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        wait
    };
    let mut waits = Vec::new();
    let bombs: Vec<_> = (0..100)
        .map(|_| {
            waits.push(park(&hub, &c, Since::Now));
            bomb()
        })
        .collect();
    let touch = catch_unwind(AssertUnwindSafe(|| hub.touch(&c[0])));
    assert!(touch.is_err(), "the panic goes on");
    for wait in &mut waits {
        assert!(wait.is_woken());
        touched(assert_ready!(wait.poll()));
    }
    for mut wait in bombs {
        touched(assert_ready!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
    }
    assert_empty(&hub);
}
