//! How outcomes become responses.

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

#[cfg(feature = "json")]
use super::json::Answer;
use super::{
    body::ReplyBody,
    route::Invalid,
    text::{Text, value},
};
use crate::{
    channel::Channel,
    cursor::Cursor,
    event::Entry,
    outcome::{Batch, Refused, Waited},
    random,
};

/// The header field that carries a cursor, in answers and in polls.
///
/// [`Reply`] has an example.
pub const CURSOR: HeaderName = HeaderName::from_static("longpoll-cursor");
/// The header field, always `true`, of an answer that reports a gap.
///
/// The guide has one under [cursors](crate::guide::cursors).
pub const GAP: HeaderName = HeaderName::from_static("longpoll-gap");
/// The header field of a raw answer that names the event's channel, percent-encoded.
///
/// [`Reply`] has an example.
pub const CHANNEL: HeaderName = HeaderName::from_static("longpoll-channel");

/// How events are answered.
///
/// ```
/// use axum::{Router, body::{Body, to_bytes}, http::Request};
/// use tower::ServiceExt;
/// use tower_longpoll::{Channel, Event, Hub, LongPollLayer, PathRoute, Reply, http};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[cfg(feature = "json")]
/// # {
/// let (hub, news) = (Hub::new(), Channel::new("news")?);
/// hub.publish(&news, Event::json(&[1, 2])?)?;
/// let poll = || Request::get("/events/news?cursor=oldest").body(Body::empty());
/// let app = |reply| -> Result<Router, http::Invalid> {
///     let route = PathRoute::new("/events/{channel}").expect("a valid pattern");
///     Ok(Router::new().layer(LongPollLayer::new(hub.clone(), route).reply(reply)))
/// };
///
/// let raw = app(Reply::Raw)?.oneshot(poll()?).await?;
/// assert_eq!(raw.headers()[http::CHANNEL], "news");
/// assert_eq!(raw.headers()[http::CURSOR], hub.cursor().to_string());
/// assert_eq!(to_bytes(raw.into_body(), 1_000).await?, "[1,2]");
///
/// let json = app(Reply::Json)?.oneshot(poll()?).await?;
/// let json: serde_json::Value = serde_json::from_slice(&to_bytes(json.into_body(), 1_000).await?)?;
/// assert_eq!(json["events"][0]["data"], serde_json::json!([1, 2]));
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// One event an answer: the payload as it was published, with its content type
    /// (`application/octet-stream` if it has none). A timeout is 204. The default.
    #[default]
    Raw,
    /// All events that wait, up to the hub's `max_batch_events`:
    /// `{"cursor","gap","events":[{"channel","id","type","data"}]}`. A timeout has no events.
    ///
    /// `data` is the payload itself if it was published as JSON, else a string if it is UTF-8, else
    /// base64 in a string, and then there is `"encoding":"base64"`. `type` is its content type, if
    /// it has one, and `id` its own cursor.
    #[cfg(feature = "json")]
    Json,
}

type Handler<T> = Option<Arc<dyn Fn(T) -> Response<Bytes> + Send + Sync>>;
type RefHandler<T> = Option<Arc<dyn Fn(&T) -> Response<Bytes> + Send + Sync>>;

/// The answers, and the closures that replace them.
#[derive(Clone, Default)]
pub(super) struct Replies {
    pub(super) reply: Reply,
    pub(super) retry_after: u64,
    pub(super) on_events: RefHandler<Batch>,
    pub(super) on_timeout: Handler<Cursor>,
    pub(super) on_deleted: Handler<Cursor>,
    pub(super) on_drained: Handler<Cursor>,
    pub(super) on_refused: RefHandler<Refused>,
    pub(super) on_invalid: RefHandler<Invalid>,
}

impl Replies {
    /// The most events of one answer; none for the hub's own limit.
    pub(super) fn max_events(&self, reply: Reply) -> Option<usize> {
        (reply == Reply::Raw && self.on_events.is_none()).then_some(1)
    }

