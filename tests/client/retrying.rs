//! Requests that fail are repeated, at the right moment and with the same cursor.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready, task};
use tower::service_fn;
use tower_longpoll::client::{Backoff, Failure};

use super::{script::*, *};

fn plain() -> Backoff {
    Backoff::default().jitter(0)
}

/// Every way for a request to fail that takes no time.
fn failures() -> Vec<(&'static str, Act, Failure)> {
    let json_head = [("content-type", "application/json")];
    let status = |code| Failure::Status(http::StatusCode::from_u16(code).unwrap());
    let mut rows = vec![("no answer", Act::Fail, Failure::Unreachable)];
    for code in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
        rows.push(("status", script::status(code), status(code)));
    }
    for bad in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"cursor":"c"}"#,
        r#"{"cursor":"","events":[]}"#,
        r#"{"cursor":1,"events":[]}"#,
        r#"{"gap":false,"events":[]}"#,
        r#"{"cursor":"c","gap":1,"events":[]}"#,
        r#"{"cursor":"c","events":[{}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","data":1}]}"#,
        r#"{"cursor":"c","events":[{"id":"1","data":1}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1"}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":1},{}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":1,"more":nil}]}"#,
        r#"{"cursor":"c","events":[["c","1",null,1,null]]}"#,
        r#"{"cursor":"c","events":{}}"#,
        r#"{"cursor":"c","events":null}"#,
        r#"{"cursor":null,"events":[]}"#,
        r#"{"cursor":"c","gap":null,"events":[]}"#,
        r#"{"cursor":"c","events":[{"channel":null,"id":"1","data":1}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"","data":1}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":1,"type":null}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":"","encoding":null}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":"\ud800"}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":"?","encoding":"base64"}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":"AA==","encoding":"other"}]}"#,
        r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":1,"encoding":"base64"}]}"#,
        r#"{"cursor":"c","events":[]} and more"#,
        "\u{feff}{}",
    ] {
        rows.push(("not the reply", json(bad), Failure::Unreadable));
    }
    let long = format!(r#"{{"cursor":"{}","events":[]}}"#, "c".repeat(1025));
    rows.push(("a long cursor", json(&long), Failure::Unreadable));
    let again = r#"{"cursor":"since","events":[{"channel":"c","id":"1","data":1}]}"#;
    rows.push(("the same answer again", json(again), Failure::Unreadable));
    rows.push(("a page", Act::Answer(answer(200, &[], "<html>")), Failure::Unreadable));
    let html = [("content-type", "text/html"), ("longpoll-cursor", "c")];
    rows.push(("another page", Act::Answer(answer(200, &html, "<html>")), Failure::Unreadable));
    rows.push(("204 without cursor", script::status(204), Failure::Unreadable));
    rows.push(("another 2xx", Act::Answer(answer(202, &html[1..], "")), Failure::Unreadable));
    let zipped =
        [("longpoll-cursor", "c"), ("longpoll-channel", "c"), ("content-encoding", "gzip")];
    rows.push(("compressed", Act::Answer(answer(200, &zipped, "x")), Failure::Unreadable));
    let unnamed = [("longpoll-channel", "c")];
    rows.push(("raw without cursor", Act::Answer(answer(200, &unnamed, "x")), Failure::Unreadable));
    let misnamed = [("longpoll-cursor", "c"), ("longpoll-channel", "%ff")];
    rows.push(("no channel name", Act::Answer(answer(200, &misnamed, "x")), Failure::Unreadable));

    let whole = r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":1}]}"#;
    for cut in [0, 1, whole.len() / 2, whole.len() - 1, whole.len()] {
        let mut broken = answer(200, &json_head, &whole[..cut]);
        broken.body_mut().0.push_back(Chunk::Error);
        rows.push(("cut off", Act::Answer(broken), Failure::CutOff));
    }
    let short = [("longpoll-cursor", "c"), ("longpoll-channel", "c"), ("content-length", "3")];
    rows.push(("shorter than told", Act::Answer(answer(200, &short, "xx")), Failure::CutOff));
    rows
}

