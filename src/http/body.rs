//! The bodies of answers.

#[cfg(feature = "json")]
use std::vec;
use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

#[cfg(feature = "json")]
use super::json::Answer;

/// The body of an answer to a poll or a publish: complete, and of known length. Payloads in it are
/// shared with the history, not copied, unless they are small.
#[derive(Default)]
pub struct ReplyBody {
    chunks: Chunks,
    remaining: u64,
}

#[derive(Default)]
enum Chunks {
    #[default]
    None,
    One(Bytes),
    #[cfg(feature = "json")]
    Many(vec::IntoIter<Bytes>),
    /// Not written before it can be sent.
    #[cfg(feature = "json")]
    Json(Answer),
}

impl ReplyBody {
    #[cfg(feature = "json")]
    pub(super) fn json(answer: Answer) -> Self {
        let remaining = answer.len();
        Self { chunks: Chunks::Json(answer), remaining }
    }

    fn next(&mut self) -> Option<Bytes> {
        let chunk = match std::mem::take(&mut self.chunks) {
            Chunks::None => None,
            Chunks::One(chunk) => Some(chunk),
            #[cfg(feature = "json")]
            Chunks::Many(chunks) => self.next_of(chunks),
            #[cfg(feature = "json")]
            Chunks::Json(answer) => self.next_of(answer.write().into_iter()),
        };
        self.remaining -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        chunk
    }

    #[cfg(feature = "json")]
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
        Self { chunks, remaining }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

impl fmt::Debug for ReplyBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response that has passed [`LongPoll`](super::LongPoll): the inner service's,
    /// or the answer to a poll.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    #[derive(Debug)]
    enum Kind<B> {
        Inner { #[pin] body: B },
        Reply { body: ReplyBody },
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn inner(body: B) -> Self {
        Self { kind: Kind::Inner { body } }
    }

    pub(super) fn reply(body: ReplyBody) -> Self {
        Self { kind: Kind::Reply { body } }
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
            KindProjection::Reply { body } => {
                Poll::Ready(body.next().map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body } => body.is_end_stream(),
            Kind::Reply { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body } => body.size_hint(),
            Kind::Reply { body } => body.size_hint(),
        }
    }
}
