//! A client, as anyone would write it, but that keeps books.
//!
//! The crate has a client of its own (feature `client`). It is not used here, because it does what a
//! client should: it repeats what failed without a word, and hands out events, not answers. Here
//! every failure has to be seen, every request has to be matched with its answer, and what checks a
//! server should share no code with it.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};

use super::{
    count::{Requests, Times},
    options::Options,
    seen::{Counts, Seen},
    wire::{Sent, Wire},
};

/// What all share.
pub(crate) struct Run {
    pub(crate) options: Options,
    pub(crate) start: Instant,
    /// Tells events of this run from those of others on the same channels.
    pub(crate) name: String,
    pub(crate) polls: Requests,
    pub(crate) publishes: Requests,
    pub(crate) pages: Requests,
    /// From before the publish to after the answer.
    pub(crate) latencies: Times,
    pub(crate) page_times: Times,
    pub(crate) running: AtomicU64,
    pub(crate) events: AtomicU64,
    pub(crate) with_events: AtomicU64,
    pub(crate) empty: AtomicU64,
    /// So many clients ask at once for what they have missed at the end.
    pub(crate) turns: Semaphore,
}

/// A channel, and how far its publisher is.
pub(crate) struct Channel {
    pub(crate) name: String,
    /// The number of the last event that was sent, perhaps not yet answered.
    pub(crate) sent: AtomicU64,
    /// Events of which the publisher does not know whether they were stored.
    pub(crate) uncertain: Mutex<BTreeSet<u64>>,
}

/// Longer than the hold by this, an answer is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

impl Run {
    pub(crate) fn request(&self, path: &str) -> http::request::Builder {
        let authority = self.options.server.authority().map_or("", |authority| authority.as_str());
        if self.options.h2 {
            Request::builder().uri(format!("http://{authority}{path}"))
        } else {
            Request::builder().uri(path).header("host", authority)
        }
    }

    pub(crate) fn path(&self, channel: &str) -> String {
        let channel = utf8_percent_encode(channel, NON_ALPHANUMERIC);
        self.options.below(&format!("/events/{channel}"))
    }
}

pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) channel: Arc<Channel>,
    pub(crate) wire: Wire,
    pub(crate) run: Arc<Run>,
    cursor: Option<String>,
    seen: Seen,
}

/// What came of a poll.
enum Polled {
    Events,
    Empty,
    /// To be asked again after this.
    Nothing(Duration),
}

impl Client {
    pub(crate) fn new(number: usize, channel: Arc<Channel>, wire: Wire, run: Arc<Run>) -> Self {
        Self { number, channel, wire, run, cursor: None, seen: Seen::default() }
    }

    /// Polls until it is told to stop, which cuts the poll that is under way. Then it asks for what
    /// it has missed, until there is nothing more. False if that could not be found out.
    pub(crate) async fn live(mut self, mut stop: watch::Receiver<bool>) -> (Counts, bool) {
        self.run.running.fetch_add(1, Relaxed);
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        let mut early = 0;
        loop {
            let asked = Instant::now();
            // The first poll asks where the server is, so that from there on nothing may be missed.
            let hold = if self.cursor.is_some() { self.run.options.hold } else { Duration::ZERO };
            let polled = tokio::select! {
                biased;
                _ = &mut stopped => break,
                polled = self.poll(hold, true) => polled,
            };
            // A server that does not hold at all is not to be flooded.
            let is_early = matches!(polled, Polled::Empty) && asked.elapsed().as_millis() < 10;
            early = if is_early { early + 1 } else { 0 };
            let pause = match polled {
                Polled::Nothing(pause) => pause,
                _ if early > 2 => Duration::from_millis(100),
                _ => continue,
            };
            tokio::select! {
                _ = &mut stopped => break,
                () = sleep(pause) => {}
            }
        }
        let is_whole = self.catch_up().await;
        self.run.running.fetch_sub(1, Relaxed);
        let uncertain = self.channel.uncertain.lock().expect("no panic");
        // What came counts anyway.
        let last = if is_whole { self.channel.sent.load(Relaxed) } else { 0 };
        (self.seen.finish(last, |number| uncertain.contains(&number)), is_whole)
    }

    /// False if the server does not answer, or has ever more.
    async fn catch_up(&mut self) -> bool {
        let run = Arc::clone(&self.run);
        let Ok(_turn) = run.turns.acquire().await else { return false };
        if self.cursor.is_none() {
            return true;
        }
        let mut failures = 0;
        for _ in 0..100_000 {
            match self.poll(Duration::ZERO, false).await {
                Polled::Empty => return true,
                Polled::Events => {}
                Polled::Nothing(_) if failures == 5 => return false,
                Polled::Nothing(pause) => {
                    failures += 1;
                    sleep(pause).await;
                }
            }
        }
        false
    }

