//! Broadcasts on their way: channels whose waits are ended over several turns.
//!
//! The waits that a broadcast means registered before it, so those that register meanwhile are not
//! touched. A channel has one [`Fanout`] at most; broadcasts that follow join it, at its pace.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use super::{BATCH, Ended, Shard};
use crate::{waiters::State, wake::WakeList};

pub(super) struct Fanout {
    /// Invariant: its record lives; whoever frees it takes the fanout along.
    channel: u32,
    /// Who registered before this sequence ends in this state.
    sequence: u64,
    state: State,
    /// After a delete, who registered before this sequence, but not before that of the delete, ends
    /// in this state.
    then: Option<(u64, State)>,
    pace: Pace,
}

impl Fanout {
    /// Takes another broadcast in. Who is meant by several learns of the last one: it finds what the
    /// others left in the history. Only a delete leaves nothing, so nothing hides it.
    fn join(&mut self, sequence: u64, state: State) {
        let all = [Some((self.sequence, self.state)), self.then, Some((sequence, state))];
        let all = all.into_iter().flatten();
        let by_sequence = |&(sequence, _): &(u64, State)| sequence;
        let deletes = all.clone().filter(|&(_, state)| state == State::Deleted);
        let (delete, last) = (deletes.max_by_key(by_sequence), all.max_by_key(by_sequence));
        (self.sequence, self.state, self.then) = match (delete, last) {
            (Some((delete, _)), Some(last)) if last.0 > delete => {
                (delete, State::Deleted, Some(last))
            }
            (_, Some((sequence, state))) => (sequence, state, None),
            (_, None) => return,
        };
    }
}

/// How fast the waits of a channel are let go: a portion at once, and one after each interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    portion: usize,
    interval: u64,
    /// How many may still be let go before `next`.
    left: usize,
    next: u64,
}

impl Pace {
    /// So many portions are let go at once at most, by a driver that is late.
    const BURST: u64 = 8;

    pub(crate) fn new(portion: usize, interval: u64, now: u64) -> Self {
        Self { portion, interval, left: portion, next: now.saturating_add(interval) }
    }

    /// How many may be let go by now.
    pub(crate) fn allows(&mut self, now: u64) -> usize {
        if now >= self.next {
            let passed = (now - self.next) / self.interval + 1;
            let portions = passed.min(Self::BURST) as usize;
            self.left = self.left.max(portions.saturating_mul(self.portion));
            self.next = self.next.saturating_add(passed.saturating_mul(self.interval));
        }
        self.left
    }

    pub(crate) fn take(&mut self, count: usize) {
        self.left -= count;
    }

    /// The tick at which the next one may be let go.
    fn next(&self) -> u64 {
        if self.left > 0 { 0 } else { self.next }
    }
}

impl Shard {
    /// Ends the first waits of a channel that registered before `sequence`, unless others are on
    /// their way: then these are ended in their turn.
    pub(crate) fn broadcast(
        &mut self,
        channel: u32,
        sequence: u64,
        state: State,
        most: usize,
        wakers: &mut WakeList,
    ) -> Ended {
        if let Some(place) = self.fanout_of(channel) {
            let fanout = &mut self.fanouts[place];
            let end = fanout.then.map_or(fanout.sequence, |(sequence, _)| sequence);
            let first = self.channels[channel].queue.front();
            if first.is_some_and(|key| self.waiters[key].registered < end) {
                fanout.join(sequence, state);
                return Ended::default();
            }
            // All that it meant have left.
            self.fanouts.swap_remove(place);
        }
        self.end_before(channel, sequence, state, most.min(BATCH), wakers)
    }

    /// Leaves the waits of a channel that registered before `sequence` to the turns to come.
    pub(crate) fn fan_out(&mut self, channel: u32, sequence: u64, state: State, pace: Pace) {
        match self.fanout_of(channel) {
            // Another broadcast was quicker.
            Some(place) => self.fanouts[place].join(sequence, state),
            None => self.fanouts.push(Fanout { channel, sequence, state, then: None, pace }),
        }
    }

    /// Lets waits go that broadcasts on their way mean, for as long as `steps` last. If any are
    /// left, no more are to be let go by now.
    pub(crate) fn release(&mut self, now: u64, steps: &mut usize, wakers: &mut WakeList) {
        let mut place = 0;
        while *steps > 0 && place < self.fanouts.len() {
            let Fanout { channel, sequence, state, then, ref mut pace } = self.fanouts[place];
            let most = pace.allows(now).min(*steps);
            let ended = self.end_before(channel, sequence, state, most, wakers);
            *steps -= ended.count;
            let fanout = &mut self.fanouts[place];
            fanout.pace.take(ended.count);
            match (ended.more, then) {
                (true, _) => place += 1,
                (false, Some((sequence, state))) => {
                    (fanout.sequence, fanout.state, fanout.then) = (sequence, state, None);
                }
                (false, None) => _ = self.fanouts.swap_remove(place),
            }
        }
        // Whoever had its turn is behind the others in the next one.
        let turned = place.min(self.fanouts.len());
        self.fanouts.rotate_left(turned);
    }

    /// The next tick at which [`Shard::release`] has something to do.
    pub(super) fn next_release(&self) -> Option<u64> {
        self.fanouts.iter().map(|fanout| fanout.pace.next()).min()
    }

    /// Forgets the broadcasts of a channel that is forgotten.
    pub(super) fn cut_fanout(&mut self, channel: u32) {
        self.fanouts.retain(|fanout| fanout.channel != channel);
    }

    fn fanout_of(&self, channel: u32) -> Option<usize> {
        self.fanouts.iter().position(|fanout| fanout.channel == channel)
    }

    /// Lets all that is on its way go as fast as it can. False if nothing is.
    pub(crate) fn hurry(&mut self) -> bool {
        let fast = Pace::new(usize::MAX, 1, 0);
        self.fanouts.iter_mut().for_each(|fanout| fanout.pace = fast);
        !self.fanouts.is_empty()
    }

    /// The channels of which waits are on their way.
    #[cfg(test)]
    pub(super) fn fanouts(&self) -> impl Iterator<Item = u32> + '_ {
        self.fanouts.iter().map(|fanout| fanout.channel)
    }
}
