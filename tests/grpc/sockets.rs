//! A tonic server and a tonic client over a socket, with many calls on one connection.

use futures_util::{StreamExt, stream};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tonic::{
    service::LayerExt,
    transport::{Channel as Transport, Endpoint, Server},
};

use super::*;

const CALLS: usize = 1_000;
const LONG: Duration = Duration::from_secs(60);

/// One connection to a server that allows so many calls on it, behind the layer.
async fn connect(hub: &Hub) -> Transport {
    let router = server().layer(layer(hub).hold(LONG)).add_service(Api::holding(hub));
    joined(|incoming| router.serve_with_incoming(incoming)).await
}

fn server() -> Server {
    Server::builder().max_concurrent_streams(CALLS as u32 + 10)
}

type Incoming = stream::BoxStream<'static, std::io::Result<TcpStream>>;

/// A client with the one connection of a server.
async fn joined<F>(serve: impl FnOnce(Incoming) -> F) -> Transport
where
    F: Future<Output: Send> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = stream::once(async move { listener.accept().await.map(|(stream, _)| stream) });
    tokio::spawn(serve(accepted.chain(stream::pending()).boxed()));
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Real time passes until so many calls are parked; nothing is said about how much.
async fn parks(hub: &Hub, count: usize) {
    let parks = async {
        while hub.stats().parked != count {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, parks).await.expect("they park");
}

async fn many(transport: &Transport, hub: &Hub) -> JoinSet<Answer> {
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        calls.spawn(ask_over(transport.clone(), ask("")));
    }
    parks(hub, CALLS).await;
    calls
}

#[tokio::test]
async fn a_thousand_calls_on_one_connection_are_answered_by_one_event() {
    let hub = Hub::new();
    let transport = connect(&hub).await;
    let calls = many(&transport, &hub).await;
    let sent = hub.publish(&channel("a"), news("hello")).unwrap();
    assert_eq!(sent.woken, CALLS);
    let answers = timeout(LONG, calls.join_all()).await.unwrap();
    assert_eq!(answers.len(), CALLS);
    for answer in answers {
        let response = answer.unwrap();
        assert_eq!(response.get_ref().text, "hello");
        assert_eq!(response.metadata().get("x-handler").unwrap(), "news");
        assert_eq!(cursor(response.metadata()), sent.cursor);
    }
    assert_eq!(hub.stats().parked, 0);

    // The connection goes on, and so does the client.
    let again = tokio::spawn(ask_over(transport, ask(sent.cursor)));
    parks(&hub, 1).await;
    hub.publish(&channel("a"), news("x".repeat(100_000))).unwrap();
    let again = timeout(LONG, again).await.unwrap().unwrap().unwrap();
    assert_eq!(again.get_ref().text.len(), 100_000);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test]
async fn a_thousand_calls_are_let_go_by_a_drain() {
    let hub = Hub::new();
    let transport = connect(&hub).await;
    let calls = many(&transport, &hub).await;
    hub.drain(Duration::ZERO);
    for answer in timeout(LONG, calls.join_all()).await.unwrap() {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(cursor(status.metadata()), hub.cursor());
        assert!(status.metadata().get("grpc-retry-pushback-ms").is_some());
    }
    assert_eq!(hub.stats().parked, 0);
    let refused = timeout(LONG, ask_over(transport, ask(""))).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn calls_that_their_client_cancels_leave_nothing() {
    let hub = Hub::new();
    let transport = connect(&hub).await;
    let mut calls = many(&transport, &hub).await;
    calls.abort_all();
    parks(&hub, 0).await;
    while calls.join_next().await.is_some() {}
    assert_empty(&hub);
    assert_eq!(hub.stats().dropped, CALLS as u64);
    // The connection is as good as before.
    let call = tokio::spawn(ask_over(transport, ask("")));
    parks(&hub, 1).await;
    hub.publish(&channel("a"), news("hello")).unwrap();
    let answer = timeout(LONG, call).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.get_ref().text, "hello");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test]
async fn a_message_that_is_empty_crosses_a_socket() {
    let hub = Hub::new();
    let transport = connect(&hub).await;
    let call = tokio::spawn(ask_over(transport, ask("")));
    parks(&hub, 1).await;
    hub.publish(&channel("a"), Bytes::new()).unwrap();
    let answer = timeout(LONG, call).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.get_ref().text, "");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test]
async fn the_layer_may_stand_around_one_service_of_a_server() {
    let hub = Hub::new();
    let service = layer(&hub).hold(LONG).named_layer(Api::holding(&hub));
    let router = server().add_service(service);
    let transport = joined(|incoming| router.serve_with_incoming(incoming)).await;
    let call = tokio::spawn(ask_over(transport.clone(), ask("")));
    parks(&hub, 1).await;
    let sent = hub.publish(&channel("a"), news("hello")).unwrap();
    let answer = timeout(LONG, call).await.unwrap().unwrap().unwrap();
    assert_eq!((answer.get_ref().text.as_str(), cursor(answer.metadata())), ("hello", sent.cursor));
    hub.close();
    let refused = timeout(LONG, ask_over(transport, ask(""))).await.unwrap().unwrap_err();
    assert_eq!((refused.code(), cursor(refused.metadata())), (Code::Unavailable, hub.cursor()));
    assert_eq!(hub.stats().parked, 0);
}
