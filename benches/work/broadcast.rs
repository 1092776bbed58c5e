//! By hand: a map of rooms, each a history and a `broadcast` channel.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{error::Elapsed, timeout},
};

use super::{
    history::{self, Answer, History},
    subject::{HOLD, Subject},
};

/// Rooms are never taken out, as in [`Notifying`](super::Notifying).
#[derive(Clone)]
pub(crate) struct Broadcast {
    rooms: Arc<DashMap<String, Arc<Room>>>,
    kept: usize,
}

pub(crate) struct Room {
    history: Mutex<History>,
    sender: broadcast::Sender<(u64, Bytes)>,
}

impl Room {
    fn new(kept: usize) -> Arc<Self> {
        let sender = broadcast::Sender::new(kept);
        Arc::new(Self { history: Mutex::default(), sender })
    }
}

impl Broadcast {
    fn room(&self, name: &str) -> Arc<Room> {
        if let Some(room) = self.rooms.get(name) {
            return Arc::clone(&room);
        }
        let room = self.rooms.entry(name.to_owned());
        Arc::clone(&room.or_insert_with(|| Room::new(self.kept)))
    }
}

impl Room {
    async fn next(self: Arc<Self>, since: Option<u64>) -> Answer {
        // Before the look at the history, so that nothing is published in between.
        let mut receiver = self.sender.subscribe();
        let mut seen = since;
        loop {
            let next = self.history.lock().unwrap().next(&mut seen);
            if let Some(answer) = next {
                return answer;
            }
            // What is still received of what was seen already is passed over.
            loop {
                match receiver.recv().await {
                    Ok((number, payload)) if Some(number) > seen => {
                        return Answer { number, payload, gap: false };
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => break,
                    Err(RecvError::Closed) => unreachable!("the room has a sender"),
                }
            }
        }
    }
}

impl Subject for Broadcast {
    const NAME: &'static str = "broadcast";
    type Name = String;
    type Cursor = u64;
    type Ask = (Arc<Room>, Option<u64>);
    type Output = Result<Answer, Elapsed>;

    fn keeping(events: usize) -> Self {
        Self { rooms: Arc::default(), kept: events }
    }

    fn name(text: &str) -> String {
        text.to_owned()
    }

    fn ask(&self, name: &String, since: Option<u64>) -> Self::Ask {
        (self.room(name), since)
    }

    fn wait((room, since): Self::Ask) -> impl Future<Output = Self::Output> + Send + 'static {
        timeout(HOLD, room.next(since))
    }

    fn publish(&self, name: &String, payload: Bytes) -> u64 {
        let room = self.room(name);
        let mut history = room.history.lock().unwrap();
        let (number, oldest) = history.push(payload.clone(), self.kept);
        // Under the lock, so that events are received in the order of their numbers. It fails if
        // nobody waits, which is no fault.
        let _ = room.sender.send((number, payload));
        drop(history);
        drop(oldest);
        number
    }

    fn event(output: &Self::Output) -> (u64, &Bytes) {
        history::event(output)
    }
}
