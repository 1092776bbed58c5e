//! Promise 8: it ends when asked. Draining, closing, deleting.

use tokio::{task::JoinHandle, time::Instant};
use tower_longpoll::PublishError;

use super::*;

#[track_caller]
fn assert_refuses(hub: &Hub, reason: Refused) {
    assert!(!hub.is_open());
    for hold in [Duration::ZERO, SECOND] {
        let waited = assert_ready!(task::spawn(hub.wait(channels(2)).hold(hold)).poll());
        let is_it = matches!(waited, Waited::Refused { reason: why, .. } if why == reason);
        assert!(is_it, "{reason:?}, not {waited:?}");
    }
}

/// Waits with these holds, in seconds; how each ended, and after how many milliseconds.
async fn released(hub: &Hub, holds: &[u32]) -> Vec<JoinHandle<(u128, &'static str)>> {
    let start = Instant::now();
    let wait = |(number, &hold): (usize, &u32)| {
        // Of one to three channels, in several shards.
        let wait = hub.wait(&channels(number % 5 + 3)[number % 5..]).hold(SECOND * hold);
        tokio::spawn(async move {
            let waited = wait.await;
            (start.elapsed().as_millis(), outcome(&waited))
        })
    };
    let waits = holds.iter().enumerate().map(wait).collect();
    while hub.stats().parked < holds.len() {
        tokio::task::yield_now().await;
    }
    waits
}

