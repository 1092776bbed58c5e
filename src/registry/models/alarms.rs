//! Drivers that fall asleep, while deadlines are registered.

use std::task::Waker;

use super::{clients::Bell, *};

/// A driver that has nothing to do.
struct Driver {
    registry: Arc<Registry>,
    runtime: u64,
    bell: Arc<Bell>,
}

/// How a driver ended a look at all shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Look {
    /// It sleeps until a tick, or until it is rung for.
    Sleeps(Option<u64>),
    /// There are no shards any more.
    Ends,
}

impl Driver {
    fn new(registry: &Arc<Registry>, runtime: u64) -> Self {
        assert!(registry.common.alarm.enlist(runtime, false));
        Self { registry: Arc::clone(registry), runtime, bell: Arc::default() }
    }

    /// Does what a driver does before it sleeps.
    fn look(common: &Common, runtime: u64, bell: &Arc<Bell>) -> Look {
        common.alarm.listen(runtime, &Waker::from(Arc::clone(bell)));
        let (mut is_last, mut next) = (true, None);
        for cell in common.cells() {
            is_last = false;
            next = [next, cell.next_turn()].into_iter().flatten().min();
        }
        if is_last { Look::Ends } else { Look::Sleeps(common.alarm.arm(runtime, next)) }
    }

    /// Looks once, on a thread of its own.
    fn looking(self) -> JoinHandle<(Look, Arc<Bell>)> {
        spawn(move || {
            let Self { registry, runtime, bell } = self;
            (Self::look(&registry.common, runtime, &bell), bell)
        })
    }
}

/// Parks and, as every wait does, has the deadline looked at.
fn park(client: &mut Client, deadline: u64) {
    assert!(client.start(deadline).is_none());
    let alarm = &client.common().alarm;
    if !alarm.covers(deadline) {
        alarm.cover(deadline);
    }
}

fn is_in_time((look, bell): &(Look, Arc<Bell>), deadline: u64) -> bool {
    let sleeps = matches!(look, Look::Sleeps(Some(until)) if *until <= deadline);
    sleeps || bell.rung() > 0
}

#[test]
fn a_driver_that_falls_asleep_misses_no_deadline() {
    explore(|| {
        let registry = registry(2);
        let mut client = Client::new(&registry, [&channel_on(&registry, 0)]);
        let driver = Driver::new(&registry, 1).looking();

        park(&mut client, 9);
        assert!(is_in_time(&driver.join().unwrap(), 9));
        client.abandon();
        leaves_nothing(&registry);
    });
}

#[test]
fn a_driver_that_falls_asleep_misses_neither_of_two_deadlines() {
    explore(|| {
        let registry = registry(2);
        let mut clients = [0, 1].map(|n| Client::new(&registry, [&channel_on(&registry, n)]));
        let [late, early] = &mut clients;
        park(late, 40);
        let driver = Driver::new(&registry, 1).looking();

        park(early, 9);
        let driver = driver.join().unwrap();
        assert!(is_in_time(&driver, 9) && is_in_time(&driver, 40));
        clients.iter_mut().for_each(Client::abandon);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_driver_that_looks_again_sleeps_for_nothing_that_is_past() {
    explore(|| {
        let registry = registry(1);
        let mut clients = [(); 2].map(|()| Client::new(&registry, [&channel_on(&registry, 0)]));
        let [past, present] = &mut clients;
        let driver = Driver::new(&registry, 1);
        park(past, 5);
        assert_eq!(Driver::look(&registry.common, 1, &driver.bell), Look::Sleeps(Some(5)));
        past.abandon();
        let driver = driver.looking();

        park(present, 9);
        let driver = driver.join().unwrap();
        assert!(is_in_time(&driver, 9));
        assert!(matches!(driver.0, Look::Sleeps(None | Some(9))));
        present.abandon();
        leaves_nothing(&registry);
    });
}

#[test]
fn of_two_drivers_none_takes_a_deadline_from_the_other() {
    explore_with_preemptions(4, || {
        let registry = registry(1);
        let mut client = Client::new(&registry, [&channel_on(&registry, 0)]);
        let drivers = [1, 2].map(|runtime| Driver::new(&registry, runtime).looking());

        park(&mut client, 9);
        for driver in drivers {
            assert!(is_in_time(&driver.join().unwrap(), 9));
        }
        client.abandon();
        leaves_nothing(&registry);
    });
}

#[test]
fn a_driver_that_ends_leaves_the_deadlines_to_the_other() {
    explore_with_preemptions(4, || {
        let registry = registry(1);
        let mut client = Client::new(&registry, [&channel_on(&registry, 0)]);
        let driver = Driver::new(&registry, 1).looking();
        assert!(registry.common.alarm.enlist(2, false));
        let ending = spawn({
            let registry = Arc::clone(&registry);
            move || registry.common.alarm.retire(2)
        });

        park(&mut client, 9);
        ending.join().unwrap();
        assert!(is_in_time(&driver.join().unwrap(), 9));
        client.abandon();
        leaves_nothing(&registry);
    });
}

#[test]
fn a_wait_that_is_recalled_when_a_driver_ends_misses_no_event() {
    explore(|| {
        let (registry, channel, mut client) = with_parked();
        let publisher = publisher(&registry, &channel, "a");
        let ending = spawn({
            let common = Arc::clone(&registry.common);
            move || common.recall()
        });

        let first = client.change_bell();
        let answer = client.resume();
        ending.join().unwrap();
        let sent = publisher.join().unwrap();
        assert!(first.rung() + client.rung() > 0);
        let answer = answer.unwrap_or_else(|| client.wake_up());
        assert_eq!(client.heard(&answer), [sent]);
        leaves_nothing(&registry);
    });
}

#[test]
fn a_driver_that_falls_asleep_learns_that_the_last_shard_is_gone() {
    explore(|| {
        let registry = registry(1);
        let common = Arc::clone(&registry.common);
        assert!(common.alarm.enlist(1, false));
        let driver = spawn(move || {
            let bell = Arc::default();
            (Driver::look(&common, 1, &bell), bell)
        });

        // To look at the alarm is a step that can come before or after the driver's; to drop a
        // reference is none.
        registry.common.alarm.covers(9);
        drop(registry);
        let (look, bell) = driver.join().unwrap();
        assert!(look == Look::Ends || bell.rung() > 0);
    });
}
