//! Names that are made to collide do so only where the keys of the hash are known; and every shard
//! is consistent at any moment of a storm.

use std::{
    hash::{BuildHasherDefault, DefaultHasher},
    sync::atomic::AtomicU64 as Clock,
    task::Waker,
    thread,
};

use super::*;
use crate::{cursor::Since, event::Event, outcome::Waited};

const SHARDS: usize = 64;
const NAMES: usize = 1_000;

fn registry() -> Registry {
    let config = Config { shards: SHARDS, ..Config::default() };
    Registry::new(config, Instant::now())
}

/// A hash that everybody can compute: SipHash with keys that are zero.
fn known(name: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
}

/// Names whose known hashes have the same bits as zero where `mask` says so.
fn crafted(mask: u64) -> Vec<Channel> {
    let names = (0_u64..).map(|number| format!("n{number}"));
    let crafted = names.filter(|name| known(name) & mask == 0).take(NAMES);
    crafted.map(|name| Channel::new(name).expect("a valid name")).collect()
}

/// How many of the names come to the fullest of `places`.
fn fullest(places: usize, of: impl Iterator<Item = usize>) -> usize {
    let mut counts = vec![0; places];
    of.for_each(|place| counts.get_mut(place).into_iter().for_each(|count| *count += 1));
    counts.into_iter().max().unwrap_or(0)
}

/// The place among 64 that some six bits of a hash name.
fn bits(hash: u64, shift: u32) -> usize {
    (hash >> shift) as usize & (SHARDS - 1)
}

/// Far more than chance puts into one of 64 places of a thousand names: 16 on average, 24 beside it
/// would be six standard deviations.
const TOO_MANY: usize = 48;

#[test]
fn names_that_are_made_for_one_shard_are_spread_over_all() {
    let names = crafted(63 << 32);
    let of_known = fullest(SHARDS, names.iter().map(|name| bits(known(name.as_str()), 32)));
    assert_eq!(of_known, NAMES, "with known keys, one lock has them all");
    let registry = registry();
    let of_ours = fullest(SHARDS, names.iter().map(|name| registry.common.locate(name)));
    assert!(of_ours < TOO_MANY, "{of_ours} of {NAMES} names in one shard");
}

#[test]
fn names_that_are_made_for_one_bucket_are_spread_over_all() {
    // The lowest bits of the hash say where a shard's table begins to look.
    let names = crafted(63);
    let of_known = fullest(SHARDS, names.iter().map(|name| bits(known(name.as_str()), 0)));
    assert_eq!(of_known, NAMES, "with known keys, one bucket has them all");
    let of_ours = fullest(SHARDS, names.iter().map(|name| bits(name.hash(), 0)));
    assert!(of_ours < TOO_MANY, "{of_ours} of {NAMES} names in one bucket");
}

/// Checks every shard, at whatever others are doing; returns what they hold.
fn validate(registry: &Registry) -> Holds {
    let mut holds = Holds::default();
    for cell in &registry.cells {
        let changes = Changes::default();
        let mut shard = cell.lock(&changes);
        shard.validate();
        holds.add(shard.holds());
    }
    holds
}

/// Numbers that look random: the same for the same seed.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut draws = 0;
    move |bound| {
        draws += 1;
        known(&format!("{seed} {draws}")) % bound
    }
}

