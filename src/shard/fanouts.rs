//! Broadcasts on their way: channels whose waits are ended over several turns.
//!
//! The waits that a broadcast means registered before it, so those that register meanwhile are not
//! touched. A channel has one broadcast on its way at most: the next one means all waits of the one
//! before, and takes its place.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use super::{BATCH, Ended, Shard};
use crate::{waiters::State, wake::WakeList};

pub(super) struct Fanout {
    /// Invariant: its record lives; whoever frees it takes the broadcast along.
    channel: u32,
    sequence: u64,
    state: State,
    pace: Pace,
}

/// How fast the waits of a channel are let go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) began: u64,
    pub(crate) per_tick: usize,
    /// How many have been let go.
    pub(crate) released: usize,
}

impl Pace {
    /// How many more may be let go by now.
    pub(crate) fn allows(self, now: u64) -> usize {
        let ticks = usize::try_from(now.saturating_sub(self.began)).unwrap_or(usize::MAX);
        let allowed = ticks.saturating_add(1).saturating_mul(self.per_tick);
        allowed.saturating_sub(self.released)
    }

    /// The tick at which the next one may be let go.
    fn next(self) -> u64 {
        self.began.saturating_add((self.released / self.per_tick) as u64)
    }
}

impl Shard {
    /// Ends the first waits of a channel that registered before `sequence`, unless a broadcast is
    /// on its way: then its waits are ended in their turn.
    pub(crate) fn broadcast(
        &mut self,
        channel: u32,
        sequence: u64,
        state: State,
        most: usize,
        wakers: &mut WakeList,
    ) -> Ended {
        match self.fanouts.iter_mut().find(|fanout| fanout.channel == channel) {
            Some(fanout) => {
                (fanout.sequence, fanout.state) = (sequence, state);
                Ended::default()
            }
            None => self.end_before(channel, sequence, state, most.min(BATCH), wakers),
        }
    }

    /// Leaves the waits of a channel that registered before `sequence` to the turns to come.
    pub(crate) fn fan_out(&mut self, channel: u32, sequence: u64, state: State, pace: Pace) {
        let own = self.fanouts.iter_mut().find(|fanout| fanout.channel == channel);
        match own {
            // A later one was quicker.
            Some(fanout) if fanout.sequence > sequence => {}
            Some(fanout) => (fanout.sequence, fanout.state) = (sequence, state),
            None => self.fanouts.push(Fanout { channel, sequence, state, pace }),
        }
    }

    /// Lets waits go that broadcasts on their way mean, for as long as `steps` last. If any are
    /// left, no more are to be let go by now.
    pub(crate) fn release(&mut self, now: u64, steps: &mut usize, wakers: &mut WakeList) {
        let mut place = 0;
        while let (true, Some(fanout)) = (*steps > 0, self.fanouts.get(place)) {
            let &Fanout { channel, sequence, state, pace } = fanout;
            let most = pace.allows(now).min(*steps);
            let ended = self.end_before(channel, sequence, state, most, wakers);
            *steps -= ended.count;
            if ended.more {
                self.fanouts[place].pace.released += ended.count;
                place += 1;
            } else {
                self.fanouts.swap_remove(place);
            }
        }
    }

    /// The next tick at which [`Shard::release`] has something to do.
    pub(super) fn next_release(&self) -> Option<u64> {
        self.fanouts.iter().map(|fanout| fanout.pace.next()).min()
    }

    /// Forgets the broadcast of a channel that is forgotten.
    pub(super) fn cut_fanout(&mut self, channel: u32) {
        self.fanouts.retain(|fanout| fanout.channel != channel);
    }
}
