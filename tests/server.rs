//! `examples/server.rs` from the outside: the program, its sockets, its signals.
//!
//! The server runs on the real clock. So nothing here asserts how long something takes: holds are
//! either a second or two, or about as long as the patience of the test.
#![cfg(all(unix, not(loom), feature = "json"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod process;

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::TcpStream,
    pin::Pin,
    process::Command,
};

use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use process::{PATIENCE, Process, Server, command, executable};

/// A hold that outlasts the patience, whatever its jitter.
const LONG: [&str; 2] = ["--hold", "60"];
/// A port that nobody has.
const FREE: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn a_cursor_chain_misses_nothing() {
    let server = start(&LONG);
    let mut client = server.connect();

    let (first, _) = client.publish("a", "one");
    let answer = client.get("/events/a?cursor=oldest");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.data(), ["one"]);
    assert_eq!(answer.header("longpoll-cursor"), Some(&*first));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    // Nobody waits while these come.
    client.publish("a", "two");
    client.publish("a", "three");
    let answer = client.get(&format!("/events/a?cursor={}", answer.cursor()));
    assert_eq!(answer.data(), ["two", "three"]);

    let quiet = client.get(&format!("/events/a?wait=0&cursor={}", answer.cursor()));
    assert!(quiet.data().is_empty());
    assert_eq!(quiet.json()["gap"], false);
    client.publish("a", "four");
    let answer = client.get(&format!("/events/a?cursor={}", quiet.cursor()));
    assert_eq!(answer.data(), ["four"]);
}

#[test]
fn a_publish_answers_a_parked_poll() {
    let server = start(&LONG);
    let mut parked = server.connect();
    parked.send("GET", "/events/a", "", b"");
    server.until_parked(1);

    let mut publisher = server.connect();
    publisher.send("POST", "/events/a", "content-type: application/json\r\n", br#"{"e":4}"#);
    let published = publisher.answer();
    assert_eq!((published.status, &published.json()["woken"]), (201, &json!(1)));

    let answer = parked.answer();
    let event = &answer.json()["events"][0];
    assert_eq!(answer.status, 200);
    assert_eq!((&event["channel"], &event["data"]), (&json!("a"), &json!({ "e": 4 })));
    assert_eq!(event["id"], published.json()["cursor"]);

    // Now nobody waits.
    let (_, woken) = publisher.publish("a", "again");
    assert_eq!(woken, 0);
}

#[test]
fn a_hold_runs_out_with_a_cursor() {
    let server = start(&["--hold", "1"]);
    let answer = server.connect().get("/events/quiet");
    assert_eq!(answer.status, 200);
    assert!(answer.data().is_empty());
    assert_eq!(answer.header("longpoll-cursor"), Some(&*answer.cursor()));
    assert_eq!(server.stats()["timed_out"], 1);
}

#[test]
fn a_poll_waits_on_two_channels() {
    let server = start(&LONG);
    let mut parked = server.connect();
    parked.send("GET", "/events?channel=a&channel=b%2Fc", "", b"");
    server.until_parked(1);

    server.connect().publish("b%2Fc", "hello");
    let answer = parked.answer();
    assert_eq!(answer.data(), ["hello"]);
    assert_eq!(answer.json()["events"][0]["channel"], "b/c");

    server.connect().publish("a", "late");
    let both = parked.get("/events?channel=a&channel=b%2Fc&cursor=oldest");
    assert_eq!(both.data(), ["hello", "late"]);
}

#[test]
fn a_raw_reply_is_the_event_as_it_was_published() {
    let server = start(&["--reply", "raw"]);
    let mut client = server.connect();
    client.send("POST", "/events/a", "content-type: image/png\r\n", b"\x89PNG");
    assert_eq!(client.answer().status, 202);
    client.publish("a", "second");

    let answer = client.get("/events/a?cursor=oldest");
    assert_eq!((answer.status, &*answer.body), (200, &b"\x89PNG"[..]));
    assert_eq!(answer.header("content-type"), Some("image/png"));
    assert_eq!(answer.header("longpoll-channel"), Some("a"));
    let cursor = answer.header("longpoll-cursor").unwrap();
    let answer = client.get(&format!("/events/a?cursor={cursor}"));
    assert_eq!(&*answer.body, b"second");
    assert_eq!(client.get("/events/a?wait=0").status, 204);
}

#[test]
fn one_http2_connection_holds_many_polls() {
    // More than the 200 streams that hyper allows by default.
    const POLLS: usize = 300;
    let server = start(&LONG);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut sender = runtime.block_on(async {
        let io = TokioIo::new(tokio::net::TcpStream::connect(server.address).await.unwrap());
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender
    });
    let mut sender_of_polls = sender.clone();
    let mut request = |method: &str, body: &str| {
        let uri = format!("http://{}/events/a", server.address);
        let request = Request::builder().method(method).uri(uri).body(body.to_owned()).unwrap();
        runtime.spawn(sender_of_polls.send_request(request))
    };
    let polls: Vec<_> = (0..POLLS).map(|_| request("GET", "")).collect();
    server.until_parked(POLLS);

    let published = runtime.block_on(request("POST", "hello")).unwrap().unwrap();
    assert_eq!(published.status(), 201);
    for poll in polls {
        let (status, body) = runtime.block_on(whole(poll));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["events"][0]["data"]), (200, &json!("hello")));
    }
    server.until_parked(0);

    let head = Request::head(format!("http://{}/stats", server.address)).body(String::new());
    let head = runtime.block_on(sender.send_request(head.unwrap())).unwrap();
    assert!(head.headers()["content-length"] != "0", "that of the answer to a GET");
    assert!(runtime.block_on(head.into_body().collect()).unwrap().to_bytes().is_empty());

    // A stream that its client resets lets its poll go, and the connection lives on.
    let reset = request("GET", "");
    server.until_parked(1);
    reset.abort();
    server.until(|stats| stats["parked"] == 0 && stats["dropped"] == 1);
}

