//! By hand: a room is a slab of `oneshot` senders. It keeps no events: what comes between two polls
//! is lost, and the next answer tells of a gap.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::rooms::{Answer, Room, Rooms};

pub(crate) type Oneshots = Rooms<Senders>;

#[derive(Default)]
pub(crate) struct Senders(Mutex<Places>);

#[derive(Default)]
struct Places {
    last: u64,
    senders: Vec<Option<oneshot::Sender<(u64, Bytes)>>>,
    /// Places whose owner has left.
    free: Vec<u32>,
}

/// The owner of a place in a room.
struct Seat {
    receiver: oneshot::Receiver<(u64, Bytes)>,
    room: Arc<Senders>,
    place: u32,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut places = self.room.0.lock().unwrap();
        places.senders[self.place as usize] = None;
        places.free.push(self.place);
    }
}

impl Senders {
    /// A seat, and the number of the last event before it.
    fn sit(self: Arc<Self>) -> (Seat, u64) {
        let (sender, receiver) = oneshot::channel();
        let mut places = self.0.lock().unwrap();
        let place = places.free.pop().unwrap_or(places.senders.len() as u32);
        match places.senders.get_mut(place as usize) {
            Some(free) => *free = Some(sender),
            None => places.senders.push(Some(sender)),
        }
        let last = places.last;
        drop(places);
        (Seat { receiver, room: self, place }, last)
    }
}

impl Room for Senders {
    const NAME: &'static str = "oneshot";

    fn keeping(_: usize) -> Self {
        Self::default()
    }

    async fn next(self: Arc<Self>, since: Option<u64>) -> Answer {
        let (mut seat, last) = self.sit();
        let sent = (&mut seat.receiver).await;
        let (number, payload) = sent.expect("the sender has a place as long as its owner");
        Answer { number, payload, gap: since.unwrap_or(last) + 1 < number }
    }

    fn publish(&self, payload: Bytes, _: usize) -> u64 {
        let mut places = self.0.lock().unwrap();
        places.last += 1;
        let number = places.last;
        let senders: Vec<_> = places.senders.iter_mut().filter_map(Option::take).collect();
        drop(places);
        for sender in senders {
            let _ = sender.send((number, payload.clone()));
        }
        number
    }
}
