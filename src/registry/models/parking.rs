//! Parking, while events come.

use super::*;

#[test]
fn a_poll_that_races_a_publish_is_answered_or_woken() {
    explore(|| {
        let (registry, channel, mut client) = with_client();
        let publisher = publisher(&registry, &channel, "a");

        let answer = client.start(9);
        let sent = publisher.join().unwrap();
        assert_eq!(client.rung(), usize::from(answer.is_none()), "woken once if it was parked");
        let answer = answer.unwrap_or_else(|| client.wake_up());
        assert_eq!(client.heard(&answer), [sent]);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_poll_from_now_on_is_woken_exactly_if_it_parked_before_the_event() {
    explore(|| {
        let (registry, channel, mut client) = with_client();
        let publisher = publisher(&registry, &channel, "a");

        assert!(client.start_at(0, 9, Since::Now).is_none(), "nothing is new from now on");
        let sent = publisher.join().unwrap();
        hears_it_or_times_out(&registry, &mut client, sent);
        leaves_nothing(&registry);
    });
}

#[test]
fn the_waker_that_came_last_is_the_one_that_is_woken() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let publisher = publisher(&registry, &channel, "a");

        let first = client.change_bell();
        let answer = client.resume();
        let sent = publisher.join().unwrap();
        assert_eq!((first.rung(), client.rung()), if answer.is_some() { (1, 0) } else { (0, 1) });
        let answer = answer.unwrap_or_else(|| client.wake_up());
        assert_eq!(client.heard(&answer), [sent]);
        leaves_nothing(&registry);
    });
}

#[test]
fn polls_in_a_row_see_what_two_publishers_send_once_and_in_order() {
    explore(|| {
        let (registry, channel, mut client) = with_client();
        let publishers = ["a", "b"].map(|text| publisher(&registry, &channel, text));

        client.poll_twice(9);
        let mut sent = publishers.map(|publisher| publisher.join().unwrap());
        sent.sort_unstable();
        hears_all(&mut client, &sent);
        leaves_nothing(&registry);
    });
}

#[test]
fn the_cursor_of_a_poll_over_two_shards_is_exact() {
    explore(|| two_shards(|client| client));
}

#[test]
fn the_cursor_of_a_full_batch_over_two_shards_is_exact() {
    explore(|| two_shards(Client::one_by_one));
}

#[test]
fn polls_over_the_same_shards_never_lock_each_other_out() {
    explore(|| {
        let registry = registry(2);
        let [one, other] = [0, 1].map(|shard| channel_on(&registry, shard));
        let mut client = Client::new(&registry, [&one, &other]);
        let mut crossing = Client::new(&registry, [&other, &one]);
        let crossing = spawn(move || {
            crossing.poll_twice(9);
            crossing
        });

        client.poll_twice(9);
        let mut crossing = crossing.join().unwrap();
        let sent = publish(&registry, &one, "a");
        for client in [&mut client, &mut crossing] {
            hears_all(client, &[sent]);
        }
        leaves_nothing(&registry);
    });
}

fn two_shards(adapt: impl FnOnce(Client) -> Client) {
    let registry = registry(2);
    let channels = [0, 1].map(|shard| channel_on(&registry, shard));
    let mut client = adapt(Client::new(&registry, channels.each_ref()));
    let publishers = [0, 1].map(|n| publisher(&registry, &channels[n], ["a", "b"][n]));

    client.poll_twice(9);
    let mut sent = publishers.map(|publisher| publisher.join().unwrap());
    sent.sort_unstable();
    hears_all(&mut client, &sent);
    leaves_nothing(&registry);
}
