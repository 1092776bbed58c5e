#![forbid(unsafe_code)]
#![doc = "Long polling for every Tower server."]

mod channel;
mod config;
mod cursor;
mod driver;
mod event;
mod history;
pub mod http;
mod hub;
mod outcome;
mod queue;
mod random;
mod registry;
mod shard;
mod slab;
mod sync;
mod wait;
mod waiters;
mod wake;
mod wheel;

pub use self::{
    channel::{Channel, ChannelError},
    config::ConfigError,
    cursor::{Cursor, CursorError, Since},
    event::{Entry, Event, EventError},
    http::{
        LongPoll, LongPollLayer, LongPollService, PathRoute, PublishService, Reply, RouteError,
    },
    hub::{ChannelStats, Hub, HubBuilder, Stats},
    outcome::{Batch, PublishError, Published, Refused, Waited},
    wait::{Events, Wait},
};
