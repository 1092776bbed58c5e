//! Who is here.

use std::{future::Future, task::Context};

use axum::{body::Body, http::Request};
use futures_util::task::noop_waker;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Site, sleep_ms, text};

fn presence(events: &[Value]) -> Vec<Value> {
    let told = events.iter().filter(|event| event["kind"] == "presence");
    told.map(|event| event["view"]["seats"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn who_polls_is_here_and_who_left_is_told_once_when_the_grace_has_passed() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let white = site.poll(&format!("channel=seat.{}", players.white_seat)).await;
    let black = site.poll(&format!("channel=seat.{}&wait=60", players.black_seat)).await;
    sleep_ms(10_000).await;
    let state = site.state(&players.id, "").await;
    assert_eq!(state["view"]["seats"]["white"]["here"], true);

    black.abort(); // the client's connection is gone
    sleep_ms(4_999).await;
    assert_eq!(presence(&site.events(&players.id, &state["cursor"]).await).len(), 0);
    sleep_ms(2).await;
    let told = presence(&site.events(&players.id, &state["cursor"]).await);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["black"], json!({ "taken": true, "here": false, "left_ms": 5_000 }));
    assert_eq!(told[0]["white"], json!({ "taken": true, "here": true, "left_ms": 0 }));

    // White's own poll is over at most 25 seconds after it began, and is not made again here.
    sleep_ms(2_000).await;
    let state = site.state(&players.id, "").await;
    assert_eq!(state["view"]["seats"]["black"]["left_ms"], 7_001);
    let _black = site.poll(&format!("channel=seat.{}&wait=60", players.black_seat)).await;
    sleep_ms(1).await;
    let told = presence(&site.events(&players.id, &state["cursor"]).await);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["black"], json!({ "taken": true, "here": true, "left_ms": 0 }));
    white.abort();
}

#[tokio::test(start_paused = true)]
async fn polling_again_within_the_grace_is_staying() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let cursor = site.state(&players.id, "").await["cursor"].clone();
    for _ in 0..10 {
        for seat in [&players.white_seat, &players.black_seat] {
            site.poll(&format!("channel=seat.{seat}&wait=0")).await.await.unwrap();
        }
        sleep_ms(4_900).await;
    }
    assert_eq!(presence(&site.events(&players.id, &cursor).await), Vec::<Value>::new());
    sleep_ms(101).await;
    let told = presence(&site.events(&players.id, &cursor).await);
    assert_eq!(told.len(), 1, "both left, and nobody was told of one alone");
    assert_eq!(told[0]["white"]["left_ms"], 5_000);
}

#[tokio::test(start_paused = true)]
async fn of_two_tabs_one_is_enough() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let tab = format!("channel=seat.{}&wait=60", players.white_seat);
    let (first, second) = (site.poll(&tab).await, site.poll(&tab).await);
    first.abort();
    sleep_ms(20_000).await;
    assert_eq!(site.state(&players.id, "").await["view"]["seats"]["white"]["here"], true);
    second.abort();
    sleep_ms(5_001).await;
    assert_eq!(site.state(&players.id, "").await["view"]["seats"]["white"]["here"], false);
}

#[tokio::test(start_paused = true)]
async fn a_player_who_never_polls_is_not_here() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let state = site.state(&players.id, "").await;
    assert_eq!(
        state["view"]["seats"]["black"],
        json!({ "taken": true, "here": true, "left_ms": 0 })
    );
    sleep_ms(5_001).await;
    let told = presence(&site.events(&players.id, &state["cursor"]).await);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["black"]["here"], false);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_who_was_here_has_the_grace_and_who_was_away_stays_away() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let white = site.poll(&format!("channel=seat.{}&wait=60", players.white_seat)).await;
    sleep_ms(20_000).await;
    white.abort();
    let site = site.killed();
    let state = site.state(&players.id, "").await;
    assert_eq!(state["view"]["seats"]["white"]["here"], true);
    assert_eq!(state["view"]["seats"]["black"]["here"], false);
    assert_eq!(state["view"]["seats"]["black"]["left_ms"], 20_000);
    sleep_ms(5_001).await;
    let told = presence(&site.events(&players.id, &state["cursor"]).await);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["white"]["here"], false);
}

#[tokio::test(start_paused = true)]
async fn watchers_are_those_who_poll_the_game_without_a_seat_at_it() {
    let site = Site::new();
    let (players, other) = (site.game(300.0, 0).await, site.game(300.0, 0).await);
    let cursor = site.state(&players.id, "").await["cursor"].clone();
    let game = format!("channel=game.{}&wait=60", players.id);
    let _player = site.poll(&format!("{game}&channel=seat.{}", players.white_seat)).await;
    let _visitor = site.poll(&format!("{game}&channel=seat.{}", other.white_seat)).await;
    let _chat = site.poll(&format!("channel=chat.{}&wait=60", players.id)).await;
    let watcher = site.poll(&game).await;
    sleep_ms(1_001).await;
    let events = site.events(&players.id, &cursor).await;
    let crowd: Vec<_> = events.iter().map(|event| event["view"]["watchers"].clone()).collect();
    assert_eq!(crowd, [2], "both in one event");

    // They were answered by that event, and are back: those are the same two.
    assert_eq!(text(&watcher.await.unwrap()["events"][0]["data"]["kind"]), "presence");
    let (_one, _two) = (site.poll(&game).await, site.poll(&game).await);
    sleep_ms(3_000).await;
    assert_eq!(site.state(&players.id, "").await["view"]["watchers"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_comes_and_goes_in_few_events() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    sleep_ms(6_000).await;
    let state = site.state(&players.id, "").await;
    let game = format!("channel=game.{}&wait=60", players.id);
    let mut crowd = Vec::new();
    for _ in 0..100 {
        crowd.push(site.poll(&game).await);
        sleep_ms(5).await;
    }
    // All are answered when their number is told, and are back a moment later.
    for poll in crowd.splice(.., []) {
        poll.await.unwrap();
    }
    for _ in 0..100 {
        crowd.push(site.poll(&game).await);
    }
    sleep_ms(10_000).await;
    assert_eq!(site.state(&players.id, "").await["view"]["watchers"], 100);
    for poll in crowd {
        poll.abort();
        sleep_ms(5).await;
    }
    sleep_ms(10_000).await;
    let told = site.events(&players.id, &state["cursor"]).await;
    let crowd: Vec<_> = told.iter().map(|event| event["view"]["watchers"].clone()).collect();
    assert_eq!(crowd, [100, 0]);
}

/// The look at what a parked poll costs is by hand, since a test's own task would count.
#[tokio::test(start_paused = true)]
async fn parked_polls_have_no_tasks_and_leave_nothing() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let seats = format!("channel=seat.{}&channel=game.{}", players.white_seat, players.id);
    let before = site.tasks();
    let mut polls = Vec::new();
    for _ in 0..1_000 {
        let request = Request::get(format!("/events?{seats}")).body(Body::empty()).unwrap();
        let mut poll = Box::pin(site.router.clone().oneshot(request));
        let pending = poll.as_mut().poll(&mut Context::from_waker(&noop_waker())).is_pending();
        assert!(pending);
        polls.push(poll);
    }
    assert_eq!(site.app.room.hub().stats().parked, 1_000);
    // One drives the hub's timers.
    assert!(site.tasks() <= before + 1, "{} tasks instead of {before}", site.tasks());
    drop(polls);
    assert_eq!(site.app.room.hub().stats().parked, 0);
    assert!(site.tasks() <= before + 2, "{} tasks instead of {before}", site.tasks());
}
