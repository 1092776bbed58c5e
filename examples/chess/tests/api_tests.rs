//! What the paths take, give and refuse.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use super::{Folder, Site, sleep_ms, text};

#[tokio::test(start_paused = true)]
async fn a_game_is_played_to_mate_and_every_move_is_one_event() {
    let site = Site::new();
    let players = site.game(300.0, 3).await;
    let cursor = site.state(&players.id, "").await["cursor"].clone();
    site.play_all(&players, "f2f3 e7e5 g2g4 d8h4").await;
    let events = site.events(&players.id, &cursor).await;
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["moved"; 4]);
    let versions: Vec<_> = events.iter().map(|event| event["view"]["version"].clone()).collect();
    assert_eq!(versions, [3, 4, 5, 6]);
    let view = &events[3]["view"];
    assert_eq!(view["phase"], "over");
    assert_eq!(view["check"], true);
    assert_eq!(view["result"], json!({ "winner": "black", "reason": "checkmate" }));
    assert_eq!(view["clock"]["running"], Value::Null);
    assert_eq!(view["moves"][3], json!({ "uci": "d8h4", "san": "Qh4#" }));
    assert_eq!(site.state(&players.id, "").await["view"], *view);
}

#[tokio::test(start_paused = true)]
async fn only_the_token_of_a_side_moves_its_pieces() {
    let site = Site::new();
    let (players, other) = (site.game(300.0, 0).await, site.game(300.0, 0).await);
    let seat = players.white_seat.as_str();
    let part = &players.white[..25];
    for token in ["", "white", seat, part, &other.white, &format!("{}a", players.white)] {
        assert_eq!(site.play(&players.id, token, "e2e4", 0).await.0, 403, "{token:?}");
        for path in ["draw", "resign"] {
            let path = format!("/api/games/{}/{path}", players.id);
            let (status, problem) = site.post(&path, token, json!({ "action": "offer" })).await;
            assert_eq!(status, 403, "{token:?} {problem}");
        }
        let state = site.state(&players.id, token).await;
        assert_eq!((&state["you"], &state["seat"]), (&Value::Null, &Value::Null), "{token:?}");
    }
    assert_eq!(site.play(&players.id, &players.black, "e2e4", 0).await.0, 409);
    let state = site.state(&players.id, &players.black).await;
    assert_eq!((&state["you"], &state["seat"]), (&json!("black"), &json!(players.black_seat)));
    assert_eq!(state["view"]["moves"], json!([]));
}

