//! What a parked poll of HTTP/1 keeps in memory.

use super::{Scale, client::Load, contenders::Contender};

/// Polls are spread over so many channels.
const CHANNELS: usize = 100;
/// How often each poll is answered before it is measured again: once is not what stays.
const ANSWERS: usize = 3;

/// Bytes of each, before it was ever answered and when it has been.
pub(crate) fn parked(contender: &Contender, scale: &Scale) -> Vec<(&'static str, f64)> {
    let server = contender.start();
    let mut load = Load::new(server.address);
    let targets: Vec<_> = (0..CHANNELS).map(|name| server.poll(&format!("c{name}"))).collect();
    let target = |number: usize| &targets[number % CHANNELS];
    let before = server.settled();
    for _ in 0..scale.parked {
        let number = load.connect();
        load.connection(number).poll(target(number));
    }
    let unanswered = (server.settled() - before) / scale.parked as f64;

    let publisher = load.connect();
    for _ in 0..ANSWERS {
        for channel in 0..CHANNELS {
            let publish = server.publish(&format!("c{channel}"));
            load.connection(publisher).publish(&publish, &[b'x'; 256]);
            let polls = (scale.parked + CHANNELS - 1 - channel) / CHANNELS;
            load.answers(polls + 1, |number, connection, answer| {
                if number != publisher {
                    assert_eq!(answer.status, 200);
                    // As clients do: at once.
                    connection.poll(target(number));
                }
            });
        }
        server.settled();
    }
    let answered = (server.settled() - before) / scale.parked as f64;
    vec![("parked HTTP/1 poll", unanswered), ("the same after answers", answered)]
}
