//! Positions in what a hub has published.
//!
//! The text form is `1` (the version) followed by the URL-safe base64, without padding, of the
//! epoch (8 bytes, big-endian) and the sequence number (big-endian, without leading zero bytes).
//! Each cursor has exactly one text form; other version characters are kept for positions of
//! another shape.

use std::{fmt, num::NonZeroU64, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// A position in what a hub has published; clients hand it back to go on where they stopped.
///
/// One cursor serves any set of channels of its hub. Its text form ([`Display`](fmt::Display),
/// [`FromStr`]) is short, safe in URLs and header fields, and opaque: nothing but a hub can tell
/// what lies before or after it. It is neither a secret nor a permission; it reveals how many
/// events its hub has published.
///
/// A cursor belongs to one incarnation of one hub. Any other hub, the same program after a restart
/// included, answers it with a gap.
///
/// ```
/// use tower_longpoll::{Cursor, Hub};
///
/// let cursor = Hub::new().cursor();
/// assert_eq!(cursor.to_string().parse(), Ok(cursor));
/// assert!("not a cursor".parse::<Cursor>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor {
    epoch: NonZeroU64,
    sequence: u64,
}

const VERSION: u8 = b'1';
const EPOCH_BYTES: usize = 8;
const RAW_BYTES: usize = EPOCH_BYTES + 8;
/// The version, then four characters for every three bytes begun.
const TEXT_BYTES: usize = 1 + (RAW_BYTES * 4).div_ceil(3);

impl Cursor {
    pub(crate) fn new(epoch: NonZeroU64, sequence: u64) -> Self {
        Self { epoch, sequence }
    }

    pub(crate) fn epoch(self) -> NonZeroU64 {
        self.epoch
    }

    pub(crate) fn sequence(self) -> u64 {
        self.sequence
    }

    /// The position of a client that asked since `since`, now that the hub is at `self`, and was
    /// told nothing.
    pub(crate) fn unmoved(self, since: Since) -> Self {
        match since {
            Since::Now => self,
            Since::Oldest => Self { sequence: 0, ..self },
            Since::Cursor(cursor) => cursor,
        }
    }

    /// Calls `with` with the text form, which never needs the heap.
    pub(crate) fn with_text<R>(self, with: impl FnOnce(&str) -> R) -> R {
        let mut raw = [0; RAW_BYTES];
        let skipped = self.sequence.leading_zeros() as usize / 8;
        let bytes = self.epoch.get().to_be_bytes().into_iter();
        let bytes = bytes.chain(self.sequence.to_be_bytes().into_iter().skip(skipped));
        raw.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);

        let mut text = [VERSION; TEXT_BYTES];
        let used = raw.get(..RAW_BYTES - skipped).unwrap_or(&raw);
        let written = text.get_mut(1..).and_then(|to| URL_SAFE_NO_PAD.encode_slice(used, to).ok());
        let written = written.expect("TEXT_BYTES holds the longest cursor");
        let text = text.get(..=written).and_then(|text| std::str::from_utf8(text).ok());
        with(text.expect("base64 is ASCII"))
    }

    fn from_text(text: &str) -> Option<Self> {
        let (&version, encoded) = text.as_bytes().split_first()?;
        if version != VERSION || text.len() > TEXT_BYTES {
            return None;
        }
        // The decoder asks for room by the length of its input, which may be one group more.
        let mut raw = [0; RAW_BYTES + 2];
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut raw).ok()?;
        let (epoch, sequence) = raw.get(..length)?.split_at_checked(EPOCH_BYTES)?;
        if sequence.first() == Some(&0) || sequence.len() > 8 {
            return None;
        }
        Some(Self {
            epoch: NonZeroU64::new(u64::from_be_bytes(epoch.try_into().ok()?))?,
            sequence: sequence.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.pad(text))
    }
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({:016x}, {})", self.epoch, self.sequence)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        Self::from_text(text).ok_or(CursorError)
    }
}

/// A text that is not a cursor.
///
/// [`Cursor`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a cursor of this server")
    }
}

impl std::error::Error for CursorError {}

/// Where a poll starts to read.
///
/// ```
/// # use tower_longpoll::{Hub, Since};
/// let cursor = Hub::new().cursor();
/// assert_eq!(Since::from(Some(cursor)), Since::Cursor(cursor));
/// assert_eq!(Since::from(None), Since::Now);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Since {
    /// Only what is published after the poll was first looked at. The default.
    #[default]
    Now,
    /// All that is still held. The answer has no gap, for nothing was promised before; if it was cut
    /// short at a limit, the next ones may report events that were gone already. A hole in what is held,
    /// which a log can leave that has let events go, is told.
    Oldest,
    /// All after this position.
    Cursor(Cursor),
}

impl From<Cursor> for Since {
    fn from(cursor: Cursor) -> Self {
        Self::Cursor(cursor)
    }
}

impl From<Option<Cursor>> for Since {
    fn from(cursor: Option<Cursor>) -> Self {
        cursor.map_or(Self::Now, Self::Cursor)
    }
}

#[cfg(test)]
mod tests;
