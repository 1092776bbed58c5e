//! Gauges and counters are what the hubs say, whatever has happened.

use std::{
    sync::{Arc, Barrier},
    thread,
};

use metrics::set_default_local_recorder as install;
use metrics_util::debugging::DebuggingRecorder;
use tokio::runtime::Builder;
use tower_longpoll::{Event, Hub, HubBuilder, Since, Stats};

use super::{common::*, meters::Meters};

/// Small limits, so that all of them are reached.
fn small(hub: HubBuilder) -> HubBuilder {
    hub.shards(4)
        .max_waits(12)
        .max_waits_per_channel(8)
        .max_channels(6)
        .history_events(3)
        .history_age(SECOND)
        .hold(2 * SECOND)
        .total_history_bytes(8_000)
        .max_payload_bytes(1_000)
}

/// A hub, and the waits that are parked on it.
struct Used {
    hub: Hub,
    parked: Vec<Parked>,
}

impl Used {
    fn new(evicts: bool) -> Self {
        let hub = small(Hub::builder()).evict_oldest(evicts).build().unwrap();
        Self { hub, parked: Vec::new() }
    }

    fn step(&mut self, random: &mut Random) {
        let (hub, c) = (&self.hub, channels(8));
        let one = &c[random.below(8)];
        match random.below(24) {
            0 => _ = hub.delete(one),
            1 => _ = hub.touch(one),
            2 => _ = hub.channel_stats(one),
            3 => drop(hub.wait([one]).supersede_by("k".repeat(300))),
            4 => drop(hub.wait(&[] as &[tower_longpoll::Channel])),
            5 => batch_or_not(ask(hub, &c[..3], Since::Oldest)),
            6..12 => _ = hub.publish(one, Event::new(vec![0; random.below(1_500)])),
            12..15 if !self.parked.is_empty() => {
                drop(self.parked.swap_remove(random.below(self.parked.len())));
            }
            15..18 => self.parked.retain_mut(|wait| wait.poll().is_pending()),
            _ => {
                let mut wait = hub.wait(&c[..random.below(4)]);
                if random.below(3) == 0 {
                    wait = wait.supersede_by(format!("key {}", random.below(3)));
                }
                let mut wait = tokio_test::task::spawn(wait);
                if wait.poll().is_pending() {
                    self.parked.push(wait);
                }
            }
        }
    }
}

fn batch_or_not(_: tower_longpoll::Waited) {}

#[tokio::test(start_paused = true)]
async fn meters_agree_with_all_hubs_after_every_step() {
    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    let mut random = Random::new(3);
    let (mut past, mut ended): (Vec<Stats>, _) = (Vec::new(), 0);
    for round in 0..12 {
        let mut hubs = [Used::new(false), Used::new(true), Used::new(false)];
        for step in 0..300 {
            match (random.below(20), step) {
                (0, _) => pass(MS * random.below(1_500) as u32).await,
                (1, 200..) => hubs[0].hub.drain(SECOND * random.below(2) as u32),
                (2, 280..) => hubs[1].hub.close(),
                _ => hubs[random.below(3)].step(&mut random),
            }
            let now = hubs.iter().map(|used| used.hub.stats());
            meters.assert_are(&past.iter().copied().chain(now).collect::<Vec<_>>());
        }
        // At every stage of this, too: the hubs first, or the waits first, or both in turn.
        for Used { hub, parked } in hubs {
            let held = hub.stats().parked;
            assert_eq!(held, parked.len());
            let before = meters.levels();
            let mut last = hub.stats();
            let is_first = round % 2 == 0;
            if is_first {
                drop(hub);
                settle().await;
                assert_eq!(meters.levels()[0], before[0], "its waits are still parked");
                drop(parked);
            } else {
                drop(parked);
                assert_eq!(meters.levels()[0], before[0] - held as f64);
                drop(hub);
            }
            settle().await;
            last.dropped += held as u64;
            ended += held;
            (last.parked, last.channels) = (0, 0);
            (last.history_events, last.history_bytes) = (0, 0);
            past.push(last);
        }
        // What was held is gone, and what has happened has happened.
        meters.assert_are(&past);
        assert_eq!(meters.levels(), [0.0; 4]);
    }
    assert!(ended > 10, "hubs were dropped with {ended} waits");
    let total = |field: fn(&Stats) -> u64| past.iter().map(field).sum::<u64>();
    let fields: [fn(&Stats) -> u64; 8] = [
        |stats| stats.timed_out,
        |stats| stats.gaps,
        |stats| stats.deleted,
        |stats| stats.touched,
        |stats| stats.superseded,
        |stats| stats.drained,
        |stats| stats.refused,
        |stats| stats.dropped,
    ];
    assert!(fields.into_iter().all(|field| total(field) > 5), "{past:?}");
}

#[tokio::test(start_paused = true)]
async fn every_wait_ends_in_one_outcome() {
    let recorder = DebuggingRecorder::new();
    let _installed = install(&recorder);
    let mut meters = Meters::new(&recorder);
    let (hub, c) = (Hub::new(), channels(50));
    let mut parked: Vec<_> =
        c.iter().map(|c| park(&hub, std::slice::from_ref(c), Since::Now)).collect();
    for (number, wait) in parked.iter_mut().enumerate() {
        match number % 5 {
            0 => publish(&hub, &c[number], "event"),
            1 => _ = hub.touch(&c[number]),
            2 => _ = hub.delete(&c[number]),
            3 => {
                publish(&hub, &c[number], "gone");
                hub.delete(&c[number]);
            }
            _ => continue,
        }
        assert!(wait.poll().is_ready());
    }
    hub.drain(SECOND);
    drop(parked.swap_remove(4));
    pass(SECOND).await;
    assert_eq!(parked.iter_mut().filter_map(|wait| ready(wait.poll())).count(), 9);
    let outcomes = ["events", "touched", "deleted", "drained", "dropped", "gap", "timed_out"];
    let counted = outcomes.map(|outcome| meters.read("longpoll_waits_total", outcome));
    assert_eq!(counted, [10.0, 10.0, 10.0, 9.0, 1.0, 10.0, 0.0]);
}

fn ready<T>(poll: std::task::Poll<T>) -> Option<T> {
    match poll {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[test]
fn meters_agree_after_threads_have_used_the_same_hubs() {
    const THREADS: usize = 4;
    let recorder = DebuggingRecorder::new();
    let mut meters = Meters::new(&recorder);
    let build = || small(Hub::builder()).max_waits(1_000).build().unwrap();
    let hubs = {
        let _installed = install(&recorder);
        Arc::new([build(), build()])
    };
    let barrier = Barrier::new(THREADS);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (hubs, recorder, barrier) = (Arc::clone(&hubs), &recorder, &barrier);
            scope.spawn(move || {
                let _installed = install(recorder);
                let mut random = Random::new(number as u64 + 1);
                let runtime = Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(async {
                    let mut used =
                        [0, 1].map(|hub| Used { hub: hubs[hub].clone(), parked: Vec::new() });
                    barrier.wait();
                    for step in 0..2_000 {
                        used[random.below(2)].step(&mut random);
                        if step % 20 == 0 {
                            tokio::task::yield_now().await;
                        }
                    }
                });
            });
        }
    });
    let _installed = install(&recorder);
    meters.assert_agree(&[&hubs[0], &hubs[1]]);
    assert_eq!(meters.levels()[0], 0.0);
    assert!(meters.read("longpoll_waits_total", "events") > 100.0);
    drop(hubs);
    assert_eq!(meters.levels(), [0.0; 4]);
}
