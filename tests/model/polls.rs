//! The polls of the reference: answered, parked, ended, dropped.
#![allow(unreachable_pub)]

use std::{slice, time::Duration};

use tower_longpoll::Refused;

use super::{
    limits::YEAR,
    reference::{Kept, Phase, Reference, round_up},
};

/// How a poll ended, with positions as numbers and channels by their place in the table of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Events { gap: bool, events: Vec<(u64, usize, String)>, cursor: Position },
    TimedOut { cursor: Position },
    Deleted { channel: usize, cursor: Position },
    Touched { cursor: Position },
    Superseded { cursor: Position },
    Drained { cursor: Position },
    Refused { reason: Refused, cursor: Position },
}

impl Outcome {
    pub fn cursor(&self) -> Position {
        match self {
            Self::Events { cursor, .. }
            | Self::TimedOut { cursor }
            | Self::Deleted { cursor, .. }
            | Self::Touched { cursor }
            | Self::Superseded { cursor }
            | Self::Drained { cursor }
            | Self::Refused { cursor, .. } => *cursor,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    Mine(u64),
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Now,
    Oldest,
    At(Position),
}

#[derive(Clone, Debug)]
pub struct Ask {
    /// Each once, in the order in which they were named.
    pub channels: Vec<usize>,
    pub since: Since,
    pub hold: Duration,
    pub max_events: usize,
    pub key: Option<String>,
}

/// What has happened to a poll on one of its channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    Woken,
    /// With the number of that.
    Deleted(u64),
    Touched,
    Superseded,
    /// Its time is over: at least one of both.
    Over {
        drained: bool,
        timed_out: bool,
    },
}

#[derive(Clone, Debug)]
pub enum Wait {
    New(Ask),
    Refused { reason: Refused, since: Since, made: u64 },
    Parked { ask: Ask, registered: u64, deadline: Duration, parts: Vec<Option<Ended>> },
    Ended,
}

impl Wait {
    pub fn is_parked(&self) -> bool {
        matches!(self, Self::Parked { .. })
    }

    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Parked { parts, .. } if parts.iter().any(Option::is_some))
    }

    pub fn is_of_many(&self) -> bool {
        matches!(self, Self::Parked { parts, .. } if parts.len() > 1)
    }

    pub fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Parked { deadline, .. } => Some(*deadline),
            _ => None,
        }
    }

    /// The first of its channels is where its time counts. The key comes after the last.
    pub fn lead(&mut self) -> Option<&mut Option<Ended>> {
        match self {
            Self::Parked { parts, .. } => parts.first_mut(),
            _ => None,
        }
    }
}

