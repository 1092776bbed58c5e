//! The ids of a stream's entries, and the numbers that stand for them.

use super::RedisError;

/// An id of Redis: the milliseconds of its clock, and a number among the entries of that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    pub(super) millis: u64,
    pub(super) number: u64,
}

const NUMBER_BITS: u32 = 16;
const MOST: u64 = (1 << NUMBER_BITS) - 1;
const LATEST: u64 = (1 << (u64::BITS - NUMBER_BITS)) - 1;

impl StreamId {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (millis, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, number: number.parse().ok()? })
    }

    pub(super) fn of(sequence: u64) -> Self {
        Self { millis: sequence >> NUMBER_BITS, number: sequence & MOST }
    }

    /// The number of an entry that this driver appended.
    pub(super) fn sequence(self) -> Result<u64, RedisError> {
        if self.number > MOST {
            return Err(RedisError::Id { id: self.to_string() });
        }
        self.passing()
    }

    /// The number of an entry that does nothing, and may share it with others.
    pub(super) fn passing(self) -> Result<u64, RedisError> {
        if self.millis > LATEST {
            return Err(RedisError::Id { id: self.to_string() });
        }
        Ok(self.millis << NUMBER_BITS | self.number.min(MOST))
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn ids_become_numbers_in_the_same_order_and_back() {
        let ids = ["0-0", "0-1", "0-65535", "1-0", "1790000000000-7", "281474976710655-65535"];
        let ids = ids.map(|id| StreamId::parse(id.as_bytes()).unwrap());
        let numbers = ids.map(|id| id.sequence().unwrap());
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        assert_eq!(numbers.map(StreamId::of), ids);
        assert_eq!((numbers[0], numbers[5]), (0, u64::MAX));
    }

    #[test]
    fn ids_that_do_not_fit_are_errors_that_say_so() {
        for id in ["0-65536", "281474976710656-0", "18446744073709551615-18446744073709551615"] {
            let error = StreamId::parse(id.as_bytes()).unwrap().sequence().unwrap_err();
            assert!(error.to_string().contains(id), "{error}");
        }
        for text in ["", "1", "1-", "-1", "1-2-3", "a-b", "18446744073709551616-0"] {
            assert_eq!(StreamId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn foreign_ids_are_passed_even_if_they_share_a_number() {
        let id = StreamId { millis: 1, number: 70_000 };
        assert_eq!(id.passing().unwrap(), StreamId { number: MOST, ..id }.sequence().unwrap());
        assert!(StreamId { millis: LATEST + 1, number: 0 }.passing().is_err());
    }
}
