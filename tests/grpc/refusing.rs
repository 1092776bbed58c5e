//! Calls that cannot be held or whose channel or hub ends: statuses without a message.

use std::collections::BTreeSet;

use tower::ServiceExt;

use super::*;

/// An error as the client sees it, which says where to go on.
#[track_caller]
fn error(answer: Answer) -> (Code, String, Cursor) {
    let status = answer.unwrap_err();
    assert_eq!(status.metadata().get("x-handler").unwrap(), "news", "the method's own stays");
    (status.code(), status.message().to_owned(), cursor(status.metadata()))
}

#[track_caller]
fn pushback(status: &Status) -> u64 {
    let value = status.metadata().get("grpc-retry-pushback-ms").expect("when to come back");
    value.to_str().unwrap().parse().unwrap()
}

/// A method that holds on these channels.
fn on(names: &'static [&'static str]) -> Api {
    Api::new(move |_| async move { Ok(nothing(Hold::new(names.iter().map(|name| channel(name))))) })
}

fn full(set: impl Fn(tower_longpoll::HubBuilder) -> tower_longpoll::HubBuilder) -> Hub {
    set(Hub::builder().max_channels_per_wait(2)).build().unwrap()
}

type Row = (&'static str, Hub, &'static [&'static str], fn(&Hub), Code, &'static str);

fn rows() -> Vec<Row> {
    let long: &str = "a channel with a name that is very long indeed";
    let long: &'static [&'static str] = vec![long].leak();
    let exhausted = Code::ResourceExhausted;
    vec![
        ("waits", full(|b| b.max_waits(1)), &["b"], |_| (), exhausted, "1 parked polls is"),
        (
            "waits of a channel",
            full(|b| b.max_waits_per_channel(1)),
            &["a"],
            |_| (),
            exhausted,
            "1 parked polls on one channel",
        ),
        ("channels", full(|b| b.max_channels(1)), &["b"], |_| (), exhausted, "1 channels"),
        (
            "too many channels",
            full(|b| b),
            &["a", "b", "c"],
            |_| (),
            Code::InvalidArgument,
            "more than 2 channels",
        ),
        ("no channels", full(|b| b), &[], |_| (), Code::InvalidArgument, "names no channel"),
        (
            "a long name",
            full(|b| b.max_channel_name_bytes(9)),
            long,
            |_| (),
            Code::InvalidArgument,
            "longer than 9 bytes",
        ),
        ("draining", full(|b| b), &["a"], |hub| hub.drain(HOLD), Code::Unavailable, "shutdown"),
        ("closed", full(|b| b), &["a"], Hub::close, Code::Unavailable, "no more polls"),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_gets_the_status_that_fits() {
    for (name, hub, names, prepare, code, words) in rows() {
        let parked = parked(&hub);
        prepare(&hub);
        let mut refused = call(&layer(&hub), &on(names), ask(""));
        let answer = assert_ready!(refused.poll(), "{}", name);
        let (got, message, cursor) = error(answer);
        assert_eq!(got, code, "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
        assert_eq!(cursor, hub.cursor(), "{name}");
        assert_eq!(hub.stats().refused, 1, "{name}");
        drop(parked);
        assert_eq!(hub.stats().parked, 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_no_more_than_a_head() {
    for (name, hub, names, prepare, code, _) in rows() {
        let parked = parked(&hub);
        prepare(&hub);
        let response = layer(&hub).layer(on(names)).oneshot(bare(&[])).await.unwrap();
        assert!(response.body().is_end_stream(), "{name}: the head is the end of the stream");
        assert_eq!(response.body().size_hint().exact(), Some(0), "{name}");
        let read = read(response).await;
        assert_eq!((read.data.len(), read.trailers), (0, None), "{name}");
        assert_eq!(read.headers["content-type"], "application/grpc", "{name}");
        assert_eq!(read.headers["grpc-status"], (code as i32).to_string(), "{name}");
        let backs_off = read.headers.contains_key("grpc-retry-pushback-ms");
        let may_help = matches!(code, Code::Unavailable | Code::ResourceExhausted);
        assert_eq!(backs_off, may_help, "{name}");
        drop(parked);
        assert_eq!(hub.stats().parked, 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_keeps_its_position() {
    let hub = Hub::builder().max_waits_per_channel(1).build().unwrap();
    let since = hub.cursor();
    let parked = parked(&hub);
    hub.publish(&channel("b"), "the hub moves on").unwrap();
    let mut refused = call(&layer(&hub), &Api::holding(&hub), ask(since));
    let (code, _, cursor) = error(assert_ready!(refused.poll()));
    assert_eq!((code, cursor), (Code::ResourceExhausted, since));
    drop(parked);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_to_come_back_spread_over_a_time() {
    let hub = Hub::new();
    hub.drain(Duration::ZERO);
    for (name, after) in [("the default", 2_000), ("as set", 7_000)] {
        let mut layer = layer(&hub);
        if after != 2_000 {
            layer = layer.retry_after(MS * 7_000);
        }
        let mut seen = BTreeSet::new();
        for _ in 0..300 {
            let answer = assert_ready!(call(&layer, &on(&["a"]), ask("")).poll());
            seen.insert(pushback(&answer.unwrap_err()));
        }
        let (first, last) = (*seen.first().unwrap(), *seen.last().unwrap());
        assert!((after..=2 * after).contains(&first), "{name}: {first}");
        assert!((after..=2 * after).contains(&last), "{name}: {last}");
        assert!(seen.len() > 100, "{name}: spread by milliseconds: {}", seen.len());
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_parked_call_whose_channel_or_hub_ends_is_told() {
    type End = fn(&Hub);
    let rows: [(&str, End, Code); 3] = [
        ("deleted", |hub| assert!(hub.delete(&channel("a"))), Code::NotFound),
        ("drained", |hub| hub.drain(Duration::ZERO), Code::Unavailable),
        ("closed", Hub::close, Code::Unavailable),
    ];
    for (name, end, code) in rows {
        let hub = Hub::new();
        let mut parked = parked(&hub);
        end(&hub);
        let status = assert_ready!(parked.poll(), "{}", name).unwrap_err();
        assert_eq!(
            status.metadata().get("grpc-retry-pushback-ms").is_some(),
            code != Code::NotFound
        );
        let (got, message, cursor) = error(Err(status));
        assert_eq!((got, cursor), (code, hub.cursor()), "{name}: {message}");
        assert_eq!(hub.stats().parked, 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_over_a_time_is_told_when_it_comes() {
    let hub = Hub::new();
    let mut parked = parked(&hub);
    hub.drain(SECOND * 4);
    let (took, answer) = timed(&mut parked).await;
    assert!(took <= SECOND * 4, "{took:?}");
    assert_eq!(error(answer).0, Code::Unavailable);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_is_an_argument_that_is_invalid() {
    let hub = Hub::builder().max_channel_name_bytes(9).build().unwrap();
    let api =
        Api::new(|_| async { Ok(nothing(Hold::new([channel("a")]).supersede_by("0123456789"))) });
    let (code, message, _) = error(assert_ready!(call(&layer(&hub), &api, ask("")).poll()));
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("key"), "{message}");
    assert_eq!(hub.stats().parked, 0);
}
