//! A client that polls again while its older poll is parked.

use std::{sync::Barrier, thread};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_longpoll::http::Hold;

use super::*;

#[tokio::test(start_paused = true)]
async fn both_polls_of_a_client_are_served_unless_asked_otherwise() {
    type Set = fn(LongPollLayer<PathRoute>) -> LongPollLayer<PathRoute>;
    let rows: [(&str, Set, &str); 3] = [
        ("no option", |layer| layer, "me"),
        ("no key", |layer| layer.supersede_by(|_| None), "me"),
        ("a client without a key", |layer| layer.supersede_by(client), ""),
    ];
    for (name, set, who) in rows {
        let hub = Hub::new();
        let layer = set(layer(&hub));
        let (mut older, mut newer) =
            (parked(&layer, who, "/events/a"), parked(&layer, who, "/events/a"));
        assert_pending!(older.poll(), "{}", name);
        hub.publish(&channel("a"), "x").unwrap();
        assert_eq!(assert_ready!(older.poll()).text, "x", "{name}");
        assert_eq!(assert_ready!(newer.poll()).text, "x", "{name}");
        assert_eq!((hub.stats().parked, hub.stats().superseded), (0, 0), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_poll_is_answered_as_if_its_hold_had_run_out() {
    type Set = fn(LongPollLayer<PathRoute>) -> LongPollLayer<PathRoute>;
    fn closure(_: Cursor) -> Response<Bytes> {
        Response::builder().status(299).body(Bytes::from("quiet")).unwrap()
    }
    let rows: &[(&str, Set, u16)] = &[
        ("raw", |layer| layer, 204),
        #[cfg(feature = "json")]
        ("JSON", |layer| layer.reply(Reply::Json), 200),
        ("a closure", |layer| layer.on_timeout(closure), 299),
    ];
    for (name, set, status) in rows {
        let hub = Hub::new();
        let layer = set(layer(&hub).supersede_by(client));
        let mut older = parked(&layer, "me", "/events/a");
        let mut other = parked(&layer, "you", "/events/a");
        let mut newer = parked(&layer, "me", "/events/b");
        let ended = assert_ready!(older.poll(), "{}", name);
        let timed_out = now(&layer, "", "/events/a?wait=0");
        assert_eq!(ended.status, *status, "{name}");
        assert_eq!((ended.status, &ended.text), (timed_out.status, &timed_out.text), "{name}");
        assert_eq!(ended.headers, timed_out.headers, "{name}");
        assert_eq!(ended.cursor(), hub.cursor(), "{name}");
        assert_pending!(other.poll(), "{}: another client", name);
        assert_pending!(newer.poll(), "{}", name);
        assert_eq!(hub.stats().parked, 2, "{name}");
        drop((other, newer));
        assert_eq!(hub.stats().parked, 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_a_poll_is_superseded_is_not_lost() {
    let hub = Hub::new();
    let layer = layer(&hub).supersede_by(client);
    let start = hub.cursor();
    let mut older = parked(&layer, "me", &format!("/events/a?cursor={start}"));
    let newer = parked(&layer, "me", &format!("/events/b?cursor={start}"));
    // It comes before the older one has been answered, and then is its answer.
    hub.publish(&channel("a"), "one").unwrap();
    let answer = assert_ready!(older.poll());
    assert_eq!((answer.status, &*answer.text), (200, "one"));
    drop(newer);
    let mut older = parked(&layer, "me", &format!("/events/a?cursor={}", answer.cursor()));
    let newer = parked(&layer, "me", "/events/b");
    let answer = assert_ready!(older.poll());
    assert_eq!(answer.status, 204);
    hub.publish(&channel("a"), "two").unwrap();
    let next = now(&layer, "", &format!("/events/a?cursor={}", answer.cursor()));
    assert_eq!((next.status, &*next.text), (200, "two"));
    assert!(!next.headers.contains_key("longpoll-gap"));
    drop(newer);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_newer_poll_that_is_refused_leaves_the_older() {
    let hub = Hub::builder().max_waits(1).build().unwrap();
    let layer = layer(&hub).supersede_by(client);
    let mut older = parked(&layer, "me", "/events/a");
    let refused = now(&layer, "me", "/events/b");
    assert_eq!(refused.status, 503);
    for uri in ["/events", "/events/a?cursor=bad", "/events/a?wait=x"] {
        assert_eq!(now(&layer, "me", uri).status, 400, "{uri}");
    }
    assert_pending!(older.poll());
    hub.publish(&channel("a"), "x").unwrap();
    assert_eq!(assert_ready!(older.poll()).text, "x");
    assert_eq!((hub.stats().parked, hub.stats().superseded), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_too_long_is_a_bad_request_that_names_it() {
    let hub = Hub::builder().max_channel_name_bytes(9).build().unwrap();
    let layer = layer(&hub).supersede_by(client);
    let older = parked(&layer, "012345678", "/events/a");
    let refused = now(&layer, "0123456789", "/events/a");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    assert!(refused.text.contains(r#""field":"key""#), "{}", refused.text);
    drop(older);
    assert_eq!((hub.stats().parked, hub.stats().refused), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_held_response_that_is_superseded_goes_out_itself() {
    let hub = Hub::new();
    let start = hub.cursor();
    let own = service_fn(move |_: Request<String>| async move {
        let mut response = Response::new(Full::from("own"));
        response.headers_mut().insert("x-own", "1".parse().unwrap());
        let hold = Hold::new([channel("a")]).since(start).supersede_by("me");
        response.extensions_mut().insert(hold);
        Ok::<_, Infallible>(response)
    });
    let service = layer(&hub).layer(own);
    let ask = || Request::get("/inbox").body(String::new()).unwrap();
    let mut older = task::spawn(service.clone().oneshot(ask()));
    assert_pending!(older.poll());
    let mut newer = task::spawn(service.oneshot(ask()));
    assert_pending!(newer.poll());
    let response = assert_ready!(older.poll()).unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["x-own"]),
        (200, &"1".parse().unwrap())
    );
    assert_eq!(response.headers()["longpoll-cursor"], hub.cursor().to_string());
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "own");
    // The keys of the layer and of holds are of one kind.
    let _newest = parked(&layer(&hub).supersede_by(client), "me", "/events/b");
    assert_ready!(newer.poll()).unwrap();
    assert_eq!((hub.stats().parked, hub.stats().superseded), (1, 2));
}

#[test]
fn of_two_that_race_exactly_one_stays() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let hub = Hub::new();
    let layer = layer(&hub).supersede_by(client);
    let mut random = Random::new(11);
    for round in 0..1_000 {
        let names = ["a", "b", "c"].map(|name| format!("/events/{name}"));
        let (one, two) = (&names[random.below(3)], &names[random.below(3)]);
        let (barrier, handle) = (Barrier::new(2), runtime.handle());
        let spins = [random.below(50), random.below(50)];
        let race = |uri: &str, spins: usize| {
            let _entered = handle.enter();
            let mut poll = poll(&layer, "me", uri);
            barrier.wait();
            (0..spins).for_each(|_| std::hint::spin_loop());
            assert_pending!(poll.poll(), "it is not polled again before both are here");
            poll
        };
        let (mut one, mut two) = thread::scope(|scope| {
            let other = scope.spawn(|| race(one, spins[0]));
            let two = race(two, spins[1]);
            (other.join().unwrap(), two)
        });
        let ended = [one.poll(), two.poll()];
        let answers: Vec<_> = ended
            .into_iter()
            .filter_map(|poll| match poll {
                std::task::Poll::Ready(answer) => Some(answer),
                std::task::Poll::Pending => None,
            })
            .collect();
        assert_eq!(answers.len(), 1, "round {round}");
        assert_eq!(answers[0].status, 204, "round {round}");
        assert_eq!(hub.stats().parked, 1, "round {round}");
        drop((one, two));
        assert_empty(&hub);
    }
}

/// Sends a poll over a connection that stays open.
async fn send(connection: &mut TcpStream, uri: &str) {
    let request = format!("GET {uri} HTTP/1.1\r\nhost: x\r\nx-client: me\r\n\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
}

/// The head of an answer, up to a body that has `body` bytes.
async fn receive(connection: &mut TcpStream, body: usize) -> String {
    let mut answer = Vec::new();
    let read = async {
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            answer.push(connection.read_u8().await.unwrap());
        }
        for _ in 0..body {
            answer.push(connection.read_u8().await.unwrap());
        }
    };
    timeout(SECOND * 60, read).await.expect("an answer");
    String::from_utf8(answer).unwrap()
}

async fn parks(hub: &Hub, what: impl Fn(&Hub) -> bool) {
    let parks = async {
        while !what(hub) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SECOND * 60, parks).await.expect("it comes true");
}

#[tokio::test]
async fn a_connection_stays_usable_when_its_poll_is_superseded() {
    let hub = Hub::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = layer(&hub).supersede_by(client).layer(service_fn(
        |_: Request<hyper::body::Incoming>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("inner")))
        },
    ));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(TokioIo::new(connection), service).await);
            });
        }
    });
    let mut older = TcpStream::connect(address).await.unwrap();
    let mut newer = TcpStream::connect(address).await.unwrap();
    send(&mut older, "/events/a?wait=60").await;
    parks(&hub, |hub| hub.stats().parked == 1).await;
    send(&mut newer, "/events/a?wait=60").await;
    let ended = receive(&mut older, 0).await;
    assert!(ended.starts_with("HTTP/1.1 204"), "{ended}");
    assert!(ended.contains("longpoll-cursor: "), "{ended}");
    assert!(!ended.contains("connection: close"), "{ended}");
    assert_eq!((hub.stats().parked, hub.stats().superseded), (1, 1));

    // And back: the older connection now has the newest poll.
    send(&mut older, "/events/a?wait=60").await;
    let ended = receive(&mut newer, 0).await;
    assert!(ended.starts_with("HTTP/1.1 204"), "{ended}");
    hub.publish(&channel("a"), "hello").unwrap();
    let told = receive(&mut older, 5).await;
    assert!(told.starts_with("HTTP/1.1 200") && told.ends_with("hello"), "{told}");
    assert_eq!(hub.stats().parked, 0);
}