    async fn poll(&mut self, hold: Duration, is_timed: bool) -> Polled {
        let run = Arc::clone(&self.run);
        let sent_before = self.cursor.is_none();
        let answer = self.wire.ask(self.request(hold), hold + PATIENCE, &run.polls).await;
        let received = run.start.elapsed();
        let Some(answer) = answer else { return Polled::Nothing(Duration::from_millis(500)) };
        let reply = match Reply::read(&answer, &self.channel.name) {
            Ok(reply) => reply,
            Err(reason) => {
                run.polls.refuse(reason);
                return Polled::Nothing(retry_after(&answer));
            }
        };
        if sent_before {
            self.seen.begin(self.channel.sent.load(Relaxed));
        }
        self.cursor = Some(reply.cursor);
        if reply.gap {
            self.seen.gap();
        }
        if reply.events.is_empty() {
            run.empty.fetch_add(1, Relaxed);
            return Polled::Empty;
        }
        run.with_events.fetch_add(1, Relaxed);
        let last = self.channel.sent.load(Relaxed);
        let mut is_known = true;
        for payload in &reply.events {
            let Some((number, sent)) = own(payload, &run.name) else { continue };
            if !self.seen.event(number, last) {
                is_known = false;
                continue;
            }
            run.events.fetch_add(1, Relaxed);
            if is_timed {
                run.latencies.record(self.number, received.saturating_sub(sent));
            }
        }
        if !is_known {
            run.polls.refuse("an event that was never sent".into());
        }
        Polled::Events
    }

    fn request(&self, hold: Duration) -> Sent {
        let mut path = format!("{}?wait={}", self.run.path(&self.channel.name), hold.as_secs());
        if let Some(cursor) = &self.cursor {
            path.push_str("&cursor=");
            path.extend(utf8_percent_encode(cursor, NON_ALPHANUMERIC));
        }
        self.run.request(&path).body(Default::default()).expect("the parts were checked")
    }
}

fn retry_after(answer: &Response<Bytes>) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    // Not at once: a server that is busy is not to be flooded.
    Duration::from_secs(seconds.and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, 30))
}

/// The number of an event of this run, and when it was sent.
fn own(payload: &Value, run: &str) -> Option<(u64, Duration)> {
    let is_own = payload.get("run")?.as_str()? == run;
    let (number, sent) = (payload.get("number")?.as_u64()?, payload.get("sent")?.as_u64()?);
    is_own.then(|| (number, Duration::from_micros(sent)))
}

/// An answer, of either kind.
struct Reply {
    cursor: String,
    gap: bool,
    events: Vec<Value>,
}

impl Reply {
    fn read(answer: &Response<Bytes>, channel: &str) -> Result<Self, String> {
        let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
        let cursor = || text("longpoll-cursor").map(str::to_owned);
        let no_cursor = || "an answer without cursor".to_owned();
        let told = text("longpoll-gap") == Some("true");
        match (answer.status(), text("longpoll-channel")) {
            (StatusCode::NO_CONTENT, _) => {
                Ok(Self { cursor: cursor().ok_or_else(no_cursor)?, gap: told, events: vec![] })
            }
            (StatusCode::OK, Some(name)) => {
                if percent_decode_str(name).decode_utf8_lossy() != channel {
                    return Err("an event of another channel".into());
                }
                let events = vec![serde_json::from_slice(answer.body()).unwrap_or_default()];
                Ok(Self { cursor: cursor().ok_or_else(no_cursor)?, gap: told, events })
            }
            (StatusCode::OK, None) => {
                let mut reply: Value = serde_json::from_slice(answer.body())
                    .map_err(|error| format!("an answer that is no reply: {error}"))?;
                let in_body = reply.get("cursor").and_then(Value::as_str).map(str::to_owned);
                let gap = told || reply.get("gap").and_then(Value::as_bool).unwrap_or(false);
                let Some(Value::Array(events)) = reply.get_mut("events").map(Value::take) else {
                    return Err("an answer without a list of events".into());
                };
                let is_own =
                    |event: &Value| event.get("channel").and_then(Value::as_str) == Some(channel);
                if !events.iter().all(is_own) {
                    return Err("an event of another channel".into());
                }
                let data = |mut event: Value| event.get_mut("data").map(Value::take);
                let events = events.into_iter().filter_map(data).collect();
                Ok(Self { cursor: in_body.or_else(cursor).ok_or_else(no_cursor)?, gap, events })
            }
            (status, _) => Err(format!("a poll was answered {status}")),
        }
    }
}
