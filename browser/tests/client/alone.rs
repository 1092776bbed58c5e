//! One tab that polls by itself.

use std::time::Duration;

use serde_json::{Value, json};
use tower_longpoll::{Channel, Event, Hub};
use tower_longpoll_browser::{Browser, wait_until};

use crate::{
    page::open,
    server::{Fault, Server},
};

/// Options for a listener of channel `a` that shares nothing.
fn alone(wait: u64) -> Value {
    json!({ "channels": ["a"], "wait": wait, "share": false })
}

#[tokio::test]
async fn an_event_comes_after_timeouts() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", alone(1)).await;
    wait_until("three holds", async || (server.polls().len() >= 4).then_some(())).await;
    server.publish("a", [1]);
    page.hears_all("one", [1]).await;
    let heard = page.heard("one").await;
    assert_eq!(heard["states"], json!(["connecting", "connected"]));
    let event = &heard["events"][0];
    assert_eq!(event["channel"], "a");
    assert_eq!(event["type"], "application/json");
    assert_eq!(event["cursor"], event["id"]);
    page.is_clean().await;
}

#[tokio::test]
async fn data_is_json_text_or_bytes() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", json!({ "channels": ["a"], "cursor": "oldest", "share": false })).await;
    let (hub, channel) = (server.hub(), Channel::new("a").unwrap());
    let bytes = Event::new(vec![0xff, 0x00]);
    for event in [Event::json(&json!({ "x": [1] })).unwrap(), Event::text("é\"\n"), bytes] {
        hub.publish(&channel, event).unwrap();
    }
    page.hears("one", 3).await;
    let script = "const [json, text, bytes] = one.events.map((event) => event.data);
        return [json, text, bytes instanceof Uint8Array, [...bytes], 'encoding' in one.events[2]];";
    let seen = page.tab.run(script, Value::Null).await;
    assert_eq!(seen, json!([{ "x": [1] }, "é\"\n", true, [255, 0], false]));
}

#[tokio::test]
async fn every_event_comes_once_and_in_order_while_everything_fails() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", alone(2)).await;
    server.parks(1).await;
    server.faults(|number, _| FAULTS[number % FAULTS.len()]);
    for group in 0..30 {
        server.publish("a", group * 10..group * 10 + 10);
        page.hears("one", group as usize * 10 + 5).await;
    }
    server.no_faults();
    page.hears_all("one", 0..300).await;
    server.publish("a", [300]);
    page.hears_all("one", 0..301).await;
    page.is_clean().await;
}

/// About every second poll goes wrong.
pub const FAULTS: [Option<Fault>; 12] = [
    None,
    Some(Fault::Lost),
    None,
    Some(Fault::Cut),
    Some(Fault::Hasty),
    None,
    Some(Fault::Garbage),
    None,
    Some(Fault::Status(500, 0)),
    None,
    Some(Fault::Foreign),
    Some(Fault::Status(429, 0)),
];

#[tokio::test]
async fn a_gap_is_told_before_what_is_left() {
    let server = Server::with(Hub::builder().history_events(3)).await;
    let (old, browser) = (server.cursor(), Browser::start().await);
    server.publish("a", 0..10);
    let page = open(&browser, &server).await;
    page.listen("one", json!({ "channels": ["a"], "cursor": old, "share": false })).await;
    assert_eq!(page.hears("one", 4).await, [json!("gap"), json!(7), json!(8), json!(9)]);
    // Who stopped at the gap is told of it again.
    assert_eq!(page.heard("one").await["events"][0]["cursor"], json!(old));
    server.publish("a", [10]);
    assert_eq!(page.hears("one", 5).await[4], 10);
}

#[tokio::test]
async fn a_server_that_starts_again_is_a_gap() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", alone(25)).await;
    server.parks(1).await;
    server.publish("a", [1]);
    page.hears("one", 1).await;
    server.restart();
    server.parks(1).await;
    server.publish("a", [2]);
    assert_eq!(page.hears("one", 3).await, [json!(1), json!("gap"), json!(2)]);
    let events = page.heard("one").await;
    assert_ne!(events["events"][0]["cursor"], events["events"][1]["cursor"]);
}

#[tokio::test]
async fn a_503_is_not_asked_again_before_its_time() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    server.faults(|number, _| (number == 2).then_some(Fault::Status(503, 2)));
    page.listen("one", alone(25)).await;
    page.state("one", "reconnecting").await;
    page.tab.run("dispatchEvent(new Event('online'))", Value::Null).await;
    page.state("one", "connected").await;
    let polls = server.polls();
    assert!(polls[2].0 - polls[1].0 >= Duration::from_millis(1_990));
    server.parks(1).await;
    server.publish("a", [1]);
    page.hears_all("one", [1]).await;
}

#[tokio::test]
async fn a_server_that_holds_nothing_is_not_asked_without_pause() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    server.faults(|_, _| Some(Fault::Hasty));
    page.listen("one", alone(25)).await;
    let polls =
        wait_until("nine polls", async || Some(server.polls()).filter(|polls| polls.len() >= 9))
            .await;
    assert!(polls[8].0 - polls[0].0 > Duration::from_millis(300));
}

/// Has the second answer, in which an event comes, meet a fault. Whether it was asked for again.
async fn is_asked_for_again(fault: Fault) -> bool {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    server.faults(move |number, _| (number == 2).then_some(fault));
    page.listen("one", alone(1)).await;
    wait_until("the second poll", async || (server.polls().len() == 2).then_some(())).await;
    server.publish("a", [1]);
    page.hears_all("one", [1]).await;
    server.parks(1).await;
    let polls = server.polls();
    let cursor =
        |query: &str| query.split('&').find(|part| part.starts_with("cursor=")).map(str::to_owned);
    cursor(&polls[1].1).unwrap() == cursor(&polls[2].1).unwrap()
}