#[tokio::test(start_paused = true)]
async fn a_move_that_does_not_fit_is_refused() {
    let site = Site::new();
    let asked = json!({ "minutes": 5, "increment": 0, "color": "white" });
    let (_, white) = site.post("/api/games", "", asked).await;
    let (id, white) = (text(&white["id"]), text(&white["token"]));
    assert_eq!(site.play(&id, &white, "e2e4", 0).await.0, 409, "nobody has joined");
    let (_, black) = site.post(&format!("/api/games/{id}/join"), "", json!({})).await;
    let black = text(&black["token"]);
    let rows = [
        (&black, "e7e5", 0, 409),
        (&white, "e2e4", 1, 409),
        (&white, "e2e5", 0, 422),
        (&white, "castle", 0, 422),
        (&white, "e2e4", 0, 200),
        (&white, "e2e4", 0, 409),
        (&white, "d2d4", 1, 409),
        (&black, "e7e5", 1, 200),
    ];
    for (token, uci, ply, expected) in rows {
        assert_eq!(site.play(&id, token, uci, ply).await.0, expected, "{uci} {ply}");
    }
    assert_eq!(site.play("nothere1", &white, "e2e4", 0).await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn of_two_who_join_one_gets_the_seat() {
    let site = Site::new();
    let asked = json!({ "minutes": 0.5, "increment": 60, "color": "random" });
    let (status, first) = site.post("/api/games", "", asked).await;
    assert_eq!(status, 201);
    let path = format!("/api/games/{}/join", text(&first["id"]));
    let (a, b) = tokio::join!(site.post(&path, "", json!({})), site.post(&path, "", json!({})));
    let mut both = [a, b];
    both.sort_by_key(|(status, _)| *status);
    assert_eq!([both[0].0, both[1].0], [200, 409]);
    assert_ne!(both[0].1["color"], first["color"]);
    assert_ne!(both[0].1["token"], first["token"]);
}

#[tokio::test(start_paused = true)]
async fn a_draw_is_offered_lapses_is_declined_and_accepted() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let cursor = site.state(&players.id, "").await["cursor"].clone();
    let path = format!("/api/games/{}/draw", players.id);
    let (white, black) = (&players.white, &players.black);
    let draw = async |token: &str, action: &str| {
        site.post(&path, token, json!({ "action": action })).await.0
    };
    let offer = async || site.state(&players.id, "").await["view"]["draw_offer"].clone();

    assert_eq!(draw(black, "accept").await, 409, "there is no offer");
    assert_eq!(draw(white, "offer").await, 200);
    assert_eq!(draw(white, "offer").await, 409, "it stands already");
    assert_eq!(draw(white, "accept").await, 409, "it is one's own");
    assert_eq!(draw(black, "offer").await, 409, "accept it");
    assert_eq!(site.play(&players.id, white, "e2e4", 0).await.0, 200);
    assert_eq!(offer().await, "white", "who offers may move");
    assert_eq!(site.play(&players.id, black, "e7e5", 1).await.0, 200);
    assert_eq!(offer().await, Value::Null, "who moves declines");
    assert_eq!(draw(black, "accept").await, 409);

    assert_eq!(draw(white, "offer").await, 200);
    assert_eq!(draw(black, "decline").await, 200);
    assert_eq!(draw(white, "offer").await, 409, "once for each move");
    assert_eq!(draw(black, "offer").await, 200);
    assert_eq!(draw(white, "accept").await, 200);
    assert_eq!(draw(white, "offer").await, 409, "it is over");
    let events = site.events(&players.id, &cursor).await;
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].clone()).collect();
    let offered = "draw offered";
    assert_eq!(kinds, [offered, "moved", "moved", offered, "draw declined", offered, "over"]);
    let result = &events[6]["view"]["result"];
    assert_eq!(*result, json!({ "winner": null, "reason": "draw agreed" }));
}

#[tokio::test(start_paused = true)]
async fn who_resigns_loses() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let path = format!("/api/games/{}/resign", players.id);
    // Without a body, too.
    let resigned = site.call(Method::POST, &path, &players.black, Body::empty()).await;
    assert_eq!(resigned.0, 200);
    assert_eq!(site.post(&path, &players.white, json!({})).await.0, 409);
    let view = site.state(&players.id, "").await["view"].clone();
    assert_eq!(view["result"], json!({ "winner": "white", "reason": "resignation" }));
}

#[tokio::test(start_paused = true)]
async fn players_and_watchers_chat_and_the_last_lines_are_kept() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let path = format!("/api/games/{}/chat", players.id);
    let poll = site.poll(&format!("channel=chat.{}", players.id)).await;
    for (token, said) in [(players.black.as_str(), "  good luck\n"), ("", "<b>hello</b>")] {
        assert_eq!(site.post(&path, token, json!({ "text": said })).await.0, 200);
    }
    let line = poll.await.unwrap()["events"][0]["data"].clone();
    assert_eq!((&line["from"], &line["text"]), (&json!("black"), &json!("good luck")));
    assert_eq!(site.post(&path, "wrong", json!({ "text": "x" })).await.0, 403);

    let version = site.state(&players.id, "").await["view"]["version"].clone();
    for text in [" ".repeat(10), "x".repeat(501)] {
        assert_eq!(site.post(&path, "", json!({ "text": text })).await.0, 400);
    }
    for _ in 0..50 {
        assert_eq!(site.post(&path, "", json!({ "text": "é".repeat(500) })).await.0, 200);
    }
    let state = site.state(&players.id, "").await;
    assert_eq!(state["chat"].as_array().unwrap().len(), 50);
    assert_eq!(state["chat"][0]["from"], "watcher");
    assert_eq!(state["view"]["version"], version, "a chat is no change of the game");
}

