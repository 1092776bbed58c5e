//! Does the same to a hub and to its reference, and compares all that can be seen of them.
#![allow(unreachable_pub)]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::{runtime, time};
use tower_longpoll::{Channel, Cursor, Hub, Wait, Waited};

use super::{
    limits::{Limits, MS},
    operations::{From, NAMES, Operation, PLACES},
    polls::{Ask, Outcome, Position, Since},
    reference::{Phase, Reference},
};

/// Panics where the hub and the reference part.
pub fn run(limits: &Limits, operations: &[Operation]) {
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let mut pair = Pair::new(limits);
        for operation in operations {
            pair.work_alike(operation).await;
        }
        pair.end().await;
    });
}

/// Remembers that it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Guest {
    /// Its number in the reference.
    number: usize,
    wait: Pin<Box<Wait>>,
    bells: [Arc<Bell>; 2],
    /// The waker with which it was polled last.
    last: usize,
}

impl Guest {
    fn is_woken(&self) -> bool {
        self.bells[self.last].0.load(Ordering::Relaxed)
    }
}

struct Pair {
    hub: Hub,
    reference: Reference,
    names: Vec<Channel>,
    epoch: [u8; 8],
    guests: [Option<Guest>; PLACES],
    /// Where the last answer in each place said to go on.
    cursors: [Option<Position>; PLACES],
    numbers: usize,
    /// Time has passed, or a drain begun, that the hub was not given the time to look at.
    is_behind: bool,
}

impl Pair {
    fn new(limits: &Limits) -> Self {
        let hub = limits.builder().build().unwrap();
        let (epoch, sequence) = decode(hub.cursor());
        assert_eq!(sequence, 0);
        Self {
            hub,
            reference: Reference::new(limits.clone(), &NAMES),
            names: NAMES.iter().map(|name| Channel::new(name).unwrap()).collect(),
            epoch,
            guests: Default::default(),
            cursors: Default::default(),
            numbers: 0,
            is_behind: false,
        }
    }

    async fn work_alike(&mut self, operation: &Operation) {
        self.poll_the_undecided();
        self.work(operation).await;
        if self.leaves_open() && self.is_behind {
            self.settle().await;
        }
        self.compare();
    }

    /// Whether the hub chooses what nobody can foresee: which shards its channels belong to, or in
    /// which order it lets polls go.
    fn leaves_open(&self) -> bool {
        !self.reference.is_exact() || !self.reference.spreads.is_empty()
    }

    /// On which of its channels the time of a wait counts is nobody's business, except in the only
    /// shard. So what else happens after its end is not told in the same way everywhere.
    fn poll_the_undecided(&mut self) {
        if !self.leaves_open() {
            return;
        }
        for place in 0..PLACES {
            let number = self.guests[place].as_ref().map(|guest| guest.number);
            let wait = number.map(|number| &self.reference.waits[&number]);
            if wait.is_some_and(|wait| wait.is_of_many() && wait.has_ended()) {
                self.poll(place, 0);
            }
        }
    }

    async fn work(&mut self, operation: &Operation) {
        let (hub, reference) = (&self.hub, &mut self.reference);
        match *operation {
            Operation::Publish { channel, bytes } => {
                // So many bytes, of which most tell the event from others.
                let payload = format!("{:017}", reference.sequence);
                let payload = payload[payload.len() - bytes..].to_owned();
                let told = hub.publish(&self.names[channel], payload.clone());
                let told = told.map(|published| (decode(published.cursor).1, published.woken));
                assert_eq!(told, reference.publish(channel, payload));
            }
            Operation::Touch { channel } => {
                assert_eq!(hub.touch(&self.names[channel]), reference.touch(channel));
            }
            Operation::Delete { channel } => {
                assert_eq!(hub.delete(&self.names[channel]), reference.delete(channel));
            }
            Operation::Drain { over } => {
                hub.drain(over);
                reference.drain(over);
                self.is_behind = true;
            }
            Operation::Close => {
                hub.close();
                reference.close();
            }
            Operation::Wait { place, is_polled, .. } => {
                self.make(place, operation);
                if is_polled {
                    self.poll(place, 0);
                }
            }
            Operation::Poll { place, waker } => self.poll(place, waker),
            Operation::Drop { place } => self.leave(place),
            Operation::Pass(span) => {
                time::advance(span).await;
                self.reference.now += span;
                self.settle().await;
            }
            Operation::Jump(span) => {
                let mut advance = Box::pin(time::advance(span));
                assert!(
                    advance.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
                );
                self.reference.now += span;
                self.is_behind = true;
            }
            Operation::Settle => self.settle().await,
            Operation::Step => {
                let next = reference.next_instant();
                let ahead = next.map_or(Duration::ZERO, |next| next - reference.now);
                let nanosecond = Duration::from_nanos(1).min(ahead);
                for span in [ahead - nanosecond, nanosecond] {
                    time::advance(span).await;
                    self.reference.now += span;
                    self.settle().await;
                    self.compare();
                }
            }
            Operation::Stats => {
                let stats = hub.stats();
                reference.turn();
                self.hear_releases();
                assert_eq!(stats, self.reference.stats());
                self.is_behind = false;
            }
            Operation::ChannelStats { channel } => self.compare_channel(channel),
        }
    }

