//! Where the stream is, and how it is asked.

use std::{future::Future, num::NonZeroU64, sync::Arc, time::Duration};

use ::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, aio::MultiplexedConnection};
use bytes::Bytes;

use super::{RedisError, id::StreamId};
use crate::random;

pub(super) const APPEND: &str = concat!(include_str!("log.lua"), include_str!("append.lua"));
const LOOK: &str = concat!(include_str!("log.lua"), include_str!("look.lua"));

/// A server, and the keys of a stream there.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) client: Client,
    pub(super) keys: Keys,
    pub(super) timeout: Duration,
}

/// How a stream stands.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) epoch: NonZeroU64,
    /// The last entry that there ever was.
    pub(super) last: StreamId,
    /// Up to this, entries may be gone.
    pub(super) floor: u64,
    /// Whether there are entries after the one that was asked for.
    pub(super) more: bool,
    /// How many entries there are.
    pub(super) length: u64,
}

impl Server {
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // Whoever asks has a time limit of its own, and a read may block.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None);
        self.within(self.timeout, self.client.get_multiplexed_async_connection_with_config(&config))
            .await
    }

    /// The answer, if it comes in time.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = ::redis::RedisResult<T>>,
    ) -> Result<T, RedisError> {
        match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer.map_err(|error| RedisError::of(&error, &self.keys.stream)),
            Err(_) => Err(RedisError::Timeout { after: limit }),
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> Result<T, RedisError> {
        self.within(self.timeout, command.query_async(connection)).await
    }

    /// How the stream stands, for who has read up to `read`. Makes it if there is none.
    pub(super) async fn look(
        &self,
        connection: &mut MultiplexedConnection,
        read: StreamId,
    ) -> Result<Look, RedisError> {
        let mut command = ::redis::cmd("EVAL");
        command.arg(LOOK).arg(1).arg(&*self.keys.stream).arg(new_epoch()).arg(read.to_string());
        let answer: Vec<Bytes> = self.ask(connection, &command).await?;
        let look = || {
            let [epoch, last, floor, before, more, length] = &*answer else { return None };
            let floor = StreamId::parse(floor)?.passing().ok()?;
            Some(Look {
                epoch: parse_epoch(epoch)?,
                last: StreamId::parse(last)?,
                floor: floor.saturating_sub(u64::from(&**before == b"1")),
                more: &**more == b"1",
                length: std::str::from_utf8(length).ok()?.parse().ok()?,
            })
        };
        look().ok_or_else(|| RedisError::answer(&format!("{answer:?}")))
    }
}

/// For the stream, if there is none yet.
pub(super) fn new_epoch() -> String {
    format!("{:016x}", random::number().max(1))
}

pub(super) fn parse_epoch(text: &[u8]) -> Option<NonZeroU64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().and_then(NonZeroU64::new)
}

/// The keys beside a stream. In a cluster they are in the same slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) stream: Arc<str>,
    beside: String,
}

impl Keys {
    pub(super) fn new(stream: &str) -> Result<Self, RedisError> {
        // A cluster hashes what is between the first `{` and the next `}`, or else the whole key.
        let tag = stream.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        let beside = match tag {
            Some((tag, _)) if !tag.is_empty() => stream.to_owned(),
            None if !stream.is_empty() && !stream.contains(['{', '}']) => format!("{{{stream}}}"),
            _ => return Err(RedisError::Key),
        };
        Ok(Self { stream: stream.into(), beside })
    }

    /// What is noted about the stream.
    pub(super) fn notes(&self) -> String {
        format!("{}:notes", self.beside)
    }

    /// Where the entry with this id of the application's is.
    pub(super) fn id(&self, id: &str) -> String {
        format!("{}:id:{id}", self.beside)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn keys_beside_a_stream_share_its_slot() {
        for (stream, notes) in
            [("news", "{news}:notes"), ("{a}news", "{a}news:notes"), ("x{a}{", "x{a}{:notes")]
        {
            assert_eq!(Keys::new(stream).unwrap().notes(), notes);
        }
        assert_eq!(Keys::new("news").unwrap().id("7"), "{news}:id:7");
        for stream in ["", "{}", "{}a", "a{", "a}", "}a{"] {
            assert_eq!(Keys::new(stream), Err(RedisError::Key), "{stream}");
        }
    }
}
