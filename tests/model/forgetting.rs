//! What the reference forgets, and of which gaps its clients have to be told, or may be.
#![allow(unreachable_pub)]

use super::reference::Reference;

impl Reference {
    /// Forgets a channel that nothing needs, if all its events would be too old by now, or, in the
    /// only shard, if nothing would be forgotten with it.
    pub fn retire(&mut self, channel: usize) {
        let Some(record) = self.records.get(&channel) else { return };
        let adds_nothing = self.is_exact() && record.floor <= self.forgotten;
        if !self.is_needed(channel) && (record.settles <= self.told || adds_nothing) {
            self.forgotten = self.forgotten.max(record.floor);
            self.records.remove(&channel);
        }
    }

    /// Whether there is room for the channels among these that are none yet.
    pub fn has_room(&self, channels: &[usize]) -> bool {
        let is_exact = self.is_exact();
        let is_there = |channel: &usize| match is_exact {
            true => self.records.contains_key(channel),
            false => self.is_needed(*channel),
        };
        let new = channels.iter().filter(|channel| !is_there(channel)).count();
        let there = (0..self.names.len()).filter(is_there).count();
        new == 0 || there + new <= self.limits.max_channels
    }

    /// With many shards nobody knows which channels are remembered that nothing needs, and so
    /// whether they have to be forgotten for room: they may be, from here on.
    pub fn foresee_shortage(&mut self, channels: &[usize]) {
        let new = channels.iter().filter(|channel| !self.records.contains_key(channel)).count();
        if !self.is_exact() && self.records.len() + new > self.limits.max_channels {
            self.forget_idle();
        }
    }

    /// Makes room by forgetting every channel that nothing needs.
    pub fn forget_idle(&mut self) {
        let idle = (0..self.names.len()).filter(|channel| !self.is_needed(*channel));
        for channel in idle.collect::<Vec<_>>() {
            self.forced = self.forced.max(self.lost.get(&channel).copied().unwrap_or(0));
            let record = self.is_exact().then(|| self.records.remove(&channel)).flatten();
            self.forgotten = self.forgotten.max(record.map_or(0, |record| record.floor));
        }
    }

    /// Whether who asks since `since` has to be told of a gap on a channel: events of its own that
    /// it has not seen are gone.
    pub fn must_tell(&self, channel: usize, since: u64) -> bool {
        self.lost.get(&channel).is_some_and(|lost| since < *lost)
    }

    /// Whether it may be told although nothing of its own is gone: its position is older than the
    /// history's age, or channels had to be forgotten for room.
    pub fn may_tell(&self, since: u64) -> bool {
        let mut old = self.published.iter().filter(|(_, expires)| *expires <= self.now);
        since < self.forced || old.any(|(sequence, _)| since < *sequence)
    }

    /// Whether who asks since `since` is told of a gap on a channel. `heard` is what the hub says.
    pub fn tells(&self, channel: usize, since: u64, heard: bool) -> bool {
        let (must, may) = (self.must_tell(channel, since), self.may_tell(since));
        if !self.is_exact() {
            return must || may && heard;
        }
        let floor = self.records.get(&channel).map_or(self.forgotten, |record| record.floor);
        assert!(!must || since < floor, "the reference hides a gap");
        assert!(must || may || since >= floor, "the reference tells a gap that is not one's own");
        since < floor
    }
}
