//! Several processes, one hub: an event published on any of them reaches the polls of all.
//!
//! An engine that keeps an ordered, replicated log does the hard part; see [`Driver`] for what it has
//! to be able to do. Every node applies that log, in order, to a [`Hub`] of its own: the numbers of
//! the log are the sequence of its cursors, and the identity of the log is their epoch. So a client
//! can take its cursor to any node, and go on there with nothing lost and nothing twice. Everything else,
//! the layer, waits, replies and drains, is as with one process.
//!
//! # Rules
//!
//! - Events are published by a [`Publisher`], or by `POST` through a
//!   [`PublishService`](crate::PublishService). [`Hub::publish`], which cannot wait for the log, takes none
//!   ([`PublishError::Follows`](crate::PublishError::Follows)), nor does the hub touch or delete.
//! - A node begins with what the log holds. Until it has applied what was there when it began, it is
//!   not ready ([`Backplane::ready`], [`Stats::ready`](crate::Stats::ready)) and should get no clients.
//! - A poll with a cursor from further on, of a node that is quicker, waits until this one is there.
//! - If the log is away, polls stay parked and publishing fails; the node opens the log again with
//!   growing pauses, and goes on where it was. What the log has let go meanwhile is a gap for
//!   clients from before it.
//! - If the log has lost its data, or is another one, every cursor so far is a gap.
//! - A log that keeps its identity but loses its *end*, entries that it had called stored, gives their
//!   numbers to others. Nobody can tell then what a client from beyond that end has seen: it may miss
//!   events in silence. Engines do that if they are set up to: see what each promises in
//!   [`clusters`](crate::guide::clusters).
//! - What has no room on a node (see [`HubBuilder`]) is a gap for its clients there, never a refusal.
//!   [`HubBuilder::evict_oldest`] is always on.
//!
//! ```
//! use tower_longpoll::{Channel, Hub, Waited, backplane::{Backplane, MemoryLog}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = MemoryLog::new();
//! let here = Backplane::join(Hub::builder(), log.clone()).await?;
//! let there = Backplane::join(Hub::builder(), log).await?;
//!
//! let channel = Channel::new("news")?;
//! let cursor = there.hub().cursor();
//! here.publisher().publish(&channel, "it works").await?;
//! let Waited::Events(batch) = there.hub().wait([&channel]).since(cursor).await else { panic!() };
//! assert_eq!(batch.entries()[0].payload(), "it works");
//! # Ok(())
//! # }
//! ```

mod driver;
mod memory;
#[cfg(feature = "nats")]
pub mod nats;
mod publisher;
mod pump;
#[cfg(feature = "redis")]
pub mod redis;

use std::{error::Error, fmt, sync::Arc};

use tokio::sync::{mpsc, watch};

pub use self::{
    driver::{Driver, Entry, Opened, Portion, Reader, Retention},
    memory::{MemoryLog, MemoryReader},
    publisher::Publisher,
};
use self::{publisher::MAX_APPENDS, pump::Pump};
pub use crate::{
    change::{Change, EntryId, Position},
    hub::AppendError,
};
use crate::{
    config::ConfigError,
    cursor::Cursor,
    hub::{Hub, HubBuilder},
};

/// A hub that follows a log. A cheap clone.
///
/// It follows for as long as any handle to the hub is left.
#[derive(Clone, Debug)]
pub struct Backplane {
    publisher: Publisher,
    status: watch::Receiver<Status>,
}

/// How far a hub has followed its log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// Whether it has applied what the log had when it began to follow it.
    pub ready: bool,
    /// The position up to which it has applied the log.
    pub applied: Cursor,
    /// How many entries of the log it has not applied, as far as it knows.
    pub lag: u64,
    /// Why the log cannot be read at the moment.
    pub error: Option<String>,
}

impl Backplane {
    /// Makes a hub that follows a log, and begins to apply what that holds.
    ///
    /// Must be called on a tokio runtime, where it leaves two tasks that end with the hub, or when it
    /// is closed. It waits for as long as the log takes to open; later on, half a minute counts as a
    /// failure.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the settings contradict each other, or the log cannot be opened.
    pub async fn join<D: Driver>(
        settings: HubBuilder,
        driver: D,
    ) -> Result<Self, JoinError<D::Error>> {
        let hub = settings.follow().map_err(JoinError::Config)?;
        let (driver, config) = (Arc::new(driver), hub.config());
        let retention = Retention {
            age: config.history_age,
            bytes: config.total_history_bytes,
            events_per_channel: config.history_events.saturating_add(1),
            payload_bytes: config.max_payload_bytes,
        };
        let opened = driver.open(None, &retention).await.map_err(JoinError::Driver)?;
        let Opened { epoch, floor, last, reader } = opened;
        hub.reset(epoch, floor);
        let (ready, lag) = (last <= floor, pump::lag(floor, last, &reader));
        hub.set_lag(ready, lag);
        let status = Status { ready, applied: hub.cursor(), lag, error: None };
        let (sender, status) = watch::channel(status);
        let pump = Pump {
            driver: Arc::clone(&driver),
            hub: hub.followed(),
            retention,
            status: sender,
            position: Position { epoch, sequence: floor },
            target: last,
            pause: pump::FIRST_PAUSE,
        };
        let (appends, to_append) = mpsc::channel(MAX_APPENDS);
        tokio::spawn(publisher::write(driver, to_append));
        hub.attach(appends, tokio::spawn(pump.run(reader)).abort_handle());
        Ok(Self { publisher: Publisher { hub }, status })
    }

    /// The hub, for the layer and for waits.
    pub fn hub(&self) -> &Hub {
        &self.publisher.hub
    }

    /// Publishes on this hub and all others that follow the log.
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Waits until the hub has applied what the log had when it began to follow it. False if that will
    /// never be: the hub was closed, or its driver has panicked.
    pub async fn ready(&self) -> bool {
        self.status.clone().wait_for(|status| status.ready).await.is_ok()
    }

    /// How far the hub is at the moment.
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }
}

/// Why a hub does not follow a log.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError<E> {
    /// The hub's settings contradict each other.
    Config(ConfigError),
    /// The log cannot be opened.
    Driver(E),
}

impl<E: fmt::Display> fmt::Display for JoinError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Driver(error) => write!(f, "the log cannot be opened: {error}"),
        }
    }
}

impl<E: Error> Error for JoinError<E> {}
