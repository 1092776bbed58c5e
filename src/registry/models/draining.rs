//! Letting all waits go, while polls and events come.

use super::*;

/// Drains or closes on a thread of its own.
fn spawned(registry: &Arc<Registry>, end: impl FnOnce(&Registry) + 'static) -> JoinHandle<()> {
    let registry = Arc::clone(registry);
    spawn(move || end(&registry))
}

#[test]
fn a_poll_that_races_a_drain_is_refused_or_let_go() {
    explore(|| poll_and_drain(0));
}

#[test]
fn a_poll_that_races_a_slow_drain_is_refused_or_let_go_in_time() {
    explore(|| poll_and_drain(5));
}

fn poll_and_drain(over: u64) {
    let registry = registry(2);
    let channels = [0, 1].map(|shard| channel_on(&registry, shard));
    // One more than a batch: the drain lets the lock go while it visits the waits.
    let parked = [&channels[..1], &channels[..1], &channels[1..]];
    let mut parked = parked.map(|one| Client::new(&registry, [&one[0]]));
    for client in &mut parked {
        assert!(client.start(9).is_none());
    }
    let mut client = Client::new(&registry, channels.each_ref());
    let drain =
        spawned(&registry, move |registry| registry.drain(Phase::Draining, 0, over).resume());

    let answer = client.start(9);
    drain.join().unwrap();
    turn(&registry, over);
    for client in &mut parked {
        assert_eq!(client.rung(), 1);
        assert!(matches!(client.wake_up(), Waited::Drained { .. }));
    }
    let reason = match answer.unwrap_or_else(|| client.wake_up()) {
        Waited::Refused { reason, .. } => Some(reason),
        Waited::Drained { .. } => None,
        other => panic!("{other:?}"),
    };
    assert!(reason.is_none_or(|reason| reason == Refused::Draining));
    assert_eq!(client.rung(), usize::from(reason.is_none()));
    leaves_nothing(&registry);
}

#[test]
fn an_event_that_races_a_drain_is_seen_now_or_by_the_next_poll() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let drain = spawned(&registry, |registry| registry.drain(Phase::Draining, 0, 0).resume());

        let sent = publish(&registry, &channel, "a");
        drain.join().unwrap();
        assert_eq!(client.rung(), 1);
        let answer = client.wake_up();
        assert_eq!(client.heard(&answer), [sent], "the event wins");
        leaves_nothing(&registry);
    });
}

#[test]
fn nothing_is_held_once_a_registry_is_closed() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let close = spawned(&registry, |registry| registry.close(0));

        let published = registry.publish(&channel, Event::from("a"), TIMES);
        close.join().unwrap();
        let Holds { events, bytes, .. } = held(&registry);
        assert_eq!((events, bytes), (0, 0));
        assert_eq!(client.rung(), 1);
        match (published.map(|(published, ..)| published), client.wake_up()) {
            (Ok(_), Waited::Events(batch)) => assert!(batch.gap() && batch.is_empty()),
            (Err(PublishError::Closed), Waited::Drained { .. }) => {}
            other => panic!("{other:?}"),
        }
        leaves_nothing(&registry);
    });
}
