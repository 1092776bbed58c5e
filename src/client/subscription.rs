//! What to poll, from where on, and how patiently.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri};
use http_body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tower_service::Service;

use super::{backoff::Backoff, error::Failure, stream::EventStream};

/// What to poll, from where on, and how patiently. [`over`](Self::over) makes it a stream.
///
/// ```
/// use std::time::Duration;
/// use http::header::{AUTHORIZATION, HeaderValue};
/// use tower_longpoll::client::Subscription;
///
/// let uri = "https://example.org/events".parse()?;
/// let news = Subscription::new(uri)
///     .channel("news")
///     .channel("weather")
///     .header(AUTHORIZATION, HeaderValue::from_static("Bearer secret"))
///     .wait(Duration::from_secs(50));
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
#[derive(Clone)]
#[must_use = "a subscription does nothing until it is made a stream"]
pub struct Subscription {
    uri: Uri,
    path: String,
    /// What every poll has after the `?`, without cursor and wait.
    query: String,
    pub(super) since: Option<String>,
    headers: HeaderMap,
    wait: Option<Duration>,
    pub(super) margin: Duration,
    pub(super) max_body_bytes: usize,
    pub(super) max_retry_after: Duration,
    pub(super) backoff: Backoff,
    pub(super) give_up_after: Option<u32>,
    pub(super) on_failure: Option<Arc<OnFailure>>,
}

type OnFailure = dyn Fn(Failure, Duration) + Send + Sync;

/// All but what stands for itself everywhere (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest hold of a server that was left at its defaults.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

impl Subscription {
    /// Polls this address, which may name the channel by itself, and have a query. If that has
    /// `cursor` and `wait`, they count as [`since`](Self::since) and [`wait`](Self::wait); all else
    /// stands in every poll as it is.
    pub fn new(uri: Uri) -> Self {
        let mut subscription = Self {
            path: uri.path().to_owned(),
            query: String::new(),
            since: None,
            headers: HeaderMap::new(),
            wait: None,
            margin: Duration::from_secs(10),
            max_body_bytes: 16 << 20,
            max_retry_after: Duration::from_secs(300),
            backoff: Backoff::default(),
            give_up_after: None,
            on_failure: None,
            uri: Uri::default(),
        };
        for pair in uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match (name, value.parse()) {
                ("cursor", _) => subscription.since = Some(value.into_owned()),
                ("wait", Ok(seconds)) => subscription.wait = Some(Duration::from_secs(seconds)),
                _ => push(&mut subscription.query, pair),
            }
        }
        subscription.uri = uri;
        subscription
    }

    /// Adds a channel to the query, as `?channel=`. Default: only what the address says.
    pub fn channel(mut self, name: impl AsRef<str>) -> Self {
        push(&mut self.query, &format!("channel={}", encode(name.as_ref())));
        self
    }

    /// Adds a channel to the path, as its last segment: `/events` becomes `/events/news`.
    pub fn channel_in_path(mut self, name: impl AsRef<str>) -> Self {
        self.path.truncate(self.path.trim_end_matches('/').len());
        self.path.push('/');
        self.path.push_str(&encode(name.as_ref()));
        self
    }

    /// Goes on from a cursor: one of this crate, the text of one that was stored, or `"oldest"` for
    /// all that is held. Default: what is published after the first answer of the server.
    pub fn since(mut self, cursor: impl fmt::Display) -> Self {
        self.since = Some(cursor.to_string());
        self
    }

    /// Adds a header field to every request, beside others of its name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// How long the server is asked to hold a poll, in whole seconds: parts count as one. Default:
    /// nothing is asked, and the server's own hold is taken to be at most 60 s. With zero every poll
    /// is answered at once; then the [`backoff`](Self::backoff) says how often it is asked.
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// How much longer than its hold an answer may take, and how long its body may pause, before
    /// the connection is taken to be dead. The whole body of an error has no more. Default: 10 s.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = margin;
        self
    }

    /// The largest answer; one that is larger ends the stream. Read, it takes several times as much
    /// memory if its events are tiny. Default: 16 MiB.
    pub fn max_body_bytes(mut self, max: usize) -> Self {
        self.max_body_bytes = max;
        self
    }

    /// The longest time that a server can send the client away for, by `retry-after` with a 503 or
    /// a 429. With zero the pauses are those of the [`backoff`](Self::backoff). Default: 300 s.
    pub fn max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// The pauses after requests that failed, and between empty answers that come too soon. Default:
    /// [`Backoff::default`].
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Ends the stream when so many requests in a row have failed; zero counts as one. Default:
    /// never.
    pub fn give_up_after(mut self, failures: u32) -> Self {
        self.give_up_after = Some(failures);
        self
    }

    /// Calls this with every request that failed and the pause before the next, to log it or to show
    /// that the connection is lost. Default: nothing.
    pub fn on_failure(
        mut self,
        handler: impl Fn(Failure, Duration) + Send + Sync + 'static,
    ) -> Self {
        self.on_failure = Some(Arc::new(handler));
        self
    }

    /// The stream of events over an HTTP client, or any other service. Nothing is sent before it is
    /// polled.
    ///
    /// `B` is the body of the requests, which is always empty: the compiler knows it where the
    /// service takes only one. For an axum `Router` say `over::<_, String, _>(router)`.
    pub fn over<S, B, RB>(self, service: S) -> EventStream<S, B, RB>
    where
        S: Service<Request<B>, Response = Response<RB>>,
        B: Default,
        RB: Body,
    {
        EventStream::new(self, service)
    }

    /// The next poll, if its address can be one.
    pub(super) fn request<B: Default>(&self, cursor: Option<&str>) -> Option<Request<B>> {
        let mut query = self.query.clone();
        let wait = match cursor {
            Some(cursor) => {
                push(&mut query, &format!("cursor={}", encode(cursor)));
                self.wait
            }
            // Until there is a cursor, a connection that breaks could lose events: so have one soon.
            None => Some(Duration::ZERO),
        };
        if let Some(wait) = wait {
            push(&mut query, &format!("wait={}", seconds(wait)));
        }
        let mut parts = self.uri.clone().into_parts();
        let separator = if query.is_empty() { "" } else { "?" };
        parts.path_and_query = Some(format!("{}{separator}{query}", self.path).parse().ok()?);
        let mut request = Request::new(B::default());
        *request.uri_mut() = Uri::from_parts(parts).ok()?;
        *request.headers_mut() = self.headers.clone();
        Some(request)
    }

    /// Until when the head of an answer has to be there.
    pub(super) fn limit(&self) -> Duration {
        let hold = self.wait.map_or(LONGEST_HOLD, |wait| Duration::from_secs(seconds(wait)));
        hold.saturating_add(self.margin)
    }
}

fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn push(query: &mut String, pair: &str) {
    if !query.is_empty() && !pair.is_empty() {
        query.push('&');
    }
    query.push_str(pair);
}

/// Without the values of the header fields and of the query: there may be secrets among them.
impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Subscription");
        out.field("path", &self.path).field("since", &self.since);
        out.field("headers", &self.headers.keys().collect::<Vec<_>>());
        out.field("wait", &self.wait).finish_non_exhaustive()
    }
}
