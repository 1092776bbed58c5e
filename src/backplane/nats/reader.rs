//! Reads a stream: messages that the server pushes, in order and without acknowledgement.
//!
//! The server numbers what it pushes to a reader. If a number is missing, nothing has been heard
//! for too long, or the connection was made anew, the reader fails and the stream is opened again
//! after what was read last, its identity checked. That is simpler than healing in here, where the
//! stream could have become another.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::Duration,
};

use async_nats::{
    HeaderMap, Message, StatusCode, Subject, Subscriber,
    header::NATS_LAST_CONSUMER,
    jetstream::{
        ErrorCode,
        consumer::{
            self, AckPolicy, DeliverPolicy, IntoConsumerConfig, ReplayPolicy, push::Config,
        },
        stream::Info,
    },
};
use bytes::Bytes;
use futures_core::Stream;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    delivery::Delivery,
    error::NatsError,
    gathered::Gathered,
    message,
    server::Server,
    stream::{self, Log, Wanted},
};
use crate::backplane::{Entry, Portion, Reader};

/// Reads a stream of NATS JetStream. Made by [`Nats`](super::Nats).
#[derive(Debug)]
pub struct NatsReader {
    server: Server,
    wanted: Wanted,
    log: Arc<Log>,
    /// Somebody doubts that the stream is there.
    doubt: Arc<Notify>,
    subscriber: Subscriber,
    clock: Clock,
    /// Connections that the client had made when this reader was.
    connects: u64,
    /// The longest that nothing may be heard, and since when nothing was.
    silence: Duration,
    heard: Instant,
    /// When to look next whether the connection is still the same.
    next_check: Instant,
    /// The number that the server gave the last message for this reader.
    delivered: u64,
    /// Messages that it had not pushed yet, then.
    pending: u64,
    /// The last entry that is known to have been stored.
    known: u64,
    gathered: Gathered,
    /// The server wants to know that all before was read.
    replies: Vec<Subject>,
    look: Look,
}

/// Whether to look at the stream before what was read is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Look {
    No,
    /// It may not be there any more, or has let go what was not read.
    Once,
    /// Also, it has nothing to push, but should have.
    Idle,
}

/// The server's clock, as far as it can be known: an exact time of its, and when that was.
#[derive(Debug)]
struct Clock {
    server_ns: i128,
    at: Instant,
}

/// How often to look whether the connection is still the same.
const TICK: Duration = Duration::from_secs(1);

/// How long the server keeps a reader that nobody reads.
const ABANDONED: Duration = Duration::from_secs(30);

/// The header of a heartbeat that waits for an answer.
const STALLED: &str = "Nats-Consumer-Stalled";

enum Heard {
    Message(Option<Message>),
    Doubt,
    Tick,
}

impl NatsReader {
    /// Begins after the entry of number `after`.
    pub(super) async fn start(
        server: Server,
        wanted: Wanted,
        log: Arc<Log>,
        doubt: Arc<Notify>,
        after: u64,
        silence: Duration,
    ) -> Result<Self, NatsError> {
        let connects = connects(&server);
        let inbox = server.client.new_inbox();
        let subscribed = server.client.subscribe(inbox.clone());
        let lost = |_| NatsError::Lost { reason: "the client is closed" };
        let subscriber = server.within("subscribe", subscribed).await?.map_err(lost)?;
        let config = Config {
            deliver_subject: inbox,
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            max_deliver: 1,
            flow_control: true,
            // So that two may be lost.
            idle_heartbeat: (silence / 3).max(Duration::from_millis(100)),
            inactive_threshold: ABANDONED,
            memory_storage: true,
            num_replicas: 1,
            ..Config::default()
        };
        let request = serde_json::json!({
            "stream_name": wanted.name,
            "config": config.into_consumer_config(),
        });
        let subject = format!("$JS.API.CONSUMER.CREATE.{}", wanted.name);
        let made =
            server.ask("make a reader", subject, HeaderMap::new(), request.to_string().into());
        let made: consumer::Info = made.await?.map_err(stream::known)?;
        let now = Instant::now();
        Ok(Self {
            server,
            wanted,
            known: log.last.load(Ordering::Relaxed),
            log,
            doubt,
            subscriber,
            clock: Clock { server_ns: made.created.unix_timestamp_nanos(), at: now },
            connects,
            silence,
            heard: now,
            next_check: now + TICK,
            delivered: 0,
            pending: 0,
            gathered: Gathered::after(after),
            replies: Vec::new(),
            look: Look::No,
        })
    }

