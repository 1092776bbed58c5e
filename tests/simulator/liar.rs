//! A server that does one thing wrong.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Builder};
use tower_longpoll::{Hub, LongPollLayer, PathRoute, PublishService, Reply};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    Loses,
    LosesTheEnd,
    Repeats,
    Swaps,
    Fails,
    Breaks,
    TellsOfAGap,
    /// Gives an event a number that nobody has sent.
    Invents,
    /// Sends every poll away, to come back at once.
    IsBusy,
}

/// The event that it happens to.
const VICTIM: u64 = 5;

/// Serves for as long as the test runs.
pub(super) fn serve(lie: Lie) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            axum::serve(listener, router(lie)).await.unwrap();
        });
    });
    url
}

fn router(lie: Lie) -> Router {
    let (hub, route) = (Hub::new(), PathRoute::new("/events/{channel}").unwrap());
    let kept = Arc::new(Mutex::new(None));
    Router::new()
        .fallback_service(PublishService::new(hub.clone(), route.clone()))
        .layer(LongPollLayer::new(hub, route).reply(Reply::Json))
        .layer(from_fn(move |request: Request, next: Next| {
            let kept = Arc::clone(&kept);
            async move {
                let is_poll = request.method() == "GET";
                let answer = next.run(request).await;
                if is_poll { tell(lie, answer, &kept).await } else { answer }
            }
        }))
}

/// The answer to a poll, perhaps with a lie.
async fn tell(lie: Lie, answer: Response, kept: &Mutex<Option<Value>>) -> Response {
    if lie == Lie::IsBusy {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response();
    }
    let (mut head, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let mut reply: Value = serde_json::from_slice(&body).unwrap();
    let mut kept = kept.lock().unwrap();
    let events = reply["events"].as_array_mut().unwrap();
    let is_victim = |event: &Value| event["data"]["number"] == VICTIM;
    let before = events.len();
    let victim = events.iter().find(|event| is_victim(event)).cloned();
    let (is_here, is_first) = (victim.is_some(), kept.is_none());
    match lie {
        Lie::Loses | Lie::TellsOfAGap => events.retain(|event| !is_victim(event)),
        Lie::LosesTheEnd => events.retain(|event| event["data"]["number"].as_u64() < Some(VICTIM)),
        Lie::Repeats | Lie::Swaps => {
            if lie == Lie::Swaps {
                events.retain(|event| !is_victim(event));
            }
            if before > 0 && !is_here {
                // Only once.
                events.extend(kept.replace(Value::Null).filter(|kept| !kept.is_null()));
            }
        }
        Lie::Fails if is_here && is_first => {
            *kept = victim;
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Lie::Breaks if is_here && is_first => {
            *kept = victim;
            let broken = io::Error::other("broken");
            return Body::from_stream(futures_util::stream::iter([Err::<&str, _>(broken)]))
                .into_response();
        }
        Lie::Invents => {
            for event in events.iter_mut().filter(|event| is_victim(event)) {
                event["data"]["number"] = 1_000_000.into();
            }
        }
        Lie::Fails | Lie::Breaks | Lie::IsBusy => {}
    }
    if is_here {
        *kept = victim;
    }
    if lie == Lie::TellsOfAGap && is_here {
        reply["gap"] = true.into();
    }
    head.headers.remove("content-length");
    Response::from_parts(head, Body::from(reply.to_string()))
}
