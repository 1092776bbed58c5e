//! Responses that their handlers want held.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response,
    header::{
        ACCEPT_RANGES, AGE, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
        CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, CONTENT_TYPE, ETAG, EXPIRES, Entry,
        LAST_MODIFIED, TRAILER, TRANSFER_ENCODING, VARY,
    },
};
use http_body::Body;

use super::{
    ahead::Ahead,
    body::{ReplyBody, ResponseBody},
    endpoint::Held,
    grpc,
    poll::Wish,
    reply::{Reply, close, mark},
};
use crate::{channel::Channel, cursor::Since, outcome::Waited};

/// Asks the layer to hold a response: put into its extensions by a handler that has looked (at who
/// asks, and at what there is) and has nothing new to tell yet.
///
/// The layer parks the response and lets go of the handler. If the hold runs out the response goes
/// out as it is, with a cursor, and for its sake with `cache-control: no-store`, or if it says
/// otherwise with a `vary` that names the cursor. If an event comes first, its reply takes the
/// response's place and keeps those of its header fields that do not describe its body, and none of
/// its extensions. A poll that is refused, or whose channel is deleted, is answered as by the
/// layer's own routes.
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
/// A response is held only if its body says that it has at most [`Hold::MAX_BODY_BYTES`], or has a
/// `content-encoding`, and so many can be read at once; any other goes out at once, and so does that
/// to a `HEAD`. A `GET` that announces a body is refused with 400; a handler of other methods should
/// read the body before it has its response held, or the server does not notice when the client
/// leaves.
#[derive(Clone, Debug)]
pub struct Hold {
    pub(super) channels: Arc<[Channel]>,
    pub(super) since: Since,
    pub(super) hold: Option<Duration>,
    pub(super) reply: Option<Reply>,
    pub(super) key: Option<String>,
    pub(super) wish: Option<Wish>,
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
        Self { channels, since: Since::Now, hold: None, reply: None, key: None, wish: None }
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

    /// What the client asks for goes before what [`Hold::since`] and [`Hold::hold`] have said so far:
    /// its cursor, if it has one, and how long it is willing to wait, if it says.
    #[must_use]
    pub fn poll(mut self, poll: &super::Poll) -> Self {
        if poll.since() != Since::Now {
            self.since = poll.since();
        }
        self.hold = poll.wait().or(self.hold);
        self.wish = poll.wish.or(self.wish);
        self
    }

    /// How events are answered. Default: the layer's `reply`. No matter for gRPC.
    #[must_use]
    pub fn reply(mut self, reply: Reply) -> Self {
        self.reply = Some(reply);
        self
    }

    /// Ends older polls with the same key, as [`Wait::supersede_by`](crate::Wait::supersede_by):
    /// their own responses go out. Default: none.
    #[must_use]
    pub fn supersede_by(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// A response, and how it is to be held, if it is.
pub(super) struct Wished<B: Body> {
    pub(super) response: Response<ResponseBody<B>>,
    pub(super) wish: Option<Hold>,
    pub(super) is_grpc: bool,
}

/// Takes the wish to be held out of a response, if it can be granted.
pub(super) fn wish<B>(mut response: Response<B>, cx: &mut Context<'_>) -> Wished<B>
where
    B: Body<Data = Bytes>,
{
    let mut wish = response.extensions_mut().remove::<Hold>();
    let is_grpc = wish.is_some() && grpc::is_grpc(response.headers());
    let is_encoded = wish.is_some() && response.headers().contains_key(CONTENT_ENCODING);
    let size = response.body().size_hint().upper();
    if !is_grpc && (size.is_some() || !is_encoded) {
        let wish = wish.filter(|_| size.is_some_and(|size| size <= Hold::MAX_BODY_BYTES));
        return Wished { response: response.map(ResponseBody::inner), wish, is_grpc };
    }
    // Messages are encoded as they are sent, and so is what a layer inside compresses: only what has
    // been read is known to be small, and a message to have gone well.
    let (head, body) = response.into_parts();
    let mut body = Ahead::new(body);
    let is_whole = body.poll_read(cx, Hold::MAX_BODY_BYTES) == Poll::Ready(true);
    if is_whole && (!is_grpc || grpc::is_success(&head.headers, body.trailers())) {
        body.shrink();
    } else {
        wish = None;
    }
    Wished { response: Response::from_parts(head, ResponseBody::read(body)), wish, is_grpc }
}

/// What goes out in the end.
pub(super) fn answer<B: Body>(
    held: &Held,
    waited: Waited,
    mut own: Response<ResponseBody<B>>,
) -> Response<ResponseBody<B>> {
    let reply = if held.is_grpc {
        grpc::answer(&waited, own.headers(), held.retry_after()).ok_or(waited)
    } else {
        match waited {
            Waited::TimedOut { .. }
            | Waited::Touched { .. }
            | Waited::Superseded { .. }
            | Waited::Drained { .. } => Err(waited),
            Waited::Events(_) | Waited::Deleted { .. } | Waited::Refused { .. } => {
                Ok(held.answer(waited))
            }
        }
    };
    let waited = match reply {
        Ok(reply) => return in_place_of(own, reply).map(ResponseBody::reply),
        Err(waited) => waited,
    };
    mark(own.headers_mut(), &waited);
    keep_from_caches(own.headers_mut());
    held.acknowledge(own.headers_mut());
    if let Waited::Drained { .. } = waited {
        close(own.headers_mut(), held.version);
    }
    own
}

/// Keeps shared caches from handing a client's cursor to another one, which may have seen less.
fn keep_from_caches(headers: &mut HeaderMap) {
    match headers.entry(CACHE_CONTROL) {
        Entry::Vacant(place) => _ = place.insert(HeaderValue::from_static("no-store")),
        // The handler knows better; a cursor in the query is a part of what caches go by.
        Entry::Occupied(_) => {
            headers.append(VARY, HeaderValue::from_static("longpoll-cursor, prefer"));
        }
    }
}

/// Header fields that describe a body, and make no sense without it.
pub(super) const OF_THE_BODY: [HeaderName; 8] = [
    ACCEPT_RANGES,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    LAST_MODIFIED,
    TRANSFER_ENCODING,
];

/// Header fields that describe a body, of which a response without one may say what it would be.
const OF_THE_CONTENT: [HeaderName; 6] = [
    CONTENT_DISPOSITION,
    // RFC 1864.
    HeaderName::from_static("content-md5"),
    // RFC 9530, and what it takes the place of.
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    TRAILER,
];

/// Header fields that say which state of a resource a response shows, and for how long.
const OF_THE_STATE: [HeaderName; 5] = [AGE, CACHE_CONTROL, CONTENT_LOCATION, ETAG, EXPIRES];

/// A reply with those of the header fields of a response that still make sense.
pub(super) fn in_place_of<B>(
    own: Response<B>,
    mut reply: Response<ReplyBody>,
) -> Response<ReplyBody> {
    let mut kept: HeaderMap = own.into_parts().0.headers;
    for name in OF_THE_BODY.into_iter().chain(OF_THE_CONTENT).chain(OF_THE_STATE) {
        kept.remove(name);
    }
    // The reply's own fields replace those of the same name.
    for name in reply.headers().keys() {
        kept.remove(name);
    }
    reply.headers_mut().extend(kept);
    reply
}
