//! The end of a hold, of a client and of a channel, while events come.

use super::*;

#[test]
fn an_event_wins_against_the_deadline() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let publisher = publisher(&registry, &channel, "a");

        turn(&registry, 9);
        let sent = publisher.join().unwrap();
        assert_eq!(client.rung(), 1, "woken by one of the two");
        let answer = client.wake_up();
        assert_eq!(client.heard(&answer), [sent]);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_wait_that_times_out_beside_an_event_gets_it_next_time() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let publisher = publisher(&registry, &channel, "a");
        let turner = turner(&registry, 9);

        let answer = client.resume();
        turner.join().unwrap();
        let sent = publisher.join().unwrap();
        assert_eq!(client.rung(), 1, "woken by one of the two");
        let answer = answer.unwrap_or_else(|| client.wake_up());
        assert!(matches!(answer, Waited::Events(_) | Waited::TimedOut { .. }));
        client.hear(&answer);
        hears_all(&mut client, &[sent]);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_client_that_leaves_while_an_event_comes_finds_it_when_it_is_back() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let publisher = publisher(&registry, &channel, "a");

        client.abandon();
        let sent = publisher.join().unwrap();
        assert!(client.rung() <= 1);
        registry.validate();
        assert_eq!(held(&registry).waits, 0, "nothing is parked");
        hears_all(&mut client, &[sent]);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_wait_may_leave_expire_and_be_woken_at_once() {
    explore(|| leave_expire_and_wake(1));
}

#[test]
fn a_wait_over_two_shards_may_leave_expire_and_be_woken_at_once() {
    explore(|| leave_expire_and_wake(2));
}

fn leave_expire_and_wake(shards: usize) {
    let registry = registry(shards);
    let channels = [0, shards - 1].map(|shard| channel_on(&registry, shard));
    let mut client = Client::new(&registry, channels.each_ref());
    assert!(client.start(9).is_none());
    // The deadline is on the first shard, the event comes on the last.
    let publisher = publisher(&registry, &channels[1], "a");
    let turner = turner(&registry, 9);

    client.abandon();
    turner.join().unwrap();
    let sent = publisher.join().unwrap();
    assert!(client.rung() <= shards, "woken once for each of its channels at most");
    registry.validate();
    assert_eq!(held(&registry).waits, 0, "nothing is parked");
    hears_all(&mut client, &[sent]);
    leaves_nothing(&registry);
}

#[test]
fn a_channel_that_is_forgotten_meanwhile_leaves_word_of_what_is_gone() {
    explore(|| forgotten(None));
}

#[test]
fn a_channel_that_is_forgotten_meanwhile_is_no_gap_to_who_has_seen_all() {
    explore(|| forgotten(Some("old")));
}

/// The one event of a channel is too old at tick 5, when the channel would be forgotten but for a
/// poll and another event.
fn forgotten(seen: Option<&str>) {
    let registry = registry(1);
    let channel = channel_on(&registry, 0);
    let mut client = Client::new(&registry, [&channel]);
    let times = Times { expires: 5, ..TIMES };
    let (old, ..) = registry.publish(&channel, Event::from("old"), times).unwrap();
    let old = (old.cursor.sequence(), "old");
    if seen.is_some() {
        client.catch_up();
    }
    let turner = turner(&registry, 5);
    let publisher = publisher(&registry, &channel, "new");

    client.poll_twice(9);
    turner.join().unwrap();
    let new = publisher.join().unwrap();
    client.catch_up();
    if client.gaps() == 0 {
        assert_eq!(client.told(), [old, new], "all is seen, or there is a gap");
    } else {
        assert_eq!((client.told(), client.gaps()), (vec![new], 1), "a gap is told once");
        assert_eq!(seen, None, "a gap is told to those that have missed something");
    }
    leaves_nothing(&registry);
}
