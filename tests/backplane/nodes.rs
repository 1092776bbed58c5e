//! Nodes that follow a log, on the paused clock.

use tower_longpoll::{
    Channel, Cursor, Hub, HubBuilder,
    backplane::{Backplane, Driver},
};

use super::faulty::Faulty;

pub(crate) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

pub(crate) async fn node(driver: impl Driver) -> Backplane {
    node_with(Hub::builder(), driver).await
}

pub(crate) async fn node_with(settings: HubBuilder, driver: impl Driver) -> Backplane {
    let backplane = Backplane::join(settings, driver).await.unwrap();
    backplane.ready().await;
    backplane
}

/// Until everything that can be done without waiting for time is done.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// A node that is cut off from its log, and one that is not, with the cursor of an event that only the
/// second has.
pub(crate) async fn one_behind() -> (Faulty, Backplane, Backplane, Cursor) {
    let log = Faulty::new();
    let (slow, quick) = (node(log.clone()).await, node(log.log()).await);
    quick.publisher().publish(&channel("a"), "1").await.unwrap();
    settle().await;
    log.set_away(true);
    settle().await;
    let ahead = quick.publisher().publish(&channel("a"), "2").await.unwrap();
    settle().await;
    assert_ne!(slow.hub().cursor(), quick.hub().cursor());
    (log, slow, quick, ahead)
}
