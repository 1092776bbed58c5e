//! Calls that are held, and what ends them.

use tower::ServiceExt;
#[cfg(feature = "json")]
use tower_longpoll::Reply;
use tower_longpoll::Waited;

use super::*;

/// A method that waits by itself.
fn waiting(hub: &Hub) -> Api {
    let hub = hub.clone();
    Api::new(move |_| {
        let wait = hub.wait([channel("a")]).hold(SECOND * 7);
        async move {
            match wait.await {
                Waited::Events(batch) => {
                    let payload = batch.entries()[0].payload().clone();
                    Ok(tonic::Response::new(News::decode(payload).unwrap()))
                }
                Waited::TimedOut { .. } => Err(Status::not_found("quiet")),
                other => panic!("{other:?}"),
            }
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_method_may_wait_on_the_hub_by_itself() {
    let hub = Hub::new();
    let mut waits = call(&layer(&hub), &waiting(&hub), ask(""));
    assert_pending!(waits.poll());
    assert_eq!(hub.stats().parked, 1);
    hub.publish(&channel("a"), news("hello")).unwrap();
    let response = assert_ready!(waits.poll()).unwrap();
    assert_eq!(response.get_ref().text, "hello");
    assert!(response.metadata().get("longpoll-cursor").is_none(), "the layer has no part in it");

    let (took, quiet) = timed(call(&layer(&hub), &waiting(&hub), ask(""))).await;
    assert_eq!((took, quiet.unwrap_err().code()), (SECOND * 7, Code::NotFound));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_takes_the_messages_place_and_keeps_its_metadata() {
    let hub = Hub::new();
    let mut held = parked(&hub);
    let sent = hub.publish(&channel("a"), news("hello")).unwrap();
    let response = assert_ready!(held.poll()).unwrap();
    assert_eq!(response.get_ref().text, "hello");
    let metadata = response.metadata();
    assert_eq!(metadata.get("x-handler").unwrap(), "news");
    assert_eq!(metadata.get("longpoll-channel").unwrap(), "a");
    assert_eq!(metadata.get("grpc-status").unwrap(), "0", "as the trailers say");
    assert_eq!(cursor(metadata), sent.cursor);
    assert!(metadata.get("longpoll-gap").is_none());
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_a_frame_and_a_status_in_the_trailers() {
    for size in [0, 1, 300, 64 * 1024, 70_001] {
        let hub = Hub::new();
        let mut held = task::spawn(layer(&hub).layer(Api::holding(&hub)).oneshot(bare(&[])));
        assert_pending!(held.poll());
        let payload = Bytes::from(vec![7; size]);
        hub.publish(&channel("a"), payload.clone()).unwrap();
        let response = assert_ready!(held.poll()).unwrap();
        assert!(!response.body().is_end_stream(), "{size}");
        let read = read(response).await;
        assert_eq!(read.data[0], 0, "{size}: not compressed");
        let length = u32::from_be_bytes(read.data[1..5].try_into().unwrap());
        assert_eq!((length as usize, &read.data[5..]), (size, &payload[..]));
        let trailers = read.trailers.expect("trailers");
        assert_eq!((trailers.len(), &trailers["grpc-status"]), (1, &"0".parse().unwrap()));
        assert!(!read.headers.contains_key("grpc-status"), "{size}: the status comes last");
        assert_eq!(read.headers["content-type"], "application/grpc", "{size}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_may_be_empty_or_large() {
    for size in [0, 1, 64 * 1024, 1 << 20] {
        let hub = Hub::builder().max_payload_bytes(2 << 20).build().unwrap();
        let mut held = parked(&hub);
        let text = "x".repeat(size);
        hub.publish(&channel("a"), news(&text)).unwrap();
        let response = assert_ready!(held.poll()).unwrap();
        assert!(response.get_ref().text == text, "{size}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_methods_own_message_goes_out_when_the_hold_runs_out() {
    let hub = Hub::new();
    hub.publish(&channel("other"), "x").unwrap();
    let (took, response) = timed(call(&layer(&hub), &Api::holding(&hub), ask(""))).await;
    let response = response.unwrap();
    assert_eq!((took, &*response.get_ref().text), (HOLD, "nothing"));
    assert_eq!(response.metadata().get("x-handler").unwrap(), "news");
    assert!(response.metadata().get("longpoll-channel").is_none());
    assert_eq!(cursor(response.metadata()), hub.cursor());
    assert_eq!((hub.stats().parked, hub.stats().timed_out), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_told_with_an_event_or_with_the_methods_own_message() {
    for (is_held, expected) in [(true, "left"), (false, "nothing")] {
        let (hub, gone) = (Hub::new(), Hub::new().cursor());
        if is_held {
            hub.publish(&channel("a"), news("left")).unwrap();
        }
        let mut asked = call(&layer(&hub), &Api::holding(&hub), ask(gone));
        let response = assert_ready!(asked.poll()).unwrap();
        assert_eq!(response.get_ref().text, expected);
        assert_eq!(response.metadata().get("longpoll-gap").unwrap(), "true", "{expected}");
        assert_eq!(response.metadata().get("x-handler").unwrap(), "news");
        assert_eq!(cursor(response.metadata()), hub.cursor(), "{expected}");
        assert_eq!((hub.stats().parked, hub.stats().gaps), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_between_the_look_and_the_hold_is_answered_at_once() {
    let hub = Hub::new();
    let publisher = hub.clone();
    let api = Api::new(move |_| {
        let hub = publisher.clone();
        async move {
            let before = hub.cursor();
            // Here the method reads its state, and at once that changes.
            hub.publish(&channel("a"), news("late")).unwrap();
            Ok(nothing(Hold::new([channel("a")]).since(before)))
        }
    });
    let response = assert_ready!(call(&layer(&hub), &api, ask("")).poll()).unwrap();
    assert_eq!(response.get_ref().text, "late");
    assert_eq!(hub.stats().parked, 0);
}

/// All that a client gets that hands back the cursor of each answer.
async fn follows(layer: &LongPollLayer<()>, hub: &Hub, seed: u64) -> Vec<String> {
    let (mut random, mut published, mut got) = (Random::new(seed), 0, Vec::new());
    let mut since = hub.cursor();
    let api = Api::holding(hub);
    loop {
        let mut some = |most| {
            for _ in 0..random.below(most) {
                if published < 40 {
                    hub.publish(&channel("a"), news(published.to_string())).unwrap();
                    published += 1;
                }
            }
        };
        some(3);
        let mut asked = call(layer, &api, ask(since));
        if asked.poll().is_pending() {
            some(4);
        }
        drop(asked);
        some(3);
        let response = call(layer, &api, ask(since)).await.unwrap();
        assert!(response.metadata().get("longpoll-gap").is_none());
        since = cursor(response.metadata());
        match &*response.get_ref().text {
            "nothing" if published == 40 => return got,
            "nothing" => {}
            text => got.push(text.to_owned()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hands_back_its_cursors_loses_nothing() {
    let expected: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    for seed in 0..20 {
        let hub = Hub::new();
        assert_eq!(follows(&layer(&hub), &hub, seed).await, expected, "seed {seed}");
        assert_eq!(hub.stats().parked, 0);
    }
}

/// A message is one event, however the layer answers polls that are not gRPC.
#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_other_answers_take_several_events() {
    fn closure(_: &tower_longpoll::Batch) -> http::Response<Bytes> {
        http::Response::new(Bytes::from("a closure"))
    }
    type Set = fn(LongPollLayer<()>) -> LongPollLayer<()>;
    let rows: &[(&str, Set)] = &[
        #[cfg(feature = "json")]
        ("the JSON reply", |layer| layer.reply(Reply::Json)),
        ("a closure", |layer| layer.on_events(closure)),
    ];
    let expected: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    for (name, set) in rows {
        let hub = Hub::new();
        assert_eq!(follows(&set(layer(&hub)), &hub, 7).await, expected, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn the_reply_of_a_hold_is_no_matter_for_grpc() {
    let hub = Hub::new();
    let start = hub.cursor();
    for text in ["one", "two"] {
        hub.publish(&channel("a"), news(text)).unwrap();
    }
    let api = Api::new(|request| async move {
        let since: Cursor = request.into_inner().since.parse().unwrap();
        Ok(nothing(Hold::new([channel("a")]).since(since).reply(Reply::Json)))
    });
    let first = assert_ready!(call(&layer(&hub), &api, ask(start)).poll()).unwrap();
    assert_eq!(first.get_ref().text, "one");
    let mut second = call(&layer(&hub), &api, ask(cursor(first.metadata())));
    let second = assert_ready!(second.poll(), "the cursor stands after the first").unwrap();
    assert_eq!(second.get_ref().text, "two");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_superseded_call_gets_the_methods_own_message() {
    let hub = Hub::new();
    let api =
        Api::new(|_| async { Ok(nothing(Hold::new([channel("a")]).supersede_by("one phone"))) });
    let mut older = call(&layer(&hub), &api, ask(""));
    assert_pending!(older.poll());
    let mut newer = call(&layer(&hub), &api, ask(""));
    assert_pending!(newer.poll());
    let response = assert_ready!(older.poll(), "superseded").unwrap();
    assert_eq!(response.get_ref().text, "nothing");
    assert_eq!(cursor(response.metadata()), hub.cursor());
    assert_eq!(hub.stats().parked, 1);
    hub.publish(&channel("a"), news("hello")).unwrap();
    assert_eq!(assert_ready!(newer.poll()).unwrap().get_ref().text, "hello");
    assert_eq!((hub.stats().parked, hub.stats().superseded), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_leaves_nothing() {
    let hub = Hub::new();
    drop(parked(&hub));
    assert_empty(&hub);
    assert_eq!(hub.stats().dropped, 1);
}
