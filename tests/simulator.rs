//! `examples/simulator`: it finds nothing wrong with a server that is right, and whatever is wrong
//! with one that is not.
//!
//! It runs on the real clock. So nothing here asserts how long something takes.
#![cfg(all(unix, not(loom), feature = "json"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "simulator/liar.rs"]
mod liar;
mod process;
#[allow(dead_code, reason = "the simulator uses all of it")]
#[path = "../examples/simulator/seen.rs"]
mod seen;

use process::{Process, Server, command};
use seen::{Counts, Seen};
use serde_json::Value;

use liar::{Lie, serve};

/// A short run: the exit status, what it says, and what it complains of.
fn simulate(url: &str, arguments: &[&str]) -> (bool, Vec<String>, String) {
    let mut simulator = command("simulator");
    simulator.arg(url).args(["--ramp", "0", "--duration", "1", "--hold", "5"]).args(arguments);
    let mut process = Process::spawn(&mut simulator);
    let output = process.output.iter().collect();
    let errors = process.errors.iter().collect::<Vec<_>>().join("\n");
    (process.exit().success(), output, errors)
}

fn server(reply: &str) -> (Server, String) {
    let server = Server::of(command("server").args(["--listen", "127.0.0.1:0", "--reply", reply]));
    let url = format!("http://{}", server.address);
    (server, url)
}

