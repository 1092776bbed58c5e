//! The table of answers.

use http::{HeaderValue, Version, header::CONNECTION};
use tower_longpoll::{
    Batch, Refused,
    http::{CHANNEL, Invalid},
};

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Events,
    Untyped,
    Empty,
    TimedOut,
    Gap,
    GapAndEvents,
    Deleted,
    Drained,
    ClosedMeanwhile,
    Draining,
    Closed,
    Full,
    FullChannel,
    BadCursor,
    BadWait,
    BadChannel,
    NoChannel,
    LongChannel,
}
use What::*;

/// Every outcome there is, at a fresh hub.
async fn provoke<R: Route>(
    what: What,
    version: Version,
    layer: impl FnOnce(&Hub) -> LongPollLayer<R>,
) -> Answer {
    let builder = Hub::builder();
    let builder = match what {
        Full => builder.max_waits(0),
        FullChannel => builder.max_waits_per_channel(0),
        _ => builder,
    };
    let (hub, c) = (builder.build().unwrap(), channel("c"));
    let event = match what {
        Events | GapAndEvents => Some(Event::text("hi")),
        Untyped => Some(Event::new("hi")),
        Empty => Some(Event::text("")),
        _ => None,
    };
    if let Some(event) = event {
        hub.publish(&c, event).unwrap();
    }
    match what {
        Draining => hub.drain(Duration::ZERO),
        Closed => hub.close(),
        _ => {}
    }
    let uri = match what {
        Events | Untyped | Empty => "/events/c?cursor=oldest".to_owned(),
        Gap | GapAndEvents => format!("/events/c?cursor={}", foreign()),
        BadCursor => "/events/c?cursor=x".into(),
        BadWait => "/events/c?wait=x".into(),
        BadChannel => "/events/%00".into(),
        NoChannel => "/events".into(),
        LongChannel => format!("/events/{}", "x".repeat(257)),
        _ => "/events/c?wait=5".into(),
    };
    let mut request = get(&uri);
    *request.version_mut() = version;
    let layer = layer(&hub);
    let answer = match what {
        Deleted => parked(&layer, request, || assert!(hub.delete(&c))).await,
        Drained => parked(&layer, request, || hub.drain(Duration::ZERO)).await,
        ClosedMeanwhile => parked(&layer, request, || hub.close()).await,
        _ => ask_at(&layer, request).await,
    };
    assert_eq!(hub.stats().parked, 0, "{what:?}");
    answer
}

const NOTHING: &str = r#"200 application/json {"cursor":"$","gap":false,"events":[]}"#;
const A_GAP: &str = r#"200 application/json {"cursor":"$","gap":true,"events":[]}"#;

