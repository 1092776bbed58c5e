//! Polls: whatever a request says, it passes untouched, is refused by name, is answered with what
//! is there, or is parked and leaves nothing behind. Which of these, a naive reading says, too.
#![allow(unreachable_pub)]

use std::time::Duration;

use http::{Method, Response, Version, request::Parts};
use tower_layer::Layer;
use tower_longpoll::{
    Channel, Event, Hub, LongPollLayer, LongPollService, PathRoute, Reply, Since, Stats,
};

use super::{
    answers::{self, Answer, Inner},
    reading::{self, Input, MAX_CHANNELS, MAX_NAME_BYTES},
};

/// What is published, in this order, and then `gone` is deleted.
const EVENTS: [(&str, &[u8], Option<&str>); 6] = [
    ("c", b"one", Some("text/plain; charset=utf-8")),
    ("d", b"\xff\0", None),
    ("c", b"{\"n\":3}", Some("application/json")),
    ("\u{e9} %/", b"four", Some("a/b")),
    ("pre:c", b"five", None),
    ("gone", b"six", None),
];
/// The event on `gone`.
const GONE: u64 = 6;
/// More than this nobody is held.
const MAX_HOLD: u64 = 60;
const HOLD: u64 = 25;

/// Settings: `j` the JSON reply, `p` a prefix, `2` HTTP/2, `S` the service, not the layer, `f` a
/// full hub, `d` a draining one, `c` a closed one, `k` the newest poll of a client wins. What
/// happens to a poll that is parked: `T` its time runs out, `P` an event, `D` a drain, `U` a touch,
/// `X` its channel is deleted, else it is dropped.
pub fn check(data: &[u8]) {
    answers::on_paused_clock(async {
        let is_full = reading::settings(data).contains(&b'f');
        let max_waits = usize::from(!is_full);
        let hub = Hub::builder()
            .max_waits(max_waits)
            .max_channels_per_wait(MAX_CHANNELS)
            .max_channel_name_bytes(MAX_NAME_BYTES)
            .shards(4)
            .build()
            .unwrap();
        for (name, payload, kind) in EVENTS {
            let event = match kind {
                Some(kind) => Event::typed(payload, kind).unwrap(),
                None => Event::new(payload),
            };
            hub.publish(&Channel::new(name).unwrap(), event).unwrap();
        }
        assert!(hub.delete(&Channel::new("gone").unwrap()));
        if let Some(input) = Input::read(data, &hub) {
            Check::new(hub, input, is_full).run().await;
        }
    });
}

struct Check<'a> {
    hub: Hub,
    input: Input<'a>,
    parts: Parts,
    is_full: bool,
    reply: Reply,
    before: Stats,
}

/// What the answer has to be.
#[derive(Debug)]
enum Expected {
    Pass,
    Invalid(&'static str),
    Unavailable,
    /// Numbers of events, at least one unless there is a gap, and that of the cursor.
    Events {
        gap: bool,
        numbers: Vec<u64>,
        cursor: u64,
    },
    Nothing,
    Parked {
        seconds: u64,
    },
}

impl<'a> Check<'a> {
    fn new(hub: Hub, mut input: Input<'a>, is_full: bool) -> Self {
        if input.is_set(b'd') {
            hub.drain(Duration::ZERO);
        } else if input.is_set(b'c') {
            hub.close();
        }
        let reply = if input.is_set(b'j') { Reply::Json } else { Reply::Raw };
        let (parts, ()) = std::mem::take(&mut input.request).into_parts();
        let before = hub.stats();
        Self { hub, input, parts, is_full, reply, before }
    }

    async fn run(self) {
        let expected = self.expected();
        let route = PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap();
        let route = route.prefix(self.prefix());
        let mut layer = LongPollLayer::new(self.hub.clone(), route).jitter(0).reply(self.reply);
        if self.input.is_set(b'k') {
            layer = layer.supersede_by(key);
        }
        let request = http::Request::from_parts(self.parts.clone(), ());
        if self.input.is_set(b'S') {
            let mut service = LongPollService::from(layer);
            match (answers::call(&mut service, request), &expected) {
                (Ok(answer), Expected::Pass) => self.check_not_a_poll(&answer),
                (Ok(answer), _) => self.check_answer(&answer, &expected),
                (Err(parked), _) => self.check_parked(parked, &expected).await,
            }
        } else {
            let mut service = layer.layer(Inner);
            match (answers::call(&mut service, request), &expected) {
                (Ok(answer), Expected::Pass) => self.check_passed(answer),
                (Ok(answer), _) => self.check_answer(&answer, &expected),
                (Err(parked), _) => self.check_parked(parked, &expected).await,
            }
        }
        self.check_hub();
    }

    fn key(&self) -> Option<String> {
        if self.input.is_set(b'k') { key(&self.parts) } else { None }
    }

