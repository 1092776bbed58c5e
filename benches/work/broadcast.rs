//! By hand: a room is a history and a `broadcast` channel.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use super::rooms::{Answer, History, Room, Rooms};

pub(crate) type Broadcast = Rooms<Broadcasting>;

pub(crate) struct Broadcasting {
    history: Mutex<History>,
    sender: broadcast::Sender<(u64, Bytes)>,
}

impl Room for Broadcasting {
    const NAME: &'static str = "broadcast + history";

    fn keeping(events: usize) -> Self {
        Self { history: Mutex::default(), sender: broadcast::Sender::new(events) }
    }

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

    fn publish(&self, payload: Bytes, kept: usize) -> u64 {
        let mut history = self.history.lock().unwrap();
        let (number, oldest) = history.push(payload.clone(), kept);
        // Under the lock, so that events are received in the order of their numbers. It fails if
        // nobody waits, which is no fault.
        let _ = self.sender.send((number, payload));
        drop(history);
        drop(oldest);
        number
    }
}
