//! Several hubs that follow one log.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use tokio_test::{assert_pending, assert_ready, task};
use tower::ServiceExt;
use tower_longpoll::{
    Event, Hub, PathRoute, PublishError, PublishService, Since, Waited,
    backplane::{AppendError, Backplane, MemoryLog},
};

use self::{
    faulty::Faulty,
    nodes::{node, node_with, one_behind, settle},
    suite::{Client, Engine, LONG, channel},
};

#[path = "backplane/faulty.rs"]
mod faulty;
#[path = "backplane/nodes.rs"]
mod nodes;
#[path = "backplane/suite.rs"]
mod suite;

/// Logs in memory, by name.
#[derive(Default)]
struct Memory(std::sync::Mutex<std::collections::HashMap<String, MemoryLog>>);

impl Engine for Memory {
    type Driver = MemoryLog;

    async fn driver(&self, log: &str) -> MemoryLog {
        self.0.lock().unwrap().entry(log.to_owned()).or_default().clone()
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_in_memory_keeps_what_every_log_has_to() {
    suite::all(&Memory::default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_cursor_from_a_quicker_node_waits_and_misses_nothing() {
    let (log, slow, quick, ahead) = one_behind().await;
    let a = channel("a");
    let mut parked = task::spawn(slow.hub().wait([&a]).since(ahead).hold(LONG));
    assert_pending!(parked.poll(), "neither a gap nor the past");
    assert_eq!(slow.hub().stats().parked, 1);
    // Too late to ask for something else.
    let mut parked = task::spawn(parked.into_inner().since(Since::Oldest));
    assert_pending!(parked.poll());
    let next = quick.publisher().publish(&a, "3").await.unwrap();
    settle().await;
    assert_pending!(parked.poll());
    log.set_away(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let Waited::Events(batch) = assert_ready!(parked.poll()) else { panic!("no event") };
    let told: Vec<_> = batch.entries().iter().map(|entry| &entry.payload()[..]).collect();
    assert_eq!((told, batch.gap(), batch.cursor()), (vec![&b"3"[..]], false, next));
    assert_eq!(slow.hub().stats().parked, 0);
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn what_no_node_of_its_settings_could_hold_is_not_appended() {
    let max_bytes = 3_000 + Event::MAX_CONTENT_TYPE_BYTES + Event::OVERHEAD_BYTES;
    let settings = Hub::builder().max_payload_bytes(3_000).total_history_bytes(max_bytes);
    let node = node_with(settings, MemoryLog::new()).await;
    // As base64 it takes a third more, beside itself.
    let published = node.publisher().publish(&channel("a"), vec![0xff; 3_000]).await;
    assert_eq!(published, Err(AppendError::Refused(PublishError::TotalHistory { max_bytes })));
    node.publisher().publish(&channel("a"), vec![b'x'; 3_000]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_log_in_memory_forgets_touches_and_deletes_by_their_bytes_too() {
    let (a, log) = (channel("a"), MemoryLog::new());
    let settings = Hub::builder().max_payload_bytes(1_000).total_history_bytes(10_000);
    let node = node_with(settings, log.clone()).await;
    let start = node.hub().cursor();
    // Each weighs 65 bytes.
    for (count, is_gap) in [(150, false), (2, false), (2, true)] {
        for _ in 0..count / 2 {
            node.publisher().touch(&a).await.unwrap();
            node.publisher().delete(&a).await.unwrap();
        }
        let late = Backplane::join(Hub::builder(), log.clone()).await.unwrap();
        assert!(late.ready().await);
        let waited = late.hub().wait([&a]).since(start).hold(Duration::ZERO).await;
        let told = matches!(waited, Waited::Events(batch) if batch.gap());
        assert_eq!(told, is_gap, "{count}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_from_ahead_that_catches_up_is_parked_for_the_rest_of_its_hold() {
    let (log, slow, quick, ahead) = one_behind().await;
    let start = tokio::time::Instant::now();
    let a = channel("a");
    let parked = tokio::spawn(slow.hub().wait([&a]).since(ahead).hold(Duration::from_secs(20)));
    tokio::time::sleep(Duration::from_secs(7)).await;
    log.set_away(false);
    let waited = parked.await.unwrap();
    let Waited::TimedOut { cursor } = waited else { panic!("{waited:?}") };
    assert_eq!((cursor, start.elapsed()), (ahead, Duration::from_secs(20)));
    assert_eq!(quick.hub().cursor(), ahead);
    assert_eq!(slow.hub().stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_stays_ahead_times_out_where_it_is() {
    let (_log, slow, _quick, ahead) = one_behind().await;
    let start = tokio::time::Instant::now();
    let hold = Duration::from_secs(20);
    let waited = slow.hub().wait([channel("a")]).since(ahead).hold(hold).await;
    let Waited::TimedOut { cursor } = waited else { panic!("{waited:?}") };
    assert_eq!((cursor, start.elapsed()), (ahead, hold), "not moved back, so told nothing twice");
    let at_once = slow.hub().wait([channel("a")]).since(ahead).hold(Duration::ZERO).await;
    assert!(matches!(at_once, Waited::TimedOut { cursor } if cursor == ahead), "{at_once:?}");
    assert_eq!((slow.hub().stats().parked, slow.hub().stats().timed_out), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_poll_from_ahead_is_drained_and_dropped_like_any_other() {
    let (_log, slow, _quick, ahead) = one_behind().await;
    let park = || {
        let mut parked = task::spawn(slow.hub().wait([channel("a")]).since(ahead).hold(LONG));
        assert_pending!(parked.poll());
        parked
    };
    let (dropped, mut drained) = (park(), park());
    drop(dropped);
    assert_eq!(slow.hub().stats().parked, 1);
    slow.hub().drain(Duration::ZERO);
    let waited = assert_ready!(drained.poll());
    assert!(matches!(waited, Waited::Drained { cursor } if cursor == ahead), "{waited:?}");
    assert_eq!(slow.hub().stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_away_is_told_and_comes_back() {
    let log = Faulty::new();
    let node = node(log.clone()).await;
    let a = channel("a");
    let mut parked = task::spawn(node.hub().wait([&a]).hold(LONG));
    assert_pending!(parked.poll());
    log.set_away(true);
    let error = node.publisher().publish(&a, "x").await.unwrap_err();
    assert!(matches!(&error, AppendError::Unknown { reason, .. } if reason.contains("away")));
    settle().await;
    assert_eq!(node.status().error.as_deref(), Some("the engine is away"));
    assert_pending!(parked.poll(), "polls stay parked");
    log.set_away(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.status().error, None);
    node.publisher().publish(&a, "y").await.unwrap();
    settle().await;
    let Waited::Events(batch) = assert_ready!(parked.poll()) else { panic!("no event") };
    assert_eq!((batch.entries()[0].payload(), batch.gap()), (&"y".into(), false));
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_meanwhile_is_a_gap_for_exactly_who_is_behind() {
    let log = Faulty::new();
    let (slow, quick) = (node(log.clone()).await, node(log.log()).await);
    let publish =
        async |text: &str| quick.publisher().publish(&channel("a"), text.to_owned()).await.unwrap();
    let first = publish("1").await;
    settle().await;
    let mut parked = task::spawn(slow.hub().wait([channel("b")]).hold(LONG));
    assert_pending!(parked.poll());
    log.set_away(true);
    settle().await;
    let mut cursors = vec![first];
    for number in 2..=6 {
        cursors.push(publish(&number.to_string()).await);
    }
    log.log().trim(4);
    log.set_away(false);
    tokio::time::sleep(Duration::from_secs(1)).await;

    let Waited::Events(batch) = assert_ready!(parked.poll()) else { panic!("not told") };
    assert!(batch.gap() && batch.is_empty(), "nobody knows what was in the trimmed part");
    for (place, since) in cursors.into_iter().enumerate() {
        let mut client = Client::new(since, &["a"]);
        while client.poll(slow.hub(), Duration::ZERO).await {}
        let (gaps, told): (_, &[_]) = match place {
            0..=2 => (1, &["5", "6"]),
            3 => (0, &["5", "6"]),
            4 => (0, &["6"]),
            _ => (0, &[]),
        };
        assert_eq!((client.gaps, client.texts()), (gaps, told.to_vec()), "{place}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_log_that_lost_its_data_makes_every_cursor_a_gap() {
    let log = Faulty::new();
    let node = node(log.clone()).await;
    let old = node.publisher().publish(&channel("a"), "old").await.unwrap();
    settle().await;
    let hub = node.hub();
    let mut parked = task::spawn(hub.wait([channel("a"), channel("b")]).since(old).hold(LONG));
    let mut alone = task::spawn(hub.wait([channel("a")]).since(old).hold(LONG));
    assert_pending!(parked.poll());
    assert_pending!(alone.poll());
    log.set_away(true);
    settle().await;
    log.lose_data();
    log.set_away(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for parked in [&mut parked, &mut alone] {
        let Waited::Events(batch) = assert_ready!(parked.poll()) else { panic!("not told") };
        assert!(batch.gap() && batch.is_empty());
    }
    let new = node.publisher().publish(&channel("a"), "new").await.unwrap();
    settle().await;
    for since in [Since::Cursor(old), Since::Oldest] {
        let mut client = Client::new(since, &["a"]);
        while client.poll(hub, Duration::ZERO).await {}
        assert_eq!(client.texts(), ["new"], "nothing of the old log");
        assert_eq!(client.gaps, usize::from(since != Since::Oldest));
        assert_eq!(client.since, Since::Cursor(new));
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn old_waits_do_not_hide_new_ones_after_a_reset() {
    let log = Faulty::new();
    let node = node(log.clone()).await;
    for _ in 0..10 {
        node.publisher().publish(&channel("b"), "x").await.unwrap();
    }
    settle().await;
    // Registered at 10, and not polled again before the new log has come as far as 1.
    let mut old = task::spawn(node.hub().wait([channel("a")]).hold(LONG));
    assert_pending!(old.poll());
    log.set_away(true);
    settle().await;
    log.lose_data();
    log.set_away(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut new = task::spawn(node.hub().wait([channel("a")]).hold(LONG));
    assert_pending!(new.poll());
    node.publisher().publish(&channel("a"), "new").await.unwrap();
    settle().await;
    for (parked, gap) in [(&mut new, false), (&mut old, true)] {
        let Waited::Events(batch) = assert_ready!(parked.poll()) else { panic!("not told") };
        assert_eq!((batch.len(), batch.gap()), (1, gap));
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_room_on_a_node_is_a_gap_there() {
    let log = MemoryLog::new();
    let wide = node(log.clone()).await;
    let narrow = node_with(Hub::builder().max_channels(1).max_payload_bytes(10), log).await;
    let start = narrow.hub().cursor();
    wide.publisher().publish(&channel("a"), "fits").await.unwrap();
    wide.publisher().publish(&channel("b"), "one channel too many").await.unwrap();
    wide.publisher().publish(&channel("a"), "beyond the payload").await.unwrap();
    wide.publisher().publish(&channel("a"), "then").await.unwrap();
    settle().await;
    for (name, told) in [("a", vec!["then"]), ("b", vec![])] {
        let mut client = Client::new(start, &[name]);
        assert!(client.poll(narrow.hub(), Duration::ZERO).await);
        assert_eq!((client.gaps, client.texts()), (1, told), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_applies_a_long_log_in_portions_and_says_how_far_it_is() {
    let log = MemoryLog::new();
    let first = node(log.clone()).await;
    for number in 0..1_000 {
        first.publisher().publish(&channel("a"), number.to_string()).await.unwrap();
    }
    let second = Backplane::join(Hub::builder(), log).await.unwrap();
    assert!(!second.hub().stats().ready);
    let (mut lags, mut ready) = (vec![second.status().lag], task::spawn(second.ready()));
    while ready.poll().is_pending() {
        tokio::task::yield_now().await;
        lags.push(second.hub().stats().lag);
    }
    lags.dedup();
    assert_eq!(lags, [1_000, 744, 488, 232, 0]);
    assert!(second.hub().stats().ready && second.status().ready);
}

#[tokio::test(start_paused = true)]
async fn a_post_is_answered_when_the_log_has_it() {
    let log = Faulty::new();
    let (here, there) = (node(log.clone()).await, node(log.log()).await);
    let start = there.hub().cursor();
    let posts = PublishService::new(here.hub().clone(), PathRoute::new("/{channel}").unwrap());
    let post = async |body: &str| {
        let request = Request::post("/a").body(body.to_owned()).unwrap();
        posts.clone().oneshot(request).await.unwrap()
    };
    let answer = post("1").await;
    assert_eq!(answer.status(), 201);
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(there.hub(), 1).await, ["1"]);
    let Since::Cursor(cursor) = client.since else { panic!() };
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, format!(r#"{{"cursor":"{cursor}"}}"#));

    let with_key = async |key: &str| {
        let request = Request::post("/a").header("idempotency-key", key);
        let answer = posts.clone().oneshot(request.body("2".to_owned()).unwrap()).await.unwrap();
        (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
    };
    let first = with_key("order-1").await;
    assert_eq!((first.0.as_u16(), with_key("order-1").await), (201, first));
    assert_eq!(with_key("not a key").await.0, 400);
    assert_eq!(with_key("order-2").await.0, 201);
    assert_eq!(client.hear(there.hub(), 3).await, ["1", "2", "2"]);

    log.set_away(true);
    settle().await;
    let answer = post("3").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8_lossy(&body);
    assert!(body.contains("not known to be stored") && !body.contains("away"), "{body}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_node_that_is_dropped() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let node = node(MemoryLog::new()).await;
    node.publisher().publish(&channel("a"), "x").await.unwrap();
    drop(node);
    settle().await;
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before);
}
