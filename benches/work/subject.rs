//! What is asked of everyone who is measured.

use std::{fmt::Debug, future::Future, time::Duration};

use bytes::Bytes;

/// How long a poll may stay parked unless its end is what is measured. No run takes as long.
pub(crate) const HOLD: Duration = Duration::from_secs(600);

/// The events that a channel keeps.
pub(crate) const HISTORY: usize = 16;

const PAYLOAD: [u8; 128] = [b'x'; 128];

/// Channels with a history, on which polls with a cursor wait. A clone is another handle.
pub(crate) trait Subject: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    /// A channel's name as an application holds it once it knows its route.
    type Name: Clone + Send + Sync + 'static;
    type Cursor: Copy + PartialEq + Debug + Send + Sync + 'static;
    /// A poll whose channel was looked up.
    type Ask: Send + 'static;
    type Output: Send + 'static;

    fn new() -> Self {
        Self::keeping(HISTORY)
    }

    /// Each channel keeps this many events.
    fn keeping(events: usize) -> Self;

    fn name(text: &str) -> Self::Name;

    fn ask(&self, name: &Self::Name, since: Option<Self::Cursor>) -> Self::Ask;

    /// The future of a poll, as it would be awaited in a handler. It ends after `hold` at the latest.
    fn wait(ask: Self::Ask, hold: Duration) -> impl Future<Output = Self::Output> + Send + 'static;

    fn publish(&self, name: &Self::Name, payload: Bytes) -> Self::Cursor;

    /// The position and the payload of the one event that a poll was answered with. Panics if it was
    /// answered otherwise, or if there is a gap.
    fn event(output: &Self::Output) -> (Self::Cursor, &Bytes);
}

/// [`wait`] of one subject, for those who keep futures whose type has no name.
pub(crate) type Make<S, F> = fn(&S, &<S as Subject>::Name, Option<<S as Subject>::Cursor>) -> F;

/// A poll of a channel.
pub(crate) fn wait<S: Subject>(
    subject: &S,
    name: &S::Name,
    since: Option<S::Cursor>,
) -> impl Future<Output = S::Output> + Send + 'static + use<S> {
    S::wait(subject.ask(name, since), HOLD)
}

/// A poll without a cursor that is to end by itself.
pub(crate) fn wait_for<S: Subject>(
    subject: &S,
    name: &S::Name,
    hold: Duration,
) -> impl Future<Output = S::Output> + Send + 'static + use<S> {
    S::wait(subject.ask(name, None), hold)
}

/// Panics unless a poll was answered with the event that was published at `position`.
pub(crate) fn check<S: Subject>(output: &S::Output, position: S::Cursor) {
    let (cursor, payload) = S::event(output);
    assert_eq!(cursor, position, "{} answered with another event", S::NAME);
    assert_eq!(payload.len(), PAYLOAD.len());
}

/// What is published: each event is an allocation of its own, the same for all subjects, and making it
/// is measured with the publish. So it is in life. Clones of one `Bytes` would be hot in the cache,
/// their count too, and hide what it costs to evict an event that was published long ago.
pub(crate) fn payload() -> Bytes {
    Bytes::copy_from_slice(&PAYLOAD)
}

/// As many names as asked, 16 bytes each.
pub(crate) fn names<S: Subject>(prefix: &str, count: usize) -> Vec<S::Name> {
    (0..count).map(|place| S::name(&format!("{prefix:>8}{place:08}"))).collect()
}

/// All places below `count` in an order that no cache foresees, the same in every run.
pub(crate) fn shuffled(count: usize) -> Vec<usize> {
    let mut places: Vec<_> = (0..count).collect();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..count).rev() {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        places.swap(last, (random % (last as u64 + 1)) as usize);
    }
    places
}
