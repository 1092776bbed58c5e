//! What a run has shown.

use std::{
    fmt::{self, Write},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{client::Run, count::Requests, seen::Counts};

pub(crate) struct Report<'a> {
    pub(crate) run: &'a Run,
    pub(crate) counts: Counts,
    /// Clients that ran.
    pub(crate) clients: usize,
    /// Clients that could not find out at the end whether they have missed anything.
    pub(crate) unproven: u64,
    /// From the first publish to the last.
    pub(crate) published_for: Duration,
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Report<'_> {
    fn requests(&self) -> [(&'static str, &Requests); 3] {
        let run = self.run;
        [("polls", &run.polls), ("publishes", &run.publishes), ("page", &run.pages)]
    }

    /// What is wrong, if anything is.
    pub(crate) fn faults(&self) -> Vec<String> {
        let all = |of: fn(&Requests) -> &AtomicU64| -> u64 {
            self.requests().iter().map(|(_, requests)| of(requests).load(Relaxed)).sum()
        };
        let Counts { lost, duplicate, reordered, received, .. } = self.counts;
        let under_way: u64 = self.requests().iter().map(|(_, requests)| requests.under_way()).sum();
        let rows = [
            (lost, "events lost in silence"),
            (duplicate, "events twice"),
            (reordered, "events out of order"),
            (all(|requests| &requests.failed), "requests failed"),
            (all(|requests| &requests.refused), "requests refused"),
            (under_way, "requests without an end"),
            (self.unproven, "clients that could not ask at the end for what they missed"),
        ];
        let mut faults: Vec<_> = rows
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{what}: {}", whole(count)))
            .collect();
        if received == 0 && self.run.publishes.answered.load(Relaxed) > 0 {
            faults.push("nobody received anything".into());
        }
        faults
    }

    pub(crate) fn json(&self) -> Value {
        let requests: serde_json::Map<_, _> = self
            .requests()
            .into_iter()
            .map(|(name, requests)| {
                let value = json!({
                    "sent": requests.sent.load(Relaxed),
                    "answered": requests.answered.load(Relaxed),
                    "cut": requests.cut.load(Relaxed),
                    "failed": requests.failed.load(Relaxed),
                    "refused": requests.refused.load(Relaxed),
                    "reasons": requests.reasons(),
                });
                (name.to_owned(), value)
            })
            .collect();
        let counts = self.counts;
        json!({
            "clients": self.clients,
            "channels": self.run.options.channels,
            "http": if self.run.options.h2 { "2" } else { "1" },
            "requests": requests,
            "events": {
                "received": counts.received, "lost": counts.lost, "duplicate": counts.duplicate,
                "reordered": counts.reordered, "gaps": counts.gaps, "lost_in_gaps": counts.told,
            },
            "published_seconds": self.published_for.as_secs_f64(),
            "latency_ms": quantiles(&self.run.latencies.all()),
            "page_ms": quantiles(&self.run.page_times.all()),
            "faults": self.faults(),
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, options) = (self.run, &self.run.options);
        let http = if options.h2 { "HTTP/2" } else { "HTTP/1" };
        let (hold, ramp) = (options.hold.as_secs(), options.ramp.as_secs());
        writeln!(
            f,
            "{} clients over {http} on {} channels, holds of {hold} s, for {} s with a ramp of {ramp} s",
            whole(self.clients as u64),
            whole(options.channels.into()),
            self.published_for.as_secs(),
        )?;
        for (name, requests) in self.requests() {
            let [sent, answered, cut, failed, refused] = [
                &requests.sent,
                &requests.answered,
                &requests.cut,
                &requests.failed,
                &requests.refused,
            ]
            .map(|count| whole(count.load(Relaxed)));
            if sent == "0" {
                continue;
            }
            write!(f, "{name:<10} {sent} sent = {answered} answered + {cut} cut at the end")?;
            writeln!(f, " + {failed} failed; {refused} of the answers refused")?;
            for (reason, count) in requests.reasons() {
                writeln!(f, "           {} times: {reason}", whole(count))?;
            }
        }
        let published = run.publishes.answered.load(Relaxed) - run.publishes.refused.load(Relaxed);
        let rate = published as f64 / self.published_for.as_secs_f64().max(0.001);
        let (with_events, empty) = (run.with_events.load(Relaxed), run.empty.load(Relaxed));
        writeln!(f, "answers    {} with events, {} empty", whole(with_events), whole(empty))?;
        writeln!(
            f,
            "published  {} events, {rate:.1} a second; {:.1} were asked for",
            whole(published),
            options.publish_rate
        )?;
        let Counts { received, lost, duplicate, reordered, gaps, told } = self.counts;
        let [received, lost, duplicate, reordered] =
            [received, lost, duplicate, reordered].map(whole);
        writeln!(
            f,
            "events     {received} received, {lost} lost, {duplicate} twice, {reordered} out of order"
        )?;
        if gaps > 0 {
            let (gaps, told) = (whole(gaps), whole(told));
            writeln!(f, "           {gaps} gaps were told, with {told} events in them")?;
        }
        write!(f, "\n{:<28}", "milliseconds")?;
        for (name, _) in QUANTILES {
            write!(f, "{name:>10}")?;
        }
        writeln!(f, "{:>10}", "max")?;
        for (name, times) in
            [("publish to answer", run.latencies.all()), ("the page", run.page_times.all())]
        {
            if !times.is_empty() {
                writeln!(f, "{name:<28}{}", row(&times))?;
            }
        }
        Ok(())
    }
}

fn row(times: &Histogram<u64>) -> String {
    let values = QUANTILES.map(|(_, quantile)| times.value_at_quantile(quantile));
    let values = values.into_iter().chain([times.max()]);
    values.fold(String::new(), |mut row, micros| {
        let _ = write!(row, "{:>10.1}", micros as f64 / 1e3);
        row
    })
}

fn quantiles(times: &Histogram<u64>) -> Value {
    let values = QUANTILES.map(|(name, quantile)| (name, times.value_at_quantile(quantile)));
    let values = values.into_iter().chain([("max", times.max())]);
    let mut all: serde_json::Map<_, _> =
        values.map(|(name, micros)| (name.to_owned(), json!(micros as f64 / 1e3))).collect();
    all.insert("count".into(), times.len().into());
    all.into()
}

/// With separators: 1,000,000.
pub(crate) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}
