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
    #[cfg_attr(not(feature = "json"), allow(dead_code, reason = "the raw reply has one chunk"))]
    Many(vec::IntoIter<Bytes>),
}

impl ReplyBody {
    #[cfg(feature = "json")]
    pub(super) fn of(chunks: Vec<Bytes>) -> Self {
        let remaining = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks: Chunks::Many(chunks.into_iter()), remaining }
    }

    fn next(&mut self) -> Option<Bytes> {
        let chunk = match &mut self.chunks {
            Chunks::None => None,
            Chunks::One(chunk) => Some(std::mem::take(chunk)),
            Chunks::Many(chunks) => chunks.next(),
        };
        if !matches!(self.chunks, Chunks::Many(_)) {
            self.chunks = Chunks::None;
        }
        self.remaining -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
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
