//! Long polling over HTTP.

mod body;
mod endpoint;
mod future;
mod layer;
mod publish;
mod query;
mod reply;
mod route;
mod service;

pub use self::{
    body::{ReplyBody, ResponseBody},
    future::ResponseFuture,
    layer::{LongPoll, LongPollLayer},
    publish::{PublishFuture, PublishService},
    reply::{CHANNEL, CURSOR, GAP, Reply},
    route::{Invalid, PathRoute, Route, RouteError, Routed},
    service::{LongPollService, PollFuture},
};
