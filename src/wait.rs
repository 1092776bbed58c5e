//! Waiting for events: once, or again and again.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;

use crate::{
    cursor::{Cursor, Since},
    driver::{self, Now},
    outcome::{Refused, Waited},
    registry::{Ask, Common, Parts},
    trace::{Begin, Moment, Observed, Outcome},
};

/// A poll of one or more channels, from [`Hub::wait`](crate::Hub::wait).
///
/// Nothing happens before it is first polled: then it is answered from the history if that has
/// anything for it, else it is registered, and its hold begins. Dropping it at any moment frees all
/// that it held; events that it was woken for but did not return stay in the history.
/// One that is never dropped ([`std::mem::forget`]) counts against the limits for as long as the hub
/// lives.
///
/// Its outcome is a [`Waited`]. An event that is ready wins a tie against the deadline. Once it has
/// returned its outcome it is pending for ever. Once its hub drains every new one is refused at once: a
/// loop over waits has to end then, or to pause, or it keeps its thread for ever.
///
/// A hold runs out only on a tokio runtime with its time driver enabled; elsewhere a wait ends by
/// events alone.
///
/// ```
/// use std::time::Duration;
/// use tower_longpoll::{Channel, Hub, Waited};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (hub, news) = (Hub::new(), Channel::new("news")?);
/// let cursor = hub.cursor();
/// hub.publish(&news, "one")?;
/// hub.publish(&news, "two")?;
/// let wait = hub.wait([&news]).since(cursor).hold(Duration::from_secs(20)).max_events(1);
/// let Waited::Events(batch) = wait.await else { panic!() };
/// assert_eq!(batch.len(), 1); // the next one waits since `batch.cursor()`
/// # Ok(())
/// # }
/// ```
#[must_use = "a wait does nothing unless it is polled"]
pub struct Wait {
    /// Or why it cannot be registered, and the hub's cursor when that was found out.
    parts: Result<Parts, (Refused, Cursor)>,
    /// Where it goes on, unless it reads from now on or from the oldest event.
    cursor: Option<Cursor>,
    /// In nanoseconds: a [`Duration`] takes twice as many bytes.
    hold: u64,
    max_events: u32,
    from_oldest: bool,
    state: State,
    observed: Observed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not registered.
    New,
    /// Registered. Left by returning the outcome, or by `drop`, which both free the records.
    Parked,
    /// The outcome was returned.
    Ended,
}

impl State {
    /// To be noted before anything foreign is called, which a span is that is left: if that panics, the
    /// records of the wait are freed all the same, and once.
    fn after(is_ended: bool) -> Self {
        if is_ended { Self::Ended } else { Self::Parked }
    }
}

impl Wait {
    pub(crate) fn new(
        parts: Result<Parts, (Refused, Cursor)>,
        hold: Duration,
        max_events: usize,
    ) -> Self {
        let max_events = max_events.try_into().unwrap_or(u32::MAX);
        let (hold, observed) = (driver::nanos(hold), Observed::default());
        let (cursor, from_oldest, state) = (None, false, State::New);
        Self { parts, cursor, hold, max_events, from_oldest, state, observed }
    }

    /// Reads from a [`Cursor`] on, or from [`Since::Oldest`]. Default: [`Since::Now`].
    ///
    /// No effect once the wait was polled.
    pub fn since(mut self, since: impl Into<Since>) -> Self {
        if self.state == State::New {
            (self.cursor, self.from_oldest) = match since.into() {
                Since::Cursor(cursor) => (Some(cursor), false),
                since => (None, since == Since::Oldest),
            };
        }
        self
    }

    fn from(&self) -> Since {
        match self.cursor {
            Some(cursor) => Since::Cursor(cursor),
            None if self.from_oldest => Since::Oldest,
            None => Since::Now,
        }
    }

