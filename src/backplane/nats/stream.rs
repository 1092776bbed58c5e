//! The stream: made if there is none, checked if there is one.

use std::{num::NonZeroU64, sync::atomic::AtomicU64, time::Duration};

use async_nats::{
    HeaderMap,
    jetstream::{
        ErrorCode,
        stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
    },
};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::{
    error::NatsError,
    message::MAX_HEADER_BYTES,
    server::{Answer, Server},
    subject,
};
use crate::{backplane::Retention, random};

/// What a node wants of its stream.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) replicas: usize,
    pub(super) in_memory: bool,
}

/// A stream as it was when it was opened.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) epoch: NonZeroU64,
    /// What its subjects begin with, with the dot.
    pub(super) base: String,
    /// A number that it has given away. Later ones are greater, or it is another stream.
    pub(super) last: AtomicU64,
}

/// Until a server is asked again about a stream that it is just making.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

/// What was opened is not there any more.
pub(super) const REPLACED: NatsError =
    NatsError::Lost { reason: "the stream is gone, or was made anew" };

/// The name of a stream, so long at most.
const MAX_NAME_BYTES: usize = 64;

impl Wanted {
    pub(super) fn check(&self) -> Result<(), NatsError> {
        let is_name = |name: &str| name.len() <= MAX_NAME_BYTES && subject::is_plain(name);
        let is_prefix = self.prefix.len() <= 2 * MAX_NAME_BYTES
            && self.prefix.split('.').all(subject::is_plain);
        match [(&self.name, is_name(&self.name)), (&self.prefix, is_prefix)] {
            [(name, false), _] | [_, (name, false)] => {
                Err(NatsError::Name { name: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Finds the stream, or makes it, and checks that it can do what is needed.
    pub(super) async fn open(
        &self,
        server: &Server,
        retention: &Retention,
    ) -> Result<(Info, Log), NatsError> {
        let mut found = self.find(server).await?;
        if let Err((ErrorCode::STREAM_NOT_FOUND, _)) = found {
            let made = self.make(server, retention).await;
            found = match made {
                Ok(Ok(info)) => Ok(info),
                // Another node was quicker, unless there is still none. Of two that ask at once, a
                // cluster may answer only one.
                _ => match self.find(server).await {
                    Ok(Ok(info)) => Ok(info),
                    _ => made?,
                },
            };
        }
        let made = async {
            loop {
                let info = found.map_err(known)?;
                if is_made(&info) {
                    return Ok(info);
                }
                sleep(PAUSE).await;
                found = self.find(server).await?;
            }
        };
        let info = server.within("make the stream", made).await??;
        let base = self.checked(&info.config, retention)?;
        let log = Log {
            epoch: epoch(&self.name, info.created.unix_timestamp_nanos()),
            base,
            last: AtomicU64::new(info.state.last_sequence),
        };
        Ok((info, log))
    }

    pub(super) async fn find(&self, server: &Server) -> Result<Answer<Info>, NatsError> {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.name);
        server.ask_again("tell of the stream", &subject).await
    }

    async fn make(
        &self,
        server: &Server,
        retention: &Retention,
    ) -> Result<Answer<Info>, NatsError> {
        let config = serde_json::to_vec(&self.config(retention)).unwrap_or_default();
        let subject = format!("$JS.API.STREAM.CREATE.{}", self.name);
        server.ask("make the stream", subject, HeaderMap::new(), config.into()).await
    }

    fn config(&self, retention: &Retention) -> Config {
        let Retention { bytes, events_per_channel, payload_bytes, .. } = *retention;
        Config {
            name: self.name.clone(),
            subjects: vec![
                format!("{}.{:016x}.>", self.prefix, random::number()),
                // The same for all nodes: of some that begin at once, an old server would make a
                // stream each, of one name, but refuses subjects of another stream.
                format!("{}.{}.made", self.prefix, self.name),
            ],
            description: Some("The log of hubs of tower-longpoll.".into()),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::Old,
            max_age: age(retention),
            max_bytes: bytes.try_into().unwrap_or(i64::MAX),
            max_messages: -1,
            max_messages_per_subject: events_per_channel.try_into().unwrap_or(i64::MAX),
            max_message_size: message_size(payload_bytes),
            max_consumers: -1,
            duplicate_window: Retention::DUPLICATES,
            num_replicas: self.replicas,
            storage: if self.in_memory { StorageType::Memory } else { StorageType::File },
            ..Config::default()
        }
    }

    /// What the subjects of the stream begin with, if nothing else is wrong with it.
    fn checked(&self, has: &Config, retention: &Retention) -> Result<String, NatsError> {
        let needs = self.config(retention);
        let contradiction = |setting, has: String, needs: String| NatsError::Contradiction {
            stream: self.name.clone(),
            setting,
            has,
            needs,
        };
        if has.retention != RetentionPolicy::Limits {
            return Err(contradiction(
                "retention",
                format!("{:?}", has.retention),
                "Limits".into(),
            ));
        }
        if has.discard != DiscardPolicy::Old {
            return Err(contradiction("discard", format!("{:?}", has.discard), "Old".into()));
        }
        if has.storage == StorageType::Memory && !self.in_memory {
            return Err(contradiction("storage", "Memory".into(), "File".into()));
        }
        for (setting, has, needs) in [("no_ack", has.no_ack, false), ("sealed", has.sealed, false)]
        {
            if has != needs {
                return Err(contradiction(setting, has.to_string(), needs.to_string()));
            }
        }
        for (setting, has, needs) in [
            ("max_age", has.max_age, needs.max_age),
            ("duplicate_window", has.duplicate_window, needs.duplicate_window),
        ] {
            // Without an age, nothing is too old; without a window, the server takes one of its own
            // and says which.
            if has < needs && !(has.is_zero() && setting == "max_age") {
                return Err(contradiction(setting, format!("{has:?}"), format!("{needs:?}")));
            }
        }
        for (setting, has, needs) in [
            ("max_bytes", has.max_bytes, needs.max_bytes),
            ("max_msgs_per_subject", has.max_messages_per_subject, needs.max_messages_per_subject),
            ("max_msg_size", has.max_message_size.into(), needs.max_message_size.into()),
        ] {
            // Nothing positive is no limit.
            if has > 0 && has < needs {
                return Err(contradiction(setting, has.to_string(), needs.to_string()));
            }
        }
        if has.num_replicas < needs.num_replicas {
            return Err(contradiction(
                "num_replicas",
                has.num_replicas.to_string(),
                needs.num_replicas.to_string(),
            ));
        }
        let base = |subject: &String| {
            let token =
                subject.strip_prefix(&*self.prefix)?.strip_prefix('.')?.strip_suffix(".>")?;
            subject::is_plain(token).then(|| format!("{}.{token}.", self.prefix))
        };
        has.subjects.iter().find_map(base).ok_or_else(|| {
            let needs = format!("[\"{}.TOKEN.>\"], with any TOKEN", self.prefix);
            contradiction("subjects", format!("{:?}", has.subjects), needs)
        })
    }
}

/// Old servers tell of a stream that they are just making, but not since when; a cluster, before its
/// servers have agreed on one that leads it.
fn is_made(info: &Info) -> bool {
    let has_leader = info.cluster.as_ref().is_none_or(|cluster| cluster.leader.is_some());
    info.created.unix_timestamp() > 0 && has_leader
}

/// The error of an answer that is about a stream which was there before.
pub(super) fn known((code, error): (ErrorCode, NatsError)) -> NatsError {
    if code == ErrorCode::STREAM_NOT_FOUND { REPLACED } else { error }
}

/// The hub lets go what is too old for it; the server refuses a stream that forgets its entries
/// before their ids.
fn age(retention: &Retention) -> Duration {
    retention.age.max(Retention::DUPLICATES)
}

fn message_size(payload_bytes: usize) -> i32 {
    payload_bytes.saturating_add(MAX_HEADER_BYTES).try_into().unwrap_or(i32::MAX)
}

/// The identity of a stream, the same on every node, machine and version.
pub(super) fn epoch(name: &str, created_ns: i128) -> NonZeroU64 {
    let digest = Sha256::new()
        .chain_update("tower-longpoll nats stream\n")
        .chain_update(created_ns.to_be_bytes())
        .chain_update(name)
        .finalize();
    let bytes = digest.iter().take(8);
    let number = bytes.fold(0, |number, &byte| number << 8 | u64::from(byte));
    NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN)
}

/// The number up to which entries may be gone.
pub(super) fn floor(info: &Info) -> u64 {
    if info.state.messages == 0 {
        info.state.last_sequence
    } else {
        info.state.first_sequence.saturating_sub(1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Whoever changes this makes every cursor of every cluster a gap.
    #[test]
    fn the_epoch_of_a_stream_never_changes() {
        assert_eq!(epoch("EVENTS", 1_700_000_000_123_456_789).get(), 6_968_861_131_934_583_447);
    }

    #[test]
    fn streams_of_another_name_or_time_have_another_epoch() {
        let one = epoch("A", 1);
        assert_ne!(one, epoch("B", 1));
        assert_ne!(one, epoch("A", 2));
    }

    fn wanted() -> (Wanted, Retention) {
        let wanted =
            Wanted { name: "S".into(), prefix: "p.q".into(), replicas: 1, in_memory: false };
        let retention = Retention {
            age: Duration::from_secs(600),
            bytes: 1_000,
            events_per_channel: 10,
            payload_bytes: 100,
        };
        (wanted, retention)
    }

    /// What falls short, and what is said then.
    type Row = (fn(&mut Config), &'static str);

    #[test]
    fn a_stream_that_falls_short_is_refused_with_both_values() {
        let (wanted, retention) = wanted();
        let change = |change: fn(&mut Config)| {
            let mut config = wanted.config(&retention);
            change(&mut config);
            wanted.checked(&config, &retention)
        };
        let rows: [Row; 11] = [
            (
                |has| has.max_age = Duration::from_secs(599),
                "max_age 599s, and this node needs 600s",
            ),
            (|has| has.max_bytes = 999, "max_bytes 999, and this node needs 1000"),
            (
                |has| has.max_messages_per_subject = 9,
                "max_msgs_per_subject 9, and this node needs 10",
            ),
            (|has| has.max_message_size = 100, "max_msg_size 100, and this node needs 16484"),
            (
                |has| has.duplicate_window = Duration::from_secs(60),
                "duplicate_window 60s, and this",
            ),
            (|has| has.num_replicas = 0, "num_replicas 0, and this node needs 1"),
            (|has| has.retention = RetentionPolicy::Interest, "retention Interest, and"),
            (|has| has.discard = DiscardPolicy::New, "discard New, and this node needs Old"),
            (|has| has.storage = StorageType::Memory, "storage Memory, and this node needs File"),
            (|has| has.no_ack = true, "no_ack true, and this node needs false"),
            (
                |has| has.subjects = vec!["p.>".into(), "p.q.a.b.>".into(), "p.q.*.>".into()],
                "subjects",
            ),
        ];
        for (alter, says) in rows {
            let error = change(alter).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn a_more_generous_stream_is_fine() {
        let (mut wanted, retention) = wanted();
        let mut config = wanted.config(&retention);
        config.max_age = Duration::ZERO;
        config.max_bytes = -1;
        config.max_messages_per_subject = -1;
        config.max_message_size = -1;
        config.num_replicas = 3;
        config.deny_purge = true;
        config.subjects = vec!["other".into(), "p.q.any.>".into()];
        wanted.in_memory = true;
        assert_eq!(wanted.checked(&config, &retention), Ok("p.q.any.".into()));
    }

    #[test]
    fn names_that_mean_something_in_a_subject_are_refused() {
        let (mut wanted, _) = wanted();
        assert_eq!(wanted.check(), Ok(()));
        for (name, prefix) in [("a.b", "p"), ("", "p"), ("*", "p"), ("a", ">"), ("a", "p..q")] {
            (wanted.name, wanted.prefix) = (name.into(), prefix.into());
            assert!(matches!(wanted.check(), Err(NatsError::Name { .. })), "{name} {prefix}");
        }
    }
}
