//! What the layer and the service share: how a poll is read, and made a wait.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};

use super::{
    body::ReplyBody,
    query,
    reply::{CURSOR, Replies, cursor_value},
    route::{Invalid, Route, Routed},
};
use crate::{channel::Channel, cursor::Since, hub::Hub, outcome::Waited, random, wait::Wait};

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Which requests are polls, and how they are read and answered.
pub(super) struct Endpoint<R> {
    pub(super) hub: Hub,
    pub(super) route: Arc<R>,
    pub(super) hold: Duration,
    pub(super) max_hold: Duration,
    pub(super) jitter_percent: u8,
    pub(super) replies: Arc<Replies>,
}

/// What becomes of a request.
pub(super) enum Taken {
    Pass,
    Answer(Response<ReplyBody>),
    Held(Held),
}

/// A poll on its way. Nothing of its request is left.
pub(super) struct Held {
    wait: Wait,
    replies: Arc<Replies>,
    http1: bool,
    /// The hold in seconds if the client's preference for it was applied.
    applied: Option<u64>,
}

impl<R> Clone for Endpoint<R> {
    fn clone(&self) -> Self {
        let (hub, route, replies) = (self.hub.clone(), self.route.clone(), self.replies.clone());
        Self { hub, route, replies, ..*self }
    }
}

impl<R> Endpoint<R> {
    pub(super) fn new(hub: Hub, route: R) -> Self {
        let hold = hub.default_hold();
        let replies = Replies { retry_after: 2, ..Replies::default() };
        let max_hold = Duration::from_secs(60);
        let (route, replies) = (Arc::new(route), Arc::new(replies));
        Self { hub, route, hold, max_hold, jitter_percent: 10, replies }
    }

    pub(super) fn take(&self, parts: &Parts) -> Taken
    where
        R: Route,
    {
        let held = match self.route.route(parts) {
            Routed::Pass => return Taken::Pass,
            Routed::Refuse(response) => return Taken::Answer(response.map(ReplyBody::from)),
            Routed::Invalid(invalid) => Err(invalid),
            Routed::Poll(channel) => self.read([channel], parts),
            Routed::PollAny(channels) => self.read(channels, parts),
        };
        match held {
            Ok(held) => Taken::Held(held),
            Err(invalid) => {
                let mut response = self.replies.invalid(&invalid);
                // A client whose cursor is not understood is given none: "now" would have it skip
                // events without a word.
                if let Ok(since) = since(parts) {
                    let cursor = cursor_value(self.hub.cursor().unmoved(since));
                    response.headers_mut().insert(CURSOR, cursor);
                }
                Taken::Answer(response)
            }
        }
    }

    fn read<C>(&self, channels: C, parts: &Parts) -> Result<Held, Invalid>
    where
        C: IntoIterator<Item = Channel>,
    {
        if has_body(&parts.headers) {
            // An unread body would keep the server from noticing that the client has left.
            return Err(Invalid::new("body", "a poll has no body"));
        }
        let since = since(parts)?;
        let asked = asked_in_query(parts)?;
        let preferred = preferred(&parts.headers).filter(|_| asked.is_none());
        let wanted = asked.or(preferred).map_or(self.hold, Duration::from_secs);
        let hold = wanted.min(self.max_hold).min(self.hub.max_hold());
        let mut wait = self.hub.wait(channels).since(since).hold(self.jittered(hold));
        if let Some(max) = self.replies.max_events() {
            wait = wait.max_events(max);
        }
        Ok(Held {
            wait,
            replies: Arc::clone(&self.replies),
            http1: parts.version < Version::HTTP_2,
            applied: preferred.map(|_| hold.as_secs()),
        })
    }

    /// A little less than `hold`, so that polls that began together do not end together.
    fn jittered(&self, hold: Duration) -> Duration {
        let percent = u64::from(self.jitter_percent.min(100));
        let millis = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
        let cut = random::up_to(millis / 100 * percent + millis % 100 * percent / 100);
        hold.saturating_sub(Duration::from_millis(cut))
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING)
        || headers.get_all(CONTENT_LENGTH).iter().any(|length| length.as_bytes() != b"0")
}

/// The cursor that a poll hands back, in the query or in a header field.
fn since(parts: &Parts) -> Result<Since, Invalid> {
    let invalid = |detail: &str| Invalid::new("cursor", detail);
    let header = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let in_headers = parts.headers.get_all(CURSOR).iter().map(header);
    let mut texts = query::values(parts, "cursor").chain(in_headers);
    let Some(text) = texts.next() else { return Ok(Since::Now) };
    if texts.next().is_some() {
        return Err(invalid("there is more than one cursor"));
    }
    match text.as_deref() {
        Some("oldest") => Ok(Since::Oldest),
        Some(text) => text.parse().map(Since::Cursor).map_err(|_| invalid("malformed cursor")),
        None => Err(invalid("malformed cursor")),
    }
}

/// `?wait=SECONDS`.
fn asked_in_query(parts: &Parts) -> Result<Option<u64>, Invalid> {
    let invalid = |detail: &str| Invalid::new("wait", detail);
    let mut texts = query::values(parts, "wait");
    let Some(text) = texts.next() else { return Ok(None) };
    if texts.next().is_some() {
        return Err(invalid("there is more than one wait"));
    }
    let seconds = text.as_deref().and_then(seconds);
    seconds.map(Some).ok_or_else(|| invalid("not a whole number of seconds"))
}

/// `Prefer: wait=SECONDS` (RFC 7240, section 4.3). A malformed preference is none: section 2 has
/// servers ignore what they do not understand. The first one counts.
fn preferred(headers: &HeaderMap) -> Option<u64> {
    let fields = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let mut preferences = fields.flat_map(elements);
    preferences.find_map(|preference| {
        let (name, value) = preference.split(';').next()?.split_once('=')?;
        let value = value.trim();
        let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        name.trim().eq_ignore_ascii_case("wait").then(|| seconds(unquoted.unwrap_or(value)))?
    })
}

/// The elements of a list; a comma in a quoted string parts none (RFC 9110, sections 5.6.1, 5.6.4).
fn elements(field: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    field.split(move |character| {
        (quoted, escaped) = match character {
            '"' if !escaped => (!quoted, false),
            '\\' if quoted => (true, !escaped),
            _ => (quoted, false),
        };
        character == ',' && !quoted
    })
}

/// A whole number, however large: what is too large for the type is more than any limit.
fn seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

impl Held {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<ReplyBody>> {
        let waited = ready!(Future::poll(Pin::new(&mut self.wait), cx));
        let mut response = self.replies.waited(&waited, self.http1);
        let held = !matches!(waited, Waited::Refused { .. });
        if let Some(seconds) = self.applied.filter(|_| held) {
            let applied = HeaderValue::try_from(format!("wait={seconds}"));
            response.headers_mut().extend(applied.ok().map(|value| (PREFERENCE_APPLIED, value)));
        }
        Poll::Ready(response)
    }
}
