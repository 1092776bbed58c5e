//! The examples from the outside, each as its header tells to run it. `tests/server.rs` has the
//! one for which there is more to say.
//!
//! They run on the real clock. So nothing here asserts how long something takes: holds are either
//! one second, or longer than the patience of the test.
#![cfg(all(unix, not(loom), feature = "axum", feature = "etag", feature = "json"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "examples/axum.rs"]
mod axum;
#[path = "examples/hyper.rs"]
mod hyper;
mod process;
#[path = "examples/sse.rs"]
mod sse;

use rustix::process::Signal;

use process::{Answer, Client, Process, Server, command};

/// How many polls of each kind a signal finds.
const EACH: usize = 20;

#[test]
fn the_tonic_client_gets_its_own_answer_and_then_every_note() {
    let mut process = Process::spawn(&mut command("tonic"));
    process.url();
    let lines: Vec<_> = process.output.iter().collect();
    assert!(process.exit().success(), "{:?}", process.errors.iter().collect::<Vec<_>>());
    assert_eq!(lines, [r#"nothing yet: """#, r#"news: "first""#, r#"news: "second""#]);
}

/// Publishes `hello` until somebody waits for it: these servers do not say who does.
fn publish_until_woken(server: &Server) -> String {
    let mut client = server.connect();
    loop {
        let (cursor, woken) = client.publish("demo", "hello");
        if woken > 0 {
            return cursor;
        }
    }
}

/// A second of a server's own clock: whatever was sent before has long been read.
fn until_parked_for_sure(server: &Server) {
    assert_eq!(server.connect().get("/events/quiet?wait=1").status, 204);
}

/// The answer of a poll that the end of the server has answered: the last on its connection.
fn last_answer(mut poll: Client) -> Answer {
    let answer = poll.answer();
    assert_eq!(answer.header("connection"), Some("close"));
    poll.assert_closed();
    answer
}

/// A poll of events that the end of the server has answered may go on elsewhere.
fn assert_let_go(poll: Client) {
    let answer = last_answer(poll);
    assert_eq!(answer.status, 204);
    assert!(answer.header("longpoll-cursor").is_some());
}

/// Neither one that says nothing, nor one that does not end its request.
fn clients_that_stall_do_not_keep(server: Server, path: &str) {
    let silent = server.connect();
    let mut unfinished_head = server.connect();
    unfinished_head.write(format!("POST {path} HTTP/1.1\r\nhost: te").as_bytes());
    let mut unfinished_body = server.connect();
    unfinished_body.write(format!("POST {path} HTTP/1.1\r\nhost: test\r\n").as_bytes());
    unfinished_body.write(b"expect: 100-continue\r\ncontent-length: 10\r\n\r\n");
    assert_eq!(unfinished_body.answer().status, 100);
    server.signal(Signal::TERM);
    assert_eq!(server.exit().code(), Some(0));
    drop((silent, unfinished_head));
}

/// It says why it does not start, and exits with a failure.
fn assert_fails(example: &'static str, arguments: &[&str]) {
    let mut failing = Process::spawn(command(example).args(arguments));
    assert!(!failing.exit().success(), "{arguments:?}");
    let errors: String = failing.errors.iter().collect();
    assert!(!errors.is_empty() && !errors.contains("panicked"), "{arguments:?}: {errors}");
}
