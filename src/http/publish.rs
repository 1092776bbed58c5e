//! Publishing by POST.

use std::{
    convert::Infallible,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    body::ReplyBody,
    reply::{bad_request, finish, json_text, problem, status, unavailable},
    route::{Invalid, PathRoute, Routed},
    service::not_allowed,
};
use crate::{
    change::{Change, EntryId},
    channel::Channel,
    cursor::Cursor,
    event::{Event, EventError},
    hub::{AppendError, Appending, Hub},
    outcome::PublishError,
};

/// Publishes the body of each `POST` on the channel that its path names, with its content type.
///
/// It asks nobody for permission: mount it behind the application's own authorization.
///
/// | outcome | answer |
/// |---|---|
/// | it woke a poll / nobody waited | 201 / 202, `{"cursor","woken"}` |
/// | the log that the hub follows has stored it | 201, `{"cursor"}` |
/// | not a channel, not a content type, or not the JSON that the content type says | 400 |
/// | another path / another method | 404 / 405 |
/// | larger than the hub's `max_payload_bytes`; the rest of the body is not read | 413 |
/// | heavier, with its text form for JSON replies, than the hub's `total_history_bytes` | 413 |
/// | another `content-encoding` than `identity`: events have none | 415 |
/// | the hub is full or closed, or its log is not known to have stored it | 503 with `retry-after` |
///
/// If the hub follows a log, a `POST` may have the header field `idempotency-key`, up to 128 visible
/// ASCII characters: of those with one key, one is stored. So it is safe to repeat what was answered
/// with 503, or not at all. Without a log it is ignored.
///
/// Errors but for 404 and 405 are `application/problem+json` (RFC 9457).
///
/// ```
/// use axum::{Router, body::Body, http::Request, routing::any_service};
/// use tower::ServiceExt;
/// use tower_longpoll::{Hub, PathRoute, PublishService};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// let publish = PublishService::new(hub.clone(), PathRoute::new("/events/{channel}")?);
/// let app: Router = Router::new().route("/events/{channel}", any_service(publish));
/// let answer = app.oneshot(Request::post("/events/news").body(Body::from("hello"))?).await?;
/// assert_eq!(answer.status(), 202);
/// assert_eq!(hub.stats().published, 1);
/// # Ok(())
/// # }
/// ```
///
/// With authorization in front of it: [mounting](crate::guide::mounting).
#[derive(Clone, Debug)]
pub struct PublishService {
    hub: Hub,
    route: Arc<PathRoute>,
    /// What a 405 says.
    allow: HeaderValue,
}

#[allow(clippy::result_large_err, reason = "the answer, on its way out")]
impl PublishService {
    /// A service that publishes to `hub` on the paths of `route`. A pattern without parameter takes
    /// the channel from the query; then there must be exactly one.
    pub fn new(hub: Hub, route: PathRoute) -> Self {
        Self { hub, route: Arc::new(route), allow: HeaderValue::from_static("POST") }
    }

    /// Another method that these paths have, but not from this service: it is named in the `allow`
    /// of a 405, beside `POST`. With a [`LongPollLayer`](super::LongPollLayer) in front, `GET`. Default:
    /// none.
    #[must_use]
    pub fn also_allow(mut self, method: Method) -> Self {
        let allow = [self.allow.as_bytes(), b", ", method.as_str().as_bytes()].concat();
        // A method is a token, which a header field can have.
        self.allow = HeaderValue::from_bytes(&allow).unwrap_or(self.allow);
        self
    }

    fn channel(&self, parts: &Parts) -> Result<Channel, Response<ReplyBody>> {
        let Some(routed) = self.route.channels(parts) else {
            return Err(status(StatusCode::NOT_FOUND));
        };
        if parts.method != Method::POST {
            return Err(not_allowed(self.allow.clone()));
        }
        let one = |routed| match routed {
            Routed::Poll(channel) => Some(channel),
            Routed::PollAny(mut channels) => channels.pop().filter(|_| channels.is_empty()),
            _ => None,
        };
        let unclear = || Invalid::new("channel", "an event is published on one channel");
        let channel = routed.and_then(|routed| one(routed).ok_or_else(unclear));
        channel.map_err(|invalid| bad_request(&invalid))
    }

