//! What the subjects that are written by hand have in common: a ring of a channel's last events.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::error::Elapsed;

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

    /// The next event after `seen`. A poll without a cursor has seen all that there is.
    pub(crate) fn next(&self, seen: &mut Option<u64>) -> Option<Answer> {
        let seen = *seen.get_or_insert(self.last);
        let &(first, _) = self.events.front()?;
        let wanted = first.max(seen + 1);
        let (number, payload) = self.events.get((wanted - first) as usize)?;
        Some(Answer { number: *number, payload: payload.clone(), gap: wanted > seen + 1 })
    }
}

/// See [`Subject::event`](super::Subject::event).
pub(crate) fn event(output: &Result<Answer, Elapsed>) -> (u64, &Bytes) {
    let answer = output.as_ref().expect("not answered in time");
    assert!(!answer.gap, "a gap");
    (answer.number, &answer.payload)
}
