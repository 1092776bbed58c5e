//! Publishing: whatever is uploaded, it is refused and changes nothing, or polls are told exactly
//! what was uploaded, raw and in JSON.
#![allow(unreachable_pub)]

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Method, Request, request::Parts};
use serde_json::Value;
use tower_longpoll::{
    Channel, Cursor, Event, Hub, LongPollLayer, LongPollService, PathRoute, PublishService, Reply,
    Stats, Wait, Waited,
};

use super::{
    answers::{self, Answer, Chunks, Step},
    reading::{self, Input, MAX_NAME_BYTES, MAX_PAYLOAD_BYTES},
};

/// What is sent in pieces.
const LARGE_BYTES: usize = 20_000;

/// Settings: `r` the body is repeated, as a list in brackets, until it is large; `1`, `7` and `9`
/// its chunks have so many bytes; `s` it comes slowly, `z` with empty chunks, `t` with trailers,
/// `e` it breaks off; `w` somebody waits for it; `c` the hub is closed, `d` it drains; `p` a
/// prefix.
pub fn check(data: &[u8]) {
    answers::on_paused_clock(async {
        let is_large = reading::settings(data).contains(&b'r');
        let max_bytes = if is_large { 2 * LARGE_BYTES } else { MAX_PAYLOAD_BYTES };
        let hub = Hub::builder()
            .max_channel_name_bytes(MAX_NAME_BYTES)
            .max_payload_bytes(max_bytes)
            .shards(4)
            .build()
            .unwrap();
        if let Some(input) = Input::read(data, &hub) {
            Check::new(hub, input, max_bytes).run();
        }
    });
}

struct Check<'a> {
    hub: Hub,
    input: Input<'a>,
    parts: Parts,
    payload: Vec<u8>,
    max_bytes: usize,
}

impl<'a> Check<'a> {
    fn new(hub: Hub, mut input: Input<'a>, max_bytes: usize) -> Self {
        let mut payload = input.body.to_vec();
        if input.is_set(b'r') {
            let count = LARGE_BYTES / (payload.len() + 1) + 1;
            payload = [b"[", &vec![payload; count].join(&b","[..])[..], b"]"].concat();
        }
        let (parts, ()) = std::mem::take(&mut input.request).into_parts();
        Self { hub, input, parts, payload, max_bytes }
    }

    fn run(self) {
        let mut waiting = self.channel().filter(|_| self.input.is_set(b'w')).map(|channel| {
            let mut wait = Box::pin(self.hub.wait([channel]));
            assert!(wait.as_mut().poll(&mut answers::context()).is_pending());
            wait
        });
        if self.input.is_set(b'c') {
            self.hub.close();
        } else if self.input.is_set(b'd') {
            self.hub.drain(Duration::ZERO);
        }
        // Who was let go is woken by nothing else.
        waiting = waiting.filter(|_| self.hub.is_open());
        let before = self.hub.stats();
        let answer = self.upload();
        let expected = self.expected(waiting.is_some());
        let told = (answer.status, answer.invalid());
        let expected = (expected.0, expected.1.map(str::to_owned));
        assert_eq!(told, expected, "{:?}", self.parts);
        if answer.status < 300 {
            self.check_published(&answer, waiting);
        } else {
            assert_eq!(self.hub.stats(), before);
        }
    }

