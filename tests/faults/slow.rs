//! Clients that do not read their answers.

use super::*;

const READERS: usize = 32;
const LARGE: usize = 8 << 20;

/// Clients whose answers got stuck on their way.
fn stalled(site: &mut Site) -> Vec<Wire> {
    let wires: Vec<_> = (0..READERS)
        .map(|_| {
            let mut wire = Wire::open(site.server.address, Some(4_096));
            wire.send("GET /events/large?cursor=oldest HTTP/1.1\r\nhost: x\r\n\r\n");
            wire
        })
        .collect();
    // All have an answer, and the server can write no more.
    site.control.until(|stats| stats["delivered"] == READERS);
    wires
}

/// The head of an answer, and what its body still has to come.
fn head(wire: &mut Wire) -> (String, usize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(wire.read(1));
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    (head.clone(), length.parse().unwrap())
}

#[test]
fn a_client_that_stops_reading_holds_up_nobody_but_itself() {
    for kind in ["raw", "json"] {
        let (payload, history) = (LARGE.to_string(), (4 * LARGE).to_string());
        let limits = ["--max-payload", &payload, "--history-bytes", &history, "--threads", "2"];
        let mut site = Site::start(&[&limits[..], &["--reply", kind]].concat());
        site.control.publish("large", &"x".repeat(LARGE));
        let before = resident(&site.server);
        let mut wires = stalled(&mut site);

        // More of them than the server has threads, and everyone else is served as ever.
        for round in 0..50 {
            let mut parked = site.server.parked("small");
            site.until_parked(1);
            assert_eq!(site.control.publish("small", &round.to_string()).1, 1, "{kind}");
            let answer = parked.answer();
            assert_eq!(answer.status, 200);
            let told = String::from_utf8(answer.body).unwrap();
            assert!(told.contains(&round.to_string()), "{kind}: {told}");
        }
        assert_eq!(site.stats()["parked"], 0);
        // They share one payload: a copy for each would be eight times as much.
        let grown = resident(&site.server).saturating_sub(before);
        assert!(grown < READERS * LARGE / 8, "{kind}: {grown} bytes for {READERS} stalled answers");

        // Whoever goes on reading gets it whole.
        for wire in wires.drain(..2) {
            let mut wire = wire;
            let (head, length) = head(&mut wire);
            assert!(head.starts_with("HTTP/1.1 200"), "{kind}: {head}");
            let body = wire.read(length);
            let sent = body.iter().filter(|&&byte| byte == b'x').count();
            assert!(sent >= LARGE && length >= LARGE, "{kind}: {sent} of {length}");
        }
        for (number, wire) in wires.into_iter().enumerate() {
            wire.leave(if number % 2 == 0 { Leave::Reset } else { Leave::Close });
        }
        site.recover(kind);
    }
}

#[test]
fn clients_that_read_nothing_of_many_answers_are_not_answered_without_end() {
    // A thousand requests on a connection, none of whose answers is read.
    let mut site = Site::start(&["--reply", "raw"]);
    site.control.publish("a", &"x".repeat(1 << 20));
    let before = site.stats()["delivered"].as_u64().unwrap();
    let mut wire = Wire::open(site.server.address, Some(4_096));
    wire.send("GET /events/a?cursor=oldest HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000));
    site.control.until(|stats| stats["delivered"].as_u64() > Some(before));
    for _ in 0..100 {
        site.stats();
    }
    let begun = site.stats()["delivered"].as_u64().unwrap() - before;
    assert!(begun < 100, "{begun} answers were begun for who reads none");
    wire.leave(Leave::Reset);
    site.recover("a reader of nothing");
}
