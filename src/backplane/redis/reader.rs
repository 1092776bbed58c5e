//! Reads a stream.

use std::{fmt, future::Future, num::NonZeroU64, pin::Pin, time::Duration};

use ::redis::{RedisResult, Value, aio::MultiplexedConnection, from_redis_value};
use bytes::Bytes;

use super::{
    RedisError,
    entry::{self, Own},
    id::StreamId,
    server::{Server, parse_epoch},
};
use crate::backplane::driver::{Entry, Portion, Reader};

/// Entries of one portion at most, and of the first one.
const PORTION: usize = 256;
const FIRST_PORTION: usize = 16;

/// After a portion of more bytes, the next one is smaller: the server has only so much time to send it,
/// and it has to be somewhere.
const PORTION_BYTES: usize = 4 << 20;

/// A read that finds nothing returns after this long, and is begun again. So a stream that was
/// deleted is noticed after this long.
pub(super) const BLOCK: Duration = Duration::from_secs(2);

/// Reads the stream of a [`Redis`](super::Redis), on a connection of its own.
pub struct RedisReader {
    stream: Stream,
    place: Place,
    /// No more than these were to be read at first.
    length: u64,
    /// The read that is on its way. It is kept if nobody waits for it any more, for the server goes on
    /// with it in any case.
    reading: Option<Pin<Box<dyn Future<Output = Read> + Send>>>,
}

type Read = Result<(Portion, Place), RedisError>;

/// How far it has read.
#[derive(Clone, Copy, Debug)]
struct Place {
    read: StreamId,
    /// The last entry of this driver of which it is known that none before it is missing.
    whole: StreamId,
    /// How many entries are asked for.
    count: usize,
}

#[derive(Clone)]
struct Stream {
    server: Server,
    connection: MultiplexedConnection,
    epoch: NonZeroU64,
}

impl RedisReader {
    pub(super) fn new(
        server: Server,
        connection: MultiplexedConnection,
        epoch: NonZeroU64,
        read: StreamId,
        length: u64,
    ) -> Self {
        let stream = Stream { server, connection, epoch };
        let place = Place { read, whole: read, count: FIRST_PORTION };
        Self { stream, place, length, reading: None }
    }
}

impl fmt::Debug for RedisReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisReader").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Reader for RedisReader {
    type Error = RedisError;

    async fn next(&mut self) -> Result<Portion, RedisError> {
        let (stream, place) = (&self.stream, self.place);
        let reading =
            self.reading.get_or_insert_with(|| Box::pin(stream.clone().portion_after(place)));
        let read = reading.as_mut().await;
        self.reading = None;
        let (portion, place) = read?;
        self.place = place;
        Ok(portion)
    }

    /// Its numbers are times, and nearly all of them nobody has.
    fn behind(&self) -> Option<u64> {
        Some(self.length)
    }
}

#[derive(Default)]
struct Entries {
    list: Vec<(StreamId, Option<Own>)>,
    bytes: usize,
}

/// What the server has said to one read.
struct Answer {
    entries: Entries,
    /// Its time, in milliseconds.
    now: u64,
    /// How many entries this driver has appended to the stream.
    count: u64,
    epoch: Option<NonZeroU64>,
}

impl Stream {
    async fn portion_after(mut self, place: Place) -> Read {
        loop {
            let answer = self.read(place).await?;
            // This was asked after the entries were read. An epoch never comes again, so they are of it.
            if answer.epoch != Some(self.epoch) {
                return Err(RedisError::Replaced);
            }
            if !answer.entries.list.is_empty() {
                return portion(answer, place);
            }
            let look = self.server.look(&mut self.connection, place.read).await?;
            if look.epoch != self.epoch {
                return Err(RedisError::Replaced);
            }
            if !look.more && look.last > place.read {
                let portion = Portion { floor: look.last.passing()?, ..Portion::default() };
                return Ok((portion, Place { read: look.last, whole: look.last, ..place }));
            }
        }
    }

