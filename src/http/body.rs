//! The bodies of answers.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

#[cfg(feature = "json")]
use super::json::{Answer, Written};
use super::{ahead::Ahead, grpc};

/// The body of an answer to a poll or a publish: complete, and of known length. Payloads in it are
/// shared with the history, not copied, unless they are small. [`Reply`](super::Reply) has an
/// example.
#[derive(Default)]
pub struct ReplyBody {
    chunks: Chunks,
    remaining: u64,
    /// Whether a gRPC status, which is success, is still to come.
    ends_in_status: bool,
}

#[derive(Default)]
enum Chunks {
    #[default]
    None,
    One(Bytes),
    Many(vec::IntoIter<Bytes>),
    /// Not written before it can be sent.
    #[cfg(feature = "json")]
    Json(Answer),
}

impl ReplyBody {
    #[cfg(feature = "json")]
    pub(super) fn json(answer: Answer) -> Self {
        let remaining = answer.len();
        Self { chunks: Chunks::Json(answer), remaining, ends_in_status: false }
    }

    /// A gRPC message, and its status.
    pub(super) fn grpc(payload: Bytes) -> Self {
        let remaining = grpc::PREFIX_BYTES as u64 + payload.len() as u64;
        let chunks = vec![grpc::prefix(&payload), payload];
        Self { chunks: Chunks::Many(chunks.into_iter()), remaining, ends_in_status: true }
    }

    fn next_frame(&mut self) -> Option<Frame<Bytes>> {
        if let Some(chunk) = self.next() {
            return Some(Frame::data(chunk));
        }
        let is_due = std::mem::take(&mut self.ends_in_status);
        is_due.then(|| Frame::trailers(grpc::success()))
    }

    fn next(&mut self) -> Option<Bytes> {
        let chunk = match std::mem::take(&mut self.chunks) {
            Chunks::None => None,
            Chunks::One(chunk) => Some(chunk),
            Chunks::Many(chunks) => self.next_of(chunks),
            #[cfg(feature = "json")]
            Chunks::Json(answer) => match answer.write(self.remaining) {
                Written::Copied(chunk) => Some(chunk),
                Written::Shared(chunks) => self.next_of(chunks.into_iter()),
            },
        };
        self.remaining -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        chunk
    }

    fn next_of(&mut self, mut chunks: vec::IntoIter<Bytes>) -> Option<Bytes> {
        let chunk = chunks.next();
        self.chunks = Chunks::Many(chunks);
        chunk
    }
}

impl From<Bytes> for ReplyBody {
    fn from(bytes: Bytes) -> Self {
        let remaining = bytes.len() as u64;
        let chunks = if bytes.is_empty() { Chunks::None } else { Chunks::One(bytes) };
        Self { chunks, remaining, ends_in_status: false }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next_frame().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0 && !self.ends_in_status
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.remaining);
        // A length is not announced where trailers follow.
        if !self.ends_in_status {
            hint.set_upper(self.remaining);
        }
        hint
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response that has passed [`LongPoll`](super::LongPoll): the inner service's,
    /// or the answer to a poll. [`LongPollLayer`](super::LongPollLayer) has an example.
    pub struct ResponseBody<B: Body> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B: Body> {
        Inner { #[pin] body: B },
        Read { body: Ahead<B> },
        Reply { body: ReplyBody },
    }
}

impl<B: Body> ResponseBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    /// The inner service's, of which some was read ahead.
    pub(super) fn read(body: Ahead<B>) -> Self {
        Self { kind: Kind::Read { body } }
    }

    pub(super) fn reply(body: ReplyBody) -> Self {
        Self { kind: Kind::Reply { body } }
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Inner { body } => body.poll_frame(cx),
            KindProjection::Read { body } => body.poll_frame(cx),
            KindProjection::Reply { body } => Poll::Ready(body.next_frame().map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Read { body } => body.is_end_stream(),
            Kind::Reply { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Read { body } => body.size_hint(),
            Kind::Reply { body } => body.size_hint(),
        }
    }
}
