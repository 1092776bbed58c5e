//! `examples/sse.rs`: streams beside long polls.

use std::time::Instant;

use super::{process::PATIENCE, *};

fn start() -> Server {
    Server::of(command("sse").arg("127.0.0.1:0"))
}

/// A client that reads a stream.
struct Stream {
    client: Client,
    text: String,
}

impl Stream {
    fn open(server: &Server, target: &str, head: &str) -> Self {
        let mut client = server.asking(target, head);
        let head = client.answer();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        Self { client, text: String::new() }
    }

    /// The fields of the next event that is more than a comment or a position; none at the end.
    fn next(&mut self) -> Option<Vec<(String, String)>> {
        let start = Instant::now();
        loop {
            // Comments keep it alive for ever.
            assert!(start.elapsed() < PATIENCE, "no event comes");
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let lines = event.lines().filter(|line| !line.starts_with(':'));
                let fields: Vec<_> = lines
                    .map(|line| line.split_once(": ").unwrap_or((line, "")))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                self.text = rest.to_owned();
                if fields.iter().any(|(name, _)| name != "id") {
                    return Some(fields);
                }
            }
            self.text += &self.client.chunk()?;
        }
    }

    /// The text and the position of the next event.
    fn data(&mut self) -> (String, String) {
        let fields = self.next().unwrap();
        assert_eq!(field(&fields, "event"), None);
        (field(&fields, "data").unwrap(), field(&fields, "id").unwrap())
    }
}

/// What a browser makes of a field that is there several times.
fn field(fields: &[(String, String)], name: &str) -> Option<String> {
    let values = fields.iter().filter(|(known, _)| known == name);
    values.map(|(_, value)| value.clone()).reduce(|text, line| text + "\n" + &line)
}

#[test]
fn a_stream_has_every_event_and_a_long_poll_goes_on_from_it() {
    let server = start();
    let mut stream = Stream::open(&server, "/stream/demo", "");
    let mut client = server.connect();
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        let (cursor, _) = client.publish("demo", text);
        assert_eq!(stream.data(), (text.to_owned(), cursor.clone()));
        ids.push(cursor);
    }
    // The stream's position is one for long polls, and for the next stream.
    let answer = client.get(&format!("/events/demo?cursor={}", ids[0]));
    assert_eq!(&*answer.body, b"two");
    drop(stream);
    client.publish("demo", "four");
    let head = format!("last-event-id: {}\r\n", ids[1]);
    let mut stream = Stream::open(&server, "/stream/demo", &head);
    assert_eq!(stream.data().0, "three");
    assert_eq!(stream.data().0, "four");
    // What a browser sends goes before the address that it was opened with.
    let mut stream = Stream::open(&server, &format!("/stream/demo?cursor={}", ids[0]), &head);
    assert_eq!(stream.data().0, "three");
    let mut stream = Stream::open(&server, "/stream/demo?cursor=oldest", "");
    assert_eq!(stream.data().0, "one");
}

#[test]
fn a_stream_and_a_long_poll_have_the_same_event() {
    let server = start();
    let mut stream = Stream::open(&server, "/stream/demo", "");
    let mut parked = server.asking("/events/demo?wait=60", "");
    until_parked_for_sure(&server);
    assert_eq!(server.connect().publish("demo", "hello").1, 2);
    assert_eq!(&*parked.answer().body, b"hello");
    assert_eq!(stream.data().0, "hello");
}

#[test]
fn lines_and_whatever_is_no_text_arrive_as_text() {
    let server = start();
    let mut stream = Stream::open(&server, "/stream/demo", "");
    let mut client = server.connect();
    for (payload, expected) in [
        (&b"a\nb"[..], "a\nb"),
        (b"a\r\nb", "a\nb"),
        (b"a\rb", "a\nb"),
        (b"id: 1\n\nevent: end", "id: 1\n\nevent: end"),
        (b"\xff", "\u{fffd}"),
    ] {
        client.send("POST", "/events/demo", "", payload);
        assert!(matches!(client.answer().status, 201 | 202), "{expected:?}");
        assert_eq!(stream.data().0, expected);
    }
}

#[test]
fn a_gap_is_an_event() {
    let server = start();
    let mut client = server.connect();
    let (first, _) = client.publish("demo", "first");
    // More than a channel keeps by default.
    for number in 0..1_100 {
        client.publish("demo", &number.to_string());
    }
    let head = format!("last-event-id: {first}\r\n");
    let mut stream = Stream::open(&server, "/stream/demo", &head);
    let gap = stream.next().unwrap();
    assert_eq!(field(&gap, "event").as_deref(), Some("gap"));
    assert!(field(&gap, "data").is_some(), "browsers ignore events without data");
    let (mut text, mut events) = (stream.data().0, 1);
    while text != "1099" {
        let next = stream.data().0;
        assert_eq!(next.parse::<u32>().unwrap(), text.parse::<u32>().unwrap() + 1);
        (text, events) = (next, events + 1);
    }
    assert!(events > 1);
}

#[test]
fn a_gap_without_events_has_the_position_after_it() {
    let server = start();
    // A position of a server that is no more.
    let old = start().connect().publish("demo", "x").0;
    let head = format!("last-event-id: {old}\r\n");
    let mut stream = Stream::open(&server, "/stream/demo", &head);
    let gap = stream.next().unwrap();
    assert_eq!(field(&gap, "event").as_deref(), Some("gap"));
    let id = field(&gap, "id").unwrap();
    server.connect().publish("demo", "news");
    let mut stream = Stream::open(&server, "/stream/demo", &format!("last-event-id: {id}\r\n"));
    assert_eq!(stream.data().0, "news");
}

#[test]
fn a_stream_that_is_not_understood_is_400() {
    let server = start();
    let mut client = server.connect();
    let long = format!("/stream/{}", "n".repeat(300));
    for (target, head, field) in [
        ("/stream/demo", "last-event-id: nonsense\r\n", "last-event-id"),
        ("/stream/demo", "last-event-id: \u{e9}\r\n", "last-event-id"),
        ("/stream/demo?cursor=nonsense", "", "cursor"),
        (&long, "", "channel"),
    ] {
        client.send("GET", target, head, b"");
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{target} {head}");
        assert_eq!(answer.json()["field"], field);
    }
    assert_eq!(client.get("/stream/%FF").status, 400);
}

#[test]
fn a_sigterm_ends_the_streams_and_answers_the_polls() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = start();
        let mut client = server.connect();
        let streams: Vec<_> =
            (0..EACH).map(|_| Stream::open(&server, "/stream/demo", "")).collect();
        assert_eq!(client.publish("demo", "x").1, EACH as u64);
        let polls: Vec<_> = (0..EACH).map(|_| server.asking("/events/a?wait=60", "")).collect();
        until_parked_for_sure(&server);
        server.signal(signal);
        for mut stream in streams {
            assert_eq!(stream.data().0, "x");
            let end = stream.next().unwrap();
            assert_eq!(field(&end, "event").as_deref(), Some("end"));
            assert!(field(&end, "data").is_some(), "browsers ignore events without data");
            assert!(field(&end, "id").is_some());
            assert_eq!(stream.next(), None);
        }
        for mut poll in polls {
            let answer = poll.answer();
            assert_eq!((answer.status, answer.header("connection")), (204, Some("close")));
        }
        assert_eq!(server.exit().code(), Some(0));
    }
}

#[test]
fn clients_that_stall_do_not_keep_it() {
    super::clients_that_stall_do_not_keep(start(), "/events/demo");
}

#[test]
fn what_stops_it_from_starting_is_an_error() {
    super::assert_fails("sse", &["nowhere"]);
}
