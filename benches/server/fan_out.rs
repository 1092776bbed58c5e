//! One event for many.

use std::{process, time::Instant};

use super::{Scale, client::Load, contenders::Contender, proc::cpu};

/// From sending the event to the last answer, and to the answer of its `POST`.
pub(crate) fn broadcast(contender: &Contender, scale: &Scale) -> Vec<(&'static str, f64)> {
    let server = contender.start();
    let mut load = Load::new(server.address);
    for _ in 0..scale.crowd {
        load.connect();
    }
    let publisher = load.connect();
    let (poll, publish) = (server.poll("crowd"), server.publish("crowd"));
    let (mut rates, mut posts) = (Vec::new(), Vec::new());
    let (mut busy, mut served, mut total) = (0.0, 0.0, 0.0);
    // The first one is not counted: what is grown by it stays.
    for round in 0..=scale.broadcasts {
        for number in 0..scale.crowd {
            load.connection(number).poll(&poll);
        }
        server.settled();
        let before = (cpu(process::id()), cpu(server.process()));
        let start = Instant::now();
        load.connection(publisher).publish(&publish, &[b'x'; 256]);
        let mut post = start.elapsed();
        load.answers(scale.crowd + 1, |number, _, answer| {
            if number == publisher {
                post = start.elapsed();
            }
            assert!(number == publisher || answer.status == 200, "{}", answer.status);
        });
        let seconds = start.elapsed().as_secs_f64();
        if round > 0 {
            rates.push(scale.crowd as f64 / seconds);
            posts.push(100.0 * post.as_secs_f64() / seconds);
            busy += cpu(process::id()) - before.0;
            served += cpu(server.process()) - before.1;
            total += seconds;
        }
    }
    vec![
        ("broadcast", median(rates)),
        ("its POST answered after", median(posts)),
        (
            "the server's CPU for each answer",
            served * 1e6 / (scale.crowd * scale.broadcasts) as f64,
        ),
        ("the load's core in it", 100.0 * busy / total),
    ]
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
