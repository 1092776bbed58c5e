//! What the layer and the service share: how a poll is read, and made a wait.

use std::{
    pin::Pin,
    sync::Arc,
    task::{self, Context, ready},
    time::Duration,
};

use http::{
    HeaderMap, Method, Response, Version,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};

use super::{
    body::ReplyBody,
    damping::Damping,
    grpc,
    hold::Hold,
    poll::{self, Applied, Poll},
    reply::{CURSOR, Replies, Reply, cursor_value},
    route::{Invalid, Route, Routed},
};
use crate::{
    channel::Channel,
    cursor::Since,
    hub::{Deadline, Hub},
    outcome::Waited,
    random,
    wait::Wait,
};

/// Which requests are polls, and how they are read and answered.
pub(super) struct Endpoint<R> {
    pub(super) route: Arc<R>,
    pub(super) settings: Arc<Settings>,
}

/// How polls are read and answered.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) hub: Hub,
    pub(super) hold: Duration,
    pub(super) max_hold: Duration,
    pub(super) jitter_percent: u8,
    pub(super) grpc_margin: Duration,
    pub(super) supersede_by: Option<Arc<Key>>,
    pub(super) damping: Option<Arc<Damping>>,
    pub(super) replies: Replies,
}

/// Tells one client from another.
pub(super) type Key = dyn Fn(&Parts) -> Option<String> + Send + Sync;

/// What is kept of a request whose response may be held.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    version: Version,
    /// Whether it is of a kind that waits: the response to a `HEAD` goes out at once.
    pub(super) may_wait: bool,
    /// Whether it is a `GET` with a body, which the handler has hardly read.
    pub(super) has_body: bool,
    /// By when a gRPC client is to be answered.
    deadline: Option<Deadline>,
}

/// What becomes of a request.
pub(super) enum Taken {
    Pass,
    Answer(Response<ReplyBody>),
    Held(Held),
}

/// A poll on its way. Nothing of its request is left.
pub(super) struct Held {
    /// To be waited out first.
    pause: Option<Box<Pause>>,
    wait: Wait,
    settings: Arc<Settings>,
    reply: Reply,
    pub(super) is_grpc: bool,
    pub(super) version: Version,
    applied: Option<Applied>,
}

/// What slows a poll down that is asked again and again.
struct Pause {
    wait: Wait,
    /// Where the poll is, and stays.
    since: Since,
}

impl<R> Clone for Endpoint<R> {
    fn clone(&self) -> Self {
        Self { route: Arc::clone(&self.route), settings: Arc::clone(&self.settings) }
    }
}

