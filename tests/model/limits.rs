//! The limits of a hub, and how bytes say them.
#![allow(unreachable_pub)]

use std::time::Duration;

use tower_longpoll::{Hub, HubBuilder};

pub const MS: Duration = Duration::from_millis(1);
/// Deadlines are whole ones.
pub const TICK: Duration = Duration::from_micros(250);
pub const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// So many bytes say the limits.
pub const LIMITS_BYTES: usize = 14;

/// The limits of a hub, as [`tower_longpoll::HubBuilder`] names them.
#[derive(Clone, Debug)]
pub struct Limits {
    pub shards: usize,
    pub max_waits: usize,
    pub max_waits_per_channel: usize,
    pub max_channels: usize,
    pub max_channels_per_wait: usize,
    pub max_channel_name_bytes: usize,
    pub max_payload_bytes: usize,
    pub history_events: usize,
    pub history_bytes: usize,
    pub history_age: Duration,
    pub total_history_bytes: usize,
    pub max_batch_events: usize,
    pub max_batch_bytes: usize,
    pub hold: Duration,
    pub max_hold: Duration,
}

impl Limits {
    /// Zeros mean limits that are out of the way.
    pub fn decode(bytes: [u8; LIMITS_BYTES]) -> Self {
        let [shards, waits, per_channel, channels, per_wait, name, events, history, rest @ ..] =
            bytes;
        let [age, total, batch, batch_bytes, hold, max_hold] = rest;
        let pick = |byte: u8, from: &[usize]| from[usize::from(byte) % from.len()];
        let (age, max_hold) = (usize::from(age) % 8, usize::from(max_hold) % 4);
        let times = [5, 100, 20, 1, 7, 50, 3_600_000];
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3_600));
        let max_hold = [hour, YEAR, 2 * YEAR, 6 * MS][max_hold];
        let holds = [10 * MS, 25 * second, 3 * MS, Duration::ZERO, Duration::from_micros(1_300)];
        Self {
            shards: pick(shards, &[1, 1, 4, 1]),
            max_waits: pick(waits, &[100, 100, 3, 5]),
            max_waits_per_channel: pick(per_channel, &[100, 100, 2, 100]),
            max_channels: pick(channels, &[100, 100, 3, 2]),
            max_channels_per_wait: pick(per_wait, &[64, 64, 2, 3]),
            max_channel_name_bytes: pick(name, &[256, 8, 8, 8]),
            max_payload_bytes: pick(batch_bytes, &[100, 100, 16, 17]),
            history_events: pick(events, &[100, 2, 1, 4, 0]),
            history_bytes: pick(history, &[1 << 20, 1 << 20, 0, 3 * 512 + 20]),
            history_age: times.get(age).map_or(Duration::from_micros(7_500), |t| MS * *t),
            total_history_bytes: pick(total, &[1 << 20, 1 << 20, 868, 4 * 512]),
            max_batch_events: pick(batch, &[100, 1, 3, 2, 0]),
            max_batch_bytes: pick(batch_bytes, &[1 << 20, 16, 20, 0]),
            hold: holds[usize::from(hold) % holds.len()].min(max_hold),
            max_hold,
        }
    }

    pub fn builder(&self) -> HubBuilder {
        Hub::builder()
            .shards(self.shards)
            .max_waits(self.max_waits)
            .max_waits_per_channel(self.max_waits_per_channel)
            .max_channels(self.max_channels)
            .max_channels_per_wait(self.max_channels_per_wait)
            .max_channel_name_bytes(self.max_channel_name_bytes)
            .max_payload_bytes(self.max_payload_bytes)
            .history_events(self.history_events)
            .history_bytes(self.history_bytes)
            .history_age(self.history_age)
            .total_history_bytes(self.total_history_bytes)
            .max_batch_events(self.max_batch_events)
            .max_batch_bytes(self.max_batch_bytes)
            .hold(self.hold)
            .max_hold(self.max_hold)
    }
}
