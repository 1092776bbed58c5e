//! Broadcasts of which the publisher leaves the rest to a driver: here after the first two waits.

use super::*;

/// Has a driver that is sure to be polled.
fn with_driver(registry: &Registry) {
    assert!(registry.common.alarm.enlist(1, true));
}

/// Does what is due, as a driver does.
fn work(registry: &Registry) {
    for cell in registry.common.cells() {
        while cell.release(0).0 {}
    }
}

#[test]
fn a_broadcast_that_is_left_to_a_driver_wakes_everybody_once() {
    explore(|| {
        let registry = registry(1);
        with_driver(&registry);
        let channel = channel_on(&registry, 0);
        let mut clients = three_parked(&registry, &channel);
        let publisher = publisher(&registry, &channel, "a");

        work(&registry);
        let sent = publisher.join().unwrap();
        work(&registry);
        for client in &mut clients {
            assert_eq!(client.rung(), 1);
            hears_all(client, &[sent]);
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn a_broadcast_is_not_left_to_a_driver_that_goes() {
    explore(|| {
        let registry = registry(1);
        with_driver(&registry);
        let channel = channel_on(&registry, 0);
        let mut clients = three_parked(&registry, &channel);
        let publisher = publisher(&registry, &channel, "a");

        assert!(registry.common.alarm.retire(1));
        registry.common.hand_over();
        let sent = publisher.join().unwrap();
        for client in &mut clients {
            let answer = client.wake_up();
            assert_eq!(client.heard(&answer), [sent]);
        }
        leaves_nothing(&registry);
    });
}

#[test]
fn a_broadcast_on_its_way_goes_with_its_channel() {
    explore(|| {
        let registry = registry(1);
        with_driver(&registry);
        let channel = channel_on(&registry, 0);
        let mut clients = three_parked(&registry, &channel);
        publish(&registry, &channel, "a");

        // The last to leave frees the record; the next one may have its key.
        let worker = spawn({
            let registry = Arc::clone(&registry);
            move || work(&registry)
        });
        assert!(registry.delete(&channel, 1));
        clients.iter_mut().for_each(Client::abandon);
        let mut next = Client::new(&registry, [&channel]);
        let parked = next.start_at(2, 9, Since::Now).is_none();
        worker.join().unwrap();
        work(&registry);
        assert!(parked);
        assert_eq!(next.rung(), 0, "the broadcast did not mean it");
        next.abandon();
        leaves_nothing(&registry);
    });
}
