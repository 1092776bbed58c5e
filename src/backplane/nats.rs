//! A log in [NATS JetStream](https://docs.nats.io/nats-concepts/jetstream).
//!
//! A node that begins makes the stream if there is none, and else checks that it can do what the
//! node needs. Nothing else has to be set up but a server with JetStream (`nats-server -js`), 2.9
//! or later.
//!
//! ```no_run
//! use tower_longpoll::{Hub, backplane::{Backplane, nats::Nats}};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let log = Nats::new("nats://127.0.0.1:4222", "EVENTS");
//! let node = Backplane::join(Hub::builder(), log).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # The stream
//!
//! | setting | value |
//! |---|---|
//! | `subjects` | `longpoll.STREAM.TOKEN.>`, `longpoll.STREAM.STREAM.made`; see [`Nats::subject_prefix`] |
//! | `retention`, `discard` | `limits`, `old` |
//! | `max_age` | the hub's `history_age`, at least two minutes |
//! | `max_bytes` | the hub's `total_history_bytes` |
//! | `max_msgs_per_subject` | the hub's `history_events` and one |
//! | `max_msg_size` | the hub's `max_payload_bytes` and 16 KiB for headers |
//! | `duplicate_window` | [`Retention::DUPLICATES`] |
//! | `num_replicas` | [`Nats::replicas`] |
//! | `storage` | `file`, or see [`Nats::in_memory`] |
//!
//! A stream that exists is taken as it is if it keeps at least as much; a setting that falls short
//! is an error that names both values ([`NatsError::Contradiction`]). Nodes alter no stream: where
//! their settings differ, the first should be the most demanding one. The server reserves
//! `max_bytes`, and refuses to make a stream for which it has no room.
//!
//! `TOKEN` is random and made with the stream. It keeps what is published for a stream out of
//! another one that took its place meanwhile. Where an operator makes the streams, any one word
//! does, if each stream has another one. The other subject takes no messages. It is the same for all
//! who make the stream, so that of several at once a server refuses all but one. Those of a cluster may
//! let one replace another that was just made; then the stream is opened again.
//!
//! An event is a message with the same payload; its subject is `….event.NAME`, with percent signs
//! for what is not an ASCII letter or digit in the channel's name, nor `-`, `_` or `:`, or a hash
//! of a name that gets too long so. `….touch.NAME` and `….delete.NAME` have no payload. Headers are
//! `Nats-Msg-Id`, `Nats-Expected-Stream`, `Longpoll-Type` for the content type, and
//! `Longpoll-Channel` for a name that was hashed. Any other message in the stream is passed over.
//!
//! # Positions
//!
//! The sequence of a cursor is that of the stream; its epoch comes from the stream's name and the
//! time of its making. A stream that is deleted and made anew, or a server that comes back without
//! its data, is so another log, and every cursor from before is a gap.
//!
//! The first entry of a stream may move on because of any limit; NATS does not tell which. A node
//! that was not there then cannot know what was lost, and tells a gap to every client from before,
//! also of quiet channels.
//!
//! Single entries that are missing behind the first mean nothing: the stream lets them go that others
//! of their channels pushed out. So entries that an operator deletes, or purges by subject, are missed in
//! silence by nodes that had not read them, and by their clients. Purge up to a sequence instead, or delete
//! the channel through a [`Publisher`](super::Publisher).
//!
//! # What NATS promises
//!
//! An entry that was published is stored by most of the stream's replicas, in the order of its
//! sequence. It survives the end of a server process at any moment. With one replica it survives
//! neither the loss of the machine, nor that of its last writes when the machine stops: the server
//! has them written to the disk every two minutes (`sync_interval`). With three, all that may
//! happen to one of them at a time.
//!
//! An append that is repeated is stored once within two minutes, unless the server was restarted and
//! the entry pushed out of the stream meanwhile: it remembers by what the stream still has.
//!
//! A stream that has lost its last entries, but kept its identity, is applied anew by the nodes.
//! Clients with a cursor beyond what is left wait until the stream is there again, and miss what
//! has the numbers of the lost entries. Use three replicas where that matters.
//!
//! The age of an entry is told by the server's clock alone, as it is when the stream is opened;
//! clocks of nodes do not count. If the servers of a cluster disagree, ages are wrong by as much,
//! but never below zero: a node that begins then holds old entries for longer, or not as long.
//!
//! # Errors
//!
//! A server that is away, or has no JetStream, is [`NatsError::Unreachable`] or
//! [`NatsError::NoJetStream`]. NATS does not answer what a client has no permission for: that is
//! [`NatsError::Unanswered`], with the server's complaint if this driver made the connection. A
//! client needs to publish to the subjects of the stream, to `$JS.API.STREAM.INFO.STREAM`,
//! `$JS.API.STREAM.CREATE.STREAM` (if it is to make it), `$JS.API.STREAM.MSG.GET.STREAM`,
//! `$JS.API.CONSUMER.CREATE.STREAM` and `$JS.FC.STREAM.>`, and to subscribe to `_INBOX.>`.
//!
//! A server takes messages of 1 MiB by default, with headers (`max_payload`); what is larger is
//! [`NatsError::TooLarge`] when it is published. The default of the hub's `max_payload_bytes` is
//! just too much: raise the server's limit a little, or lower the hub's.
//!
//! A server that says nothing for a while ([`Nats::silence`]), a connection that was lost and made
//! anew, and a message that was lost on its way lead to the same: the node opens the stream again,
//! checks that it is the same, and goes on after the last entry that it has.