    pub(super) fn waited(
        &self,
        waited: Waited,
        reply: Reply,
        version: Version,
    ) -> Response<ReplyBody> {
        let (cursor, is_drained) = (waited.cursor(), matches!(waited, Waited::Drained { .. }));
        let mut response = match waited {
            Waited::Events(batch) => self.events(reply, batch),
            Waited::TimedOut { .. } | Waited::Touched { .. } | Waited::Superseded { .. } => {
                nothing(&self.on_timeout, reply, cursor)
            }
            Waited::Drained { .. } => nothing(&self.on_drained, reply, cursor),
            Waited::Deleted { channel, .. } => {
                let mut response = match &self.on_deleted {
                    Some(handler) => at(cursor, handler(cursor)),
                    None => at(cursor, problem(StatusCode::GONE, None, "the channel was deleted")),
                };
                let (name, channel) = channel_field(&channel);
                response.headers_mut().insert(name, channel);
                response
            }
            Waited::Refused { reason, .. } => match &self.on_refused {
                Some(handler) => at(cursor, handler(&reason)),
                None => at(cursor, self.refused(reason)),
            },
        };
        if is_drained {
            close(response.headers_mut(), version);
        }
        finish(response)
    }

    fn events(&self, reply: Reply, batch: Batch) -> Response<ReplyBody> {
        let (cursor, gap) = (batch.cursor(), batch.gap());
        let mut response = match (&self.on_events, reply, batch.entries()) {
            (Some(handler), ..) => at(cursor, handler(&batch)),
            (None, Reply::Raw, [entry, ..]) => raw(cursor, entry),
            (None, Reply::Raw, []) => at(cursor, status(StatusCode::NO_CONTENT)),
            #[cfg(feature = "json")]
            (None, Reply::Json, _) => json(batch),
        };
        if gap {
            response.headers_mut().insert(GAP, HeaderValue::from_static("true"));
        }
        response
    }

    pub(super) fn invalid(&self, invalid: &Invalid) -> Response<ReplyBody> {
        finish(match &self.on_invalid {
            Some(handler) => handler(invalid).map(ReplyBody::from),
            None => bad_request(invalid),
        })
    }

    fn refused(&self, reason: Refused) -> Response<ReplyBody> {
        if !reason.is_temporary() {
            let field = if let Refused::Key { .. } = reason { "key" } else { "channel" };
            return bad_request(&Invalid::new(field, reason.to_string()));
        }
        unavailable(&reason.to_string(), self.retry_after)
    }
}

/// Says where the client goes on, and whether it has missed something.
pub(super) fn mark(headers: &mut HeaderMap, waited: &Waited) {
    headers.insert(CURSOR, cursor_value(waited.cursor()));
    if matches!(waited, Waited::Events(batch) if batch.gap()) {
        headers.insert(GAP, HeaderValue::from_static("true"));
    }
}

/// The same, and where the client goes on.
fn at<B: Into<ReplyBody>>(cursor: Cursor, response: Response<B>) -> Response<ReplyBody> {
    let mut response = response.map(Into::into);
    response.headers_mut().insert(CURSOR, cursor_value(cursor));
    response
}

#[cfg(feature = "json")]
fn json(batch: Batch) -> Response<ReplyBody> {
    let (answer, cursor) = Answer::new(batch);
    let mut response = Response::new(ReplyBody::json(answer));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CURSOR, cursor);
    response
}

/// The answer of a wait that ended without anything to tell.
fn nothing(handler: &Handler<Cursor>, reply: Reply, cursor: Cursor) -> Response<ReplyBody> {
    match (handler, reply) {
        (Some(handler), _) => at(cursor, handler(cursor)),
        (None, Reply::Raw) => at(cursor, status(StatusCode::NO_CONTENT)),
        #[cfg(feature = "json")]
        (None, Reply::Json) => json(Batch::empty(cursor)),
    }
}

