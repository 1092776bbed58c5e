//! What is on disk, and what a server makes of it.

use std::fs;

use serde_json::{Value, json};

use super::{Site, text};

/// A view without what time changes.
fn still(state: &Value) -> Value {
    let mut view = state["view"].clone();
    view["clock"] = Value::Null;
    view
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_killed_has_all_that_was_told() {
    let mut site = Site::new();
    let players = site.game(300.0, 3).await;
    let path = format!("/api/games/{}", players.id);
    let moves = ["e2e4", "e7e5", "e1e2", "d8h4"];
    for (ply, uci) in moves.into_iter().enumerate() {
        let token = [&players.white, &players.black][ply % 2];
        assert_eq!(site.play(&players.id, token, uci, ply).await.0, 200);
        let said = json!({ "text": format!("after {uci}") });
        site.post(&format!("{path}/chat"), token, said).await;
        if ply == 1 {
            let offer = json!({ "action": "offer" });
            assert_eq!(site.post(&format!("{path}/draw"), token, offer).await.0, 200);
        }
        let before = site.state(&players.id, token).await;
        site = site.killed();
        let after = site.state(&players.id, token).await;
        assert_eq!(still(&after), still(&before));
        assert_eq!(after["chat"], before["chat"]);
        assert_eq!((&after["you"], &after["seat"]), (&before["you"], &before["seat"]));
    }
    // A cursor of the earlier server is a gap, not silence.
    let killed = site.state(&players.id, "").await["cursor"].clone();
    site = site.killed();
    let poll = format!("/events?channel=game.{}&cursor={}", players.id, text(&killed));
    assert_eq!(site.get(&poll).await.1["gap"], true);
    assert_eq!(site.get(&format!("/events/seat.{}?wait=0", players.white_seat)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_game_that_is_over_stays_over() {
    let site = Site::new();
    let players = site.game(300.0, 3).await;
    site.play_all(&players, "f2f3 e7e5 g2g4 d8h4").await;
    let before = site.state(&players.id, "").await;
    let site = site.killed();
    assert_eq!(site.state(&players.id, "").await["view"], before["view"]);
}

/// Nobody may know what a server that is killed now would have forgotten.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_not_told_and_has_not_happened() {
    let site = Site::new();
    let players = site.game(6.0, 0).await;
    let path = format!("/api/games/{}", players.id);
    let before = site.state(&players.id, "").await;
    fs::remove_dir_all(site.folder.path()).unwrap();

    let asked = json!({ "minutes": 5, "increment": 0, "color": "white" });
    assert_eq!(site.post("/api/games", "", asked).await.0, 503);
    assert_eq!(site.play(&players.id, &players.white, "e2e4", 0).await.0, 503);
    assert_eq!(site.post(&format!("{path}/chat"), "", json!({ "text": "a" })).await.0, 503);
    assert_eq!(site.post(&format!("{path}/resign"), &players.white, json!({})).await.0, 503);
    let after = site.state(&players.id, "").await;
    assert_eq!((still(&after), &after["chat"]), (still(&before), &before["chat"]));
    assert_eq!(site.events(&players.id, &before["cursor"]).await, Vec::<Value>::new());

    // The flag has fallen, and ends the game as soon as that can be stored.
    super::sleep_ms(8_000).await;
    assert_eq!(site.events(&players.id, &before["cursor"]).await, Vec::<Value>::new());
    fs::create_dir(site.folder.path()).unwrap();
    super::sleep_ms(1_000).await;
    let events = site.events(&players.id, &before["cursor"]).await;
    assert_eq!(events[0]["kind"], "over");
    assert_eq!(events[0]["view"]["clock"]["white_ms"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_file_costs_its_own_game_only() {
    let site = Site::new();
    let (good, bad) = (site.game(300.0, 0).await, site.game(300.0, 0).await);
    site.play(&good.id, &good.white, "e2e4", 0).await;
    let file = |name: &str| site.folder.path().join(name);
    let stored = fs::read_to_string(file(&format!("{}.json", good.id))).unwrap();
    fs::write(file(&format!("{}.json", bad.id)), &stored[..stored.len() / 2]).unwrap();
    fs::write(file("aaaaaaaa.json"), &stored).unwrap();
    let illegal = stored.replace("e2e4", "e2e5").replace(&good.id, "bbbbbbbb");
    fs::write(file("bbbbbbbb.json"), illegal).unwrap();
    fs::write(file("cccccccc.json"), b"").unwrap();
    fs::write(file("dddddddd.part"), b"{").unwrap();
    fs::write(file("notes.txt"), b"mine").unwrap();

    let site = site.killed();
    assert_eq!(site.app.room.games(), 1);
    assert_eq!(site.state(&good.id, "").await["view"]["moves"][0]["uci"], "e2e4");
    let file = |name: &str| site.folder.path().join(name);
    assert!(file("cccccccc.json").exists(), "it may be looked into");
    assert!(!file("dddddddd.part").exists());
    assert!(file("notes.txt").exists());
}

#[tokio::test(start_paused = true)]
async fn only_its_owner_may_read_the_folder() {
    use std::os::unix::fs::PermissionsExt;

    let site = Site::new();
    let mode = fs::metadata(site.folder.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
