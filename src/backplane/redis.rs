//! A log in a stream of Redis or Valkey, through the crate [`redis`].
//!
//! ```no_run
//! use tower_longpoll::{Hub, backplane::{Backplane, redis::Redis}};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let log = Redis::new("redis://127.0.0.1", "app:events")?;
//! let backplane = Backplane::join(Hub::builder(), log).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it needs
//!
//! - Redis 7.0 or Valkey. A server that is shared with others is fine.
//! - `maxmemory-policy noeviction`, or keys of which none is evicted: with any other policy the server
//!   may throw the log away when its memory is full. That is told to all clients as a gap, and no event
//!   is mistaken for another, but all history is lost.
//! - A user who may do `+eval +evalsha +script|load +exists +get +set +del +time +hget +hmget +hset
//!   +hdel +xadd +xdel +xgroup|create +xinfo +xrange +xread +xsetid +xtrim` on the keys below.
//! - For TLS, a dependency of the application's own on the crate `redis` that turns one of its features
//!   on, such as `tokio-rustls-comp`; then `rediss://` URLs work here. [`Redis::with_client`] takes a
//!   client that has certificates of its own.
//!
//! Every hub has two connections: one for publishing, one that waits for entries. Nodes that read ask
//! every two seconds whether the stream is still there. They read up to 256 entries at once, and fewer if
//! those are large.
//!
//! # What is kept
//!
//! | key | what |
//! |---|---|
//! | `app:events` | the stream; each entry has the channel, payload and content type as they are |
//! | `{app:events}:notes` | a hash: the count and the bytes of what was appended, for trimming |
//! | `{app:events}:id:…` | where the entry of an id is, for two minutes: about 150 bytes for each event published in that time |
//!
//! A key with a hash tag of its own (`{app}:events`) keeps it. So all of a log is in one slot of a
//! cluster. The client does not follow a slot that moves to another node: it must be given the node
//! that has it, or a proxy that knows.
//!
//! The number of an entry is its id: 48 bits of milliseconds and 16 of the number in that millisecond.
//! When the clock of the server is set back, Redis stays in the last millisecond that it knew until the
//! clock is there again, and the driver has it go on to the next when 65,536 entries are used up. So
//! numbers always ascend. The age of an entry is told by the clock of the server alone.
//!
//! The epoch of a log is the name of a consumer group of the stream, by which nobody reads. It is made
//! once, with the stream, and is lost with it: after `FLUSHALL`, `DEL`, or a start without the data, the
//! log is a new one, and every cursor so far is a gap. Deleting the group has the same effect.
//!
//! Every append trims the stream by age (the largest `history_age` that fits all nodes should be given to
//! all) and, every mebibyte, by bytes: entries weigh what they do in the history of a hub. Redis trims whole
//! blocks of entries, so some more are kept for longer, but none less. [`Redis::max_entries`] is a limit by
//! number. Each entry names the one before it, so a node sees whatever was trimmed, or deleted with `XDEL`,
//! before it had read it, and tells a gap to those who have missed it, and nobody else.
//!
//! # What Redis promises, and what not
//!
//! - Entries have one order, and numbers that ascend; all nodes see the same.
//! - What is published is stored on the one server that answered, in its memory. When it is written to the
//!   disk is a setting of the server: with `appendfsync everysec` a crash of the machine loses the last
//!   second, without `appendonly` and `save` a restart loses everything.
//! - Replication is asynchronous: **a replica that takes over may lack the last events, although
//!   publishing them has succeeded**, and some nodes may have told them to their clients. A node that finds
//!   that the stream ends before what it has applied begins anew with what is there. If something was
//!   published meanwhile, nobody can tell. Either way clients that heard the lost events go on after them,
//!   without a gap, and others never hear them. Where that is not enough, use an engine with a quorum.
//! - The same is true of a server that is started from an older copy of its data.
//! - Retrying with the same id stores an entry once, as long as the server keeps its keys. A replica that
//!   takes over may lack the note of the id together with the entry, never only the note.

mod entry;
mod error;
mod id;
mod reader;
mod server;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use ::redis::{Client, aio::MultiplexedConnection};
use bytes::Bytes;
use tokio::sync::Mutex;

pub use self::{error::RedisError, reader::RedisReader};
use self::{
    id::StreamId,
    server::{Keys, Server},
};
use super::driver::{Driver, EntryId, Opened, Position, Retention};
use crate::change::Change;

/// A log in a stream of Redis or Valkey; the [module](self) says more.
#[derive(Debug)]
pub struct Redis {
    server: Server,
    max_entries: u64,
    retention: OnceLock<Retention>,
    /// What appends go through, while it works. Locked while it is made, so that it is made once.
    writer: Mutex<Option<Writer>>,
}

#[derive(Clone)]
struct Writer {
    connection: MultiplexedConnection,
    /// The name by which the server knows the script that appends.
    script: Arc<str>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("script", &self.script).finish_non_exhaustive()
    }
}

impl Redis {
    /// A log at a server, such as `redis://user:password@host:6379/0`, in the stream of this key. It
    /// does not connect yet.
    ///
    /// # Errors
    ///
    /// [`RedisError::Url`] or [`RedisError::Key`].
    pub fn new(url: &str, key: &str) -> Result<Self, RedisError> {
        let client = Client::open(url);
        Self::with_client(client.map_err(|error| RedisError::of(&error, key))?, key)
    }

