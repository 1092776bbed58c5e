//! Requests that cannot be parked, and what else ends or wakes those that are.

use http::Version;
use tower_longpoll::HubBuilder;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_parked_is_answered_at_once() {
    let limits: [(&str, HubBuilder); 3] = [
        ("waits", Hub::builder().max_waits(1)),
        ("waits of the channel", Hub::builder().max_waits_per_channel(1)),
        ("channels", Hub::builder().max_channels(0)),
    ];
    for (row, hub) in limits {
        let (hub, resource) = (hub.build().unwrap(), Resource::new());
        let mut other = task::spawn(hub.wait([channel("a")]));
        drop(other.poll());
        let before = hub.stats().parked;
        let layer = layer(&hub).retry_after(SECOND * 5);
        let (status, headers) = head(start(&layer, &resource, request()).poll());
        assert_eq!(status, 503, "{row}");
        let after: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((5..=10).contains(&after), "{row}");
        resource.change(&hub);
        assert_eq!(told(start(&layer, &resource, request()).poll()), changed(1), "{row}");
        assert_eq!(hub.stats().parked, before, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_no_channels_or_too_many_is_refused_for_good() {
    let hub = Hub::builder().max_channels_per_wait(1).build().unwrap();
    let resource = Resource::new();
    for uri in ["/any?wait=20", "/any?wait=20&channel=a&channel=b"] {
        let request = get(uri, &[("if-none-match", "\"0\"")]);
        let (status, body) = told(start(&layer(&hub), &resource, request).poll());
        assert_eq!((status, body.contains("\"field\":\"channel\"")), (400, true), "{uri}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_503_keeps_what_the_handler_says_beside_its_body() {
    let hub = Hub::new();
    hub.drain(Duration::ZERO);
    let resource = Resource::replying(|_, state| {
        let mut response = tagged(state);
        response.headers_mut().insert("set-cookie", "a=1".parse().unwrap());
        response.headers_mut().insert("access-control-allow-origin", "*".parse().unwrap());
        Ok(response)
    });
    let (status, headers) = head(start(&layer(&hub), &resource, request()).poll());
    assert_eq!((status, headers.contains_key("retry-after")), (503, true));
    assert!(headers.contains_key("set-cookie"), "as a response with a `Hold` keeps it");
    assert!(headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_a_request_go_at_any_stage() {
    type Stage = fn(&Hub, &Resource, &mut Watching);
    let rows: [(&str, Duration, Stage); 4] = [
        ("parked", Duration::ZERO, |_, _, watching| assert_pending!(watching.poll())),
        ("at rest", FLOOR, |hub, _, watching| {
            assert_pending!(watching.poll());
            hub.touch(&channel("a"));
            assert_pending!(watching.poll());
        }),
        ("the first run", Duration::ZERO, |_, resource, watching| {
            resource.0.after.close();
            assert_pending!(watching.poll());
        }),
        ("another run", Duration::ZERO, |hub, resource, watching| {
            assert_pending!(watching.poll());
            hub.touch(&channel("a"));
            resource.0.after.close();
            assert_pending!(watching.poll());
        }),
    ];
    for (row, floor, stage) in rows {
        for (version, closes) in [(Version::HTTP_11, true), (Version::HTTP_2, false)] {
            for is_closed in [false, true] {
                let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
                let mut request = request();
                *request.version_mut() = version;
                let mut watching = start(&layer(&hub).floor(floor), &resource, request);
                stage(&hub, &resource, &mut watching);
                if is_closed {
                    hub.close();
                } else {
                    hub.drain(Duration::ZERO);
                }
                assert!(watching.is_woken(), "{row}");
                resource.0.after.open();
                let (status, headers) = head(watching.poll());
                assert_eq!((status, begin.elapsed()), (304, Duration::ZERO), "{row}");
                let close = headers.get("connection").map(|value| value.to_str().unwrap());
                assert_eq!(close, closes.then_some("close"), "{row} {version:?}");
                assert_eq!(hub.stats().parked, 0, "{row}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_lets_requests_go_that_queue() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let (hub, resource, begin) = (Hub::new(), Resource::new(), Instant::now());
        let layer = layer(&hub).max_runs(1);
        let mut worker = park(&layer, &resource);
        let mut asks = request();
        *asks.version_mut() = version;
        let mut queueing = start(&layer, &resource, asks);
        assert_pending!(queueing.poll());
        resource.0.after.close();
        hub.touch(&channel("a"));
        assert_pending!(worker.poll());
        assert_pending!(queueing.poll());
        hub.drain(Duration::ZERO);
        assert!(queueing.is_woken());
        let (status, headers) = head(queueing.poll());
        assert_eq!((status, headers.contains_key("connection")), (304, version < Version::HTTP_2));
        drop(worker);
        assert_eq!((begin.elapsed(), hub.stats().parked), (Duration::ZERO, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_that_takes_its_time_lets_requests_go_one_after_the_other() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = layer(&hub);
    let all: Vec<_> =
        (0..4).map(|_| tokio::spawn(timed(start(&layer, &resource, request())))).collect();
    settle().await;
    hub.drain(SECOND * 4);
    let mut times = Vec::new();
    for watching in all {
        let (took, answer) = watching.await.unwrap();
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 304);
        assert_eq!(answer.headers()["connection"], "close");
        times.push(took);
    }
    times.sort_unstable();
    assert_eq!(times, [Duration::ZERO, SECOND, SECOND * 2, SECOND * 3]);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_told_though_the_hub_drains() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let mut watching = park(&layer(&hub).floor(FLOOR), &resource);
    resource.change(&hub);
    hub.drain(Duration::ZERO);
    assert_eq!(told(watching.poll()), changed(1));
    hub.touch(&channel("a"));
    let mut late = start(&layer(&hub), &resource, request());
    assert_eq!(told(late.poll()), changed(1), "asked after the drain");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_channel_and_an_event_run_the_handler_again() {
    type Act = fn(&Hub);
    let rows: [(&str, Act); 2] = [
        ("deleted", |hub| assert!(hub.delete(&channel("a")))),
        ("published", |hub| publish(hub, &channel("a"), "x")),
    ];
    for (row, act) in rows {
        let (hub, resource) = (Hub::new(), Resource::new());
        let mut watching = park(&layer(&hub), &resource);
        act(&hub);
        assert!(watching.is_woken(), "{row}");
        assert_pending!(watching.poll(), "{row}: nothing has changed");
        assert_eq!((resource.runs(), hub.stats().parked), (2, 1), "{row}");
        resource.0.state.store(1, SeqCst);
        act(&hub);
        assert_eq!(told(watching.poll()), changed(1), "{row}");
        assert_eq!((resource.runs(), hub.stats().parked), (3, 0), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn old_events_of_a_channel_are_no_news() {
    let (hub, resource) = (Hub::new(), Resource::new());
    publish(&hub, &channel("a"), "old");
    let mut watching = park(&layer(&hub), &resource);
    pass(HOLD).await;
    assert_eq!(told(watching.poll()), unchanged());
    assert_eq!((resource.runs(), hub.stats().parked, hub.stats().delivered), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_hub_shortens_no_hold_that_was_granted() {
    let hub = Hub::builder().max_waits(2).build().unwrap();
    let (resource, begin) = (Resource::new(), Instant::now());
    let mut watching = park(&layer(&hub).floor(FLOOR), &resource);
    let mut one = task::spawn(hub.wait([channel("b")]));
    assert_pending!(one.poll());
    hub.touch(&channel("a"));
    assert_pending!(watching.poll(), "it rests");
    pass(FLOOR).await;
    // Its handler works, and others have come that would take its place if it had none.
    resource.0.after.close();
    assert_pending!(watching.poll());
    let mut two = task::spawn(hub.wait([channel("b")]));
    assert!(two.poll().is_ready(), "refused");
    resource.0.after.open();
    assert_pending!(watching.poll());
    pass(HOLD - FLOOR).await;
    assert_eq!((told(watching.poll()), begin.elapsed()), (unchanged(), HOLD));
    drop(one);
    assert_eq!(hub.stats().parked, 0);
}