#[tokio::test(start_paused = true)]
async fn a_drain_at_once_lets_every_poll_go_and_refuses_new_ones() {
    let hub = Hub::new();
    let mut waits: Vec<_> =
        (0..1_000).map(|n| park(&hub, &channels(n % 9 + 1), Since::Now)).collect();
    assert!(hub.is_open());
    hub.drain(Duration::ZERO);
    assert!(waits.iter().all(task::Spawn::is_woken));
    assert_refuses(&hub, Refused::Draining);
    for wait in &mut waits {
        assert_eq!(outcome(&assert_ready!(wait.poll())), "drained");
    }
    assert_eq!((hub.stats().drained, hub.stats().refused), (1_000, 2));
    assert_empty(&hub);
    hub.drain(Duration::ZERO);
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_drain_spread_over_a_time_is_even_and_refuses_meanwhile() {
    for (count, seconds) in [(1, 10), (7, 10), (10, 10), (100, 5), (1_000, 1), (5_000, 20)] {
        let hub = Hub::new();
        let waits = released(&hub, &vec![100; count]).await;
        hub.drain(SECOND * seconds);
        settle().await;
        assert_refuses(&hub, Refused::Draining);
        let mut times = Vec::new();
        for wait in waits {
            let (at, how) = wait.await.unwrap();
            assert_eq!(how, "drained");
            times.push(at as usize);
        }
        times.sort_unstable();
        let over = 1_000 * seconds as usize;
        for (place, &at) in times.iter().enumerate() {
            let even = over * place / count..=over * (place + 1) / count + 1;
            assert!(even.contains(&at), "{count} in {over} ms: #{place} at {at}, not {even:?}");
        }
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn no_wait_outlives_its_own_hold_for_a_drain() {
    let hub = Hub::new();
    let holds: Vec<_> = (1..=20).collect();
    let waits = released(&hub, &holds).await;
    hub.drain(Duration::MAX);
    let mut drained = 0;
    for (hold, wait) in (1..).zip(waits) {
        let (at, how) = wait.await.unwrap();
        match how {
            "timed out" => assert_eq!(at, 1_000 * hold),
            "drained" => drained += u32::from(at < 1_000 * hold),
            how => panic!("{how}"),
        }
    }
    assert_eq!(drained, 1, "the first goes at once, the others have deadlines of their own");
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn a_second_drain_may_be_faster_but_never_slower() {
    for (second, last) in [(Duration::ZERO, 2_000), (2 * SECOND, 4_000), (100 * SECOND, 10_000)] {
        let hub = Hub::new();
        let waits = released(&hub, &[50; 100]).await;
        hub.drain(10 * SECOND);
        pass(2 * SECOND).await;
        hub.drain(second);
        let mut latest = 0;
        for wait in waits {
            let (at, how) = wait.await.unwrap();
            assert_eq!(how, "drained");
            latest = at.max(latest);
        }
        assert!((last * 9 / 10..=last).contains(&latest), "{second:?}: {latest}, not {last}");
        assert_eq!(hub.stats().drained, 100);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_published_during_and_after_a_drain_is_kept() {
    let (hub, c) = (Hub::new(), channels(1));
    let cursor = hub.cursor();
    let mut waits: Vec<_> = (0..2).map(|_| park(&hub, &c, cursor)).collect();
    hub.drain(10 * SECOND);
    pass(SECOND).await;
    assert_eq!(outcome(&assert_ready!(waits[0].poll())), "drained", "the first to go");
    assert_eq!(hub.publish(&c[0], "during").unwrap().woken, 1);
    assert_eq!(whole(assert_ready!(waits[1].poll())), ["during"]);
    publish(&hub, &c[0], "after");
    let held = hub.channel_stats(&c[0]).unwrap();
    assert_eq!((held.parked, held.history_events), (0, 2));
    let refused = assert_ready!(task::spawn(hub.wait(&c).since(cursor)).poll());
    assert_eq!((outcome(&refused), refused.cursor()), ("refused", cursor));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_hub_takes_and_holds_nothing() {
    let (hub, c) = (Hub::new(), channels(200));
    c.iter().for_each(|c| publish(&hub, c, "event"));
    let mut waits: Vec<_> = (0..200).map(|_| park(&hub, &c[..60], Since::Now)).collect();
    for _ in 0..2 {
        hub.close();
        hub.drain(SECOND);
        assert_eq!(hub.publish(&c[0], "late"), Err(PublishError::Closed));
        assert_eq!(hub.publish(&channel("new"), "late"), Err(PublishError::Closed));
        assert_refuses(&hub, Refused::Closed);
        let stats = hub.stats();
        assert_eq!((stats.history_events, stats.history_bytes), (0, 0));
    }
    for wait in &mut waits {
        assert!(wait.is_woken());
        assert_eq!(outcome(&assert_ready!(wait.poll())), "drained");
    }
    assert_empty(&hub);
    assert!(!hub.delete(&c[0]));
}

#[tokio::test(start_paused = true)]
async fn deleting_tells_who_waits_and_frees_the_name() {
    let (hub, c) = (Hub::new(), channels(3));
    assert!(!hub.delete(&c[0]), "there is no such channel");
    publish(&hub, &c[2], "kept");
    let cursor = hub.cursor();
    let mut waits: Vec<_> = (0..500).map(|_| park(&hub, &c[..2], cursor)).collect();
    let mut elsewhere = park(&hub, &c[1..], cursor);
    publish(&hub, &c[2], "kept too");
    drop(assert_ready!(elsewhere.poll()));
    let elsewhere = park(&hub, &c[1..], Since::Now);
    assert!(hub.delete(&c[0]));
    assert!(!elsewhere.is_woken());
    // Who comes now waits for a new channel of the name.
    let mut new = park(&hub, &c[..1], Since::Now);
    for wait in &mut waits {
        assert!(wait.is_woken());
        let waited = assert_ready!(wait.poll());
        assert!(matches!(&waited, Waited::Deleted { channel, .. } if *channel == c[0]));
        assert_eq!(waited.cursor(), hub.cursor());
    }
    assert_pending!(new.poll());
    assert_eq!(hub.publish(&c[0], "new").unwrap().woken, 1);
    assert_eq!(whole(assert_ready!(new.poll())), ["new"]);
    assert_eq!(whole(ask(&hub, &c, cursor)), ["kept too", "new"]);
    drop((waits, elsewhere));
    assert_eq!((hub.stats().parked, hub.stats().deleted), (0, 500));
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_was_deleted_is_not_there_to_be_deleted_again() {
    let (hub, c) = (Hub::new(), channels(1));
    publish(&hub, &c[0], "event");
    assert!(hub.delete(&c[0]));
    assert!(!hub.delete(&c[0]));
    assert_eq!(hub.channel_stats(&c[0]), None);
    let mut wait = park(&hub, &c, Since::Now);
    assert!(hub.delete(&c[0]), "somebody waited for it");
    assert_eq!(outcome(&assert_ready!(wait.poll())), "deleted");
    assert!(!hub.delete(&c[0]));
    assert_empty(&hub);
}

#[tokio::test(start_paused = true)]
async fn every_wait_is_counted_where_it_ended() {
    let (hub, c) = (Hub::builder().max_waits(6).build().unwrap(), channels(3));
    let mut waits: Vec<_> = (0..6).map(|n| park(&hub, &c[n % 3..=n % 3], Since::Now)).collect();
    assert!(task::spawn(hub.wait(&c)).poll().is_ready(), "refused");
    publish(&hub, &c[0], "event");
    assert!(hub.delete(&c[1]));
    drop(waits.pop());
    pass(25 * SECOND).await;
    for wait in &mut waits {
        assert!(wait.poll().is_ready());
    }
    let mut last = park(&hub, &c, Since::Now);
    hub.drain(Duration::ZERO);
    assert!(last.poll().is_ready());
    let stats = hub.stats();
    assert_eq!((stats.published, stats.delivered, stats.gaps), (1, 2, 0));
    let ends = (stats.deleted, stats.timed_out, stats.drained, stats.refused, stats.dropped);
    assert_eq!(ends, (2, 1, 1, 1, 1));
    assert_eq!(stats.parked, 0);
}
