//! What can be done to a hub, and how bytes say it: any bytes are some operations, so that both a
//! property test and a fuzzer can make them up.
#![allow(unreachable_pub)]

use std::time::Duration;

use super::limits::{LIMITS_BYTES, Limits, MS, YEAR};

/// Channels; the last is longer than some hubs allow.
pub const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "far too long"];
/// Keys; likewise.
pub const KEYS: [&str; 3] = ["tab", "a", "far too long"];
/// How many waits there can be at once.
pub const PLACES: usize = 8;

const NS: Duration = Duration::from_nanos(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

/// So many bytes say one operation.
pub const OPERATION_BYTES: usize = 6;

#[derive(Clone, Debug)]
pub enum Operation {
    Publish {
        channel: usize,
        bytes: usize,
    },
    /// Puts a wait into a place; what was there is dropped.
    Wait {
        place: usize,
        channels: Vec<usize>,
        since: From,
        hold: Option<Duration>,
        max_events: Option<usize>,
        key: Option<&'static str>,
        is_polled: bool,
    },
    /// Polls whatever is in a place, with one of two wakers.
    Poll {
        place: usize,
        waker: usize,
    },
    Drop {
        place: usize,
    },
    Touch {
        channel: usize,
    },
    Delete {
        channel: usize,
    },
    Drain {
        over: Duration,
    },
    Close,
    /// Time goes by and all tasks run.
    Pass(Duration),
    /// Time goes by and no task runs.
    Jump(Duration),
    /// All tasks run.
    Settle,
    /// To the next instant at which anything is due, and not a nanosecond further.
    Step,
    /// Asks what the hub holds, which may be more than a look.
    Stats,
    ChannelStats {
        channel: usize,
    },
}

/// Where a wait starts to read.
#[derive(Clone, Copy, Debug)]
pub enum From {
    Now,
    Oldest,
    /// So many before the present.
    Past(u64),
    /// Where the last answer in this place said.
    Last,
    /// So many after the present.
    Ahead(u64),
    /// The present of another hub.
    Foreign,
}

/// A time, from nothing to a year.
fn span(byte: u8) -> Duration {
    const SPANS: [Duration; 16] = [
        MS,
        Duration::from_millis(2),
        Duration::from_millis(3),
        Duration::from_millis(5),
        Duration::from_micros(700),
        Duration::from_micros(2_500),
        Duration::from_millis(10),
        NS,
        Duration::from_nanos(999_999),
        Duration::from_millis(21),
        Duration::from_millis(64),
        Duration::from_millis(100),
        SECOND,
        Duration::from_millis(4_097),
        HOUR,
        YEAR,
    ];
    SPANS[usize::from(byte) % SPANS.len()]
}

/// Most names are short.
fn channel(byte: u8) -> usize {
    let (long, short) = (NAMES.len() - 1, usize::from(byte) % (NAMES.len() - 1));
    if byte >= 0xfc { long } else { short }
}

impl Operation {
    pub fn from_bytes(bytes: &[u8]) -> Vec<Self> {
        let operations = bytes.chunks_exact(OPERATION_BYTES);
        operations.map(|bytes| Self::decode(bytes.try_into().unwrap())).collect()
    }

    pub fn decode([kind, a, b, c, d, e]: [u8; OPERATION_BYTES]) -> Self {
        let place = usize::from(b) % PLACES;
        match kind % 64 {
            0..14 => Self::Publish { channel: channel(a), bytes: usize::from(b) % 18 },
            14..28 => {
                let count = [1, 1, 1, 1, 2, 2, 3, 4][usize::from(d >> 5)];
                let count = if d & 0x1f == 0x1f { 0 } else { count };
                let digits = [a, a.rotate_left(3) ^ c, b.rotate_left(2) ^ a, d ^ a];
                Self::Wait {
                    place,
                    channels: digits[..count].iter().map(|byte| channel(*byte)).collect(),
                    since: from(c),
                    hold: hold(e & 0x0f),
                    max_events: (e >= 0xe0).then_some(usize::from(d) % 3),
                    key: key(d & 0x0f),
                    is_polled: b < 0xd0,
                }
            }
            28..37 => Self::Poll { place, waker: usize::from(a) % 2 },
            37..40 => Self::Drop { place },
            40..43 => Self::Touch { channel: channel(a) },
            43..46 => Self::Delete { channel: channel(a) },
            46 if a < 0x40 => Self::Drain { over: Duration::ZERO },
            46 if a < 0xc0 => Self::Drain { over: span(b) },
            46 if a < 0xe0 => Self::Close,
            46 | 47 => Self::Stats,
            48 => Self::ChannelStats { channel: channel(a) },
            49 => Self::Settle,
            50..55 => Self::Step,
            55..61 => Self::Pass(span(a)),
            _ => Self::Jump(span(a)),
        }
    }
}

fn from(byte: u8) -> From {
    match byte % 16 {
        0..4 => From::Last,
        4..7 => From::Now,
        7..9 => From::Oldest,
        9..14 => From::Past(u64::from(byte >> 4)),
        14 => From::Ahead(1 + u64::from(byte >> 4)),
        _ => From::Foreign,
    }
}

fn hold(digit: u8) -> Option<Duration> {
    match digit {
        0..3 => None,
        3 => Some(Duration::ZERO),
        4 => Some(Duration::MAX),
        _ => Some(span(digit - 5)),
    }
}

fn key(digit: u8) -> Option<&'static str> {
    match digit {
        0..4 => Some(KEYS[0]),
        4 | 5 => Some(KEYS[1]),
        6 => Some(KEYS[2]),
        _ => None,
    }
}

/// The limits of a hub and what is done to it.
pub fn from_bytes(bytes: &[u8]) -> (Limits, Vec<Operation>) {
    let mut limits = [0; LIMITS_BYTES];
    let used = bytes.len().min(LIMITS_BYTES);
    limits[..used].copy_from_slice(&bytes[..used]);
    (Limits::decode(limits), Operation::from_bytes(&bytes[used..]))
}
