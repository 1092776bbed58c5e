//! Polls of which only the newest with a key stays, while others come, go and are woken.

use super::*;

/// A key whose record is on the shard of this index.
fn key_on(registry: &Registry, shard: usize) -> Channel {
    let mut names = (0..).map(|number: u32| Channel::key(&number.to_string()));
    names.find(|name| registry.locate(name).index == shard).unwrap()
}

/// Has a client poll on a thread of its own: parked, or answered and heard.
fn poller(mut client: Client) -> JoinHandle<Client> {
    spawn(move || {
        if let Some(waited) = client.start(9) {
            client.hear(&waited);
        }
        client
    })
}

/// Takes the answer of a poll that a newer one has ended, or an event.
fn hear_the_end(client: &mut Client) {
    let answer = client.wake_up();
    assert!(matches!(answer, Waited::Events(_) | Waited::Superseded { .. }), "{answer:?}");
    client.hear(&answer);
}

#[test]
fn of_two_polls_that_race_exactly_one_stays() {
    explore(|| one_stays(1, [0, 0], 0));
}

#[test]
fn of_two_polls_that_race_over_shards_exactly_one_stays() {
    explore(|| one_stays(2, [0, 1], 0));
}

#[test]
fn of_two_polls_whose_key_comes_last_exactly_one_stays() {
    explore(|| one_stays(2, [0, 1], 1));
}

fn one_stays(shards: usize, channels: [usize; 2], key: usize) {
    let registry = registry(shards);
    let key = key_on(&registry, key);
    let channels = channels.map(|shard| channel_on(&registry, shard));
    let [one, other] = channels.each_ref().map(|channel| Client::new(&registry, [channel, &key]));
    let other = poller(other);

    let mut clients = [poller(one).join().unwrap(), other.join().unwrap()];
    clients.sort_by_key(Client::rung);
    let [newest, older] = &mut clients;
    assert_eq!((newest.rung(), older.rung()), (0, 1), "one stays, the other is told");
    let answer = older.wake_up();
    assert!(matches!(answer, Waited::Superseded { .. }));
    older.hear(&answer);
    assert_eq!(held(&registry).waits, 1);
    channels.iter().for_each(|channel| _ = publish(&registry, channel, "a"));
    assert!(matches!(newest.wake_up(), Waited::Events(_)));
    leaves_nothing(&registry);
}

