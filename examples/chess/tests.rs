//! What the game, its clocks and its news are held to: on tokio's paused clock, through the router.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by them")]

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, StatusCode},
};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tower_longpoll::Hub;

use crate::{App, api, room::Room, store::Store, times::Times};

mod api_tests;
mod attendance_tests;
mod clock_tests;
mod news_tests;
mod rules_tests;
mod status_tests;
mod store_tests;

/// A site with a folder of its own.
struct Site {
    router: Router,
    app: App,
    folder: Folder,
    times: Times,
}

impl Site {
    fn new() -> Self {
        Self::with(Folder::new(), 100, false)
    }

    fn with(folder: Folder, max_games: usize, load: bool) -> Self {
        Self::at(Times::new(), folder, max_games, load)
    }

    fn at(times: Times, folder: Folder, max_games: usize, load: bool) -> Self {
        let store = Store::open(folder.path().into()).unwrap();
        let room = Room::open(Hub::new(), store, times, max_games).unwrap();
        let app = App::new(room, load);
        Self { router: api::router(app.clone()), app, folder, times }
    }

    /// The same folder with another server, as if this one was killed. The calendar goes on.
    fn killed(self) -> Self {
        // Moved, so that what is left of this server cannot write there any more.
        let folder = Folder::new();
        std::fs::rename(self.folder.path(), folder.path()).unwrap();
        Self::at(self.times, folder, 100, false)
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, HeaderMap, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: impl Into<Body>,
    ) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (status, _, body) = self.send(request.body(body.into()).unwrap()).await;
        (status.as_u16(), serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.call(Method::GET, path, "", Body::empty()).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> (u16, Value) {
        self.call(Method::POST, path, token, body.to_string()).await
    }

    /// A poll in a task of its own, which is parked before this returns if there is nothing new.
    async fn poll(&self, query: &str) -> JoinHandle<Value> {
        let request = Request::get(format!("/events?{query}")).body(Body::empty()).unwrap();
        let router = self.router.clone();
        let poll = tokio::spawn(async move {
            let response = router.oneshot(request).await.unwrap();
            let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            serde_json::from_slice(&body).unwrap()
        });
        tokio::task::yield_now().await;
        poll
    }

    /// A game of so many seconds, with an increment, that has begun.
    async fn game(&self, seconds: f64, increment: u64) -> Players {
        let asked = json!({
            "minutes": seconds / 60.0, "increment": increment, "color": "white",
        });
        let (status, white) = self.post("/api/games", "", asked).await;
        assert_eq!(status, 201, "{white}");
        let id = text(&white["id"]);
        let (status, black) = self.post(&format!("/api/games/{id}/join"), "", json!({})).await;
        assert_eq!(status, 200, "{black}");
        let ticket = |ticket: &Value| (text(&ticket["token"]), text(&ticket["seat"]));
        let ((white, white_seat), (black, black_seat)) = (ticket(&white), ticket(&black));
        Players { id, white, black, white_seat, black_seat }
    }

    async fn state(&self, id: &str, token: &str) -> Value {
        let path = format!("/api/games/{id}");
        let (status, state) = self.call(Method::GET, &path, token, Body::empty()).await;
        assert_eq!(status, 200, "{state}");
        state
    }

    async fn play(&self, id: &str, token: &str, uci: &str, ply: usize) -> (u16, Value) {
        let path = format!("/api/games/{id}/moves");
        self.post(&path, token, json!({ "move": uci, "ply": ply })).await
    }

    /// Makes the moves of both players, from the beginning.
    async fn play_all(&self, players: &Players, moves: &str) {
        for (ply, uci) in moves.split(' ').enumerate() {
            let token = [&players.white, &players.black][ply % 2];
            let (status, answer) = self.play(&players.id, token, uci, ply).await;
            assert_eq!(status, 200, "{uci}: {answer}");
        }
    }

    /// All that was published for a game since a cursor, without waiting.
    async fn events(&self, id: &str, cursor: &Value) -> Vec<Value> {
        let cursor = text(cursor);
        let (status, answer) =
            self.get(&format!("/events?channel=game.{id}&cursor={cursor}&wait=0")).await;
        assert_eq!((status, &answer["gap"]), (200, &json!(false)), "{answer}");
        answer["events"].as_array().unwrap().iter().map(|event| event["data"].clone()).collect()
    }

    fn tasks(&self) -> usize {
        tokio::runtime::Handle::current().metrics().num_alive_tasks()
    }
}

/// Who plays, by their tokens and the names of their seats.
struct Players {
    id: String,
    white: String,
    black: String,
    white_seat: String,
    black_seat: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).into()
}

async fn sleep_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let name = format!("tower-longpoll-chess-test-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Another thread of the test may still write there.
        let _ = (0..10).find(|_| std::fs::remove_dir_all(&self.0).is_ok());
    }
}
