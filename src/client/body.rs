//! Reading the body of an answer.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::{StatusCode, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

use super::timer::Timer;

pin_project! {
    /// An answer whose body is under way.
    pub(super) struct Reading<RB> {
        pub(super) head: Parts,
        #[pin]
        body: RB,
        read: Vec<u8>,
        max_bytes: usize,
    }
}

/// How a body ended.
pub(super) enum End {
    Whole,
    CutOff,
    TooLarge,
    /// It brought nothing for as long as the margin, or is that of an error and took longer.
    Late,
}

/// The most that is read of an answer without events.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// A body may have frames without data at any time, and without end: after so many in one go others
/// have their turn.
const MAX_IDLE_FRAMES: u32 = 32;

impl<RB> Reading<RB> {
    pub(super) fn new(head: Parts, body: RB, max_bytes: usize) -> Self {
        let max_bytes = if is_success(head.status) { max_bytes } else { MAX_ERROR_BYTES };
        Self { head, body, read: Vec::new(), max_bytes }
    }
}

impl<RB: Body> Reading<RB> {
    /// The whole answer. One without events may be incomplete: its head says enough.
    pub(super) fn poll(
        self: Pin<&mut Self>,
        timer: &mut Timer,
        margin: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<(End, Vec<u8>)> {
        let mut this = self.project();
        let room = |read: &Vec<u8>| this.max_bytes.saturating_sub(read.len());
        let mut idle = 0;
        let end = loop {
            if this.body.size_hint().lower() > room(this.read) as u64 {
                break End::TooLarge;
            }
            match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(None) => break End::Whole,
                Poll::Ready(Some(Err(_))) => break End::CutOff,
                Poll::Ready(Some(Ok(frame))) => {
                    let data = frame.into_data().ok();
                    let Some(mut data) = data.filter(Buf::has_remaining) else {
                        if timer.poll(cx).is_ready() {
                            break End::Late;
                        }
                        idle += 1;
                        if idle < MAX_IDLE_FRAMES {
                            continue;
                        }
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    };
                    if data.remaining() > room(this.read) {
                        break End::TooLarge;
                    }
                    while data.has_remaining() {
                        let chunk = data.chunk();
                        this.read.extend_from_slice(chunk);
                        let length = chunk.len();
                        data.advance(length);
                    }
                    // The text of an error is not worth more time: the head is there.
                    if is_success(this.head.status) {
                        timer.set(margin);
                    }
                }
                Poll::Pending if timer.poll(cx).is_ready() => break End::Late,
                Poll::Pending => return Poll::Pending,
            }
        };
        let end = if is_success(this.head.status) { end } else { End::Whole };
        Poll::Ready((end, std::mem::take(this.read)))
    }
}

fn is_success(status: StatusCode) -> bool {
    status.is_success()
}
