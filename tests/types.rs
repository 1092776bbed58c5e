//! Which marker traits the public types have. A change here is a change for users.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{error::Error, fmt::Debug, future::Future, hash::Hash};

use futures_core::Stream;
use tower_longpoll::{
    Batch, Channel, ChannelError, ChannelStats, ConfigError, Cursor, CursorError, Entry, Event,
    EventError, Events, Hub, HubBuilder, PublishError, Published, Refused, Since, Stats, Wait,
    Waited,
};

fn plain<T: Send + Sync + Unpin + Debug + 'static>() {}
fn cloned<T: Clone>() {}
fn copied<T: Copy>() {}
fn compared<T: PartialEq + Eq>() {}
fn keyed<T: Eq + Hash>() {}
fn failed<T: Error + Send + Sync + 'static>() {}
fn polled<T: Future<Output = Waited>>() {}
fn streamed<T: Stream<Item = Waited>>() {}

#[test]
fn every_type_can_go_anywhere() {
    plain::<Batch>();
    plain::<Channel>();
    plain::<ChannelError>();
    plain::<ChannelStats>();
    plain::<ConfigError>();
    plain::<Cursor>();
    plain::<CursorError>();
    plain::<Entry>();
    plain::<Event>();
    plain::<EventError>();
    plain::<Events>();
    plain::<Hub>();
    plain::<HubBuilder>();
    plain::<PublishError>();
    plain::<Published>();
    plain::<Refused>();
    plain::<Since>();
    plain::<Stats>();
    plain::<Wait>();
    plain::<Waited>();
}

#[test]
fn values_are_values() {
    cloned::<Batch>();
    cloned::<Channel>();
    cloned::<Entry>();
    cloned::<Event>();
    cloned::<EventError>();
    cloned::<Hub>();
    cloned::<HubBuilder>();
    copied::<ChannelError>();
    copied::<ChannelStats>();
    copied::<ConfigError>();
    copied::<Cursor>();
    copied::<CursorError>();
    copied::<PublishError>();
    copied::<Published>();
    copied::<Refused>();
    copied::<Since>();
    copied::<Stats>();
    compared::<ChannelError>();
    compared::<ChannelStats>();
    compared::<ConfigError>();
    compared::<CursorError>();
    compared::<Event>();
    compared::<EventError>();
    compared::<PublishError>();
    compared::<Published>();
    compared::<Refused>();
    compared::<Since>();
    compared::<Stats>();
    keyed::<Channel>();
    keyed::<Cursor>();
}

#[test]
fn errors_are_errors_and_futures_are_futures() {
    failed::<ChannelError>();
    failed::<ConfigError>();
    failed::<CursorError>();
    failed::<EventError>();
    failed::<PublishError>();
    polled::<Wait>();
    streamed::<Events>();
}

#[test]
fn options_of_small_types_stay_small() {
    // A cursor is kept by every client and every wait.
    assert_eq!(size_of::<Option<Cursor>>(), 16);
    // The name, and its hash.
    assert_eq!(size_of::<Option<Channel>>(), 24);
    assert_eq!(size_of::<Hub>(), size_of::<usize>());
}
