//! How long it takes to wake a wait: a task is parked on a channel of its own, and published to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::task::JoinHandle;
use tower_longpoll::{Channel, Event, Hub, Waited};

/// How many latencies are looked at together: those of ten seconds.
const KEPT: usize = 200;

/// A task that waits, and when it was woken.
pub(crate) struct Probe {
    hub: Hub,
    channel: Channel,
    /// The latencies are measured on the system's clock, which no test stops.
    base: Instant,
    latencies: Arc<Mutex<VecDeque<f64>>>,
    waiter: JoinHandle<()>,
}

impl Probe {
    pub(crate) fn start(hub: &Hub) -> Self {
        // No client can poll a channel of this name.
        let channel = Channel::new("probe").expect("a name");
        let base = Instant::now();
        let latencies = Arc::default();
        let waiter = wait(hub.clone(), channel.clone(), base, Arc::clone(&latencies));
        let waiter = tokio::spawn(waiter);
        let hub = hub.clone();
        Self { hub, channel, base, latencies, waiter }
    }

    /// Publishes, if the task is parked: else it would be measured how long it takes to park.
    pub(crate) fn once(&self) -> bool {
        let sent = self.base.elapsed().as_nanos().to_string();
        self.parked(&self.hub) > 0 && self.hub.publish(&self.channel, Event::text(sent)).is_ok()
    }

    /// How many of the parked waits are the probe's own.
    pub(crate) fn parked(&self, hub: &Hub) -> usize {
        hub.channel_stats(&self.channel).map_or(0, |stats| stats.parked)
    }

    /// The median and the 99th percentile, in microseconds.
    pub(crate) fn latencies(&self) -> Option<(f64, f64)> {
        let latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sorted: Vec<_> = latencies.iter().copied().collect();
        drop(latencies);
        sorted.sort_by(f64::total_cmp);
        let rank =
            |percent: usize| sorted.get((sorted.len() * percent / 100).min(sorted.len() - 1));
        if sorted.is_empty() {
            return None;
        }
        Some((*rank(50)?, *rank(99)?))
    }

    pub(crate) fn stop(self, hub: &Hub) {
        self.waiter.abort();
        hub.delete(&self.channel);
    }
}

async fn wait(hub: Hub, channel: Channel, base: Instant, latencies: Arc<Mutex<VecDeque<f64>>>) {
    let mut cursor = hub.cursor();
    loop {
        let waited = hub.wait([&channel]).since(cursor).await;
        let woken = base.elapsed().as_nanos();
        cursor = waited.cursor();
        match waited {
            Waited::Events(batch) => {
                let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
                for entry in batch.iter() {
                    let text = std::str::from_utf8(entry.payload()).unwrap_or_default();
                    let Ok(sent) = text.parse::<u128>() else { continue };
                    latencies.push_back(woken.saturating_sub(sent) as f64 / 1_000.0);
                }
                while latencies.len() > KEPT {
                    latencies.pop_front();
                }
            }
            Waited::TimedOut { .. } => {}
            // The hub drains.
            _ => return,
        }
    }
}