    fn prefix(&self) -> &'static str {
        if self.input.is_set(b'p') { "pre:" } else { "" }
    }

    /// The same reading as the crate's, done by hand.
    fn expected(&self) -> Expected {
        let parts = &self.parts;
        let names = match reading::channels(parts, self.prefix()) {
            Some(names) if parts.method == Method::GET => names,
            _ => return Expected::Pass,
        };
        let Ok(mut names) = names else { return Expected::Invalid("channel") };
        let lengths = parts.headers.get_all("content-length");
        if parts.headers.contains_key("transfer-encoding") || lengths.iter().any(|l| l != "0") {
            return Expected::Invalid("body");
        }
        let Ok(since) = reading::since(parts) else { return Expected::Invalid("cursor") };
        let Ok(wait) = reading::wait(parts) else { return Expected::Invalid("wait") };
        let seconds = wait.map_or(HOLD, |(seconds, _)| seconds.min(MAX_HOLD));

        let mut seen = Vec::new();
        names.retain(|name| {
            !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
        let is_long = names.iter().any(|name| name.len() > MAX_NAME_BYTES);
        if names.is_empty() || names.len() > MAX_CHANNELS || is_long {
            return Expected::Invalid("channel");
        }
        if self.key().is_some_and(|key| key.len() > MAX_NAME_BYTES) {
            return Expected::Invalid("key");
        }
        if !self.hub.is_open() {
            return Expected::Unavailable;
        }
        let present = reading::number(&self.hub, self.hub.cursor()).unwrap();
        let (from, mut gap) = match since {
            Since::Now => (present, false),
            Since::Oldest => (0, false),
            Since::Cursor(cursor) => match reading::number(&self.hub, cursor) {
                Some(number) if number <= present => (number, false),
                _ => (0, true),
            },
        };
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        gap |= has("gone") && from < GONE && since != Since::Oldest;
        let events = EVENTS
            .iter()
            .zip(1..)
            .filter(|((name, ..), number)| has(name) && *number != GONE && *number > from);
        let mut numbers: Vec<u64> = events.map(|(_, number)| number).collect();
        let mut cursor = present;
        if let (Reply::Raw, [first, _, ..]) = (self.reply, &numbers[..]) {
            cursor = *first;
            numbers.truncate(1);
        }
        if gap || !numbers.is_empty() {
            Expected::Events { gap, numbers, cursor }
        } else if seconds == 0 {
            Expected::Nothing
        } else if self.is_full {
            Expected::Unavailable
        } else {
            Expected::Parked { seconds }
        }
    }

    fn check_answer(&self, answer: &Answer, expected: &Expected) {
        answer.check();
        let present = self.hub.cursor();
        let unmoved = reading::since(&self.parts).ok().map(|since| match since {
            Since::Now => present,
            Since::Oldest => reading::cursor(&self.hub, 0),
            Since::Cursor(cursor) => cursor,
        });
        let about = format!("{answer:?} to {:?}", self.parts);
        let status = match (expected, self.reply) {
            (Expected::Invalid(field), _) => {
                assert_eq!(answer.invalid().as_deref(), Some(*field), "{about}");
                assert_eq!(answer.cursor(), unmoved, "{about}");
                400
            }
            (Expected::Unavailable, _) => {
                assert_eq!(answer.cursor(), unmoved, "{about}");
                503
            }
            (Expected::Events { gap, numbers, cursor }, reply) => {
                assert_eq!(answer.cursor(), Some(reading::cursor(&self.hub, *cursor)), "{about}");
                self.check_events(answer, *gap, numbers);
                if numbers.is_empty() && reply == Reply::Raw { 204 } else { 200 }
            }
            (Expected::Nothing, reply) => {
                assert_eq!(answer.cursor(), Some(present), "{about}");
                self.check_nothing(answer);
                if reply == Reply::Raw { 204 } else { 200 }
            }
            (Expected::Pass | Expected::Parked { .. }, _) => panic!("{expected:?}: {about}"),
        };
        assert_eq!(answer.status, status, "{about}");
        let is_refused = answer.status >= 400;
        let applied = reading::wait(&self.parts).ok().flatten().filter(|_| !is_refused);
        let applied = applied.filter(|(_, is_preference)| *is_preference);
        let applied = applied.map(|(seconds, _)| format!("wait={}", seconds.min(MAX_HOLD)));
        assert_eq!(answer.field("preference-applied"), applied.as_deref(), "{about}");
        let is_gap = matches!(expected, Expected::Events { gap: true, .. });
        assert_eq!(answer.field("longpoll-gap"), is_gap.then_some("true"), "{about}");
    }

    fn check_events(&self, answer: &Answer, gap: bool, numbers: &[u64]) {
        let event = |number: u64| EVENTS[number as usize - 1];
        if self.reply == Reply::Raw {
            let Some(number) = numbers.first() else { return };
            let (name, payload, kind) = event(*number);
            assert_eq!(answer.body, payload);
            assert_eq!(answer.field("content-type"), kind.or(Some("application/octet-stream")));
            let told = reading::decoded(answer.field("longpoll-channel").unwrap(), false);
            assert_eq!(told.as_deref(), Some(name));
            return;
        }
        let told = answer.json();
        assert_eq!(told["gap"], gap);
        assert_eq!(told["cursor"].as_str(), answer.field("longpoll-cursor"));
        let entries = told["events"].as_array().unwrap();
        assert_eq!(entries.len(), numbers.len());
        for (entry, number) in entries.iter().zip(numbers) {
            assert_eq!(entry["channel"], event(*number).0);
            assert_eq!(entry["id"], reading::cursor(&self.hub, *number).to_string());
        }
    }

    fn check_nothing(&self, answer: &Answer) {
        if self.reply == Reply::Json {
            let told = answer.json();
            assert_eq!((&told["gap"], &told["events"]), (&false.into(), &serde_json::json!([])));
        }
    }

    async fn check_parked<F, R>(&self, mut parked: std::pin::Pin<Box<F>>, expected: &Expected)
    where
        F: Future<Output = Result<Response<R>, std::convert::Infallible>>,
        R: http_body::Body<Data = bytes::Bytes>,
    {
        let Expected::Parked { seconds } = *expected else {
            panic!("{:?} is parked instead of {expected:?}", self.parts);
        };
        assert_eq!(self.hub.stats().parked, 1);
        let names = reading::channels(&self.parts, self.prefix()).unwrap().unwrap();
        let name = Channel::new(&names[0]).unwrap();
        if self.input.is_set(b'T') {
            let hold = Duration::from_secs(seconds);
            answers::pass(hold - Duration::from_millis(1)).await;
            assert!(answers::poll(&mut parked).is_none(), "never early");
            answers::pass(Duration::from_millis(1)).await;
            self.check_answer(&answers::poll(&mut parked).unwrap(), &Expected::Nothing);
        } else if self.input.is_set(b'P') {
            let published = self.hub.publish(&name, "new").unwrap();
            assert_eq!(published.woken, 1);
            let answer = answers::poll(&mut parked).unwrap();
            answer.check();
            assert_eq!((answer.status, answer.cursor()), (200, Some(published.cursor)));
            assert!(self.reply == Reply::Json || answer.body == b"new");
        } else if self.input.is_set(b'D') {
            self.hub.drain(Duration::ZERO);
            let answer = answers::poll(&mut parked).unwrap();
            self.check_answer(&answer, &Expected::Nothing);
            let is_old = self.parts.version < Version::HTTP_2;
            assert_eq!(answer.field("connection"), is_old.then_some("close"));
        } else if self.input.is_set(b'U') {
            assert_eq!(self.hub.touch(&name), 1);
            self.check_answer(&answers::poll(&mut parked).unwrap(), &Expected::Nothing);
        } else if self.input.is_set(b'X') && self.hub.delete(&name) {
            let answer = answers::poll(&mut parked).unwrap();
            answer.check();
            assert_eq!((answer.status, answer.cursor()), (410, Some(self.hub.cursor())));
        } else {
            assert!(answers::poll(&mut parked).is_none());
        }
        drop(parked);
    }

    /// Another service has answered this, and was asked what the client has asked.
    fn check_passed(&self, answer: Answer) {
        let (was, is) = (&self.parts, answer.reached.expect("the inner service is asked"));
        assert_eq!((&is.method, &is.uri, is.version), (&was.method, &was.uri, was.version));
        assert_eq!(is.headers, was.headers);
        assert_eq!((answer.status, answer.headers.len()), (226, 0));
    }

    /// No service answers this.
    fn check_not_a_poll(&self, answer: &Answer) {
        answer.check();
        let is_path = reading::channels(&self.parts, self.prefix()).is_some();
        assert_eq!(answer.status, if is_path { 405 } else { 404 });
        assert_eq!(answer.field("allow"), is_path.then_some("GET"));
    }

    /// Nothing is parked and no poll has changed a history.
    fn check_hub(&self) {
        let now = self.hub.stats();
        assert_eq!(now.parked, 0);
        if !self.input.is_set(b'P') && !self.input.is_set(b'X') {
            let held = |stats: Stats| (stats.channels, stats.history_events, stats.history_bytes);
            assert_eq!(held(now), held(self.before));
        }
    }
}

/// The client of a poll.
fn key(parts: &Parts) -> Option<String> {
    Some(parts.headers.get("client")?.to_str().ok()?.to_owned())
}