    /// In one go, so that an entry needs one way to here; the server goes on with the rest when it has
    /// found entries.
    async fn read(&mut self, place: Place) -> Result<Answer, RedisError> {
        let keys = &self.server.keys;
        let mut asked = ::redis::pipe();
        asked.ignore_errors();
        asked.cmd("XREAD").arg("COUNT").arg(place.count).arg("BLOCK").arg(BLOCK.as_millis() as u64);
        asked.arg("STREAMS").arg(&*keys.stream).arg(place.read.to_string());
        asked.cmd("TIME").cmd("HGET").arg(keys.notes()).arg("count");
        asked.cmd("XINFO").arg("GROUPS").arg(&*keys.stream);
        type Answers = (
            RedisResult<Value>,
            RedisResult<(u64, u64)>,
            RedisResult<Option<u64>>,
            RedisResult<Value>,
        );
        let answers = asked.query_async::<Answers>(&mut self.connection);
        let limit = BLOCK.saturating_add(self.server.timeout);
        let (entries, now, count, groups) = self.server.within(limit, answers).await?;
        let told = |error| RedisError::of(&error, &self.server.keys.stream);
        let (seconds, micros) = now.map_err(told)?;
        Ok(Answer {
            entries: parse_entries(entries.map_err(told)?)
                .ok_or_else(|| RedisError::answer("to XREAD"))?,
            now: seconds.saturating_mul(1_000).saturating_add(micros / 1_000),
            count: count.map_err(told)?.unwrap_or_default(),
            // There is an error if there is no stream.
            epoch: groups.ok().and_then(parse_groups),
        })
    }
}

impl Place {
    /// With the size of the portion after these entries.
    fn after(self, entries: &Entries) -> Self {
        let is_large = entries.bytes > PORTION_BYTES;
        let is_full = entries.list.len() >= self.count;
        let count = match (is_large, is_full) {
            (true, _) => (self.count / 2).max(1),
            (false, true) => (self.count * 2).min(PORTION),
            (false, false) => self.count,
        };
        Self { count, ..self }
    }
}

/// The entries up to the first hole among them. A hole before the first one is told.
fn portion(answer: Answer, place: Place) -> Read {
    let Answer { entries, now, count, .. } = answer;
    let full = entries.list.len() >= place.count;
    let (mut portion, mut place, mut reached) = (Portion::default(), place.after(&entries), count);
    for (id, own) in entries.list {
        let missing = own.as_ref().map(|own| own.before).filter(|before| *before > place.whole);
        if let Some(before) = missing {
            if !portion.entries.is_empty() {
                portion.behind = count.saturating_sub(reached).max(1);
                return Ok((portion, place));
            }
            // Foreign entries after it may have been passed already.
            portion.floor = if before > place.read {
                before.sequence()?
            } else {
                id.sequence()?.saturating_sub(1)
            };
        }
        place.read = id;
        let sequence = if own.is_some() { id.sequence()? } else { id.passing()? };
        if let Some(own) = &own {
            place.whole = id;
            reached = own.count;
        }
        let age = Duration::from_millis(now.saturating_sub(id.millis));
        portion.entries.push(Entry { sequence, age, change: own.and_then(|own| own.change) });
    }
    if full {
        portion.behind = count.saturating_sub(reached);
    }
    Ok((portion, place))
}

/// `[[key, [[id, [name, value, ...]], ...]]]`, or a map of the same, or nil.
fn parse_entries(value: Value) -> Option<Entries> {
    let streams: Option<Vec<(Value, Vec<Value>)>> = from_redis_value(value).ok()?;
    let mut entries = Entries::default();
    for entry in streams.into_iter().flatten().flat_map(|(_, entries)| entries) {
        let (id, fields): (Bytes, Vec<Bytes>) = from_redis_value(entry).ok()?;
        entries.bytes += fields.iter().map(Bytes::len).sum::<usize>();
        let mut fields = fields.into_iter();
        let pairs = std::iter::from_fn(|| Some((fields.next()?, fields.next()?)));
        entries.list.push((StreamId::parse(&id)?, entry::read(pairs.collect())));
    }
    Some(entries)
}

/// The epoch among the consumer groups.
fn parse_groups(value: Value) -> Option<NonZeroU64> {
    let Value::Array(groups) = value else { return None };
    groups.into_iter().find_map(|group| {
        let fields = match group {
            Value::Map(fields) => fields,
            other => from_redis_value(other).ok()?,
        };
        let is_name = |name: &Value| matches!(name, Value::BulkString(name) if name == b"name");
        let (_, name) = fields.into_iter().find(|(name, _)| is_name(name))?;
        let name: Bytes = from_redis_value(name).ok()?;
        parse_epoch(name.strip_prefix(b"longpoll:")?)
    })
}

#[cfg(test)]
mod tests;
