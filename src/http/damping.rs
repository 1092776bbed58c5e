//! Clients that ask the same again and again.

use std::{sync::Arc, time::Duration};

use http::request::Parts;

use super::endpoint::Key;
use crate::{channel::Channel, cursor::Since, hub::Hub, recent::Recent};

/// How many clients are remembered, with 8 bytes each.
const CLIENTS: usize = 1 << 14;

/// Slows them down.
pub(super) struct Damping {
    within: Duration,
    key: Arc<Key>,
    recent: Recent,
}

impl Damping {
    pub(super) fn new(within: Duration, key: Arc<Key>) -> Self {
        Self { within, key, recent: Recent::new(CLIENTS) }
    }

    /// How much later than now a poll is to be answered.
    pub(super) fn rest(
        &self,
        hub: &Hub,
        parts: &Parts,
        channels: &[Channel],
        since: Since,
    ) -> Duration {
        let Some(client) = (self.key)(parts) else { return Duration::ZERO };
        let now = hub.millis();
        let within = u64::try_from(self.within.as_millis()).unwrap_or(u64::MAX).clamp(1, YEAR);
        let due = self.recent.due((client, channels, since), now, within);
        Duration::from_millis(due - now)
    }
}

/// In milliseconds: the longest that is slowed down for.
const YEAR: u64 = 365 * 24 * 3_600 * 1_000;
