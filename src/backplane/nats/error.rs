//! What can go wrong with a stream.

use std::{error::Error, fmt, time::Duration};

/// Why a stream of NATS JetStream cannot be opened, read or appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NatsError {
    /// The name of the stream, or the prefix of its subjects, has other characters than ASCII
    /// letters, digits, `-` and `_` (and `.` inside a prefix), or is longer than 64 bytes.
    Name {
        /// The name.
        name: String,
    },
    /// There is no connection to a server.
    Unreachable {
        /// What was said.
        reason: String,
    },
    /// There is a server, but nobody on it answers for JetStream.
    NoJetStream,
    /// The stream exists with a setting that contradicts what this node needs.
    Contradiction {
        /// The stream.
        stream: String,
        /// Its setting, by the name that NATS gives it.
        setting: &'static str,
        /// What it is.
        has: String,
        /// What this node needs at least.
        needs: String,
    },
    /// The server did not answer in time. That is also how it refuses what a client has no
    /// permission for.
    Unanswered {
        /// What was asked.
        request: &'static str,
        /// How long.
        limit: Duration,
        /// The last complaint of the server about this connection, if that is known.
        complaint: Option<String>,
    },
    /// The server refused.
    Refused {
        /// What was asked.
        request: &'static str,
        /// What it said.
        reason: String,
    },
    /// The entry is larger than what the server takes.
    TooLarge {
        /// The payload and its headers.
        bytes: usize,
        /// The server's `max_payload`.
        max_bytes: usize,
    },
    /// The stream is not the one that was opened, or cannot be read on. It has to be opened again.
    Lost {
        /// What happened.
        reason: &'static str,
    },
}

impl fmt::Display for NatsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { name } => {
                write!(f, "{name:?} cannot name a stream or its subjects")
            }
            Self::Unreachable { reason } => write!(f, "no connection to a NATS server: {reason}"),
            Self::NoJetStream => f.write_str(
                "nobody answers for JetStream: it is off on the NATS server or for this account, \
                 or not ready yet",
            ),
            Self::Contradiction { stream, setting, has, needs } => {
                write!(f, "the stream {stream} has {setting} {has}, and this node needs {needs}")
            }
            Self::Unanswered { request, limit, complaint } => {
                write!(f, "the NATS server did not {request} within {limit:?}")?;
                match complaint {
                    Some(complaint) => write!(f, "; it complained: {complaint}"),
                    None => Ok(()),
                }
            }
            Self::Refused { request, reason } => {
                write!(f, "the NATS server refused to {request}: {reason}")
            }
            Self::TooLarge { bytes, max_bytes } => write!(
                f,
                "the entry has {bytes} bytes with its headers, \
                 and the NATS server's max_payload is {max_bytes}"
            ),
            Self::Lost { reason } => f.write_str(reason),
        }
    }
}

impl Error for NatsError {}
