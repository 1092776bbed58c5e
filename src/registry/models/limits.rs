//! Limits that shards share.

use super::*;

/// Polls on two threads. Also returns why who is not parked was refused.
fn race(clients: [Client; 2]) -> [(Client, Option<Refused>); 2] {
    let threads = clients.map(|mut client| {
        spawn(move || {
            let refused = client.start(9).map(|answer| match answer {
                Waited::Refused { reason, .. } => reason,
                other => panic!("{other:?}"),
            });
            (client, refused)
        })
    });
    threads.map(|thread| thread.join().unwrap())
}

/// Takes all free permits of a quota.
fn take_all(quota: &Quota) -> usize {
    std::iter::repeat_with(|| quota.take(false)).take_while(|taken| *taken > 0).sum()
}

/// The permits of the quotas, wherever they are.
fn permits(registry: &Registry) -> (usize, usize) {
    let free = |quota: &Quota| {
        let free = take_all(quota);
        quota.give(free);
        free
    };
    let (mut waits, mut channels) = (free(&registry.common.waits), free(&registry.common.channels));
    for cell in &registry.cells {
        let shard = cell.look();
        waits += shard.spare_waits + shard.holds().waits;
        channels += shard.spare_channels + shard.holds().channels;
    }
    (waits, channels)
}

/// Two clients on two shards.
fn two_clients(registry: &Registry) -> [Client; 2] {
    [0, 1].map(|shard| Client::new(registry, [&channel_on(registry, shard)]))
}

fn config(max_waits: usize, max_channels: usize) -> Config {
    Config { max_waits, max_channels, shards: 2, ..Config::default() }
}

#[test]
fn of_two_polls_on_two_shards_one_gets_the_last_permit_for_a_wait() {
    explore(|| the_last_permit(1, 8, Refused::Waits { max: 1 }));
}

#[test]
fn of_two_polls_on_two_shards_one_gets_the_last_permit_for_a_channel() {
    explore(|| the_last_permit(8, 1, Refused::Channels { max: 1 }));
}

fn the_last_permit(max_waits: usize, max_channels: usize, reason: Refused) {
    let registry = limited(config(max_waits, max_channels));
    let clients = two_clients(&registry);
    let (mut parked, mut refused): (Vec<_>, Vec<_>) =
        race(clients).into_iter().partition(|(client, _)| client.is_parked());
    assert_eq!((parked.len(), refused.len()), (1, 1));
    assert_eq!(refused[0].1, Some(reason));
    assert_eq!(permits(&registry), (max_waits, max_channels), "no permit is lost or made");

    parked[0].0.abandon();
    let client = &mut refused[0].0;
    assert!(client.start(9).is_none(), "a permit is for whoever wants it, wherever it lies");
    client.abandon();
    assert_eq!(permits(&registry), (max_waits, max_channels), "no permit is lost or made");
    leaves_nothing(&registry);
}

#[test]
fn of_two_polls_none_is_refused_while_a_third_shard_has_permits_to_spare() {
    explore_with_preemptions(3, || {
        // Permits come in blocks of two, so that one poll may take both at first.
        let registry = limited(Config { shards: 4, ..config(64, 64) });
        take_all(&registry.common.waits);
        registry.cells[2].lock(&Changes::default()).spare_waits = 2;
        let clients = two_clients(&registry);
        for (mut client, refused) in race(clients) {
            assert_eq!(refused, None);
            client.abandon();
        }
        assert_eq!(permits(&registry), (2, 64), "no permit is lost or made");
        leaves_nothing(&registry);
    });
}

#[test]
fn two_polls_that_each_hold_what_the_other_lacks_break_no_limit() {
    // Each may take the last permit of one kind, miss the other and be refused: a limit is never
    // exceeded, but it may be said to be reached by who was refused at the same time.
    explore_with_preemptions(3, || {
        let registry = limited(config(1, 1));
        let clients = two_clients(&registry);
        for (mut client, refused) in race(clients) {
            assert_eq!(client.is_parked(), refused.is_none());
            client.abandon();
        }
        assert_eq!(permits(&registry), (1, 1), "no permit is lost or made");
        for mut client in two_clients(&registry) {
            assert!(client.start(9).is_none(), "a permit is for whoever wants it");
            client.abandon();
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn a_permit_that_is_given_back_meanwhile_is_not_lost() {
    explore(|| {
        let registry = limited(config(1, 8));
        let [mut leaves, mut comes] = two_clients(&registry);
        assert!(leaves.start(9).is_none());
        let leaver = spawn(move || leaves.abandon());

        if let Some(answer) = comes.start(9) {
            assert!(matches!(answer, Waited::Refused { reason: Refused::Waits { max: 1 }, .. }));
            leaver.join().unwrap();
            assert!(comes.start(9).is_none(), "the permit is there now");
        } else {
            leaver.join().unwrap();
        }
        assert_eq!(permits(&registry), (1, 8), "no permit is lost or made");
        comes.abandon();
        leaves_nothing(&registry);
    });
}

#[test]
fn of_two_events_on_two_shards_one_gets_the_last_room() {
    explore(|| {
        // Room for two events, and one is there.
        let total_history_bytes = 3 * Event::OVERHEAD_BYTES + 1;
        let limits = Config { max_payload_bytes: 1, total_history_bytes, ..config(8, 8) };
        let registry = limited(limits);
        let channels = [0, 1].map(|shard| channel_on(&registry, shard));
        publish(&registry, &channels[0], "a");
        let threads = channels.map(|channel| {
            let registry = Arc::clone(&registry);
            spawn(move || registry.publish(&channel, Event::from("b"), TIMES).err())
        });
        let errors: Vec<_> = threads.into_iter().filter_map(|t| t.join().unwrap()).collect();
        assert_eq!(errors, [PublishError::TotalHistory { max_bytes: total_history_bytes }]);
        assert_eq!(permits(&registry), (8, 8), "no permit is lost or made");
        leaves_nothing(&registry);
    });
}