mod delivery;
mod error;
mod gathered;
mod message;
mod reader;
mod server;
mod stream;
mod subject;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::{
    Client,
    jetstream::{ErrorCode, publish::PublishAck},
};
use tokio::{
    sync::{Notify, OnceCell, watch},
    time::sleep,
};

pub use self::{error::NatsError, reader::NatsReader};
use self::{
    message::Message,
    server::Server,
    stream::{Log, Wanted},
};
use super::driver::{Driver, Opened, Retention};
use crate::change::{Change, EntryId, Position};

/// How often a stream that is replaced each time is opened before that is an error.
const OPENINGS: u32 = 50;

/// A stream of NATS JetStream as the log of a hub. See the [module](self).
#[derive(Debug)]
#[must_use]
pub struct Nats {
    source: Source,
    wanted: Wanted,
    answer_within: Duration,
    silence: Duration,
    server: OnceCell<Server>,
    /// The stream that was opened last.
    log: watch::Sender<Option<Arc<Log>>>,
    /// Tells the reader that an append found no stream, or another one.
    doubt: Arc<Notify>,
}

/// Where the server is: the URL of one, or a client.
///
/// With a URL (`nats://` or `tls://`, and `name:password@` or `token@` if need be), the driver
/// connects when the log is opened, and again whenever the connection is lost. For anything else,
/// such as credentials in a file or several servers, make a client with
/// [`async_nats::ConnectOptions`]; it may have other uses beside. Give it a `subscription_capacity`
/// of 500,000: with its default, it drops messages when a node begins with very many small ones,
/// and the stream is opened again.
#[derive(Clone)]
pub struct Source(Place);

#[derive(Clone)]
enum Place {
    Url(String),
    Client(Client),
}

/// URLs may hold passwords.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").finish_non_exhaustive()
    }
}

impl From<&str> for Source {
    fn from(url: &str) -> Self {
        Self(Place::Url(url.to_owned()))
    }
}

impl From<String> for Source {
    fn from(url: String) -> Self {
        Self(Place::Url(url))
    }
}

impl From<Client> for Source {
    fn from(client: Client) -> Self {
        Self(Place::Client(client))
    }
}

impl Nats {
    /// The stream of this name, on the server of this URL or client.
    ///
    /// Names of streams are up to 64 ASCII letters, digits, `-` and `_`; another one is an error
    /// when the log is opened.
    pub fn new(server: impl Into<Source>, stream: impl Into<String>) -> Self {
        let name = stream.into();
        let prefix = format!("longpoll.{name}");
        Self {
            source: server.into(),
            wanted: Wanted { name, prefix, replicas: 1, in_memory: false },
            answer_within: Duration::from_secs(5),
            silence: Duration::from_secs(12),
            server: OnceCell::new(),
            log: watch::Sender::new(None),
            doubt: Arc::default(),
        }
    }

