//! What the subjects that are written by hand have in common: a map of rooms, one for each channel,
//! and a ring of a room's last events.

use std::{collections::VecDeque, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::time::{error::Elapsed, timeout};

use super::subject::Subject;

/// A channel.
pub(crate) trait Room: Send + Sync + 'static {
    const NAME: &'static str;

    /// Without events. It is to keep so many.
    fn keeping(events: usize) -> Self;

    /// The next event after a cursor. A poll without one has seen all that there is.
    fn next(self: Arc<Self>, since: Option<u64>) -> impl Future<Output = Answer> + Send + 'static;

    /// Keeps an event as one of the last `kept`, and returns its number.
    fn publish(&self, payload: Bytes, kept: usize) -> u64;
}

/// Rooms are never taken out: to do that when the last poll leaves, and to lose no event between, is
/// hard to get right, so most who write this have a sweep now and then. It is not measured.
pub(crate) struct Rooms<R> {
    rooms: Arc<DashMap<String, Arc<R>>>,
    kept: usize,
}

impl<R> Clone for Rooms<R> {
    fn clone(&self) -> Self {
        Self { rooms: Arc::clone(&self.rooms), kept: self.kept }
    }
}

impl<R: Room> Rooms<R> {
    fn room(&self, name: &str) -> Arc<R> {
        if let Some(room) = self.rooms.get(name) {
            return Arc::clone(&room);
        }
        let room = self.rooms.entry(name.to_owned());
        Arc::clone(&room.or_insert_with(|| Arc::new(R::keeping(self.kept))))
    }
}

impl<R: Room> Subject for Rooms<R> {
    const NAME: &'static str = R::NAME;
    type Name = String;
    type Cursor = u64;
    type Ask = (Arc<R>, Option<u64>);
    type Output = Result<Answer, Elapsed>;

    fn keeping(events: usize) -> Self {
        Self { rooms: Arc::default(), kept: events }
    }

    fn name(text: &str) -> String {
        text.to_owned()
    }

    fn ask(&self, name: &String, since: Option<u64>) -> Self::Ask {
        (self.room(name), since)
    }

    fn wait(
        (room, since): Self::Ask,
        hold: Duration,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        timeout(hold, room.next(since))
    }

    fn publish(&self, name: &String, payload: Bytes) -> u64 {
        self.room(name).publish(payload, self.kept)
    }

    fn event(output: &Self::Output) -> (u64, &Bytes) {
        let answer = output.as_ref().expect("not answered in time");
        assert!(!answer.gap, "a gap");
        (answer.number, &answer.payload)
    }
}

/// The answer to a poll: the next event after its cursor. The event's number is the next cursor.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) number: u64,
    pub(crate) payload: Bytes,
    /// Events between the cursor and this one are gone.
    pub(crate) gap: bool,
}

/// The last events of a channel, numbered from 1 on.
#[derive(Default)]
pub(crate) struct History {
    last: u64,
    events: VecDeque<(u64, Bytes)>,
}

impl History {
    /// Adds an event to those that are kept. Whoever holds the lock drops what is returned after
    /// unlock.
    pub(crate) fn push(&mut self, payload: Bytes, kept: usize) -> (u64, Option<(u64, Bytes)>) {
        let oldest = if self.events.len() < kept { None } else { self.events.pop_front() };
        self.last += 1;
        self.events.push_back((self.last, payload));
        (self.last, oldest)
    }

    /// The next event after `seen`, which is set for a poll without a cursor.
    pub(crate) fn next(&self, seen: &mut Option<u64>) -> Option<Answer> {
        let seen = *seen.get_or_insert(self.last);
        let &(first, _) = self.events.front()?;
        let wanted = first.max(seen + 1);
        let (number, payload) = self.events.get((wanted - first) as usize)?;
        Some(Answer { number: *number, payload: payload.clone(), gap: wanted > seen + 1 })
    }
}