    fn entry_id(&self, parts: &Parts) -> Result<Option<EntryId>, Response<ReplyBody>> {
        match parts.headers.get("idempotency-key").filter(|_| self.hub.follows()) {
            None => Ok(None),
            Some(key) => key.to_str().ok().and_then(EntryId::new).map(Some).ok_or_else(|| {
                let detail = "a key has 1 to 128 visible ASCII characters";
                bad_request(&Invalid::new("idempotency-key", detail))
            }),
        }
    }

    /// What is known before the body is read.
    fn start(&self, parts: &Parts) -> Result<Upload, Response<ReplyBody>> {
        let channel = self.channel(parts)?;
        if length(&parts.headers) > Some(self.hub.max_payload_bytes()) {
            return Err(too_large(&self.hub));
        }
        let codings = parts.headers.get_all(CONTENT_ENCODING).iter();
        if codings.into_iter().any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            let detail = "the body has a content coding, which events cannot have";
            let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let mut refusal = problem(code, Some("content-encoding"), detail);
            // RFC 9110, section 12.5.3: so it says which it would have taken.
            let coding = HeaderValue::from_static("identity");
            refusal.headers_mut().insert(ACCEPT_ENCODING, coding);
            return Err(refusal);
        }
        let mut types = parts.headers.get_all(CONTENT_TYPE).iter();
        let content_type = match (types.next().map(|value| value.to_str()), types.next()) {
            (None, _) => None,
            (Some(Ok(value)), None) => Some(value.to_owned()),
            _ => return Err(bad_request(&Invalid::new("content-type", "malformed content type"))),
        };
        let (hub, id) = (self.hub.clone(), self.entry_id(parts)?);
        Ok(Upload { hub, channel, id, content_type, payload: Vec::new() })
    }
}

fn length(headers: &HeaderMap) -> Option<usize> {
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    // More than the type holds is more than any limit.
    Some(text.parse().unwrap_or(usize::MAX))
}

fn too_large(hub: &Hub) -> Response<ReplyBody> {
    let max_bytes = hub.max_payload_bytes();
    let detail = PublishError::Payload { max_bytes }.to_string();
    problem(StatusCode::PAYLOAD_TOO_LARGE, None, &detail)
}

impl<B: Body> Service<Request<B>> for PublishService {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = PublishFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> PublishFuture<B> {
        let (parts, body) = request.into_parts();
        let kind = match self.start(&parts) {
            Ok(upload) => Kind::Reading { body, upload },
            Err(response) => Kind::Ready { response: Some(response) },
        };
        PublishFuture { kind }
    }
}

struct Upload {
    hub: Hub,
    channel: Channel,
    /// The client's, if the hub follows a log.
    id: Option<EntryId>,
    content_type: Option<String>,
    /// Copied from what the server reads into, which is larger and would be kept alive.
    payload: Vec<u8>,
}

impl Upload {
    /// Adds a part of the body; false if that is too much.
    fn add(&mut self, mut data: impl Buf) -> bool {
        let room = self.hub.max_payload_bytes() - self.payload.len();
        if data.remaining() > room {
            return false;
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            self.payload.extend_from_slice(chunk);
            let read = chunk.len();
            data.advance(read);
        }
        true
    }

