//! Tabs that share a poll.

use std::time::Duration;

use serde_json::{Value, json};
use tower_longpoll::{Channel, Hub};
use tower_longpoll_browser::{Browser, wait_until};

use crate::{
    alone::FAULTS,
    page::{Page, open, open_at, watch},
    server::{Fault, Server},
};

pub fn on(channels: &[&str]) -> Value {
    json!({ "channels": channels })
}

/// Tabs that listen to channel `a`, and are settled.
pub async fn tabs(browser: &Browser, server: &Server, count: usize) -> Vec<Page> {
    let mut pages = Vec::new();
    for number in 1..=count {
        let page = open(browser, server).await;
        page.listen("one", on(&["a"])).await;
        page.settles(server, number).await;
        pages.push(page);
    }
    pages
}

#[tokio::test]
async fn three_tabs_share_one_poll() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 3).await;
    let before = server.polls().len();
    server.publish("a", [1]);
    for page in &pages {
        page.hears_all("one", [1]).await;
        page.state("one", "connected").await;
    }
    server.parks(1).await;
    assert_eq!(server.polls().len(), before + 1);
    for page in &pages {
        page.is_clean().await;
    }
}

#[tokio::test]
async fn two_listeners_of_a_page_share_one_poll() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let page = open(&browser, &server).await;
    page.listen("one", on(&["a"])).await;
    page.listen("two", on(&["b"])).await;
    page.settles(&server, 2).await;
    server.parks_one_of(&["a", "b"]).await;
    server.publish("b", [1]);
    server.publish("a", [2]);
    page.hears_all("two", [1]).await;
    page.hears_all("one", [2]).await;
    // The leader goes.
    page.tab.run("one.stop()", Value::Null).await;
    page.settles(&server, 1).await;
    server.parks_one_of(&["b"]).await;
    server.publish("b", [3]);
    page.hears_all("two", [1, 3]).await;
    page.is_clean().await;
}

#[tokio::test]
async fn every_tab_hears_its_own_channels_only() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let (one, two) = (open(&browser, &server).await, open(&browser, &server).await);
    one.listen("one", on(&["a", "b"])).await;
    two.listen("one", on(&["b", "c"])).await;
    one.settles(&server, 2).await;
    server.parks_one_of(&["a", "b", "c"]).await;
    for number in 0..30 {
        server.publish(["a", "b", "c"][number % 3], [number as u64]);
    }
    one.hears_all("one", (0..30).filter(|number| number % 3 != 2)).await;
    two.hears_all("one", (0..30).filter(|number| number % 3 != 0)).await;
    // The channels of who went are not asked for any more.
    two.tab.close().await;
    wait_until("the poll of who is left", async || {
        server.publish("a", [30]);
        server.polls().pop().filter(|(_, query)| !query.contains("channel=c"))
    })
    .await;
    one.is_clean().await;
}

#[tokio::test]
async fn every_event_comes_once_and_in_order_while_leaders_go_and_everything_fails() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let mut pages = tabs(&browser, &server, 3).await;
    server.faults(|number, _| FAULTS[number % FAULTS.len()]);
    for group in 0..30 {
        server.publish("a", group * 10..group * 10 + 10);
        let last = pages.last().unwrap();
        last.hears("one", group as usize * 10 + 5).await;
        if group == 10 || group == 20 {
            pages.remove(0).tab.close().await;
        }
    }
    server.no_faults();
    for page in &pages {
        page.hears_all("one", 0..300).await;
        page.settles(&server, 1).await;
        server.publish("a", [300]);
        page.hears_all("one", 0..301).await;
        page.is_clean().await;
    }
}

#[tokio::test]
async fn a_server_that_starts_again_is_one_gap_for_each_tab() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 3).await;
    server.publish("a", [0]);
    for page in &pages {
        page.hears("one", 1).await;
    }
    server.parks(1).await;
    server.restart();
    server.parks(1).await;
    server.publish("a", [1]);
    for page in &pages {
        assert_eq!(page.hears("one", 3).await, [json!(0), json!("gap"), json!(1)]);
        page.is_clean().await;
    }
}

#[tokio::test]
async fn a_leader_that_is_frozen_loses_its_place() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 2).await;
    let [frozen, other] = &pages[..] else { unreachable!() };
    frozen.tab.freeze(true).await;
    server.publish("a", [0]);
    // As if its user came back to the other tab.
    other.tab.run("dispatchEvent(new Event('online'))", Value::Null).await;
    other.hears_all("one", [0]).await;
    other.shares(1).await;
    server.publish("a", [1]);
    other.hears_all("one", [0, 1]).await;
    frozen.tab.freeze(false).await;
    other.shares(2).await;
    server.publish("a", [2]);
    for page in &pages {
        page.hears_all("one", 0..3).await;
        page.is_clean().await;
    }
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_noticed() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let mut pages = Vec::new();
    for number in 1..=2 {
        let page = open(&browser, &server).await;
        page.listen("one", json!({ "channels": ["a"], "wait": 1 })).await;
        page.settles(&server, number).await;
        pages.push(page);
    }
    pages[0].tab.freeze(true).await;
    server.publish("a", [0]);
    pages[1].hears_all("one", [0]).await;
    pages[1].shares(1).await;
    server.publish("a", [1]);
    pages[1].hears_all("one", [0, 1]).await;
}

