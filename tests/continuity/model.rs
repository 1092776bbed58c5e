//! A naive model of histories, and clients that know what they should be told.
#![allow(unreachable_pub)]

use std::{collections::VecDeque, task::Poll, time::Duration};

use tokio::time::Instant;
use tokio_test::task;
use tower_longpoll::{Channel, Cursor, Event, Hub, Waited};

use super::common::*;

/// One run of the model: what is published, evicted and deleted, and what clients are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub seed: u64,
    /// How many channels the clients poll. The first polls all, the second the first of them.
    pub channels: usize,
    /// Channels that nobody polls.
    pub noise: usize,
    pub shards: usize,
    pub history_events: usize,
    pub history_bytes: usize,
    pub age: Duration,
    pub max_batch_events: usize,
    pub max_batch_bytes: usize,
    pub deletes: bool,
    /// Longest gap between two steps, in milliseconds.
    pub gap: usize,
}

pub const ROOMY: Run = Run {
    seed: 0,
    channels: 3,
    noise: 3,
    shards: 4,
    history_events: 100_000,
    history_bytes: usize::MAX,
    age: Duration::from_secs(100_000),
    max_batch_events: 100,
    max_batch_bytes: 1 << 20,
    deletes: false,
    gap: 20,
};

struct Kept {
    number: usize,
    weight: usize,
    expires: Instant,
}

/// What should be held, counted naively.
struct Model {
    run: Run,
    held: Vec<VecDeque<Kept>>,
    weights: Vec<usize>,
    /// The channel and the time of every event; its number is its place.
    log: Vec<(usize, Instant)>,
}

impl Model {
    fn expire(&mut self) {
        let now = Instant::now();
        for (ring, total) in self.held.iter_mut().zip(&mut self.weights) {
            while ring.front().is_some_and(|kept| kept.expires <= now) {
                *total -= ring.pop_front().unwrap().weight;
            }
        }
    }

    fn publish(&mut self, channel: usize, weight: usize) {
        self.expire();
        let (ring, total) = (&mut self.held[channel], &mut self.weights[channel]);
        while ring.len() >= self.run.history_events
            || (!ring.is_empty() && *total + weight > self.run.history_bytes)
        {
            *total -= ring.pop_front().unwrap().weight;
        }
        *total += weight;
        let now = Instant::now();
        ring.push_back(Kept { number: self.log.len(), weight, expires: now + self.run.age });
        self.log.push((channel, now));
    }

    fn holds(&self, number: usize) -> bool {
        let ring = &self.held[self.log[number].0];
        ring.binary_search_by_key(&number, |kept| kept.number).is_ok()
    }
}

struct Client {
    channels: usize,
    cursor: Cursor,
    /// When the position was the present one.
    fresh: Instant,
    /// The first number that it may not know of.
    next: usize,
    parked: Option<(Parked, Instant)>,
    received: usize,
    gaps: usize,
}

impl Client {
    /// The events that it should see, gone or not.
    fn unseen<'m>(&self, model: &'m Model) -> impl Iterator<Item = usize> + 'm {
        let channels = self.channels;
        (self.next..model.log.len()).filter(move |&number| model.log[number].0 < channels)
    }

    fn takes(&mut self, waited: Waited, was_parked: bool, model: &Model, names: &[Channel]) {
        let gone: Vec<_> = self.unseen(model).filter(|&number| !model.holds(number)).collect();
        let (kept, now): (Vec<_>, _) =
            (self.unseen(model).filter(|&number| model.holds(number)).collect(), Instant::now());
        let cursor = waited.cursor();
        match waited {
            Waited::Events(batch) => {
                let told: Vec<usize> =
                    texts(&batch).iter().map(|text| text.trim().parse().unwrap()).collect();
                assert!(kept.starts_with(&told), "{told:?} are not the next of {kept:?}");
                for (entry, &number) in batch.iter().zip(&told) {
                    assert_eq!(entry.channel(), &names[model.log[number].0]);
                }
                if was_parked || now < self.fresh + model.run.age {
                    assert_eq!(batch.gap(), !gone.is_empty(), "gone are {gone:?}");
                } else {
                    assert!(batch.gap() || gone.is_empty(), "untold: {gone:?} are gone");
                }
                assert!(batch.gap() || !batch.is_empty());
                let full = told.len() < kept.len();
                self.next = if full { told.last().unwrap() + 1 } else { model.log.len() };
                self.fresh = if full { model.log[*told.last().unwrap()].1 } else { now };
                let bytes: usize = batch.iter().map(|entry| entry.payload().len()).sum();
                assert!(told.len() <= model.run.max_batch_events);
                assert!(told.len() <= 1 || bytes <= model.run.max_batch_bytes);
                self.received += told.len();
                self.gaps += usize::from(batch.gap());
            }
            Waited::Deleted { .. } if !kept.is_empty() => {
                assert!(gone.is_empty(), "untold: {gone:?}");
                self.next = kept[0];
            }
            Waited::TimedOut { .. } | Waited::Deleted { .. } => {
                assert!(gone.is_empty() && kept.is_empty(), "untold: {gone:?}, {kept:?}");
                (self.next, self.fresh) = (model.log.len(), now);
            }
            other => panic!("{other:?}"),
        }
        self.cursor = cursor;
    }

    /// Polls what is parked. It must have been woken if there is anything to tell.
    fn look(&mut self, model: &Model, names: &[Channel]) {
        let Some((mut wait, deadline)) = self.parked.take() else { return };
        let (woken, now) = (wait.is_woken(), Instant::now());
        match wait.poll() {
            Poll::Ready(waited) => {
                assert!(woken, "it was not woken for {waited:?}");
                assert!(now >= deadline || !matches!(waited, Waited::TimedOut { .. }), "early");
                self.takes(waited, true, model, names);
            }
            Poll::Pending => {
                let unseen: Vec<_> = self.unseen(model).collect();
                assert!(unseen.is_empty(), "asleep over {unseen:?}");
                assert!(now < deadline, "asleep after its deadline");
                self.parked = Some((wait, deadline));
            }
        }
    }
}