impl Reference {
    pub fn parked(&self) -> impl Iterator<Item = usize> + '_ {
        self.waits.iter().filter(|(_, wait)| wait.is_parked()).map(|(number, _)| *number)
    }

    pub fn leads(&mut self) -> impl Iterator<Item = &mut Option<Ended>> {
        self.waits.values_mut().filter_map(Wait::lead)
    }

    pub fn waits_on(&self, wanted: usize) -> usize {
        let is_on = |wait: &&Wait| matches!(wait, Wait::Parked { ask, .. } if ask.channels.contains(&wanted));
        self.waits.values().filter(is_on).count()
    }

    /// Ends the polls that are parked on a channel; returns how many.
    pub fn end(&mut self, wanted: usize, how: &Ended) -> usize {
        let mut count = 0;
        for wait in self.waits.values_mut() {
            let Wait::Parked { ask, parts, .. } = wait else { continue };
            for (_, part) in ask.channels.iter().zip(parts).filter(|(c, _)| **c == wanted) {
                count += usize::from(part.is_none());
                part.get_or_insert_with(|| how.clone());
            }
        }
        count
    }

    /// Makes a poll of `ask.channels`, which may name a channel twice.
    pub fn make(&mut self, number: usize, mut ask: Ask) {
        let limits = &self.limits;
        let max_bytes = limits.max_channel_name_bytes;
        let (mut seen, mut reason) = (Vec::new(), None);
        if ask.channels.is_empty() {
            reason = Some(Refused::NoChannels);
        }
        for channel in &ask.channels {
            if self.names[*channel].len() > max_bytes {
                reason = reason.or(Some(Refused::ChannelName { max_bytes }));
            } else if !seen.contains(channel) {
                seen.push(*channel);
                let max = limits.max_channels_per_wait;
                let too_many = (seen.len() > max).then_some(Refused::ChannelsPerWait { max });
                reason = reason.or(too_many);
            }
        }
        if ask.key.as_ref().is_some_and(|key| key.len() > max_bytes) {
            reason = reason.or(Some(Refused::Key { max_bytes }));
        }
        self.counts.refused += u64::from(reason.is_some());
        ask.channels = seen;
        let wait = match reason {
            Some(reason) => Wait::Refused { reason, since: ask.since, made: self.sequence },
            None => Wait::New(ask),
        };
        self.waits.insert(number, wait);
    }

    /// Polls a wait. `heard` is what the hub answered.
    pub fn poll(&mut self, number: usize, heard: Option<&Outcome>) -> Option<Outcome> {
        match self.waits[&number].clone() {
            Wait::New(ask) => self.start(number, &ask, heard),
            Wait::Parked { ask, registered, parts, .. } if parts.iter().any(Option::is_some) => {
                let outcome = self.resume(&ask, registered, &parts, heard);
                self.leave(number);
                Some(outcome)
            }
            Wait::Parked { .. } | Wait::Ended => None,
            Wait::Refused { reason, since, made } => {
                self.waits.insert(number, Wait::Ended);
                Some(Outcome::Refused { reason, cursor: unmoved(since, made) })
            }
        }
    }

    pub fn drop_wait(&mut self, number: usize) {
        self.counts.dropped += u64::from(self.waits[&number].is_parked());
        self.leave(number);
        self.waits.remove(&number);
    }

    fn leave(&mut self, number: usize) {
        if let Some(Wait::Parked { ask, .. }) = self.waits.insert(number, Wait::Ended) {
            ask.channels.iter().for_each(|channel| self.retire(*channel));
        }
    }

    fn start(&mut self, number: usize, ask: &Ask, heard: Option<&Outcome>) -> Option<Outcome> {
        let mut started = self.answer_or_park(number, ask, heard);
        if matches!(started, Err(Refused::Channels { .. })) {
            self.turn();
            started = self.answer_or_park(number, ask, heard);
        }
        if matches!(started, Err(Refused::Channels { .. })) {
            self.forget_idle();
            started = self.answer_or_park(number, ask, heard);
        }
        if !self.waits[&number].is_parked() {
            self.waits.insert(number, Wait::Ended);
        }
        match started {
            Ok(outcome) => {
                self.supersede(number, ask);
                outcome
            }
            Err(reason) => {
                self.counts.refused += 1;
                Some(Outcome::Refused { reason, cursor: unmoved(ask.since, self.sequence) })
            }
        }
    }

    fn answer_or_park(
        &mut self,
        number: usize,
        ask: &Ask,
        heard: Option<&Outcome>,
    ) -> Result<Option<Outcome>, Refused> {
        match self.phase {
            Phase::Open => {}
            Phase::Draining => return Err(Refused::Draining),
            Phase::Closed => return Err(Refused::Closed),
        }
        let (since, mut gap) = match ask.since {
            Since::Now => (self.sequence, false),
            Since::At(Position::Mine(at)) if at <= self.sequence => (at, false),
            Since::Oldest => (0, false),
            Since::At(_) => (0, true),
        };
        let hold = ask.hold.min(self.limits.max_hold).min(YEAR);
        if !hold.is_zero() {
            self.foresee_shortage(&ask.channels);
        }
        let heard = matches!(heard, Some(Outcome::Events { gap: true, .. }));
        for channel in &ask.channels {
            // What is too old and would not be told has not to go for this.
            if !self.news(slice::from_ref(channel), since).is_empty() {
                self.age(*channel);
            }
            gap |= ask.since != Since::Oldest && self.tells(*channel, since, heard);
        }
        if gap || !self.news(&ask.channels, since).is_empty() {
            return Ok(Some(self.batch(ask, since, gap)));
        }
        if hold.is_zero() {
            return Ok(Some(self.time_out()));
        }
        let limits = &self.limits;
        let is_full = |channel: &usize| self.waits_on(*channel) >= limits.max_waits_per_channel;
        if ask.channels.iter().any(is_full) {
            return Err(Refused::WaitsPerChannel { max: limits.max_waits_per_channel });
        }
        if self.parked().count() >= limits.max_waits {
            return Err(Refused::Waits { max: limits.max_waits });
        }
        if !self.has_room(&ask.channels) {
            return Err(Refused::Channels { max: limits.max_channels });
        }
        ask.channels.iter().for_each(|channel| self.open(*channel));
        let parts = vec![None; ask.channels.len() + usize::from(ask.key.is_some())];
        let (registered, deadline) = (self.sequence, round_up(self.now + hold));
        let parked = Wait::Parked { ask: ask.clone(), registered, deadline, parts };
        self.waits.insert(number, parked);
        Ok(None)
    }

    /// Ends the other polls that have the key.
    fn supersede(&mut self, newest: usize, newer: &Ask) {
        for (number, wait) in &mut self.waits {
            let Wait::Parked { ask, parts, .. } = wait else { continue };
            if *number != newest && ask.key.is_some() && ask.key == newer.key {
                let part = parts.last_mut().expect("the part of the key");
                part.get_or_insert(Ended::Superseded);
            }
        }
    }

    fn resume(
        &mut self,
        ask: &Ask,
        registered: u64,
        parts: &[Option<Ended>],
        heard: Option<&Outcome>,
    ) -> Outcome {
        let cursor = Position::Mine(self.sequence);
        let gap = ask.channels.iter().any(|channel| self.must_tell(*channel, registered));
        let first = self.news(&ask.channels, registered).first().map(|(number, ..)| *number);
        let has_news = gap || first.is_some();
        let is = |ended| parts.contains(&Some(ended));
        assert!(has_news || !is(Ended::Woken), "the event that woke a poll is held, or gone");
        let deleted = ask.channels.iter().zip(parts).filter_map(|(&channel, part)| match part {
            Some(Ended::Deleted(number)) => Some((*number, channel)),
            _ => None,
        });
        let is_first = |deleted| !gap && first.is_none_or(|event| deleted < event);
        if let Some((number, channel)) = deleted.min().filter(|&(deleted, _)| is_first(deleted)) {
            self.counts.deleted += 1;
            let cursor = if has_news { Position::Mine(number) } else { cursor };
            Outcome::Deleted { channel, cursor }
        } else if has_news {
            self.batch(ask, registered, gap)
        } else if is(Ended::Touched) {
            self.counts.touched += 1;
            Outcome::Touched { cursor }
        } else if is(Ended::Superseded) {
            self.counts.superseded += 1;
            Outcome::Superseded { cursor }
        } else {
            let Some(Ended::Over { drained, timed_out }) = &parts[0] else {
                panic!("a poll ends for a reason")
            };
            let is_drained = matches!(heard, Some(Outcome::Drained { .. }));
            if *drained && (is_drained || !timed_out) {
                self.counts.drained += 1;
                Outcome::Drained { cursor }
            } else {
                self.time_out()
            }
        }
    }

    fn time_out(&mut self) -> Outcome {
        self.counts.timed_out += 1;
        Outcome::TimedOut { cursor: Position::Mine(self.sequence) }
    }

    /// What the channels hold after a position, in order.
    fn news(&self, channels: &[usize], since: u64) -> Vec<(u64, usize, String)> {
        let mut news = Vec::new();
        for channel in channels {
            let events = self.records.get(channel).map_or(&[][..], |record| &record.events);
            let new = events.iter().filter(|event| event.sequence > since);
            news.extend(
                new.map(|Kept { sequence, payload, .. }| (*sequence, *channel, payload.clone())),
            );
        }
        news.sort();
        news
    }

    fn batch(&mut self, ask: &Ask, since: u64, gap: bool) -> Outcome {
        let all = self.news(&ask.channels, since);
        let (mut events, mut bytes) = (Vec::<(u64, usize, String)>::new(), 0);
        let mut cursor = self.sequence;
        for event in all {
            bytes += event.2.len();
            let is_full = events.len() >= ask.max_events.max(1)
                || !events.is_empty() && bytes > self.limits.max_batch_bytes;
            if is_full {
                cursor = events.last().map_or(cursor, |(sequence, ..)| *sequence);
                break;
            }
            events.push(event);
        }
        self.counts.delivered += events.len() as u64;
        self.counts.gaps += u64::from(gap);
        Outcome::Events { gap, events, cursor: Position::Mine(cursor) }
    }
}

/// Where who was told nothing goes on: where it stood.
fn unmoved(since: Since, now: u64) -> Position {
    match since {
        Since::Now => Position::Mine(now),
        Since::Oldest => Position::Mine(0),
        Since::At(position) => position,
    }
}