#[test]
fn an_http2_connection_is_told_how_many_streams_it_may_have() {
    for (options, streams) in [(&[][..], 100_000), (&["--max-streams", "7"], 7)] {
        let server = start(options);
        let mut client = TcpStream::connect(server.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        // The preface, and no settings (RFC 9113, sections 3.4 and 6.5).
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut head = [0; 9];
        client.read_exact(&mut head).unwrap();
        assert_eq!(head[3], 4, "settings come first");
        let mut settings = vec![0; usize::from(u16::from_be_bytes([head[1], head[2]]))];
        client.read_exact(&mut settings).unwrap();
        // SETTINGS_MAX_CONCURRENT_STREAMS.
        let told = settings.chunks(6).find(|setting| setting[..2] == [0, 3]).unwrap();
        assert_eq!(u32::from_be_bytes(told[2..].try_into().unwrap()), streams);
    }
}

#[test]
fn what_is_not_there_is_404_and_a_wrong_method_405() {
    let server = start(&[]);
    let mut client = server.connect();
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/events/"),
        ("GET", "/events/a/b"),
        ("GET", "/stats/"),
        ("POST", "/elsewhere"),
        ("DELETE", "/elsewhere"),
        ("HEAD", "/elsewhere"),
    ] {
        client.send(method, target, "", b"");
        assert_eq!(client.answer_to(method).status, 404, "{method} {target}");
    }
    for (method, target, allowed) in [
        ("PUT", "/events/a", "GET, POST, DELETE"),
        ("HEAD", "/events/a", "GET, POST, DELETE"),
        ("POST", "/events?channel=a", "GET"),
        ("HEAD", "/events?channel=a", "GET"),
        ("POST", "/stats", "GET, HEAD"),
        ("DELETE", "/stats", "GET, HEAD"),
    ] {
        client.send(method, target, "", b"");
        let answer = client.answer_to(method);
        assert_eq!(answer.status, 405, "{method} {target}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {target}");
    }
}