#[tokio::test(start_paused = true)]
async fn every_outcome_has_the_answer_of_the_table() {
    let json_hi = |gap: bool, kind: &str, data: &str| {
        format!(
            r#"200 application/json {{"cursor":"$","gap":{gap},"events":[{{"channel":"c","id":"$",{kind}"data":"{data}"}}]}}"#
        )
    };
    let text = r#""type":"text/plain; charset=utf-8","#;
    let none: &[&str] = &[];
    let rows = [
        (Events, "200 text/plain; charset=utf-8 hi", json_hi(false, text, "hi"), none),
        (Untyped, "200 application/octet-stream hi", json_hi(false, "", "hi"), none),
        (Empty, "200 text/plain; charset=utf-8 ", json_hi(false, text, ""), none),
        (TimedOut, "204 - ", NOTHING.into(), none),
        (Gap, "204 - ", A_GAP.into(), &["longpoll-gap"]),
        (
            GapAndEvents,
            "200 text/plain; charset=utf-8 hi",
            json_hi(true, text, "hi"),
            &["longpoll-gap"],
        ),
        (Deleted, "410 problem -", "410 problem -".into(), &["longpoll-channel"]),
        (Drained, "204 - ", NOTHING.into(), &["connection"]),
        (ClosedMeanwhile, "204 - ", NOTHING.into(), &["connection"]),
        (Draining, "503 problem -", "503 problem -".into(), &["retry-after"]),
        (Closed, "503 problem -", "503 problem -".into(), &["retry-after"]),
        (Full, "503 problem -", "503 problem -".into(), &["retry-after"]),
        (FullChannel, "503 problem -", "503 problem -".into(), &["retry-after"]),
        (BadCursor, "400 problem cursor", "400 problem cursor".into(), none),
        (BadWait, "400 problem wait", "400 problem wait".into(), none),
        (BadChannel, "400 problem channel", "400 problem channel".into(), none),
        (NoChannel, "400 problem channel", "400 problem channel".into(), none),
        (LongChannel, "400 problem channel", "400 problem channel".into(), none),
    ];
    for (what, raw, json, extra) in rows {
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            let http1 = version < Version::HTTP_2;
            let mut extra: Vec<_> =
                extra.iter().copied().filter(|&name| name != "connection" || http1).collect();

            let at_json = provoke(what, version, |hub| layer(hub).reply(Reply::Json)).await;
            assert_eq!(at_json.shape(), json, "{what:?} {version:?}");
            assert_eq!(at_json.extra(), extra, "{what:?} {version:?}");

            let at_raw = provoke(what, version, |hub| layer(hub).reply(Reply::Raw)).await;
            assert_eq!(at_raw.shape(), raw, "{what:?} {version:?}");
            if at_raw.status == 200 {
                extra.insert(0, "longpoll-channel");
                assert_eq!(at_raw.header("longpoll-channel"), Some("c"));
            }
            assert_eq!(at_raw.extra(), extra, "{what:?} {version:?}");

            for answer in [at_raw, at_json] {
                let gap = extra.contains(&"longpoll-gap").then_some("true");
                assert_eq!(answer.header("longpoll-gap"), gap, "{what:?}");
                let cursor = answer.headers.contains_key("longpoll-cursor");
                assert_eq!(cursor, what != BadCursor, "{what:?} {version:?}");
                let close = extra.contains(&"connection").then_some("close");
                assert_eq!(answer.header("connection"), close, "{what:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn raw_is_the_default_reply() {
    let answer = provoke(TimedOut, Version::HTTP_11, layer).await;
    assert_eq!(answer.shape(), "204 - ");
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_refused_are_spread_over_the_retry_after() {
    let rows = [
        ("default", None, 2..=4),
        ("ten", Some(SECOND * 10), 10..=20),
        ("below a second", Some(MS), 1..=2),
        ("zero", Some(Duration::ZERO), 1..=2),
    ];
    let hub = Hub::new();
    hub.drain(Duration::ZERO);
    for (name, delay, range) in rows {
        let layer = layer(&hub);
        let layer = match delay {
            Some(delay) => layer.retry_after(delay),
            None => layer,
        };
        let mut seen = Vec::new();
        for _ in 0..200 {
            let answer = ask_at(&layer, get("/events/c")).await;
            let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!(range.contains(&seconds), "{name}: {seconds}");
            seen.push(seconds);
        }
        for end in [range.start(), range.end()] {
            assert!(seen.contains(end), "{name}: {end} is reached");
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

/// One closure for each answer, and what it says.
fn replaced(hub: &Hub, reply: Reply) -> LongPollLayer<PathRoute> {
    fn teapot(text: String) -> Response<Bytes> {
        let response = Response::builder().status(418).header("x-own", "1");
        response.header("longpoll-cursor", "not this").body(text.into()).unwrap()
    }
    layer(hub)
        .reply(reply)
        .on_events(|batch: &Batch| teapot(format!("events {} {}", batch.len(), batch.gap())))
        .on_timeout(|cursor| teapot(format!("timeout {cursor}")))
        .on_deleted(|cursor| {
            let mut response = teapot(format!("deleted {cursor}"));
            response.headers_mut().insert(CHANNEL, HeaderValue::from_static("not this"));
            response
        })
        .on_drained(|cursor| teapot(format!("drained {cursor}")))
        .on_refused(|reason: &Refused| teapot(format!("refused {}", reason.is_temporary())))
        .on_invalid(|invalid: &Invalid| teapot(format!("invalid {}", invalid.field())))
}

#[tokio::test(start_paused = true)]
async fn a_closure_replaces_its_answer_and_the_standard_fields_stay() {
    let rows: [(_, _, &[&str]); 13] = [
        (Events, "events 1 false", &["x-own"]),
        (Gap, "events 0 true", &["longpoll-gap", "x-own"]),
        (GapAndEvents, "events 1 true", &["longpoll-gap", "x-own"]),
        (TimedOut, "timeout $", &["x-own"]),
        (Deleted, "deleted $", &["longpoll-channel", "x-own"]),
        (Drained, "drained $", &["connection", "x-own"]),
        (ClosedMeanwhile, "drained $", &["connection", "x-own"]),
        (Draining, "refused true", &["x-own"]),
        (Full, "refused true", &["x-own"]),
        (LongChannel, "refused false", &["x-own"]),
        (BadWait, "invalid wait", &["x-own"]),
        (BadChannel, "invalid channel", &["x-own"]),
        (BadCursor, "invalid cursor", &["x-own"]),
    ];
    for (what, text, extra) in rows {
        for reply in [Reply::Raw, Reply::Json] {
            let answer = provoke(what, Version::HTTP_11, |hub| replaced(hub, reply)).await;
            assert_eq!(answer.extra(), extra, "{what:?} {reply:?}");
            let channels = answer.headers.get_all(CHANNEL).iter();
            assert!(channels.eq(if what == Deleted { &["c"][..] } else { &[] }), "{what:?}");
            if what != BadCursor {
                answer.cursor();
            }
            assert_eq!(answer.shape(), format!("418 - {text}"), "{what:?} {reply:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_has_the_last_word_about_caching_but_not_about_leaving() {
    let hub = Hub::new();
    let own = |_| {
        let response = Response::builder().header("cache-control", "private");
        let response = response.header("x-content-type-options", "own");
        response.header(CONNECTION, "keep-alive").body(Bytes::new()).unwrap()
    };
    let layer = layer(&hub).on_timeout(own).on_drained(own);
    let answer = ask_at(&layer, get("/events/c?wait=0")).await;
    assert_eq!(answer.header("cache-control"), Some("private"));
    assert_eq!(answer.header("x-content-type-options"), Some("own"));
    let drained = parked(&layer, get("/events/c"), || hub.drain(Duration::ZERO)).await;
    assert_eq!(drained.header("connection"), Some("close"));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_raw_answer_has_one_event_and_the_next_poll_has_the_next() {
    let (hub, c) = (Hub::new(), channel("c"));
    let layer = layer(&hub);
    let mut since = "oldest".to_owned();
    for number in 0..3 {
        hub.publish(&c, number.to_string()).unwrap();
    }
    for number in 0..3 {
        let answer = ask_at(&layer, get(&format!("/events/c?cursor={since}"))).await;
        assert_eq!(answer.text(), number.to_string());
        assert_eq!(answer.header("longpoll-gap"), None);
        since = answer.cursor().to_string();
    }
    let last = ask_at(&layer, get(&format!("/events/c?wait=0&cursor={since}"))).await;
    assert_eq!(last.shape(), "204 - ");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_raw_answer_gets_all_that_waits() {
    let (hub, c) = (Hub::new(), channel("c"));
    let answer = |batch: &Batch| Response::new(Bytes::from(texts(batch).join(",")));
    let layer = layer(&hub).on_events(answer);
    for text in ["a", "b", "c"] {
        hub.publish(&c, text).unwrap();
    }
    let answer = ask_at(&layer, get("/events/c?cursor=oldest")).await;
    assert_eq!(answer.text(), "a,b,c");
    assert_eq!(answer.cursor(), hub.cursor());
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_name_of_a_channel_survives_its_header_field() {
    let hub = Hub::new();
    let layer = layer(&hub);
    let rows = [
        ("plain", "game:42", "game:42"),
        ("UTF-8", "Grüße/日本", "Gr%C3%BC%C3%9Fe/%E6%97%A5%E6%9C%AC"),
        ("spaces at the ends", " a b ", "%20a%20b%20"),
        ("a percent sign", "100%25", "100%2525"),
        ("punctuation", "a\"b,c;d\\e", "a\"b,c;d\\e"),
    ];
    for (row, name, field) in rows {
        hub.publish(&channel(name), "x").unwrap();
        let uri: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = ask_at(&layer, get(&format!("/events/{uri}?cursor=oldest"))).await;
        let got = answer.header("longpoll-channel").unwrap();
        assert_eq!(got, field, "{row}");
        let back = percent_encoding::percent_decode_str(got).decode_utf8().unwrap();
        assert_eq!(back, name, "{row}");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_parked_poll_is_answered_in_the_instant_of_the_publish() {
    let (hub, c) = (Hub::new(), channel("c"));
    let layer = layer(&hub);
    for reply in [Reply::Raw, Reply::Json] {
        let layer = layer.clone().reply(reply);
        let publish = || assert_eq!(hub.publish(&c, Event::text("now")).unwrap().woken, 1);
        let (took, answer) = timed(parked(&layer, get("/events/c"), publish)).await;
        assert_eq!((took, answer.status), (Duration::ZERO, 200), "{reply:?}");
        assert_eq!(answer.cursor(), hub.cursor());
    }
    assert_eq!(hub.stats().parked, 0);
}
