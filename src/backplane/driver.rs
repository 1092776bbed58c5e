//! What a log has to be able to do.

use std::{error::Error, future::Future, num::NonZeroU64, time::Duration};

use crate::change::Change;
pub(super) use crate::change::{EntryId, Position};

/// What a log takes longer for has failed: nobody may have to wait for ever.
pub(super) const LIMIT: Duration = Duration::from_secs(30);

/// An ordered log that several hubs follow, such as a stream of a message broker.
///
/// One value serves one hub: it appends what is published there, and reads what was appended
/// anywhere. Every reader gets all entries in the same order.
pub trait Driver: Send + Sync + 'static {
    /// What can go wrong. It is told to people only.
    type Error: Error + Send + Sync + 'static;
    /// Reads the log.
    type Reader: Reader<Error = Self::Error>;

    /// Opens the log, and makes it if there is none. Readers begin after the entry of number
    /// `after`, or with the oldest entry if it is none or of another epoch.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, is not able to do what is needed, or is set up in a way that
    /// contradicts `retention`.
    fn open(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> impl Future<Output = Result<Opened<Self::Reader>, Self::Error>> + Send;

    /// Appends an entry, and returns its place once it is stored. Entries with the same id are
    /// stored once, and each append of it returns the same place, at least for
    /// [`Retention::DUPLICATES`].
    ///
    /// # Errors
    ///
    /// If it is not known that the entry is stored. It may be nevertheless; trying again with the
    /// same id is safe.
    fn append(
        &self,
        id: &EntryId,
        change: &Change,
    ) -> impl Future<Output = Result<Position, Self::Error>> + Send;
}

/// Reads a log, one portion after the other.
pub trait Reader: Send + 'static {
    /// What can go wrong. It is told to people only.
    type Error: Error + Send + Sync + 'static;

    /// Waits for entries. Dropping the future loses none.
    ///
    /// # Errors
    ///
    /// If the log cannot be read any more. It is then opened again.
    fn next(&mut self) -> impl Future<Output = Result<Portion, Self::Error>> + Send;

    /// About how many entries there were to read when the log was opened. If it does not know, the
    /// numbers say it, which is right where they have no holes. Default: none.
    fn behind(&self) -> Option<u64> {
        None
    }
}

/// A log that was opened.
#[derive(Debug)]
pub struct Opened<R> {
    /// Which log it is.
    pub epoch: NonZeroU64,
    /// The number up to which entries may be gone, whatever their channels; zero if none are.
    pub floor: u64,
    /// The number of the last entry that was ever appended; zero if there was none.
    pub last: u64,
    /// Reads it.
    pub reader: R,
}

/// Entries, in order.
#[derive(Debug, Default)]
pub struct Portion {
    /// The number up to which entries may be gone that this reader has not read; zero if none are.
    /// It goes before the entries.
    pub floor: u64,
    /// What was read.
    pub entries: Vec<Entry>,
    /// How many more entries the log has, as far as the reader knows.
    pub behind: u64,
}

/// An entry of a log.
#[derive(Debug)]
pub struct Entry {
    /// Its number.
    pub sequence: u64,
    /// How long ago it was stored.
    pub age: Duration,
    /// What it does; none if it was not written by a driver of this crate, or of a later version of it.
    pub change: Option<Change>,
}

/// How long a log should keep its entries, from the settings of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retention {
    /// The hub's `history_age`.
    pub age: Duration,
    /// The hub's `total_history_bytes`.
    pub bytes: usize,
    /// The hub's `history_events` and one more, if the log can limit the entries of one channel: a
    /// hub that begins with the log lets one of so many go by itself, and so knows that there were
    /// older ones.
    pub events_per_channel: usize,
    /// The hub's `max_payload_bytes`.
    pub payload_bytes: usize,
}

impl Retention {
    /// How long a log remembers the ids of entries at least.
    pub const DUPLICATES: Duration = Duration::from_secs(120);
}
