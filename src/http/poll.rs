//! What a poll asks for.

use std::{borrow::Cow, io::Write, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

use super::{
    query,
    reply::CURSOR,
    route::Invalid,
    text::{Text, value},
};
use crate::cursor::Since;

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// RFC 7240.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// What a client asks for: where it goes on, and how long it is willing to wait.
///
/// The layer reads it for the polls of its route. A handler that decides by itself what to hold
/// reads it with [`Poll::read`], or with the feature `axum` as an extractor.
///
/// ```
/// use std::time::Duration;
/// use tower_longpoll::{Hub, Since, http::Poll};
///
/// let cursor = Hub::new().cursor();
/// let request = http::Request::get(format!("/inbox?cursor={cursor}")).header("prefer", "wait=20");
/// let poll = Poll::read(&request.body(())?.into_parts().0)?;
/// assert_eq!(poll.since(), Since::Cursor(cursor));
/// assert_eq!(poll.wait(), Some(Duration::from_secs(20)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Poll {
    since: Since,
    pub(super) wish: Option<Wish>,
}

/// A client's wish to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) wait: Duration,
    /// Whether it was said as a preference, which is to be acknowledged.
    pub(super) is_preference: bool,
}

impl Poll {
    /// Reads the query and the header fields of a request, as told in the
    /// [module docs](super).
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the field that is malformed or given twice.
    pub fn read(parts: &Parts) -> Result<Self, Invalid> {
        Ok(Self { since: since(parts)?, wish: wish(parts)? })
    }

    /// Where the client goes on.
    pub fn since(&self) -> Since {
        self.since
    }

    /// How long it is willing to wait, if it says; not yet limited by what the server allows.
    pub fn wait(&self) -> Option<Duration> {
        self.wish.map(|wish| wish.wait)
    }
}

impl Wish {
    /// What is acknowledged if this hold was granted.
    pub(super) fn applied(self, granted: Duration) -> Option<Applied> {
        // No hold is longer than a year.
        let seconds = granted.as_secs().try_into().unwrap_or(u32::MAX);
        self.is_preference.then_some(Applied(seconds))
    }
}

/// A preference for a hold that was applied, in seconds.
#[derive(Clone, Copy)]
pub(super) struct Applied(u32);

impl Applied {
    pub(super) fn field(self) -> (HeaderName, HeaderValue) {
        let mut text = Text::new();
        write!(text, "wait={}", self.0).expect("a text takes whatever is written");
        let text = text.finish();
        (PREFERENCE_APPLIED, value(&text, 0..text.len()))
    }
}

/// The cursor that a poll hands back, in the query or in a header field.
pub(super) fn since(parts: &Parts) -> Result<Since, Invalid> {
    let invalid = |detail: &str| Invalid::new("cursor", detail);
    let in_headers = parts.headers.get_all(CURSOR).iter();
    let in_headers = in_headers.map(|value| value.to_str().ok().map(Cow::Borrowed));
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

/// How long a client is willing to wait, if it says. The query goes before the header field.
pub(super) fn wish(parts: &Parts) -> Result<Option<Wish>, Invalid> {
    let asked = asked(parts)?.map(|seconds| (seconds, false));
    let wish = asked.or_else(|| Some((preferred(&parts.headers)?, true)));
    Ok(wish
        .map(|(seconds, is_preference)| Wish { wait: Duration::from_secs(seconds), is_preference }))
}

/// `?wait=SECONDS`.
fn asked(parts: &Parts) -> Result<Option<u64>, Invalid> {
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
/// servers ignore what they do not understand. The first well-formed one counts.
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