#[test]
fn a_payload_of_the_limit_is_taken_and_one_byte_more_is_413() {
    let server = start(&["--max-payload", "10"]);
    let chunked = "transfer-encoding: chunked\r\n";
    let mut client = server.connect();
    client.send("POST", "/events/a", "", b"0123456789");
    assert_eq!(client.answer().status, 202);
    client.send("POST", "/events/a", chunked, b"6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n");
    assert_eq!(client.answer().status, 202);

    client.send("POST", "/events/a", "", b"0123456789x");
    assert_eq!(client.answer().status, 413);
    let mut client = server.connect();
    // Neither of these bodies ever ends: the answer does not wait for the rest.
    client.send("POST", "/events/a", chunked, b"6\r\n012345\r\n5\r\n6789x\r\n");
    assert_eq!(client.answer().status, 413);
    let mut client = server.connect();
    client.write(b"POST /events/a HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000000000\r\n\r\n");
    assert_eq!(client.answer().status, 413);
    client.assert_closed();
    assert_eq!(server.stats()["history_events"], 2);
}

#[test]
fn what_cannot_be_understood_is_400_and_names_the_field() {
    let server = start(&[]);
    let mut client = server.connect();
    let json = "content-type: application/json\r\n";
    let many: String = (0..65).map(|number| format!("channel=c{number}&")).collect();
    let long = "n".repeat(257);
    for (method, target, head, body, field) in [
        ("GET", "/events/a?cursor=nonsense", "", "", "cursor"),
        ("GET", "/events/a", "longpoll-cursor: nonsense\r\n", "", "cursor"),
        ("GET", "/events/a?wait=soon", "", "", "wait"),
        ("GET", "/events/%FF", "", "", "channel"),
        ("GET", "/events/a%00", "", "", "channel"),
        ("GET", "/events", "", "", "channel"),
        ("GET", "/events?channel=", "", "", "channel"),
        ("GET", &format!("/events?{many}"), "", "", "channel"),
        ("GET", &format!("/events/{long}"), "", "", "channel"),
        ("GET", "/events/a", "", "a body", "body"),
        ("POST", "/events/%FF", "", "x", "channel"),
        ("POST", &format!("/events/{long}"), "", "x", "channel"),
        ("POST", "/events/a", json, "{ no json", "body"),
        ("POST", "/events/a", "content-type: no type\r\n", "x", "content-type"),
    ] {
        client.send(method, target, head, body.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{method} {target}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{target}");
        assert_eq!(answer.json()["field"], field, "{method} {target}");
    }
    assert_eq!(server.stats()["channels"], 0);
}

#[test]
fn the_limits_of_the_options_hold() {
    let server = start(&["--max-waits", "1", "--max-channels", "1", "--hold", "60"]);
    let mut parked = server.connect();
    parked.send("GET", "/events/a", "", b"");
    server.until_parked(1);
    let mut client = server.connect();
    let refused = client.get("/events/a");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    client.send("POST", "/events/b", "", b"x");
    assert_eq!(client.answer().status, 503);
    assert_eq!(client.publish("a", "x").1, 1);
}

#[test]
fn a_deleted_channel_is_gone() {
    let server = start(&LONG);
    let mut client = server.connect();
    let mut delete = |target: &str| {
        client.send("DELETE", target, "", b"");
        client.answer().status
    };
    assert_eq!(delete("/events/a"), 404);
    assert_eq!(delete("/events/%FF"), 404);

    let mut parked = server.connect();
    parked.send("GET", "/events/a", "", b"");
    server.until_parked(1);
    assert_eq!(delete("/events/a"), 204);
    let gone = parked.answer();
    assert_eq!((gone.status, gone.header("longpoll-channel")), (410, Some("a")));
    assert_eq!(delete("/events/a"), 404);
    assert_eq!(server.stats()["deleted"], 1);
}

#[test]
fn the_stats_tell_what_is_held() {
    let server = start(&["--threads", "3"]);
    let mut client = server.connect();
    client.publish("a", "hello");
    client.get("/events/a?cursor=oldest");
    let answer = client.get("/stats");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));

    let stats = answer.json();
    for (name, expected) in [
        ("parked", 0),
        ("channels", 1),
        ("history_events", 1),
        ("published", 1),
        ("delivered", 1),
        ("timed_out", 0),
        ("gaps", 0),
        ("deleted", 0),
        ("drained", 0),
        ("refused", 0),
        ("dropped", 0),
        ("worker_threads", 3),
    ] {
        assert_eq!(stats[name], expected, "{name}");
    }
    assert!(stats["history_bytes"].as_u64().is_some_and(|bytes| bytes >= 5));
    assert!(stats["uptime_seconds"].is_u64());
    assert_eq!(stats["draining"], false);

    client.send("HEAD", "/stats", "", b"");
    assert_eq!(client.answer_to("HEAD").status, 200);
    assert_eq!(client.get("/stats").status, 200, "the connection is still in step");
}

