//! Publishing to a log.

use std::{error::Error, fmt, sync::Arc};

use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::driver::{Driver, EntryId, Position};
use crate::{
    change::Change, channel::Channel, cursor::Cursor, event::Event, hub::Hub, outcome::PublishError,
};

/// Publishes to the log of a hub. A cheap clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub(super) hub: Hub,
    pub(super) appends: mpsc::Sender<Append>,
}

/// Something to append, and whom to tell.
#[derive(Debug)]
pub(super) struct Append {
    id: EntryId,
    change: Change,
    stored: oneshot::Sender<Result<Position, String>>,
}

/// Appends that are on their way to the log at the same time; others wait for them.
pub(super) const MAX_APPENDS: usize = 1_024;

impl Publisher {
    /// Publishes an event on all hubs that follow the log. Returns its cursor once the log has stored
    /// it; this hub may not have applied it yet, and lets a poll from that cursor wait until it has.
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
        self.check(&change).map_err(AppendError::Refused)?;
        let (stored, answer) = oneshot::channel();
        let gone = |id| AppendError::Unknown { id, reason: "the hub is gone".into() };
        let append = Append { id: id.clone(), change, stored };
        if self.appends.send(append).await.is_err() {
            return Err(gone(id));
        }
        match answer.await {
            Ok(Ok(Position { epoch, sequence })) => Ok(Hub::position_of(epoch, sequence)),
            Ok(Err(reason)) => Err(AppendError::Unknown { id, reason }),
            Err(_) => Err(gone(id)),
        }
    }

    fn check(&self, change: &Change) -> Result<(), PublishError> {
        let config = self.hub.config();
        let (max_bytes, name) = (config.max_channel_name_bytes, change.channel().as_str());
        if name.len() > max_bytes {
            return Err(PublishError::ChannelName { max_bytes });
        }
        match change {
            Change::Publish(_, event) if event.payload().len() > config.max_payload_bytes => {
                Err(PublishError::Payload { max_bytes: config.max_payload_bytes })
            }
            _ => Ok(()),
        }
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
            let appended = driver.append(&id, &change).await;
            let _ = stored.send(appended.map_err(|error| error.to_string()));
            drop(permit);
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

/// Why an entry may not be in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// It is beyond a limit of this hub. It is not in the log.
    Refused(PublishError),
    /// The log could not be asked, or did not answer. It may be in the log or not; trying again with
    /// the same id stores it once.
    Unknown {
        /// The id of the entry.
        id: EntryId,
        /// What went wrong.
        reason: String,
    },
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Unknown { reason, .. } => write!(f, "it is not known to be stored: {reason}"),
        }
    }
}

impl Error for AppendError {}