    /// On how many servers of a cluster each entry is stored: 1, 3 or 5. Default: 1; zero counts as
    /// one. A stream that exists with fewer is an error.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.wanted.replicas = replicas.max(1);
        self
    }

    /// Makes a stream in the memory of its servers: quicker, and gone with them. Default: in files.
    pub fn in_memory(mut self) -> Self {
        self.wanted.in_memory = true;
        self
    }

    /// How long the server has for an answer, be it to an append or anything else. Default: 5
    /// seconds. After that it is not known whether an entry was stored.
    pub fn answer_within(mut self, limit: Duration) -> Self {
        self.answer_within = limit;
        self
    }

    /// How long nothing may be heard of the server before the stream is opened again. Default: 12
    /// seconds; less than 300 milliseconds counts as that. When there are no entries, the server
    /// says three times as often that it is there.
    pub fn silence(mut self, limit: Duration) -> Self {
        self.silence = limit.max(Duration::from_millis(300));
        self
    }

    /// What the subjects of the stream begin with: words of ASCII letters, digits, `-` and `_` with
    /// dots in between, up to 128 bytes. Default: `longpoll.` and the name of the stream.
    pub fn subject_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.wanted.prefix = prefix.into();
        self
    }

    async fn server(&self) -> Result<&Server, NatsError> {
        let connect = async || match &self.source.0 {
            Place::Url(url) => Server::connect(url, self.answer_within).await,
            Place::Client(client) => Ok(Server::of(client.clone(), self.answer_within)),
        };
        self.server.get_or_try_init(connect).await
    }

    async fn open_once(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> Result<Opened<NatsReader>, NatsError> {
        let server = self.server().await?;
        let (info, log) = self.wanted.open(server, retention).await?;
        let (epoch, last) = (log.epoch, info.state.last_sequence);
        let (floor, log) = (stream::floor(&info), Arc::new(log));
        // A stream that lost what was read last is read from its beginning.
        let after = after.filter(|after| after.epoch == epoch && after.sequence <= last);
        let after = after.map_or(0, |after| after.sequence).max(floor);
        let reader = NatsReader::start(
            server.clone(),
            self.wanted.clone(),
            Arc::clone(&log),
            Arc::clone(&self.doubt),
            after,
            self.silence,
        );
        let reader = reader.await?;
        // It is read by its name, which another one may have taken meanwhile.
        reader.check_stream().await?;
        self.log.send_replace(Some(log));
        Ok(Opened { epoch, floor, last, reader })
    }

    /// The stream may not be what it was: the reader is to look.
    fn doubt(&self, error: NatsError) -> NatsError {
        self.doubt.notify_one();
        error
    }
}

impl Driver for Nats {
    type Error = NatsError;
    type Reader = NatsReader;

    async fn open(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> Result<Opened<NatsReader>, NatsError> {
        self.wanted.check()?;
        // Of nodes that begin at once, one may see a stream that another's replaces at once.
        for _ in 1..OPENINGS {
            match self.open_once(after, retention).await {
                Err(stream::REPLACED) => sleep(stream::PAUSE).await,
                opened => return opened,
            }
        }
        self.open_once(after, retention).await
    }

    async fn append(&self, id: &EntryId, change: &Change) -> Result<Position, NatsError> {
        let lost = |reason| NatsError::Lost { reason };
        let Some(log) = self.log.borrow().clone() else { return Err(lost("it was not opened")) };
        let server = self.server().await?;
        let message = Message::new(&log.base, &self.wanted.name, id, change);
        let (bytes, max_bytes) = (message.bytes(), server.client.server_info().max_payload);
        if bytes > max_bytes {
            return Err(NatsError::TooLarge { bytes, max_bytes });
        }
        // What is stored from here on comes after this, in the same stream.
        let before = log.last.load(Ordering::Relaxed);
        let Message { subject, headers, payload } = message;
        let asked = server.ask("say that it stored the entry", subject, headers, payload).await;
        let answer = asked.map_err(|error| match error {
            // The subject is of no stream.
            NatsError::NoJetStream => {
                self.doubt(lost("no stream takes the entry: it is gone, or not ready yet"))
            }
            error => error,
        })?;
        let PublishAck { stream, sequence, duplicate, .. } = answer.map_err(|(code, error)| {
            if code == ErrorCode::STREAM_NOT_MATCH { self.doubt(error) } else { error }
        })?;
        if stream != self.wanted.name || sequence <= before && !duplicate {
            return Err(self.doubt(lost("another stream took the entry")));
        }
        log.last.fetch_max(sequence, Ordering::Relaxed);
        Ok(Position { epoch: log.epoch, sequence })
    }
}
