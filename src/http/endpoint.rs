//! What the layer and the service share: how a poll is read, and made a wait.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Context, ready},
    time::Duration,
};

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};

use super::{
    body::ReplyBody,
    hold::Hold,
    poll::{self, Poll},
    reply::{CURSOR, Replies, Reply, cursor_value},
    route::{Invalid, Route, Routed},
};
use crate::{channel::Channel, cursor::Since, hub::Hub, outcome::Waited, random, wait::Wait};

/// RFC 7240.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Which requests are polls, and how they are read and answered.
pub(super) struct Endpoint<R> {
    pub(super) route: Arc<R>,
    pub(super) settings: Arc<Settings>,
}

/// How polls are read and answered.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) hub: Hub,
    pub(super) hold: Duration,
    pub(super) max_hold: Duration,
    pub(super) jitter_percent: u8,
    pub(super) replies: Replies,
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
    settings: Arc<Settings>,
    reply: Reply,
    pub(super) version: Version,
    /// The hold in seconds if the client's preference for it was applied.
    applied: Option<u64>,
}

impl<R> Clone for Endpoint<R> {
    fn clone(&self) -> Self {
        Self { route: Arc::clone(&self.route), settings: Arc::clone(&self.settings) }
    }
}

impl<R> Endpoint<R> {
    pub(super) fn new(hub: Hub, route: R) -> Self {
        let hold = hub.default_hold();
        let replies = Replies { retry_after: 2, ..Replies::default() };
        let max_hold = Duration::from_secs(60);
        let settings = Settings { hub, hold, max_hold, jitter_percent: 10, replies };
        Self { route: Arc::new(route), settings: Arc::new(settings) }
    }

    pub(super) fn take(&self, parts: &Parts) -> Taken
    where
        R: Route,
    {
        let settings = &self.settings;
        let held = match self.route.route(parts) {
            Routed::Pass => return Taken::Pass,
            Routed::Refuse(response) => return Taken::Answer(response.map(ReplyBody::from)),
            Routed::Invalid(invalid) => Err(invalid),
            Routed::Poll(channel) => settings.read([channel], parts),
            Routed::PollAny(channels) => settings.read(channels, parts),
        };
        match held {
            Ok(held) => Taken::Held(held),
            Err(invalid) => {
                let mut response = settings.replies.invalid(&invalid);
                // A client whose cursor is not understood is given none: "now" would have it skip
                // events without a word.
                if let Ok(since) = poll::since(parts) {
                    let cursor = cursor_value(settings.hub.cursor().unmoved(since));
                    response.headers_mut().insert(CURSOR, cursor);
                }
                Taken::Answer(response)
            }
        }
    }
}

impl Settings {
    fn read<C>(self: &Arc<Self>, channels: C, parts: &Parts) -> Result<Held, Invalid>
    where
        C: IntoIterator<Item = Channel>,
    {
        if has_body(&parts.headers) {
            // An unread body would keep the server from noticing that the client has left.
            return Err(Invalid::new("body", "a poll has no body"));
        }
        let poll = Poll::read(parts)?;
        let granted = self.granted(poll.wait());
        let mut held = self.held(channels, poll.since(), granted, parts.version);
        held.applied = poll.is_preference().then_some(granted.as_secs());
        Ok(held)
    }

    /// A poll of the response that a handler wants held.
    pub(super) fn hold(self: &Arc<Self>, hold: Hold, version: Version) -> Held {
        let granted = self.granted(hold.hold);
        let mut held = self.held(hold.channels.iter(), hold.since, granted, version);
        if let Some(reply) = hold.reply {
            held.answer_by(reply);
        }
        held
    }

    fn granted(&self, wanted: Option<Duration>) -> Duration {
        wanted.unwrap_or(self.hold).min(self.max_hold).min(self.hub.max_hold())
    }

    fn held<C>(
        self: &Arc<Self>,
        channels: C,
        since: Since,
        hold: Duration,
        version: Version,
    ) -> Held
    where
        C: IntoIterator<Item: Into<Channel>>,
    {
        let wait = self.hub.wait(channels).since(since).hold(self.jittered(hold));
        let settings = Arc::clone(self);
        let mut held = Held { wait, settings, reply: Reply::Raw, version, applied: None };
        held.answer_by(self.replies.reply);
        held
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

impl Held {
    fn answer_by(&mut self, reply: Reply) {
        self.reply = reply;
        let max = self.settings.replies.max_events(reply).unwrap_or(self.settings.hub.max_batch());
        self.wait.set_max_events(max);
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> task::Poll<Response<ReplyBody>> {
        let waited = ready!(Future::poll(Pin::new(&mut self.wait), cx));
        task::Poll::Ready(self.answer(&waited))
    }

    /// The outcome, for one who answers some of them otherwise.
    pub(super) fn poll_waited(&mut self, cx: &mut Context<'_>) -> task::Poll<Waited> {
        Future::poll(Pin::new(&mut self.wait), cx)
    }

    pub(super) fn answer(&self, waited: &Waited) -> Response<ReplyBody> {
        let mut response = self.settings.replies.waited(waited, self.reply, self.version);
        let held = !matches!(waited, Waited::Refused { .. });
        if let Some(seconds) = self.applied.filter(|_| held) {
            let applied = HeaderValue::try_from(format!("wait={seconds}"));
            response.headers_mut().extend(applied.ok().map(|value| (PREFERENCE_APPLIED, value)));
        }
        response
    }
}
