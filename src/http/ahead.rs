//! Bodies of which some has been read ahead.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body; first what has been read of it, then the rest.
pub(super) struct Ahead<B: Body> {
    read: VecDeque<Frame<Bytes>>,
    bytes: u64,
    /// How the body has ended, once it has: after what was read.
    end: Option<Result<(), B::Error>>,
    /// Boxed, since it was polled and may have to go on somewhere else.
    rest: Pin<Box<B>>,
}

impl<B: Body<Data = Bytes>> Ahead<B> {
    pub(super) fn new(body: B) -> Self {
        Self { read: VecDeque::new(), bytes: 0, end: None, rest: Box::pin(body) }
    }

    /// Reads to the end, if that comes within `max` bytes. True if all of the body is here now.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, max: u64) -> Poll<bool> {
        while self.end.is_none() {
            match ready!(self.rest.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.bytes += data_bytes(&frame);
                    self.read.push_back(frame);
                    if self.bytes > max {
                        return Poll::Ready(false);
                    }
                }
                Some(Err(error)) => self.end = Some(Err(error)),
                None => self.end = Some(Ok(())),
            }
        }
        Poll::Ready(matches!(self.end, Some(Ok(()))))
    }

    /// What has been read.
    #[cfg(feature = "etag")]
    pub(super) fn data(&self) -> impl Iterator<Item = &Bytes> {
        self.read.iter().filter_map(Frame::data_ref)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.read.pop_front() {
            self.bytes -= data_bytes(&frame);
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut self.end {
            None => self.rest.as_mut().poll_frame(cx),
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).err().map(Err)),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.read.is_empty()
            && match &self.end {
                None => self.rest.is_end_stream(),
                Some(end) => end.is_ok(),
            }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let rest = match self.end {
            None => self.rest.size_hint(),
            Some(Ok(())) => SizeHint::with_exact(0),
            Some(Err(_)) => SizeHint::new(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(self.bytes));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(self.bytes)) {
            hint.set_upper(upper);
        }
        hint
    }
}

fn data_bytes(frame: &Frame<Bytes>) -> u64 {
    frame.data_ref().map_or(0, |data| data.len() as u64)
}