/// Does at random what can be done to a registry, on time that all threads share.
fn storm(registry: &Registry, clock: &Clock, seed: u64) {
    let mut below = random(seed);
    let mut parked: Vec<Parts> = Vec::new();
    for step in 0..2_000 {
        let name = |number: u64| Channel::new(format!("c{}", number % 50)).expect("a name");
        let first = below(50);
        let now = clock.fetch_add(u64::from(below(4) == 0), Ordering::Relaxed);
        match below(16) {
            0 => _ = registry.delete(&name(first), now),
            1 => _ = registry.touch(&name(first), 0),
            2 => {
                for cell in &registry.cells {
                    while cell.turn(now).0 {}
                }
            }
            3 => _ = validate(registry),
            4..7 if !parked.is_empty() => {
                parked.swap_remove(below(parked.len() as u64) as usize).abandon(true);
            }
            7..9 => parked.retain_mut(|parts| {
                let is_parked = parts.resume(Since::Now, 3, Waker::noop(), |_| 0).is_none();
                // Nothing is left of one that has ended.
                if !is_parked {
                    parts.abandon(true);
                }
                is_parked
            }),
            9..12 => {
                let count = below(4) + 1;
                let parts = registry.parts((0..count).map(|number| name(first + number)));
                let mut parts = parts.expect("few channels, short names");
                if below(4) == 0 {
                    parts.set_key(&format!("k{}", below(5))).expect("a short key");
                }
                let deadline = Some(now + 1 + below(200));
                let ask = Ask { since: Since::Now, deadline, max_events: 3, was_parked: false };
                if parts.start(&ask, Waker::noop(), now).is_none() {
                    parked.push(parts);
                }
            }
            12 if step > 1_900 && seed % 8 == 0 => {
                drop(registry.drain(Phase::Draining, now, 50));
            }
            _ => {
                let times = Times::new(now, now + 100);
                let published = registry.publish(&name(first), Event::from("x"), times);
                assert!(published.is_ok());
            }
        }
    }
    for mut parts in parked {
        match parts.resume(Since::Now, 3, Waker::noop(), |_| 0) {
            None => parts.abandon(true),
            Some(Waited::Refused { .. }) => panic!("it was parked"),
            Some(_) => {}
        }
    }
}

#[test]
fn every_shard_is_consistent_in_a_storm_and_empty_after_it() {
    for (seed, shards) in [(1, 1), (2, 4), (3, 64)] {
        let config = Config { shards, history_events: 5, ..Config::default() };
        let registry = Registry::new(config, Instant::now());
        let clock = Clock::new(1);
        thread::scope(|scope| {
            for number in 0..8 {
                let (registry, clock) = (&registry, &clock);
                scope.spawn(move || storm(registry, clock, 8 * seed + number));
            }
        });
        let Holds { waits, events, bytes, .. } = validate(&registry);
        assert_eq!(waits, 0, "{shards} shards");
        assert!(events > 0, "{shards} shards: it was no storm");
        assert_eq!(bytes, registry.common.traffic.history_bytes.load(Ordering::Relaxed));
        let (held, counts) = registry.stats(u64::MAX / 2);
        assert_eq!((held.channels, held.events, held.bytes), (0, 0, 0), "{shards} shards");
        assert_eq!(registry.common.traffic.history_bytes.load(Ordering::Relaxed), 0);
        assert!(counts.timed_out > 0 && counts.superseded > 0 && counts.dropped > 0);
        validate(&registry);
    }
}

#[test]
fn a_poll_that_found_no_room_has_no_record_to_free() {
    let config = Config { shards: 1, max_channels: 1, ..Config::default() };
    let registry = Registry::new(config, Instant::now());
    let (held, new) = (Channel::new("held").expect("a name"), Channel::new("new").expect("a name"));
    assert!(registry.publish(&held, Event::from("x"), Times::new(0, 100)).is_ok());
    let ask = Ask { since: Since::Now, deadline: Some(9), max_events: 1, was_parked: false };
    // The one that has no record comes before the one that has, and after it.
    for names in [[&new, &held], [&held, &new]] {
        let mut parts = registry.parts(names).expect("few channels, short names");
        let ended = parts.start(&ask, Waker::noop(), 0);
        assert!(matches!(ended, Some(Waited::Refused { .. })), "{ended:?}");
        parts.abandon(true);
        let (holds, counts) = registry.stats(0);
        assert_eq!((holds.waits, holds.channels, counts.dropped), (0, 1, 0));
        validate(&registry);
    }
}
