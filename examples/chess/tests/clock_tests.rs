//! The clocks of games that are played over HTTP.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Site, sleep_ms, text};

/// White's and Black's time, and whose runs.
fn clocks(state: &Value) -> (u64, u64, Value) {
    let clock = &state["view"]["clock"];
    let time = |name: &str| clock[name].as_u64().unwrap();
    (time("white_ms"), time("black_ms"), clock["running"].clone())
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_white_runs_from_the_join_on() {
    let site = Site::new();
    let asked = json!({ "minutes": 5, "increment": 3, "color": "black" });
    let (_, black) = site.post("/api/games", "", asked).await;
    let id = text(&black["id"]);
    sleep_ms(60_000).await;
    assert_eq!(clocks(&site.state(&id, "").await), (300_000, 300_000, Value::Null));

    let (_, white) = site.post(&format!("/api/games/{id}/join"), "", json!({})).await;
    assert_eq!(white["color"], "white");
    sleep_ms(1_234).await;
    assert_eq!(clocks(&site.state(&id, "").await), (298_766, 300_000, json!("white")));
}

#[tokio::test(start_paused = true)]
async fn a_move_adds_the_increment_and_starts_the_other_clock() {
    let site = Site::new();
    let players = site.game(300.0, 3).await;
    sleep_ms(10_000).await;
    site.play(&players.id, &players.white, "e2e4", 0).await;
    sleep_ms(777).await;
    let state = site.state(&players.id, "").await;
    assert_eq!(clocks(&state), (293_000, 299_223, json!("black")));
    assert_eq!(state["view"]["clock"]["increment_ms"], 3_000);
    assert_eq!(state["view"]["clock"]["initial_ms"], 300_000);
}

#[tokio::test(start_paused = true)]
async fn the_flag_falls_while_nobody_asks() {
    let site = Site::new();
    let players = site.game(6.0, 0).await;
    sleep_ms(60_000).await;
    // The file is what the server knew by itself.
    let file = site.folder.path().join(format!("{}.json", players.id));
    let stored: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(stored["outcome"], json!({ "winner": "black", "reason": "time" }));
    assert_eq!(stored["left_ms"], json!({ "white": 0, "black": 6_000 }));
}

#[tokio::test(start_paused = true)]
async fn the_flag_is_told_in_the_millisecond_in_which_it_falls() {
    let site = Site::new();
    let players = site.game(6.0, 0).await;
    let start = Instant::now();
    let seats = format!("channel=seat.{}&channel=seat.{}", players.white_seat, players.black_seat);
    let poll = site.poll(&format!("channel=game.{}&{seats}", players.id)).await;
    let answer = poll.await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 6_000);
    let event = &answer["events"][0]["data"];
    assert_eq!(event["kind"], "over");
    assert_eq!(event["view"]["phase"], "over");
    assert_eq!(event["view"]["legal"], json!({}));
    assert_eq!(clocks(event), (0, 6_000, Value::Null));
}

/// Nothing else has the server look at the table in that time: both are here, and say nothing.
#[tokio::test(start_paused = true)]
async fn a_flag_that_falls_earlier_than_the_other_would_have_is_told_in_time() {
    let site = Site::new();
    let players = site.game(60.0, 0).await;
    let seats = format!("channel=seat.{}&channel=seat.{}", players.white_seat, players.black_seat);
    let _first = site.poll(&format!("{seats}&wait=60")).await;
    let start = Instant::now();
    site.play(&players.id, &players.white, "e2e4", 0).await;
    sleep_ms(50_000).await;
    let _second = site.poll(&format!("{seats}&wait=60")).await;
    site.play(&players.id, &players.black, "e7e5", 1).await;
    sleep_ms(20_000).await;
    let poll = site.poll(&format!("channel=game.{}&{seats}", players.id)).await;
    site.play(&players.id, &players.white, "g1f3", 2).await;
    poll.await.unwrap();
    let poll = site.poll(&format!("channel=game.{}&{seats}", players.id)).await;
    let answer = poll.await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 80_000);
    let over = &answer["events"][0]["data"]["view"];
    assert_eq!(over["result"], json!({ "winner": "white", "reason": "time" }));
}

#[tokio::test(start_paused = true)]
async fn a_move_in_the_last_millisecond_counts_and_a_later_one_does_not() {
    let site = Site::new();
    let (early, late) = (site.game(6.0, 0).await, site.game(6.0, 0).await);
    sleep_ms(5_999).await;
    assert_eq!(site.play(&early.id, &early.white, "e2e4", 0).await.0, 200);
    assert_eq!(clocks(&site.state(&early.id, "").await), (1, 6_000, json!("black")));
    sleep_ms(1).await;
    let (status, problem) = site.play(&late.id, &late.white, "e2e4", 0).await;
    assert_eq!((status, &problem["detail"]), (409, &json!("The game is over.")));
    let view = site.state(&late.id, "").await["view"].clone();
    assert_eq!(view["result"], json!({ "winner": "black", "reason": "time" }));
    assert_eq!(view["moves"], json!([]));
}

/// The timer may be late: then the move is what finds that the flag has fallen.
#[tokio::test(start_paused = true)]
async fn a_late_move_loses_before_any_timer_has_run() {
    let site = Site::new();
    let players = site.game(6.0, 0).await;
    let cursor = site.state(&players.id, "").await["cursor"].clone();
    // Time passes, and no task has run yet.
    tokio::time::advance(std::time::Duration::from_millis(6_000)).await;
    assert_eq!(site.play(&players.id, &players.white, "e2e4", 0).await.0, 409);
    sleep_ms(100).await;
    let events = site.events(&players.id, &cursor).await;
    let over: Vec<_> = events.iter().filter(|event| event["kind"] == "over").collect();
    assert_eq!(over.len(), 1, "it ends once");
}

#[tokio::test(start_paused = true)]
async fn of_two_moves_at_once_one_counts() {
    let site = Site::new();
    let players = site.game(300.0, 0).await;
    let (first, second) = tokio::join!(
        site.play(&players.id, &players.white, "e2e4", 0),
        site.play(&players.id, &players.white, "d2d4", 0),
    );
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(site.state(&players.id, "").await["view"]["moves"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_away_charges_nobody_for_it() {
    let site = Site::new();
    let players = site.game(60.0, 0).await;
    sleep_ms(1_000).await;
    site.play(&players.id, &players.white, "e2e4", 0).await;
    let folder = super::Folder::new();
    std::fs::create_dir(folder.path()).unwrap();
    let name = format!("{}.json", players.id);
    std::fs::copy(site.folder.path().join(&name), folder.path().join(&name)).unwrap();
    sleep_ms(3_600_000).await;

    let site = Site::with(folder, 100, false);
    assert_eq!(clocks(&site.state(&players.id, "").await), (59_000, 60_000, json!("black")));
    sleep_ms(60_000).await;
    let view = site.state(&players.id, "").await["view"].clone();
    assert_eq!(view["result"], json!({ "winner": "white", "reason": "time" }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_keeps_what_the_clocks_show() {
    let site = Site::new();
    let players = site.game(60.0, 0).await;
    // The two have told nobody that they are here, and are told of after five seconds.
    sleep_ms(7_000).await;
    site.app.room.save();
    let site = site.killed();
    assert_eq!(clocks(&site.state(&players.id, "").await), (53_000, 60_000, json!("white")));
}
