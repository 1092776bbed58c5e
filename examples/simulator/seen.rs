//! What one client has seen of its channel, told from the sequence numbers of the events.

use std::collections::BTreeSet;

/// How it compares with what was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    /// Never came, and nobody said so.
    pub(crate) lost: u64,
    /// Never came, but an answer said that there was a gap.
    pub(crate) told: u64,
    /// Came more than once.
    pub(crate) duplicate: u64,
    /// Came after a later one.
    pub(crate) reordered: u64,
    /// Answers that said that there was a gap.
    pub(crate) gaps: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.received += other.received;
        self.lost += other.lost;
        self.told += other.told;
        self.duplicate += other.duplicate;
        self.reordered += other.reordered;
        self.gaps += other.gaps;
    }
}

/// The events of a channel are numbered from one on, without holes.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    counts: Counts,
    /// The first that has to come: what was sent before the client had a position may, too.
    due: u64,
    first: Option<u64>,
    /// After the highest that came.
    next: u64,
    missing: BTreeSet<u64>,
    /// A gap was told of since the last event.
    is_excused: bool,
}

impl Seen {
    /// The client has a position; so far, events up to `sent` were on their way.
    pub(crate) fn begin(&mut self, sent: u64) {
        self.due = sent + 1;
        self.next = sent + 1;
    }

    pub(crate) fn gap(&mut self) {
        self.counts.gaps += 1;
        self.is_excused = true;
    }

    /// An event, when those up to `last` were sent. False if it is none of them: it does not count,
    /// since all before it would be missing.
    pub(crate) fn event(&mut self, number: u64, last: u64) -> bool {
        if !(1..=last).contains(&number) {
            return false;
        }
        self.counts.received += 1;
        let first = *self.first.get_or_insert(number);
        if number == first && self.counts.received == 1 && number < self.next {
            // Sent before the client had its position, and stored after.
            self.next = number;
        }
        if number >= self.next {
            self.skip_to(number);
            self.next = number + 1;
        } else if self.missing.remove(&number) || number < first {
            self.counts.reordered += 1;
        } else {
            self.counts.duplicate += 1;
        }
        self.is_excused = false;
        true
    }

    /// What is missing once everything was asked for: up to `last`, but for the events of which the
    /// publisher does not know whether they were stored.
    pub(crate) fn finish(mut self, last: u64, is_uncertain: impl Fn(u64) -> bool) -> Counts {
        if self.due > 0 {
            self.skip_to(last + 1);
            self.missing.retain(|&number| number >= self.due && !is_uncertain(number));
            self.counts.lost = self.missing.len() as u64;
        }
        self.counts
    }

    fn skip_to(&mut self, number: u64) {
        if self.is_excused {
            self.counts.told += number.saturating_sub(self.next);
        } else {
            self.missing.extend(self.next..number);
        }
    }
}