#[test]
fn a_server_that_is_right_passes() {
    for reply in ["json", "raw"] {
        for http in [&[][..], &["--h2"]] {
            let (_server, url) = server(reply);
            let directory = std::env::temp_dir().join(format!("simulator-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            let (json, plot) = (directory.join("run.json"), directory.join("run.svg"));
            let (json, plot) = (json.to_str().unwrap(), plot.to_str().unwrap());
            let mut arguments = vec!["--clients", "20", "--channels", "3", "--publish-rate", "60"];
            arguments.extend(["--page", "/stats", "--json", json, "--plot", plot]);
            arguments.extend(http);
            let (passed, output, errors) = simulate(&url, &arguments);
            assert!(passed, "{reply} {http:?}: {output:#?} {errors}");
            let results: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
            let polls = &results["requests"]["polls"];
            let count = |name: &str| polls[name].as_u64().unwrap();
            assert_eq!(count("sent"), count("answered") + count("cut"), "{polls}");
            assert!(count("cut") <= 20 && results["events"]["received"].as_u64() > Some(0));
            assert!(results["latency_ms"]["max"].as_f64() > Some(0.01), "light takes longer");
            assert!(std::fs::read_to_string(plot).unwrap().starts_with("<svg"));
            std::fs::remove_dir_all(directory).unwrap();
        }
    }
}

#[test]
fn every_lie_is_found() {
    let rows = [
        (Lie::Loses, Some("events lost in silence: 1")),
        (Lie::LosesTheEnd, Some("events lost in silence: ")),
        (Lie::Repeats, Some("events twice: 1")),
        (Lie::Swaps, Some("events out of order: 1")),
        (Lie::Fails, Some("requests refused: 1")),
        (Lie::Breaks, Some("requests failed: 1")),
        (Lie::Invents, Some("events lost in silence: 1, requests refused: 1")),
        // What is told is no lie.
        (Lie::TellsOfAGap, None),
    ];
    for (lie, complaint) in rows {
        let url = serve(lie);
        let arguments = ["--clients", "1", "--channels", "1", "--publish-rate", "20"];
        let (passed, output, errors) = simulate(&url, &arguments);
        assert_eq!(passed, complaint.is_none(), "{lie:?}: {output:#?} {errors}");
        assert!(errors.contains(complaint.unwrap_or_default()), "{lie:?}: {errors}");
        if complaint.is_none() {
            let told = output.iter().any(|line| line.contains("1 gaps were told, with 1 events"));
            assert!(told, "{output:#?}");
        }
    }
}

#[test]
fn a_server_that_is_busy_is_not_asked_again_at_once() {
    let url = serve(Lie::IsBusy);
    let file = std::env::temp_dir().join(format!("simulator-busy-{}.json", std::process::id()));
    let (passed, _, errors) = simulate(&url, &["--clients", "1", "--json", file.to_str().unwrap()]);
    assert!(!passed && errors.contains("requests refused: "), "{errors}");
    let results: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    std::fs::remove_file(file).unwrap();
    let sent = results["requests"]["polls"]["sent"].as_u64();
    // A second has room for one or two; without a pause it has room for thousands.
    assert!((Some(1)..Some(50)).contains(&sent), "{sent:?}");
}

#[test]
fn what_cannot_be_done_is_refused_with_a_word_why() {
    let (_server, url) = server("json");
    let rows = [
        (url.as_str(), ["--clients", "4000000000"], "4000000000 connections"),
        (&url, ["--clients", "0"], "0 is not in"),
        (&url, ["--page", "stats"], "not a path"),
        ("https://127.0.0.1", ["--clients", "1"], "only http"),
        ("127.0.0.1", ["--clients", "1"], "not a URL"),
        ("http://127.0.0.1:1", ["--clients", "1"], "refused"),
    ];
    for (url, arguments, complaint) in rows {
        let (passed, _, errors) = simulate(url, &arguments);
        assert!(!passed && errors.contains(complaint), "{complaint}: {errors}");
    }
}

/// What a client counts that has a position when `sent` events are on their way.
fn counts(sent: u64, numbers: &[u64], last: u64) -> Counts {
    let mut seen = Seen::default();
    seen.begin(sent);
    for &number in numbers {
        if number == 0 { seen.gap() } else { assert!(seen.event(number, last)) }
    }
    seen.finish(last, |_| false)
}

/// A name, the position, what comes (zero stands for a gap) and what was sent; then what is lost,
/// told, twice, and out of order.
type Row = (&'static str, u64, &'static [u64], u64, [u64; 4]);

#[test]
fn numbers_tell_what_is_lost_twice_or_out_of_order() {
    let rows: [Row; 16] = [
        ("nothing to see", 0, &[], 0, [0, 0, 0, 0]),
        ("all", 0, &[1, 2, 3], 3, [0, 0, 0, 0]),
        ("from a position on", 7, &[8, 9], 9, [0, 0, 0, 0]),
        ("one under way at its position", 7, &[7, 8, 9], 9, [0, 0, 0, 0]),
        ("one in the middle", 0, &[1, 3], 3, [1, 0, 0, 0]),
        ("the first", 7, &[9, 10], 10, [1, 0, 0, 0]),
        ("the last", 0, &[1, 2], 4, [2, 0, 0, 0]),
        ("every one", 7, &[], 9, [2, 0, 0, 0]),
        ("twice", 0, &[1, 2, 2, 3], 3, [0, 0, 1, 0]),
        ("twice, much later", 0, &[1, 2, 3, 1], 3, [0, 0, 1, 0]),
        ("swapped", 0, &[2, 1, 3], 3, [0, 0, 0, 1]),
        ("late, and then again", 0, &[1, 3, 2, 2], 3, [0, 0, 1, 1]),
        ("before its first", 5, &[6, 4], 6, [0, 0, 0, 1]),
        ("a gap", 0, &[1, 0, 4], 4, [0, 2, 0, 0]),
        ("a gap at the end", 0, &[1, 0], 4, [0, 3, 0, 0]),
        ("a gap excuses no later loss", 0, &[1, 0, 3, 5], 5, [1, 1, 0, 0]),
    ];
    for (name, sent, numbers, last, expected) in rows {
        let Counts { lost, told, duplicate, reordered, .. } = counts(sent, numbers, last);
        assert_eq!([lost, told, duplicate, reordered], expected, "{name}");
    }
    let mut seen = Seen::default();
    seen.begin(0);
    seen.event(1, 4);
    seen.event(3, 4);
    let whole = seen.finish(4, |number| number == 2 || number == 4);
    assert_eq!(whole, Counts { received: 2, ..Counts::default() }, "perhaps never stored");
    let mut seen = Seen::default();
    seen.begin(3);
    [4, 6, 6].into_iter().for_each(|number| assert!(seen.event(number, 6)));
    let known = seen.finish(0, |_| false);
    let expected = Counts { received: 3, lost: 1, duplicate: 1, ..Counts::default() };
    assert_eq!(known, expected, "how many were sent is not known");
    assert_eq!(Seen::default().finish(9, |_| false), Counts::default(), "it had no position");
}

#[test]
fn an_event_that_was_never_sent_is_none() {
    for is_excused in [false, true] {
        let mut seen = Seen::default();
        seen.begin(2);
        if is_excused {
            seen.gap();
        }
        for number in [0, 4, 1_000_000, u64::MAX] {
            assert!(!seen.event(number, 3), "{number}");
        }
        assert!(seen.event(3, 3));
        let expected = Counts { received: 1, gaps: is_excused.into(), ..Counts::default() };
        assert_eq!(seen.finish(3, |_| false), expected);
    }
}
