//! No change is missed, whenever it comes; and none that is no change is told.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_change_before_the_request_is_answered_at_once() {
    let (hub, resource) = (Hub::new(), Resource::new());
    resource.change(&hub);
    let mut watching = start(&layer(&hub), &resource, request());
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((resource.runs(), hub.stats().parked, hub.stats().dropped), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_before_the_handler_looks_is_answered_by_it() {
    let (hub, resource) = (Hub::new(), Resource::new());
    resource.0.before.close();
    let mut watching = start(&layer(&hub), &resource, request());
    assert_pending!(watching.poll());
    assert_eq!((resource.at_work(), hub.stats().parked), (1, 1), "registered before it looks");
    resource.change(&hub);
    resource.0.before.open();
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((resource.runs(), hub.stats().parked, hub.stats().dropped), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_after_the_handler_has_looked_is_answered_by_another_run() {
    for (floor, expected) in [(Duration::ZERO, Duration::ZERO), (FLOOR, FLOOR)] {
        let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
        resource.0.after.close();
        let mut watching = start(&layer(&hub).floor(floor), &resource, request());
        assert_pending!(watching.poll());
        resource.change(&hub);
        resource.0.after.open();
        let answer = watching.await.unwrap();
        assert_eq!((answer.status().as_u16(), text(answer.into_body())), changed(1));
        assert_eq!(begin.elapsed(), expected);
        assert_eq!((resource.runs(), hub.stats().parked), (2, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_in_the_moment_of_the_answer_is_answered_by_another_run() {
    let hub = Hub::new();
    let toucher = hub.clone();
    let resource = Resource::replying(move |_, state| {
        // It has looked, and now it is overtaken before anybody sees its answer.
        if state == 0 {
            toucher.touch(&channel("a"));
        }
        Ok(tagged(state))
    });
    resource.0.after.close();
    let mut watching = start(&layer(&hub), &resource, request());
    assert_pending!(watching.poll());
    resource.0.state.store(1, SeqCst);
    resource.0.after.open();
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((resource.runs(), hub.stats().parked), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_parked_request_is_answered_at_once_when_the_floor_has_passed() {
    let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
    let mut watching = park(&layer(&hub).floor(FLOOR), &resource);
    pass(SECOND * 7).await;
    assert!(!watching.is_woken());
    resource.change(&hub);
    assert!(watching.is_woken());
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((begin.elapsed(), resource.runs(), hub.stats().parked), (SECOND * 7, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_while_a_request_rests_is_answered_when_it_has_rested() {
    let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
    let mut watching = park(&layer(&hub).floor(FLOOR), &resource);
    pass(MS * 10).await;
    hub.touch(&channel("a"));
    assert_pending!(watching.poll());
    assert_eq!((resource.runs(), hub.stats().parked), (1, 1), "it rests");
    pass(MS * 20).await;
    resource.change(&hub);
    pass(MS * 19).await;
    assert!(!watching.is_woken());
    assert_pending!(watching.poll());
    pass(MS).await;
    assert!(watching.is_woken());
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((begin.elapsed(), resource.runs(), hub.stats().parked), (FLOOR, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_while_a_request_queues_is_answered_when_it_is_its_turn() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = layer(&hub).max_runs(1);
    let (mut first, mut second) = (park(&layer, &resource), park(&layer, &resource));
    resource.0.after.close();
    hub.touch(&channel("a"));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!((resource.at_work(), hub.stats().parked), (1, 2), "one works, the other queues");
    resource.change(&hub);
    resource.0.after.open();
    // The first looked too early, and has to queue up behind the second.
    assert_pending!(first.poll());
    assert!(second.is_woken());
    assert_eq!(told(second.poll()), changed(1));
    assert!(first.is_woken());
    assert_eq!(told(first.poll()), changed(1));
    assert_eq!((resource.runs(), hub.stats().parked), (5, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_while_the_service_is_not_ready_is_answered_when_it_is() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut watching = park(&layer(&hub), &resource);
    resource.is_ready(Readiness::NotYet);
    hub.touch(&channel("a"));
    assert_pending!(watching.poll());
    resource.change(&hub);
    assert_pending!(watching.poll());
    resource.is_ready(Readiness::Yes);
    assert!(watching.is_woken());
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((resource.runs(), hub.stats().parked), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_in_the_instant_of_the_deadline_wins() {
    let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
    let mut watching = park(&layer(&hub), &resource);
    // The time has come, but nobody has acted on it.
    let mut later = task::spawn(tokio::time::advance(HOLD));
    assert_pending!(later.poll());
    resource.change(&hub);
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!((begin.elapsed(), resource.runs(), hub.stats().parked), (HOLD, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_change_in_the_instant_of_the_deadline_wins_in_a_task_that_has_done_much() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut watching = park(&layer(&hub), &resource);
    let mut later = task::spawn(tokio::time::advance(HOLD));
    assert_pending!(later.poll());
    resource.change(&hub);
    // Tokio's own futures now have the task pause, though every turn is free.
    while task::spawn(tokio::task::consume_budget()).poll().is_ready() {}
    let first = watching.poll();
    tokio::task::yield_now().await;
    let answered = if first.is_ready() { first } else { watching.poll() };
    assert_eq!(told(answered), changed(1));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_just_after_the_deadline_is_for_the_next_request_at_once() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut watching = park(&layer(&hub), &resource);
    pass(HOLD).await;
    resource.change(&hub);
    assert_eq!(told(watching.poll()), unchanged());
    let mut next = start(&layer(&hub), &resource, request());
    assert_eq!(told(next.poll()), changed(1));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_while_the_handler_works_beyond_the_deadline_is_answered() {
    let (hub, resource) = (Hub::new(), Resource::new());
    for (row, is_told_before) in [("before the deadline", true), ("after it", false)] {
        resource.0.state.store(0, SeqCst);
        resource.0.after.close();
        let mut watching = start(&layer(&hub), &resource, request());
        assert_pending!(watching.poll());
        if is_told_before {
            resource.change(&hub);
        }
        pass(HOLD * 2).await;
        resource.change(&hub);
        resource.0.after.open();
        // The hold is over, but only who was told of a change in time has to look again.
        let expected = if is_told_before { changed(2) } else { unchanged() };
        assert_eq!(told(watching.poll()), expected, "{row}");
        assert_eq!(hub.stats().parked, 0, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn touches_without_a_change_are_silent_and_move_no_deadline() {
    let long = HOLD * 3;
    for (floor, runs) in [(Duration::ZERO, 5), (FLOOR, 5), (SECOND * 3, 4), (long, 2)] {
        let (hub, resource) = (Hub::new(), Resource::new());
        let watching = start(&layer(&hub).floor(floor), &resource, request());
        let watching = tokio::spawn(timed(watching));
        settle().await;
        for time in [MS * 1_000, MS * 1_500, MS * 4_567, MS * 12_000] {
            pass(time - if time > SECOND { MS * 1_000 } else { Duration::ZERO }).await;
            hub.touch(&channel("a"));
            settle().await;
        }
        let (took, answer) = watching.await.unwrap();
        let answer = answer.unwrap();
        assert_eq!((took, answer.status().as_u16()), (HOLD, 304), "{floor:?}");
        assert_eq!((resource.runs(), hub.stats().parked), (runs, 0), "{floor:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_floor_beyond_the_hold_delays_a_change_to_its_end_and_loses_nothing() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let watching = start(&layer(&hub).floor(HOLD * 3), &resource, request());
    let watching = tokio::spawn(timed(watching));
    settle().await;
    pass(SECOND).await;
    resource.change(&hub);
    let (took, answer) = watching.await.unwrap();
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), text(answer.into_body())), changed(1));
    assert_eq!(took, HOLD);
    assert_eq!((resource.runs(), hub.stats().parked), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_hot_channel_runs_the_handler_once_a_floor_and_tells_its_last_state() {
    // The floor, how often it runs, and when the last touch, after a second, is answered.
    for (floor, runs, answered) in [
        (None, 1 + 20 + 1, MS * 1_050),
        (Some(MS * 300), 1 + 3 + 1, MS * 1_200),
        (Some(Duration::ZERO), 1 + 1_000, MS * 1_000),
    ] {
        let (hub, resource) = (Hub::new(), Resource::new());
        let route = PathRoute::new("/r/{channel}").unwrap();
        let layer = WatchLayer::new(hub.clone(), route).jitter(0);
        let layer = floor.map_or(layer.clone(), |floor| layer.floor(floor));
        let watching = tokio::spawn(timed(start(&layer, &resource, request())));
        settle().await;
        for time in 1..=1_000 {
            pass(MS).await;
            if time == 1_000 {
                resource.change(&hub);
            } else {
                hub.touch(&channel("a"));
            }
            settle().await;
        }
        let (took, answer) = watching.await.unwrap();
        let answer = answer.unwrap();
        assert_eq!((answer.status().as_u16(), text(answer.into_body())), changed(1), "{floor:?}");
        assert_eq!((resource.runs(), took), (runs, answered), "{floor:?}");
        assert_eq!(hub.stats().parked, 0, "{floor:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_floor_counts_from_the_end_of_a_run() {
    let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
    resource.0.after.close();
    let mut watching = start(&layer(&hub).floor(FLOOR), &resource, request());
    assert_pending!(watching.poll());
    resource.change(&hub);
    pass(SECOND).await;
    resource.0.after.open();
    let answer = watching.await.unwrap();
    assert_eq!((answer.status().as_u16(), begin.elapsed()), (200, SECOND + FLOOR));
    assert_eq!(hub.stats().parked, 0);
}