    fn make(&mut self, place: usize, operation: &Operation) {
        let Operation::Wait { channels, since, hold, max_events, key, .. } = operation else {
            return;
        };
        self.leave(place);
        let present = self.reference.sequence;
        let since = match *since {
            From::Now => Since::Now,
            From::Oldest => Since::Oldest,
            From::Past(back) => Since::At(Position::Mine(present.saturating_sub(back))),
            From::Last => self.cursors[place].map_or(Since::Now, Since::At),
            From::Ahead(by) => Since::At(Position::Mine(present + by)),
            From::Foreign => Since::At(Position::Foreign),
        };
        let mut wait = self.hub.wait(channels.iter().map(|channel| &self.names[*channel]));
        wait = match since {
            Since::Now => wait,
            Since::Oldest => wait.since(tower_longpoll::Since::Oldest),
            Since::At(position) => wait.since(self.cursor(position)),
        };
        if let Some(hold) = hold {
            wait = wait.hold(*hold);
        }
        if let Some(max) = max_events {
            wait = wait.max_events(*max);
        }
        if let Some(key) = key {
            wait = wait.supersede_by(key);
        }
        let number = self.numbers;
        self.numbers += 1;
        let ask = Ask {
            channels: channels.clone(),
            since,
            hold: hold.unwrap_or(self.reference.limits.hold),
            max_events: max_events.unwrap_or(self.reference.limits.max_batch_events),
            key: key.map(str::to_owned),
        };
        self.reference.make(number, ask);
        let bells = Default::default();
        self.guests[place] = Some(Guest { number, wait: Box::pin(wait), bells, last: 0 });
    }

    fn leave(&mut self, place: usize) {
        if let Some(guest) = self.guests[place].take() {
            drop(guest.wait);
            self.reference.drop_wait(guest.number);
        }
    }

