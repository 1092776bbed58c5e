//! What a client asks for, and what it is granted.

use super::*;

/// Asks for a resource that the client knows; how long until the 304, and what that acknowledges.
async fn granted(
    layer: WatchLayer<PathRoute>,
    uri: &str,
    prefer: Option<&str>,
) -> (Duration, Option<String>) {
    let mut request = get(uri, &[("if-none-match", "\"0\"")]);
    request.headers_mut().extend(prefer.map(|prefer| {
        (HeaderName::from_static("prefer"), prefer.parse::<http::HeaderValue>().unwrap())
    }));
    let (took, answer) = timed(start(&layer, &Resource::new(), request)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 304, "{uri}");
    let applied = answer.headers().get("preference-applied");
    (took, applied.map(|applied| applied.to_str().unwrap().to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_what_was_asked_for_within_the_limits() {
    let applied = |seconds: &str| Some(format!("wait={seconds}"));
    for (uri, prefer, expected) in [
        ("/r/a?wait=7", None, (SECOND * 7, None)),
        ("/r/a?wait=0", None, (Duration::ZERO, None)),
        ("/r/a?wait=60", None, (SECOND * 60, None)),
        ("/r/a?wait=61", None, (SECOND * 60, None)),
        ("/r/a?wait=99999999999999999999999999", None, (SECOND * 60, None)),
        ("/r/a", Some("wait=7"), (SECOND * 7, applied("7"))),
        ("/r/a", Some("respond-async, wait=7"), (SECOND * 7, applied("7"))),
        ("/r/a", Some("wait=0"), (Duration::ZERO, applied("0"))),
        ("/r/a", Some("wait=600"), (SECOND * 60, applied("60"))),
        ("/r/a?wait=3", Some("wait=7"), (SECOND * 3, None)),
    ] {
        let hub = Hub::new();
        assert_eq!(granted(layer(&hub), uri, prefer).await, expected, "{uri} {prefer:?}");
        assert_eq!((hub.stats().parked, hub.stats().timed_out), (0, 1), "{uri} {prefer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_the_layer_and_of_the_hub_both_hold() {
    for (layers, hubs) in [(3, 9), (9, 3)] {
        let hub = Hub::builder().hold(SECOND).max_hold(SECOND * hubs).build().unwrap();
        let layer = layer(&hub).max_hold(SECOND * layers);
        let expected = (SECOND * 3, Some("wait=3".to_owned()));
        assert_eq!(granted(layer, "/r/a", Some("wait=30")).await, expected);
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_shortened_by_the_jitter_at_most() {
    let hub = Hub::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let (took, _) = granted(layer(&hub).jitter(10), "/r/a?wait=20", None).await;
        assert!((SECOND * 18..=HOLD).contains(&took), "{took:?}");
        seen.insert(took);
    }
    assert!(seen.len() > 10, "they do not end together");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_preference_is_acknowledged_by_the_changed_answer_too() {
    let (hub, resource) = (Hub::new(), Resource::new());
    let request = get("/r/a", &[("if-none-match", "\"0\""), ("prefer", "wait=20")]);
    let mut watching = start(&layer(&hub), &resource, request);
    assert_pending!(watching.poll());
    resource.change(&hub);
    let (status, headers) = head(watching.poll());
    assert_eq!((status, &headers["preference-applied"]), (200, &"wait=20".parse().unwrap()));
    assert_eq!(headers.len(), 2, "{headers:?}");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_is_named_and_no_handler_runs() {
    let known = ("if-none-match", "\"0\"");
    for (row, uri, fields, field) in [
        ("no number", "/r/a?wait=x", &[known][..], "wait"),
        ("negative", "/r/a?wait=-1", &[known], "wait"),
        ("twice", "/r/a?wait=1&wait=1", &[known], "wait"),
        ("empty", "/r/a?wait=", &[known], "wait"),
        ("a channel that is none", "/r/a%00?wait=1", &[known], "channel"),
        ("no channels", "/any?wait=1&channel=", &[known], "channel"),
        ("a body", "/r/a?wait=1", &[known, ("content-length", "1")], "body"),
        ("a stream", "/r/a?wait=1", &[known, ("transfer-encoding", "chunked")], "body"),
        (
            "a body, preferred",
            "/r/a",
            &[known, ("prefer", "wait=1"), ("content-length", "1")],
            "body",
        ),
    ] {
        let (hub, resource) = (Hub::new(), Resource::new());
        let mut watching = start(&layer(&hub), &resource, get(uri, fields));
        let (head, body) = assert_ready!(watching.poll()).unwrap().into_parts();
        assert_eq!(head.status, 400, "{row}");
        assert_eq!(head.headers["content-type"], "application/problem+json", "{row}");
        assert!(text(body).contains(&format!("\"field\":\"{field}\"")), "{row}");
        assert_eq!((resource.runs(), hub.stats().parked), (0, 0), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_not_willing_to_wait_passes_untouched_and_is_not_registered() {
    let known = ("if-none-match", "\"0\"");
    let make = |method: &str, uri: &str, fields: &[(&str, &str)]| {
        let mut request = get(uri, fields);
        *request.method_mut() = method.parse().unwrap();
        *request.body_mut() = "body".into();
        request
    };
    for (row, request) in [
        ("nothing known", make("GET", "/r/a?wait=20", &[])),
        ("nothing known, malformed", make("GET", "/r/a?wait=x", &[])),
        ("no wish", make("GET", "/r/a", &[known])),
        ("no wish, a body", make("GET", "/r/a", &[known, ("content-length", "4")])),
        ("another preference", make("GET", "/r/a", &[known, ("prefer", "return=minimal")])),
        ("another path", make("GET", "/else?wait=20", &[known])),
        ("another path, malformed", make("GET", "/else?wait=x", &[known])),
        ("HEAD", make("HEAD", "/r/a?wait=20", &[known])),
        ("POST", make("POST", "/r/a?wait=20", &[known])),
    ] {
        let (hub, resource) = (Hub::new(), Resource::new());
        resource.0.before.close();
        let mut watching = start(&layer(&hub), &resource, request);
        assert_pending!(watching.poll());
        assert_eq!((resource.runs(), hub.stats().parked), (1, 0), "{row}");
        resource.0.before.open();
        assert_eq!(told(watching.poll()), changed(0), "{row}");
        assert_eq!(resource.0.seen.lock().unwrap()[0].1, "body", "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_decides_what_is_watched() {
    use tower_longpoll::http::{Invalid, Routed};
    let (hub, resource) = (Hub::new(), Resource::new());
    let route = |parts: &Parts| match parts.uri.path() {
        "/refuse" => Routed::Refuse(Response::builder().status(403).body("no".into()).unwrap()),
        "/invalid" => Routed::Invalid(Invalid::new("shape", "it is odd")),
        "/several" => Routed::PollAny(vec![channel("b"), channel("a")]),
        _ => Routed::Pass,
    };
    let layer = WatchLayer::new(hub.clone(), route).jitter(0);
    let asks = |path: &str| {
        start(&layer, &resource, get(&format!("{path}?wait=20"), &[("if-none-match", "\"0\"")]))
    };
    assert_eq!(told(asks("/refuse").poll()), (403, "no".into()));
    let (status, problem) = told(asks("/invalid").poll());
    assert_eq!((status, problem.contains("\"field\":\"shape\"")), (400, true));
    assert_eq!(resource.runs(), 0);
    assert_eq!(told(asks("/pass").poll()), changed(0));
    let mut watching = asks("/several");
    assert_pending!(watching.poll());
    pass(SECOND).await;
    resource.change(&hub);
    assert_eq!(told(watching.poll()), changed(1));
    assert_eq!(hub.stats().parked, 0);
}
