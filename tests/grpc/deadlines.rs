//! A client's own deadline, and what is answered before it.

use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use tokio::time::Instant;
use tonic::transport::{Channel as Transport, Endpoint, Server};
use tower::{
    ServiceExt,
    layer::util::{Identity, Stack},
    service_fn,
};

use super::*;

const MARGIN: Duration = Duration::from_millis(500);

/// How long a response is held, in the same process, with this `grpc-timeout`.
async fn held_for(layer: &LongPollLayer<()>, api: &Api, timeout: &str) -> Duration {
    let request = bare(&[("grpc-timeout", timeout)]);
    let (took, response) = timed(layer.layer(api.clone()).oneshot(request)).await;
    let read = read(response.unwrap()).await;
    assert_eq!(News::decode(&read.data[5..]).unwrap().text, "nothing", "{timeout}");
    assert!(read.headers.contains_key("longpoll-cursor"), "{timeout}");
    took
}

#[tokio::test(start_paused = true)]
async fn a_call_is_answered_before_its_deadline() {
    let rows = [
        ("hours", "1H", HOLD),
        ("minutes", "1M", HOLD),
        ("seconds", "10S", SECOND * 10 - MARGIN),
        ("milliseconds", "10000m", SECOND * 10 - MARGIN),
        ("microseconds", "10000000u", SECOND * 10 - MARGIN),
        ("nanoseconds", "64000000n", MS * 32),
        ("eight digits", "00000010S", SECOND * 10 - MARGIN),
        ("the largest", "99999999H", HOLD),
        ("the largest of the smallest", "99999999n", MS * 50),
        ("half is more than the margin", "1001m", MS * 501),
        ("half is the margin", "1S", MARGIN),
        ("half is less than the margin", "600m", MS * 300),
        ("zero", "0S", Duration::ZERO),
        ("zero nanoseconds", "00000000n", Duration::ZERO),
        ("as long as the hold and the margin", "20500m", HOLD),
        ("just shorter", "20499m", HOLD - MS),
    ];
    for (name, timeout, expected) in rows {
        let hub = Hub::new();
        let took = held_for(&layer(&hub), &Api::holding(&hub), timeout).await;
        assert_eq!(took, expected, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_not_understood_is_none() {
    let rows = [
        ("nothing", ""),
        ("no number", "S"),
        ("no unit", "1"),
        ("no such unit", "1s"),
        ("another unit", "1h"),
        ("nine digits", "000000001S"),
        ("a sign", "+1S"),
        ("a negative", "-1S"),
        ("a fraction", "0.1S"),
        ("a space", "1 S"),
        ("two", "1S, 1S"),
        ("two units", "1SS"),
        ("digits that are not ASCII", "\u{661}S"),
        ("a unit that is not ASCII", "1\u{b5}"),
    ];
    for (name, timeout) in rows {
        let hub = Hub::new();
        let took = held_for(&layer(&hub), &Api::holding(&hub), timeout).await;
        assert_eq!(took, HOLD, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_margin_is_as_set_and_at_most_half_of_the_time() {
    let rows = [
        ("none", Duration::ZERO, SECOND * 10),
        ("two seconds", SECOND * 2, SECOND * 8),
        ("half", SECOND * 5, SECOND * 5),
        ("more than half", SECOND * 6, SECOND * 5),
        ("more than all", Duration::MAX, SECOND * 5),
    ];
    for (name, margin, expected) in rows {
        let hub = Hub::new();
        let layer = layer(&hub).grpc_margin(margin);
        assert_eq!(held_for(&layer, &Api::holding(&hub), "10S").await, expected, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_that_the_method_took_counts() {
    let (ms, end) = (|ms| MS * ms, SECOND * 10 - MARGIN);
    let rows = [
        ("none", ms(0), end),
        ("some", ms(4_000), end),
        ("nearly all", ms(9_499), end),
        ("all but the margin", ms(9_500), end),
        ("some of the margin", ms(9_800), ms(9_800)),
        ("more than all", ms(11_000), ms(11_000)),
    ];
    for (name, takes, expected) in rows {
        let hub = Hub::new();
        let api = Api::new(move |_| async move {
            tokio::time::sleep(takes).await;
            Ok(nothing(Hold::new([channel("a")])))
        });
        assert_eq!(held_for(&layer(&hub), &api, "10S").await, expected, "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_answered_even_when_no_time_is_left() {
    let hub = Hub::new();
    hub.publish(&channel("a"), news("held")).unwrap();
    let api = Api::new(|_| async {
        tokio::time::sleep(SECOND * 2).await;
        Ok(nothing(Hold::new([channel("a")]).since(Since::Oldest)))
    });
    let service = layer(&hub).layer(api);
    let response = service.oneshot(bare(&[("grpc-timeout", "1S")])).await.unwrap();
    assert_eq!(News::decode(&read(response).await.data[5..]).unwrap().text, "held");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_hold_wins() {
    let hub = Hub::new();
    let api = Api::new(|_| async { Ok(nothing(Hold::new([channel("a")]).hold(SECOND * 3))) });
    assert_eq!(held_for(&layer(&hub), &api, "10S").await, SECOND * 3);
    assert_eq!(held_for(&layer(&hub).max_hold(SECOND), &api, "10S").await, SECOND);
    assert_eq!(held_for(&layer(&hub), &api, "4S").await, SECOND * 3);
    assert_eq!(hub.stats().parked, 0);
}

type Layered = Server<Stack<LongPollLayer<()>, Identity>>;

/// A tonic client of a tonic server, joined by a pipe.
async fn connect(mut server: Layered, api: Api) -> Transport {
    let (near, far) = tokio::io::duplex(1 << 16);
    let incoming = stream::iter([Ok::<_, std::io::Error>(far)]).chain(stream::pending());
    tokio::spawn(server.add_service(api).serve_with_incoming(incoming));
    let mut near = Some(near);
    let connector = service_fn(move |_: http::Uri| {
        let near = near.take().map(TokioIo::new);
        async move { near.ok_or_else(|| std::io::Error::other("there was one connection")) }
    });
    let endpoint = Endpoint::from_static("http://localhost");
    endpoint.connect_with_connector(connector).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_tonic_client_with_a_timeout_never_sees_it() {
    let rows = [
        (MS * 2, MS),
        (MS * 3, MS * 2),
        (MS * 10, MS * 5),
        (MS * 100, MS * 50),
        (SECOND, MARGIN),
        (SECOND * 5, SECOND * 5 - MARGIN),
        (SECOND * 30, HOLD),
        (SECOND * 3_600, HOLD),
    ];
    for (timeout, expected) in rows {
        let hub = Hub::new();
        let transport = connect(Server::builder().layer(layer(&hub)), Api::holding(&hub)).await;
        let mut request = ask("");
        request.set_timeout(timeout);
        let start = Instant::now();
        let response = ask_over(transport, request).await;
        let response = response.unwrap_or_else(|status| panic!("{timeout:?}: {status}"));
        assert_eq!(start.elapsed(), expected, "{timeout:?}");
        assert_eq!(response.get_ref().text, "nothing");
        assert_eq!(cursor(response.metadata()), hub.cursor());
        assert_eq!(hub.stats().parked, 0);
    }
}

/// The timer of a tonic server stands outside of its layers: it starts after theirs, and looks at
/// them first. Without a margin there is a tie, which the client's own timer need not lose.
#[tokio::test(start_paused = true)]
async fn tonics_own_timer_stands_outside_of_the_layer() {
    let hub = Hub::new();
    let server = Server::builder().timeout(SECOND * 3).layer(layer(&hub));
    let transport = connect(server, Api::holding(&hub)).await;
    let (took, ended) = timed(ask_over(transport.clone(), ask(""))).await;
    assert_eq!((took, ended.unwrap_err().code()), (SECOND * 3, Code::Cancelled));
    settle().await;
    assert_eq!((hub.stats().parked, hub.stats().dropped), (0, 1), "its response is dropped");
    let mut request = ask("");
    request.set_timeout(SECOND * 2);
    let (took, response) = timed(ask_over(transport, request)).await;
    assert_eq!((took, &*response.unwrap().get_ref().text), (SECOND * 2 - MARGIN, "nothing"));
    assert_eq!(hub.stats().parked, 0);
}
