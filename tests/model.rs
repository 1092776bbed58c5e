//! The whole hub against a naive reference: the same outcomes, cursors, counts and instants, for
//! any sequence of operations.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "model/forgetting.rs"]
mod forgetting;
#[path = "model/limits.rs"]
mod limits;
#[path = "model/operations.rs"]
mod operations;
#[path = "model/polls.rs"]
mod polls;
#[path = "model/reference.rs"]
mod reference;
#[path = "model/run.rs"]
mod run;

use std::hash::{BuildHasher, RandomState};

use limits::{LIMITS_BYTES, Limits, MS};
use operations::{From, OPERATION_BYTES, Operation, from_bytes};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{RngSeed, TestRunner},
};
use run::run;

/// How many cases each of the tests below takes if `PROPTEST_CASES` does not say.
const CASES: u32 = 5_000;

/// Compares so many sequences; `shards` has the first byte of their limits.
fn compare(shards: impl Strategy<Value = u8>) {
    let mut config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(()),
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let replay = format!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={}", config.cases);
    let limits = (shards, any::<[u8; LIMITS_BYTES]>()).prop_map(|(shards, mut bytes)| {
        bytes[0] = shards;
        Limits::decode(bytes)
    });
    let operations = vec(any::<[u8; OPERATION_BYTES]>().prop_map(Operation::decode), 1..60);
    let compared = TestRunner::new(config).run(&(limits, operations), |(limits, operations)| {
        run(&limits, &operations);
        Ok(())
    });
    if let Err(error) = compared {
        panic!("{error}\nto replay: {replay}");
    }
}

#[test]
fn a_hub_of_one_shard_does_what_its_reference_does() {
    compare(Just(0));
}

#[test]
fn a_hub_of_many_shards_does_what_its_reference_allows() {
    compare(Just(2));
}

/// Limits that are out of the way.
fn roomy() -> Limits {
    Limits::decode([0; LIMITS_BYTES])
}

fn wait(place: usize, channels: &[usize], since: From) -> Operation {
    Operation::Wait {
        place,
        channels: channels.to_vec(),
        since,
        hold: None,
        max_events: None,
        key: None,
        is_polled: true,
    }
}

fn keyed(place: usize, channels: &[usize]) -> Operation {
    let Operation::Wait { place, channels, since, hold, max_events, is_polled, .. } =
        wait(place, channels, From::Now)
    else {
        unreachable!()
    };
    Operation::Wait { place, channels, since, hold, max_events, is_polled, key: Some("tab") }
}

#[test]
fn sequences_that_were_hard_to_get_right_go_alike() {
    use Operation::*;

    let publish = |channel| Publish { channel, bytes: 1 };
    let poll = |place| Poll { place, waker: 1 };
    let few = Limits { max_channels: 2, ..roomy() };
    let rows = [
        (
            "an event before anyone has looked at the deadline wins",
            roomy(),
            vec![wait(0, &[0, 1], From::Now), Jump(10 * MS), publish(1), Settle, poll(0)],
        ),
        (
            "an event that is too old but was not let go yet is handed out",
            roomy(),
            vec![wait(0, &[0], From::Now), publish(0), Jump(6 * MS), poll(0)],
        ),
        (
            "a touch of a wait whose hold is over and that was not polled",
            roomy(),
            vec![
                wait(0, &[0, 1], From::Now),
                Pass(10 * MS),
                Touch { channel: 0 },
                Touch { channel: 1 },
                poll(0),
            ],
        ),
        (
            "a newer wait of the key after the hold",
            roomy(),
            vec![keyed(0, &[0]), Pass(10 * MS), keyed(1, &[1]), poll(0), Drop { place: 1 }],
        ),
        (
            "a newer wait of the key that is answered at once",
            roomy(),
            vec![publish(1), keyed(0, &[0]), Delete { channel: 1 }, keyed(1, &[0]), poll(0)],
        ),
        (
            "a deleted channel that is forgotten for room becomes somebody else's gap",
            few.clone(),
            vec![
                publish(0),
                publish(1),
                Delete { channel: 1 },
                wait(0, &[2], From::Past(2)),
                poll(0),
                wait(1, &[3], From::Past(3)),
            ],
        ),
        (
            "a poll that is refused for want of room has made room all the same",
            few,
            vec![
                publish(0),
                publish(1),
                Delete { channel: 1 },
                wait(0, &[2, 3], From::Now),
                wait(1, &[2], From::Past(3)),
            ],
        ),
        (
            "the event that woke a wait is deleted before it is polled",
            roomy(),
            vec![wait(0, &[0], From::Now), publish(0), Delete { channel: 0 }, poll(0)],
        ),
        (
            "the floor of a forgotten channel outlives it",
            roomy(),
            vec![publish(0), publish(1), Step, Step, Step, wait(0, &[0], From::Past(2)), poll(0)],
        ),
        (
            "a drain that takes its time, and a second that is faster",
            roomy(),
            vec![
                wait(0, &[0], From::Now),
                wait(1, &[0, 1], From::Now),
                wait(2, &[1], From::Now),
                Drain { over: 9 * MS },
                Step,
                Drain { over: 2 * MS },
                Step,
                Step,
                Step,
            ],
        ),
        (
            "a wait that is over outlives the closing of its hub",
            roomy(),
            vec![wait(0, &[0], From::Now), publish(0), Close, poll(0), wait(1, &[0], From::Now)],
        ),
    ];
    for (row, limits, operations) in rows {
        for shards in [1, 4] {
            println!("{row}, {shards} shards");
            run(&Limits { shards, ..limits.clone() }, &operations);
        }
    }
}

#[test]
fn any_bytes_are_a_sequence() {
    for seed in 0..500_u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let bytes: Vec<u8> = (0..seed as usize).map(byte).collect();
        let (limits, operations) = from_bytes(&bytes);
        println!("seed {seed}");
        run(&limits, &operations);
    }
}
