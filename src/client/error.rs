//! What goes wrong: a request that is repeated, or the end of a stream.

use std::fmt;

use http::StatusCode;

/// Why a stream ended. It is its last item.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientError {
    /// A channel of the poll was deleted (410). A subscription to the others, since this cursor,
    /// goes on without a loss.
    Deleted {
        /// The name of the channel, if the answer has it. It is the hub's: a route may know it by
        /// another one.
        channel: Option<String>,
        /// Where the stream would have gone on, if it knows.
        cursor: Option<String>,
    },
    /// The server refuses the poll, and would again: any other status from 400 to 499 that is not
    /// repeated.
    Refused {
        /// The status.
        status: StatusCode,
        /// What the server says about it: the `detail` of an `application/problem+json` answer, or
        /// the beginning of a text; perhaps empty.
        detail: String,
    },
    /// The server sends the client elsewhere. Redirects are not followed, since the header fields
    /// of the request may be nothing for that place: begin there, or put a layer that follows in
    /// front of the service.
    Redirected {
        /// The status.
        status: StatusCode,
        /// The header field `location`, if it is text.
        location: Option<String>,
    },
    /// An answer was larger than allowed.
    TooLarge {
        /// What is allowed: [`Subscription::max_body_bytes`](super::Subscription::max_body_bytes).
        max_bytes: usize,
    },
    /// The service cannot be called any more: its `poll_ready` failed.
    ServiceGone,
    /// The address cannot be one of a request: it has an authority without a scheme, or is too
    /// long.
    Address,
    /// As many requests in a row failed as
    /// [`Subscription::give_up_after`](super::Subscription::give_up_after) allows.
    GaveUp {
        /// Why the last one failed.
        last: Failure,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted { channel: Some(channel), .. } => {
                write!(f, "the channel {channel:?} was deleted")
            }
            Self::Deleted { .. } => f.write_str("the channel was deleted"),
            Self::Refused { status, detail } if detail.is_empty() => {
                write!(f, "the server refuses the poll with {status}")
            }
            Self::Refused { status, detail } => {
                write!(f, "the server refuses the poll with {status}: {detail}")
            }
            Self::Redirected { status, location: Some(location) } => {
                write!(f, "the server redirects to {location} with {status}")
            }
            Self::Redirected { status, .. } => write!(f, "the server redirects with {status}"),
            Self::TooLarge { max_bytes } => {
                write!(f, "an answer is larger than {max_bytes} bytes")
            }
            Self::ServiceGone => f.write_str("the service cannot be called any more"),
            Self::Address => f.write_str("the address cannot be one of a request"),
            Self::GaveUp { last } => write!(f, "too many requests in a row failed: {last}"),
        }
    }
}

impl std::error::Error for ClientError {}

/// Why a request failed that is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The service has an error instead of an answer.
    Unreachable,
    /// There was no answer within the time of its hold and the margin, or its body stopped for as
    /// long as the margin.
    TimedOut,
    /// The answer says that another attempt may succeed: 408, 425, 429, or 500 and above.
    Status(StatusCode),
    /// The body of the answer was cut off.
    CutOff,
    /// The answer is none of this protocol.
    Unreadable,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no answer"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::CutOff => f.write_str("an answer was cut off"),
            Self::Unreadable => f.write_str("an answer is none of this protocol"),
        }
    }
}