#[tokio::test]
async fn an_answer_that_never_comes_is_asked_for_again() {
    assert!(is_asked_for_again(Fault::Hang).await);
}

#[tokio::test]
async fn an_answer_that_stands_still_is_asked_for_again() {
    assert!(is_asked_for_again(Fault::Stalled).await);
}

#[tokio::test]
async fn an_answer_over_a_slow_link_is_waited_for() {
    assert!(!is_asked_for_again(Fault::Slow).await);
}

#[tokio::test]
async fn what_a_cache_repeats_is_heard_once() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    let oldest = server.cursor();
    server.publish("a", [1]);
    server.faults(|number, _| (number < 4).then_some(Fault::Cached));
    page.listen("one", json!({ "channels": ["a"], "cursor": oldest, "share": false })).await;
    server.parks(1).await;
    server.publish("a", [2]);
    page.hears_all("one", [1, 2]).await;
}

#[tokio::test]
async fn an_answer_with_what_is_no_event_is_asked_for_again() {
    const CROOKED: [&str; 4] = [
        "null",
        r#"{ "channel": "a", "data": 1 }"#,
        r#"{ "id": "x", "data": 1 }"#,
        r#"{ "channel": "a", "id": "x", "encoding": "base64", "data": "?" }"#,
    ];
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    server.faults(|number, _| CROOKED.get(number - 1).map(|event| Fault::Crooked(event)));
    page.listen("one", alone(25)).await;
    server.parks(1).await;
    server.publish("a", [1]);
    page.hears_all("one", [1]).await;
}

#[tokio::test]
async fn what_was_published_without_a_network_comes_with_it() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", alone(25)).await;
    page.state("one", "connected").await;
    server.parks(1).await;
    page.tab.offline(true).await;
    page.state("one", "offline").await;
    server.parks(0).await;
    server.publish("a", 0..5);
    page.tab.offline(false).await;
    page.hears_all("one", 0..5).await;
    page.state("one", "connected").await;
    server.parks(1).await;
    page.is_clean().await;
}

#[tokio::test]
async fn a_page_that_was_frozen_goes_on() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", alone(25)).await;
    server.parks(1).await;
    page.tab.freeze(true).await;
    server.publish("a", 0..5);
    page.tab.freeze(false).await;
    page.hears_all("one", 0..5).await;
    server.publish("a", [5]);
    page.hears_all("one", 0..6).await;
    page.is_clean().await;
}

#[tokio::test]
async fn a_wake_polls_anew_at_once() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", alone(25)).await;
    server.parks(1).await;
    let before = server.polls().len();
    let script = "dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))";
    page.tab.run(script, Value::Null).await;
    wait_until("two polls", async || (server.polls().len() == before + 2).then_some(())).await;
    server.parks(1).await;
    page.is_clean().await;
}

#[tokio::test]
async fn an_aborted_signal_ends_it() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    for (name, options) in [("alone", alone(25)), ("shared", json!({ "channels": ["a"] }))] {
        page.listen(name, options).await;
        server.parks(1).await;
        page.tab.run(&format!("{name}.stop()"), Value::Null).await;
        page.ends(name, 0).await;
        server.parks(0).await;
    }
    page.is_clean().await;
}

#[tokio::test]
async fn a_loop_that_is_left_ends_it() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    let oldest = server.cursor();
    server.publish("a", 0..5);
    for share in [false, true] {
        let options =
            json!({ "channels": ["a"], "cursor": oldest, "leaveAfter": 3, "share": share });
        page.listen("one", options).await;
        page.ends("one", 0).await;
        let heard = page.heard("one").await;
        assert_eq!(heard["events"].as_array().unwrap().len(), 3);
        server.parks(0).await;
        // Whoever goes on from there misses nothing.
        let last = &heard["events"][2]["cursor"];
        page.listen("two", json!({ "channels": ["a"], "cursor": last, "leaveAfter": 2 })).await;
        page.ends("two", 0).await;
        page.hears_all("two", [3, 4]).await;
    }
    // Also one that polls for all tabs.
    page.listen("three", json!({ "channels": ["a"], "leaveAfter": 1 })).await;
    page.settles(&server, 1).await;
    server.publish("a", [5]);
    page.ends("three", 0).await;
    let known = page.tab.run("return Object.keys(joins).length", Value::Null).await;
    page.listen("four", json!({ "channels": ["a"] })).await;
    let script = format!("return Object.values(joins)[{known}]?.step === 4");
    page.tab.wait_until("the next caller's last step", &script).await;
    page.settles(&server, 1).await;
    page.is_clean().await;
}

#[tokio::test]
async fn an_error_that_repeating_does_not_help_is_thrown() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    server.faults(|_, query| query.contains("channel=a").then_some(Fault::Status(404, 0)));
    for share in [false, true] {
        page.listen("one", json!({ "channels": ["a"], "share": share })).await;
        page.ends("one", 404).await;
        assert_eq!(page.heard("one").await["end"]["message"], "as the test wants it");
        page.listen("two", json!({ "channels": ["b"], "cursor": "nonsense", "share": share }))
            .await;
        page.ends("two", 400).await;
    }
    server.parks(0).await;
    page.is_clean().await;
}

#[tokio::test]
async fn a_channel_that_is_deleted_is_thrown() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    for share in [false, true] {
        server.publish("a", [1]);
        page.listen("one", json!({ "channels": ["a"], "share": share })).await;
        match share {
            true => page.settles(&server, 1).await,
            false => server.parks(1).await,
        }
        server.hub().delete(&Channel::new("a").unwrap());
        page.ends("one", 410).await;
    }
    server.parks(0).await;
    page.is_clean().await;
}