#[tokio::test(start_paused = true)]
async fn after_any_failure_the_same_is_asked_again() {
    for (name, act, expected) in failures() {
        let script = Script::new([act, raw("after", "it")]);
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let mut stream = subscription("/e")
            .since("since")
            .backoff(plain())
            .on_failure(move |failure, pause| log.lock().unwrap().push((failure, pause)))
            .over(script.service());
        assert_eq!(text(&event(stream.next().await)), "it", "{name}");
        let asked = script.asked();
        assert_eq!(asked.len(), 2, "{name}");
        assert_eq!((asked[0].uri.as_str(), &asked[0].uri), ("/e?cursor=since", &asked[1].uri));
        assert_eq!(asked[1].at - asked[0].at, 500 * MS, "{name}");
        assert_eq!(*told.lock().unwrap(), [(expected, 500 * MS)], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_the_cap_and_begin_anew_after_a_good_answer() {
    let mut acts: Vec<_> = (0..9).map(|_| Act::Fail).collect();
    acts.extend([raw("1", "one"), Act::Fail, raw("2", "two")]);
    let script = Script::new(acts);
    let mut stream = subscription("/e").since("0").backoff(plain()).over(script.service());
    event(stream.next().await);
    let times = script.times();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    event(stream.next().await);
    assert_eq!(script.times(), [121_500, 122_000]);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_a_pause() {
    let mut shortened = 0;
    for _ in 0..20 {
        let script = Script::new([Act::Fail, raw("1", "one")]);
        let mut stream = subscription("/e").since("0").over(script.service());
        event(stream.next().await);
        let times = script.times();
        assert!(times[1] <= 501, "{times:?}");
        shortened += u32::from(times[1] < 450);
    }
    assert!(shortened > 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_says_when_to_come_back() {
    let busy = |code, after: &str| Act::Answer(answer(code, &[("retry-after", after)], "{}"));
    let rows = [
        ("503", busy(503, "7"), 7_000),
        ("429", busy(429, "2"), 2_000),
        ("at most so long", busy(503, "99999999999999"), 300_000),
        ("more than a number", busy(503, "99999999999999999999999"), 500),
        ("a date", busy(503, "Fri, 31 Dec 1999 23:59:59 GMT"), 500),
        ("at once", busy(503, "0"), 500),
        ("of another status", busy(500, "7"), 500),
    ];
    for (name, act, pause) in rows {
        let script = Script::new([act, raw("1", "one")]);
        let mut stream = subscription("/e").since("0").backoff(plain()).over(script.service());
        event(stream.next().await);
        let asked = script.asked();
        assert_eq!(asked[1].at.as_millis(), pause, "{name}");
        assert_eq!(asked[1].uri, "/e?cursor=0", "{name}");
    }
    let script = Script::new([busy(503, "7"), raw("1", "one")]);
    let capped = subscription("/e").since("0").max_retry_after(3 * SECOND);
    event(capped.over(script.service()).next().await);
    assert_eq!(script.times(), [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_no_say_leaves_the_pauses_to_the_backoff() {
    let busy = || Act::Answer(answer(503, &[("retry-after", "60")], "{}"));
    let script = Script::new([busy(), busy(), busy(), raw("1", "one")]);
    let deaf = subscription("/e").since("0").backoff(plain()).max_retry_after(Duration::ZERO);
    event(deaf.over(script.service()).next().await);
    assert_eq!(script.times(), [0, 500, 1_500, 3_500]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dead_is_given_up() {
    let patient = || subscription("/e").since("0").backoff(plain()).give_up_after(3);
    for (asked, expected) in [
        (patient(), 70_000),
        (patient().wait(20 * SECOND), 30_000),
        (patient().wait(20 * SECOND).margin(SECOND), 21_000),
    ] {
        let script = Script::new([Act::Hang, raw("1", "one")]);
        event(asked.over(script.service()).next().await);
        assert_eq!(script.times(), [0, expected + 500]);
    }
    // A body that goes on may take its time, one that stops may not.
    let head = [("longpoll-cursor", "c"), ("longpoll-channel", "c")];
    let mut stops = answer(200, &head, "be");
    stops.body_mut().0.push_back(Chunk::Silence);
    let script = Script::new([Act::Late(40 * SECOND, stops), raw("1", "one")]);
    event(patient().over(script.service()).next().await);
    assert_eq!(script.times(), [0, 50_500]);
    let mut slow = answer(200, &head, "s");
    let rest = [pause(9 * SECOND), data("l"), pause(18 * SECOND), data("ow")];
    slow.body_mut().0.extend(rest);
    let script = Script::new([Act::Answer(slow)]);
    assert_eq!(text(&event(patient().over(script.service()).next().await)), "slow");
    // The text of an error is no reason to wait longer.
    let mut stops = answer(503, &[("retry-after", "1")], "be");
    stops.body_mut().0.push_back(Chunk::Silence);
    let script = Script::new([Act::Answer(stops), raw("1", "one")]);
    event(patient().over(script.service()).next().await);
    assert_eq!(script.times(), [0, 11_000]);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_brings_nothing_is_given_up() {
    let head = [("longpoll-cursor", "c"), ("longpoll-channel", "c"), ("retry-after", "1")];
    let drip = |status, drop: &str| {
        let mut answer = answer(status, &head, "");
        let drops = (1..=60).flat_map(|nth| [pause(nth * 9 * SECOND), data(drop)]);
        answer.body_mut().0.extend(drops);
        Act::Answer(answer)
    };
    let rows = [
        ("empty frames", drip(200, ""), 10_500),
        ("empty frames of an error", drip(503, ""), 11_000),
        ("an error in drops", drip(503, "."), 11_000),
    ];
    for (name, act, expected) in rows {
        let start = Instant::now();
        let script = Script::new([act, raw("1", "one")]);
        let asked = subscription("/e").since("0").backoff(plain());
        assert_eq!(text(&event(asked.over(script.service()).next().await)), "one", "{name}");
        assert_eq!(start.elapsed().as_millis(), expected, "{name}");
    }
}

/// Empty frames, as many as anyone wants.
struct Idle;

impl Body for Idle {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::new()))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_nothing_without_end_lets_others_run_and_is_given_up() {
    let service = service_fn(|_: Request<String>| async { Ok::<_, Broken>(Response::new(Idle)) });
    let asked = subscription("/e").since("0").give_up_after(1);
    let mut stream = task::spawn(asked.over(service));
    assert_pending!(stream.poll_next());
    assert!(stream.is_woken());
    pass(10 * SECOND).await;
    let last = ClientError::GaveUp { last: Failure::TimedOut };
    assert_eq!(assert_ready!(stream.poll_next()), Some(Err(last)));
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_is_followed_at_once_unless_it_comes_too_soon_again() {
    let soon = || Act::Answer(answer(204, &[("longpoll-cursor", "c")], ""));
    let script = Script::new([quiet("a"), quiet("b"), quiet("c"), raw("d", "x")]);
    event(subscription("/e").over(script.service()).next().await);
    assert_eq!(script.times(), [0, 25_000, 50_000, 75_000]);

    let acts = [soon(), soon(), soon(), soon(), soon(), quiet("c"), soon(), soon(), raw("d", "x")];
    let script = Script::new(acts);
    // The first one asks for a cursor without a hold, and the next may be a coincidence.
    event(subscription("/e").backoff(plain()).over(script.service()).next().await);
    let times = script.times();
    assert_eq!(times, [0, 0, 0, 500, 1_500, 3_500, 28_500, 28_500, 29_000]);
}

#[tokio::test(start_paused = true)]
async fn it_polls_without_holds_if_it_is_told_to() {
    let soon = || Act::Answer(answer(204, &[("longpoll-cursor", "c")], ""));
    let script = Script::new([soon(), soon(), soon(), raw("d", "x")]);
    let every = Backoff::default().start(SECOND).cap(SECOND).jitter(0);
    let asked = subscription("/e").since("a").wait(Duration::ZERO).backoff(every);
    event(asked.over(script.service()).next().await);
    assert_eq!(script.times(), [0, 0, 1_000, 2_000]);
}

#[tokio::test(start_paused = true)]
async fn without_any_pause_it_still_lets_others_run() {
    let script = Script::new((0..1_000).map(|_| Act::Fail));
    let none = Backoff::default().start(Duration::ZERO);
    let mut stream = subscription("/e").since("a").backoff(none).over(script.service());
    tokio::select! {
        biased;
        _ = stream.next() => panic!("there is nothing"),
        () = tokio::task::yield_now() => {}
    }
    assert!(script.left() > 0, "it did not try all of them in one go");
}
