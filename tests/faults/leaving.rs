//! Clients that vanish in every phase.

use std::net::TcpStream as StdStream;

use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::*;

/// More than all buffers between the server and its client together.
const LARGE: usize = 8 << 20;

/// A client on its way to the moment at which it vanishes.
struct Stage<'a> {
    site: &'a mut Site,
    wire: Wire,
    channel: &'a str,
    /// Where it stands.
    cursor: &'a str,
    /// What it has missed.
    published: Vec<String>,
}

impl Stage<'_> {
    fn request(&self, wait: &str, head: &str) -> String {
        let (channel, cursor) = (self.channel, self.cursor);
        format!(
            "GET /events/{channel}?cursor={cursor}&wait={wait} HTTP/1.1\r\nhost: x\r\n{head}\r\n"
        )
    }

    fn publish(&mut self, text: &str) {
        self.site.control.publish(self.channel, text);
        self.published.push(text.to_owned());
    }

    fn park(&mut self) {
        let request = self.request(LONG, "");
        self.wire.send(request);
        self.site.until_parked(1);
    }

    /// Sends a poll with a body of some kind.
    fn with_body(&mut self, head: &str, body: &[u8]) {
        let request = self.request(LONG, head);
        self.wire.send([request.as_bytes(), body].concat());
    }

    /// Sends the head of a publish, and waits until the server wants to read its body.
    fn upload(&mut self, body: &str) {
        let head = "host: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n";
        self.wire.send(format!("POST /events/{} HTTP/1.1\r\n{head}", self.channel));
        assert_eq!(self.wire.read(12), b"HTTP/1.1 100");
        self.wire.send(body);
    }
}

type Phase = fn(&mut Stage<'_>);

const PHASES: [(&str, Phase); 15] = [
    ("before a word", |_| ()),
    ("in a head", |stage| stage.wire.send("GET /events/x HTTP/1.1\r\nhos")),
    ("parked", |stage| stage.park()),
    ("parked, with half of the next request behind", |stage| {
        // What is unread keeps the server from noticing: then only the deadline ends the poll.
        let request = stage.request("1", "") + "GET /eve";
        stage.wire.send(request);
        stage.site.until_parked(1);
    }),
    ("parked, with a whole request behind", |stage| {
        let request = stage.request("1", "").repeat(2);
        stage.wire.send(request);
        stage.site.until_parked(1);
    }),
    ("after the wake, before the read", |stage| {
        stage.park();
        stage.publish("woken by it");
        stage.site.control.until(|stats| stats["parked"] == 0);
    }),
    ("as it is woken", |stage| {
        stage.park();
        stage.publish("woken by it");
    }),
    ("in an answer", |stage| {
        stage.publish(&"x".repeat(LARGE));
        let request = stage.request(LONG, "");
        stage.wire.send(request);
        assert_eq!(stage.wire.read(1_000)[..12], *b"HTTP/1.1 200");
    }),
    ("in an answer, with a request behind", |stage| {
        stage.publish(&"x".repeat(LARGE));
        let request = stage.request("1", "").repeat(2);
        stage.wire.send(request);
        stage.wire.read(1_000);
    }),
    ("in the body of a publish", |stage| stage.upload("ten bytes.")),
    ("before the body of a publish", |stage| stage.upload("")),
    ("in the body of a poll", |stage| stage.with_body("content-length: 100\r\n", b"ten bytes.")),
    ("with a body that never ends", |stage| {
        stage.with_body("transfer-encoding: chunked\r\n", b"5\r\nhello\r\n");
    }),
    ("with 200 KiB that nobody reads", |stage| {
        stage.with_body("content-length: 204800\r\n", &[b'x'; 200 << 10]);
    }),
    ("with 200 KiB for a method that is not allowed", |stage| {
        let head = format!("PUT /events/{} HTTP/1.1\r\nhost: x\r\n", stage.channel);
        stage.wire.send(head + "content-length: 204800\r\n\r\n" + &"x".repeat(200 << 10));
    }),
];

fn vanish_in_every_phase(how: Leave) {
    let payload = (LARGE + 1).to_string();
    let history = (8 * LARGE).to_string();
    let limits = ["--max-payload", &payload, "--history-bytes", &history];
    let mut site = Site::start(&limits);
    for (number, (phase, reach)) in PHASES.into_iter().enumerate() {
        let channel = format!("c{number}");
        let (cursor, _) = site.control.publish(&channel, "seen");
        let wire = Wire::open(site.server.address, Some(4_096));
        let (cursor, published) = (&*cursor, Vec::new());
        let mut stage = Stage { site: &mut site, wire, channel: &channel, cursor, published };
        reach(&mut stage);
        let Stage { wire, mut published, .. } = stage;
        wire.leave(how);
        site.recover(phase);
        site.control.publish(&channel, "when it was gone");
        published.push("when it was gone".to_owned());
        assert!(site.rest(&channel, cursor) == published, "{how:?} {phase}: an event is lost");
    }
    assert_eq!(site.stats()["gaps"], 0);
}

#[test]
fn a_client_that_crashes_in_any_phase_leaves_nothing_and_loses_nothing() {
    vanish_in_every_phase(Leave::Reset);
}

#[test]
fn a_client_that_closes_in_any_phase_leaves_nothing_and_loses_nothing() {
    vanish_in_every_phase(Leave::Close);
}

#[test]
fn a_client_that_half_closes_in_any_phase_leaves_nothing_and_loses_nothing() {
    vanish_in_every_phase(Leave::HalfClose);
}

#[test]
fn a_connection_of_http2_that_is_reset_takes_all_its_polls_along() {
    const POLLS: usize = 150;
    let mut site = Site::start(&[]);
    let (cursor, _) = site.control.publish("a", "seen");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stream = StdStream::connect(site.server.address).unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut sender = runtime.block_on(async {
        let io = TokioIo::new(TcpStream::from_std(stream).unwrap());
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender
    });
    let uri = format!("http://{}/events/a?cursor={cursor}", site.server.address);
    let mut send = || {
        let request = Request::get(&uri).body(String::new()).unwrap();
        runtime.spawn(sender.send_request(request))
    };
    let polls: Vec<_> = (0..POLLS).map(|_| send()).collect();
    site.until_parked(POLLS);
    assert!(polls.iter().all(|poll| !poll.is_finished()));
    drop(runtime);
    site.recover("reset");
    assert_eq!(site.stats()["dropped"], POLLS);
    site.control.publish("a", "when it was gone");
    assert_eq!(site.rest("a", &cursor), ["when it was gone"]);
}

#[test]
fn ten_thousand_polls_that_are_parked_and_reset_leave_nothing() {
    const ROUNDS: usize = 100;
    const POLLS: usize = 100;
    let mut site = Site::start(&[]);
    let mut memory = Vec::new();
    for round in 0..ROUNDS {
        let wires: Vec<_> = (0..POLLS)
            .map(|poll| {
                let mut wire = site.wire();
                wire.send(format!("GET /events/{round}-{poll} HTTP/1.1\r\nhost: x\r\n\r\n"));
                wire
            })
            .collect();
        site.until_parked(POLLS);
        wires.into_iter().for_each(|wire| wire.leave(Leave::Reset));
        site.until_parked(0);
        if round % 10 == 9 {
            memory.push(resident(&site.server) >> 10);
        }
    }
    site.recover("reset");
    let stats = site.stats();
    assert_eq!((&stats["dropped"], &stats["channels"]), (&(ROUNDS * POLLS).into(), &0.into()));
    println!("resident KiB after every thousand: {memory:?}");
}