#[test]
fn a_client_that_leaves_takes_its_poll_along() {
    let server = start(&LONG);
    let clients: Vec<_> = (0..20).map(|_| server.parked("a")).collect();
    server.until_parked(20);
    drop(clients);
    server.until(|stats| stats["parked"] == 0 && stats["dropped"] == 20);
    server.until(|stats| stats["channels"] == 0);
}

#[test]
fn a_sigterm_answers_every_parked_poll() {
    let server = start(&LONG);
    let mut idle = server.connect();
    idle.get("/stats");
    let parked: Vec<_> = (0..200).map(|number| server.parked(&format!("c{number}"))).collect();
    server.until_parked(200);
    server.signal(Signal::TERM);
    for mut client in parked {
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert!(answer.data().is_empty());
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(!answer.cursor().is_empty());
        client.assert_closed();
    }
    idle.assert_closed();
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_sigint_is_a_sigterm() {
    let server = start(&[]);
    server.signal(Signal::INT);
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn polls_that_come_while_the_server_drains_are_refused() {
    let server = start(&["--drain", "60"]);
    let (mut parked, mut kept) = (server.parked("a"), server.connect());
    server.until_parked(1);
    kept.get("/stats");
    server.signal(Signal::TERM);
    kept.until_draining();
    for _ in 0..2 {
        let refused = kept.get("/events/a");
        assert_eq!(refused.status, 503);
        let seconds = refused.header("retry-after").map(str::parse::<u64>);
        assert!(matches!(seconds, Some(Ok(1..=60))), "{seconds:?}");
    }
    assert_eq!(parked.answer().status, 200);
    assert!(TcpStream::connect(server.address).is_err(), "the server takes no connections");
    // With nobody left to tell, it need not wait for the 60 seconds to pass.
    drop((parked, kept));
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_drain_that_is_spread_answers_every_parked_poll() {
    let server = start(&["--hold", "60", "--drain", "1"]);
    let parked: Vec<_> = (0..20).map(|_| server.parked("a")).collect();
    server.until_parked(20);
    // This one stays, and does not keep the server for longer than the drain.
    let mut kept = server.connect();
    kept.get("/stats");
    server.signal(Signal::TERM);
    for mut client in parked {
        assert_eq!(client.answer().status, 200);
    }
    kept.assert_closed();
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_server() {
    let server = start(&[]);
    let mut stuck = server.connect();
    stuck.write(b"POST /events/a HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\n");
    stuck.write(b"content-length: 10\r\n\r\n");
    // Now the server waits for the body.
    assert_eq!(stuck.answer().status, 100);
    server.signal(Signal::TERM);
    assert_eq!(server.exit().code(), Some(0));
}

#[test]
fn a_head_that_never_ends_is_cut_and_a_longer_poll_is_not() {
    let server = start(&["--head-timeout", "1", "--jitter", "0"]);
    let mut parked = server.asking("/events/a?wait=2", "");
    // Over before the 30 seconds that a server takes which is not told otherwise.
    let _witness = server.asking("/events/b?wait=28", "");
    let (mut silent, mut stuck) = (server.connect(), server.connect());
    stuck.write(b"GET /events/a HTTP/1.1\r\nhost: ");
    stuck.assert_closed();
    silent.assert_closed();
    assert_eq!(parked.answer().status, 200);
    assert_eq!(server.stats()["parked"], 1);
    // Nor is it too late for its next one.
    assert_eq!(parked.get("/stats").status, 200);
}

#[test]
fn without_a_head_timeout_a_head_may_take_its_time() {
    let server = start(&["--head-timeout", "0"]);
    let (mut silent, mut slow) = (server.connect(), server.connect());
    slow.write(b"GET /stats HTTP/1.1\r\nhost: ");
    // Meanwhile a second passes.
    assert_eq!(server.connect().get("/events/a?wait=1").status, 200);
    slow.write(b"test\r\n\r\n");
    assert_eq!(slow.answer().status, 200);
    assert_eq!(silent.get("/stats").status, 200);
}

#[test]
fn who_begins_as_http2_and_leaves_is_let_go() {
    let server = start(&["--head-timeout", "0"]);
    let mut half = server.connect();
    half.write(b"P");
    half.leave_half();
    half.assert_closed();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let server = start(&["--drain", "3600"]);
    let mut kept = server.connect();
    kept.get("/stats");
    server.signal(Signal::TERM);
    kept.until_draining();
    server.signal(Signal::INT);
    assert_eq!(server.exit().code(), Some(130));
}

#[test]
fn what_stops_it_from_starting_is_one_line() {
    let server = start(&[]);
    let taken = server.address.to_string();
    for (options, expected) in [
        (vec!["--listen", &taken], "cannot listen on 127.0.0.1:"),
        (vec!["--listen", "nowhere"], "--listen"),
        (vec!["--bogus"], "--bogus"),
        (vec!["--hold", "soon"], "--hold"),
        (vec!["--hold"], "--hold"),
        (vec!["--reply", "xml"], "raw, json"),
        (vec!["--jitter", "101"], "--jitter"),
        (vec!["--hold", "9", "--max-hold", "8"], "max_hold (8s)"),
        (vec!["--max-payload", "9", "--total-history-bytes", "8"], "total_history_bytes (8)"),
    ] {
        let mut failing = Process::spawn(command("server").args(&options));
        let status = failing.exit();
        assert!(!status.success(), "{options:?}");
        let lines: Vec<_> = failing.errors.iter().collect();
        assert_eq!(lines.len(), 1, "{options:?}: {lines:#?}");
        assert!(lines.iter().all(|line| line.contains(expected)), "{options:?}: {lines:#?}");
    }
}

#[test]
fn it_says_where_it_is_and_what_to_try() {
    let mut process = Process::spawn(command("server").args(FREE));
    let url = process.url();
    let lines: Vec<_> = (0..3).map(|_| process.output.recv_timeout(PATIENCE).unwrap()).collect();
    assert!(lines.iter().all(|line| line.starts_with("curl ") && line.contains(&url)), "{lines:?}");
    kill_process(process.pid(), Signal::TERM).unwrap();
    assert!(process.exit().success());
}

#[test]
fn it_outlives_a_lack_of_open_files() {
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 32 && exec "$0" "$@""#]).arg(executable("server"));
    let server = Server::of(command.args(["--max-waits", "33"]).args(LONG).args(FREE));
    let note = server.process.errors.recv_timeout(PATIENCE).unwrap();
    assert!(note.contains("limit of 32 open files") && note.contains("33 polls"), "{note}");

    let mut kept = server.connect();
    kept.get("/stats");
    let mut clients: Vec<_> = (0..33).map(|_| server.parked("a")).collect();
    let told = server.process.errors.recv_timeout(PATIENCE).unwrap();
    assert!(told.contains("cannot accept"), "{told}");
    // A second of it, by the server's own clock.
    assert_eq!(kept.get("/events/quiet?wait=1").status, 200);

    // Those that are in leave, and those that were kept waiting come in.
    clients.drain(..28);
    kept.until(|stats| stats["parked"] == 5);
    assert_eq!(kept.publish("a", "hello").1, 5);
    for client in &mut clients {
        assert_eq!(client.answer().data(), ["hello"]);
    }
    server.signal(Signal::TERM);
    let mut process = server.process;
    assert_eq!(process.exit().code(), Some(0));
    assert_eq!(process.errors.iter().next(), None, "it is said once");
}

fn start(options: &[&str]) -> Server {
    Server::of(command("server").args(options).args(FREE))
}

async fn whole(poll: JoinHandle<hyper::Result<Response<Incoming>>>) -> (u16, Vec<u8>) {
    let response = poll.await.unwrap().unwrap();
    let status = response.status().as_u16();
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap_or_default());
    }
    (status, bytes)
}