impl<R> Endpoint<R> {
    pub(super) fn new(hub: Hub, route: R) -> Self {
        Self { route: Arc::new(route), settings: Arc::new(Settings::new(hub)) }
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
            Routed::Poll(channel) => settings.read(&[channel], parts),
            Routed::PollAny(channels) => settings.read(&channels, parts),
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
    pub(super) fn new(hub: Hub) -> Self {
        let hold = hub.default_hold();
        let replies = Replies { retry_after: 2, ..Replies::default() };
        let (max_hold, grpc_margin) = (Duration::from_secs(60), Duration::from_millis(500));
        let (supersede_by, damping) = (None, None);
        Self {
            hub,
            hold,
            max_hold,
            jitter_percent: 10,
            grpc_margin,
            supersede_by,
            damping,
            replies,
        }
    }

    pub(super) fn asked(&self, parts: &Parts) -> Asked {
        let deadline = grpc::timeout(&parts.headers).map(|timeout| {
            let margin = self.grpc_margin.min(timeout / 2);
            self.hub.deadline(timeout - margin)
        });
        let has_body = parts.method == Method::GET && has_body(&parts.headers);
        let may_wait = parts.method != Method::HEAD;
        Asked { version: parts.version, may_wait, has_body, deadline }
    }

    fn read(self: &Arc<Self>, channels: &[Channel], parts: &Parts) -> Result<Held, Invalid> {
        if has_body(&parts.headers) {
            return Err(unread_body());
        }
        let poll = Poll::read(parts)?;
        let (since, granted) = (poll.since(), self.granted(poll.wait()));
        let (mut hold, mut pause) = (self.jittered(granted), None);
        if let Some(damping) = &self.damping {
            let rest = damping.rest(&self.hub, parts, channels, since).min(self.max_hold);
            if since == Since::Now {
                hold = hold.max(rest);
            } else if !rest.is_zero() {
                pause = Some(self.hub.pause(rest));
                hold = hold.saturating_sub(rest);
            }
        }
        let mut wait = self.hub.wait(channels).since(since).hold(hold);
        if let Some(key) = self.supersede_by.as_ref().and_then(|key| key(parts)) {
            pause = pause.map(|pause| pause.supersede_by(&key));
            wait = wait.supersede_by(&key);
        }
        let mut held = self.held(wait, parts.version);
        held.pause = pause.map(|wait| Box::new(Pause { wait, since }));
        held.applied = poll.wish.and_then(|wish| wish.applied(granted));
        Ok(held)
    }

    /// A poll of the response that a handler wants held.
    pub(super) fn hold(self: &Arc<Self>, hold: Hold, asked: &Asked, is_grpc: bool) -> Held {
        let applied = hold.wish.and_then(|wish| wish.applied(self.granted(hold.hold)));
        let granted = self.jittered(self.granted(hold.hold));
        let granted = asked.deadline.map_or(granted, |by| granted.min(by.remaining()));
        let mut wait = self.hub.wait(hold.channels.iter()).since(hold.since).hold(granted);
        if let Some(key) = hold.key {
            wait = wait.supersede_by(key);
        }
        let mut held = self.held(wait, asked.version);
        held.applied = applied;
        if is_grpc {
            // A message is one event.
            held.is_grpc = true;
            held.wait.set_max_events(1);
        } else if let Some(reply) = hold.reply {
            held.answer_by(reply);
        }
        held
    }

    pub(super) fn granted(&self, wanted: Option<Duration>) -> Duration {
        wanted.unwrap_or(self.hold).min(self.max_hold).min(self.hub.max_hold())
    }

    fn held(self: &Arc<Self>, wait: Wait, version: Version) -> Held {
        let (settings, reply) = (Arc::clone(self), Reply::Raw);
        let (pause, applied, is_grpc) = (None, None, false);
        let mut held = Held { pause, wait, settings, reply, is_grpc, version, applied };
        held.answer_by(self.replies.reply);
        held
    }

    /// A little less than `hold`, so that polls that began together do not end together.
    pub(super) fn jittered(&self, hold: Duration) -> Duration {
        let percent = u64::from(self.jitter_percent.min(100));
        let millis = u64::try_from(hold.as_millis()).unwrap_or(u64::MAX);
        let cut = random::up_to(millis / 100 * percent + millis % 100 * percent / 100);
        hold.saturating_sub(Duration::from_millis(cut))
    }
}

/// An unread body would keep the server from noticing that the client has left.
pub(super) fn unread_body() -> Invalid {
    Invalid::new("body", "a poll has no body")
}

pub(super) fn has_body(headers: &HeaderMap) -> bool {
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
        let waited = ready!(self.poll_waited(cx));
        task::Poll::Ready(self.answer(waited))
    }

    /// The outcome, for one who answers some of them otherwise.
    pub(super) fn poll_waited(&mut self, cx: &mut Context<'_>) -> task::Poll<Waited> {
        if let Some(pause) = &mut self.pause {
            let paused = ready!(Future::poll(Pin::new(&mut pause.wait), cx));
            let cursor = self.settings.hub.cursor().unmoved(pause.since);
            self.pause = None;
            match paused {
                Waited::Refused { reason, .. } => {
                    return task::Poll::Ready(Waited::Refused { reason, cursor });
                }
                Waited::Drained { .. } => return task::Poll::Ready(Waited::Drained { cursor }),
                Waited::Superseded { .. } => {
                    return task::Poll::Ready(Waited::Superseded { cursor });
                }
                _ => {}
            }
        }
        Future::poll(Pin::new(&mut self.wait), cx)
    }

    pub(super) fn retry_after(&self) -> u64 {
        self.settings.replies.retry_after
    }

    pub(super) fn answer(&self, waited: Waited) -> Response<ReplyBody> {
        let held = !matches!(waited, Waited::Refused { .. });
        let mut response = self.settings.replies.waited(waited, self.reply, self.version);
        if held {
            self.acknowledge(response.headers_mut());
        }
        response
    }

    /// Says that the client's preference for a hold was applied, if it was.
    pub(super) fn acknowledge(&self, headers: &mut HeaderMap) {
        headers.extend(self.applied.map(Applied::field));
    }
}
