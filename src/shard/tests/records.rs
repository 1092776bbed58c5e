//! What is kept of channels and waits, and for how long.

use super::*;
#[cfg(target_pointer_width = "64")]
use crate::wheel::Timer;

#[test]
fn a_wait_that_is_alone_keeps_the_memory_for_the_next() {
    let (mut shard, name) = (Shard::new(), Channel::new("a").unwrap());
    (shard.spare_channels, shard.spare_waits) = (1, 1);
    for _ in 0..3 {
        let wait = shard.park(None, &name, Some(5), 0, std::task::Waker::noop().clone());
        shard.leave(wait.unwrap());
        assert_eq!(shard.names.places(), 8);
    }
}

#[test]
fn the_remnants_that_settle_first_are_forgotten_first() {
    let mut shard = Shard::new();
    let names: Vec<_> = (0..=BATCH).map(|name| Channel::new(name.to_string()).unwrap()).collect();
    shard.spare_channels = names.len();
    for (sequence, name) in (1..).zip(&names) {
        let key = shard.open(name).unwrap();
        let stored = Stored::new(name.clone(), Event::new("old"), Moment::NEVER);
        let held = Held { sequence, expires: 1_000 - sequence, stored };
        shard.store(key, held, 0, &mut Evicted::default());
        shard.delete(key, &mut Evicted::default());
    }
    shard.validate();
    assert!(shard.forget_remnants());
    shard.validate();
    let left: Vec<_> = names.iter().filter(|name| shard.find(name).is_some()).collect();
    assert_eq!(left, [&names[0]]);
}

#[test]
fn a_reset_leaves_no_remnant() {
    let (mut shard, name) = (Shard::new(), Channel::new("a").unwrap());
    shard.spare_channels = 1;
    let mut gone = Evicted::default();
    let key = shard.open(&name).unwrap();
    let stored = Stored::new(name, Event::new("old"), Moment::NEVER);
    shard.store(key, Held { sequence: 1, expires: 1_000, stored }, 0, &mut gone);
    shard.delete(key, &mut gone);
    shard.reset(&mut gone);
    shard.validate();
    assert_eq!(shard.holds().channels, 0);
    assert!(!shard.forget_remnants());
}

#[cfg(target_pointer_width = "64")]
#[test]
fn records_have_no_more_bytes_than_they_need() {
    use std::mem::{offset_of, size_of};

    // The deadline (8), neighbours in the slot of the wheel (8) and its place (3).
    assert_eq!(size_of::<Timer>(), 20);
    // Beside the timer: the neighbours in the queue (8), the channel (4), its state and two marks
    // (3), the sequence when it registered (8) and the waker (16).
    assert!(size_of::<Waiter>() <= 64, "{}", size_of::<Waiter>());
    // The newest event (8), three numbers (24), when it is too old (8), the ring (24) and the weight (8).
    assert!(size_of::<History>() <= 72, "{}", size_of::<History>());
    // Beside the history and a timer: the name (16) and half its hash (4), the queue of waits (12) and
    // their number (4).
    assert!(size_of::<Record>() <= 128, "{}", size_of::<Record>());
    // A poll that parks has to see the newest event and the floor: with what is before them they are
    // on the first cache line.
    assert!(offset_of!(Record, history) + History::SEEN_BY_POLLS <= 64);
}
