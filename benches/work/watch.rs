//! By hand: a room is a `watch`, which keeps one event, the last. Who comes later than the next one
//! is told of a gap.

use std::{mem, sync::Arc};

use bytes::Bytes;
use tokio::sync::watch;

use super::rooms::{Answer, Room, Rooms};

pub(crate) type Watching = Rooms<Watched>;

pub(crate) struct Watched(watch::Sender<(u64, Bytes)>);

impl Room for Watched {
    const NAME: &'static str = "watch";

    fn keeping(_: usize) -> Self {
        Self(watch::Sender::new((0, Bytes::new())))
    }

    async fn next(self: Arc<Self>, since: Option<u64>) -> Answer {
        let mut receiver = self.0.subscribe();
        let seen = since.unwrap_or_else(|| receiver.borrow().0);
        let last = receiver.wait_for(|(number, _)| *number > seen).await;
        let (number, payload) = &*last.expect("the room has a sender");
        Answer { number: *number, payload: payload.clone(), gap: *number > seen + 1 }
    }

    fn publish(&self, payload: Bytes, _: usize) -> u64 {
        let (mut number, mut oldest) = (0, Bytes::new());
        self.0.send_modify(|last| {
            last.0 += 1;
            number = last.0;
            oldest = mem::replace(&mut last.1, payload);
        });
        number
    }
}
