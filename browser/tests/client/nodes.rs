//! Tabs whose polls meet different nodes of a cluster, of which one is behind.

use std::{ops::Range, time::Duration};

use serde_json::json;
use tokio::time::sleep;
use tower_longpoll::{Channel, Event, Hub, backplane::Backplane};
use tower_longpoll_browser::{Browser, wait_until};

use crate::{page::open, server::Server, shared::on};

use self::faulty::Faulty;

#[allow(dead_code, reason = "others lose its data, too")]
#[path = "../../../tests/backplane/faulty.rs"]
mod faulty;

/// Two nodes, and the way of the first to the log.
async fn cluster() -> (Backplane, Backplane, Faulty) {
    let way = Faulty::new();
    let slow = Backplane::join(Hub::builder(), way.clone()).await.unwrap();
    let fast = Backplane::join(Hub::builder(), way.log()).await.unwrap();
    (slow, fast, way)
}

/// Publishes on channel `a`, and waits until the node knows.
async fn publish(node: &Backplane, numbers: Range<u64>) {
    for number in numbers {
        let (channel, event) = (Channel::new("a").unwrap(), Event::json(&number).unwrap());
        let before = node.hub().cursor();
        node.publisher().publish(&channel, event).await.unwrap();
        wait_until("the event", async || (node.hub().cursor() != before).then_some(())).await;
    }
}

/// A tab joins, from before three events that only one node knows; whether that is the leader's.
async fn joins_while_a_node_is_behind(is_leaders: bool) {
    let (slow, fast, way) = cluster().await;
    let (server, browser) = (Server::start().await, Browser::start().await);
    let hubs = [slow.hub().clone(), fast.hub().clone()];
    // The poll for all asks for `b` as well.
    server.nodes(move |query| hubs[usize::from(query.contains("channel=b") != is_leaders)].clone());
    let leader = open(&browser, &server).await;
    leader.listen("one", on(&["b"])).await;
    leader.shares(1).await;
    let cursor = fast.hub().cursor().to_string();
    way.set_away(true);
    publish(&fast, 0..3).await;
    let tab = open(&browser, &server).await;
    tab.listen("one", json!({ "channels": ["a"], "cursor": cursor })).await;
    tab.tab.wait_until("a second try", "return Object.keys(joins).length > 0").await;
    // So long that the tab would have gone on without the order of positions.
    sleep(Duration::from_secs(1)).await;
    way.set_away(false);
    publish(&fast, 3..4).await;
    leader.shares(2).await;
    publish(&fast, 4..5).await;
    tab.hears_all("one", 0..5).await;
    sleep(Duration::from_millis(500)).await;
    tab.hears_all("one", 0..5).await;
    tab.is_clean().await;
}

#[tokio::test]
async fn a_tab_whose_own_polls_meet_a_node_that_is_behind_misses_nothing() {
    joins_while_a_node_is_behind(false).await;
}

#[tokio::test]
async fn a_tab_whose_leader_meets_a_node_that_is_behind_hears_nothing_twice() {
    joins_while_a_node_is_behind(true).await;
}

#[tokio::test]
async fn servers_that_do_not_know_each_other_are_not_asked_without_pause() {
    for share in [false, true] {
        let (server, browser) = (Server::start().await, Browser::start().await);
        let (hubs, mut turn) = ([Hub::new(), Hub::new()], 0);
        server.nodes(move |_| {
            turn += 1;
            hubs[turn % 2].clone()
        });
        let page = open(&browser, &server).await;
        page.listen("one", json!({ "channels": ["a"], "share": share })).await;
        sleep(Duration::from_secs(3)).await;
        let polls = server.polls().len();
        assert!(polls < 40, "{polls} polls in three seconds, shared: {share}");
    }
}
