//! The layer and the services under the routers and servers that they are made for.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

#[path = "http_mount/servers.rs"]
mod servers;

use std::{convert::Infallible, future::Future, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    routing::{get, post_service},
};
use common::*;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio_test::{assert_pending, task};
use tower::{ServiceBuilder, ServiceExt, service_fn, timeout::error::Elapsed};
use tower_longpoll::{
    Cursor, Event, Hub, LongPollLayer, LongPollService, PathRoute, PublishService,
};

fn layer(hub: &Hub) -> LongPollLayer<PathRoute> {
    LongPollLayer::new(hub.clone(), PathRoute::new("/events/{channel}").unwrap()).jitter(0)
}

fn poll(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

fn cursor<B>(response: &Response<B>) -> Cursor {
    response.headers()["longpoll-cursor"].to_str().unwrap().parse().unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A poll of a router that is parked, answered by a publish, and followed up by its cursor: each
/// request through a service of its own.
async fn holds_a_conversation(name: &str, hub: &Hub, app: Router) {
    let (took, first) = timed(app.clone().oneshot(poll("/events/c?wait=7"))).await;
    let first = first.unwrap();
    assert_eq!((took, first.status().as_u16()), (SECOND * 7, 204), "{name}");

    let mut parked = task::spawn(app.clone().oneshot(poll("/events/c")));
    assert_pending!(parked.poll(), "{name}");
    assert_eq!(hub.stats().parked, 1, "{name}");
    hub.publish(&channel("c"), "one").unwrap();
    hub.publish(&channel("c"), "two").unwrap();
    assert_eq!(text(parked.await.unwrap()).await, "one", "{name}");

    let since = format!("/events/c?cursor={}", cursor(&first));
    let again = app.clone().oneshot(poll(&since)).await.unwrap();
    let next = format!("/events/c?cursor={}", cursor(&again));
    assert_eq!(text(again).await, "one", "{name}");
    assert_eq!(text(app.clone().oneshot(poll(&next)).await.unwrap()).await, "two", "{name}");

    let other = app.oneshot(poll("/else")).await.unwrap();
    assert_eq!(text(other).await, "else", "{name}");
    assert_eq!(hub.stats().parked, 0, "{name}");
}

#[tokio::test(start_paused = true)]
async fn an_axum_router_polls_however_the_layer_is_mounted() {
    let hub = Hub::new();
    let app = || Router::new().route("/else", get(|| async { "else" }));
    let handler = get(|| async { "a handler that no poll comes to" });
    let service = |pattern| {
        let layer = LongPollLayer::new(hub.clone(), PathRoute::new(pattern).unwrap()).jitter(0);
        LongPollService::from(layer)
    };
    let builder = ServiceBuilder::new().layer(layer(&hub));
    let rows = [
        ("Router::layer", app().fallback(|| async { "none" }).layer(layer(&hub))),
        (
            "Router::layer with a route",
            app().route("/events/{c}", handler.clone()).layer(layer(&hub)),
        ),
        (
            "Router::route_layer",
            app().route("/events/{c}", handler.clone()).route_layer(layer(&hub)),
        ),
        ("MethodRouter::layer", app().route("/events/{c}", handler.layer(layer(&hub)))),
        ("ServiceBuilder", app().fallback(|| async { "none" }).layer(builder)),
        ("nest_service", app().nest_service("/events", service("/{channel}"))),
        ("route_service", app().route_service("/events/{c}", service("/events/{channel}"))),
        ("fallback_service", app().fallback_service(service("/events/{channel}"))),
    ];
    for (name, app) in rows {
        hub.delete(&channel("c"));
        holds_a_conversation(name, &hub, app).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_router_publishes_behind_its_own_path() {
    let hub = Hub::new();
    let publish = PublishService::new(hub.clone(), PathRoute::new("/events/{channel}").unwrap());
    let app = Router::new().route("/events/{c}", post_service(publish)).layer(layer(&hub));
    let mut parked = task::spawn(app.clone().oneshot(poll("/events/c")));
    assert_pending!(parked.poll());
    let request =
        Request::post("/events/c").header("content-type", "text/x").body(Body::from("hi"));
    let answer = app.oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let told = parked.await.unwrap();
    assert_eq!(told.headers()["content-type"], "text/x");
    assert_eq!(text(told).await, "hi");
    assert_eq!(hub.stats().parked, 0);
}

/// What is behind the layer below: it takes two seconds.
async fn slow(_: Request<String>) -> Result<Response<String>, Infallible> {
    tokio::time::sleep(SECOND * 2).await;
    Ok(Response::new("slow".into()))
}

fn request(uri: &str) -> Request<String> {
    Request::get(uri).body(String::new()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn outside_of_a_limit_and_a_timeout_a_poll_holds_no_permit_and_is_not_cut() {
    let hub = Hub::new();
    let service = ServiceBuilder::new()
        .layer(layer(&hub))
        .concurrency_limit(1)
        .timeout(SECOND * 5)
        .service(service_fn(slow));
    let mut polls: Vec<_> = (0..3)
        .map(|_| task::spawn(service.clone().oneshot(request("/events/c?wait=20"))))
        .collect();
    polls.iter_mut().for_each(|poll| assert_pending!(poll.poll()));
    assert_eq!(hub.stats().parked, 3);
    let (took, other) = timed(service.oneshot(request("/else"))).await;
    assert_eq!((took, other.unwrap().status().as_u16()), (SECOND * 2, 200), "the permit is free");
    for poll in polls {
        assert_eq!(poll.await.unwrap().status(), 204, "long after the timeout");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn inside_of_a_timeout_a_poll_is_cut_and_leaves_nothing() {
    let hub = Hub::new();
    let service = ServiceBuilder::new().timeout(SECOND * 5).layer(layer(&hub));
    let service = service.service(service_fn(slow));
    let (took, cut) = timed(service.oneshot(request("/events/c?wait=20"))).await;
    assert!(cut.unwrap_err().is::<Elapsed>());
    assert_eq!((took, hub.stats().dropped), (SECOND * 5, 1));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn inside_of_a_limit_a_poll_holds_a_permit() {
    let hub = Hub::new();
    let service = ServiceBuilder::new().concurrency_limit(1).layer(layer(&hub));
    let service = service.service(service_fn(slow));
    let mut parked = task::spawn(service.clone().oneshot(request("/events/c?wait=20")));
    assert_pending!(parked.poll());
    let mut other = task::spawn(service.oneshot(request("/else")));
    assert_pending!(other.poll());
    pass(SECOND * 19).await;
    assert_pending!(other.poll(), "it has not begun");
    hub.publish(&channel("c"), "x").unwrap();
    assert_eq!(parked.await.unwrap().status(), 200);
    let (took, other) = timed(other).await;
    assert_eq!((took, other.unwrap().into_body().collect().await.is_ok()), (SECOND * 2, true));
    assert_eq!(hub.stats().parked, 0);
}
