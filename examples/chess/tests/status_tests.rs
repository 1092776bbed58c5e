//! What the server tells of itself.

use serde_json::Value;

use super::{Site, sleep_ms, text};

async fn samples(site: &Site) -> Vec<Value> {
    site.get("/api/status").await.1["samples"].as_array().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_measured_while_nobody_looks() {
    let site = Site::new();
    let before = site.tasks();
    sleep_ms(60_000).await;
    assert_eq!(samples(&site).await.len(), 0);
    let poll = site.poll("channel=status&wait=2").await;
    assert!(site.tasks() > before);
    poll.await.unwrap();
    sleep_ms(60_000).await;
    let few = samples(&site).await.len();
    assert!((1..=5).contains(&few), "{few} samples after one look");
    // The hub keeps a task for its timers.
    assert!(site.tasks() <= before + 1);
    assert_eq!(site.app.room.hub().stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn who_looks_gets_a_sample_each_second_and_misses_none() {
    let site = Site::new();
    let first = site.get("/api/status").await.1;
    let mut cursor = text(&first["cursor"]);
    let mut seen: Vec<Value> = Vec::new();
    while seen.len() < 150 {
        let answer = site.poll(&format!("channel=status&cursor={cursor}")).await.await.unwrap();
        cursor = text(&answer["cursor"]);
        let events = answer["events"].as_array().unwrap();
        seen.extend(events.iter().map(|event| event["data"].clone()));
    }
    let times: Vec<_> = seen.iter().map(|sample| sample["at"].as_u64().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 1_000), "{times:?}");
    let kept = samples(&site).await;
    assert_eq!(kept, seen[seen.len() - 120..]);
}

#[tokio::test(start_paused = true)]
async fn the_numbers_are_those_of_the_server_and_not_of_the_measuring() {
    let site = Site::new();
    site.game(300.0, 0).await;
    let players = site.game(300.0, 0).await;
    let game = format!("channel=game.{}&wait=50", players.id);
    let mut polls = Vec::new();
    for _ in 0..1_000 {
        polls.push(site.poll(&game).await);
    }
    // The watchers are told of each other, and come back.
    sleep_ms(2_000).await;
    for poll in polls.splice(.., []) {
        poll.await.unwrap();
    }
    for _ in 0..1_000 {
        polls.push(site.poll(&game).await);
    }
    let looks = site.poll("channel=status").await;
    let sample = looks.await.unwrap()["events"][0]["data"].clone();
    assert_eq!(sample["parked"], 1_001, "{sample}");
    assert_eq!(sample["games"], 2);
    assert_eq!(sample["threads"], 1);
    assert_eq!(sample["busy"].as_array().unwrap().len(), 1);
    assert_eq!(sample["events_per_s"], 0.0, "{sample}");
    let p50 = sample["wake_us"]["p50"].as_f64().unwrap();
    assert!(p50 > 0.0 && p50 <= sample["wake_us"]["p99"].as_f64().unwrap(), "{sample}");
    #[cfg(target_os = "linux")]
    assert!(
        sample["rss_bytes"].as_u64() > Some(1_000_000) && sample["open_files"].as_u64() > Some(3)
    );
}
