//! What a poll consists of: its channels, and the key that only the newest wait has.

use std::{iter, mem, slice, sync::Arc};

use super::{Cell, Common, Registry};
use crate::{
    channel::{Channel, Role},
    outcome::Refused,
    random,
    slab::NIL,
};

/// One channel of a poll.
#[derive(Clone)]
pub(crate) struct Part {
    pub(super) cell: Arc<Cell>,
    pub(super) channel: Channel,
}

/// Where a part of a poll stands.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    /// The key of the waiter once it is parked; before, of the channel, or `NIL` if it has none.
    pub(super) key: u32,
    /// Which of the locked shards is the channel's.
    pub(super) guard: u32,
}

impl Slot {
    /// Of a part that has no record, in the first of the locked shards.
    pub(super) const NONE: Self = Self { key: NIL, guard: 0 };

    /// The key, which is not used again.
    pub(super) fn take(&mut self) -> Option<u32> {
        Some(mem::replace(&mut self.key, NIL)).filter(|&key| key != NIL)
    }
}

/// The channels of a poll: in the order of their shards, each once, at least one. The first is the
/// lead. A poll from where its hub has not come yet waits for that, and for nothing else but newer
/// ones of its key: then [`Channel::ahead`] and the key come before the channels.
pub(crate) enum Parts {
    One(Part, Slot),
    /// Slots are of the parts that wait: of all, or while it waits for its hub of those before the
    /// channels.
    Many(Box<[Part]>, Box<[Slot]>),
}

/// The parts of a poll that wait, and where each of them stands.
pub(super) type Places<'a> = (&'a [Part], &'a mut [Slot]);

impl Registry {
    /// Finds the shards of channels.
    pub(crate) fn parts<C>(&self, channels: C) -> Result<Parts, Refused>
    where
        C: IntoIterator<Item: Into<Channel>>,
    {
        let max = self.common.config.max_channels_per_wait;
        let mut channels = channels.into_iter().map(Into::into);
        let first = self.part(channels.next().ok_or(Refused::NoChannels)?)?;
        let too_many = Refused::ChannelsPerWait { max };
        let Some(second) = channels.next() else {
            return (max > 0).then_some(Parts::one(first)).ok_or(too_many);
        };

        if max == 0 {
            return Err(too_many);
        }
        let mut parts = vec![first];
        for channel in iter::once(second).chain(channels) {
            let part = self.part(channel)?;
            if parts.iter().any(|other| other.channel == part.channel) {
                continue;
            }
            if parts.len() == max {
                return Err(too_many);
            }
            parts.push(part);
        }
        Ok(Parts::many(parts))
    }

    fn part(&self, channel: Channel) -> Result<Part, Refused> {
        let max_bytes = self.common.config.max_channel_name_bytes;
        if channel.as_str().len() > max_bytes {
            return Err(Refused::ChannelName { max_bytes });
        }
        Ok(Part { cell: Arc::clone(self.locate(&channel)), channel })
    }

    /// Where nothing ever happens: any shard will do.
    pub(crate) fn nowhere(&self) -> Parts {
        let place = random::up_to(self.cells.len() as u64 - 1) as usize;
        let cell = self.cells.get(place).expect("there is a shard for every place");
        Parts::one(Part { cell: Arc::clone(cell), channel: Channel::nothing() })
    }
}

impl Parts {
    fn one(part: Part) -> Self {
        Self::One(part, Slot::NONE)
    }

    fn many(mut parts: Vec<Part>) -> Self {
        parts.sort_unstable_by_key(|part| part.cell.index);
        let slots = slots(&parts);
        Self::Many(parts.into(), slots.into())
    }

    /// Adds the key that only the newest wait has, or says why not.
    pub(crate) fn set_key(&mut self, key: &str) -> Result<(), Refused> {
        let common = Arc::clone(self.common());
        let max_bytes = common.config.max_channel_name_bytes;
        if key.len() > max_bytes {
            return Err(Refused::Key { max_bytes });
        }
        let channel = Channel::key(key);
        // If the shard is gone, so are the hub and every other wait that is parked with the key.
        let Some(cell) = common.cell(common.locate(&channel)) else { return Ok(()) };
        let (parts, _) = self.split();
        let channels = parts.iter().filter(|part| part.channel.role() == Role::Channel);
        let key = Part { cell, channel };
        *self = Self::many(channels.cloned().chain(iter::once(key)).collect());
        Ok(())
    }

    pub(super) fn split(&mut self) -> Places<'_> {
        match self {
            Self::One(part, slot) => (slice::from_ref(part), slice::from_mut(slot)),
            Self::Many(parts, slots) => (parts.get(..slots.len()).unwrap_or(parts), slots),
        }
    }

    /// How many channels; none if it is only a pause.
    pub(crate) fn channels(&self) -> usize {
        let parts = match self {
            Self::One(part, _) => slice::from_ref(part),
            Self::Many(parts, _) => parts,
        };
        parts.iter().filter(|part| part.channel.role() == Role::Channel).count()
    }

    pub(crate) fn common(&self) -> &Arc<Common> {
        let lead = match self {
            Self::One(part, _) => part,
            Self::Many(parts, _) => parts.first().expect(HAS_CHANNEL),
        };
        &lead.cell.common
    }

    /// Whether the poll waits for its hub.
    pub(crate) fn waits_for_hub(&self) -> bool {
        matches!(self, Self::Many(parts, slots) if slots.len() < parts.len())
    }

    /// If a parked poll waits for its hub: when its hold ends.
    pub(crate) fn ahead(&self) -> Option<Option<u64>> {
        match self {
            Self::Many(parts, slots) if self.waits_for_hub() => {
                let (lead, slot) = (parts.first()?, slots.first()?);
                Some(lead.cell.look().waiter(slot.key).timer.deadline())
            }
            _ => None,
        }
    }

    /// Has the poll wait until its hub has come to where it is. False if the hub is gone.
    pub(super) fn fall_in(&mut self) -> bool {
        let (common, channel) = (Arc::clone(self.common()), Channel::ahead());
        let Some(cell) = common.cell(common.locate(&channel)) else { return false };
        let is_key = |part: &&Part| part.channel.role() == Role::Key;
        let parts = self.split().0;
        let mut first = vec![Part { cell, channel }];
        first.extend(parts.iter().filter(is_key).cloned());
        first.sort_unstable_by_key(|part| part.cell.index);
        let slots = slots(&first);
        first.extend(parts.iter().filter(|part| !is_key(part)).cloned());
        *self = Self::Many(first.into(), slots.into());
        true
    }

    /// Has a poll that waited for its hub begin; any other is left as it is.
    pub(crate) fn go_on(&mut self) {
        if !self.waits_for_hub() {
            return;
        }
        if let Self::Many(parts, _) = self {
            let mut parts = mem::take(parts).into_vec();
            parts.retain(|part| !part.is_ahead());
            *self = match <[Part; 1]>::try_from(parts) {
                Ok([part]) => Self::one(part),
                Err(parts) => Self::many(parts),
            };
        }
    }
}

/// The places of parts that are in the order of their shards.
fn slots(parts: &[Part]) -> Vec<Slot> {
    let (mut slot, mut previous) = (Slot::NONE, None);
    let slots = parts.iter().map(|part| {
        let shard = previous.replace(part.cell.index);
        slot.guard += u32::from(shard.is_some_and(|shard| shard != part.cell.index));
        slot
    });
    slots.collect()
}

impl Part {
    pub(super) fn is_ahead(&self) -> bool {
        self.channel.role() == Role::Ahead
    }
}

pub(super) const HAS_CHANNEL: &str = "a poll has a channel";
