//! By hand: a map of rooms, each a history and a `Notify`.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::{
    sync::Notify,
    time::{error::Elapsed, timeout},
};

use super::{
    history::{self, Answer, History},
    subject::{HOLD, Subject},
};

/// Rooms are never taken out: to do that when the last poll leaves, and to lose no event between, is
/// hard to get right, so most who write this have a sweep now and then. It is not measured.
#[derive(Clone)]
pub(crate) struct Notifying {
    rooms: Arc<DashMap<String, Arc<Room>>>,
    kept: usize,
}

#[derive(Default)]
pub(crate) struct Room {
    history: Mutex<History>,
    notify: Notify,
}

impl Notifying {
    fn room(&self, name: &str) -> Arc<Room> {
        if let Some(room) = self.rooms.get(name) {
            return Arc::clone(&room);
        }
        Arc::clone(&self.rooms.entry(name.to_owned()).or_default())
    }
}

impl Room {
    async fn next(self: Arc<Self>, since: Option<u64>) -> Answer {
        let mut seen = since;
        loop {
            // It is told of all that is published from here on, also before it is first polled:
            // that is what `notify_waiters` promises, so it need not be enabled.
            let notified = self.notify.notified();
            let next = self.history.lock().unwrap().next(&mut seen);
            if let Some(answer) = next {
                return answer;
            }
            notified.await;
        }
    }
}

impl Subject for Notifying {
    const NAME: &'static str = "Notify + history";
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
        let (number, oldest) = room.history.lock().unwrap().push(payload, self.kept);
        room.notify.notify_waiters();
        drop(oldest);
        number
    }

    fn event(output: &Self::Output) -> (u64, &Bytes) {
        history::event(output)
    }
}
