//! What a parked poll of HTTP/2 keeps in memory: many streams over a few connections.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, task::JoinSet};

use super::{
    Scale,
    contenders::{Contender, Kind, Server},
};

const CONNECTIONS: usize = 4;

pub(crate) fn streams(contender: &Contender, scale: &Scale) -> Vec<(&'static str, f64)> {
    if contender.kind != Kind::Example {
        // axum::serve has at most 200 streams a connection, and nchan long polls HTTP/1 only.
        return Vec::new();
    }
    let server = contender.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bytes = runtime.block_on(parked(&server, scale.streams));
    vec![("parked HTTP/2 stream", bytes)]
}

async fn parked(server: &Server, count: usize) -> f64 {
    let before = server.settled();
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
        let client = http2::Builder::new(TokioExecutor::new())
            .initial_max_send_streams(count)
            .handshake(stream);
        let (sender, connection) = client.await.unwrap();
        tokio::spawn(connection);
        senders.push(sender);
    }
    let mut streams = JoinSet::new();
    for number in 0..count {
        let sender = &mut senders[number % CONNECTIONS];
        let target = format!("http://bench{}", server.poll(&format!("c{}", number % 100)));
        sender.ready().await.unwrap();
        let request = Request::get(target).body(Empty::<Bytes>::new()).unwrap();
        streams.spawn(sender.send_request(request));
        // The connections' own tasks write.
        tokio::task::yield_now().await;
    }
    until_parked(&mut senders[0], count).await;
    let bytes = (server.settled() - before) / count as f64;
    assert!(streams.try_join_next().is_none(), "a stream has ended");
    bytes
}

/// Asks again and again, over one of the connections.
async fn until_parked(sender: &mut http2::SendRequest<Empty<Bytes>>, count: usize) {
    loop {
        let request = Request::get("http://bench/stats").body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let stats = answer.into_body().collect().await.unwrap().to_bytes();
        let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
        if stats["parked"] == count {
            return;
        }
    }
}
