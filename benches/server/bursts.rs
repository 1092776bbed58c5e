//! Many events at once for subscribers that come back for each: nothing may be missing.

use std::{
    process,
    time::{Duration, Instant},
};

use super::{
    Scale,
    client::{Load, post},
    contenders::{Contender, Kind, Server},
    proc::cpu,
};

const CHANNELS: usize = 4;
const SUBSCRIBERS: usize = 25;
/// Without a word for this long, there is nothing more to come.
const SILENCE: Duration = Duration::from_millis(200);

/// Events delivered a second, and what went wrong with them.
pub(crate) fn bursts(contender: &Contender, scale: &Scale) -> Vec<(&'static str, f64)> {
    let [rate, wrong, served, busy] = measure(&contender.start_with(&["--reply", "json"]), scale);
    let mut figures = vec![
        ("bursts", rate),
        ("lost, doubled or out of order", wrong),
        ("the server's CPU for each", served),
        ("the load's core in bursts", busy),
    ];
    if contender.kind == Kind::Example {
        let [rate, wrong, served, busy] = measure(&contender.start(), scale);
        figures.extend([
            ("bursts, an event an answer", rate),
            ("lost of these", wrong),
            ("the server's CPU for each of these", served),
            ("the load's core with these", busy),
        ]);
    }
    figures
}

fn measure(server: &Server, scale: &Scale) -> [f64; 4] {
    let mut load = Load::new(server.address);
    let name = |channel: usize| format!("c{channel}");
    let polls: Vec<_> = (0..CHANNELS).map(|channel| server.poll(&name(channel))).collect();
    let subscribers = CHANNELS * SUBSCRIBERS;
    for _ in 0..subscribers {
        let number = load.connect();
        load.connection(number).poll(&polls[number % CHANNELS]);
    }
    let publishers: Vec<_> = (0..CHANNELS).map(|_| load.connect()).collect();
    server.settled();

    // The event that each subscriber has to get next; and who got another one.
    let mut next = vec![0_usize; subscribers];
    let (mut wrong, mut delivered, mut seconds) = (0, 0, 0.0);
    let before = (cpu(process::id()), cpu(server.process()));
    for burst in 0..scale.bursts {
        let (first, end) = (burst * scale.burst, (burst + 1) * scale.burst);
        let start = Instant::now();
        for (channel, &publisher) in publishers.iter().enumerate() {
            let target = server.publish(&name(channel));
            let event = |event: usize| post(&target, format!("{event:08}{:248}", "").as_bytes());
            load.connection(publisher).write(&(first..end).flat_map(event).collect::<Vec<_>>());
        }
        let (mut last, mut done) = (start, 0);
        while done < subscribers && last.elapsed() < SILENCE {
            load.turn(SILENCE / 4, |number, connection, answer| {
                if number >= subscribers {
                    assert!(answer.status < 300, "{}", answer.status);
                    return;
                }
                connection.poll(&polls[number % CHANNELS]);
                for event in events(answer.body) {
                    let expected = std::mem::replace(&mut next[number], event + 1);
                    wrong += expected.abs_diff(event);
                    delivered += 1;
                    done += usize::from(event + 1 == end);
                }
                last = Instant::now();
            });
        }
        for next in &mut next {
            wrong += end - std::mem::replace(next, end);
        }
        seconds += (last - start).as_secs_f64();
        // The polls arrive, and the answers of the publishers are read, before the next burst.
        let quiet = Instant::now();
        while quiet.elapsed() < Duration::from_millis(20) {
            load.turn(Duration::from_millis(5), |number, _, _| assert!(number >= subscribers));
        }
    }
    let (busy, served) = (cpu(process::id()) - before.0, cpu(server.process()) - before.1);
    let delivered = f64::from(delivered);
    let busy = (100.0 * busy / seconds).min(100.0);
    [delivered / seconds, wrong as f64, served * 1e6 / delivered, busy]
}

/// The numbers that an answer's payloads begin with: it is one payload, or JSON with some.
fn events(body: &[u8]) -> impl Iterator<Item = usize> {
    let body = std::str::from_utf8(body).unwrap();
    let payloads = body.split(r#""data":""#).skip(usize::from(body.starts_with('{')));
    payloads.map(|payload| payload[..8].parse().unwrap())
}
