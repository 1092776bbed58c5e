//! Every change is seen once by everybody who looks, whenever they begin to look.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{Players, Site, text};

/// Loads the state and follows the game, again and again as somebody who reloads the page, until it
/// is over.
async fn follow(site: &Site, players: &Players, polls_a_load: usize) {
    loop {
        let state = site.state(&players.id, "").await;
        let (mut view, mut cursor) = (state["view"].clone(), text(&state["cursor"]));
        let mut chat: Vec<Value> = state["chat"].as_array().unwrap().clone();
        for _ in 0..polls_a_load {
            if view["phase"] == "over" {
                return;
            }
            let channels = format!("channel=game.{0}&channel=chat.{0}", players.id);
            let (status, answer) =
                site.get(&format!("/events?{channels}&cursor={cursor}&wait=1")).await;
            assert_eq!((status, &answer["gap"]), (200, &json!(false)));
            cursor = text(&answer["cursor"]);
            for event in answer["events"].as_array().unwrap() {
                let data = event["data"].clone();
                if event["channel"].as_str().unwrap().starts_with("chat") {
                    // The lines are numbered by who says them.
                    let last = chat.last().map_or(0, number);
                    assert_eq!(number(&data), last + 1, "a line is lost or told twice");
                    chat.push(data);
                } else {
                    let version = view["version"].as_u64().unwrap();
                    let next = data["view"]["version"].as_u64().unwrap();
                    assert_eq!(next, version + 1, "a change is lost or told twice");
                    view = data["view"].clone();
                }
            }
        }
    }
}

fn number(line: &Value) -> u64 {
    line["text"].as_str().unwrap().parse().unwrap()
}

/// On real threads, since the race is one between them; nothing here looks at a clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_loads_the_game_sees_every_later_change_once() {
    const MOVES: &str = "e2e3 a7a5 d1h5 a8a6 h5a5 h7h5 h2h4 a6h6 a5c7 f7f6 c7d7 e8f7 d7b7 d8d3 b7b8 \
                         d3h7 b8c8 f7g6 c8e6";
    let site = Arc::new(Site::new());
    for _ in 0..15 {
        let players = Arc::new(site.game(600.0, 0).await);
        let mut followers = JoinSet::new();
        for polls_a_load in [1, 1, 2, 3] {
            let (site, players) = (Arc::clone(&site), Arc::clone(&players));
            followers.spawn(async move { follow(&site, &players, polls_a_load).await });
        }
        let path = format!("/api/games/{}/chat", players.id);
        for (ply, uci) in MOVES.split_whitespace().enumerate() {
            let line = json!({ "text": (ply + 1).to_string() });
            assert_eq!(site.post(&path, "", line).await.0, 200);
            let token = [&players.white, &players.black][ply % 2];
            assert_eq!(site.play(&players.id, token, uci, ply).await.0, 200);
            tokio::task::yield_now().await;
        }
        while let Some(followed) = followers.join_next().await {
            followed.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_moves_on_two_threads_one_counts() {
    let site = Arc::new(Site::new());
    for _ in 0..50 {
        let players = site.game(600.0, 0).await;
        let mut moves = JoinSet::new();
        for uci in ["e2e4", "d2d4", "g1f3"] {
            let (site, id, white) = (Arc::clone(&site), players.id.clone(), players.white.clone());
            moves.spawn(async move { site.play(&id, &white, uci, 0).await.0 });
        }
        let mut statuses = moves.join_all().await;
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409]);
        let view = site.state(&players.id, "").await["view"].clone();
        assert_eq!(view["version"], 3);
    }
}
