//! The JSON reply.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::*;

/// All that waits on a channel, in one answer.
async fn all(hub: &Hub) -> Answer {
    let layer = layer(hub).reply(Reply::Json);
    ask_at(&layer, get("/events?channel=c&channel=d&cursor=oldest&wait=0")).await
}

#[tokio::test(start_paused = true)]
async fn data_is_json_a_string_or_base64_by_what_was_published() {
    let typed = |payload: &[u8], kind: &'static str| Event::typed(payload.to_vec(), kind).unwrap();
    let nested = json!({ "a": [1, 2.5, null, { "b": "\u{1f600}</script>" }] });
    let binary = b"\x89PNG\0\xff\xfe";
    let base64 = STANDARD.encode(binary);
    let rows = [
        ("an object", Event::json(&nested).unwrap(), nested.clone(), false),
        (
            "spaced",
            typed(b" {\r\n\t\"a\": [1, 2]\n} ", "application/json"),
            json!({"a": [1, 2]}),
            false,
        ),
        ("null", typed(b"null", "application/json"), Value::Null, false),
        ("parameters", typed(b"1", "Application/JSON; charset=utf-8"), json!(1), false),
        ("a suffix", typed(b"[]", "application/x+json"), json!([]), false),
        ("a string", typed(b"\"a\\u0000\\\"\"", "application/json"), json!("a\0\""), false),
        ("surrogates", typed(b"\"\\ud83d\\ude00\"", "application/json"), json!("\u{1f600}"), false),
        ("JSON by no name", Event::new("{\"a\":1}"), json!("{\"a\":1}"), false),
        ("JSON as text", Event::text("[1]"), json!("[1]"), false),
        ("ended script", Event::text("</script><!--"), json!("</script><!--"), false),
        ("quotes", Event::text("\"\\\"'\\"), json!("\"\\\"'\\"), false),
        (
            "newlines",
            Event::text("a\r\nb\u{2028}c\u{2029}"),
            json!("a\r\nb\u{2028}c\u{2029}"),
            false,
        ),
        ("controls", Event::text("\0\u{1}\u{7f}\u{85}"), json!("\0\u{1}\u{7f}\u{85}"), false),
        ("UTF-8", Event::text("日本\u{feff}\u{10ffff}"), json!("日本\u{feff}\u{10ffff}"), false),
        ("empty", Event::new(""), json!(""), false),
        ("binary", typed(binary, "image/png"), json!(base64), true),
        ("binary by no name", Event::new(binary.to_vec()), json!(base64), true),
        ("almost UTF-8", typed(b"a\xc3", "text/plain"), json!("YcM="), true),
        ("odd type", typed(b"x", "a/b; c=\"d\\\\e\""), json!("x"), false),
    ];
    for (name, event, data, is_base64) in rows {
        let (hub, c) = (Hub::new(), channel("c"));
        let kind = event.content_type().map(str::to_owned);
        let cursor = hub.publish(&c, event).unwrap().cursor;
        let answer = all(&hub).await;
        let mut expected = json!({ "channel": "c", "id": cursor.to_string(), "data": data });
        if let Some(kind) = kind {
            expected["type"] = json!(kind);
        }
        if is_base64 {
            expected["encoding"] = json!("base64");
        }
        let expected = json!({ "cursor": cursor.to_string(), "gap": false, "events": [expected] });
        assert_eq!(answer.json(), expected, "{name}");
        assert_eq!(answer.cursor(), cursor, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn json_is_passed_on_as_it_was_published() {
    let (hub, c) = (Hub::new(), channel("c"));
    let text = r#"{ "big": 12345678901234567890.10, "a": 1, "a": 2 }"#;
    hub.publish(&c, Event::typed(text, "application/json").unwrap()).unwrap();
    let answer = all(&hub).await;
    assert!(answer.text().contains(&format!("\"data\":{text}")), "{}", answer.text());
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_id_of_an_event_is_a_cursor_to_go_on_from() {
    let (hub, c, d) = (Hub::new(), channel("c"), channel("d"));
    for number in 0..6 {
        let to = if number % 2 == 0 { &c } else { &d };
        hub.publish(to, number.to_string()).unwrap();
    }
    let answer = all(&hub).await.json();
    let events = answer["events"].as_array().unwrap();
    let names: Vec<_> = events.iter().map(|event| event["channel"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "d", "c", "d", "c", "d"], "in the order of publishing");
    assert_eq!(events[5]["id"], answer["cursor"]);
    for (place, event) in events.iter().enumerate() {
        let query = format!("channel=c&channel=d&wait=0&cursor={}", event["id"].as_str().unwrap());
        let layer = layer(&hub).reply(Reply::Json);
        let rest = ask_at(&layer, get(&format!("/events?{query}"))).await.json();
        assert_eq!(rest["events"].as_array().unwrap(), &events[place + 1..], "after {place}");
        assert_eq!(rest["gap"], false);
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_full_answer_leaves_the_rest_for_the_next_poll() {
    let hub = Hub::builder().max_batch_events(2).build().unwrap();
    for number in 0..5 {
        hub.publish(&channel("c"), number.to_string()).unwrap();
    }
    let layer = layer(&hub).reply(Reply::Json);
    let (mut since, mut sizes, mut told) = ("oldest".to_owned(), Vec::new(), String::new());
    for _ in 0..4 {
        let answer = ask_at(&layer, get(&format!("/events/c?wait=0&cursor={since}"))).await;
        since = answer.cursor().to_string();
        let answer = answer.json();
        assert_eq!(answer["cursor"], since, "header and body agree");
        let events = answer["events"].as_array().unwrap();
        sizes.push(events.len());
        told.extend(events.iter().map(|event| event["data"].as_str().unwrap()));
    }
    assert_eq!((sizes, told.as_str()), (vec![2, 2, 1, 0], "01234"));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_needs_escaping_stays_valid_json() {
    let (hub, name) = (Hub::new(), "a\"b\\c</script>日\u{2028}");
    hub.publish(&channel(name), "x").unwrap();
    let uri: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let layer = layer(&hub).reply(Reply::Json);
    let answer = ask_at(&layer, get(&format!("/events/{uri}?cursor=oldest"))).await;
    assert_eq!(answer.json()["events"][0]["channel"], name);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_comes_in_pieces_of_known_length_and_is_the_same() {
    // `read` checks the length that is announced against what comes.
    let sizes = [0, 1, 1_000, 16_000, 16_384, 16_385, 100_000];
    let mut pieces = Vec::new();
    for size in sizes {
        let (hub, c) = (Hub::new(), channel("c"));
        hub.publish(&c, Event::text("x".repeat(size))).unwrap();
        hub.publish(&c, Event::json(&vec!["y".repeat(size / 2); 2]).unwrap()).unwrap();
        hub.publish(&c, Event::new(vec![0xff; size + 1])).unwrap();
        // The second answer is made of what the first has encoded.
        let (answer, again) = (all(&hub).await, all(&hub).await);
        assert_eq!(answer.body, again.body, "{size}");
        let (cursor, answer) = (answer.cursor(), answer);
        let told = answer.json();
        assert_eq!(told["cursor"], cursor.to_string(), "{size}");
        assert_eq!(told["events"][0]["data"].as_str().unwrap().len(), size, "{size}");
        assert_eq!(told["events"][1]["data"][1].as_str().unwrap().len(), size / 2, "{size}");
        let data = STANDARD.decode(told["events"][2]["data"].as_str().unwrap()).unwrap();
        assert_eq!(data, vec![0xff; size + 1], "{size}");
        pieces.push(answer.chunks);
        assert_eq!(hub.stats().parked, 0);
    }
    assert_eq!((pieces[0], pieces[2]), (1, 1), "a small answer is one piece: {pieces:?}");
    assert!(pieces[6] > 1, "a large answer shares its pieces: {pieces:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_raw_payload_is_the_published_bytes() {
    let (hub, c) = (Hub::new(), channel("c"));
    let payload = Bytes::from(vec![7; 1 << 20]);
    hub.publish(&c, payload.clone()).unwrap();
    let service = LongPollService::from(layer(&hub));
    let response = service.oneshot(get("/events/c?cursor=oldest")).await.unwrap();
    let mut body = response.into_body();
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!((piece.as_ptr(), piece.len()), (payload.as_ptr(), payload.len()), "not copied");
    assert!(body.is_end_stream());
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_many_wait_for_is_encoded_once() {
    let (hub, c) = (Hub::new(), channel("c"));
    let layer = layer(&hub).reply(Reply::Json);
    let poll = || task::spawn(LongPollService::from(layer.clone()).oneshot(get("/events/c")));
    let mut polls: Vec<_> = (0..3).map(|_| poll()).collect();
    polls.iter_mut().for_each(|poll| assert_pending!(poll.poll()));
    hub.publish(&c, Event::text("x".repeat(50_000))).unwrap();
    let mut places = Vec::new();
    for poll in polls {
        let mut body = poll.await.unwrap().into_body();
        let mut longest = Bytes::new();
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            longest = if piece.len() > longest.len() { piece } else { longest };
        }
        places.push(longest.as_ptr());
    }
    assert!(places.iter().all(|&place| place == places[0]), "one encoding is shared");
    assert_eq!(hub.stats().parked, 0);
}
