//! What can go wrong with a stream.

use std::{error::Error, fmt, time::Duration};

use ::redis::ErrorKind;

/// Why a [`Redis`](super::Redis) cannot be made, opened, read or appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisError {
    /// The URL is not one of a server, or asks for what the crate `redis` was built without.
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The key is empty, or has braces that leave open to which slot of a cluster it belongs.
    Key,
    /// The server cannot be reached, or the connection to it broke.
    Connection {
        /// What went wrong.
        reason: String,
    },
    /// The server wants a user or password, or other ones, or they are not allowed to do this.
    Denied {
        /// What the server said.
        reason: String,
    },
    /// The server did not answer in time.
    Timeout {
        /// How long it had.
        after: Duration,
    },
    /// The server is older than Redis 7.0.
    Version,
    /// The key holds something else than a stream.
    WrongType {
        /// The key.
        key: String,
    },
    /// An entry has an id that has no place in a cursor: of more than 48 bits of milliseconds, or
    /// 16 bits of numbers within one.
    Id {
        /// The id.
        id: String,
    },
    /// The stream was made anew since it was opened.
    Replaced,
    /// The server refused a command, or answered something unexpected.
    Server {
        /// What it said.
        reason: String,
    },
}

impl RedisError {
    pub(super) fn answer(what: &str) -> Self {
        Self::Server { reason: format!("an unexpected answer: {what}") }
    }

    /// Whether another connection may do better: this one broke, or its server does not know the
    /// script, or is not in charge any more.
    pub(super) fn may_be_of_an_old_connection(&self) -> bool {
        matches!(self, Self::Connection { .. } | Self::Server { .. })
    }

    /// What an error of the client means for the stream of this key.
    pub(super) fn of(error: &::redis::RedisError, key: &str) -> Self {
        let reason = error.to_string();
        let code = error.code().unwrap_or_default();
        match (error.kind(), code) {
            (ErrorKind::AuthenticationFailed, _)
            | (_, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED") => Self::Denied { reason },
            (_, "WRONGTYPE") => Self::WrongType { key: key.to_owned() },
            (_, "LONGPOLLVERSION") => Self::Version,
            (_, "LONGPOLLID") => Self::Id { id: error.detail().unwrap_or_default().to_owned() },
            (ErrorKind::InvalidClientConfig, _) => Self::Url { reason },
            (ErrorKind::Io, _) => Self::Connection { reason },
            _ => Self::Server { reason },
        }
    }
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { reason } => write!(f, "the URL cannot be used: {reason}"),
            Self::Key => f.write_str(
                "the key is empty, or has braces that are not the hash tag of a cluster's slot",
            ),
            Self::Connection { reason } => write!(f, "redis cannot be reached: {reason}"),
            Self::Denied { reason } => write!(f, "redis denies access: {reason}"),
            Self::Timeout { after } => write!(f, "redis did not answer within {after:?}"),
            Self::Version => f.write_str("the server is too old: Redis 7.0 or Valkey is needed"),
            Self::WrongType { key } => {
                write!(f, "the key {key:?}, or one beside it, holds something else than a stream")
            }
            Self::Id { id } => write!(f, "the id {id:?} of an entry does not fit into a cursor"),
            Self::Replaced => f.write_str("the stream was made anew"),
            Self::Server { reason } => write!(f, "redis answered with an error: {reason}"),
        }
    }
}

impl Error for RedisError {}
