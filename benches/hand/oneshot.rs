//! By hand: each room has a slab of `oneshot` senders. No history.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tower_longpoll::Channel;

type Rooms = DashMap<String, Room>;

#[derive(Clone)]
pub struct Oneshots(Arc<Rooms>);

#[derive(Default)]
struct Room {
    senders: Vec<Option<oneshot::Sender<Bytes>>>,
    /// Places whose owner has left.
    free: Vec<u32>,
}

impl Room {
    fn is_empty(&self) -> bool {
        self.free.len() == self.senders.len()
    }
}

/// The owner of a place in a room.
struct Seat {
    receiver: oneshot::Receiver<Bytes>,
    rooms: Arc<Rooms>,
    channel: Channel,
    place: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(mut room) = self.rooms.get_mut(self.channel.as_str()) else { return };
        if let Some(sender) = room.senders.get_mut(self.place as usize) {
            *sender = None;
        }
        room.free.push(self.place);
        let is_empty = room.is_empty();
        drop(room);
        if is_empty {
            self.rooms.remove_if(self.channel.as_str(), |_, room| room.is_empty());
        }
    }
}

impl super::Registry for Oneshots {
    type Output = Option<Bytes>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn wait(
        self,
        channel: Channel,
        until: Instant,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        let (sender, receiver) = oneshot::channel();
        let mut room = self.0.entry(channel.as_str().to_owned()).or_default();
        let place = room.free.pop().unwrap_or(room.senders.len() as u32);
        match room.senders.get_mut(place as usize) {
            Some(free) => *free = Some(sender),
            None => room.senders.push(Some(sender)),
        }
        drop(room);
        let seat = Seat { receiver, rooms: self.0, channel, place };
        async move {
            let mut seat = seat;
            timeout_at(until, &mut seat.receiver).await.ok()?.ok()
        }
    }

    fn publish(&self, channel: &Channel, payload: Bytes) {
        let Some(mut room) = self.0.get_mut(channel.as_str()) else { return };
        let senders: Vec<_> = room.senders.iter_mut().filter_map(Option::take).collect();
        drop(room);
        for sender in senders {
            let _ = sender.send(payload.clone());
        }
    }
}
