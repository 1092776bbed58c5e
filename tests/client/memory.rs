//! What an answer takes is in proportion to its size, whatever stands in it.

use allocation_counter::measure;
use tokio::runtime::Builder;
use tower_longpoll::client::Failure;

use super::{script::*, *};

/// The most bytes of memory for a byte of an answer: for the body, and for events without a payload.
const FACTOR: u64 = 16;

/// A reply of so many bytes and a few more.
fn filled(start: &str, item: impl Fn(usize) -> String, end: &str) -> String {
    let mut body = start.to_owned();
    for number in 0.. {
        body.push_str(&item(number));
        if body.len() > 1 << 20 {
            break;
        }
        body.push(',');
    }
    body + end
}

#[test]
fn memory_is_in_proportion_to_the_answer() {
    let list = r#"{"cursor":"c","events":["#;
    let tiny = |_| r#"{"channel":"","id":"1","data":1}"#.to_owned();
    let within = r#"{"cursor":"c","events":[{"channel":"c","id":"1","data":1,"#;
    let more = |number| format!(r#""{number:x}":1"#);
    let rows = [
        ("events", filled(list, tiny, "]}"), true),
        ("objects that are no events", filled(list, |_| r#"{"":1}"#.into(), "]}"), false),
        ("numbers for events", filled(list, |_| "1".into(), "]}"), false),
        ("members", filled(r#"{"cursor":"c","events":{},"#, more, "}"), false),
        ("members of an event", filled(within, more, "}]}"), true),
    ];
    for (name, body, is_good) in rows {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let (runtime, length) = (runtime.unwrap(), body.len() as u64);
        let act = json(&body);
        let mut last = None;
        let memory = measure(|| {
            last = runtime.block_on(async {
                let script = Script::new([act]);
                let mut stream = subscription("/e").since("0").give_up_after(1).over(script);
                stream.next().await
            });
        });
        match last {
            Some(Ok(Received::Event(_))) if is_good => {}
            Some(Err(ClientError::GaveUp { last: Failure::Unreadable })) if !is_good => {}
            other => panic!("{name}: {other:?}"),
        }
        let most = memory.bytes_max;
        assert!(most < FACTOR * length, "{name}: {most} bytes for {length}");
    }
}