    fn publish(&mut self) -> Result<Response<ReplyBody>, Appending> {
        let payload = Bytes::from(std::mem::take(&mut self.payload).into_boxed_slice());
        let event = match self.content_type.take() {
            Some(content_type) => Event::typed(payload, content_type),
            None => Ok(Event::new(payload)),
        };
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                let is_type = matches!(error, EventError::ContentType);
                let field = if is_type { "content-type" } else { "body" };
                return Ok(bad_request(&Invalid::new(field, error.to_string())));
            }
        };
        let weight = event.weight_on(&self.channel);
        if self.hub.follows() {
            let change = Change::Publish(self.channel.clone(), event);
            return match self.hub.try_append(self.id.take(), change) {
                Ok(appending) => Err(appending),
                Err(error) => Ok(not_appended(&self.hub, weight, &error)),
            };
        }
        Ok(match self.hub.publish(&self.channel, event) {
            Ok(published) => {
                let code =
                    if published.woken > 0 { StatusCode::CREATED } else { StatusCode::ACCEPTED };
                stored(code, published.cursor, &format!(r#","woken":{}"#, published.woken))
            }
            Err(error) => not_published(&self.hub, weight, error),
        })
    }
}

fn not_published(hub: &Hub, weight: usize, error: PublishError) -> Response<ReplyBody> {
    match error {
        PublishError::Payload { .. } => too_large(hub),
        PublishError::TotalHistory { max_bytes } if weight > max_bytes => {
            problem(StatusCode::PAYLOAD_TOO_LARGE, None, &error.to_string())
        }
        PublishError::ChannelName { .. } => {
            bad_request(&Invalid::new("channel", error.to_string()))
        }
        error => unavailable(&error.to_string(), 2),
    }
}

fn not_appended(hub: &Hub, weight: usize, error: &AppendError) -> Response<ReplyBody> {
    match error {
        AppendError::Refused(error) => not_published(hub, weight, *error),
        AppendError::Busy => unavailable("too many events are on their way", 2),
        // What is wrong with the log is nothing for strangers.
        AppendError::Unknown { .. } => unavailable("the event is not known to be stored", 2),
    }
}

/// Where an event is, and what else there is to say of it, as further members of a JSON object.
fn stored(code: StatusCode, cursor: Cursor, more: &str) -> Response<ReplyBody> {
    let text = cursor.with_text(|cursor| [r#"{"cursor":""#, cursor, r#"""#, more, "}"].concat());
    json_text(code, "application/json", text)
}

pin_project! {
    /// The response of [`PublishService`]. Dropping it before the body has arrived publishes
    /// nothing; once it has, the event is on its way. The service has an example.
    #[must_use = "a future does nothing unless it is polled"]
    pub struct PublishFuture<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Reading { #[pin] body: B, upload: Upload },
        Appending { hub: Hub, #[pin] appending: Appending },
        // None once it was returned.
        Ready { response: Option<Response<ReplyBody>> },
    }
}

impl<B: Body> Future for PublishFuture<B> {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.as_mut().project().kind;
        let response = match kind.as_mut().project() {
            KindProjection::Reading { mut body, upload } => loop {
                match ready!(body.as_mut().poll_frame(cx)).transpose() {
                    Ok(Some(frame)) => {
                        // Trailers say nothing about an event.
                        if !frame.into_data().map_or(true, |data| upload.add(data)) {
                            break too_large(&upload.hub);
                        }
                    }
                    Ok(None) => match upload.publish() {
                        Ok(response) => break response,
                        Err(appending) => {
                            let hub = upload.hub.clone();
                            kind.set(Kind::Appending { hub, appending });
                            return self.poll(cx);
                        }
                    },
                    Err(_) => {
                        let detail = "the body ended early, or was cut off by a limit in front";
                        break bad_request(&Invalid::new("body", detail));
                    }
                }
            },
            KindProjection::Appending { hub, appending } => match ready!(appending.poll(cx)) {
                Ok(cursor) => stored(StatusCode::CREATED, cursor, ""),
                // What is refused was refused before it was on its way.
                Err(error) => not_appended(hub, 0, &error),
            },
            KindProjection::Ready { response } => match response.take() {
                Some(response) => response,
                None => return Poll::Pending,
            },
        };
        kind.set(Kind::Ready { response: None });
        Poll::Ready(Ok(finish(response)))
    }
}

impl<B> fmt::Debug for PublishFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFuture").finish_non_exhaustive()
    }
}