    fn poll(&mut self, place: usize, waker: usize) {
        let Some(guest) = &mut self.guests[place] else { return };
        let number = guest.number;
        guest.bells.iter().for_each(|bell| bell.0.store(false, Ordering::Relaxed));
        guest.last = waker;
        let waker = Waker::from(Arc::clone(&guest.bells[waker]));
        let heard = match guest.wait.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => None,
            Poll::Ready(waited) => Some(self.outcome(waited)),
        };
        let expected = self.reference.poll(number, heard.as_ref());
        assert_eq!(heard, expected, "left: the hub's answer; right: the reference's");
        self.cursors[place] = heard.as_ref().map(Outcome::cursor).or(self.cursors[place]);
    }

    async fn settle(&mut self) {
        // Tokio sleeps for whole milliseconds. What is due between two is done when somebody asks.
        if self.reference.now.subsec_nanos() % MS.subsec_nanos() != 0 {
            self.hub.stats();
        }
        for _ in 0..6 {
            tokio::task::yield_now().await;
        }
        self.reference.turn();
        self.hear_releases();
        self.is_behind = false;
    }

    /// Tells the reference which polls a spread drain has let go, and that there are no others.
    fn hear_releases(&mut self) {
        self.hear();
        self.reference.check_spreads();
    }

    fn hear(&mut self) {
        for guest in self.guests.iter().flatten().filter(|guest| guest.is_woken()) {
            let wait = &self.reference.waits[&guest.number];
            if wait.is_parked() && !wait.has_ended() {
                self.reference.release(guest.number);
            }
        }
    }

    fn compare(&mut self) {
        self.hear();
        for guest in self.guests.iter().flatten() {
            let wait = &self.reference.waits[&guest.number];
            if wait.is_parked() {
                assert_eq!(guest.is_woken(), wait.has_ended(), "is it woken: {wait:?}");
            }
            let other = &guest.bells[1 - guest.last].0;
            assert!(!other.load(Ordering::Relaxed), "only the last waker is woken: {wait:?}");
        }
        let present = (self.epoch, self.reference.sequence);
        assert_eq!(decode(self.hub.cursor()), present, "the position");
        assert_eq!(self.hub.is_open(), self.reference.phase == Phase::Open);
        if !self.is_behind {
            assert_eq!(self.hub.stats(), self.reference.stats());
            (0..NAMES.len()).for_each(|channel| self.compare_channel(channel));
        }
    }

    fn compare_channel(&mut self, channel: usize) {
        let stats = self.hub.channel_stats(&self.names[channel]);
        assert_eq!(stats, self.reference.channel_stats(channel), "channel {}", NAMES[channel]);
    }

    /// Everyone leaves, the history ages, and nothing is left.
    async fn end(mut self) {
        self.settle().await;
        self.compare();
        for place in 0..PLACES {
            self.poll_the_undecided();
            self.poll(place, 0);
            self.leave(place);
        }
        self.compare();
        let age = self.reference.limits.history_age + Duration::from_millis(1);
        self.work(&Operation::Pass(age)).await;
        self.compare();
        let stats = self.hub.stats();
        let left = (stats.parked, stats.channels, stats.history_events, stats.history_bytes);
        assert_eq!(left, (0, 0, 0, 0), "nothing is left behind");
    }

    fn outcome(&self, waited: Waited) -> Outcome {
        let cursor = self.position(waited.cursor());
        let place = |channel: &Channel| self.names.iter().position(|c| c == channel).unwrap();
        match waited {
            Waited::Events(batch) => {
                let event = |entry: &tower_longpoll::Entry| {
                    let payload = String::from_utf8(entry.payload().to_vec()).unwrap();
                    (decode(entry.cursor()).1, place(entry.channel()), payload)
                };
                let events = batch.iter().map(event).collect();
                Outcome::Events { gap: batch.gap(), events, cursor }
            }
            Waited::TimedOut { .. } => Outcome::TimedOut { cursor },
            Waited::Deleted { channel, .. } => {
                Outcome::Deleted { channel: place(&channel), cursor }
            }
            Waited::Touched { .. } => Outcome::Touched { cursor },
            Waited::Superseded { .. } => Outcome::Superseded { cursor },
            Waited::Drained { .. } => Outcome::Drained { cursor },
            Waited::Refused { reason, .. } => Outcome::Refused { reason, cursor },
            other => panic!("{other:?}"),
        }
    }

    /// A cursor of the hub, or the one of another that the waits are given.
    fn cursor(&self, position: Position) -> Cursor {
        match position {
            Position::Mine(sequence) => encode(self.epoch, sequence),
            Position::Foreign => encode(self.epoch.map(|byte| byte ^ 0x55), 1),
        }
    }

    fn position(&self, cursor: Cursor) -> Position {
        match decode(cursor) {
            (epoch, sequence) if epoch == self.epoch => Position::Mine(sequence),
            _ => {
                assert_eq!(cursor, self.cursor(Position::Foreign));
                Position::Foreign
            }
        }
    }
}

/// The epoch and the number in the text of a cursor.
fn decode(cursor: Cursor) -> ([u8; 8], u64) {
    let raw = URL_SAFE_NO_PAD.decode(&cursor.to_string()[1..]).unwrap();
    let (epoch, sequence) = raw.split_at(8);
    (epoch.try_into().unwrap(), sequence.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

fn encode(epoch: [u8; 8], sequence: u64) -> Cursor {
    let sequence = sequence.to_be_bytes();
    let digits = sequence.iter().skip_while(|byte| **byte == 0);
    let raw: Vec<u8> = epoch.iter().chain(digits).copied().collect();
    format!("1{}", URL_SAFE_NO_PAD.encode(raw)).parse().unwrap()
}
