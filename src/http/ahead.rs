//! Bodies of which some has been read ahead.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// A body; first what has been read of it, then the rest.
pub(super) struct Ahead<B: Body> {
    read: VecDeque<Frame<Bytes>>,
    bytes: u64,
    /// How the body has ended, once it has: after what was read.
    end: Option<Result<(), B::Error>>,
    /// Until it has ended. Boxed, since it was polled and may have to go on somewhere else.
    rest: Option<Pin<Box<B>>>,
}

/// More frames than this are not read ahead, however small they are.
const MAX_FRAMES: usize = 1_024;

impl<B: Body<Data = Bytes>> Ahead<B> {
    pub(super) fn new(body: B) -> Self {
        Self { read: VecDeque::new(), bytes: 0, end: None, rest: Some(Box::pin(body)) }
    }

    /// Reads to the end, if that comes within `max` bytes. True if all of the body is here now.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, max: u64) -> Poll<bool> {
        while let Some(rest) = &mut self.rest {
            if self.bytes > max || self.read.len() > MAX_FRAMES {
                return Poll::Ready(false);
            }
            match ready!(rest.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.bytes += data_bytes(&frame);
                    self.read.push_back(frame);
                }
                Some(Err(error)) => self.end(Err(error)),
                None => self.end(Ok(())),
            }
        }
        Poll::Ready(matches!(self.end, Some(Ok(()))) && self.bytes <= max)
    }

    fn end(&mut self, end: Result<(), B::Error>) {
        self.end = Some(end);
        self.rest = None;
    }

    /// Copies what has been read: its parts may keep buffers that are far larger.
    pub(super) fn shrink(&mut self) {
        for frame in &mut self.read {
            if let Some(data) = frame.data_mut() {
                *data = Bytes::copy_from_slice(data);
            }
        }
        self.read.shrink_to_fit();
    }

    /// The trailers, if they have been read.
    pub(super) fn trailers(&self) -> Option<&HeaderMap> {
        self.read.iter().find_map(Frame::trailers_ref)
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
        match &mut self.rest {
            Some(rest) => rest.as_mut().poll_frame(cx),
            None => Poll::Ready(self.end.take().and_then(Result::err).map(Err)),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let rest_has_ended = match &self.rest {
            Some(rest) => rest.is_end_stream(),
            None => !matches!(self.end, Some(Err(_))),
        };
        self.read.is_empty() && rest_has_ended
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let rest = match &self.rest {
            Some(rest) => rest.size_hint(),
            // A length is not announced where trailers follow, nor where an error does.
            None if self.trailers().is_some() => SizeHint::new(),
            None if matches!(self.end, Some(Err(_))) => SizeHint::new(),
            None => SizeHint::with_exact(0),
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