    /// A log at the server of a client, for settings that no URL has.
    ///
    /// # Errors
    ///
    /// [`RedisError::Key`].
    pub fn with_client(client: Client, key: &str) -> Result<Self, RedisError> {
        let server = Server { client, keys: Keys::new(key)?, timeout: Duration::from_secs(5) };
        let (retention, writer) = (OnceLock::new(), Mutex::default());
        Ok(Self { server, max_entries: 0, retention, writer })
    }

    /// How many entries the stream keeps, beside its limits by age and bytes. Redis keeps some more,
    /// and always the last one. Default: zero, which is no limit. More than Redis can count is as many as
    /// that.
    #[must_use]
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.max_entries = entries.min(i64::MAX as u64);
        self
    }

    /// How long the server has for an answer, and for a connection. Then publishing fails, and who
    /// reads connects anew; a read that finds nothing takes two seconds more. At least a millisecond.
    /// Default: 5 seconds.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.server.timeout = timeout.max(Duration::from_millis(1));
        self
    }

    /// The connection for appending, and whether it is a new one.
    async fn writer(&self) -> Result<(Writer, bool), RedisError> {
        let mut writer = self.writer.lock().await;
        if let Some(writer) = &*writer {
            return Ok((writer.clone(), false));
        }
        let mut connection = self.server.connect().await?;
        let mut load = ::redis::cmd("SCRIPT");
        load.arg("LOAD").arg(server::APPEND);
        let script: String = self.server.ask(&mut connection, &load).await?;
        Ok((writer.insert(Writer { connection, script: script.into() }).clone(), true))
    }

    /// Has the next append connect anew, if nobody has since.
    fn forget(&self, used: &Writer) {
        // Whoever holds the lock connects already, or will find a connection that does not work.
        let Ok(mut writer) = self.writer.try_lock() else { return };
        if writer.as_ref().is_some_and(|writer| Arc::ptr_eq(&writer.script, &used.script)) {
            *writer = None;
        }
    }

    async fn append_by(
        &self,
        writer: &mut Writer,
        id: &EntryId,
        change: &Change,
    ) -> Result<Position, RedisError> {
        let keys = &self.server.keys;
        let (age, bytes) = self.retention.get().map_or((u64::MAX, u64::MAX), |retention| {
            let age = u64::try_from(retention.age.as_millis()).unwrap_or(u64::MAX);
            (age, retention.bytes as u64)
        });
        let mut command = ::redis::cmd("EVALSHA");
        command.arg(&*writer.script).arg(3);
        command.arg(&*keys.stream).arg(keys.notes()).arg(keys.id(id.as_str()));
        command.arg(server::new_epoch()).arg(Retention::DUPLICATES.as_secs());
        command.arg(self.max_entries).arg(age).arg(bytes).arg(change.weight());
        for field in entry::fields(change) {
            command.arg(field);
        }
        let (epoch, id): (Bytes, Bytes) = self.server.ask(&mut writer.connection, &command).await?;
        let place = server::parse_epoch(&epoch).zip(StreamId::parse(&id));
        let (epoch, id) = place.ok_or_else(|| RedisError::answer("to an append"))?;
        Ok(Position { epoch, sequence: id.sequence()? })
    }

    /// Tries again at once with a new connection if one that was left from before does not work: it may
    /// be from before a restart of the server.
    async fn append_with(
        &self,
        used: &mut Option<Writer>,
        id: &EntryId,
        change: &Change,
    ) -> Result<Position, RedisError> {
        let (mut writer, is_new) = self.writer().await?;
        *used = Some(writer.clone());
        match self.append_by(&mut writer, id, change).await {
            Err(error) if !is_new && error.may_be_of_an_old_connection() => self.forget(&writer),
            appended => return appended,
        }
        let (mut writer, _) = self.writer().await?;
        *used = Some(writer.clone());
        self.append_by(&mut writer, id, change).await
    }
}

impl Driver for Redis {
    type Error = RedisError;
    type Reader = RedisReader;

    async fn open(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> Result<Opened<RedisReader>, RedisError> {
        self.retention.get_or_init(|| *retention);
        let mut connection = self.server.connect().await?;
        let look = self.server.look(&mut connection, StreamId::default()).await?;
        let (epoch, last) = (look.epoch, look.last.passing()?);
        // A log that ends before what was read has lost entries, and is read anew.
        let after = after.filter(|after| after.epoch == epoch && after.sequence <= last);
        let read = StreamId::of(after.map_or(look.floor, |after| after.sequence));
        let reader = RedisReader::new(self.server.clone(), connection, epoch, read, look.length);
        Ok(Opened { epoch, floor: look.floor, last, reader })
    }

    async fn append(&self, id: &EntryId, change: &Change) -> Result<Position, RedisError> {
        let (mut used, after) = (None, self.server.timeout);
        let appended = tokio::time::timeout(after, self.append_with(&mut used, id, change)).await;
        let appended = appended.unwrap_or(Err(RedisError::Timeout { after }));
        if let (Err(_), Some(used)) = (&appended, &used) {
            self.forget(used);
        }
        appended
    }
}
