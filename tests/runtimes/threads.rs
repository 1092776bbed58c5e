//! Many threads at once on one hub.

use std::task::Poll;

use tower_longpoll::Event;

use super::*;

#[test]
fn an_event_crosses_runtimes_and_threads_exactly_once() {
    let (hub, c) = (Hub::builder().history_events(10_000).build().unwrap(), channels(4));
    let start = hub.cursor();
    let (report, reports) = mpsc::channel();
    let clients: Vec<_> = (0..4)
        .map(|client| {
            let (hub, c, report) = (hub.clone(), c.clone(), report.clone());
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let (mut cursor, mut seen) = (start, Vec::new());
                    while seen.len() < 2_000 {
                        // Short holds, so that timeouts race the events.
                        let wait = hub.wait(&c).since(cursor).hold(MS * (client % 2 + 1));
                        let waited = ends(wait).await.expect("it never ended");
                        cursor = waited.cursor();
                        if let Waited::Events(batch) = waited {
                            assert!(!batch.gap());
                            seen.extend(batch.iter().map(tower_longpoll::Entry::cursor));
                        }
                    }
                    report.send(seen).unwrap();
                });
            })
        })
        .collect();
    let publishers: Vec<_> = (0..2)
        .map(|half| {
            let (hub, c) = (hub.clone(), c.clone());
            std::thread::spawn(move || {
                let publish = |number: usize| hub.publish(&c[2 * half + number % 2], "").unwrap();
                (0..1_000).map(|number| publish(number).cursor).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut all: Vec<_> = publishers.into_iter().flat_map(|one| one.join().unwrap()).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let seen: Vec<_> = reports.try_iter().collect();
    assert!(seen.len() == 4 && seen.iter().all(|one| *one == seen[0]), "all saw the same order");
    all.sort_unstable_by_key(|cursor| seen[0].iter().position(|other| other == cursor));
    assert_eq!(all, seen[0], "each event once");
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn a_storm_of_threads_leaves_nothing_and_keeps_limits_exact() {
    for seed in 0..4 {
        let (max_waits, max_channels, weight) = (20, 12, Event::OVERHEAD_BYTES);
        let hub = Hub::builder()
            .max_waits(max_waits)
            .max_channels(max_channels)
            .max_payload_bytes(0)
            .total_history_bytes(20 * weight)
            .history_events(4)
            .shards(8)
            .build()
            .unwrap();
        let storm = |thread: u64| {
            let (hub, c) = (hub.clone(), channels(10));
            std::thread::spawn(move || {
                let mut random = Random::new(100 * seed + thread);
                let (mut waits, mut cursor): (Vec<Parked>, _) = (Vec::new(), hub.cursor());
                for _ in 0..20_000 {
                    let from = random.below(10);
                    let some = &c[from..(from + 1 + random.below(3)).min(10)];
                    match random.below(8) {
                        0 => _ = hub.publish(&some[0], ""),
                        1 => _ = hub.delete(&some[0]),
                        2 if !waits.is_empty() => drop(waits.remove(random.below(waits.len()))),
                        3 | 4 => waits.retain_mut(|wait| match wait.poll() {
                            Poll::Ready(waited) => {
                                cursor = waited.cursor();
                                false
                            }
                            Poll::Pending => true,
                        }),
                        5 => assert!(hub.stats().parked <= max_waits),
                        6 => assert!(hub.stats().channels <= max_channels),
                        _ => {
                            let mut wait = task::spawn(hub.wait(some).since(cursor));
                            match wait.poll() {
                                Poll::Ready(waited) => cursor = waited.cursor(),
                                Poll::Pending => waits.push(wait),
                            }
                        }
                    }
                }
            })
        };
        let threads: Vec<_> = (0..4).map(storm).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        for c in channels(10) {
            hub.delete(&c);
        }
        assert_empty(&hub);
        // Every permit and every byte is back.
        let fresh: Vec<_> = (0..12).map(|number| channel(&format!("fresh {number}"))).collect();
        for number in 0..20 {
            hub.publish(&fresh[number % 12], "").unwrap();
        }
        assert!(hub.publish(&fresh[11], "").is_err(), "seed {seed}: bytes were lost");
        assert!(hub.publish(&channel("one more"), "").is_err());
        let waits: Vec<_> = (0..20).map(|n| park(&hub, &fresh[n % 12..], Since::Now)).collect();
        assert!(task::spawn(hub.wait(&fresh)).poll().is_ready(), "seed {seed}: a wait too many");
        drop(waits);
        assert_eq!(hub.stats().parked, 0);
    }
}
