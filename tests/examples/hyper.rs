//! `examples/hyper.rs`: events, without a framework.

use super::*;

fn start() -> Server {
    Server::of(command("hyper").arg("127.0.0.1:0"))
}

#[test]
fn a_publish_answers_a_parked_poll() {
    let server = start();
    let mut parked = server.asking("/events/demo?wait=60", "");
    let cursor = publish_until_woken(&server);
    let answer = parked.answer();
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    assert_eq!(answer.header("longpoll-cursor"), Some(&*cursor));
    let mut client = server.connect();
    let (cursor, _) = client.publish("demo", "one");
    client.publish("demo", "two");
    assert_eq!(&*client.get(&format!("/events/demo?cursor={cursor}")).body, b"two");
    assert_eq!(client.get("/elsewhere").status, 404);
}

#[test]
fn a_sigterm_answers_every_parked_poll() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = start();
        let mut idle = server.connect();
        idle.publish("other", "x");
        let parked: Vec<_> = (0..EACH).map(|_| server.asking("/events/a?wait=60", "")).collect();
        until_parked_for_sure(&server);
        server.signal(signal);
        parked.into_iter().for_each(assert_let_go);
        idle.assert_closed();
        assert_eq!(server.exit().code(), Some(0));
    }
}

#[test]
fn clients_that_stall_do_not_keep_it() {
    super::clients_that_stall_do_not_keep(start(), "/events/demo");
}

#[test]
fn what_stops_it_from_starting_is_an_error() {
    super::assert_fails("hyper", &["nowhere"]);
}
