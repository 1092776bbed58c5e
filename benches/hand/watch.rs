//! By hand: `watch`, which keeps one event, the last.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use dashmap::DashMap;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};
use tower_longpoll::Channel;

type Rooms = DashMap<String, watch::Sender<Option<Bytes>>>;

#[derive(Clone)]
pub struct Watched(Arc<Rooms>);

/// Takes the room down with the last receiver.
struct Seat {
    receiver: Option<watch::Receiver<Option<Bytes>>>,
    rooms: Arc<Rooms>,
    channel: Channel,
}

impl Seat {
    async fn next(&mut self) -> Option<Bytes> {
        let receiver = self.receiver.as_mut()?;
        receiver.changed().await.ok()?;
        receiver.borrow_and_update().clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.receiver = None;
        self.rooms.remove_if(self.channel.as_str(), |_, room| room.receiver_count() == 0);
    }
}

impl super::Registry for Watched {
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
            room.or_insert_with(|| watch::channel(None).0).subscribe()
        }));
        let mut seat = Seat { receiver, rooms: self.0, channel };
        async move { timeout_at(until, seat.next()).await.ok().flatten() }
    }

    fn publish(&self, channel: &Channel, payload: Bytes) {
        let room = self.0.get(channel.as_str()).map(|room| room.clone());
        let _ = room.map(|room| room.send(Some(payload)));
    }
}