    fn prefix(&self) -> &'static str {
        if self.input.is_set(b'p') { "pre:" } else { "" }
    }

    fn route(&self) -> PathRoute {
        PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap()
    }

    /// The one channel that the request names, if all is well with it.
    fn channel(&self) -> Option<Channel> {
        match &reading::channels(&self.parts, self.prefix())?.ok()?[..] {
            [name] => Channel::new(name).ok().filter(|name| name.as_str().len() <= MAX_NAME_BYTES),
            _ => None,
        }
    }

    fn content_type(&self) -> Option<&str> {
        self.parts.headers.get("content-type")?.to_str().ok()
    }

    fn body(&self) -> Chunks {
        let mut chunks = Chunks::default();
        let size =
            self.input.first_set(b"179").map_or(usize::MAX, |digit| usize::from(digit - b'0'));
        let size = if self.input.is_set(b'r') { size.saturating_mul(100) } else { size };
        for chunk in self.payload.chunks(size) {
            for (letter, step) in [(b's', Step::Pending), (b'z', Step::Data(Bytes::new()))] {
                chunks.steps.extend(self.input.is_set(letter).then_some(step));
            }
            chunks.steps.push_back(Step::Data(Bytes::copy_from_slice(chunk)));
        }
        for (letter, step) in [(b't', Step::Trailers), (b'e', Step::Error)] {
            chunks.steps.extend(self.input.is_set(letter).then_some(step));
        }
        chunks
    }

    fn upload(&self) -> Answer {
        let body = self.body();
        let size = |step: &Step| if let Step::Data(data) = step { data.len() } else { 0 };
        let (sizes, read): (Vec<_>, _) =
            (body.steps.iter().map(size).collect(), Arc::clone(&body.read));
        let route = self.route().prefix(self.prefix());
        let mut service = PublishService::new(self.hub.clone(), route);
        let mut answered =
            answers::call(&mut service, Request::from_parts(self.parts.clone(), body));
        let answer = loop {
            match answered {
                Ok(answer) => break answer,
                Err(mut future) => {
                    assert!(read.load(Ordering::Relaxed) <= sizes.len(), "it ends");
                    answered = answers::poll(&mut future).ok_or(future);
                }
            }
        };
        answer.check();
        let read = read.load(Ordering::Relaxed);
        let before_last: usize = sizes.iter().take(read.saturating_sub(1)).sum();
        assert!(before_last <= self.max_bytes, "what is too large is not read to its end");
        answer
    }

    /// The status, and the field that a 400 names.
    fn expected(&self, is_awaited: bool) -> (u16, Option<&'static str>) {
        let invalid = |field| (400, Some(field));
        let names = match reading::channels(&self.parts, self.prefix()) {
            None => return (404, None),
            Some(_) if self.parts.method != Method::POST => return (405, None),
            Some(names) => names,
        };
        let Ok([name]) = names.as_deref() else { return invalid("channel") };
        let headers = &self.parts.headers;
        let declared = headers.get("content-length").and_then(|value| value.to_str().ok());
        let is_more =
            |text: &str| text.parse().map_or(true, |length: usize| length > self.max_bytes);
        if declared.is_some_and(is_more) {
            return (413, None);
        }
        let types = headers.get_all("content-type").iter().count();
        if types > 1 || types == 1 && self.content_type().is_none() {
            return invalid("content-type");
        }
        if self.payload.len() > self.max_bytes {
            return (413, None);
        }
        if self.input.is_set(b'e') {
            return invalid("body");
        }
        if self.content_type().is_some_and(|text| essence(text).is_none()) {
            return invalid("content-type");
        }
        // A client has to be able to read it where it stands in a reply.
        let in_reply = [b"{\"events\":[{\"data\":", &self.payload[..], b"}]}"].concat();
        let is_value = |text: &[u8]| serde_json::from_slice::<Value>(text).is_ok();
        if self.is_json() && !(is_value(&self.payload) && is_value(&in_reply)) {
            return invalid("body");
        }
        if name.len() > MAX_NAME_BYTES {
            return invalid("channel");
        }
        if self.input.is_set(b'c') {
            return (503, None);
        }
        (if is_awaited { 201 } else { 202 }, None)
    }

    fn is_json(&self) -> bool {
        let essence = self.content_type().and_then(essence).map(str::to_ascii_lowercase);
        essence.is_some_and(|text| text == "application/json" || text.ends_with("+json"))
    }

    fn check_published(&self, answer: &Answer, waiting: Option<Pin<Box<Wait>>>) {
        let cursor = self.hub.cursor();
        let told = answer.json();
        assert_eq!(told["cursor"], cursor.to_string());
        assert_eq!(told["woken"], usize::from(waiting.is_some()));
        let Stats { published, history_events, history_bytes, .. } = self.hub.stats();
        assert_eq!((published, history_events, history_bytes), (1, 1, self.weight()));
        if let Some(mut wait) = waiting {
            match wait.as_mut().poll(&mut answers::context()) {
                Poll::Ready(Waited::Events(batch)) => {
                    assert_eq!((batch.gap(), batch.len(), batch.cursor()), (false, 1, cursor));
                    assert_eq!(batch.entries()[0].payload(), &self.payload);
                }
                other => panic!("{other:?}"),
            }
        }
        if self.hub.is_open() {
            self.check_told(cursor);
        }
        assert_eq!(self.hub.stats().parked, 0);
    }

    /// What the event counts against the limits.
    fn weight(&self) -> usize {
        let in_json = match std::str::from_utf8(&self.payload) {
            _ if self.is_json() => 0,
            Ok(text) => {
                let length = serde_json::to_string(text).unwrap().len() - 2;
                if length == text.len() { 0 } else { length }
            }
            Err(_) => STANDARD.encode(&self.payload).len(),
        };
        let content_type = self.content_type().unwrap_or_default();
        // The texts beside it that are held in their form in JSON: 200 bytes of them are overhead.
        let quoted = |text: &str| serde_json::to_string(text).unwrap().len() - 2;
        let texts = quoted(self.channel().unwrap().as_str()) + quoted(content_type);
        let texts = texts.saturating_sub(200);
        self.payload.len() + in_json + content_type.len() + texts + Event::OVERHEAD_BYTES
    }

    /// What polls are told.
    fn check_told(&self, cursor: Cursor) {
        let name = self.channel().unwrap().as_str().to_owned();
        let raw = self.ask(Reply::Raw, &name);
        assert!(raw.body == self.payload, "raw is what was published");
        let kind = self.content_type();
        assert_eq!(raw.field("content-type"), kind.or(Some("application/octet-stream")));
        let told_name = reading::decoded(raw.field("longpoll-channel").unwrap(), false);
        assert_eq!(told_name.as_ref(), Some(&name));
        // The second is made of what the first has encoded.
        for _ in 0..2 {
            let json = self.ask(Reply::Json, &name);
            let told = json.json();
            assert_eq!(told["cursor"], cursor.to_string());
            assert_eq!(
                (&told["gap"], told["events"].as_array().unwrap().len()),
                (&false.into(), 1)
            );
            let entry = &told["events"][0];
            assert_eq!(entry["channel"].as_str(), Some(&*name));
            assert_eq!(entry["id"], cursor.to_string());
            assert_eq!(entry.get("type").map(|kind| kind.as_str().unwrap()), kind);
            let text = std::str::from_utf8(&self.payload);
            let is_base64 = text.is_err();
            let encoding = entry.get("encoding").map(|encoding| encoding.as_str().unwrap());
            assert_eq!(encoding, is_base64.then_some("base64"));
            if self.is_json() {
                let published: Value = serde_json::from_slice(&self.payload).unwrap();
                assert_eq!(entry["data"], published);
                let end = [&self.payload[..], b"}]}"].concat();
                assert!(json.body.ends_with(&end), "JSON is passed on as it was published");
            } else if let Ok(text) = text {
                assert!(entry["data"] == text, "{} for {text:?}", entry["data"]);
            } else {
                let data = STANDARD.decode(entry["data"].as_str().unwrap());
                assert_eq!(data.as_ref(), Ok(&self.payload));
            }
            let fields = 3 + usize::from(kind.is_some()) + usize::from(is_base64);
            assert_eq!(entry.as_object().unwrap().len(), fields);
        }
    }

    fn ask(&self, reply: Reply, name: &str) -> Answer {
        let name: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let uri = format!("/events?cursor=oldest&channel={name}");
        let layer = LongPollLayer::new(self.hub.clone(), self.route()).reply(reply);
        let mut service = LongPollService::from(layer);
        let answered = answers::call(&mut service, Request::get(uri).body(()).unwrap());
        let answer = answered.unwrap_or_else(|_| panic!("there is something to tell"));
        answer.check();
        assert_eq!((answer.status, answer.cursor()), (200, Some(self.hub.cursor())));
        assert_eq!(answer.field("longpoll-gap"), None);
        answer
    }
}

/// `type/subtype` of a content type, if it is one.
fn essence(content_type: &str) -> Option<&str> {
    let is_printable = content_type.chars().all(|c| (' '..='~').contains(&c));
    let essence = content_type.split(';').next().unwrap_or("").trim_end_matches(' ');
    let is_separator = |c: char| " \"(),/:;<=>?@[\\]{}".contains(c);
    let is_token = |text: &str| !text.is_empty() && !text.contains(is_separator);
    let is_pair = matches!(essence.split_once('/'), Some((a, b)) if is_token(a) && is_token(b));
    (is_printable && is_pair && content_type.len() <= Event::MAX_CONTENT_TYPE_BYTES)
        .then_some(essence)
}
