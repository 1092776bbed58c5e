//! Who polls in the models, and keeps account of what it is told.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::{Wake, Waker},
};

use super::*;
use crate::outcome::Batch;

/// A waker that counts its calls. No step of a model: the count is read when all is over.
#[derive(Default)]
pub(super) struct Bell(AtomicUsize);

impl Bell {
    pub(super) fn rung(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A client that hands back each answer's cursor.
pub(super) struct Client {
    parts: Parts,
    max_events: usize,
    is_parked: bool,
    bell: Arc<Bell>,
    cursor: Cursor,
    events: Vec<(u64, String)>,
    gaps: usize,
}

impl Client {
    /// A client that has seen all up to the registry's present position.
    pub(super) fn new<const N: usize>(registry: &Registry, channels: [&Channel; N]) -> Self {
        Self {
            parts: registry.parts(channels).unwrap_or_else(|refused| panic!("{refused}")),
            max_events: 10,
            is_parked: false,
            bell: Arc::default(),
            cursor: registry.common.present(),
            events: Vec::new(),
            gaps: 0,
        }
    }

    /// Has it come from elsewhere, where it has seen all up to here.
    pub(super) fn move_to(&mut self, cursor: Cursor) {
        self.cursor = cursor;
    }

    /// A client that takes one event an answer.
    pub(super) fn one_by_one(self) -> Self {
        Self { max_events: 1, ..self }
    }

    /// Polls from its cursor on, at tick 0.
    pub(super) fn start(&mut self, deadline: u64) -> Option<Waited> {
        self.start_at(0, deadline, self.cursor)
    }

    pub(super) fn start_at(
        &mut self,
        now: u64,
        deadline: impl Into<Option<u64>>,
        since: impl Into<Since>,
    ) -> Option<Waited> {
        assert!(!self.is_parked);
        let (since, deadline) = (since.into(), deadline.into());
        let ask = Ask { since, deadline, max_events: self.max_events, was_parked: false };
        let waited = self.parts.start(&ask, &Waker::from(Arc::clone(&self.bell)), now);
        self.is_parked = waited.is_none();
        waited
    }

    pub(super) fn resume(&mut self) -> Option<Waited> {
        assert!(self.is_parked);
        let waker = Waker::from(Arc::clone(&self.bell));
        let waited = self.parts.resume(self.cursor.into(), self.max_events, &waker, |_| 0);
        self.is_parked = waited.is_none();
        waited
    }

    /// Leaves while it is parked.
    pub(super) fn abandon(&mut self) {
        if std::mem::take(&mut self.is_parked) {
            self.parts.abandon(true);
        }
    }

    /// Polls once, and again if that parked it; takes note of the answer if there was one.
    pub(super) fn poll_twice(&mut self, deadline: u64) {
        if let Some(waited) = self.start(deadline).or_else(|| self.resume()) {
            self.hear(&waited);
        }
    }

    /// Takes the answer that a parked poll must have by now, since it was woken.
    pub(super) fn wake_up(&mut self) -> Waited {
        assert!(self.rung() > 0, "who has an answer is woken");
        self.resume().expect("who is woken has an answer")
    }

    /// Goes on until there is nothing more to be told.
    pub(super) fn catch_up(&mut self) {
        if self.is_parked {
            let waited = self.wake_up();
            self.hear(&waited);
        }
        while let Some(Waited::Events(batch)) = self.start_at(0, None, self.cursor) {
            self.hear(&Waited::Events(batch));
        }
    }

    /// Takes note of an answer.
    pub(super) fn hear(&mut self, waited: &Waited) {
        let before = self.cursor.sequence();
        if let Waited::Events(batch) = waited {
            let Batch { cursor, gap, .. } = batch;
            assert!(*gap || !batch.is_empty(), "an answer says something");
            self.gaps += usize::from(*gap);
            for entry in batch {
                let number = entry.cursor().sequence();
                assert!((before + 1..=cursor.sequence()).contains(&number), "cursors are exact");
                let text = std::str::from_utf8(entry.payload()).unwrap();
                self.events.push((number, text.to_owned()));
            }
        }
        self.cursor = waited.cursor();
        assert!(before <= self.cursor.sequence(), "a cursor does not go back");
    }

    /// Hears `waited` and returns the client's account.
    pub(super) fn heard(&mut self, waited: &Waited) -> Vec<(u64, &str)> {
        self.hear(waited);
        self.told()
    }

    /// All events so far, by number and text, in the order in which they came.
    pub(super) fn told(&self) -> Vec<(u64, &str)> {
        self.events.iter().map(|(number, text)| (*number, text.as_str())).collect()
    }

    /// How often it was told that it had missed events.
    pub(super) fn gaps(&self) -> usize {
        self.gaps
    }

    pub(super) fn common(&self) -> &Common {
        self.parts.common()
    }

    pub(super) fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// How often it was woken, since its bell was last changed.
    pub(super) fn rung(&self) -> usize {
        self.bell.rung()
    }

    /// Comes with another waker from now on.
    pub(super) fn change_bell(&mut self) -> Arc<Bell> {
        std::mem::take(&mut self.bell)
    }
}
