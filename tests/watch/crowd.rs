//! Many requests, and how many handlers work for them at once.

use std::thread;

use tokio::task::JoinSet;

use super::*;

/// Lets a thousand tasks come to rest.
async fn rest() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_touch_runs_each_of_a_thousand_once_and_so_many_at_once() {
    let cores = thread::available_parallelism().unwrap().get();
    for (max, most) in [(None, cores * 16), (Some(1), 1), (Some(7), 7), (Some(0), 1)] {
        let (hub, resource) = (Hub::new(), Resource::new());
        let layer = max.map_or(layer(&hub), |max| layer(&hub).max_runs(max));
        let mut all = JoinSet::new();
        for _ in 0..1_000 {
            all.spawn(start(&layer, &resource, request()));
        }
        rest().await;
        assert_eq!((resource.runs(), hub.stats().parked), (1_000, 1_000), "{max:?}");
        resource.0.most_at_work.store(0, SeqCst);
        resource.0.after.close();
        resource.change(&hub);
        rest().await;
        assert_eq!((resource.at_work(), hub.stats().parked), (most.min(1_000), 1_000), "{max:?}");
        resource.0.after.open();
        for answer in all.join_all().await {
            let answer = answer.unwrap();
            assert_eq!((answer.status().as_u16(), text(answer.into_body())), changed(1), "{max:?}");
        }
        assert_eq!(resource.runs(), 2_000, "{max:?}: once each");
        assert_eq!(resource.0.most_at_work.load(SeqCst), most.min(1_000), "{max:?}");
        assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)), "{max:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn first_runs_take_no_turn() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = layer(&hub).max_runs(1);
    resource.0.after.close();
    let mut first: Vec<_> = (0..10).map(|_| start(&layer, &resource, request())).collect();
    first.iter_mut().for_each(|watching| assert_pending!(watching.poll()));
    assert_eq!(resource.at_work(), 10);
    drop(first);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn who_queues_until_the_end_of_its_hold_is_told_nothing_new_right_then() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = layer(&hub).max_runs(1);
    let mut worker = park(&layer, &resource);
    pass(SECOND).await;
    let queueing: Vec<_> =
        (0..3).map(|_| tokio::spawn(timed(start(&layer, &resource, request())))).collect();
    settle().await;
    resource.0.after.close();
    hub.touch(&channel("a"));
    assert_pending!(worker.poll());
    for queueing in queueing {
        let (took, answer) = queueing.await.unwrap();
        assert_eq!((took, answer.unwrap().status().as_u16()), (HOLD, 304));
    }
    assert_eq!((resource.at_work(), resource.runs()), (1, 4 + 1), "none of them ran again");
    resource.0.after.open();
    assert_eq!(told(worker.poll()), unchanged());
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_the_queue_or_work_hands_the_turn_on() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = layer(&hub).max_runs(1);
    let [mut a, mut b, mut c, mut d] = std::array::from_fn(|_| park(&layer, &resource));
    resource.0.after.close();
    resource.change(&hub);
    for watching in [&mut a, &mut b, &mut c, &mut d] {
        assert_pending!(watching.poll());
    }
    assert_eq!((resource.at_work(), hub.stats().parked), (1, 4));
    drop(b);
    assert_eq!(hub.stats().parked, 3);
    drop(a);
    assert!(c.is_woken() && !d.is_woken(), "first come, first served");
    // The turn was given to it, and it leaves before it knows.
    drop(c);
    assert!(d.is_woken());
    assert_pending!(d.poll());
    assert_eq!((resource.at_work(), hub.stats().parked), (1, 1));
    resource.0.after.open();
    assert_eq!(told(d.poll()), changed(1));
    assert_eq!((hub.stats().parked, hub.stats().dropped), (0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_or_fails_hands_its_turn_on() {
    for panics in [true, false] {
        let hub = Hub::new();
        let resource = Resource::replying(move |parts, state| {
            let is_bad = state == 1 && parts.headers.contains_key("bad");
            assert!(!(is_bad && panics), "a panic of the handler");
            if is_bad { Err(Failed("bad")) } else { Ok(tagged(state)) }
        });
        let layer = layer(&hub).max_runs(1);
        let mut bad = request();
        bad.headers_mut().insert("bad", "1".parse().unwrap());
        let bad = tokio::spawn(start(&layer, &resource, bad));
        let good = tokio::spawn(start(&layer, &resource, request()));
        settle().await;
        assert_eq!(hub.stats().parked, 2);
        resource.change(&hub);
        assert_eq!(good.await.unwrap().unwrap().status(), 200);
        match bad.await {
            Err(error) => assert!(error.is_panic() && panics),
            Ok(answer) => assert_eq!(answer.err(), Some(Failed("bad"))),
        }
        assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)), "panics: {panics}");
    }
}

#[tokio::test(start_paused = true)]
async fn layers_of_one_making_share_their_turns() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let one = layer(&hub).max_runs(1);
    let two = one.clone();
    let (mut a, mut b) = (park(&one, &resource), park(&two, &resource));
    resource.0.after.close();
    resource.change(&hub);
    assert_pending!(a.poll());
    assert_pending!(b.poll());
    assert_eq!(resource.at_work(), 1);
    drop((a, b));
    assert_eq!(hub.stats().parked, 0);
}
