//! Publishing to a log.

use std::sync::Arc;

use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};

use super::driver::{Driver, LIMIT};
use crate::{
    change::{Change, EntryId},
    channel::Channel,
    cursor::Cursor,
    event::Event,
    hub::{Append, AppendError, Hub},
};

/// Publishes to the log of a hub. A cheap clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub(super) hub: Hub,
}

/// Appends that are on their way to the log at the same time; others wait for them.
pub(super) const MAX_APPENDS: usize = 1_024;

impl Publisher {
    /// Publishes an event on all hubs that follow the log. Returns its cursor once the log has stored
    /// it; this hub may not have applied it yet, and lets a poll from that cursor wait until it has. (Where
    /// it has not noticed yet that the log is another one, it tells such a poll of a gap.)
    ///
    /// Two events of which the second is published when the first has returned come in this order.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: if it is beyond this hub's limits, or not known to be stored.
    pub async fn publish(
        &self,
        channel: &Channel,
        event: impl Into<Event>,
    ) -> Result<Cursor, AppendError> {
        self.append(EntryId::random(), Change::Publish(channel.clone(), event.into())).await
    }

    /// Wakes who waits on a channel, of all hubs that follow the log, without an event.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    pub async fn touch(&self, channel: &Channel) -> Result<Cursor, AppendError> {
        self.append(EntryId::random(), Change::Touch(channel.clone())).await
    }

    /// Deletes a channel on all hubs that follow the log.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    pub async fn delete(&self, channel: &Channel) -> Result<Cursor, AppendError> {
        self.append(EntryId::random(), Change::Delete(channel.clone())).await
    }

    /// The same with an id of the application's: of entries with one id, one is stored. For trying
    /// again what [`AppendError::Unknown`] left open.
    ///
    /// # Errors
    ///
    /// As for [`publish`](Self::publish).
    pub async fn append(&self, id: EntryId, change: Change) -> Result<Cursor, AppendError> {
        self.hub.append(id, change).await
    }
}

/// Appends what comes, until nobody is left from whom it could.
pub(super) async fn write<D: Driver>(driver: Arc<D>, mut appends: mpsc::Receiver<Append>) {
    let (mut tasks, room) = (JoinSet::new(), Arc::new(Semaphore::new(MAX_APPENDS)));
    while let Some(Append { id, change, stored }) = appends.recv().await {
        // Invariant: the semaphore is never closed.
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let driver = Arc::clone(&driver);
        tasks.spawn(async move {
            let appended = match timeout(LIMIT, driver.append(&id, &change)).await {
                Ok(appended) => appended.map_err(|error| error.to_string()),
                Err(_) => Err("the log did not answer in time".into()),
            };
            let _ = stored.send(appended);
            drop(permit);
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}
