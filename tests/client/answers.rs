//! What is asked, and how answers are read.

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

use super::{script::*, *};

#[tokio::test(start_paused = true)]
async fn every_poll_has_what_was_asked_for_and_the_cursor_in_a_safe_form() {
    let strange = r#"{"cursor":"a b&c=d/ü+%","gap":false,"events":[]}"#;
    let late = answer(200, &[("content-type", "application/json")], strange);
    let script = Script::new([quiet("first"), Act::Late(25 * SECOND, late), raw("next", "x")]);
    let mut stream = subscription("http://host:1/events/?token=%41&&x")
        .channel_in_path("a/b ü")
        .channel("c&d")
        .channel("é")
        .header(AUTHORIZATION, HeaderValue::from_static("Bearer secret"))
        .header(HeaderName::from_static("x-twice"), HeaderValue::from_static("1"))
        .header(HeaderName::from_static("x-twice"), HeaderValue::from_static("2"))
        .wait(Duration::from_millis(24_001))
        .over(script.service());
    assert_eq!(stream.cursor(), None);
    event(stream.next().await);
    let asked = script.asked();
    let base = "http://host:1/events/a%2Fb%20%C3%BC?token=%41&x&channel=c%26d&channel=%C3%A9";
    let uris: Vec<_> = asked.iter().map(|asked| asked.uri.as_str()).collect();
    let expected = [
        format!("{base}&wait=0"),
        format!("{base}&cursor=first&wait=25"),
        format!("{base}&cursor=a%20b%26c%3Dd%2F%C3%BC%2B%25&wait=25"),
    ];
    assert_eq!(uris, expected);
    for asked in asked {
        assert_eq!(asked.headers["authorization"], "Bearer secret");
        assert_eq!(asked.headers.get_all("x-twice").iter().count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_and_a_wait_in_the_address_are_not_sent_twice() {
    let script = Script::new([quiet("b"), raw("c", "x")]);
    let mut stream = subscription("/events?cursor=a%2Fb&wait=17&z=").over(script.service());
    assert_eq!(stream.cursor(), Some("a/b"));
    event(stream.next().await);
    let uris: Vec<_> = script.asked().into_iter().map(|asked| asked.uri).collect();
    assert_eq!(uris, ["/events?z=&cursor=a%2Fb&wait=17", "/events?z=&cursor=b&wait=17"]);
}

#[tokio::test(start_paused = true)]
async fn an_address_without_a_query_stays_without_one_but_for_the_cursor() {
    let script = Script::new([raw("c", "x")]);
    let mut stream = subscription("http://host").since("oldest").over(script.service());
    event(stream.next().await);
    assert_eq!(script.asked()[0].uri, "http://host/?cursor=oldest");
}

#[tokio::test(start_paused = true)]
async fn a_raw_answer_is_one_event() {
    let fields = [
        ("longpoll-cursor", "c1"),
        ("longpoll-channel", "a%20%25%C3%BC"),
        ("content-type", "image/png"),
        ("content-length", "4"),
    ];
    let script = Script::new([Act::Answer(answer(200, &fields, "\u{1}\u{2}\u{3}\n"))]);
    let mut stream = subscription("/e").since("c0").over(script.service());
    let event = event(stream.next().await);
    assert_eq!((event.channel(), event.cursor()), ("a %ü", "c1"));
    assert_eq!(event.content_type(), Some("image/png"));
    assert_eq!(event.into_payload(), &[1, 2, 3, 10][..]);
    assert_eq!(stream.cursor(), Some("c1"));
}

#[tokio::test(start_paused = true)]
async fn a_raw_answer_of_a_json_payload_is_not_taken_for_a_json_reply() {
    let fields = [
        ("longpoll-cursor", "c1"),
        ("longpoll-channel", "c"),
        ("content-type", "application/json"),
    ];
    let body = r#"{"cursor":"wrong","events":[]}"#;
    let script = Script::new([Act::Answer(answer(200, &fields, body))]);
    let mut stream = subscription("/e").since("c0").over(script.service());
    assert_eq!(text(&event(stream.next().await)), body);
    assert_eq!(stream.cursor(), Some("c1"));
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_json_answer_come_one_by_one_and_the_cursor_with_them() {
    let body = r#"{"cursor":"end","gap":false,"more":{},"events":[
        {"channel":"a\n","id":"1","type":"application/json","data":{"move": [1, "é"]}},
        {"channel":"b","id":"2","type":"text/plain","data":"a \"quote\" \u00e9"},
        {"channel":"b","id":"3","data":"AAEC/w==","encoding":"base64"},
        {"channel":"b","id":"4","type":"application/a+json","data":"text"}
    ]}"#;
    let script = Script::new([json(body)]);
    let mut stream = subscription("/e").since("0").over(script.service());
    assert_eq!(stream.cursor(), Some("0"));
    let first = event(stream.next().await);
    assert_eq!((first.channel(), text(&first)), ("a\n", r#"{"move": [1, "é"]}"#));
    assert_eq!(first.content_type(), Some("application/json"));
    assert_eq!(first.json::<serde_json::Value>().unwrap()["move"][1], "é");
    assert!(first.json::<Vec<u8>>().unwrap_err().to_string().contains("not the expected JSON"));
    assert_eq!((first.cursor(), stream.cursor()), ("1", Some("1")));
    let second = event(stream.next().await);
    assert_eq!((text(&second), stream.cursor()), ("a \"quote\" é", Some("2")));
    let third = event(stream.next().await);
    assert_eq!((&third.payload()[..], third.content_type()), (&[0, 1, 2, 255][..], None));
    assert_eq!(stream.cursor(), Some("3"));
    let fourth = event(stream.next().await);
    assert_eq!((text(&fourth), fourth.json::<String>()), ("\"text\"", Ok("text".into())));
    assert_eq!(stream.cursor(), Some("end"), "past what other channels have");
    assert_eq!(script.times(), [0], "the next request waits until more is asked for");
}

#[tokio::test(start_paused = true)]
async fn of_members_with_one_name_the_last_counts_and_unknown_ones_do_not() {
    let body = r#"{"cursor":5,"gap":null,"events":"no list","more":[{}],"gap":false,
        "events":[{"id":[],"channel":"a","\u0069d":"1","ID":"2","data":"x","":{"id":"3"},"data":"y"}],
        "c\u0075rsor":"end","":null}"#;
    let script = Script::new([json(body)]);
    let mut stream = subscription("/e").since("0").over(script.service());
    let event = event(stream.next().await);
    assert_eq!((event.channel(), event.cursor(), text(&event)), ("a", "1", "y"));
    assert_eq!(stream.cursor(), Some("end"));
}

#[tokio::test(start_paused = true)]
async fn a_gap_comes_before_the_events_that_are_left() {
    let event_1 = r#"{"channel":"c","id":"1","data":"one"}"#;
    let rows = [
        ("JSON", format!(r#"{{"cursor":"9","gap":true,"events":[{event_1}]}}"#), true),
        ("JSON, nothing left", r#"{"cursor":"9","gap":true,"events":[]}"#.into(), false),
    ];
    for (name, body, is_more) in rows {
        for since in [Some("0"), None] {
            let script = Script::new([json(&body)]);
            let mut asked = subscription("/e");
            if let Some(since) = since {
                asked = asked.since(since);
            }
            let mut stream = asked.over(script.service());
            let told = gap(stream.next().await);
            if is_more {
                assert_eq!(told, since.unwrap_or("oldest"), "{name}: nothing may be skipped");
                assert_eq!(stream.cursor(), since, "{name}");
                assert_eq!(text(&event(stream.next().await)), "one");
            } else {
                assert_eq!(told, "9", "{name}");
            }
            assert_eq!(stream.cursor(), Some("9"), "{name}");
        }
    }
    let fields = [("longpoll-cursor", "9"), ("longpoll-gap", "true"), ("longpoll-channel", "c")];
    let raw = Act::Answer(answer(200, &fields, "one"));
    let script = Script::new([raw, Act::Answer(answer(204, &fields[..2], ""))]);
    let mut stream = subscription("/e").since("0").over(script.service());
    assert_eq!(gap(stream.next().await), "0");
    assert_eq!(text(&event(stream.next().await)), "one");
    assert_eq!(gap(stream.next().await), "9");
}
