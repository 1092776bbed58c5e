//! Broadcasts to many polls: all at once, left to a task of the runtime, or paced.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod common;

use std::{sync::mpsc, task::Poll, thread, time::Duration};

use tokio::{runtime, task::JoinSet};
use tokio_test::task;
use tower_longpoll::{Hub, Since, Waited};

use self::common::{MS, Parked, ask, batch, channel, channels, park, pass, publish, settle};

fn paced(per_ms: usize) -> Hub {
    Hub::builder().max_releases_per_ms(per_ms).build().unwrap()
}

fn crowd(hub: &Hub, size: usize) -> Vec<Parked> {
    (0..size).map(|_| park(hub, &channels(1), Since::Now)).collect()
}

fn woken(crowd: &[Parked]) -> usize {
    crowd.iter().filter(|wait| wait.is_woken()).count()
}

#[track_caller]
fn payload(waited: Waited) -> String {
    String::from_utf8(batch(waited).entries()[0].payload().to_vec()).unwrap()
}

fn answer(wait: &mut Parked) -> Waited {
    tokio_test::assert_ready!(wait.poll())
}

#[tokio::test(start_paused = true)]
async fn a_paced_event_lets_so_many_go_in_each_millisecond() {
    let hub = paced(3);
    let mut crowd = crowd(&hub, 10);
    settle().await;
    let published = hub.publish(&channel("c0"), "e").unwrap();
    assert_eq!(published.woken, 10, "all are meant");
    for expected in [3, 6, 9, 10, 10] {
        settle().await;
        assert_eq!(woken(&crowd), expected);
        let first: Vec<_> = crowd.iter().map(task::Spawn::is_woken).collect();
        assert!(first.is_sorted_by(|a, b| a >= b), "who came first goes first");
        pass(MS).await;
    }
    for wait in &mut crowd {
        assert_eq!(payload(answer(wait)), "e");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_follows_does_not_add_to_the_pace() {
    let hub = paced(2);
    let mut crowd = crowd(&hub, 6);
    publish(&hub, &channel("c0"), "first");
    publish(&hub, &channel("c0"), "second");
    settle().await;
    assert_eq!(woken(&crowd), 2);
    // Parked after both: neither is news to it.
    let mut late = park(&hub, &channels(1), hub.cursor());
    pass(MS).await;
    assert_eq!(woken(&crowd), 4);
    pass(MS).await;
    assert_eq!(woken(&crowd), 6);
    pass(MS * 10).await;
    for wait in &mut crowd {
        assert_eq!(batch(answer(wait)).len(), 2, "both events, in one answer");
    }
    assert!(!late.is_woken());
    publish(&hub, &channel("c0"), "third");
    assert_eq!(payload(answer(&mut late)), "third");
}

#[tokio::test(start_paused = true)]
async fn a_late_driver_catches_up() {
    let hub = paced(2);
    let crowd = crowd(&hub, 10);
    settle().await;
    publish(&hub, &channel("c0"), "e");
    pass(MS * 3).await;
    assert_eq!(woken(&crowd), 8);
}

#[tokio::test(start_paused = true)]
async fn polls_that_come_and_go_meanwhile_change_nothing_for_the_others() {
    let hub = paced(1);
    let mut crowd = crowd(&hub, 5);
    settle().await;
    publish(&hub, &channel("c0"), "e");
    drop(crowd.remove(1));
    drop(crowd.remove(3));
    // Its client has not seen the event: answered at once, in nobody's place.
    let old = hub.wait(channels(1)).since(Since::Oldest);
    assert_eq!(payload(old.await), "e");
    for expected in [1, 2, 3] {
        settle().await;
        assert_eq!(woken(&crowd), expected);
        pass(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_runs_out_before_its_turn_has_the_event() {
    let hub = paced(1);
    let hold = |ms| hub.wait(channels(1)).hold(MS * ms);
    let mut waits = [10, 10, 1].map(|ms| task::spawn(hold(ms)));
    waits.iter_mut().for_each(|wait| assert!(wait.poll().is_pending()));
    settle().await;
    publish(&hub, &channel("c0"), "e");
    pass(MS).await;
    assert!(waits[2].is_woken(), "its time is over");
    assert_eq!(payload(answer(&mut waits[2])), "e", "an event that is ready wins");
}

#[tokio::test(start_paused = true)]
async fn an_event_does_not_hide_a_deletion_on_its_way() {
    let hub = paced(1);
    let mut crowd = crowd(&hub, 3);
    settle().await;
    assert!(hub.delete(&channel("c0")));
    let mut late = park(&hub, &channels(1), hub.cursor());
    publish(&hub, &channel("c0"), "e");
    pass(MS * 5).await;
    for wait in &mut crowd {
        let Waited::Deleted { cursor, .. } = answer(wait) else { panic!("not told") };
        assert_eq!(payload(ask(&hub, &channels(1), cursor)), "e");
    }
    assert_eq!(payload(answer(&mut late)), "e");
}

#[tokio::test(start_paused = true)]
async fn an_event_on_its_way_to_who_hears_of_a_deletion_is_a_gap() {
    let (hub, c) = (paced(1), channels(2));
    let mut crowd = crowd(&hub, 3);
    let mut both = park(&hub, &c, Since::Now);
    settle().await;
    publish(&hub, &c[0], "e");
    assert!(hub.delete(&c[1]));
    assert!(hub.delete(&c[0]));
    pass(MS * 9).await;
    for wait in crowd.iter_mut().chain([&mut both]) {
        let batch = batch(answer(wait));
        assert!(batch.gap() && batch.is_empty(), "the event is gone");
        assert!(matches!(ask(&hub, &c, batch.cursor()), Waited::TimedOut { .. }));
    }
}

#[tokio::test(start_paused = true)]
async fn touches_and_deletes_are_paced_and_the_last_one_counts() {
    let hub = paced(1);
    let mut crowd = crowd(&hub, 4);
    settle().await;
    assert_eq!(hub.touch(&channel("c0")), 4);
    pass(MS).await;
    assert_eq!(woken(&crowd), 2);
    assert!(hub.delete(&channel("c0")));
    pass(MS * 2).await;
    assert!(matches!(answer(&mut crowd[0]), Waited::Touched { .. }));
    assert!(matches!(answer(&mut crowd[1]), Waited::Touched { .. }));
    assert!(matches!(answer(&mut crowd[2]), Waited::Deleted { .. }));
    assert!(matches!(answer(&mut crowd[3]), Waited::Deleted { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_the_pace() {
    let hub = paced(1);
    let mut crowd = crowd(&hub, 4);
    settle().await;
    publish(&hub, &channel("c0"), "e");
    hub.drain(Duration::ZERO);
    assert_eq!(woken(&crowd), 4);
    for wait in &mut crowd {
        assert_eq!(payload(answer(wait)), "e");
    }
}

#[tokio::test(start_paused = true)]
async fn the_other_channels_keep_their_pace() {
    let hub = paced(1);
    let names = channels(2);
    let crowds = [0, 1].map(|place: usize| {
        let only = &names[place..=place];
        (0..3).map(|_| park(&hub, only, Since::Now)).collect::<Vec<_>>()
    });
    settle().await;
    names.iter().for_each(|name| publish(&hub, name, "e"));
    pass(MS).await;
    assert_eq!(crowds.map(|crowd| woken(&crowd)), [2, 2]);
}

#[test]
fn without_a_runtime_all_go_at_once() {
    let hub = paced(1);
    let crowd = crowd(&hub, 2_000);
    publish(&hub, &channel("c0"), "e");
    assert_eq!(woken(&crowd), 2_000);
}

#[test]
fn the_pace_ends_with_its_runtime() {
    let hub = paced(1);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut crowd = runtime.block_on(async {
        let crowd = crowd(&hub, 10);
        settle().await;
        publish(&hub, &channel("c0"), "e");
        crowd
    });
    drop(runtime);
    assert_eq!(woken(&crowd), 10, "nobody is left behind");
    crowd.iter_mut().for_each(|wait| assert_eq!(payload(answer(wait)), "e"));
}

#[test]
fn nobody_is_left_to_a_runtime_that_goes_before_its_driver_ran() {
    let hub = paced(1);
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crowd = runtime.block_on(async {
        let crowd = crowd(&hub, 10);
        publish(&hub, &channel("c0"), "e");
        crowd
    });
    drop(runtime);
    assert_eq!(woken(&crowd), 10);
}

#[test]
fn nobody_is_left_to_workers_that_never_came_to_the_driver() {
    let hub = Hub::new();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (started, is_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    runtime.spawn(async move {
        started.send(()).unwrap();
        released.recv().unwrap();
    });
    is_started.recv().unwrap();
    // What stands before the driver in the queue.
    (0..500).for_each(|_| drop(runtime.spawn(async {})));
    let crowd = runtime.block_on(async { crowd(&hub, 5_000) });
    publish(&hub, &channel("c0"), "e");
    runtime.shutdown_background();
    release.send(()).unwrap();
    // The worker goes when it will: a test that hangs is one that fails.
    while woken(&crowd) < 5_000 {
        thread::yield_now();
    }
}

#[test]
fn a_runtime_without_time_has_no_pace() {
    let hub = paced(1);
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let before = crowd(&hub, 10);
        publish(&hub, &channel("c0"), "e");
        settle().await;
        assert_eq!(woken(&before), 10, "found out while a broadcast was on its way");
        let after = crowd(&hub, 10);
        publish(&hub, &channel("c0"), "e");
        assert_eq!(woken(&after), 10, "known");
    });
}

#[test]
fn nobody_is_left_to_a_runtime_without_time_when_the_one_with_time_goes() {
    let hub = paced(1);
    let timeless = runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let first = timeless.block_on(async { crowd(&hub, 1) });
    // The one worker comes to the driver before this.
    timeless.block_on(timeless.spawn(settle())).unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let crowd = runtime.block_on(async {
        let crowd = crowd(&hub, 10);
        settle().await;
        publish(&hub, &channel("c0"), "e");
        crowd
    });
    drop(runtime);
    while woken(&crowd) < 10 {
        thread::yield_now();
    }
    assert!(first[0].is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_touch_does_not_hide_a_delete_on_its_way() {
    let hub = paced(1);
    let mut streams: Vec<_> =
        (0..3).map(|_| task::spawn(hub.events(channels(1), Since::Now))).collect();
    streams.iter_mut().for_each(|stream| assert!(stream.poll_next().is_pending()));
    settle().await;
    assert!(hub.delete(&channel("c0")));
    let mut late = park(&hub, &channels(1), Since::Now);
    hub.touch(&channel("c0"));
    pass(MS * 10).await;
    for stream in &mut streams {
        assert!(matches!(stream.poll_next(), Poll::Ready(Some(Waited::Deleted { .. }))));
    }
    assert!(matches!(answer(&mut late), Waited::Touched { .. }), "it came after the delete");
}

#[tokio::test(start_paused = true)]
async fn on_one_thread_a_publish_wakes_everybody_before_it_returns() {
    let hub = Hub::new();
    let crowd = crowd(&hub, 5_000);
    publish(&hub, &channel("c0"), "e");
    assert_eq!(woken(&crowd), 5_000);
}

#[test]
fn with_threads_the_rest_is_left_to_the_runtime() {
    let hub = Hub::new();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let answers = runtime.unwrap().block_on(async {
        let mut tasks = JoinSet::new();
        for _ in 0..5_000 {
            tasks.spawn(hub.wait(channels(1)));
        }
        while hub.stats().parked < 5_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hub.publish(&channel("c0"), "e").unwrap().woken, 5_000);
        tasks.join_all().await
    });
    assert_eq!(answers.len(), 5_000);
    answers.into_iter().for_each(|waited| assert_eq!(payload(waited), "e"));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pace_of_zero_is_one() {
    let hub = paced(0);
    let crowd = crowd(&hub, 3);
    settle().await;
    publish(&hub, &channel("c0"), "e");
    assert_eq!(woken(&crowd), 1);
    pass(MS).await;
    assert_eq!(woken(&crowd), 2);
}
