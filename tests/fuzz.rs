//! The properties of the fuzz targets, over the committed seeds and over inputs that are made of
//! them at random. A fuzzer goes on from the same seeds, see `fuzz/README.md`.
#![cfg(all(not(loom), feature = "json"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "fuzz/answers.rs"]
mod answers;
#[path = "fuzz/channel.rs"]
mod channel;
#[path = "fuzz/cursor.rs"]
mod cursor;
#[path = "fuzz/operations.rs"]
mod operations;
#[path = "fuzz/poll.rs"]
mod poll;
#[path = "fuzz/publish.rs"]
mod publish;
#[path = "fuzz/reading.rs"]
mod reading;

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    path::Path,
    thread,
};

use common::Random;

/// How many inputs are made for each target if `FUZZ_CASES` does not say.
const CASES: u64 = 2_000;
/// Seeds stay few and small: each is there for a reason.
const MOST_SEEDS: usize = 40;
const MOST_SEED_BYTES: usize = 1_024;

/// Names an input if its check panics.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

/// Checks all seeds of a target, and inputs made of them.
fn check(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.collect();
    paths.sort();
    assert!((1..=MOST_SEEDS).contains(&paths.len()), "{} has a few seeds", folder.display());
    let mut seeds = Vec::new();
    for path in paths {
        let _name = Named(format!("the seed: {}", path.display()));
        let seed = fs::read(&path).unwrap();
        assert!(seed.len() <= MOST_SEED_BYTES);
        check(&seed);
        seeds.push(seed);
    }
    let variable = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let first = variable("FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(()));
    for number in 0..variable("FUZZ_CASES").unwrap_or(CASES) {
        let number = first.wrapping_add(number);
        let input = mutated(&seeds, &mut Random::new(number));
        let shown = input.escape_ascii();
        let _name =
            Named(format!("the input: {shown}\nto replay: FUZZ_SEED={number} FUZZ_CASES=1"));
        check(&input);
    }
}

/// One of the seeds, changed a little.
fn mutated(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    const TELLING: &[u8] = b"\0\xff\x7f\x80\n\r %&=?#/+\"\\,;:.{[0919$aA*";
    let mut input = seeds[random.below(seeds.len())].clone();
    for _ in 0..1 + random.below(4) {
        let place = random.below(input.len() + 1);
        let end = place + random.below((input.len() - place).min(16) + 1);
        match random.below(7) {
            0 => drop(input.drain(place..end)),
            1 => input.insert(place, TELLING[random.below(TELLING.len())]),
            2 => input.insert(place, random.below(256) as u8),
            3 => {
                let repeated = input[place..end].to_vec();
                input.splice(place..place, repeated);
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1);
                input.splice(place..end, other[from..to].iter().copied());
            }
            5 => input.extend((0..random.below(36)).map(|_| random.below(256) as u8)),
            _ => {
                if let Some(byte) = input.get_mut(place) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    input
}

#[test]
fn any_text_is_one_cursor_or_none() {
    check("cursor", cursor::check);
}

#[test]
fn any_poll_is_answered_as_a_naive_reading_of_it_says() {
    check("poll", poll::check);
}

#[test]
fn any_bytes_are_the_same_name_on_every_way_or_refused() {
    check("channel", channel::check);
}

#[test]
fn any_upload_is_refused_or_told_exactly() {
    check("publish", publish::check);
}

#[test]
fn any_operations_do_what_the_reference_does() {
    check("operations", operations::check);
}
