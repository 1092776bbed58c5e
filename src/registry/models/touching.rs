//! Touching a channel, while polls and events come and holds run out.

use super::*;

/// Wakes who waits, without an event; returns how many.
fn touch(registry: &Registry, channel: &Channel) -> usize {
    let (woken, panics) = registry.touch(channel, 0);
    panics.resume();
    woken
}

/// Touches on a thread of its own.
fn toucher(registry: &Arc<Registry>, channel: &Channel) -> JoinHandle<usize> {
    let (registry, channel) = (Arc::clone(registry), channel.clone());
    spawn(move || touch(&registry, &channel))
}

fn is_touched(answer: &Waited) -> bool {
    matches!(answer, Waited::Touched { .. })
}

#[test]
fn a_poll_is_touched_exactly_if_it_parked_before_the_touch() {
    explore(|| parks_beside_a_touch(1));
}

#[test]
fn a_poll_over_two_shards_is_touched_exactly_if_it_parked_before_the_touch() {
    explore(|| parks_beside_a_touch(2));
}

fn parks_beside_a_touch(shards: usize) {
    let registry = registry(shards);
    let channels = [0, shards - 1].map(|shard| channel_on(&registry, shard));
    let mut client = Client::new(&registry, channels.each_ref());
    let toucher = toucher(&registry, &channels[1]);

    assert!(client.start(9).is_none(), "a touch that was is no news");
    let woken = toucher.join().unwrap();
    assert_eq!(client.rung(), woken);
    if woken == 0 {
        assert!(client.resume().is_none());
        assert_eq!(touch(&registry, &channels[1]), 1);
    }
    assert!(matches!(client.wake_up(), Waited::Touched { .. }));
    assert_eq!(client.rung(), 1);
    leaves_nothing(&registry);
}

#[test]
fn who_comes_back_during_a_touch_is_touched_once() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        // One more than a batch: the touch goes on after it has let the lock go.
        let mut clients = three_parked(&registry, &channel);
        let toucher = toucher(&registry, &channel);

        let first = &mut clients[0];
        let mut bells = Vec::new();
        if let Some(answer) = first.resume() {
            assert!(matches!(answer, Waited::Touched { .. }));
            first.hear(&answer);
            bells.push(first.change_bell());
            assert!(first.start(9).is_none());
        }
        assert_eq!(toucher.join().unwrap(), 3, "those that were there, each once");
        let is_back = !bells.is_empty();
        bells.iter().for_each(|bell| assert_eq!(bell.rung(), 1));
        for (place, client) in clients.iter_mut().enumerate() {
            if place == 0 && is_back {
                assert_eq!(client.rung(), 0, "it has come back after the touch");
                client.abandon();
            } else {
                ends_once(client, is_touched);
            }
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn a_newcomer_during_a_touch_is_touched_or_waits_on() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        let mut earlier = three_parked(&registry, &channel);
        let mut later = Client::new(&registry, [&channel]);
        let toucher = toucher(&registry, &channel);

        assert!(later.start(9).is_none());
        assert_eq!(toucher.join().unwrap(), 3 + later.rung());
        earlier.iter_mut().for_each(|client| ends_once(client, is_touched));
        ends_or_waits_on(&registry, &channel, &mut later, is_touched);
        assert_eq!(later.rung(), 1);
        leaves_nothing(&registry);
    });
}

#[test]
fn an_event_that_races_a_touch_is_not_lost() {
    explore(|| event_beside_a_touch(1));
}

#[test]
fn an_event_that_races_a_touch_on_another_shard_is_not_lost() {
    explore(|| event_beside_a_touch(2));
}

fn event_beside_a_touch(shards: usize) {
    let registry = registry(shards);
    let channels = [0, shards - 1].map(|shard| channel_on(&registry, shard));
    let mut client = Client::new(&registry, channels.each_ref());
    assert!(client.start(9).is_none());
    let publisher = publisher(&registry, &channels[0], "a");
    let toucher = toucher(&registry, &channels[1]);

    let answer = client.resume();
    let (sent, woken) = (publisher.join().unwrap(), toucher.join().unwrap());
    assert!((1..=shards).contains(&client.rung()), "once for each of its channels at most");
    let is_late = answer.is_none();
    let answer = answer.unwrap_or_else(|| client.wake_up());
    match &answer {
        Waited::Touched { .. } => assert!(!is_late && woken == 1, "an event that is there wins"),
        answer => assert!(matches!(answer, Waited::Events(_))),
    }
    client.hear(&answer);
    hears_all(&mut client, &[sent]);
    leaves_nothing(&registry);
}

#[test]
fn a_touch_at_the_end_of_the_hold_ends_it_once() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let toucher = toucher(&registry, &channel);

        turn(&registry, 9);
        let woken = toucher.join().unwrap();
        assert_eq!(client.rung(), 1, "woken by one of the two");
        match client.wake_up() {
            Waited::Touched { .. } => assert_eq!(woken, 1),
            Waited::TimedOut { .. } => assert_eq!(woken, 0),
            answer => panic!("{answer:?}"),
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn a_wait_may_leave_expire_and_be_touched_at_once() {
    explore(|| leave_expire_and_touch(1));
}

#[test]
fn a_wait_over_two_shards_may_leave_expire_and_be_touched_at_once() {
    explore(|| leave_expire_and_touch(2));
}

fn leave_expire_and_touch(shards: usize) {
    let registry = registry(shards);
    let channels = [0, shards - 1].map(|shard| channel_on(&registry, shard));
    let mut client = Client::new(&registry, channels.each_ref());
    assert!(client.start(9).is_none());
    // The deadline is on the first shard, the touch on the last.
    let toucher = toucher(&registry, &channels[1]);
    let turner = turner(&registry, 9);

    client.abandon();
    turner.join().unwrap();
    let woken = toucher.join().unwrap();
    assert!(woken <= 1 && (woken..=shards).contains(&client.rung()));
    assert_eq!(touch(&registry, &channels[1]), 0, "nobody is left");
    leaves_nothing(&registry);
}