#[tokio::test(start_paused = true)]
async fn no_secret_is_told_to_anybody_else() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let all = format!("channel=game.{0}&channel=chat.{0}&cursor=oldest&wait=0", players.id);
    site.post(&format!("/api/games/{}/chat", players.id), &players.white, json!({ "text": "a" }))
        .await;
    site.play_all(&players, "e2e4 e7e5").await;
    sleep_ms(6_000).await;
    let told = site.poll(&all).await.await.unwrap().to_string();
    assert!(told.contains("presence") && told.contains("joined"), "{told}");
    let watcher = site.state(&players.id, "").await.to_string();
    let black = site.state(&players.id, &players.black).await.to_string();
    for text in [told, watcher, black] {
        for secret in [&players.white, &players.black, &players.white_seat] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_a_problem_and_changes_nothing() {
    let site = Site::new();
    let new = |minutes: Value, increment: Value, color: &str| {
        json!({ "minutes": minutes, "increment": increment, "color": color }).to_string()
    };
    let large =
        format!("{{\"minutes\":5,\"increment\":3,\"color\":\"white\"{}}}", " ".repeat(4_096));
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let rows = [
        (&post, "/api/games", "".to_owned(), 400),
        (&post, "/api/games", "{".into(), 400),
        (&post, "/api/games", "[]".into(), 400),
        (&post, "/api/games", "\"\u{0}\"".into(), 400),
        (&post, "/api/games", new(json!("5"), json!(3), "white"), 400),
        (&post, "/api/games", new(json!(0.09), json!(3), "white"), 400),
        (&post, "/api/games", new(json!(180.5), json!(3), "white"), 400),
        (&post, "/api/games", new(json!(-5), json!(3), "white"), 400),
        (&post, "/api/games", new(json!(1e300), json!(3), "white"), 400),
        (&post, "/api/games", new(json!(5), json!(61), "white"), 400),
        (&post, "/api/games", new(json!(5), json!(-1), "white"), 400),
        (&post, "/api/games", new(json!(5), json!(3), "green"), 400),
        (&post, "/api/games", large, 413),
        (&put, "/api/games", String::new(), 405),
        (&get, "/api/games/aaaaaaaa/join", String::new(), 405),
        (&post, "/api/games/aaaaaaaa/join", String::new(), 404),
        (&post, "/api/games/%ff/join", String::new(), 404),
        (&get, "/api/games/..%2f..%2fetc%2fpasswd", String::new(), 404),
        (&get, "/api/nothing", String::new(), 404),
        (&get, "/assets/nothing.js", String::new(), 404),
        (&get, "/assets/..%2fmain.rs", String::new(), 404),
        (&get, "/events", String::new(), 400),
        (&get, "/events?channel=nothing", String::new(), 404),
        (&get, "/events/game.aaaaaaaa", String::new(), 404),
        (&get, "/events?channel=status&channel=seat.aaaaaaaa", String::new(), 404),
        (&get, "/events/sim.1", String::new(), 404),
        (&get, "/events/probe", String::new(), 404),
        (&post, "/events/sim.1", "x".into(), 404),
        (&post, "/events/status", "x".into(), 404),
        (&get, "/events?channel=status&cursor=nonsense", String::new(), 400),
        (&put, "/events/status", String::new(), 405),
    ];
    for (method, path, body, expected) in rows {
        let request = Request::builder().method(method).uri(path).body(Body::from(body)).unwrap();
        let (status, headers, text) = site.send(request).await;
        assert_eq!(status.as_u16(), expected, "{method} {path}: {text}");
        assert_eq!(headers["content-type"], "application/problem+json", "{method} {path}");
        let problem: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(problem["status"], expected, "{method} {path}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
    assert_eq!(site.app.room.games(), 0);
    assert_eq!(site.app.room.hub().stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_simulator_has_channels_where_the_server_says_so() {
    let site = Site::with(Folder::new(), 100, true);
    let poll = site.poll("channel=sim.1").await;
    let (status, _) = site.post("/events/sim.1", "", json!({ "n": 1 })).await;
    assert_eq!(status, 201);
    assert_eq!(text(&poll.await.unwrap()["events"][0]["channel"]), "sim.1");
    let players = site.game(300.0, 0).await;
    for channel in [format!("game.{}", players.id), "status".into(), "other".into()] {
        assert_eq!(site.post(&format!("/events/{channel}"), "", json!({})).await.0, 404);
    }
}

/// The path of a style sheet of the first page.
async fn style(site: &Site) -> String {
    let page = text(&site.get("/").await.1);
    let start = page.find("/assets/").unwrap();
    let end = start + page[start..].find(".css").unwrap() + ".css".len();
    page[start..end].into()
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_what_browsers_may_do() {
    let site = Site::new();
    let id = site.game(300.0, 0).await.id;
    let style = style(&site).await;
    let paths = ["/", &format!("/game/{id}"), "/game/nothing1", "/status", &style];
    let more = ["/nothing", "/api/status", "/events?channel=status&wait=0", "/events/nothing"];
    for path in paths.into_iter().chain(more) {
        let (status, headers, _) = site.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{path}");
        assert_eq!(status == 404, path.contains("nothing"), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_browser_has_is_not_sent_again() {
    let site = Site::new();
    let id = site.game(300.0, 0).await.id;
    let game = format!("/game/{id}");
    for (path, kind) in [
        (style(&site).await.as_str(), "text/css"),
        ("/assets/longpoll.js", "text/javascript"),
        ("/", "text/html"),
        (&game, "text/html"),
        ("/status", "text/html"),
    ] {
        let get = || Request::get(path);
        let (status, headers, body) = site.send(get().body(Body::empty()).unwrap()).await;
        assert_eq!((status.as_u16(), body.is_empty()), (200, false), "{path}");
        assert_eq!(headers["content-type"], format!("{kind}; charset=utf-8"), "{path}");
        let again = get().header("if-none-match", headers["etag"].clone());
        let (status, _, body) = site.send(again.body(Body::empty()).unwrap()).await;
        assert_eq!((status.as_u16(), body.as_str()), (304, ""), "{path}");
        let other = get().header("if-none-match", "\"another\"");
        let (status, _, body) = site.send(other.body(Body::empty()).unwrap()).await;
        assert_eq!((status.as_u16(), body.is_empty()), (200, false), "{path}");
    }
    let gone = Request::get("/game/nothing1");
    let (status, headers, body) = site.send(gone.body(Body::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), body.is_empty()), (404, false));
    assert!(!headers.contains_key("etag"), "it may be there later");
}

#[tokio::test(start_paused = true)]
async fn there_are_only_so_many_games_and_old_ones_are_forgotten() {
    let site = Site::with(Folder::new(), 2, false);
    let (first, second) = (site.game(300.0, 0).await, site.game(300.0, 0).await);
    site.post(&format!("/api/games/{}/resign", first.id), &first.white, json!({})).await;
    let asked = json!({ "minutes": 5, "increment": 0, "color": "white" });
    let (status, problem) = site.post("/api/games", "", asked.clone()).await;
    assert_eq!((status, problem["status"].as_u64()), (503, Some(503)));

    tokio::time::sleep(Duration::from_secs(12 * 60 * 60)).await;
    let said = json!({ "text": "a fine game" });
    site.post(&format!("/api/games/{}/chat", second.id), "", said).await;
    tokio::time::sleep(Duration::from_secs(13 * 60 * 60)).await;
    assert_eq!(site.app.room.games(), 1, "only the one in which nothing has happened");
    assert_eq!(site.get(&format!("/api/games/{}", first.id)).await.0, 404);
    assert_eq!(site.get(&format!("/events/seat.{}?wait=0", first.white_seat)).await.0, 404);
    assert!(!site.folder.path().join(format!("{}.json", first.id)).exists());
    assert_eq!(site.post("/api/games", "", asked).await.0, 201);
}
