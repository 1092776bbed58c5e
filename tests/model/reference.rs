//! A hub as its documentation tells of it: everything in plain lists, nothing shared or clever.
//!
//! Time is the time since the hub was made. Where the documentation leaves the hub a choice, the
//! reference hears what the hub chose, and says whether it might.
#![allow(unreachable_pub)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tower_longpoll::{ChannelStats, Event, PublishError, Stats};

use super::{
    limits::{Limits, TICK, YEAR},
    polls::{Ended, Wait},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Open,
    Draining,
    Closed,
}

/// An event that is held.
#[derive(Clone, Debug)]
pub struct Kept {
    pub sequence: u64,
    pub expires: Duration,
    pub payload: String,
}

impl Kept {
    fn weight(&self) -> usize {
        self.payload.len() + Event::OVERHEAD_BYTES
    }
}

/// What the hub knows of a channel.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub events: Vec<Kept>,
    /// Whoever comes with a position below this is told of a gap.
    pub floor: u64,
    /// When the last event is, or would be, too old. Until then the channel is not forgotten.
    pub settles: Duration,
}

/// A drain that takes its time: each poll that was there got one of the instants.
#[derive(Debug)]
pub struct Spread {
    pub instants: Vec<Duration>,
    pub members: BTreeSet<usize>,
}

#[derive(Debug)]
pub struct Reference {
    pub limits: Limits,
    pub names: &'static [&'static str],
    pub now: Duration,
    /// The latest time that the hub has acted on.
    pub told: Duration,
    pub sequence: u64,
    pub phase: Phase,
    pub records: BTreeMap<usize, Record>,
    /// The last event of each channel that is gone. Never forgotten.
    pub lost: BTreeMap<usize, u64>,
    /// All that was published, and when it is too old.
    pub published: Vec<(u64, Duration)>,
    /// Up to here channels were forgotten for room.
    pub forced: u64,
    /// With one shard: up to here forgotten channels may have had events.
    pub forgotten: u64,
    /// By their number, which says how old they are.
    pub waits: BTreeMap<usize, Wait>,
    pub spreads: Vec<Spread>,
    /// How many polls a spread has let go before their holds were over.
    released: usize,
    /// What has happened; what is held is counted when it is asked for.
    pub counts: Stats,
}

pub fn round_up(time: Duration) -> Duration {
    let down = round_down(time);
    if down < time { down + TICK } else { down }
}

fn round_down(time: Duration) -> Duration {
    time - Duration::from_nanos(u64::from(time.subsec_nanos() % TICK.subsec_nanos()))
}

