//! Payloads that try to be more than the data of an event.

use super::*;

/// As deep as JSON may be for a client that reads an event by itself with serde_json.
const DEEPEST: usize = 127;

fn nested(depth: usize) -> Vec<u8> {
    ["[".repeat(depth), "]".repeat(depth)].concat().into_bytes()
}

/// Name, content type, payload, and whether it can be published.
fn rows() -> Vec<(&'static str, &'static str, Vec<u8>, bool)> {
    let (json, text) = ("application/json", "text/plain");
    let object = |inner: &str| format!("{{{inner}}}").into_bytes();
    vec![
        ("the end of the list", json, br#"1}],"gap":true,"events":[{"data":2"#.to_vec(), false),
        ("the end of a string", text, br#""}],"gap":true,"events":[{"data":""#.to_vec(), true),
        ("the end of a string, escaped", text, br#"\"}]}"#.to_vec(), true),
        ("an end of script", text, b"</script><script>alert(1)</script>".to_vec(), true),
        ("an end of script in JSON", json, br#""</script><!--""#.to_vec(), true),
        ("line ends of JavaScript", text, "\u{2028}\u{2029}".into(), true),
        ("controls", text, (0..32).collect(), true),
        ("CR LF", text, b"\r\nHTTP/1.1 200 OK\r\n\r\n".to_vec(), true),
        ("the end of a chunk", text, b"\r\n0\r\n\r\n".to_vec(), true),
        ("a lone surrogate", json, br#""\ud800""#.to_vec(), false),
        ("a lone surrogate in a name", json, br#"{"\udfff":1}"#.to_vec(), false),
        ("a pair of surrogates", json, br#""\ud83d\ude00""#.to_vec(), true),
        ("a surrogate as bytes", json, b"\"\xed\xa0\x80\"".to_vec(), false),
        ("a surrogate as bytes of text", text, b"\xed\xa0\x80".to_vec(), true),
        ("a huge number", json, b"1e400".to_vec(), false),
        ("a number of 1,000 digits", json, vec![b'9'; 1_000], false),
        ("a large number", json, b"18446744073709551616".to_vec(), true),
        ("a tiny number", json, b"1e-400".to_vec(), true),
        ("many digits", json, [&b"0."[..], &[b'3'; 10_000]].concat(), true),
        ("not a number", json, b"NaN".to_vec(), false),
        ("a name twice", json, object(r#""a":1,"a":2"#), true),
        ("names of an event", json, object(r#""channel":"x","id":"y","__proto__":{}"#), true),
        ("a comment", json, b"1 /* }] */".to_vec(), false),
        ("NUL after it", json, b"1\0".to_vec(), false),
        ("a byte order mark", json, b"\xef\xbb\xbf1".to_vec(), false),
        ("nested too deep", json, nested(DEEPEST + 1), false),
        ("nested without end", json, vec![b'['; 100_000], false),
        ("nested objects without end", json, br#"{"a":"#.repeat(20_000), false),
    ]
}

fn publish(client: &mut Client, channel: &str, kind: &str, payload: &[u8]) -> u16 {
    let head = format!("content-type: {kind}\r\n");
    client.send("POST", &format!("/events/{channel}"), &head, payload);
    client.answer().status
}

#[test]
fn a_json_reply_stays_json_whatever_is_published() {
    let mut site = Site::start(&[]);
    for (number, (name, kind, payload, fits)) in rows().into_iter().enumerate() {
        // Beside it stand two events that are nobody's victims, on the channel that all share.
        assert_eq!(publish(&mut site.control, "all", "text/plain", b"before"), 202);
        for channel in [&format!("c{number}"), "all"] {
            let status = publish(&mut site.control, channel, kind, &payload);
            assert_eq!(status, if fits { 202 } else { 400 }, "{name}");
        }
        assert_eq!(publish(&mut site.control, "all", "text/plain", b"after"), 202);

        let target = format!("/events?channel=c{number}&cursor=oldest&wait=0");
        let answer = site.control.get(&target);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let told = answer.json();
        assert_eq!(told.as_object().unwrap().len(), 3, "{name}: {told}");
        assert_eq!((&told["gap"], &told["cursor"].is_string()), (&false.into(), &true), "{name}");
        let events = told["events"].as_array().unwrap();
        assert_eq!(events.len(), usize::from(fits), "{name}");
        for event in events {
            assert_eq!(event["channel"], format!("c{number}"), "{name}");
            assert_eq!(event["type"], kind, "{name}");
            if kind == "application/json" {
                let data: Value = serde_json::from_slice(&payload).unwrap();
                assert_eq!(event["data"], data, "{name}");
            } else if let Ok(text) = std::str::from_utf8(&payload) {
                assert_eq!(event["data"], text, "{name}");
            } else {
                assert_eq!(event["encoding"], "base64", "{name}");
            }
        }
    }
    // All of them in one answer.
    let all = site.control.get("/events/all?cursor=oldest").json();
    let fit = rows().iter().filter(|row| row.3).count();
    assert_eq!(all["events"].as_array().unwrap().len(), 2 * rows().len() + fit);
    site.recover("payloads");
}

#[test]
fn a_raw_reply_is_never_guessed_at() {
    let mut site = Site::start(&["--reply", "raw"]);
    for (number, (name, kind, payload, fits)) in rows().into_iter().enumerate() {
        let channel = format!("c{number}");
        let status = publish(&mut site.control, &channel, kind, &payload);
        assert_eq!(status, if fits { 202 } else { 400 }, "{name}");
        let answer = site.control.get(&format!("/events/{channel}?cursor=oldest&wait=0"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert_eq!(answer.status, if fits { 200 } else { 204 }, "{name}");
        if fits {
            assert_eq!(answer.body, payload, "{name}");
            assert_eq!(answer.header("content-type"), Some(kind), "{name}");
        }
    }
    site.recover("payloads");
}

#[test]
fn an_event_that_is_nested_as_deep_as_may_be_spoils_no_answer() {
    let mut site = Site::start(&[]);
    for depth in (DEEPEST - 8)..=DEEPEST {
        let channel = format!("c{depth}");
        let status = publish(&mut site.control, &channel, "application/json", &nested(depth));
        let answer = site.control.get(&format!("/events/{channel}?cursor=oldest&wait=0"));
        let told = serde_json::from_slice::<Value>(&answer.body);
        let events = told.map(|told| told["events"].as_array().map_or(0, Vec::len));
        let events = events.unwrap_or_else(|error| panic!("depth {depth}: {error}"));
        assert_eq!(events, usize::from(status == 202), "depth {depth}");
    }
}
