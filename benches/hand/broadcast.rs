//! By hand: `broadcast`. Its ring keeps the last events for those who are there; who comes later has
//! missed them.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::{
    sync::broadcast,
    time::{Instant, timeout_at},
};
use tower_longpoll::Channel;

use super::HISTORY;

type Rooms = DashMap<String, broadcast::Sender<Bytes>>;

#[derive(Clone)]
pub struct Broadcast(Arc<Rooms>);

/// Takes the room down with the last receiver. Declared, and so dropped, after the receiver.
struct Seat {
    receiver: Option<broadcast::Receiver<Bytes>>,
    rooms: Arc<Rooms>,
    channel: Channel,
}

impl Seat {
    async fn next(&mut self) -> Option<Bytes> {
        self.receiver.as_mut()?.recv().await.ok()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.receiver = None;
        self.rooms.remove_if(self.channel.as_str(), |_, room| room.receiver_count() == 0);
    }
}

impl super::Registry for Broadcast {
    type Output = Option<Bytes>;

    fn new() -> Self {
        Self(Arc::default())
    }

    fn wait(
        self,
        channel: Channel,
        until: Instant,
    ) -> impl Future<Output = Self::Output> + Send + 'static {
        let known = self.0.get(channel.as_str()).map(|room| room.subscribe());
        let receiver = Some(known.unwrap_or_else(|| {
            let room = self.0.entry(channel.as_str().to_owned());
            room.or_insert_with(|| broadcast::channel(HISTORY).0).subscribe()
        }));
        let mut seat = Seat { receiver, rooms: self.0, channel };
        async move { timeout_at(until, seat.next()).await.ok().flatten() }
    }

    fn publish(&self, channel: &Channel, payload: Bytes) {
        // A clone, or the map is locked for as long as all are woken.
        let room = self.0.get(channel.as_str()).map(|room| room.clone());
        let _ = room.map(|room| room.send(payload));
    }
}
