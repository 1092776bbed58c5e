//! What was received and not handed out yet, and how far the consumer is.

use std::vec;

use super::{
    answer::Answer,
    received::{Received, ReceivedEvent},
};

/// Invariant: what comes after `cursor` is what was not handed out yet.
#[derive(Default)]
pub(super) struct Progress {
    cursor: Option<String>,
    gap: bool,
    events: vec::IntoIter<ReceivedEvent>,
    /// Where the last answer ends, until all of it was handed out.
    end: Option<String>,
}

impl Progress {
    pub(super) fn new(since: Option<String>) -> Self {
        Self { cursor: since, ..Self::default() }
    }

    pub(super) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Takes an answer, unless it is one that was taken already: its events would come twice.
    pub(super) fn accept(&mut self, answer: Answer) -> Result<(), Repeated> {
        if !answer.events.is_empty() && self.cursor.as_ref() == Some(&answer.cursor) {
            return Err(Repeated);
        }
        if answer.events.is_empty() {
            self.cursor = Some(answer.cursor);
        } else {
            self.end = Some(answer.cursor);
        }
        self.gap = answer.gap;
        self.events = answer.events.into_iter();
        Ok(())
    }

    /// What comes next.
    pub(super) fn next(&mut self) -> Option<Received> {
        if std::mem::take(&mut self.gap) {
            // All that is left stands in the answer: without a cursor, it is what `oldest` finds.
            let cursor = self.cursor.clone().unwrap_or_else(|| "oldest".into());
            return Some(Received::Gap { cursor });
        }
        let event = self.events.next()?;
        let end = if self.events.len() == 0 { self.end.take() } else { None };
        self.cursor = Some(end.unwrap_or_else(|| event.cursor.clone()));
        Some(Received::Event(event))
    }
}

/// An answer that was given before, by a cache perhaps.
pub(super) struct Repeated;
