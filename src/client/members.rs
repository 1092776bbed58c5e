//! The members of a JSON object that are looked at.

use std::fmt;

use serde_core::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Reads an object, and keeps the text of the members of these names, so that others take no memory.
/// Of members of the same name the last counts.
pub(super) struct Members<const N: usize>(pub(super) [&'static str; N]);

/// The text of a member, which is read when it is known what it has to be.
pub(super) type Member<'a> = Option<&'a RawValue>;

impl<const N: usize> Members<N> {
    /// The members of an object that is a whole text.
    pub(super) fn of(self, text: &[u8]) -> Option<[Member<'_>; N]> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let members = self.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(members)
    }
}

/// What stands in a member, if it is a `T`.
pub(super) fn value<'a, T: Deserialize<'a>>(member: &'a RawValue) -> Option<T> {
    serde_json::from_str(member.get()).ok()
}

impl<'de, const N: usize> DeserializeSeed<'de> for Members<N> {
    type Value = [Member<'de>; N];

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Member<'de>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut members = [None; N];
        while let Some(place) = object.next_key_seed(Place(&self.0))? {
            // Also what is not kept has to be JSON.
            let member = object.next_value::<&RawValue>()?;
            if let Some(slot) = place.and_then(|place| members.get_mut(place)) {
                *slot = Some(member);
            }
        }
        Ok(members)
    }
}

/// Reads a name as its place among those that are looked for.
struct Place<'a>(&'a [&'static str]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|&wanted| wanted == name))
    }
}
