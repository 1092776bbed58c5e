//! By hand: a `Notify` for those who wait and a bounded history for those who were away. The only
//! one of the variants that loses nothing between two polls.

use std::{
    collections::VecDeque,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tower_longpoll::Channel;

use super::HISTORY;

#[derive(Clone)]
pub struct Notified(Arc<DashMap<String, Arc<Room>>>);

#[derive(Default)]
struct Room {
    notify: Notify,
    history: Mutex<History>,
}

#[derive(Default)]
struct History {
    last: u64,
    events: VecDeque<(u64, Bytes)>,
}

/// Who is in a room; takes it down on the way out if nothing needs it any more.
struct Seat {
    rooms: Arc<DashMap<String, Arc<Room>>>,
    room: Arc<Room>,
    channel: Channel,
}

impl Seat {
    async fn next(&self) -> (u64, Bytes) {
        let since = self.room.history.lock().unwrap().last;
        loop {
            let mut notified = pin!(self.room.notify.notified());
            // Before the look, so that nothing comes in between.
            notified.as_mut().enable();
            if let Some(event) = self.room.after(since) {
                return event;
            }
            notified.await;
        }
    }
}

impl Room {
    fn after(&self, since: u64) -> Option<(u64, Bytes)> {
        let history = self.history.lock().unwrap();
        let place = history.events.partition_point(|&(number, _)| number <= since);
        history.events.get(place).cloned()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        // Of the map and of this seat.
        if Arc::strong_count(&self.room) <= 2 {
            self.rooms.remove_if(self.channel.as_str(), |_, room| {
                Arc::strong_count(room) <= 2 && room.history.lock().unwrap().events.is_empty()
            });
        }
    }
}

impl Notified {
    fn room(&self, name: &str) -> Arc<Room> {
        if let Some(room) = self.0.get(name) {
            return Arc::clone(&room);
        }
        Arc::clone(&self.0.entry(name.to_owned()).or_default())
    }
}

impl super::Registry for Notified {
    type Output = Option<(u64, Bytes)>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn wait(
        self,
        channel: Channel,
        until: Instant,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        let room = self.room(channel.as_str());
        let seat = Seat { rooms: self.0, room, channel };
        async move { timeout_at(until, seat.next()).await.ok() }
    }

    fn publish(&self, channel: &Channel, payload: Bytes) {
        let room = self.room(channel.as_str());
        let mut history = room.history.lock().unwrap();
        history.last += 1;
        let event = (history.last, payload);
        history.events.push_back(event);
        if history.events.len() > HISTORY {
            history.events.pop_front();
        }
        drop(history);
        room.notify.notify_waiters();
    }
}
