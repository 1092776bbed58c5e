//! Waking many, a batch at a time. A batch is two here.

use super::*;

#[test]
fn a_broadcast_wakes_who_parked_before_it_and_loses_nobody_else() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        let mut earlier = three_parked(&registry, &channel);
        let mut later = Client::new(&registry, [&channel]);
        let publisher = spawn({
            let (registry, channel) = (Arc::clone(&registry), channel.clone());
            move || publish_counted(&registry, &channel, "a")
        });

        assert!(later.start_at(0, 9, Since::Now).is_none(), "nothing is new from now on");
        let (sent, woken) = publisher.join().unwrap();
        assert_eq!(woken, 3 + later.rung(), "who was woken is counted");
        for client in &mut earlier {
            assert_eq!(client.rung(), 1);
            let answer = client.wake_up();
            assert_eq!(client.heard(&answer), [sent]);
        }
        hears_it_or_times_out(&registry, &mut later, sent);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_broadcast_goes_on_when_waits_leave_it() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        let [mut first, mut second, mut third] = three_parked(&registry, &channel);
        let publisher = publisher(&registry, &channel, "a");

        first.abandon();
        third.abandon();
        let sent = publisher.join().unwrap();
        assert_eq!(second.rung(), 1);
        assert!(first.rung() <= 1 && third.rung() <= 1);
        for client in [&mut first, &mut second, &mut third] {
            hears_all(client, &[sent]);
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn two_broadcasts_at_once_wake_each_wait_once() {
    explore(|| {
        let registry = registry(1);
        let channel = channel_on(&registry, 0);
        let mut clients = three_parked(&registry, &channel);
        let other = publisher(&registry, &channel, "a");

        let mut sent = [publish(&registry, &channel, "b"), other.join().unwrap()];
        sent.sort_unstable();
        for client in &mut clients {
            assert_eq!(client.rung(), 1);
            hears_all(client, &sent);
        }
        leaves_nothing(&registry);
    });
}
