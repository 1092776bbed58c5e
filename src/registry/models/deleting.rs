//! Deleting a channel, while polls and events come.

use super::*;

/// Deletes on a thread of its own.
fn deleter(registry: &Arc<Registry>, channel: &Channel) -> JoinHandle<bool> {
    let (registry, channel) = (Arc::clone(registry), channel.clone());
    spawn(move || registry.delete(&channel, 0))
}

fn is_deleted(answer: &Waited) -> bool {
    matches!(answer, Waited::Deleted { .. })
}

/// An event that was deleted or not, as who has caught up sees it.
#[track_caller]
fn assert_seen_or_a_gap(client: &Client, sent: (u64, &str)) {
    match client.gaps() {
        0 => assert_eq!(client.told(), [sent], "nothing is lost silently"),
        gaps => assert_eq!((gaps, client.told()), (1, vec![]), "a gap is told once"),
    }
}

#[test]
fn an_event_that_races_a_delete_is_seen_or_is_a_gap() {
    explore(|| {
        let (registry, channel, mut client) = with_client();
        let publisher = publisher(&registry, &channel, "a");
        let deleter = deleter(&registry, &channel);

        client.poll_twice(9);
        deleter.join().unwrap();
        let sent = publisher.join().unwrap();
        client.catch_up();
        assert_seen_or_a_gap(&client, sent);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_parked_wait_outlives_no_delete() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let publisher = publisher(&registry, &channel, "a");
        let deleter = deleter(&registry, &channel);

        let answer = client.resume();
        assert!(deleter.join().unwrap(), "a channel with a wait is there to be deleted");
        let sent = publisher.join().unwrap();
        assert_eq!(client.rung(), 1, "woken by one of the two");
        let answer = answer.unwrap_or_else(|| client.wake_up());
        client.hear(&answer);
        client.catch_up();
        assert_seen_or_a_gap(&client, sent);
        leaves_nothing(&registry);
    });
}

#[test]
fn an_event_that_races_a_delete_of_many_is_seen_or_is_a_gap() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        // One more than a batch: both go on after they have let the lock go.
        let mut clients = three_parked(&registry, &channel);
        let publisher = publisher(&registry, &channel, "a");
        assert!(registry.delete(&channel, 0));

        let sent = publisher.join().unwrap();
        for client in &mut clients {
            let answer = client.wake_up();
            client.hear(&answer);
            client.catch_up();
            assert_seen_or_a_gap(client, sent);
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn a_wait_that_comes_after_a_delete_waits_for_a_new_channel() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        // One more than a batch: the delete goes on after it has let the lock go.
        let mut earlier = three_parked(&registry, &channel);
        let mut later = Client::new(&registry, [&channel]);
        let deleter = deleter(&registry, &channel);

        assert!(later.start_at(0, 9, Since::Now).is_none());
        assert!(deleter.join().unwrap());
        earlier.iter_mut().for_each(|client| ends_once(client, is_deleted));
        ends_or_waits_on(&registry, &channel, &mut later, is_deleted);
        assert_eq!(later.rung(), 1);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_delete_ends_when_its_waits_have_left_and_leaves_a_new_channel_alone() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        let mut earlier = three_parked(&registry, &channel);
        let mut later = Client::new(&registry, [&channel]);
        let deleter = deleter(&registry, &channel);

        earlier.iter_mut().for_each(Client::abandon);
        assert!(later.start_at(0, 9, Since::Now).is_none());
        let deleted = deleter.join().unwrap();
        assert!(deleted || later.rung() == 0);
        ends_or_waits_on(&registry, &channel, &mut later, is_deleted);
        leaves_nothing(&registry);
    });
}
