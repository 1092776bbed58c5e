//! By hand: a room is a history and a `Notify`.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::Notify;

use super::rooms::{Answer, History, Room, Rooms};

pub(crate) type Notifying = Rooms<Notified>;

pub(crate) struct Notified {
    history: Mutex<History>,
    notify: Notify,
}

impl Room for Notified {
    const NAME: &'static str = "Notify + history";

    fn keeping(_: usize) -> Self {
        Self { history: Mutex::default(), notify: Notify::new() }
    }

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

    fn publish(&self, payload: Bytes, kept: usize) -> u64 {
        let (number, oldest) = self.history.lock().unwrap().push(payload, kept);
        self.notify.notify_waiters();
        drop(oldest);
        number
    }
}