    /// How long the wait may stay parked, from its first poll on; zero to be answered at once.
    /// Default: the hub's `hold`. More than the hub's `max_hold` counts as `max_hold`.
    ///
    /// No effect once the wait was polled.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = driver::nanos(hold);
        self
    }

    /// The most events in one batch; zero counts as one. Default: the hub's `max_batch_events`, which
    /// is no limit to this; `max_batch_bytes` is.
    pub fn max_events(mut self, max: usize) -> Self {
        self.set_max_events(max);
        self
    }

    /// Ends older waits of the hub with the same key, when this one is first polled and not refused:
    /// of two that race exactly one stays. They end as [`Waited::Superseded`]. Default: none. A
    /// wait has one key, the last that was set; one that is longer than a channel name may be is
    /// refused. Until its future is polled, or dropped, an older wait counts against the limits
    /// beside the newer.
    ///
    /// A key stands for one client, such as a tab of a browser: two that share a key, and poll again
    /// as soon as they are superseded, end each other without pause. No effect once the wait was
    /// polled.
    pub fn supersede_by(mut self, key: impl AsRef<str>) -> Self {
        if let (State::New, Ok(parts)) = (self.state, &mut self.parts) {
            if let Err(reason) = parts.set_key(key.as_ref()) {
                let common = parts.common();
                common.count_refused(reason);
                self.parts = Err((reason, common.present()));
            }
        }
        self
    }

    /// Lets the wait go, of a client that is still there.
    pub(crate) fn cancel(&mut self) {
        self.leave(false);
    }

    fn leave(&mut self, is_counted: bool) {
        if let (State::Parked, Ok(parts)) = (self.state, &mut self.parts) {
            let entered = self.observed.enter();
            parts.abandon(is_counted);
            self.state = State::Ended;
            drop(entered);
            let outcome = || Outcome::plain(if is_counted { "dropped" } else { "let_go" });
            self.observed.end(outcome, || moment(&self.parts));
        }
    }

    pub(crate) fn set_max_events(&mut self, max: usize) {
        self.max_events = max.clamp(1, u32::MAX as usize) as u32;
    }

    /// Makes a wait that has ended a new one of the same channels.
    fn renew(&mut self, since: Cursor) {
        self.state = State::New;
        self.cursor = Some(since);
        if let Ok(parts) = &mut self.parts {
            // Its hold may have run out while it was ahead of its hub, which may be here by now.
            parts.go_on();
        }
    }
}

impl Future for Wait {
    type Output = Waited;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Waited> {
        let wait = &mut *self;
        let since = wait.from();
        let max_events = wait.max_events as usize;
        let ended = match (wait.state, &mut wait.parts) {
            (State::Ended, _) => None,
            (_, Err((reason, now))) => {
                let hold = Duration::from_nanos(wait.hold);
                wait.observed.begin(|| Begin { channels: None, hold });
                Some(Waited::Refused { reason: *reason, cursor: now.unmoved(since) })
            }
            (State::New, Ok(parts)) => {
                let now = Now::of(parts.common());
                let hold = wait.hold.min(driver::nanos(parts.common().config.max_hold));
                let deadline = (hold > 0).then(|| now.after_nanos(hold));
                let ask = Ask { since, deadline, max_events, was_parked: false };
                let begin =
                    || Begin { channels: Some(parts.channels()), hold: Duration::from_nanos(hold) };
                wait.observed.begin(begin);
                let entered = wait.observed.enter();
                let ended = parts.start(&ask, cx.waker(), now.tick());
                wait.state = State::after(ended.is_some());
                drop(entered);
                if let (None, Some(deadline)) = (&ended, deadline) {
                    wait.observed.park(|| now.moment());
                    driver::watch(parts.common(), deadline);
                } else {
                    driver::mind(parts.common());
                }
                ended
            }
            (State::Parked, Ok(parts)) => {
                let was_ahead = parts.waits_for_hub();
                let tick = |common: &Common| Now::of(common).tick();
                let entered = wait.observed.enter();
                let ended = parts.resume(since, max_events, cx.waker(), tick);
                wait.state = State::after(ended.is_some());
                drop(entered);
                if ended.is_none() {
                    // It may have moved here from a runtime that is gone.
                    driver::ensure(parts.common());
                    if was_ahead {
                        // Its deadline was out of all shards for a moment, and is in another now.
                        parts.common().alarm.ring();
                    }
                }
                ended
            }
        };
        ended.map_or(Poll::Pending, |ended| {
            wait.state = State::Ended;
            wait.observed.end(|| ended.outcome(), || moment(&wait.parts));
            Poll::Ready(ended)
        })
    }
}