impl Reference {
    pub fn new(limits: Limits, names: &'static [&'static str]) -> Self {
        Self {
            limits,
            names,
            now: Duration::ZERO,
            told: Duration::ZERO,
            sequence: 0,
            phase: Phase::Open,
            records: BTreeMap::new(),
            lost: BTreeMap::new(),
            published: Vec::new(),
            forced: 0,
            forgotten: 0,
            waits: BTreeMap::new(),
            spreads: Vec::new(),
            released: 0,
            counts: Stats::default(),
        }
    }

    /// With one shard even what the documentation leaves open is known.
    pub fn is_exact(&self) -> bool {
        self.limits.shards == 1
    }

    pub fn publish(
        &mut self,
        channel: usize,
        payload: String,
    ) -> Result<(u64, usize), PublishError> {
        let limits = self.limits.clone();
        if payload.len() > limits.max_payload_bytes {
            return Err(PublishError::Payload { max_bytes: limits.max_payload_bytes });
        }
        if self.names[channel].len() > limits.max_channel_name_bytes {
            let max_bytes = limits.max_channel_name_bytes;
            return Err(PublishError::ChannelName { max_bytes });
        }
        if self.phase == Phase::Closed {
            return Err(PublishError::Closed);
        }
        let event = Kept {
            sequence: self.sequence + 1,
            expires: round_up(self.now + limits.history_age),
            payload,
        };
        let mut stored = self.store(channel, &event);
        if stored.is_err() {
            self.turn();
            stored = self.store(channel, &event);
        }
        if matches!(stored, Err(PublishError::Channels { .. })) {
            self.forget_idle();
            stored = self.store(channel, &event);
        }
        stored?;
        self.sequence += 1;
        self.counts.published += 1;
        self.published.push((event.sequence, event.expires));
        Ok((self.sequence, self.end(channel, &Ended::Woken)))
    }

    fn store(&mut self, channel: usize, event: &Kept) -> Result<(), PublishError> {
        self.age(channel);
        self.foresee_shortage(&[channel]);
        if !self.has_room(&[channel]) {
            return Err(PublishError::Channels { max: self.limits.max_channels });
        }
        self.open(channel);
        let all = self.history_bytes();
        let record = self.records.get_mut(&channel).unwrap();
        let mut events = record.events.clone();
        events.push(event.clone());
        let weight = |events: &[Kept]| events.iter().map(Kept::weight).sum::<usize>();
        let mut gone = None;
        while events.len() > self.limits.history_events.max(1)
            || (events.len() > 1 && weight(&events) > self.limits.history_bytes)
        {
            gone = Some(events.remove(0).sequence);
        }
        if all - weight(&record.events) + weight(&events) > self.limits.total_history_bytes {
            self.retire(channel);
            return Err(PublishError::TotalHistory { max_bytes: self.limits.total_history_bytes });
        }
        (record.events, record.settles) = (events, event.expires);
        if let Some(gone) = gone {
            record.floor = gone;
            self.lost.insert(channel, gone);
        }
        Ok(())
    }

    pub fn touch(&mut self, channel: usize) -> usize {
        let woken = self.end(channel, &Ended::Touched);
        self.sequence += u64::from(woken > 0);
        woken
    }

    pub fn delete(&mut self, channel: usize) -> bool {
        self.age(channel);
        if !self.is_needed(channel) {
            return false;
        }
        self.sequence += 1;
        self.end(channel, &Ended::Deleted(self.sequence));
        self.clear(channel);
        true
    }

    pub fn drain(&mut self, over: Duration) {
        self.phase = self.phase.max(Phase::Draining);
        let over = round_up(self.now + over.min(YEAR)) - round_up(self.now);
        if over.is_zero() {
            let let_go = Ended::Over { drained: true, timed_out: false };
            self.leads().for_each(|lead| _ = lead.get_or_insert_with(|| let_go.clone()));
            return;
        }
        let members: BTreeSet<_> = self.parked().collect();
        let step = |place: usize| {
            let share = over.as_nanos() * place as u128 / members.len() as u128;
            round_down(self.now) + round_down(Duration::from_nanos(share as u64))
        };
        let instants = (0..members.len()).map(step).collect();
        self.spreads.push(Spread { instants, members });
    }

    pub fn close(&mut self) {
        self.drain(Duration::ZERO);
        self.phase = Phase::Closed;
        for channel in 0..self.names.len() {
            self.clear(channel);
        }
        self.forget_idle();
    }

    /// Does what is due.
    pub fn turn(&mut self) {
        self.told = self.now;
        for number in self.parked().collect::<Vec<_>>() {
            let (deadline, now) = (self.waits[&number].deadline(), self.now);
            if deadline.is_some_and(|deadline| deadline <= now) {
                let over = self.over(number);
                let lead = self.waits.get_mut(&number).and_then(Wait::lead);
                lead.unwrap().get_or_insert(over);
            }
        }
        for channel in 0..self.names.len() {
            self.age(channel);
            if self.records.get(&channel).is_some_and(|record| record.settles <= self.told) {
                self.retire(channel);
            }
        }
    }

    /// How a poll may end whose hold is over.
    fn over(&self, number: usize) -> Ended {
        let deadline = self.waits[&number].deadline().unwrap();
        let mut spreads = self.spreads.iter().filter(|spread| spread.members.contains(&number));
        let (mut drained, mut timed_out) = (false, true);
        for spread in &mut spreads {
            drained |= spread.instants.iter().any(|instant| *instant < deadline);
            timed_out &= spread.instants.iter().any(|instant| *instant >= deadline);
        }
        Ended::Over { drained, timed_out }
    }

    /// A drain that takes its time has let a poll go, and nobody can say in advance which.
    pub fn release(&mut self, number: usize) {
        let is_due = |spread: &&Spread| {
            spread.members.contains(&number) && spread.instants.iter().any(|i| *i <= self.now)
        };
        assert!(self.spreads.iter().any(|s| is_due(&s)), "nothing wakes wait {number}");
        self.released += 1;
        let due = |spread: &Spread| spread.instants.iter().filter(|i| **i <= self.now).count();
        let due: usize = self.spreads.iter().map(due).sum();
        assert!(self.released <= due, "more polls were let go than the drain has come to");
        let lead = self.waits.get_mut(&number).and_then(Wait::lead).unwrap();
        lead.get_or_insert(Ended::Over { drained: true, timed_out: false });
    }

    /// Checks, after a turn, that no drain is late.
    pub fn check_spreads(&self) {
        for Spread { instants, members } in &self.spreads {
            let left = members.iter().filter(|number| {
                self.waits.get(number).is_some_and(|wait| wait.is_parked() && !wait.has_ended())
            });
            let to_come = instants.iter().filter(|instant| **instant > self.now).count();
            assert!(left.count() <= to_come, "a drain is late");
        }
    }

    /// The next instant at which something is due.
    pub fn next_instant(&self) -> Option<Duration> {
        let waits = self.waits.values().filter(|wait| wait.is_parked() && !wait.has_ended());
        let events =
            self.records.values().filter_map(|record| Some(record.events.first()?.expires));
        let settling = self.records.values().map(|record| record.settles);
        let spreads = self.spreads.iter().flat_map(|spread| &spread.instants).copied();
        let all = waits.filter_map(Wait::deadline).chain(events).chain(settling).chain(spreads);
        all.filter(|instant| *instant > self.now).min()
    }

    pub fn stats(&self) -> Stats {
        let mut stats = self.counts;
        stats.parked = self.parked().count();
        stats.channels = (0..self.names.len()).filter(|channel| self.is_needed(*channel)).count();
        stats.history_events = self.records.values().map(|record| record.events.len()).sum();
        stats.history_bytes = self.history_bytes();
        stats.ready = true;
        stats
    }

    pub fn channel_stats(&mut self, channel: usize) -> Option<ChannelStats> {
        self.age(channel);
        let record = self.records.get(&channel).filter(|_| self.is_needed(channel))?;
        let mut stats = ChannelStats::default();
        stats.parked = self.waits_on(channel);
        stats.history_events = record.events.len();
        stats.history_bytes = record.events.iter().map(Kept::weight).sum();
        Some(stats)
    }

    fn history_bytes(&self) -> usize {
        self.records.values().flat_map(|record| &record.events).map(Kept::weight).sum()
    }

    /// Whether there is such a channel, for all that users can tell.
    pub fn is_needed(&self, channel: usize) -> bool {
        let has_events = |record: &Record| !record.events.is_empty();
        self.records.get(&channel).is_some_and(has_events) || self.waits_on(channel) > 0
    }

    pub fn open(&mut self, channel: usize) {
        let floor = self.forgotten;
        self.records.entry(channel).or_insert_with(|| Record { floor, ..Record::default() });
    }

    /// Lets the events of a channel go that are too old.
    pub fn age(&mut self, channel: usize) {
        let (now, Some(record)) = (self.now, self.records.get_mut(&channel)) else { return };
        let old = record.events.iter().take_while(|event| event.expires <= now).count();
        let Some(last) = record.events.drain(..old).next_back() else { return };
        record.floor = last.sequence;
        self.lost.insert(channel, last.sequence);
        self.told = now;
        self.retire(channel);
    }

    /// Lets all events of a channel go.
    fn clear(&mut self, channel: usize) {
        let Some(record) = self.records.get_mut(&channel) else { return };
        if let Some(last) = record.events.drain(..).next_back() {
            record.floor = last.sequence;
            self.lost.insert(channel, last.sequence);
        }
        self.retire(channel);
    }
}
