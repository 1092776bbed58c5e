//! Responses that their handlers want held.

use std::{sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, Response,
    header::{
        ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH,
        CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
        TRANSFER_ENCODING,
    },
};
use http_body::Body;

use super::{
    body::{ReplyBody, ResponseBody},
    endpoint::Held,
    reply::{CURSOR, Reply, close, cursor_value},
};
use crate::{channel::Channel, cursor::Since, outcome::Waited};

/// Asks the layer to hold a response: put into its extensions by a handler that has looked (at who
/// asks, and at what there is) and has nothing new to tell yet.
///
/// The layer parks the response and lets go of the handler. If the hold runs out the response goes
/// out as it is, with a cursor. If an event comes first, its reply takes the response's place and
/// keeps those of its header fields that do not describe its body. A poll that is refused, or whose
/// channel is deleted, is answered as by the layer's own routes.
///
/// A handler closes the race between looking and waiting by taking the position *before* it looks:
///
/// ```
/// # use tower_longpoll::{Channel, Hub, http::Hold};
/// # fn unread() -> usize { 0 }
/// fn inbox(hub: &Hub, channel: &Channel) -> http::Response<String> {
///     let cursor = hub.cursor(); // after `unread()`, an event in between would be missed
///     let mut response = http::Response::new(format!("{} unread", unread()));
///     if unread() == 0 {
///         response.extensions_mut().insert(Hold::new([channel]).since(cursor));
///     }
///     response
/// }
/// ```
///
/// A response is held only if its body says that it has at most [`Hold::MAX_BODY_BYTES`]; any other
/// goes out at once.
#[derive(Clone, Debug)]
pub struct Hold {
    pub(super) channels: Arc<[Channel]>,
    pub(super) since: Since,
    pub(super) hold: Option<Duration>,
    pub(super) reply: Option<Reply>,
}

impl Hold {
    /// The largest body that is held: 64 KiB.
    pub const MAX_BODY_BYTES: u64 = 64 * 1024;

    /// Holds a response until an event is published on one of these channels. Without
    /// [`Hold::since`], only what comes after the handler has returned counts.
    pub fn new<C>(channels: C) -> Self
    where
        C: IntoIterator<Item: Into<Channel>>,
    {
        let channels = channels.into_iter().map(Into::into).collect();
        Self { channels, since: Since::Now, hold: None, reply: None }
    }

    /// The position before the handler looked, or the client's.
    #[must_use]
    pub fn since(mut self, since: impl Into<Since>) -> Self {
        self.since = since.into();
        self
    }

    /// How long, at most; limited by the layer's `max_hold`. Default: the layer's `hold`.
    #[must_use]
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = Some(hold);
        self
    }

    /// How events are answered. Default: the layer's `reply`.
    #[must_use]
    pub fn reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }
}

/// Takes the wish to be held out of a response, if it can be granted.
pub(super) fn wish<B: Body>(response: &mut Response<B>) -> Option<Hold> {
    let wish = response.extensions_mut().remove::<Hold>()?;
    let size = response.body().size_hint().upper();
    size.is_some_and(|size| size <= Hold::MAX_BODY_BYTES).then_some(wish)
}

/// What goes out in the end.
pub(super) fn answer<B>(
    held: &Held,
    waited: &Waited,
    own: Response<B>,
) -> Response<ResponseBody<B>> {
    match waited {
        Waited::TimedOut { cursor } | Waited::Drained { cursor } => {
            let mut response = own.map(ResponseBody::inner);
            response.headers_mut().insert(CURSOR, cursor_value(*cursor));
            if matches!(waited, Waited::Drained { .. }) {
                close(response.headers_mut(), held.version);
            }
            response
        }
        _ => in_place_of(own, held.answer(waited)),
    }
}

/// Header fields that describe the body that is not sent.
const OF_THE_BODY: [HeaderName; 13] = [
    ACCEPT_RANGES,
    AGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_TYPE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    TRANSFER_ENCODING,
];

fn in_place_of<B>(own: Response<B>, reply: Response<ReplyBody>) -> Response<ResponseBody<B>> {
    let mut response = reply.map(ResponseBody::reply);
    let mut kept: HeaderMap = own.into_parts().0.headers;
    for name in OF_THE_BODY {
        kept.remove(name);
    }
    // The reply's own fields replace those of the same name.
    for name in response.headers().keys() {
        kept.remove(name);
    }
    response.headers_mut().extend(kept);
    response
}