#[test]
fn of_three_polls_that_race_exactly_one_stays() {
    explore_with_preemptions(2, || {
        let registry = registry(1);
        let (channel, key) = (channel_on(&registry, 0), key_on(&registry, 0));
        let clients = [(); 3].map(|()| Client::new(&registry, [&channel, &key]));
        let pollers = clients.map(poller);

        let mut clients = pollers.map(|poller| poller.join().unwrap());
        clients.sort_by_key(Client::rung);
        assert_eq!(clients.each_ref().map(Client::rung), [0, 1, 1]);
        clients[0].abandon();
        for older in &mut clients[1..] {
            assert!(matches!(older.wake_up(), Waited::Superseded { .. }));
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn who_is_superseded_beside_an_event_loses_nothing() {
    explore(|| beside_an_event(1));
}

#[test]
fn who_is_superseded_beside_an_event_on_another_shard_loses_nothing() {
    explore(|| beside_an_event(2));
}

fn beside_an_event(shards: usize) {
    let registry = registry(shards);
    let (channel, key) = (channel_on(&registry, shards - 1), key_on(&registry, 0));
    let [mut older, newer] = [(); 2].map(|()| Client::new(&registry, [&channel, &key]));
    assert!(older.start(9).is_none());
    let publisher = publisher(&registry, &channel, "a");
    let newer = poller(newer);

    if let Some(answer) = older.resume() {
        assert!(matches!(answer, Waited::Events(_) | Waited::Superseded { .. }), "{answer:?}");
        older.hear(&answer);
    }
    let (mut newer, sent) = (newer.join().unwrap(), publisher.join().unwrap());
    assert!((1..=2).contains(&older.rung()), "by the event, the newer, or both");
    if older.is_parked() {
        hear_the_end(&mut older);
    }
    assert_eq!(newer.rung(), usize::from(newer.is_parked()), "by the event if it came later");
    for client in [&mut older, &mut newer] {
        hears_all(client, &[sent]);
    }
    leaves_nothing(&registry);
}

#[test]
fn an_older_that_leaves_while_it_is_superseded_leaves_the_newest_alone() {
    explore(|| older_leaves(1, 0));
}

#[test]
fn an_older_that_leaves_two_shards_while_it_is_superseded_leaves_the_newest_alone() {
    explore(|| older_leaves(2, 0));
    explore(|| older_leaves(2, 1));
}

fn older_leaves(shards: usize, key: usize) {
    let registry = registry(shards);
    let (channel, key) = (channel_on(&registry, shards - 1 - key), key_on(&registry, key));
    let [mut older, newer] = [(); 2].map(|()| Client::new(&registry, [&channel, &key]));
    assert!(older.start(9).is_none());
    let newer = poller(newer);

    older.abandon();
    let mut newer = newer.join().unwrap();
    assert!(older.rung() <= 1);
    registry.validate();
    assert!(newer.is_parked() && newer.rung() == 0);
    assert_eq!(held(&registry).waits, 1, "the newest");
    let sent = publish(&registry, &channel, "a");
    let answer = newer.wake_up();
    assert_eq!(newer.heard(&answer), [sent]);
    leaves_nothing(&registry);
}

#[test]
fn a_newest_that_leaves_has_ended_the_older_all_the_same() {
    explore(|| {
        let registry = registry(2);
        let (channel, key) = (channel_on(&registry, 0), key_on(&registry, 1));
        let [mut older, mut newer] = [(); 2].map(|()| Client::new(&registry, [&channel, &key]));
        assert!(older.start(9).is_none());
        let newer = spawn(move || {
            assert!(newer.start(9).is_none());
            newer.abandon();
        });

        let answer = older.resume();
        newer.join().unwrap();
        assert_eq!(older.rung(), 1);
        let answer = answer.unwrap_or_else(|| older.wake_up());
        assert!(matches!(answer, Waited::Superseded { .. }));
        leaves_nothing(&registry);
    });
}

#[test]
fn who_is_superseded_at_the_end_of_the_hold_ends_once() {
    // The hold stands on the first shard: on that of the key, or on that of the channel.
    for (channel, key) in [(0, 0), (1, 0), (0, 1)] {
        explore(move || {
            let registry = registry(channel.max(key) + 1);
            let (channel, key) = (channel_on(&registry, channel), key_on(&registry, key));
            let [mut older, mut newer] = [(); 2].map(|()| Client::new(&registry, [&channel, &key]));
            assert!(older.start(9).is_none());
            let turner = turner(&registry, 9);

            assert!(newer.start(20).is_none());
            turner.join().unwrap();
            assert!((1..=2).contains(&older.rung()));
            let answer = older.wake_up();
            assert!(matches!(answer, Waited::Superseded { .. } | Waited::TimedOut { .. }));
            assert!(newer.resume().is_none(), "neither is its own end");
            newer.abandon();
            leaves_nothing(&registry);
        });
    }
}

#[test]
fn polls_whose_keys_and_channels_cross_never_lock_each_other_out() {
    explore(|| {
        let registry = registry(2);
        let channels = [0, 1].map(|shard| channel_on(&registry, shard));
        let keys = [0, 1].map(|shard| key_on(&registry, shard));
        let one = Client::new(&registry, [&channels[0], &keys[1]]);
        let other = Client::new(&registry, [&channels[1], &keys[0]]);
        let other = poller(other);

        let mut clients = [poller(one).join().unwrap(), other.join().unwrap()];
        assert_eq!(clients.each_ref().map(Client::rung), [0, 0], "their keys differ");
        clients.iter_mut().for_each(Client::abandon);
        leaves_nothing(&registry);
    });
}

#[test]
fn who_is_refused_in_a_race_supersedes_nobody() {
    explore(|| {
        let registry = limited(Config { shards: 1, max_waits: 1, ..Config::default() });
        let (channel, key) = (channel_on(&registry, 0), key_on(&registry, 0));
        let clients = [(); 2].map(|()| Client::new(&registry, [&channel, &key]));
        let [one, other] = clients.map(poller);

        let mut clients = [one.join().unwrap(), other.join().unwrap()];
        assert_eq!(clients.each_ref().map(Client::rung), [0, 0]);
        assert_eq!(clients.iter().filter(|client| client.is_parked()).count(), 1);
        clients.iter_mut().for_each(Client::abandon);
        leaves_nothing(&registry);
    });
}
