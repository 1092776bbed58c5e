//! Broadcasts on their way.

use super::*;

const PACE: fn() -> Pace = || Pace::new(usize::MAX, 1, 0);

/// A shard with room for many waits on two channels.
fn roomy() -> (Shard, [u32; 2]) {
    let mut shard = Shard::new();
    (shard.spare_waits, shard.spare_channels) = (usize::MAX / 2, 2);
    let keys = [0, 1].map(|name| shard.open(&channel(name)));
    (shard, keys.map(Result::unwrap))
}

fn enqueue(shard: &mut Shard, channel: u32, registered: u64) -> u32 {
    shard.enqueue(channel, Some(1_000_000), registered, Waker::noop().clone())
}

#[test]
fn a_broadcast_that_is_renewed_for_ever_does_not_starve_another() {
    let (mut shard, [busy, other]) = roomy();
    (0..1_000).for_each(|_| _ = enqueue(&mut shard, busy, 1));
    let others: Vec<_> = (0..100).map(|_| enqueue(&mut shard, other, 1)).collect();
    shard.fan_out(busy, 2, State::Woken, PACE());
    shard.fan_out(other, 3, State::Woken, PACE());
    for sequence in 4..20 {
        let (mut steps, mut wakers) = (BATCH, WakeList::default());
        shard.release(0, &mut steps, &mut wakers);
        // Who was let go polls again, and there is another event.
        (0..BATCH).for_each(|_| _ = enqueue(&mut shard, busy, sequence - 1));
        shard.broadcast(busy, sequence, State::Woken, usize::MAX, &mut wakers);
    }
    assert!(others.iter().all(|&key| shard.waiter(key).state == State::Woken));
}

#[test]
fn broadcasts_that_join_end_each_wait_by_the_last_that_meant_it_but_none_hides_a_delete() {
    use State::{Deleted, Touched, Woken};
    // Waits that registered before each of three broadcasts, and how they end.
    let cases = [
        ([Woken, Deleted, Touched], [Deleted, Deleted, Touched]),
        ([Deleted, Touched, Touched], [Deleted, Touched, Touched]),
        ([Deleted, Touched, Woken], [Deleted, Woken, Woken]),
        ([Touched, Deleted, Deleted], [Deleted, Deleted, Deleted]),
        ([Touched, Woken, Touched], [Touched, Touched, Touched]),
    ];
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for ((broadcasts, ends), order) in cases.iter().flat_map(|case| orders.map(|o| (case, o))) {
        let (mut shard, [channel, _]) = roomy();
        let waits = [0, 1, 2].map(|place| enqueue(&mut shard, channel, place));
        for place in order {
            shard.fan_out(channel, place as u64 + 1, broadcasts[place], PACE());
        }
        shard.release(0, &mut BATCH.clone(), &mut WakeList::default());
        let ended = waits.map(|key| shard.waiter(key).state);
        assert_eq!(ended, *ends, "{broadcasts:?} in the order {order:?}");
        assert_eq!(shard.fanouts().count(), 0);
    }
}

#[test]
fn a_pace_gives_a_portion_at_once_and_after_each_interval_and_little_more_to_who_is_late() {
    let mut pace = Pace::new(3, 10, 100);
    for (now, allowed) in [(100, 3), (110, 3), (125, 3), (149, 6), (150, 3), (9_999, 24)] {
        assert_eq!(pace.allows(now), allowed, "at {now}");
        pace.take(allowed);
        assert_eq!(pace.allows(now), 0, "at {now}");
    }
    assert_eq!(pace.allows(10_000), 3);
    assert_eq!(Pace::new(usize::MAX, 1, u64::MAX).allows(u64::MAX), usize::MAX);
}

#[test]
fn a_broadcast_of_which_all_have_left_lends_the_next_nothing() {
    let (mut shard, [channel, _]) = roomy();
    let keys = [1, 1].map(|registered| enqueue(&mut shard, channel, registered));
    shard.fan_out(channel, 2, State::Woken, Pace::new(1, 1, 0));
    enqueue(&mut shard, channel, 2);
    keys.into_iter().for_each(|key| drop(shard.leave(key)));
    let ended = shard.broadcast(channel, 3, State::Woken, 1, &mut WakeList::default());
    assert_eq!((ended.count, shard.fanouts().count()), (1, 0));
}

#[test]
fn a_broadcast_goes_with_its_channel() {
    let (mut shard, [channel, _]) = roomy();
    let key = enqueue(&mut shard, channel, 1);
    shard.fan_out(channel, 2, State::Touched, Pace::new(1, 1, 0));
    shard.leave(key);
    assert_eq!(shard.fanouts().count(), 0);
}
