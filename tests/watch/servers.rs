//! The layer at a server, over a real socket.

use axum::{Router, extract::State, routing::get as route};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    for _ in 0..1_000_000 {
        if is_true() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("never: {what}");
}

/// A handler that knows nothing of who waits.
async fn job(State(state): State<Arc<AtomicU64>>) -> ([(&'static str, String); 1], String) {
    let state = state.load(SeqCst);
    ([("etag", format!("\"{state}\""))], format!("state {state}"))
}

async fn send(to: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(to).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

/// The status and the body of an answer, from a server that then closes.
async fn read(mut client: TcpStream) -> (String, String) {
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), body.to_owned())
}

#[tokio::test]
async fn over_a_socket_a_change_is_answered_and_a_client_that_left_is_noticed() {
    let (hub, state) = (Hub::new(), Arc::<AtomicU64>::default());
    let app = Router::new().route("/r/{channel}", route(job)).layer(layer(&hub));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, app.with_state(state.clone())).into_future());
    let asks = |wait: u32| {
        format!(
            "GET /r/a?wait={wait} HTTP/1.1\r\nhost: x\r\nif-none-match: \"0\"\r\n\
             connection: close\r\n\r\n"
        )
    };
    let quiet = read(send(address, &asks(0)).await).await;
    assert_eq!(quiet, ("304".into(), String::new()));

    let told = send(address, &asks(20)).await;
    let left = send(address, &asks(20)).await;
    until("both are parked", || hub.stats().parked == 2).await;
    drop(left);
    until("the client that left is noticed", || hub.stats().parked == 1).await;
    state.store(1, SeqCst);
    assert_eq!(hub.touch(&channel("a")), 1);
    assert_eq!(read(told).await, ("200".into(), "state 1".into()));
    assert_eq!((hub.stats().parked, hub.stats().dropped), (0, 1));
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_no_change_is_missed_by_requests_that_begin_with_it() {
    const CHANGES: u64 = 2_000;
    let (hub, resource) = (Hub::new(), Resource::new());
    let service = layer(&hub).layer(resource.handler());
    let all = Arc::new(tokio::sync::Barrier::new(5));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (mut service, all) = (service.clone(), all.clone());
        clients.spawn(async move {
            for seen in 0..CHANGES {
                all.wait().await;
                let tag = format!("\"{seen}\"");
                let asks = get("/r/a?wait=20", &[("if-none-match", &tag)]);
                std::future::poll_fn(|cx| service.poll_ready(cx)).await.unwrap();
                let answer = service.call(asks).await.unwrap();
                assert_eq!(answer.status(), 200, "nobody is told that nothing is new");
                assert_eq!(text(answer.into_body()), format!("state {}", seen + 1));
            }
        });
    }
    let writer = {
        let (hub, resource) = (hub.clone(), resource.clone());
        tokio::spawn(async move {
            for change in 0..CHANGES {
                all.wait().await;
                // Now a little earlier, now a little later.
                (0..change % 64 * 40).for_each(|_| std::hint::spin_loop());
                resource.change(&hub);
            }
        })
    };
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    writer.await.unwrap();
    drop(service);
    assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)));
}