/// Names the run that failed.
struct Named(Run);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed: {:?}", self.0);
        }
    }
}

impl Run {
    /// Returns how many events and gaps the first client was told of.
    pub async fn go(self) -> (usize, usize) {
        let _named = Named(self);
        let hub = Hub::builder()
            .shards(self.shards)
            .history_events(self.history_events)
            .history_bytes(self.history_bytes)
            .history_age(self.age)
            .max_batch_events(self.max_batch_events)
            .max_batch_bytes(self.max_batch_bytes)
            .build()
            .unwrap();
        let (mut random, names) = (Random::new(self.seed), channels(self.channels + self.noise));
        let mut model = Model {
            run: self,
            held: names.iter().map(|_| VecDeque::new()).collect(),
            weights: vec![0; names.len()],
            log: Vec::new(),
        };
        let client = |channels| Client {
            channels,
            cursor: hub.cursor(),
            fresh: Instant::now(),
            next: 0,
            parked: None,
            received: 0,
            gaps: 0,
        };
        let mut clients = [client(self.channels), client(1)];
        while model.log.len() < 1_000 {
            match random.below(10) {
                0..6 => {
                    for _ in 0..=random.below(4) {
                        let channel = random.below(names.len());
                        let text = format!("{:<1$}", model.log.len(), 4 + random.below(40));
                        model.publish(channel, text.len() + Event::OVERHEAD_BYTES);
                        hub.publish(&names[channel], text).unwrap();
                    }
                }
                6 => pass(MS * random.below(self.gap + 1) as u32).await,
                7 if self.deletes => {
                    let channel = random.below(names.len());
                    hub.delete(&names[channel]);
                    model.held[channel].clear();
                    model.weights[channel] = 0;
                }
                _ => {
                    let client = &mut clients[random.below(2)];
                    model.expire();
                    client.look(&model, &names);
                    let mine = &names[..client.channels];
                    match (client.parked.is_some(), random.below(3)) {
                        // The client leaves, and comes back with the cursor that it had.
                        (true, 0) => client.parked = None,
                        (true, _) => {}
                        (false, 0) => {
                            let answer = ask(&hub, mine, client.cursor);
                            client.takes(answer, false, &model, &names);
                        }
                        (false, _) => {
                            let hold = MS * (1 + random.below(4 * self.gap)) as u32;
                            let wait = hub.wait(mine).since(client.cursor).hold(hold);
                            let mut wait = task::spawn(wait);
                            match wait.poll() {
                                Poll::Ready(answer) => client.takes(answer, false, &model, &names),
                                Poll::Pending => {
                                    assert_eq!(client.unseen(&model).count(), 0, "it fell asleep");
                                    client.parked = Some((wait, Instant::now() + hold));
                                }
                            }
                        }
                    }
                }
            }
        }
        model.expire();
        for client in &mut clients {
            client.look(&model, &names);
            // A parked client that leaves comes back with the cursor that it came with.
            client.parked = None;
            while client.unseen(&model).next().is_some() {
                let answer = ask(&hub, &names[..client.channels], client.cursor);
                client.takes(answer, false, &model, &names);
            }
        }
        let events: usize = model.held.iter().map(VecDeque::len).sum();
        let channels = model.held.iter().filter(|ring| !ring.is_empty()).count();
        assert_eq!(held(&hub), (0, channels, events, model.weights.iter().sum()));
        pass(self.age).await;
        assert_empty(&hub);
        (clients[0].received, clients[0].gaps)
    }
}