impl fmt::Debug for Replies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replies").field("reply", &self.reply).finish_non_exhaustive()
    }
}

/// What every answer to a poll has, unless a closure has set it.
pub(super) fn finish(mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    let headers: &mut HeaderMap = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    response
}

/// Has the next poll come on a new connection, perhaps to another server. HTTP/2 has no such field.
pub(super) fn close(headers: &mut HeaderMap, version: Version) {
    if version < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

pub(super) fn status(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::default());
    *response.status_mut() = status;
    response
}

/// All its own texts stand in one piece of memory.
fn raw(cursor: Cursor, entry: &Entry) -> Response<ReplyBody> {
    let (event, mut text) = (entry.event(), Text::new());
    let cursor = cursor.with_text(|cursor| text.add(cursor));
    let channel = add_channel(&mut text, entry.channel());
    let own_type = match (event.content_type(), event.static_content_type()) {
        (Some(own), None) => Some(text.add(own)),
        _ => None,
    };
    let text = text.finish();
    let content_type = own_type.map(|place| value(&text, place)).unwrap_or_else(|| {
        let known = event.static_content_type().unwrap_or("application/octet-stream");
        HeaderValue::from_static(known)
    });

    let mut response = Response::new(ReplyBody::from(entry.payload().clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CHANNEL, value(&text, channel));
    headers.insert(CURSOR, value(&text, cursor));
    response
}

pub(super) fn channel_field(channel: &Channel) -> (HeaderName, HeaderValue) {
    let mut text = Text::new();
    let channel = add_channel(&mut text, channel);
    (CHANNEL, value(&text.finish(), channel))
}

fn add_channel(text: &mut Text, channel: &Channel) -> Range<usize> {
    let start = text.as_ref().len();
    let parts = utf8_percent_encode(channel.as_str(), NOT_IN_HEADERS);
    start..parts.fold(start, |_, part| text.add(part).end)
}

/// Beside what is not ASCII: what would be ambiguous (`%`) or trimmed (a space).
const NOT_IN_HEADERS: &AsciiSet = &CONTROLS.add(b'%').add(b' ');

pub(super) fn cursor_value(cursor: Cursor) -> HeaderValue {
    let value = cursor.with_text(HeaderValue::from_str);
    value.expect("a cursor is safe in a header field")
}

/// A response with JSON that is put together here; nothing in it needs escaping.
pub(super) fn json_text(
    status: StatusCode,
    media_type: &'static str,
    text: String,
) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::from(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// RFC 9457.
pub(super) fn problem(
    status: StatusCode,
    field: Option<&'static str>,
    detail: &str,
) -> Response<ReplyBody> {
    let title = status.canonical_reason().unwrap_or_default();
    let code = status.as_u16();
    // The crate's own texts need no escapes, but a route may have put others into an `Invalid`.
    let plain = |text: &str| text.chars().map(unescaped).collect::<String>();
    let field = field.map(|field| format!(r#","field":"{}""#, plain(field))).unwrap_or_default();
    let detail = plain(detail);
    let text = format!(
        r#"{{"type":"about:blank","title":"{title}","status":{code},"detail":"{detail}"{field}}}"#
    );
    json_text(status, "application/problem+json", text)
}

/// A character in a JSON string: as it is, or replaced if it would have to be escaped.
fn unescaped(character: char) -> char {
    match character {
        '"' => '\'',
        '\\' => '/',
        control if control.is_control() => ' ',
        other => other,
    }
}

pub(super) fn bad_request(invalid: &Invalid) -> Response<ReplyBody> {
    problem(StatusCode::BAD_REQUEST, Some(invalid.field()), &invalid.to_string())
}

/// 503, with a hint that spreads those who come back.
pub(super) fn unavailable(detail: &str, retry_after: u64) -> Response<ReplyBody> {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, None, detail);
    let seconds = retry_after.saturating_add(random::up_to(retry_after));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}
