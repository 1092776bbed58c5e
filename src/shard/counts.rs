//! What a shard counts.

/// What has happened in a shard since it was made.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) delivered: u64,
    pub(crate) timed_out: u64,
    pub(crate) gaps: u64,
    pub(crate) deleted: u64,
    pub(crate) touched: u64,
    pub(crate) superseded: u64,
    pub(crate) drained: u64,
    pub(crate) refused: u64,
    pub(crate) dropped: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.timed_out += other.timed_out;
        self.gaps += other.gaps;
        self.deleted += other.deleted;
        self.touched += other.touched;
        self.superseded += other.superseded;
        self.drained += other.drained;
        self.refused += other.refused;
        self.dropped += other.dropped;
    }

    /// In the order of [`Readings`](crate::trace::Readings).
    pub(super) fn totals(&self) -> [u64; 10] {
        [
            self.published,
            self.delivered,
            self.timed_out,
            self.gaps,
            self.deleted,
            self.touched,
            self.superseded,
            self.drained,
            self.refused,
            self.dropped,
        ]
    }
}

/// What a shard holds now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Holds {
    pub(crate) waits: usize,
    pub(crate) channels: usize,
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Holds {
    pub(crate) fn add(&mut self, other: Self) {
        self.waits += other.waits;
        self.channels += other.channels;
        self.events += other.events;
        self.bytes += other.bytes;
    }

    /// In the order of [`Readings`](crate::trace::Readings).
    pub(super) fn levels(&self) -> [u64; 4] {
        [self.waits, self.channels, self.events, self.bytes].map(|level| level as u64)
    }
}
