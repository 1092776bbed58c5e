//! Events for one poll each, at a steady rate that leaves the server time.

use std::time::{Duration, Instant};

use super::{
    Scale,
    client::Load,
    contenders::{Contender, Kind, Server},
    fan_out::median,
    proc::cpu,
};

const EACH: Duration = Duration::from_micros(500);
const POLLS: usize = 1_000;

/// The server's CPU time for each event: a `POST`, an answer, and the poll that follows.
pub(crate) fn unicast(contender: &Contender, scale: &Scale) -> Vec<(&'static str, f64)> {
    let [spent, late] = measure(&contender.start(), scale);
    let mut figures = vec![("unicast at 2,000/s", spent), ("from POST to answer, p50", late)];
    let patient = match contender.kind {
        Kind::Example => {
            let server = contender.start_with(&["--reply", "raw", "--head-timeout", "0"]);
            Some(measure(&server, scale))
        }
        // It has no limit anyway.
        Kind::Axum => Some([spent, late]),
        Kind::Nchan => None,
    };
    if let Some([spent, late]) = patient {
        let rows = ["unicast, heads may take for ever", "then from POST to answer, p50"];
        figures.extend(rows.into_iter().zip([spent, late]));
    }
    figures
}

fn measure(server: &Server, scale: &Scale) -> [f64; 2] {
    let mut load = Load::new(server.address);
    let name = |number: usize| format!("user-{number}");
    let polls: Vec<_> = (0..POLLS).map(|number| server.poll(&name(number))).collect();
    let publishes: Vec<_> = (0..POLLS).map(|number| server.publish(&name(number))).collect();
    for poll in &polls {
        let number = load.connect();
        load.connection(number).poll(poll);
    }
    let publisher = load.connect();
    server.settled();

    let mut late = Vec::new();
    let cpu_before = cpu(server.process());
    let start = Instant::now();
    let mut sent = vec![start; POLLS];
    for event in 0..scale.unicasts {
        let due = start + EACH * event as u32;
        while Instant::now() < due {
            load.turn(Duration::ZERO, |number, connection, answer| {
                if number != publisher {
                    assert_eq!(answer.status, 200);
                    late.push(sent[number].elapsed().as_secs_f64() * 1e6);
                    connection.poll(&polls[number]);
                }
            });
        }
        sent[event % POLLS] = Instant::now();
        load.connection(publisher).publish(&publishes[event % POLLS], &[b'x'; 256]);
    }
    let spent = cpu(server.process()) - cpu_before;
    [spent * 1e6 / scale.unicasts as f64, median(late)]
}