    /// Waits for a message, or a reason not to.
    async fn hear(&mut self) -> Heard {
        let doubt = Arc::clone(&self.doubt);
        let mut doubted = pin!(doubt.notified());
        let mut tick = pin!(sleep_until(self.next_check));
        poll_fn(|cx| {
            if let Poll::Ready(message) = Pin::new(&mut self.subscriber).poll_next(cx) {
                return Poll::Ready(Heard::Message(message));
            }
            if doubted.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Heard::Doubt);
            }
            tick.as_mut().poll(cx).map(|()| Heard::Tick)
        })
        .await
    }

    /// Takes what has come, and waits for nothing more.
    async fn take_all(&mut self, first: Option<Message>) -> Result<(), NatsError> {
        self.heard = Instant::now();
        self.take(first)?;
        while !self.gathered.is_full() {
            let next = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.subscriber).poll_next(cx)));
            let Poll::Ready(message) = next.await else { break };
            self.take(message)?;
        }
        Ok(())
    }

    fn take(&mut self, message: Option<Message>) -> Result<(), NatsError> {
        let lost = |reason| Err(NatsError::Lost { reason });
        let Some(message) = message else { return lost("the client is closed") };
        if message.status.is_some() {
            return self.take_status(message);
        }
        let delivery = message.reply.as_deref().and_then(Delivery::parse);
        let Some(delivery) = delivery else { return lost("a message has no place in the stream") };
        if delivery.number != self.delivered + 1 {
            return lost("a message was lost on its way");
        }
        if delivery.sequence != self.gathered.read() + 1 {
            self.look = self.look.max(Look::Once);
        }
        self.delivered = delivery.number;
        self.pending = delivery.pending;
        self.known = self.known.max(delivery.sequence);
        self.log.last.fetch_max(delivery.sequence, Ordering::Relaxed);
        let Message { subject, headers, payload, .. } = message;
        let bytes = payload.len();
        let entry = Entry {
            sequence: delivery.sequence,
            age: self.clock.age(delivery.stored_ns),
            change: message::read(&self.log.base, &subject, headers.as_ref(), payload),
        };
        self.gathered.push(entry, bytes);
        Ok(())
    }

    /// The server says that it is there, and perhaps asks the same.
    fn take_status(&mut self, message: Message) -> Result<(), NatsError> {
        if message.status != Some(StatusCode::IDLE_HEARTBEAT) {
            return Err(NatsError::Lost { reason: "the NATS server ended the reader" });
        }
        let headers = message.headers.unwrap_or_default();
        if let Some(reply) = message.reply {
            self.replies.push(reply);
        } else if let Some(stalled) = headers.get(STALLED) {
            self.replies.push(stalled.as_str().into());
        } else if let Some(delivered) = headers.get(NATS_LAST_CONSUMER) {
            if delivered.as_str().parse() != Ok(self.delivered) {
                return Err(NatsError::Lost { reason: "a message was lost on its way" });
            }
            if self.pending > 0 || self.gathered.read() < self.known {
                self.look = Look::Idle;
            }
        }
        Ok(())
    }

    async fn reply(&mut self) -> Result<(), NatsError> {
        while let Some(reply) = self.replies.pop() {
            // If this one is lost, the server asks again.
            let sent = self.server.client.publish(reply, Bytes::new());
            let lost = |_| NatsError::Lost { reason: "the client is closed" };
            self.server.within("take a reply", sent).await?.map_err(lost)?;
        }
        Ok(())
    }

    /// Looks at the stream. Changes nothing before it knows all.
    async fn look(&mut self) -> Result<(), NatsError> {
        let info = self.wanted.find(&self.server).await?.map_err(stream::known)?;
        let lost = |reason| Err(NatsError::Lost { reason });
        if !self.is_same(&info) {
            return Err(stream::REPLACED);
        }
        let (last, floor) = (info.state.last_sequence, stream::floor(&info));
        let read = self.gathered.read();
        if last < read {
            return lost("the stream has lost its last entries");
        }
        let mut none_up_to = 0;
        if self.look == Look::Idle && !self.has_any_after(read.max(floor)).await? {
            none_up_to = last;
            self.pending = 0;
        }
        self.known = self.known.max(last);
        self.look = Look::No;
        self.gathered.arrange(floor, none_up_to);
        if self.pending == 0 {
            // Nothing else may tell it, if there was nothing to read.
            self.gathered.tell_pending();
        }
        Ok(())
    }

    /// Fails unless it reads the stream that was opened.
    pub(super) async fn check_stream(&self) -> Result<(), NatsError> {
        let info = self.wanted.find(&self.server).await?.map_err(stream::known)?;
        if self.is_same(&info) { Ok(()) } else { Err(stream::REPLACED) }
    }

    fn is_same(&self, info: &Info) -> bool {
        stream::epoch(&self.wanted.name, info.created.unix_timestamp_nanos()) == self.log.epoch
    }

    async fn has_any_after(&self, sequence: u64) -> Result<bool, NatsError> {
        let request = serde_json::json!({ "seq": sequence + 1, "next_by_subj": ">" });
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.wanted.name);
        let payload = request.to_string().into();
        let asked = self.server.ask("tell of an entry", subject, HeaderMap::new(), payload).await?;
        match asked {
            Ok(serde_json::Value::Null) | Err((ErrorCode::NO_MESSAGE_FOUND, _)) => Ok(false),
            Ok(_) => Ok(true),
            Err((_, error)) => Err(error),
        }
    }

    fn check_connection(&mut self) -> Result<(), NatsError> {
        self.next_check = Instant::now() + TICK;
        let lost = |reason| Err(NatsError::Lost { reason });
        if connects(&self.server) != self.connects {
            return lost("the connection to the NATS server was made anew");
        }
        if self.heard.elapsed() > self.silence {
            return lost("the NATS server says nothing");
        }
        Ok(())
    }
}

impl Reader for NatsReader {
    type Error = NatsError;

    /// What is awaited here changes nothing before it is ready, or does not matter.
    async fn next(&mut self) -> Result<Portion, NatsError> {
        loop {
            if let Some(portion) = self.gathered.pop(self.pending) {
                return Ok(portion);
            }
            self.reply().await?;
            if self.look > Look::No {
                self.look().await?;
            } else if !self.gathered.is_empty() {
                self.gathered.arrange(0, 0);
            } else {
                match self.hear().await {
                    Heard::Message(message) => self.take_all(message).await?,
                    Heard::Doubt => self.look = Look::Once,
                    Heard::Tick => {}
                }
                // However much there is to hear.
                if Instant::now() >= self.next_check {
                    self.check_connection()?;
                }
            }
        }
    }
}

fn connects(server: &Server) -> u64 {
    server.client.statistics().connects.load(Ordering::Relaxed)
}

impl Clock {
    fn age(&self, stored_ns: i128) -> Duration {
        let now = self.server_ns + self.at.elapsed().as_nanos() as i128;
        Duration::from_nanos((now - stored_ns).clamp(0, u64::MAX.into()) as u64)
    }
}
