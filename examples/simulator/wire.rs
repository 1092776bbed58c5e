//! Connections: one a client on HTTP/1, one for many on HTTP/2.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

use super::count::Requests;

/// Larger answers are failures.
const MAX_BODY_BYTES: usize = 64 << 20;

pub(crate) type Sent = Request<Full<Bytes>>;

/// A way to the server.
pub(crate) enum Wire {
    Http1 { address: SocketAddr, sender: Option<http1::SendRequest<Full<Bytes>>> },
    Http2(Arc<Shared>),
}

/// A connection of several clients; whoever finds it broken makes it anew.
pub(crate) struct Shared {
    address: SocketAddr,
    sender: Mutex<Option<http2::SendRequest<Full<Bytes>>>>,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self { address, sender: Mutex::new(None) })
    }

    async fn sender(&self) -> Result<http2::SendRequest<Full<Bytes>>, String> {
        let mut shared = self.sender.lock().await;
        if let Some(sender) = shared.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok(sender.clone());
        }
        let stream = connect(self.address).await?;
        let made = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = made.map_err(reason)?;
        tokio::spawn(connection);
        Ok(shared.insert(sender).clone())
    }
}

impl Wire {
    pub(crate) fn http1(address: SocketAddr) -> Self {
        Self::Http1 { address, sender: None }
    }

    /// Sends a request and reads its whole answer; none if that failed, which is counted. Dropping
    /// the future cuts the request.
    pub(crate) async fn ask(
        &mut self,
        request: Sent,
        patience: Duration,
        requests: &Requests,
    ) -> Option<Response<Bytes>> {
        let ready = timeout(patience, self.ready()).await;
        let mut ready = match ready.unwrap_or_else(|_| Err("no connection in time".into())) {
            Ok(ready) => ready,
            Err(reason) => {
                requests.no_connection(reason);
                return None;
            }
        };
        let counted = requests.send();
        let answer = async {
            let response = match &mut ready {
                Ready::Http1(sender) => sender.send_request(request).await,
                Ready::Http2(sender) => sender.send_request(request).await,
            };
            let (head, body) = response.map_err(reason)?.into_parts();
            let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
            let body = body.map_err(|error| format!("in the body: {error}"))?.to_bytes();
            Ok(Response::from_parts(head, body))
        };
        let answer = timeout(patience, answer).await;
        match answer.unwrap_or_else(|_| Err("no answer in time".into())) {
            Ok(answer) => {
                counted.answer();
                if let (Self::Http1 { sender, .. }, Ready::Http1(used)) = (self, ready) {
                    *sender = Some(used);
                }
                Some(answer)
            }
            Err(reason) => {
                counted.fail(reason);
                None
            }
        }
    }

    /// Takes the connection: it is given back only by a request that was answered.
    async fn ready(&mut self) -> Result<Ready, String> {
        match self {
            Self::Http1 { address, sender } => {
                if let Some(mut sender) = sender.take() {
                    if sender.ready().await.is_ok() {
                        return Ok(Ready::Http1(sender));
                    }
                }
                let stream = connect(*address).await?;
                let (mut sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(reason)?;
                tokio::spawn(connection);
                sender.ready().await.map_err(reason)?;
                Ok(Ready::Http1(sender))
            }
            Self::Http2(shared) => {
                let mut sender = shared.sender().await?;
                sender.ready().await.map_err(reason)?;
                Ok(Ready::Http2(sender))
            }
        }
    }
}

enum Ready {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
    let _: io::Result<()> = stream.set_nodelay(true);
    Ok(stream)
}

fn reason(error: hyper::Error) -> String {
    let source = std::error::Error::source(&error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