#[tokio::test]
async fn a_follower_that_is_frozen_catches_up() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 2).await;
    pages[1].tab.freeze(true).await;
    server.publish("a", 0..50);
    pages[0].hears_all("one", 0..50).await;
    pages[1].tab.freeze(false).await;
    pages[1].hears_all("one", 0..50).await;
    pages[0].settles(&server, 2).await;
    server.publish("a", [50]);
    for page in &pages {
        page.hears_all("one", 0..51).await;
        page.is_clean().await;
    }
}

#[tokio::test]
async fn a_tab_that_nobody_looks_at_hears_all() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let hidden = watch(browser.tab(&server.url("/")).await).await;
    hidden.listen("one", json!({ "channels": ["a"], "cursor": "oldest" })).await;
    let seen = watch(browser.tab(&server.url("/")).await).await;
    seen.listen("one", json!({ "channels": ["a"], "cursor": "oldest" })).await;
    for number in 0..5 {
        server.publish("a", [number]);
        seen.hears_all("one", 0..=number).await;
    }
    hidden.hears_all("one", 0..5).await;
    for number in 5..10 {
        server.publish("a", [number]);
        hidden.hears_all("one", 0..=number).await;
        seen.hears_all("one", 0..=number).await;
    }
    hidden.is_clean().await;
    seen.is_clean().await;
}

#[tokio::test]
async fn the_network_goes_and_comes_back_for_all_tabs() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 2).await;
    for page in &pages {
        page.tab.offline(true).await;
        page.state("one", "offline").await;
    }
    server.publish("a", 0..10);
    for page in &pages {
        page.tab.offline(false).await;
    }
    for page in &pages {
        page.hears_all("one", 0..10).await;
        page.state("one", "connected").await;
    }
    pages[0].settles(&server, 2).await;
    server.publish("a", [10]);
    for page in &pages {
        page.hears_all("one", 0..11).await;
        page.is_clean().await;
    }
}

#[tokio::test]
async fn one_tabs_bad_channel_is_its_own() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    server.faults(|_, query| query.contains("channel=bad").then_some(Fault::Status(403, 0)));
    let pages = tabs(&browser, &server, 2).await;
    let bad = open(&browser, &server).await;
    let before = server.polls().len();
    bad.listen("one", on(&["bad"])).await;
    bad.ends("one", 403).await;
    assert_eq!(server.polls().len(), before + 1);
    server.publish("a", [0]);
    for page in &pages {
        page.hears_all("one", [0]).await;
    }
    server.parks(1).await;
}

/// Tabs that share a poll with one whose channel is answered with this status from now on.
async fn tabs_and_one_that_turns_bad(
    browser: &Browser,
    server: &Server,
    status: u16,
) -> (Vec<Page>, Page) {
    let pages = tabs(browser, server, 2).await;
    let bad = open(browser, server).await;
    bad.listen("one", on(&["bad"])).await;
    bad.settles(server, 3).await;
    server
        .faults(move |_, query| query.contains("channel=bad").then_some(Fault::Status(status, 0)));
    (pages, bad)
}

#[tokio::test]
async fn a_channel_that_turns_bad_leaves_the_other_tabs_alone() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let (pages, bad) = tabs_and_one_that_turns_bad(&browser, &server, 403).await;
    server.publish("a", [0]);
    bad.ends("one", 403).await;
    for page in &pages {
        page.hears_all("one", [0]).await;
    }
    // Each for itself, for a while.
    server.parks(2).await;
    server.publish("a", [1]);
    for page in &pages {
        page.hears_all("one", [0, 1]).await;
        page.is_clean().await;
    }
}

#[tokio::test]
async fn a_channel_that_a_server_fails_at_leaves_the_other_tabs_alone() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let (pages, bad) = tabs_and_one_that_turns_bad(&browser, &server, 500).await;
    server.publish("a", [0]);
    // The shared poll after that is what fails.
    server.publish("a", [1]);
    for page in &pages {
        page.hears_all("one", [0, 1]).await;
        page.is_clean().await;
    }
    // Each for itself, for a while.
    server.parks(2).await;
    server.no_faults();
    server.publish("bad", [2]);
    bad.hears_all("one", [2]).await;
}

