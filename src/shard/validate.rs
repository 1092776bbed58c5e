//! Recounts every invariant of a shard, for tests.

#![allow(clippy::indexing_slicing, reason = "slab keys: used only while their record lives")]

use std::{collections::BTreeSet, sync::Arc};

use super::Shard;
use crate::{
    channel::{Channel, Role},
    waiters::{State, Waiter},
};

impl Shard {
    pub(crate) fn validate(&mut self) {
        self.holds.validate(&self.waiters);
        self.ages.validate(&self.channels);
        let is_empty = |left: &Waiter| left.waker.is_none() && !left.timer.is_set();
        assert!(self.waiters.leavings().all(is_empty), "nothing that matters is left of a wait");
        self.names.validate();
        assert_eq!(self.names.len(), self.channels.len(), "each channel has its name");
        let (mut waiters, mut parked, mut events, mut bytes) = (0, 0, 0, 0);
        let (mut others, mut remnants) = (0, 0);
        for key in self.channels.keys_from(0).collect::<Vec<_>>() {
            let record = &self.channels[key];
            record.history.validate();
            let text = record.name.as_ref().expect("a record has a name");
            let name = Channel::of(Arc::clone(text), record.hash.into());
            assert_eq!(self.find(&name), Some(key), "a channel is found by its name");
            let needed = record.waiters > 0 || !record.history.is_empty();
            let is_remnant = self.remnants.contains(&(record.history.settles(), key));
            assert_ne!(needed, is_remnant, "a channel is needed or a remnant");
            remnants += usize::from(is_remnant);
            assert!(needed || record.timer.is_set(), "a timer ends every remnant");
            assert!(record.history.is_empty() || record.timer.is_set(), "events age");
            let (timer, oldest) = (record.timer.deadline(), record.history.next_expiry());
            assert!(oldest.is_none_or(|oldest| timer <= Some(oldest)), "events age in time");
            let is_channel = record.role() == Role::Channel;
            others += usize::from(!is_channel);
            assert!(is_channel || record.history.is_empty(), "only channels have events");
            waiters += record.waiters as usize;
            events += record.history.len();
            bytes += record.history.weight();
            let queued = record.queue.validate(&mut self.waiters);
            parked += queued.len();
            for waiter in queued.into_iter().map(|key| &self.waiters[key]) {
                assert_eq!((waiter.channel, waiter.state), (key, State::Parked));
                assert!(!waiter.lead || waiter.timer.is_set(), "a parked lead has a deadline");
            }
        }
        assert_eq!(waiters, self.waiters.len(), "each wait has its channel");
        let fanouts: Vec<_> = self.fanouts().collect();
        for (place, key) in fanouts.iter().enumerate() {
            assert!(self.channels.get(*key).is_some(), "a fanout has its channel");
            assert!(!fanouts[..place].contains(key), "a channel has one fanout");
        }
        for &(target, key) in &self.ahead {
            let waiter = self.waiters.get(key).expect("who is listed as ahead is there");
            assert_eq!((waiter.registered, waiter.state), (target, State::Parked), "and waits");
        }
        if let Some(oldest) = &self.oldest {
            let of = |key| Some((self.channels[key].history.oldest()?, key));
            let expected: BTreeSet<_> = self.channels.keys_from(0).filter_map(of).collect();
            assert_eq!(*oldest, expected, "the oldest events are in order");
        }
        assert_eq!(others, self.others, "what is no channel is counted");
        assert_eq!(remnants, self.remnants.len(), "no remnant is listed that is none");
        assert_eq!((events, bytes), (self.events, self.bytes), "the history is counted");
        let all: Vec<_> = self.waiters.keys_from(0).map(|key| &self.waiters[key]).collect();
        assert_eq!(
            all.iter().filter(|waiter| waiter.lead).count(),
            self.waits,
            "leads are counted"
        );
        let listed = all.iter().filter(|waiter| waiter.state == State::Parked).count();
        assert_eq!(listed, parked, "who is parked is in a queue");
    }
}
