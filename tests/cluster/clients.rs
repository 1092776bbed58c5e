//! Who publishes and who polls, each request at another server.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::Value;
use tokio::{sync::Notify, time::timeout};

use crate::nodes::{Nodes, Random};

/// What was published and answered, by all.
#[derive(Default)]
pub(crate) struct Told {
    events: Mutex<BTreeMap<usize, BTreeMap<u64, String>>>,
    pub(crate) published: AtomicUsize,
    pub(crate) answers: AtomicUsize,
    has_ended: AtomicBool,
    pub(crate) progress: Notify,
}

impl Told {
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    /// Until so many more answers were given.
    pub(crate) async fn answers(&self, more: usize) {
        let before = self.answers.load(Ordering::Relaxed);
        while self.answers.load(Ordering::Relaxed) < before + more {
            self.progress.notified().await;
        }
    }

    /// What was published on these channels, each in the order of the log.
    pub(crate) fn expected(&self, channels: &BTreeSet<usize>) -> BTreeMap<usize, Vec<String>> {
        let events = self.events.lock().unwrap();
        let of = |channel: &usize| {
            let events = events.get(channel).map(|events| events.values().cloned().collect());
            (*channel, events.unwrap_or_default())
        };
        channels.iter().map(of).collect()
    }
}

/// Sends requests to one server after the other, at random.
struct Caller {
    nodes: Arc<Nodes>,
    http: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
    random: Random,
}

/// A server that is gone may not say so.
const PATIENCE: Duration = Duration::from_secs(30);

impl Caller {
    fn new(nodes: &Arc<Nodes>, random: Random) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new()).build_http();
        Self { nodes: Arc::clone(nodes), http, random }
    }

    /// The answer of some server, unless there was none.
    async fn call(
        &mut self,
        method: &str,
        target: &str,
        key: &str,
        body: String,
    ) -> Option<(StatusCode, Value)> {
        let address = self.nodes.addresses[self.random.below(self.nodes.addresses.len())];
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{address}{target}"))
            .header("idempotency-key", key)
            .body(Full::from(body));
        let answer = timeout(PATIENCE, async {
            let answer = self.http.request(request.unwrap()).await.ok()?;
            let status = answer.status();
            let body = answer.into_body().collect().await.ok()?.to_bytes();
            Some((status, serde_json::from_slice(&body).unwrap_or_default()))
        });
        let answer = answer.await.ok().flatten();
        if answer.as_ref().is_none_or(|(status, _)| status.is_server_error()) {
            // Another server, in a moment.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        answer
    }
}

pub(crate) struct Publisher {
    caller: Caller,
    told: Arc<Told>,
    number: usize,
}

impl Publisher {
    pub(crate) fn new(nodes: &Arc<Nodes>, told: &Arc<Told>, number: usize, random: Random) -> Self {
        Self { caller: Caller::new(nodes, random), told: Arc::clone(told), number }
    }

    /// Publishes so many events, each until it is stored.
    pub(crate) async fn publish(mut self, count: u64) {
        for event in 0..count {
            let channel = self.caller.random.below(crate::CHANNELS);
            let text = format!("{}:{event}", self.number);
            let cursor = loop {
                let target = format!("/events/c{channel}");
                let answer = self.caller.call("POST", &target, &text, text.clone()).await;
                let Some((StatusCode::CREATED, body)) = answer else { continue };
                break body["cursor"].as_str().unwrap().to_owned();
            };
            self.told
                .events
                .lock()
                .unwrap()
                .entry(channel)
                .or_default()
                .insert(sequence(&cursor), text);
            self.told.published.fetch_add(1, Ordering::Relaxed);
            self.told.progress.notify_waiters();
        }
    }
}

/// The number in a cursor of version 1.
fn sequence(cursor: &str) -> u64 {
    let raw = URL_SAFE_NO_PAD.decode(cursor.strip_prefix('1').unwrap()).unwrap();
    raw[8..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A client that polls another server each time, from the cursor of its last answer.
pub(crate) struct Wanderer {
    caller: Caller,
    told: Arc<Told>,
    cursor: String,
    heard: Heard,
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) channels: BTreeSet<usize>,
    pub(crate) gaps: usize,
    events: BTreeMap<usize, Vec<String>>,
}

impl Heard {
    pub(crate) fn count(&self) -> usize {
        self.events.values().map(Vec::len).sum()
    }

    pub(crate) fn of(&self, channel: &usize) -> Vec<String> {
        self.events.get(channel).cloned().unwrap_or_default()
    }
}

impl Wanderer {
    pub(crate) fn new(
        nodes: &Arc<Nodes>,
        told: &Arc<Told>,
        channels: BTreeSet<usize>,
        start: &str,
        random: Random,
    ) -> Self {
        let heard = Heard { channels, ..Heard::default() };
        let (caller, cursor) = (Caller::new(nodes, random), start.to_owned());
        Self { caller, told: Arc::clone(told), cursor, heard }
    }

    /// Polls until all is published and nothing more comes.
    pub(crate) async fn follow(mut self) -> Heard {
        let names: Vec<_> = self.heard.channels.iter().map(|n| format!("channel=c{n}")).collect();
        let names = names.join("&");
        loop {
            let has_ended = self.told.has_ended.load(Ordering::SeqCst);
            let target = format!("/events?{names}&wait=1&cursor={}", self.cursor);
            let Some((StatusCode::OK, body)) =
                self.caller.call("GET", &target, "", String::new()).await
            else {
                continue;
            };
            self.told.answers.fetch_add(1, Ordering::Relaxed);
            self.told.progress.notify_waiters();
            self.cursor = body["cursor"].as_str().unwrap().to_owned();
            self.heard.gaps += usize::from(body["gap"] == true);
            let events = body["events"].as_array().unwrap();
            for event in events {
                let channel = event["channel"].as_str().unwrap()[1..].parse().unwrap();
                let text = event["data"].as_str().unwrap().to_owned();
                self.heard.events.entry(channel).or_default().push(text);
            }
            // A poll that waited a second after the last event was stored: no server is that late
            // without being known to be.
            if has_ended && events.is_empty() && self.has_all() {
                return self.heard;
            }
        }
    }

    fn has_all(&self) -> bool {
        let expected: usize = self.told.expected(&self.heard.channels).values().map(Vec::len).sum();
        self.heard.count() >= expected
    }
}
