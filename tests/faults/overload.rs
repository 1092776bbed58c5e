//! The limits, over sockets: whoever comes too much is told so, and costs nothing.

use std::collections::BTreeSet;

use super::*;

/// Asks so often that a hint that is spread shows it, and returns what the refusals say.
fn refusals(client: &mut Client, target: &str) -> Vec<Answer> {
    let answers: Vec<_> = (0..40).map(|_| client.get(target)).collect();
    let mut hints = BTreeSet::new();
    for answer in &answers {
        assert_eq!(answer.status, 503, "{target}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        hints.insert(answer.header("retry-after").unwrap().parse::<u64>().unwrap());
    }
    assert!(hints.iter().all(|hint| (1..=60).contains(hint)), "{hints:?}");
    assert!(hints.len() > 1, "they would all come back together: {hints:?}");
    answers
}

fn assert_says(answers: &[Answer], what: &str) {
    for answer in answers {
        let text = String::from_utf8_lossy(&answer.body);
        assert!(text.contains(what), "{what}: {text}");
    }
}

#[test]
fn at_the_limit_of_polls_the_next_is_told_when_to_come_back_and_costs_no_channel() {
    let mut site = Site::start(&["--max-waits", "3"]);
    let mut parked: Vec<_> = (0..3).map(|n| site.server.parked(&format!("c{n}"))).collect();
    site.until_parked(3);
    let mut client = site.server.connect();
    for number in 0..5 {
        let answers = refusals(&mut client, &format!("/events/new{number}"));
        assert_says(&answers, "the limit of 3 parked polls is reached");
    }
    let answers = refusals(&mut client, "/events?channel=c0&channel=c1&channel=new");
    assert_says(&answers, "the limit of 3 parked polls is reached");
    let stats = site.stats();
    let held = ["parked", "channels", "refused"].map(|name| stats[name].as_u64().unwrap());
    assert_eq!(held, [3, 3, 6 * 40]);

    // Those that are in have lost nothing, and a place that is free is taken.
    assert_eq!(site.control.publish("c0", "hello").1, 1);
    assert_eq!(parked.remove(0).answer().data(), ["hello"]);
    let again = site.server.parked("new");
    site.until_parked(3);
    drop((parked, again, client));
    site.recover("the limit of polls");
}

#[test]
fn at_the_limit_of_polls_on_one_channel_another_channel_is_free() {
    let mut site = Site::start(&["--max-waits-per-channel", "2"]);
    let mut parked: Vec<_> = (0..2).map(|_| site.server.parked("a")).collect();
    site.until_parked(2);
    let mut client = site.server.connect();
    for target in ["/events/a", "/events?channel=b&channel=a"] {
        let answers = refusals(&mut client, target);
        assert_says(&answers, "the limit of 2 parked polls on one channel is reached");
    }
    assert_eq!(site.stats()["channels"], 1);
    parked.push(site.server.parked("b"));
    site.until_parked(3);
    drop((parked, client));
    site.recover("the limit of a channel");
}

#[test]
fn at_the_limit_of_channels_those_that_are_in_use_stay() {
    let mut site = Site::start(&["--max-channels", "2"]);
    let mut parked = site.server.parked("polled");
    site.until_parked(1);
    site.control.publish("published", "kept");
    let mut client = site.server.connect();
    assert_says(&refusals(&mut client, "/events/new"), "the limit of 2 channels is reached");
    for _ in 0..40 {
        client.send("POST", "/events/new", "", b"x");
        let answer = client.answer();
        assert_eq!(answer.status, 503);
        assert!(answer.header("retry-after").is_some());
        assert_says(&[answer], "the limit of 2 channels is reached");
    }
    assert_eq!(site.stats()["channels"], 2);
    assert_eq!(client.get("/events/published?cursor=oldest").data(), ["kept"]);
    assert_eq!(site.control.publish("polled", "hello").1, 1);
    assert_eq!(parked.answer().data(), ["hello"]);
    drop((parked, client));
    site.recover("the limit of channels");
}

#[test]
fn when_all_histories_are_full_publishing_is_refused_and_no_event_goes() {
    let mut site = Site::start(&["--max-payload", "1000", "--total-history-bytes", "20000"]);
    let payload = "x".repeat(1_000);
    let (mut texts, mut number) = (Vec::new(), 0);
    let refused = loop {
        let text = format!("{number}{payload}")[..1_000].to_owned();
        let head = "content-type: text/plain\r\n";
        site.control.send("POST", &format!("/events/c{}", number % 3), head, text.as_bytes());
        let answer = site.control.answer();
        if answer.status == 503 {
            break answer;
        }
        texts.push(text);
        number += 1;
        assert!(number < 20, "20 events of 1,000 bytes are more than 20,000");
    };
    assert!(number > 5 && refused.header("retry-after").is_some());
    assert_says(&[refused], "the limit of 20000 bytes in all histories is reached");
    let all = site.control.get("/events?channel=c0&channel=c1&channel=c2&cursor=oldest");
    assert_eq!((all.data(), &all.json()["gap"]), (texts, &Value::Bool(false)));
    // The server can be asked for room.
    site.control.send("DELETE", "/events/c0", "", b"");
    assert_eq!(site.control.answer().status, 204);
    site.control.publish("c1", "again");
    site.recover("full histories");
}

#[test]
fn a_poll_with_a_body_is_refused_before_the_body_has_come() {
    let mut site = Site::start(&["--max-waits", "1"]);
    let rows = [
        ("announced", "content-length: 5\r\n"),
        ("huge", "content-length: 1000000000000\r\n"),
        ("in parts", "transfer-encoding: chunked\r\n"),
        ("asked for leave", "expect: 100-continue\r\ncontent-length: 5\r\n"),
        ("in parts, asked for leave", "expect: 100-continue\r\ntransfer-encoding: chunked\r\n"),
    ];
    for (name, head) in rows {
        let mut client = site.server.asking("/events/a", head);
        let answer = client.answer();
        assert_eq!(answer.status, 400, "{name}: no word about going on, and none parked");
        assert_eq!(answer.json()["field"], "body", "{name}");
        assert_eq!(site.stats()["channels"], 0, "{name}");
        drop(client);
        site.recover(name);
    }
}
