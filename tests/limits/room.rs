//! Limits that are shared by all shards are exact, and make room before they refuse.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_channel_that_has_its_place_takes_none_from_a_new_one() {
    let hub = hub(|hub| hub.max_channels(2));
    let known = channel("known");
    publish(&hub, &known, "event");
    for round in 0..200 {
        let polled = [known.clone(), channel(&format!("new {round}"))];
        drop(park(&hub, &polled, Since::Now));
    }
    assert_eq!((hub.stats().refused, hub.stats().channels), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_many_channels_gets_the_last_free_ones() {
    let mut refused = Vec::new();
    for shards in [1, 2, 4, 64] {
        for (max, known, new) in [(2, 1, 1), (10, 3, 7), (128, 64, 64), (1_000, 936, 64)] {
            for round in 0..10 {
                let hub = hub(|hub| hub.max_channels(max).shards(shards));
                let held = named("held ", known);
                held.iter().for_each(|c| publish(&hub, c, "event"));
                let before = state(&hub);
                // One that has its record beside those that need one.
                let mut polled = named(&format!("{round} "), new);
                polled.extend(held.into_iter().take(64 - new.min(63)).take(1));
                polled.truncate(64);
                let mut wait = task::spawn(hub.wait(&polled));
                let row = format!("{shards} shards, {max} channels, {new} new ones, #{round}");
                if wait.poll().is_ready() {
                    refused.push(row);
                    continue;
                }
                assert_eq!(hub.stats().channels, max);
                assert_refused(&hub, &channels(1), Refused::Channels { max });
                drop(wait);
                let (mut after, cursor) = state(&hub);
                after.dropped = 0;
                assert_eq!((after, cursor), before, "{row}");
                // One more than there is room for: nothing of it stays.
                if polled.len() < 64 {
                    polled.push(channel("one too many"));
                    assert_refused(&hub, &polled, Refused::Channels { max });
                }
            }
        }
    }
    assert!(refused.is_empty(), "there was room for {refused:#?}");
}

#[tokio::test(start_paused = true)]
async fn deleted_channels_make_room_for_new_ones() {
    for shards in [1, 64] {
        let hub = hub(|hub| hub.max_channels(200).shards(shards));
        for round in 0..50 {
            for c in named(&format!("{round} "), 200) {
                hub.publish(&c, "event").unwrap();
            }
            assert_unpublished(&hub, &channels(1)[0], "", PublishError::Channels { max: 200 });
            for c in named(&format!("{round} "), 200) {
                assert!(hub.delete(&c));
            }
            assert_empty(&hub);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_deleted_channels_make_room_than_are_wanted() {
    let hub = hub(|hub| hub.max_channels(3).shards(1));
    let (old, start) = (named("deleted ", 3), hub.cursor());
    let cursors = [0, 1, 2].map(|place| hub.publish(&old[place], "e").unwrap().cursor);
    old.iter().for_each(|c| assert!(hub.delete(c)));
    hub.publish(&named("new ", 1)[0], "e").unwrap();
    // Nobody knows any more what was on the first of them.
    let quiet = named("quiet ", 1);
    assert!(batch(ask(&hub, &quiet, start)).gap());
    assert!(matches!(ask(&hub, &quiet, cursors[0]), Waited::TimedOut { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_poll_of_a_deleted_channel_finds_room_for_another() {
    let hub = hub(|hub| hub.max_channels(2).shards(1));
    let c = named("c", 3);
    c[..2].iter().for_each(|c| _ = hub.publish(c, "e").unwrap());
    c[..2].iter().for_each(|c| assert!(hub.delete(c)));
    assert!(task::spawn(hub.wait([&c[0], &c[2]])).poll().is_pending());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_evicts_no_memory_of_deleted_channels() {
    for shards in [1, 64] {
        let hub = hub(|hub| hub.max_waits(100).shards(shards));
        let quiet = channels(1);
        let cursor = hub.cursor();
        for c in named("deleted ", 500) {
            hub.publish(&c, "event").unwrap();
            hub.delete(&c);
        }
        let others = named("other ", 101);
        let waits: Vec<_> = others[..100].chunks(1).map(|c| park(&hub, c, Since::Now)).collect();
        assert_refused(&hub, &others[100..], Refused::Waits { max: 100 });
        // Channels there are plenty: no deletion had to be forgotten.
        timed_out(ask(&hub, &quiet, cursor));
        drop(waits);
        assert_empty(&hub);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_forgotten_for_room_that_lies_spare() {
    // Polls of distinct names, one at a time, leave spare permits in every shard.
    let rows = [("waits", 50, 100_000), ("channels", 100_000, 540), ("neither", 100_000, 100_000)];
    let mut told = Vec::new();
    for (row, max_waits, max_channels) in rows {
        let hub = hub(|hub| hub.max_channels(max_channels).max_waits(max_waits).shards(64));
        let cursor = hub.cursor();
        for c in named("deleted ", 500) {
            hub.publish(&c, "event").unwrap();
            hub.delete(&c);
        }
        for c in named("polled ", 1_000).chunks(1) {
            drop(park(&hub, c, Since::Now));
        }
        if matches!(ask(&hub, &channels(64), cursor), Waited::Events(_)) {
            told.push(row);
        }
        assert_empty(&hub);
    }
    assert!(told.is_empty(), "told of gaps that were not theirs: short of spare {told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_makes_room_before_any_driver_has_run() {
    let advance = |time| assert!(task::spawn(tokio::time::advance(time)).poll().is_pending());
    let bytes = 3 * Event::OVERHEAD_BYTES;
    let total = hub(|hub| hub.history_age(SECOND).total_history_bytes(bytes).max_payload_bytes(0));
    let count = hub(|hub| hub.history_age(SECOND).max_channels(3));
    let mut failed = Vec::new();
    for (row, hub) in [("total_history_bytes", total), ("max_channels", count)] {
        let mut published = 0;
        while hub.publish(&channel(&format!("{published}")), "").is_ok() {
            published += 1;
        }
        assert!(published >= 3);
        advance(SECOND);
        failed.extend(hub.publish(&channel("new"), "").err().map(|error| (row, error)));
    }
    assert_eq!(failed, [], "everything held is too old");
}