#[tokio::test]
async fn a_rest_that_the_server_wants_is_kept_by_all_tabs() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 2).await;
    server.faults(|number, _| (number == 1).then_some(Fault::Status(503, 4)));
    let before = server.polls().len();
    server.publish("a", [0]);
    for page in &pages {
        page.state("one", "reconnecting").await;
        page.tab.run("dispatchEvent(new Event('online'))", Value::Null).await;
    }
    server.publish("a", [1]);
    for page in &pages {
        page.hears_all("one", [0, 1]).await;
    }
    let polls = server.polls();
    assert!(polls[before + 1].0 - polls[before].0 >= Duration::from_millis(3_990));
    pages[0].settles(&server, 2).await;
}

#[tokio::test]
async fn a_leader_whose_answer_comes_slowly_keeps_its_place() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let mut pages = Vec::new();
    for number in 1..=2 {
        let page = open(&browser, &server).await;
        page.listen("one", json!({ "channels": ["a"], "wait": 1 })).await;
        page.settles(&server, number).await;
        pages.push(page);
    }
    server.faults(|number, _| (number == 1).then_some(Fault::Slow));
    let before = server.polls().len();
    wait_until("the slow poll", async || (server.polls().len() > before).then_some(())).await;
    server.publish("a", [0]);
    for page in &pages {
        page.hears_all("one", [0]).await;
    }
    server.parks(1).await;
    assert_eq!(server.polls().len(), before + 2);
}

#[tokio::test]
async fn a_channel_that_is_deleted_ends_its_own_tabs_only() {
    // Also where the tabs do not know what the server puts before its name.
    for prefix in ["", "chat:"] {
        let server = Server::with_prefix(Hub::builder(), prefix).await;
        let browser = Browser::start().await;
        let (one, two) = (open(&browser, &server).await, open(&browser, &server).await);
        one.listen("one", on(&["1"])).await;
        two.listen("one", on(&["1", "21"])).await;
        one.settles(&server, 2).await;
        server.hub().delete(&Channel::new(format!("{prefix}21")).unwrap());
        two.ends("one", 410).await;
        server.publish(&format!("{prefix}1"), [1]);
        one.hears_all("one", [1]).await;
    }
}

#[tokio::test]
async fn tabs_that_know_of_a_prefix_share_one_poll() {
    let server = Server::with_prefix(Hub::builder(), "chat:").await;
    let browser = Browser::start().await;
    let (one, two) = (open(&browser, &server).await, open(&browser, &server).await);
    one.listen("one", json!({ "channels": ["a", "b"], "prefix": "chat:" })).await;
    two.listen("one", json!({ "channels": ["b"], "prefix": "chat:" })).await;
    server.parks_one_of(&["a", "b"]).await;
    for number in 0..10 {
        server.publish(["chat:a", "chat:b"][number % 2], [number as u64]);
    }
    one.hears_all("one", 0..10).await;
    two.hears_all("one", (0..10).filter(|number| number % 2 == 1)).await;
    server.parks_one_of(&["a", "b"]).await;
    server.hub().delete(&Channel::new("chat:a").unwrap());
    one.ends("one", 410).await;
    server.publish("chat:b", [11]);
    two.hears_all("one", [1, 3, 5, 7, 9, 11]).await;
}

#[tokio::test]
async fn tabs_that_do_not_know_of_a_prefix_hear_all() {
    let server = Server::with_prefix(Hub::builder(), "chat:").await;
    let browser = Browser::start().await;
    let pages = tabs(&browser, &server, 2).await;
    server.publish("chat:a", [0]);
    for page in &pages {
        page.hears_all("one", [0]).await;
    }
    // Each for itself from now on.
    server.parks(2).await;
    server.publish("chat:a", [1, 2]);
    for page in &pages {
        page.hears_all("one", [0, 1, 2]).await;
        page.is_clean().await;
    }
    server.parks(2).await;
    server.hub().delete(&Channel::new("chat:a").unwrap());
    for page in &pages {
        page.ends("one", 410).await;
    }
}

#[tokio::test]
async fn more_channels_than_a_poll_may_have_are_polled_apart() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let names = |letter| (0..40).map(|number| format!("{letter}{number}")).collect::<Vec<_>>();
    let (one, two) = (open(&browser, &server).await, open(&browser, &server).await);
    one.listen("one", json!({ "channels": names('a') })).await;
    one.settles(&server, 1).await;
    two.listen("one", json!({ "channels": names('b') })).await;
    server.parks(2).await;
    server.publish("a39", [0]);
    server.publish("b39", [1]);
    one.hears_all("one", [0]).await;
    two.hears_all("one", [1]).await;
}

#[tokio::test]
async fn a_browser_without_locks_polls_for_each_tab() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let mut pages = Vec::new();
    for _ in 0..2 {
        let page = open_at(&browser, &server.url("/?locks=none")).await;
        page.listen("one", on(&["a"])).await;
        pages.push(page);
    }
    server.parks(2).await;
    server.publish("a", 0..5);
    for page in &pages {
        page.hears_all("one", 0..5).await;
        page.is_clean().await;
    }
}
