//! What a tab hears that joins the poll of others: nothing is missing, and nothing comes twice.

use serde_json::{Value, json};
use tower_longpoll::{Channel, Event};
use tower_longpoll_browser::{Browser, wait_until};

use crate::{
    page::{open, open_at},
    server::{Fault, Server},
    shared::{on, tabs},
};

#[tokio::test]
async fn a_late_tab_catches_up_while_events_come() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let oldest = server.cursor();
    let _pages = tabs(&browser, &server, 1).await;
    let mut count = 0;
    for round in 0..5 {
        let late = open(&browser, &server).await;
        late.listen("one", json!({ "channels": ["a"], "cursor": oldest })).await;
        // More events than an answer has, and some at every moment of joining.
        wait_until("a tab that joined", async || {
            server.publish("a", count..count + 20);
            count += 20;
            late.tab
                .run("return settled", Value::Null)
                .await
                .as_u64()
                .filter(|&told| told > round + 1)
        })
        .await;
        let last = count;
        server.publish("a", [last]);
        count = last + 1;
        late.hears_all("one", 0..count).await;
        late.is_clean().await;
    }
}

#[tokio::test]
async fn a_tab_that_is_ahead_of_the_leader_hears_nothing_again() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 1).await;
    let ahead = open(&browser, &server).await;
    // The leader's answer is on its way, and the state that the other tab has read is newer.
    server.faults(|number, _| (number == 1).then_some(Fault::Late));
    server.publish("a", [0]);
    server.publish("a", [1]);
    server.keeps_back().await;
    // By more than an answer has.
    server.publish("a", 2..250);
    ahead.listen("one", json!({ "channels": ["a"], "cursor": server.cursor() })).await;
    server.publish("a", [250]);
    ahead.settles(&server, 2).await;
    server.let_go();
    server.publish("a", [251]);
    ahead.hears_all("one", [250, 251]).await;
    pages[0].hears_all("one", 0..252).await;
}

#[tokio::test]
async fn a_tab_that_joins_anew_while_it_joins_hears_nothing_again() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let _pages = tabs(&browser, &server, 1).await;
    let page = open(&browser, &server).await;
    let (hub, mut count) = (server.hub(), 0);
    server.faults(move |_, query| {
        let is_leaders =
            ["channel=a", "channel=b", "wait=0"].iter().all(|part| query.contains(part));
        count += usize::from(is_leaders);
        if is_leaders && count == 2 {
            hub.publish(&Channel::new("b").unwrap(), Event::json(&0).unwrap()).unwrap();
        }
        (is_leaders && count == 3).then_some(Fault::Late)
    });
    page.listen("one", on(&["b"])).await;
    page.hears_all("one", [0]).await;
    server.keeps_back().await;
    page.tab.run("dispatchEvent(new Event('online'))", Value::Null).await;
    let script = "return Object.values(joins).some(({ beat }) => beat === 3)";
    page.tab.wait_until("a new beginning", script).await;
    server.let_go();
    page.settles(&server, 2).await;
    server.publish("b", [1]);
    page.hears_all("one", [0, 1]).await;
}

#[tokio::test]
async fn an_answer_that_is_not_handed_to_a_tab_is_noticed() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 1).await;
    let deaf = open_at(&browser, &server.url("/?lossy")).await;
    deaf.listen("one", on(&["a"])).await;
    deaf.settles(&server, 2).await;
    deaf.tab.run("window.isDeaf = true", Value::Null).await;
    server.publish("a", [0]);
    pages[0].hears_all("one", [0]).await;
    deaf.tab.run("window.isDeaf = false", Value::Null).await;
    server.publish("a", [1]);
    deaf.hears_all("one", [0, 1]).await;
    pages[0].hears_all("one", [0, 1]).await;
}

#[tokio::test]
async fn an_answer_that_was_asked_for_before_a_tab_joined_is_not_for_it() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 1).await;
    let (other, ahead) = (open(&browser, &server).await, open(&browser, &server).await);
    // The leader's answer for another tab is empty, and on its way.
    let mut is_first = true;
    server.faults(move |_, query| {
        let is_leaders = query.contains("channel=a") && query.contains("channel=b");
        (is_leaders && std::mem::take(&mut is_first)).then_some(Fault::Late)
    });
    other.listen("one", on(&["b"])).await;
    server.keeps_back().await;
    server.publish("a", [0]);
    ahead.listen("one", json!({ "channels": ["a"], "cursor": server.cursor() })).await;
    ahead.tab.wait_until("two that join", "return Object.keys(joins).length === 2").await;
    server.let_go();
    ahead.settles(&server, 3).await;
    server.publish("a", [1]);
    ahead.hears_all("one", [1]).await;
    pages[0].hears_all("one", [0, 1]).await;
}

#[tokio::test]
async fn a_tab_without_a_cursor_begins_now() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 1).await;
    server.publish("a", [0]);
    pages[0].hears("one", 1).await;
    let late = open(&browser, &server).await;
    late.listen("one", on(&["a"])).await;
    late.settles(&server, 2).await;
    server.publish("a", [1]);
    late.hears_all("one", [1]).await;
    pages[0].hears_all("one", [0, 1]).await;
}

#[tokio::test]
async fn who_stores_a_cursor_goes_on_from_it() {
    let (server, browser) = (Server::start().await, Browser::start().await);
    let pages = tabs(&browser, &server, 2).await;
    server.publish("a", 0..250);
    for page in &pages {
        page.hears("one", 250).await;
    }
    let heard = pages[1].heard("one").await;
    for place in [0, 99, 100, 249] {
        let cursor = &heard["events"][place]["cursor"];
        pages[0]
            .listen("two", json!({ "channels": ["a"], "cursor": cursor, "share": false }))
            .await;
        pages[0].hears("two", 249 - place).await;
        server.parks(2).await;
        pages[0].hears_all("two", place as u64 + 1..250).await;
        pages[0].tab.run("two.stop()", Value::Null).await;
        server.parks(1).await;
    }
}
