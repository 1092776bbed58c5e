//! How a poll is read: its hold, and its cursor.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, header::HOST};

use super::*;

const PREFER: HeaderName = HeaderName::from_static("prefer");
const CURSOR: HeaderName = tower_longpoll::http::CURSOR;

/// The values of a header field that is there as often.
type Fields<'a> = &'a [&'a [u8]];

fn with(uri: &str, name: &HeaderName, values: Fields<'_>) -> Request<String> {
    let mut request = get(uri);
    for value in values {
        request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    request
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_what_was_asked_for_to_the_instant() {
    let hub = Hub::new();
    let layer = layer(&hub).hold(seconds(25)).max_hold(seconds(60));
    let huge = format!("?wait={}", "9".repeat(5_000));
    let huge_preference = format!("wait={}", "9".repeat(5_000));
    let rows: [(&str, &str, Fields<'_>, u64, Option<&str>); 41] = [
        ("nothing asked", "", &[], 25, None),
        ("query", "?wait=7", &[], 7, None),
        ("zero", "?wait=0", &[], 0, None),
        ("many zeros", "?wait=000", &[], 0, None),
        ("leading zeros", "?wait=007", &[], 7, None),
        ("encoded", "?%77ait=%37", &[], 7, None),
        ("among others", "?x=1&&wait=7&waits=9&=3", &[], 7, None),
        ("the longest", "?wait=60", &[], 60, None),
        ("too long", "?wait=61", &[], 60, None),
        ("2^64", "?wait=18446744073709551616", &[], 60, None),
        ("huge", &huge, &[], 60, None),
        ("preference", "", &[b"wait=8"], 8, Some("wait=8")),
        ("preference of zero", "", &[b"wait=0"], 0, Some("wait=0")),
        ("preference too long", "", &[b"wait=61"], 60, Some("wait=60")),
        ("huge preference", "", &[huge_preference.as_bytes()], 60, Some("wait=60")),
        ("with others", "", &[b"respond-async, wait=9,x=y"], 9, Some("wait=9")),
        ("quoted", "", &[b"wait=\"10\""], 10, Some("wait=10")),
        ("parameters", "", &[b"wait=11; a=b;c"], 11, Some("wait=11")),
        ("spaces", "", &[b"\twait = 12 ;x"], 12, Some("wait=12")),
        ("upper case", "", &[b"WAIT=13"], 13, Some("wait=13")),
        ("several fields", "", &[b"respond-async", b"wait=14"], 14, Some("wait=14")),
        ("the first counts", "", &[b"wait=15", b"wait=16"], 15, Some("wait=15")),
        ("empty elements", "", &[b",, ;a=b, wait=17,"], 17, Some("wait=17")),
        ("in another's value", "", &[b"x=\"wait=5\""], 25, None),
        ("in another's list", "", &[b"x=\"a, wait=5, b\""], 25, None),
        ("after another's list", "", &[b"x=\"a, b\\\", wait=5\", wait=6"], 6, Some("wait=6")),
        ("after another's parameters", "", &[b"x=\"a;b\";y=\",\", wait=6"], 6, Some("wait=6")),
        ("in a parameter", "", &[b"x; wait=5"], 25, None),
        ("another word", "", &[b"waits=5, await=5"], 25, None),
        ("no value", "", &[b"wait"], 25, None),
        ("empty value", "", &[b"wait="], 25, None),
        ("empty quotes", "", &[b"wait=\"\""], 25, None),
        ("half quotes", "", &[b"wait=\"5"], 25, None),
        ("a word", "", &[b"wait=soon"], 25, None),
        ("negative", "", &[b"wait=-5"], 25, None),
        ("signed", "", &[b"wait=+5"], 25, None),
        ("a fraction", "", &[b"wait=1.5"], 25, None),
        ("not ASCII", "", &[b"wait=5\xff"], 25, None),
        ("not ASCII beside", "", &[b"x=\xff", b"wait=6"], 6, Some("wait=6")),
        ("empty field", "", &[b""], 25, None),
        ("query before preference", "?wait=3", &[b"wait=9"], 3, None),
    ];
    for (name, query, prefer, hold, applied) in rows {
        let request = with(&format!("/events/c{query}"), &PREFER, prefer);
        let (took, answer) = timed(ask_at(&layer, request)).await;
        assert_eq!(answer.shape(), "204 - ", "{name}");
        assert_eq!(took, seconds(hold), "{name}");
        assert_eq!(answer.header("preference-applied"), applied, "{name}");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_preference_is_acknowledged_on_events_too() {
    let (hub, c) = (Hub::new(), channel("c"));
    let publish = || assert_eq!(hub.publish(&c, "x").unwrap().woken, 1);
    let answer = parked(&layer(&hub), with("/events/c", &PREFER, &[b"wait=9"]), publish).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, Some("wait=9")));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_layer_and_hub_both_hold() {
    let hub = |hold, max| Hub::builder().hold(seconds(hold)).max_hold(seconds(max)).build();
    let (plain, short, long) = (Hub::new(), hub(5, 10).unwrap(), hub(90, 100).unwrap());
    let half = Duration::from_millis(1_500);
    let rows = [
        ("the hub's own default", layer(&plain), "", seconds(25)),
        ("another default of the hub", layer(&short), "", seconds(5)),
        ("the default is clamped, too", layer(&long), "", seconds(60)),
        ("60 s at most by default", layer(&long), "?wait=90", seconds(60)),
        ("the layer's default", layer(&plain).hold(half), "", half),
        ("the layer's default of zero", layer(&plain).hold(Duration::ZERO), "", Duration::ZERO),
        ("the layer's maximum", layer(&plain).max_hold(half), "?wait=2", half),
        ("the layer's maximum of zero", layer(&plain).max_hold(Duration::ZERO), "", seconds(0)),
        ("the hub's maximum", layer(&short), "?wait=20", seconds(10)),
        ("no maximum", layer(&short).max_hold(Duration::MAX), "?wait=99999", seconds(10)),
        ("for ever", layer(&short).hold(Duration::MAX), "", seconds(10)),
    ];
    for (name, layer, query, hold) in rows {
        let (took, answer) = timed(ask_at(&layer, get(&format!("/events/c{query}")))).await;
        assert_eq!((took, answer.status), (hold, 204), "{name}");
    }
    assert_eq!(plain.stats().parked + short.stats().parked + long.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_acknowledged_preference_is_the_hold_that_the_hub_grants() {
    let hub = Hub::builder().hold(seconds(5)).max_hold(seconds(10)).build().unwrap();
    let request = with("/events/c", &PREFER, &[b"wait=30"]);
    let (took, answer) = timed(ask_at(&layer(&hub), request)).await;
    assert_eq!((took, answer.header("preference-applied")), (seconds(10), Some("wait=10")));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_a_hold_by_up_to_a_tenth() {
    let short = Hub::builder().hold(seconds(5)).max_hold(seconds(20)).build().unwrap();
    let rows = [
        ("default", Hub::new(), None, "?wait=20", 20_000, 18_000),
        ("the default hold", Hub::new(), None, "", 25_000, 22_500),
        ("clamped by the layer", Hub::new(), None, "?wait=600", 60_000, 54_000),
        ("clamped by the hub", short, None, "?wait=600", 20_000, 18_000),
        ("half", Hub::new(), Some(50), "?wait=20", 20_000, 10_000),
        ("more than all", Hub::new(), Some(255), "?wait=20", 20_000, 0),
    ];
    for (name, hub, percent, query, longest, shortest) in rows {
        let route = PathRoute::new("/events/{channel}").unwrap();
        let layer = LongPollLayer::new(hub.clone(), route);
        let layer = percent.into_iter().fold(layer, LongPollLayer::jitter);
        let mut holds = Vec::new();
        for _ in 0..64 {
            let (took, _) = timed(ask_at(&layer, get(&format!("/events/c{query}")))).await;
            holds.push(took.as_millis());
        }
        let (least, most) = (*holds.iter().min().unwrap(), *holds.iter().max().unwrap());
        assert!(shortest <= least && most <= longest, "{name}: {least} to {most} ms");
        // By chance this fails less than once in 2^60 runs.
        let middle = (longest + shortest) / 2;
        assert!(least <= middle && middle <= most, "{name}: {least} to {most} ms is no spread");
        holds.sort_unstable();
        holds.dedup();
        assert!(holds.len() > 48, "{name}: only {} different holds", holds.len());
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_wait_is_refused_by_name() {
    let hub = Hub::new();
    let rows = [
        ("a word", "wait=abc"),
        ("negative", "wait=-1"),
        ("empty", "wait="),
        ("no value", "wait"),
        ("a fraction", "wait=1.5"),
        ("scientific", "wait=1e3"),
        ("hexadecimal", "wait=0x10"),
        ("a unit", "wait=5s"),
        ("signed", "wait=%2B5"),
        ("a space", "wait=+5"),
        ("a newline", "wait=5%0A"),
        ("NUL", "wait=5%00"),
        ("digits of another script", "wait=%D9%A3"),
        ("not UTF-8", "wait=%FF"),
        ("twice", "wait=5&wait=5"),
        ("twice, encoded", "wait=5&%77ait=6"),
    ];
    for (name, query) in rows {
        for uri in [format!("/events/c?{query}"), format!("/events?channel=c&{query}")] {
            let (took, answer) = timed(ask_at(&layer(&hub), get(&uri))).await;
            assert_eq!(answer.shape(), "400 problem wait", "{name}");
            assert_eq!((took, answer.cursor()), (Duration::ZERO, hub.cursor()), "{name}");
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

/// The text of a cursor of the same hub that lies ahead.
fn ahead(cursor: Cursor) -> String {
    let raw = URL_SAFE_NO_PAD.decode(&cursor.to_string()[1..]).unwrap();
    let raw = [&raw[..8], &[0xff; 8][..]].concat();
    format!("1{}", URL_SAFE_NO_PAD.encode(raw))
}

#[tokio::test(start_paused = true)]
async fn a_cursor_says_where_to_go_on() {
    let (hub, c) = (Hub::new(), channel("c"));
    let none = hub.cursor();
    let first = hub.publish(&c, Event::text("first")).unwrap().cursor;
    let second = hub.publish(&c, Event::text("second")).unwrap().cursor;
    let encoded: String = first.to_string().bytes().map(|byte| format!("%{byte:02x}")).collect();
    let rows = [
        ("absent", None, "204", second, false),
        ("oldest", Some("oldest".to_owned()), "200 first", first, false),
        ("before all", Some(none.to_string()), "200 first", first, false),
        ("between", Some(first.to_string()), "200 second", second, false),
        ("at the end", Some(second.to_string()), "204", second, false),
        ("of another hub", Some(foreign().to_string()), "200 first", first, true),
        ("ahead", Some(ahead(none)), "200 second", second, true),
    ];
    for (name, since, told, cursor, gap) in rows {
        let query = since.as_ref().map_or(String::new(), |since| format!("&cursor={since}"));
        let in_query = get(&format!("/events/c?wait=0{query}"));
        let fields = since.as_ref().map_or(Vec::new(), |since| vec![since.as_bytes()]);
        let in_header = with("/events/c?wait=0", &CURSOR, &fields);
        for request in [in_query, in_header] {
            let answer = ask_at(&layer(&hub), request).await;
            let got = format!("{} {}", answer.status, answer.text());
            // What lies behind a cursor ahead is nobody's guess: it must only be told as a gap.
            if name != "ahead" {
                assert_eq!((got.trim_end(), answer.cursor()), (told, cursor), "{name}");
            }
            assert_eq!(answer.header("longpoll-gap").is_some(), gap, "{name}");
        }
    }
    let answer = ask_at(&layer(&hub), get(&format!("/events/c?cursor={encoded}"))).await;
    assert_eq!(answer.text(), "second", "percent-encoded");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_nobody_knows_is_answered_at_once_however_quiet_it_is() {
    let hub = Hub::new();
    for (name, since) in [("another hub", foreign().to_string()), ("ahead", ahead(hub.cursor()))] {
        let uri = format!("/events/c?wait=60&cursor={since}");
        let (took, answer) = timed(ask_at(&layer(&hub), get(&uri))).await;
        assert_eq!((took, answer.shape().as_str()), (Duration::ZERO, "204 - "), "{name}");
        assert_eq!(answer.header("longpoll-gap"), Some("true"), "{name}");
        let uri = format!("/events/c?cursor={}", answer.cursor());
        let (took, again) = timed(ask_at(&layer(&hub), get(&uri))).await;
        assert_eq!((took, again.header("longpoll-gap")), (seconds(25), None), "{name}: told once");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_cursor_is_refused_by_name_and_given_none() {
    let hub = Hub::new();
    let good = hub.cursor().to_string();
    let long = "1".repeat(10_240);
    let twice = format!("cursor={good}&cursor={good}");
    let list = format!("{good}, {good}");
    let rows: [(&str, &str, Fields<'_>); 20] = [
        ("a word", "cursor=x", &[]),
        ("empty", "cursor=", &[]),
        ("no value", "cursor", &[]),
        ("upper case", "cursor=OLDEST", &[]),
        ("10 KB", &format!("cursor={long}"), &[]),
        ("padded", &format!("cursor={good}="), &[]),
        ("a space", &format!("cursor={good}+"), &[]),
        ("NUL", &format!("cursor={good}%00"), &[]),
        ("not UTF-8", "cursor=%FF", &[]),
        ("a number", "cursor=0", &[]),
        ("twice in the query", &twice, &[]),
        ("oldest twice", "cursor=oldest&cursor=oldest", &[]),
        ("good, then bad", &format!("cursor={good}&cursor=x"), &[]),
        ("in query and header", &format!("cursor={good}"), &[good.as_bytes()]),
        ("twice in the header", "", &[good.as_bytes(), good.as_bytes()]),
        ("a list in the header", "", &[list.as_bytes()]),
        ("empty in the header", "", &[b""]),
        ("a word in the header", "", &[b"x"]),
        ("10 KB in the header", "", &[long.as_bytes()]),
        ("not ASCII in the header", "", &[b"\xff"]),
    ];
    for (name, query, fields) in rows {
        for uri in [format!("/events/c?{query}"), format!("/events?channel=c&{query}")] {
            let (took, answer) = timed(ask_at(&layer(&hub), with(&uri, &CURSOR, fields))).await;
            assert_eq!(answer.shape(), "400 problem cursor", "{name}");
            assert_eq!(answer.header("longpoll-cursor"), None, "{name}: now would skip events");
            assert_eq!(took, Duration::ZERO, "{name}");
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_not_held_keeps_its_place() {
    let (hub, c) = (Hub::builder().max_waits(0).build().unwrap(), channel("c"));
    let before = hub.cursor();
    hub.publish(&c, "x").unwrap();
    let (now, other) = (hub.cursor(), foreign());
    let many: String = (0..65).map(|number| format!("channel={number}&")).collect();
    let rows = [
        ("full", "/events/quiet?".to_owned(), None, 503),
        ("too many channels", format!("/events?{many}"), None, 400),
        ("no channel", "/events?".into(), None, 400),
        ("a long name", format!("/events/{}?", "x".repeat(257)), None, 400),
        ("a longer name", format!("/events/{}?", "x".repeat(4_097)), None, 400),
        ("a bad name", "/events/%FF?".into(), None, 400),
        ("a bad wait", "/events/c?wait=x&".into(), None, 400),
        ("a body", "/events/c?".into(), Some("5"), 400),
    ];
    for (name, uri, length, status) in rows {
        let sinces = [("", now), ("cursor={}", now), ("cursor={}", before), ("cursor={}", other)];
        for (query, since) in sinces {
            // A full hub answers what it can: the quiet channel has nothing for these.
            if status == 503 && since == other {
                continue;
            }
            let mut request = get(&format!("{uri}{}", query.replace("{}", &since.to_string())));
            let length = length.map(HeaderValue::from_static);
            request
                .headers_mut()
                .extend(length.map(|length| (http::header::CONTENT_LENGTH, length)));
            let answer = ask_at(&layer(&hub), request).await;
            assert_eq!((answer.status, answer.cursor()), (status, since), "{name} {query}");
        }
    }
    // Who asks for the oldest is given a place before all that is held, without a gap.
    let answer = ask_at(&layer(&hub), get("/events/c?cursor=oldest&wait=x")).await;
    let uri = format!("/events/c?cursor={}", answer.cursor());
    let answer = ask_at(&layer(&hub), get(&uri)).await;
    assert_eq!((answer.text(), answer.header("longpoll-gap")), ("x", None));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_conditional_fields_change_nothing() {
    let (hub, c) = (Hub::new(), channel("c"));
    hub.publish(&c, Event::text("x")).unwrap();
    let mut request = get("/events/c?cursor=oldest");
    for (name, value) in [
        ("if-none-match", "*"),
        ("if-match", "\"x\""),
        ("if-modified-since", "Thu, 01 Jan 2099 00:00:00 GMT"),
        ("range", "bytes=0-0"),
        ("accept", "image/png"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    request.headers_mut().insert(HOST, HeaderValue::from_static("example.com"));
    let answer = ask_at(&layer(&hub), request).await;
    assert_eq!(answer.shape(), "200 text/plain; charset=utf-8 x");
    assert_eq!(hub.stats().parked, 0);
}
