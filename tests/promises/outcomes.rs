//! Promises 1, 2 and 4: no lost wakeup, one outcome, and a cursor on it.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_event_between_the_check_and_the_wait_is_answered_at_once() {
    let (hub, c) = (Hub::new(), channels(1));
    let cursor = timed_out(ask(&hub, &c, Since::Now));
    let wait = hub.wait(&c).since(cursor);
    publish(&hub, &c[0], "between");
    let (took, waited) = timed(wait).await;
    assert_eq!((took, whole(waited)), (Duration::ZERO, vec!["between".into()]));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_taken_before_the_state_is_read_closes_the_race() {
    let (hub, c) = (Hub::new(), channels(1));
    publish(&hub, &c[0], "in the state");
    let cursor = hub.cursor();
    publish(&hub, &c[0], "after it");
    assert_eq!(whole(ask(&hub, &c, cursor)), ["after it"]);
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn publishing_races_registering_and_no_wait_sleeps() {
    let (hub, c) = (Hub::builder().history_events(20_000).build().unwrap(), channels(3));
    let publisher = {
        let (hub, c) = (hub.clone(), c.clone());
        std::thread::spawn(move || {
            (0..20_000).for_each(|number| publish(&hub, &c[number % 3], number.to_string()));
        })
    };
    let (mut cursor, mut next) = (hub.cursor(), None);
    while next != Some(20_000) {
        let mut wait = task::spawn(hub.wait(&c).since(cursor));
        let waited = match wait.poll() {
            Poll::Ready(waited) => waited,
            Poll::Pending => {
                while !wait.is_woken() && hub.cursor() == cursor {
                    std::hint::spin_loop();
                }
                match wait.poll() {
                    Poll::Ready(waited) => waited,
                    Poll::Pending => panic!("asleep at {cursor:?}, hub at {:?}", hub.cursor()),
                }
            }
        };
        cursor = waited.cursor();
        for text in whole(waited) {
            let number: usize = text.parse().unwrap();
            assert_eq!(number, next.unwrap_or(number));
            next = Some(number + 1);
        }
    }
    publisher.join().unwrap();
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_ready_decides_whatever_else_happens() {
    type Step = fn(&Hub, &Channel);
    let rows: [(&str, Step, Step, &str, &[&str]); 14] = [
        ("event", EVENT, NOTHING, "events", &["event"]),
        ("two events ride together", EVENT, OTHER, "events", &["event", "other"]),
        ("deletion", DELETE, NOTHING, "deleted", &[]),
        ("drain", DRAIN, NOTHING, "drained", &[]),
        ("close", CLOSE, NOTHING, "drained", &[]),
        ("event, then drain", EVENT, DRAIN, "events", &["event"]),
        ("event, then deletion", EVENT, DELETE, "gap", &[]),
        ("event, then close", EVENT, CLOSE, "gap", &[]),
        ("deletion, then event", DELETE, EVENT, "deleted", &["event"]),
        ("deletion, then event elsewhere", DELETE, OTHER, "deleted", &["other"]),
        ("event elsewhere, then deletion", OTHER, DELETE, "events", &["other"]),
        ("deletion, then drain", DELETE, DRAIN, "deleted", &[]),
        ("drain, then event", DRAIN, EVENT, "events", &["event"]),
        ("drain, then close", DRAIN, CLOSE, "drained", &[]),
    ];
    for (row, first, then, how, events) in rows {
        let (outcome, texts) = ended(first, then);
        assert!(outcome == how && texts == events, "{row}: {outcome}, {texts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_wins_the_tie_against_the_deadline() {
    let (hub, c) = (Hub::new(), channels(2));
    let mut wait = task::spawn(hub.wait(&c).hold(20 * SECOND));
    assert_pending!(wait.poll());
    pass(20 * SECOND).await;
    assert!(wait.is_woken(), "its hold is over");
    publish(&hub, &c[1], "at the last moment");
    assert_eq!(whole(assert_ready!(wait.poll())), ["at the last moment"]);
    let stats = hub.stats();
    assert_eq!((stats.parked, stats.timed_out, stats.delivered), (0, 0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_pending_for_ever_once_it_has_ended() {
    let (hub, c) = (Hub::new(), channels(1));
    let ways = [EVENT, DELETE, DRAIN, CLOSE];
    for way in ways {
        let hub = Hub::new();
        let mut wait = park(&hub, &c, Since::Now);
        way(&hub, &c[0]);
        drop(assert_ready!(wait.poll()));
        let before = hub.stats();
        assert_pending!(wait.poll());
        _ = hub.publish(&c[0], "later");
        pass(100 * SECOND).await;
        assert_pending!(wait.poll());
        drop(wait);
        let after = hub.stats();
        assert_eq!((after.parked, after.dropped), (0, before.dropped));
    }
    let mut refused = task::spawn(hub.wait([] as [Channel; 0]));
    assert!(matches!(assert_ready!(refused.poll()), Waited::Refused { .. }));
    assert_pending!(refused.poll());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_channel_is_named() {
    for round in 0..20 {
        let hub = Hub::new();
        let names: Vec<_> = ["z", "a", "m"].map(|n| channel(&format!("{n}{round}"))).into();
        let mut wait = park(&hub, &names, Since::Now);
        assert!(hub.delete(&names[round % 3]));
        let waited = assert_ready!(wait.poll());
        let Waited::Deleted { channel, .. } = waited else { panic!("{waited:?}") };
        assert_eq!(channel, names[round % 3]);
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_outcome_says_where_to_go_on() {
    let (hub, c) = (Hub::builder().max_waits(1).build().unwrap(), channels(2));
    publish(&hub, &c[0], "before");
    let (first, oldest) = (hub.cursor(), Since::Oldest);
    let now = timed_out(ask(&hub, &c, Since::Now));
    assert_eq!(now, first);

    // A quiet channel's client moves on with the hub.
    let mut wait = task::spawn(hub.wait(&c[..1]).since(now).hold(SECOND));
    assert_pending!(wait.poll());
    publish(&hub, &c[1], "elsewhere");
    pass(SECOND).await;
    let moved = timed_out(assert_ready!(wait.poll()));
    assert_eq!(moved, hub.cursor());
    assert_ne!(moved, now);

    let mut wait = park(&hub, &c, Since::Now);
    let refused = |since: Since| {
        let mut wait = task::spawn(hub.wait([channel("quiet")]).since(since));
        let waited = assert_ready!(wait.poll());
        let why = matches!(waited, Waited::Refused { reason: Refused::Waits { max: 1 }, .. });
        assert!(why, "{waited:?}");
        waited.cursor()
    };
    assert_eq!(refused(first.into()), first, "a refusal moves nobody on");
    assert_eq!(refused(Since::Now), hub.cursor());
    assert_eq!(texts(&batch(ask(&hub, &c, refused(oldest)))), ["before", "elsewhere"]);

    publish(&hub, &c[0], "news");
    let news = assert_ready!(wait.poll());
    assert_eq!(news.cursor(), hub.cursor());
    for (end, how) in [(DELETE, "deleted"), (DRAIN, "drained")] {
        let mut wait = park(&hub, &c, Since::Now);
        end(&hub, &c[0]);
        let waited = assert_ready!(wait.poll());
        assert_eq!((outcome(&waited), waited.cursor()), (how, hub.cursor()));
    }
    let published = hub.publish(&c[1], "last").unwrap();
    assert_eq!(published.cursor, hub.cursor());
    assert_eq!(hub.stats().parked, 0);
}
