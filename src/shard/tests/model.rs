//! What a shard does, told naively.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
};

use super::*;

/// An event that was published at any time.
pub(super) struct Sent {
    pub(super) name: usize,
    pub(super) sequence: u64,
    pub(super) expires: u64,
    pub(super) weight: usize,
    pub(super) is_gone: bool,
}

pub(super) struct Wait {
    pub(super) name: usize,
    /// None if the lead stands elsewhere.
    pub(super) deadline: Option<u64>,
    pub(super) is_draining: bool,
    pub(super) registered: u64,
    pub(super) state: State,
    /// Where the shard has it.
    pub(super) key: u32,
    pub(super) bell: Arc<Bell>,
}

/// Waits to be ended, from before a sequence number.
pub(super) struct Broadcast {
    pub(super) name: usize,
    pub(super) before: u64,
    pub(super) state: State,
}

/// All that ever happened, searched from end to end for every answer.
#[derive(Default)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) sequence: u64,
    pub(super) sent: Vec<Sent>,
    /// In the order in which they registered.
    pub(super) waits: Vec<Wait>,
    pub(super) broadcasts: Vec<Broadcast>,
    /// Whether a gap may have been told of that was not the client's own.
    pub(super) forgot_early: bool,
}

/// A waker that counts its calls.
#[derive(Default)]
pub(super) struct Bell(AtomicUsize);

impl Bell {
    pub(super) fn rung(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Model {
    pub(super) fn held(&self, name: usize) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(move |sent| sent.name == name && !sent.is_gone)
    }

    /// Lets the oldest events of a channel go for as long as `enough` says no.
    pub(super) fn let_go(&mut self, name: usize, enough: impl Fn(&[&Sent]) -> bool) {
        loop {
            let held: Vec<_> = self.held(name).collect();
            if held.is_empty() || enough(&held) {
                return;
            }
            let oldest = held[0].sequence;
            let oldest = self.sent.iter_mut().find(|sent| sent.sequence == oldest);
            oldest.unwrap().is_gone = true;
        }
    }

    pub(super) fn expire(&mut self, name: usize) {
        let now = self.now;
        self.let_go(name, |held| now < held[0].expires);
    }

    pub(super) fn publish(&mut self, name: usize, expires: u64, weight: usize) {
        self.sequence += 1;
        let (sequence, is_gone) = (self.sequence, false);
        self.sent.push(Sent { name, sequence, expires, weight, is_gone });
        self.let_go(name, |held| {
            let weight: usize = held.iter().map(|sent| sent.weight).sum();
            held.len() == 1 || held.len() <= BOUNDS.events && weight <= BOUNDS.bytes
        });
    }

    /// Ends a batch of waits; true if there are more.
    pub(super) fn end(&mut self, Broadcast { name, before, state }: &Broadcast) -> bool {
        let is_meant = |wait: &&mut Wait| {
            wait.name == *name && wait.state == State::Parked && wait.registered < *before
        };
        let mut meant: Vec<_> = self.waits.iter_mut().filter(is_meant).collect();
        meant.iter_mut().take(BATCH).for_each(|wait| wait.state = *state);
        meant.len() > BATCH
    }

    pub(super) fn turn(&mut self) {
        for wait in &mut self.waits {
            if wait.state == State::Parked && wait.deadline.is_some_and(|due| due <= self.now) {
                wait.state = if wait.is_draining { State::Drained } else { State::Expired };
            }
        }
        (0..NAMES.len()).for_each(|name| self.expire(name));
    }

    pub(super) fn is_there(&self, name: usize) -> bool {
        self.held(name).next().is_some() || self.waits.iter().any(|wait| wait.name == name)
    }

    pub(super) fn holds(&self) -> Holds {
        let held = || self.sent.iter().filter(|sent| !sent.is_gone);
        Holds {
            waits: self.waits.iter().filter(|wait| wait.deadline.is_some()).count(),
            channels: (0..NAMES.len()).filter(|&name| self.is_there(name)).count(),
            events: held().count(),
            bytes: held().map(|sent| sent.weight).sum(),
        }
    }

    /// Whether a client that has seen all up to `since` has missed an event of the channel.
    pub(super) fn has_missed(&self, name: usize, since: u64) -> bool {
        let missed = |sent: &Sent| sent.name == name && sent.is_gone && since < sent.sequence;
        self.sent.iter().any(missed)
    }

    /// Whether something was published after `since` that is too old by now, on any channel: then
    /// the shard need not know any more what the client has missed.
    pub(super) fn is_old(&self, since: u64) -> bool {
        self.sent.iter().any(|sent| since < sent.sequence && sent.expires <= self.now)
    }
}
