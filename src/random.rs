//! Numbers that nobody can foresee, from the keys that the standard library makes for its maps.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

/// A random number, for spreading things and telling them apart; not for secrets.
pub(crate) fn number() -> u64 {
    RandomState::new().hash_one(())
}

/// A random number from zero to `max`, both included.
pub(crate) fn up_to(max: u64) -> u64 {
    // The bias towards low numbers is at most `max` in 2^64.
    max.checked_add(1).map_or_else(number, |range| number() % range)
}
