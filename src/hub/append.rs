//! Publishing to the log that a hub follows.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::{mpsc, oneshot};

use super::Hub;
use crate::{
    change::{Change, EntryId, Position},
    cursor::Cursor,
    outcome::PublishError,
    registry::Phase,
};

/// Something to append, and whom to tell.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) id: EntryId,
    pub(crate) change: Change,
    pub(crate) stored: oneshot::Sender<Result<Position, String>>,
}

impl Append {
    fn new(id: EntryId, change: Change) -> (Self, Appending) {
        let (stored, answer) = oneshot::channel();
        (Self { id: id.clone(), change, stored }, Appending { id, answer })
    }
}

impl Hub {
    /// Appends to the log, when there is room among the entries on their way.
    pub(crate) async fn append(&self, id: EntryId, change: Change) -> Result<Cursor, AppendError> {
        self.check(&change).map_err(AppendError::Refused)?;
        let (append, appending) = Append::new(id, change);
        let Some(log) = self.log() else { return Err(appending.gone()) };
        match log.send(append).await {
            Ok(()) => appending.await,
            Err(_) => Err(appending.gone()),
        }
    }

    /// The same, if there is room at the moment.
    pub(crate) fn try_append(
        &self,
        id: Option<EntryId>,
        change: Change,
    ) -> Result<Appending, AppendError> {
        self.check(&change).map_err(AppendError::Refused)?;
        let (append, appending) = Append::new(id.unwrap_or_else(EntryId::random), change);
        match self.log().map(mpsc::Sender::try_reserve) {
            Some(Ok(room)) => {
                room.send(append);
                Ok(appending)
            }
            Some(Err(mpsc::error::TrySendError::Full(()))) => Err(AppendError::Busy),
            Some(Err(mpsc::error::TrySendError::Closed(()))) | None => Err(appending.gone()),
        }
    }

    fn check(&self, change: &Change) -> Result<(), PublishError> {
        let config = self.config();
        let (max_bytes, name) = (config.max_channel_name_bytes, change.channel().as_str());
        if name.len() > max_bytes {
            return Err(PublishError::ChannelName { max_bytes });
        }
        if self.registry.common.phase() == Phase::Closed {
            return Err(PublishError::Closed);
        }
        let Change::Publish(_, event) = change else { return Ok(()) };
        if event.payload().len() > config.max_payload_bytes {
            return Err(PublishError::Payload { max_bytes: config.max_payload_bytes });
        }
        let max_bytes = config.total_history_bytes;
        if event.weight_on(change.channel()) > max_bytes {
            return Err(PublishError::TotalHistory { max_bytes });
        }
        Ok(())
    }
}

/// An entry on its way to the log.
#[derive(Debug)]
pub(crate) struct Appending {
    id: EntryId,
    answer: oneshot::Receiver<Result<Position, String>>,
}

impl Appending {
    fn gone(&self) -> AppendError {
        AppendError::Unknown {
            id: self.id.clone(),
            reason: "nobody writes the log any more".into(),
        }
    }
}

impl Future for Appending {
    type Output = Result<Cursor, AppendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.answer).poll(cx)) {
            Ok(Ok(Position { epoch, sequence })) => Ok(Cursor::new(epoch, sequence)),
            Ok(Err(reason)) => Err(AppendError::Unknown { id: self.id.clone(), reason }),
            Err(_) => Err(self.gone()),
        })
    }
}

/// Why an entry may not be in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppendError {
    /// It is beyond a limit of this hub, or the hub is closed. It is not in the log.
    Refused(PublishError),
    /// As many entries as may be are on their way to the log. It is not in the log. A
    /// [`PublishService`](crate::PublishService) then answers 503; a
    /// [`Publisher`](crate::backplane::Publisher) waits instead.
    Busy,
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
            Self::Busy => f.write_str("the log is slow: too many entries are on their way"),
            Self::Unknown { reason, .. } => write!(f, "it is not known to be stored: {reason}"),
        }
    }
}

impl Error for AppendError {}
