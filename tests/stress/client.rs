//! A client that goes on from the cursor of each answer.

use std::{
    future::{Future, poll_fn},
    pin::pin,
};

use tower_longpoll::{Cursor, Entry, Refused, Wait};

use super::*;

/// A hold that outlasts every round: only a wake ends it.
const FOR_EVER: Duration = Duration::from_secs(3_000);

pub(super) struct Client<'a> {
    hub: &'a Hub,
    channels: Vec<Channel>,
    random: Random,
    key: Option<String>,
    story: Story,
    log: Log,
}

/// What a client was told.
pub(super) struct Story {
    /// The numbers of its channels.
    pub(super) channels: Vec<usize>,
    /// Where it began.
    pub(super) start: Cursor,
    /// Each answer: from where it went on, to where, with a gap or not, and with which events.
    pub(super) answers: Vec<Answer>,
}

pub(super) struct Answer {
    pub(super) from: Cursor,
    pub(super) to: Cursor,
    pub(super) gap: bool,
    pub(super) events: Vec<(Cursor, String)>,
}

impl<'a> Client<'a> {
    pub(super) fn new(hub: &'a Hub, all: &[Channel], mut random: Random) -> Self {
        let mut numbers: Vec<_> = (0..=random.below(6)).map(|_| random.below(all.len())).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let channels = numbers.iter().map(|&number| all[number].clone()).collect();
        // Some share a key, and so end each other's waits.
        let key = (random.below(3) == 0).then(|| format!("key {}", random.below(9)));
        let start = hub.cursor();
        let story = Story { channels: numbers, start, answers: Vec::new() };
        Self { hub, channels, random, key, story, log: Log::default() }
    }

    /// Polls until all is over; then once more, to the end.
    pub(super) async fn live(mut self, done: &AtomicBool) -> Log {
        let mut cursor = self.story.start;
        loop {
            let over = done.load(Ordering::SeqCst);
            let hold = match self.random.below(2) {
                _ if over => Duration::ZERO,
                0 => FOR_EVER,
                _ => MS * self.random.below(5) as u32,
            };
            let wait = self.hub.wait(&self.channels).since(cursor).hold(hold);
            let wait = match &self.key {
                Some(key) if !over => wait.supersede_by(key),
                _ => wait,
            };
            if !over && self.random.below(8) == 0 {
                self.leave(wait).await;
                continue;
            }
            let mut wait = pin!(wait);
            let begun = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
            if begun.is_pending() && !over && done.load(Ordering::SeqCst) {
                // What would let it know may have come before it was parked.
                self.log.dropped += 1;
                continue;
            }
            let waited = match begun {
                Poll::Ready(waited) => waited,
                Poll::Pending => wait.await,
            };
            self.log.ended(&waited);
            let (gap, events) = match &waited {
                Waited::Events(batch) => (batch.gap(), told(batch)),
                _ => (false, Vec::new()),
            };
            let to = waited.cursor();
            self.story.answers.push(Answer { from: cursor, to, gap, events });
            cursor = to;
            match waited {
                Waited::TimedOut { .. } if over => break,
                Waited::Drained { .. } | Waited::Refused { reason: Refused::Draining, .. } => break,
                Waited::Refused { reason, .. } => panic!("refused: {reason}"),
                _ => tokio::task::yield_now().await,
            }
        }
        self.log.stories.push(self.story);
        self.log
    }

    /// A poll whose client goes without having read the answer, if there is one.
    async fn leave(&mut self, wait: Wait) {
        let mut wait = task::spawn(wait);
        match wait.poll() {
            Poll::Ready(waited) => self.log.ended(&waited),
            Poll::Pending => {
                tokio::task::yield_now().await;
                self.log.dropped += 1;
            }
        }
    }
}

fn told(batch: &tower_longpoll::Batch) -> Vec<(Cursor, String)> {
    batch.iter().map(Entry::cursor).zip(texts(batch)).collect()
}
