//! The long poll: which channels there are, and who is here while it is parked.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::http::{Method, Request, request::Parts};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_longpoll::{
    Channel, PathRoute,
    http::{Route, Routed},
};

use crate::{
    App,
    attendance::Role,
    problem::Problem,
    room::{Room, Table},
    status::{self, Status},
};

/// What the simulator's channels begin with.
const SIMULATOR: &str = "sim.";

/// Knows the channels.
pub(crate) struct Events {
    path: PathRoute,
    app: App,
}

impl Events {
    pub(crate) fn new(app: App) -> Self {
        let path = PathRoute::new("/events/{channel}").and_then(|path| path.or("/events"));
        Self { path: path.expect("two patterns"), app }
    }

    /// What the layer asks of every request. A channel that does not exist is refused before
    /// anything is parked.
    pub(crate) fn route(&self, parts: &Parts) -> Routed {
        let routed = self.path.route(parts);
        let polled = channels(&routed);
        match polled.iter().find(|&channel| !self.exists(channel)) {
            Some(_) => Routed::Refuse(Problem::not_found("There is no such channel.").into_plain()),
            None => routed,
        }
    }

    /// Whether somebody may publish here over HTTP.
    pub(crate) fn may_publish(&self, channel: &str) -> bool {
        self.app.load && channel.starts_with(SIMULATOR)
    }

    fn exists(&self, channel: &Channel) -> bool {
        let name = channel.as_str();
        match name.split_once('.') {
            Some(("game" | "chat", id)) => self.app.room.table(id).is_some(),
            Some(("seat", seat)) => self.app.room.seat_of(seat).is_some(),
            _ => name == status::CHANNEL || self.may_publish(name),
        }
    }

    /// Who is here with this request; none if that matters to nobody, or if it will be refused.
    fn visitors(&self, parts: &Parts) -> Option<Visitors> {
        let (mut present, mut watched, mut is_status) = (Vec::new(), Vec::new(), false);
        let routed = self.path.route(parts);
        let polled = channels(&routed);
        for channel in polled {
            match channel.as_str().split_once('.') {
                Some(("seat", seat)) => {
                    let (table, color) = self.app.room.seat_of(seat)?;
                    present.push((table, Role::Player(color)));
                }
                Some(("game", id)) => watched.push(self.app.room.table(id)?),
                _ => is_status |= channel.as_str() == status::CHANNEL,
            }
        }
        // A player's page polls the game, too, and watches no game of its own.
        for table in watched {
            if !present.iter().any(|(other, _)| Arc::ptr_eq(other, &table)) {
                present.push((table, Role::Watcher));
            }
        }
        if present.is_empty() && !is_status {
            return None;
        }
        let status = is_status.then(|| Arc::clone(&self.app.status));
        Some(Visitors::enter(Arc::clone(&self.app.room), present, status))
    }
}

fn channels(routed: &Routed) -> &[Channel] {
    match routed {
        Routed::Poll(channel) => std::slice::from_ref(channel),
        Routed::PollAny(channels) => channels,
        _ => &[],
    }
}

/// Those who are here for as long as this is kept.
struct Visitors {
    room: Arc<Room>,
    present: Vec<(Arc<Table>, Role)>,
    status: Option<Arc<Status>>,
}

impl Visitors {
    fn enter(
        room: Arc<Room>,
        present: Vec<(Arc<Table>, Role)>,
        status: Option<Arc<Status>>,
    ) -> Self {
        for (table, role) in &present {
            room.enter(table, *role);
        }
        if let Some(status) = &status {
            status.enter();
        }
        Self { room, present, status }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        for (table, role) in &self.present {
            self.room.leave(table, *role);
        }
        if let Some(status) = &self.status {
            status.leave();
        }
    }
}

/// Notes who is here around the layer that parks the polls. It costs a parked poll no task: when the
/// client leaves, its server drops the future, and with it the note.
#[derive(Clone)]
pub(crate) struct Attend {
    events: Arc<Events>,
}

impl Attend {
    pub(crate) fn new(events: Arc<Events>) -> Self {
        Self { events }
    }
}

impl<S> Layer<S> for Attend {
    type Service = Attended<S>;

    fn layer(&self, inner: S) -> Attended<S> {
        Attended { inner, events: Arc::clone(&self.events) }
    }
}

/// Made by [`Attend`].
#[derive(Clone)]
pub(crate) struct Attended<S> {
    inner: S,
    events: Arc<Events>,
}

impl<S, B> Service<Request<B>> for Attended<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Attending<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let visitors = self.events.visitors(&parts);
        let is_poll = parts.method == Method::GET && parts.uri.path().starts_with("/events");
        let status = is_poll.then(|| Arc::clone(&self.events.app.status));
        let answer = self.inner.call(Request::from_parts(parts, body));
        Attending { answer, visitors, status }
    }
}

pin_project! {
    /// A response that is under way.
    pub(crate) struct Attending<F> {
        #[pin]
        answer: F,
        visitors: Option<Visitors>,
        status: Option<Arc<Status>>,
    }
}

impl<F: Future> Future for Attending<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx));
        // They have left when this answer has been given, not when the server drops what gave it.
        this.visitors.take();
        if let Some(status) = this.status.take() {
            status.count_answer();
        }
        Poll::Ready(answer)
    }
}
