//! Holds that run out.

use std::time::{Duration, Instant};

use super::{
    Scale,
    client::Load,
    contenders::{Contender, Kind},
};

const HOLD: Duration = Duration::from_secs(5);
/// So that they do not end all at once: what is measured is the clock, not a crowd.
const EACH: Duration = Duration::from_micros(400);

/// By how much they end later than the hold, seen from the client.
pub(crate) fn timeouts(contender: &Contender, scale: &Scale) -> Vec<(&'static str, f64)> {
    if contender.kind == Kind::Nchan {
        // Its timeout is the same for all polls, by configuration.
        return Vec::new();
    }
    let server = contender.start();
    let mut load = Load::new(server.address);
    for _ in 0..scale.holds {
        load.connect();
    }
    let target = format!("/events/quiet?wait={}", HOLD.as_secs());
    let (mut late, start) = (Vec::new(), Instant::now());
    let mut sent = Vec::new();
    while late.len() < scale.holds {
        let due = (start.elapsed().as_micros() / EACH.as_micros()) as usize;
        if sent.len() < scale.holds.min(due) {
            let number = sent.len();
            sent.push(Instant::now());
            load.connection(number).poll(&target);
        }
        load.turn(Duration::ZERO, |number, _, answer| {
            let held = sent[number].elapsed();
            assert_eq!(answer.status, 204);
            late.push((held.as_secs_f64() - HOLD.as_secs_f64()) * 1e3);
        });
        assert!(start.elapsed() < HOLD * 6, "timeouts are missing");
    }
    late.sort_by(f64::total_cmp);
    vec![
        ("earliest timeout", late[0]),
        ("timeout, p50", late[late.len() / 2]),
        ("timeout, p99", late[late.len() * 99 / 100]),
    ]
}