/// The present, for those who observe.
fn moment(parts: &Result<Parts, (Refused, Cursor)>) -> Option<Moment> {
    parts.as_ref().ok().map(|parts| Now::of(parts.common()).moment())
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.leave(true);
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Wait");
        out.field("state", &self.state)
            .field("since", &self.from())
            .field("hold", &Duration::from_nanos(self.hold))
            .finish()
    }
}

/// The events of one or more channels as they come, from [`Hub::events`](crate::Hub::events).
///
/// For clients that can take a stream (server-sent events, WebSockets). The items are
/// [`Waited::Events`], then at most one other outcome: the channel was deleted, the hub drains, or
/// the stream was refused. It goes on after a touch, and never yields [`Waited::TimedOut`].
///
/// ```
/// use std::time::Duration;
/// use futures_util::StreamExt;
/// use tower_longpoll::{Channel, Hub, Waited};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (hub, news) = (Hub::new(), Channel::new("news")?);
/// let mut events = hub.events([&news], hub.cursor());
/// hub.publish(&news, "hello")?;
/// let Some(Waited::Events(batch)) = events.next().await else { panic!() };
/// assert_eq!(events.cursor(), Some(batch.cursor()));
///
/// hub.drain(Duration::ZERO);
/// assert!(matches!(events.next().await, Some(Waited::Refused { .. })));
/// assert!(events.next().await.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events {
    wait: Wait,
    cursor: Option<Cursor>,
}

/// A quiet stream's position moves on this often, so that it does not fall behind what is held.
const REFRESH: Duration = Duration::from_secs(25);

impl Events {
    pub(crate) fn new(wait: Wait) -> Self {
        Self { wait: wait.hold(REFRESH), cursor: None }
    }

    /// The position up to which the stream has been read; none before it was first polled and then
    /// only until the first event, or the first 25 seconds, have passed. Worth sending to the
    /// client with a heartbeat.
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }
}

impl Stream for Events {
    type Item = Waited;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Waited>> {
        let stream = &mut *self;
        loop {
            if stream.wait.state == State::Ended {
                return Poll::Ready(None);
            }
            let waited = ready!(Pin::new(&mut stream.wait).poll(cx));
            stream.cursor = Some(waited.cursor());
            match waited {
                Waited::TimedOut { cursor } | Waited::Touched { cursor } => {
                    stream.wait.renew(cursor);
                }
                Waited::Events(batch) => {
                    stream.wait.renew(batch.cursor());
                    return Poll::Ready(Some(Waited::Events(batch)));
                }
                other => return Poll::Ready(Some(other)),
            }
        }
    }
}

#[cfg(all(test, not(loom), target_pointer_width = "64"))]
mod tests {
    use std::mem::size_of;

    use super::*;

    /// A parked poll has one of these for as long as it is held, beside its record in the shard.
    #[test]
    fn a_wait_has_no_more_bytes_than_it_needs() {
        // The shard (8), the channel's name and its hash (24), and where its record is (8).
        assert!(size_of::<Parts>() <= 40, "{}", size_of::<Parts>());
        // These or the reason and the cursor of a refusal (48), where it goes on (17), its hold (8), the
        // most events of a batch (4) and how far it is (1).
        let observed = size_of::<Observed>(); // Nothing, if nobody does.
        assert!(size_of::<Wait>() <= 80 + observed, "{}", size_of::<Wait>());
    }
}
