//! Applies a log to a hub, entry by entry.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::yield_now,
    time::{sleep, timeout},
};

use super::{
    Status,
    driver::{Driver, LIMIT, Opened, Portion, Reader, Retention},
};
use crate::{
    change::Position,
    hub::{Followed, Hub},
    random,
};

pub(super) struct Pump<D: Driver> {
    pub(super) driver: Arc<D>,
    pub(super) hub: Followed,
    pub(super) retention: Retention,
    pub(super) status: watch::Sender<Status>,
    /// Up to where the log was applied.
    pub(super) position: Position,
    /// The last entry of the log when it was opened first.
    pub(super) target: u64,
    /// Before the log is opened again.
    pub(super) pause: Duration,
}

/// Between two tries to open a log that cannot be read.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whatever ends it (its runtime was dropped, or the driver has panicked), nobody follows any more.
impl<D: Driver> Drop for Pump<D> {
    fn drop(&mut self) {
        let lag = self.status.borrow().lag;
        if let Some(hub) = self.hub.hub() {
            hub.set_lag(false, lag);
        }
        self.status.send_modify(|status| {
            status.ready = false;
            status.error = Some("nobody reads the log any more".into());
        });
    }
}

impl<D: Driver> Pump<D> {
    /// Runs until the hub is gone or closed.
    pub(super) async fn run(mut self, mut reader: D::Reader) {
        loop {
            let error = match self.read(&mut reader).await {
                Ok(()) => return,
                Err(error) => error.to_string(),
            };
            self.status.send_modify(|status| status.error = Some(error));
            let Some(again) = self.open_again().await else { return };
            reader = again;
        }
    }

    /// Applies what is read until that fails. Ends without an error when the hub is gone.
    async fn read(&mut self, reader: &mut D::Reader) -> Result<(), D::Error> {
        loop {
            let portion = reader.next().await?;
            let Some(hub) = self.hub.hub() else { return Ok(()) };
            self.apply(&hub, portion);
            drop(hub);
            self.pause = FIRST_PAUSE;
            // Others of this thread have their turn, however much there is to read.
            yield_now().await;
        }
    }

    fn apply(&mut self, hub: &Hub, portion: Portion) {
        let Portion { floor, entries, behind } = portion;
        self.skip(hub, floor);
        for entry in entries {
            match entry.change {
                Some(change) => hub.apply(entry.sequence, change, entry.age),
                None => hub.pass(entry.sequence),
            }
            self.position.sequence = self.position.sequence.max(entry.sequence);
        }
        hub.arrive();
        self.tell(hub, behind);
    }

    fn skip(&mut self, hub: &Hub, floor: u64) {
        if floor > self.position.sequence {
            hub.skip_to(floor);
            self.position.sequence = floor;
        }
    }

    fn tell(&self, hub: &Hub, behind: u64) {
        let is_ready = self.status.borrow().ready || self.position.sequence >= self.target;
        hub.set_lag(is_ready, behind);
        let applied = Hub::position_of(self.position.epoch, self.position.sequence);
        self.status.send_modify(|status| {
            *status = Status { ready: is_ready, applied, lag: behind, error: None };
        });
    }

    /// Opens the log until that succeeds; none when the hub is gone.
    async fn open_again(&mut self) -> Option<D::Reader> {
        loop {
            // Nodes that lost the log together do not come back together.
            let millis = self.pause.as_millis() as u64;
            sleep(Duration::from_millis(millis / 2 + random::up_to(millis / 2))).await;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            self.hub.hub()?;
            let opened = self.driver.open(Some(self.position), &self.retention);
            let opened = timeout(LIMIT, opened).await;
            let hub = self.hub.hub()?;
            let error = match opened {
                Ok(Ok(opened)) => return Some(self.go_on(&hub, opened)),
                Ok(Err(error)) => error.to_string(),
                Err(_) => "the log was not opened in time".into(),
            };
            self.status.send_modify(|status| status.error = Some(error));
        }
    }

    fn go_on(&mut self, hub: &Hub, opened: Opened<D::Reader>) -> D::Reader {
        let Opened { epoch, floor, last, reader } = opened;
        // A log of the same epoch that ends before what was applied has lost entries, and will give
        // their numbers away again.
        if epoch != self.position.epoch || last < self.position.sequence {
            hub.reset(epoch, floor);
            self.position = Position { epoch, sequence: floor };
            self.target = last;
        }
        self.skip(hub, floor);
        self.tell(hub, lag(self.position.sequence, last, &reader));
        reader
    }
}

/// How many entries are to be read of a log that was opened, as far as is known.
pub(super) fn lag(read: u64, last: u64, reader: &impl Reader) -> u64 {
    let numbers = last.saturating_sub(read);
    reader.behind().map_or(numbers, |behind| behind.min(numbers))
}
