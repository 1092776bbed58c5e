//! Questions to a server, with an answer or an error that says what is wrong.

use std::{future::Future, sync::Arc, time::Duration};

use async_nats::{
    Client, ConnectOptions, Event, HeaderMap, Request, RequestErrorKind, ServerAddr,
    connection::State,
    jetstream::{ErrorCode, response::Response},
};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_core::de::DeserializeOwned;
use tokio::{sync::watch, time::timeout};

use super::error::NatsError;

/// A connection to a server, or to one of a cluster. A cheap clone.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) client: Client,
    /// How long it has for an answer.
    limit: Duration,
    /// The last that it complained of, which it does beside the answers.
    complaint: Arc<watch::Sender<Option<String>>>,
}

/// How soon a connection that carries nothing is noticed to be dead: after three of these.
const PING: Duration = Duration::from_secs(10);

/// How often a question is asked within the time for an answer.
const QUESTIONS: u32 = 5;

/// How many messages the client holds for a reader before it drops any. The server sends no more
/// than 32 MiB ahead of what a reader has answered for, and counts about 100 bytes for the
/// smallest.
const CAPACITY: usize = 1 << 19;

impl Server {
    pub(super) async fn connect(url: &str, limit: Duration) -> Result<Self, NatsError> {
        let complaint = Arc::new(watch::Sender::new(None));
        let complaints = Arc::clone(&complaint);
        let unreachable = |reason| NatsError::Unreachable { reason };
        let address: ServerAddr = url.parse().map_err(|error| unreachable(format!("{error}")))?;
        let options = ConnectOptions::new()
            .name("tower-longpoll")
            .ping_interval(PING)
            .subscription_capacity(CAPACITY)
            .connection_timeout(limit)
            .event_callback(move |event| {
                match event {
                    Event::ServerError(error) => complaints.send_replace(Some(error.to_string())),
                    Event::Connected => complaints.send_replace(None),
                    _ => None,
                };
                std::future::ready(())
            });
        // The client leaves these aside.
        let options = match (address.username(), address.password()) {
            (Some(name), Some(word)) => options.user_and_password(plain(name), plain(word)),
            (Some(token), None) => options.token(plain(token)),
            (None, _) => options,
        };
        match timeout(limit, options.connect(&address)).await {
            Ok(Ok(client)) => Ok(Self { client, limit, complaint }),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Err(_) => Err(unreachable(format!("no answer within {limit:?}"))),
        }
    }

    pub(super) fn of(client: Client, limit: Duration) -> Self {
        Self { client, limit, complaint: Arc::default() }
    }

    /// Asks for JetStream's answer. `request` completes "the server did not …".
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        request: &'static str,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<Answer<T>, NatsError> {
        // The client would keep the request, and send it when it may be of no use any more.
        if self.client.connection_state() != State::Connected {
            return Err(NatsError::Unreachable { reason: "it was lost".into() });
        }
        let question = Request::new().headers(headers).payload(payload).timeout(None);
        let asked = self.within(request, self.client.send_request(subject, question)).await?;
        let refused = |reason| NatsError::Refused { request, reason };
        let message = asked.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => NatsError::NoJetStream,
            _ => refused(error.to_string()),
        })?;
        match serde_json::from_slice(&message.payload) {
            Ok(Response::Ok(answer)) => Ok(Ok(answer)),
            Ok(Response::Err { error }) => match error.error_code() {
                ErrorCode::JETSTREAM_NOT_ENABLED | ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => {
                    Err(NatsError::NoJetStream)
                }
                code => Ok(Err((code, refused(error.to_string())))),
            },
            Err(error) => Err(refused(format!("the answer makes no sense: {error}"))),
        }
    }

    /// The same for a question that changes nothing, which is asked more than once. A cluster leaves
    /// some without an answer while a stream is made or finds another leader.
    pub(super) async fn ask_again<T: DeserializeOwned>(
        &self,
        request: &'static str,
        subject: &str,
    ) -> Result<Answer<T>, NatsError> {
        let each = (self.limit / QUESTIONS).max(Duration::from_millis(1));
        let answer = async {
            loop {
                let asked = self.ask(request, subject.to_owned(), HeaderMap::new(), Bytes::new());
                if let Ok(answer) = timeout(each, asked).await {
                    return answer;
                }
            }
        };
        self.within(request, answer).await?
    }

    /// Waits for the server no longer than it may take.
    pub(super) async fn within<T>(
        &self,
        request: &'static str,
        answer: impl Future<Output = T>,
    ) -> Result<T, NatsError> {
        let (limit, complaint) = (self.limit, &self.complaint);
        let unanswered =
            |_| NatsError::Unanswered { request, limit, complaint: complaint.borrow().clone() };
        timeout(limit, answer).await.map_err(unanswered)
    }
}

/// Part of a URL, as it is meant.
fn plain(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What JetStream answered, or the code of its refusal and the error if that was not foreseen.
pub(super) type Answer<T> = Result<T, (ErrorCode, NatsError)>;
