//! Where the oldest events make room for new ones, none is refused and nothing is lost in silence.

use std::thread;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_oldest_of_all_channels_go_if_that_is_asked_for() {
    // Room for six events of ten bytes.
    let weight = Event::OVERHEAD_BYTES + 10;
    let event = |number: usize| Event::new(format!("{number:010}"));
    for shards in [1, 64] {
        let hub = hub(|hub| {
            let hub = hub.total_history_bytes(6 * weight).max_payload_bytes(4 * weight);
            hub.evict_oldest(true).shards(shards)
        });
        let (c, start) = (named("c", 3), hub.cursor());
        for number in 0..6 {
            hub.publish(&c[number % 3], event(number)).unwrap();
        }
        let seen = hub.cursor();
        assert_eq!(whole(ask(&hub, &c, start)).len(), 6, "all fit");
        // The oldest is on another channel than what comes.
        hub.publish(&c[2], event(6)).unwrap();
        assert_eq!(hub.stats().history_bytes, 6 * weight);
        let left =
            |name: usize| hub.channel_stats(&c[name]).map_or(0, |stats| stats.history_events);
        assert_eq!([left(0), left(1), left(2)], [1, 2, 3]);
        let missed = batch(ask(&hub, &c[..1], start));
        assert!(missed.gap() && missed.len() == 1, "who has not seen it is told");
        assert_eq!(whole(ask(&hub, &c[1..2], start)).len(), 2, "who has lost nothing is not");
        assert_eq!(whole(ask(&hub, &c, seen)).len(), 1, "nor who has seen it");
        // A large one takes the place of several, also that of all there is on a channel.
        hub.publish(&c[0], "x".repeat(4 * weight - Event::OVERHEAD_BYTES)).unwrap();
        assert_eq!([left(0), left(1), left(2)], [1, 0, 2]);
        assert!(hub.stats().history_bytes <= 6 * weight);
        // What cannot fit is refused, and costs nobody anything: bytes weigh more for their base64.
        let before = hub.stats();
        let refused = hub.publish(&c[0], vec![255; 4 * weight]);
        assert_eq!(refused, Err(PublishError::TotalHistory { max_bytes: 6 * weight }));
        assert_eq!(hub.stats(), before);
        // And one alone may fill what there is.
        for number in 7..1_000 {
            hub.publish(&c[1], event(number)).unwrap();
            assert!(hub.stats().history_bytes <= 6 * weight);
        }
        assert_eq!([left(0), left(1), left(2)], [0, 6, 0]);
        c.iter().for_each(|c| _ = hub.delete(c));
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn one_event_takes_the_place_of_as_many_as_it_must_and_no_more() {
    let weight = Event::OVERHEAD_BYTES + 10;
    for shards in [1, 64] {
        let hub = hub(|hub| {
            let hub = hub.total_history_bytes(200 * weight).max_payload_bytes(150 * weight);
            hub.evict_oldest(true).shards(shards)
        });
        let (c, start) = (named("c", 7), hub.cursor());
        for number in 0..200 {
            hub.publish(&c[number % 7], Event::new(format!("{number:010}"))).unwrap();
        }
        hub.publish(&c[0], "x".repeat(150 * weight - Event::OVERHEAD_BYTES)).unwrap();
        assert_eq!((hub.stats().history_events, hub.stats().history_bytes), (51, 200 * weight));
        let left = hub.wait(&c).since(start).max_events(1_000).hold(Duration::ZERO).await;
        let oldest = batch(left).entries()[0].payload().clone();
        assert_eq!(oldest, "0000000150", "the oldest went first, whichever their channel");
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_go_than_there_is_room_missing() {
    let (small, large) = (Event::OVERHEAD_BYTES + 1, Event::OVERHEAD_BYTES + 10_000);
    for (missing, gone) in [(0, 0), (1, 1), (small, 1), (small + 1, 2)] {
        let hub = hub(|hub| {
            let hub = hub.total_history_bytes(10 * small + large - missing);
            hub.max_payload_bytes(10_000).evict_oldest(true)
        });
        named("c", 10).iter().for_each(|c| _ = hub.publish(c, "x").unwrap());
        hub.publish(&named("large", 1)[0], "y".repeat(10_000)).unwrap();
        assert_eq!(hub.stats().history_events, 11 - gone, "{missing} bytes were missing");
    }
    // What an event pushes out of its own channel makes room, too.
    let hub = hub(|hub| {
        let hub = hub.total_history_bytes(10 * small).max_payload_bytes(1_000).history_events(1);
        hub.evict_oldest(true)
    });
    let c = named("c", 10);
    c.iter().for_each(|c| _ = hub.publish(c, "x").unwrap());
    hub.publish(&c[9], "xy").unwrap();
    assert_eq!(hub.stats().history_events, 9);
}

#[test]
fn while_the_oldest_go_nobody_is_refused_and_the_total_holds() {
    let weight = Event::OVERHEAD_BYTES + 8;
    let hub =
        hub(|hub| hub.total_history_bytes(20 * weight).max_payload_bytes(8).evict_oldest(true));
    thread::scope(|scope| {
        for publisher in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                let c = named(&format!("{publisher} "), 5);
                for number in 0..2_000_usize {
                    hub.publish(&c[number % 5], format!("{number:08}")).unwrap();
                }
            });
        }
    });
    let stats = hub.stats();
    assert_eq!(stats.published, 8_000);
    assert!((1..=20).contains(&stats.history_events), "{stats:?}");
    assert!(stats.history_bytes <= 20 * weight);
}
