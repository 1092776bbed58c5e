//! The service that is watched: its readiness, its errors, its requests, and what is left of it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tower::limit::ConcurrencyLimit;
use tower_longpoll::http::Watch;

use super::*;

fn free<T: Send + Sync + Unpin + 'static>() {}
fn sent<T: Send + 'static>() {}
fn printed<T: std::fmt::Debug>() {}

#[test]
fn what_is_sent_between_threads_is_no_less_free_than_its_parts() {
    free::<WatchLayer<PathRoute>>();
    free::<Watch<Handler, PathRoute>>();
    sent::<WatchFuture<Handler, String, Content>>();
    printed::<WatchLayer<Handler>>();
    printed::<WatchFuture<Handler, String, Content>>();
}

/// A route that can be neither cloned nor printed, as a closure may be.
struct Locked(#[allow(dead_code)] Mutex<()>);

/// Whether the middleware of that route is cloned and printed.
struct Probe<T>(std::marker::PhantomData<T>);

#[allow(dead_code)]
trait Not {
    const CLONED: bool = false;
    const PRINTED: bool = false;
}

impl<T> Not for Probe<T> {}

#[allow(dead_code)]
impl<T: Clone> Probe<T> {
    const CLONED: bool = true;
}

#[allow(dead_code)]
impl<T: std::fmt::Debug> Probe<T> {
    const PRINTED: bool = true;
}

#[test]
fn the_middleware_is_cloned_and_printed_whatever_its_route_is() {
    let known = [Probe::<Watch<u8, PathRoute>>::CLONED, Probe::<Locked>::CLONED];
    assert_eq!(known, [true, false], "the probe tells yes from no");
    let traits = [Probe::<Watch<u8, Locked>>::CLONED, Probe::<Watch<u8, Locked>>::PRINTED];
    assert_eq!(traits, [true, true], "a router clones what it serves");
}

#[tokio::test(start_paused = true)]
async fn an_error_is_returned_as_it_is_from_any_run() {
    for first in [true, false] {
        let hub = Hub::new();
        let resource = Resource::replying(move |_, state| {
            if first || state == 1 { Err(Failed("broken")) } else { Ok(tagged(state)) }
        });
        let mut watching = start(&layer(&hub), &resource, request());
        if !first {
            assert_pending!(watching.poll());
            resource.change(&hub);
        }
        assert_eq!(assert_ready!(watching.poll()).err(), Some(Failed("broken")));
        drop(watching);
        assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_error_nothing_is_registered_and_nobody_has_left() {
    let hub = Hub::new();
    let resource = Resource::replying(|_, _| Err(Failed("broken")));
    let mut watching = start(&layer(&hub), &resource, request());
    assert_eq!(assert_ready!(watching.poll()).err(), Some(Failed("broken")));
    assert_eq!(hub.stats().parked, 0, "the request is over, even before its future is dropped");
    assert_eq!(resource.at_work(), 0, "so is the handler's future");
    drop(watching);
    assert_eq!(hub.stats().dropped, 0, "its client has not left");
}

#[tokio::test(start_paused = true)]
async fn after_an_error_the_turn_is_free() {
    let hub = Hub::new();
    let resource = Resource::replying(|parts, state| {
        let is_bad = state == 1 && parts.headers.contains_key("bad");
        if is_bad { Err(Failed("broken")) } else { Ok(tagged(state)) }
    });
    let layer = layer(&hub).max_runs(1);
    let mut bad = request();
    bad.headers_mut().insert("bad", "1".parse().unwrap());
    let mut bad = start(&layer, &resource, bad);
    assert_pending!(bad.poll());
    let mut good = park(&layer, &resource);
    resource.change(&hub);
    assert_eq!(assert_ready!(bad.poll()).err(), Some(Failed("broken")));
    assert_eq!(told(good.poll()), changed(1));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_become_ready_again_ends_the_request_with_its_error() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = layer(&hub).max_runs(1);
    let (mut watching, mut other) = (park(&layer, &resource), park(&layer, &resource));
    resource.is_ready(Readiness::Fails);
    resource.change(&hub);
    assert_eq!(assert_ready!(watching.poll()).err(), Some(Failed("not ready")));
    drop(watching);
    resource.is_ready(Readiness::Yes);
    assert_eq!(told(other.poll()), changed(1), "the turn is free");
    drop(other);
    assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_answered_is_pending_for_ever() {
    let failing = |_: &Parts, _: u64| Err(Failed("broken"));
    for (row, resource, request) in [
        ("changed", Resource::new(), get("/r/a?wait=20", &[("if-none-match", "\"x\"")])),
        ("unchanged", Resource::new(), get("/r/a?wait=0", &[("if-none-match", "\"0\"")])),
        ("malformed", Resource::new(), get("/r/a?wait=x", &[("if-none-match", "\"0\"")])),
        ("error", Resource::replying(failing), request()),
    ] {
        let hub = Hub::new();
        let mut watching = start(&layer(&hub), &resource, request);
        assert!(watching.poll().is_ready(), "{row}");
        let again = catch_unwind(AssertUnwindSafe(|| watching.poll().is_pending()));
        assert_eq!(again.ok(), Some(true), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_failed_to_become_ready_is_pending_for_ever() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut watching = park(&layer(&hub), &resource);
    resource.is_ready(Readiness::Fails);
    resource.change(&hub);
    assert!(assert_ready!(watching.poll()).is_err());
    assert_pending!(watching.poll());
    resource.is_ready(Readiness::Yes);
    assert_pending!(watching.poll());
    assert_eq!(resource.runs(), 1, "its handler does not run for nobody");
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_in_time_though_the_service_is_not_ready() {
    // Not ready when it was touched, or when it has rested, which is as late as can be.
    for floor in [Duration::ZERO, HOLD * 3] {
        let (hub, resource) = (Hub::new(), Resource::new());
        let mut watching = park(&layer(&hub).floor(floor), &resource);
        resource.is_ready(Readiness::NotYet);
        resource.change(&hub);
        assert_pending!(watching.poll());
        pass(HOLD - MS).await;
        assert_pending!(watching.poll());
        pass(MS).await;
        assert!(watching.is_woken(), "its hold is over");
        assert_eq!(told(watching.poll()), unchanged());
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_a_request_though_the_service_is_not_ready() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut watching = park(&layer(&hub), &resource);
    resource.is_ready(Readiness::NotYet);
    hub.touch(&channel("a"));
    assert_pending!(watching.poll());
    hub.drain(Duration::ZERO);
    settle().await;
    assert!(watching.is_woken(), "a shutdown waits for nobody");
    assert_eq!(told(watching.poll()), unchanged());
}

#[tokio::test(start_paused = true)]
async fn a_request_keeps_its_place_while_the_service_is_not_ready() {
    let hub = Hub::builder().max_waits(1).build().unwrap();
    let resource = Resource::new();
    let mut watching = park(&layer(&hub), &resource);
    resource.is_ready(Readiness::NotYet);
    hub.touch(&channel("a"));
    assert_pending!(watching.poll());
    let mut other = task::spawn(hub.wait([channel("b")]));
    assert!(other.poll().is_ready(), "refused, or it would take the place");
    resource.is_ready(Readiness::Yes);
    assert_pending!(watching.poll(), "its hold is not over");
    drop(watching);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn inside_of_a_watch_a_concurrency_limit_is_taken_by_runs_only() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let service = layer(&hub).layer(ConcurrencyLimit::new(resource.handler(), 1));
    let mut all = Vec::new();
    for _ in 0..5 {
        let mut service = service.clone();
        let call = async move {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
            service.call(request()).await
        };
        all.push(tokio::spawn(call));
    }
    settle().await;
    assert_eq!((resource.runs(), hub.stats().parked), (5, 5), "parked, they hold no permit");
    resource.change(&hub);
    for answer in all {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!((answer.status().as_u16(), text(answer.into_body())), changed(1));
    }
    assert_eq!((resource.runs(), resource.0.most_at_work.load(SeqCst)), (10, 1));
    drop(service);
    assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn the_service_that_was_asked_is_called_and_a_fresh_one_stays() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut service = layer(&hub).layer(resource.handler());
    let ready = task::spawn(()).enter(|cx, _| service.poll_ready(cx));
    assert_ready!(ready).unwrap();
    let mut watching = task::spawn(service.call(request()));
    let unasked = catch_unwind(AssertUnwindSafe(|| drop(service.call(get("/else", &[])))));
    assert!(unasked.is_err(), "the one that stays has not been asked");
    assert_pending!(watching.poll());
    drop(service);
    assert_eq!(resource.alive(), (1, 0, 0), "while it is parked: a service, and no more");
    drop(watching);
    assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_leaves_nothing_at_any_stage() {
    type Stage = fn(&Hub, &Resource, &mut Watching);
    let rows: [(&str, Stage, (usize, usize, usize)); 8] = [
        ("not polled", |_, _, _| {}, (1, 0, 0)),
        (
            "the first run",
            |_, resource, watching| {
                resource.0.before.close();
                assert_pending!(watching.poll());
            },
            (1, 1, 0),
        ),
        (
            "the first run, woken",
            |hub, resource, watching| {
                resource.0.after.close();
                assert_pending!(watching.poll());
                hub.touch(&channel("a"));
            },
            (1, 1, 0),
        ),
        ("parked", |_, _, watching| assert_pending!(watching.poll()), (1, 0, 0)),
        (
            "parked, woken",
            |hub, _, watching| {
                assert_pending!(watching.poll());
                hub.touch(&channel("a"));
            },
            (1, 0, 0),
        ),
        (
            "at rest",
            |hub, _, watching| {
                assert_pending!(watching.poll());
                hub.touch(&channel("a"));
                assert_pending!(watching.poll());
            },
            (1, 0, 0),
        ),
        (
            "not ready",
            |hub, resource, watching| {
                assert_pending!(watching.poll());
                resource.is_ready(Readiness::NotYet);
                hub.touch(&channel("a"));
                assert_pending!(watching.poll());
            },
            (1, 0, 0),
        ),
        (
            "another run",
            |hub, resource, watching| {
                assert_pending!(watching.poll());
                resource.0.after.close();
                hub.touch(&channel("a"));
                assert_pending!(watching.poll());
                assert_eq!(resource.runs(), 2);
            },
            (1, 1, 0),
        ),
    ];
    for (row, stage, alive) in rows {
        let (hub, resource) = (Hub::new(), Resource::new());
        let floor = if row == "at rest" { FLOOR } else { Duration::ZERO };
        let layer = layer(&hub).floor(floor).max_runs(1);
        let mut watching = start(&layer, &resource, request());
        stage(&hub, &resource, &mut watching);
        assert_eq!(resource.alive(), alive, "{row}");
        drop(watching);
        assert_eq!(resource.alive(), (0, 0, 0), "{row}");
        assert_empty(&hub);
        // Nor is the one turn gone with it.
        resource.0.before.open();
        resource.0.after.open();
        resource.is_ready(Readiness::Yes);
        let next = park(&layer, &resource);
        resource.change(&hub);
        assert_eq!(next.await.unwrap().status(), 200, "{row}");
        assert_eq!(hub.stats().parked, 0, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_run_sees_the_whole_head_and_only_the_first_the_body() {
    #[derive(Clone, Debug, PartialEq)]
    struct User(&'static str);
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut whole = get(
        "/r/a?wait=20&x=1",
        &[("if-none-match", "\"0\""), ("cookie", "a=1"), ("cookie", "b=2")],
    );
    whole.extensions_mut().insert(User("me"));
    *whole.version_mut() = http::Version::HTTP_2;
    // Nothing announces it, so it may be there.
    *whole.body_mut() = "unannounced".into();
    let (parts, _) = whole.clone().into_parts();
    let mut watching = start(&layer(&hub), &resource, whole);
    assert_pending!(watching.poll());
    hub.touch(&channel("a"));
    assert_pending!(watching.poll());
    resource.change(&hub);
    assert_eq!(told(watching.poll()), changed(1));
    let seen = resource.0.seen.lock().unwrap();
    let bodies: Vec<_> = seen.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(bodies, ["unannounced", "", ""]);
    for (head, _) in &*seen {
        assert_eq!((&head.method, &head.uri), (&parts.method, &parts.uri));
        assert_eq!((&head.headers, head.version), (&parts.headers, parts.version));
        assert_eq!(head.extensions.get::<User>(), Some(&User("me")));
    }
    assert_eq!(hub.stats().parked, 0);
}
