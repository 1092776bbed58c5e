//! Over real connections, with hyper-util's client. On the real clock, of which nothing is asserted.

use bytes::Bytes;
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::net::TcpListener;
use tower_longpoll::{Hub, Reply};

use super::{servers::router, *};

#[tokio::test]
async fn a_client_with_connections_gets_every_event() {
    for reply in [Reply::Raw, Reply::Json] {
        let hub = Hub::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/events/c", listener.local_addr().unwrap());
        let server = tokio::spawn({
            let app = router(&hub, reply);
            async move { axum::serve(listener, app).await }
        });
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let mut stream = subscription(&uri).since(hub.cursor()).over(client);
        let publisher = tokio::spawn({
            let hub = hub.clone();
            async move {
                for number in 0..200 {
                    publish(&hub, &channel("c"), number.to_string());
                    tokio::task::yield_now().await;
                }
            }
        });
        for number in 0..200 {
            assert_eq!(text(&event(stream.next().await)), number.to_string(), "{reply:?}");
        }
        publisher.await.unwrap();

        // Parked, and then the client leaves.
        let mut stream = tokio_test::task::spawn(stream);
        while hub.stats().parked == 0 {
            assert!(stream.poll_next().is_pending());
            tokio::task::yield_now().await;
        }
        drop(stream);
        while hub.stats().parked > 0 {
            tokio::task::yield_now().await;
        }
        server.abort();
    }
}
