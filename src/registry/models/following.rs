//! A hub that follows a log, while polls come that are ahead of it, or behind what is left.

use std::num::NonZeroU64;

use super::*;
use crate::change::Change;

/// A registry that follows a log, two of its channels, and a client that has seen nothing.
fn following() -> (Arc<Registry>, Channel, Client) {
    let registry = limited(Config { shards: 2, follows: true, ..Config::default() });
    let channel = channel_on(&registry, 0);
    let client = Client::new(&registry, [&channel]);
    (registry, channel, client)
}

/// Applies an event, and lets those begin that waited for it.
fn apply(registry: &Registry, channel: &Channel, sequence: u64, text: &'static str) {
    let change = Change::Publish(channel.clone(), Event::from(text));
    registry.apply(sequence, change, TIMES).1.resume();
    registry.arrive().resume();
}

/// Polls for as long as the client is woken; it takes note of its answers.
fn follow(client: &mut Client, seen: &mut usize) {
    while client.is_parked() && client.rung() > *seen {
        *seen = client.rung();
        if let Some(waited) = client.resume() {
            client.hear(&waited);
        }
    }
}

#[test]
fn who_is_ahead_hears_exactly_what_comes_after() {
    explore_with_preemptions(3, || {
        let (registry, channel, mut client) = following();
        let ahead = registry.common.cursor(1);
        let log = {
            let (registry, channel) = (Arc::clone(&registry), channel.clone());
            spawn(move || {
                apply(&registry, &channel, 1, "seen");
                apply(&registry, &channel, 2, "new");
            })
        };
        let mut seen = 0;
        client.move_to(ahead);
        if let Some(waited) = client.start(9) {
            client.hear(&waited);
        }
        follow(&mut client, &mut seen);
        log.join().unwrap();
        follow(&mut client, &mut seen);
        assert!(!client.is_parked(), "woken, and not parked again, since there is news");
        assert_eq!((client.told(), client.gaps()), (vec![(2, "new")], 0));
        leaves_nothing(&registry);
    });
}

#[test]
fn who_is_behind_what_was_skipped_is_told_once() {
    explore_with_preemptions(3, || {
        let (registry, channel, mut client) = following();
        let log = {
            let (registry, channel) = (Arc::clone(&registry), channel.clone());
            spawn(move || {
                registry.skip_to(5).resume();
                apply(&registry, &channel, 6, "new");
            })
        };
        let mut seen = 0;
        if let Some(waited) = client.start(9) {
            client.hear(&waited);
        }
        log.join().unwrap();
        follow(&mut client, &mut seen);
        client.catch_up();
        assert_eq!((client.told(), client.gaps()), (vec![(6, "new")], 1));
        leaves_nothing(&registry);
    });
}

#[test]
fn who_polls_beside_a_reset_is_told_of_it_and_misses_nothing_after() {
    explore_with_preemptions(2, || {
        let (registry, channel, mut client) = following();
        apply(&registry, &channel, 1, "old");
        apply(&registry, &channel, 2, "old");
        let old = registry.common.present();
        client.move_to(old);
        let log = {
            let (registry, channel) = (Arc::clone(&registry), channel.clone());
            spawn(move || {
                registry.reset(NonZeroU64::MIN, 0).resume();
                apply(&registry, &channel, 1, "new");
            })
        };
        let mut answers = Vec::new();
        answers.extend(client.start(9));
        log.join().unwrap();
        if client.is_parked() {
            answers.push(client.wake_up());
        }
        let mut gaps = 0;
        let mut told = Vec::new();
        // Until it has come to the end of the new log.
        let end = registry.common.present();
        while answers.last().is_none_or(|answer| answer.cursor() != end) {
            let since = answers.last().map_or(old, Waited::cursor);
            answers.extend(client.start_at(0, None, since));
        }
        for answer in &answers {
            let Waited::Events(batch) = answer else { continue };
            gaps += usize::from(batch.gap());
            told.extend(batch.entries().iter().map(|entry| entry.payload().clone()));
        }
        assert_eq!((told, gaps), (vec!["new".into()], 1));
        leaves_nothing(&registry);
    });
}
