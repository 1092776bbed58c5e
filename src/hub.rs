//! The hub: the handle to all that one process publishes and holds.

use std::{fmt, sync::Arc, time::Duration};

use tokio::time::Instant;

pub use self::append::AppendError;
pub(crate) use self::{
    append::{Append, Appending},
    follow::Followed,
};
pub use self::{
    builder::HubBuilder,
    stats::{ChannelStats, Stats},
};
use crate::{
    channel::Channel,
    config::Config,
    cursor::{Cursor, Since},
    driver::{self, Now},
    event::Event,
    outcome::{PublishError, Published},
    registry::{Phase, Registry, Times},
    trace,
    wait::{Events, Wait},
};

mod append;
mod builder;
mod follow;
mod stats;

/// Channels, their histories, and the polls that are parked on them.
///
/// A cheap clone: all clones are the same hub. It can be made and published on anywhere, also
/// outside of a runtime; holds run out on the tokio runtimes on which its waits are polled, whichever
/// and however many these are. When the last clone is dropped, waits that are still parked end at
/// their deadlines.
///
/// All runtimes that use one hub must agree about the time: tests that pause tokio's clock make a
/// hub each.
///
/// ```
/// use std::time::Duration;
/// use tower_longpoll::{Channel, Event, Hub, Waited};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::new();
/// let channel = Channel::new("game:42")?;
///
/// // Nothing yet: the wait is parked for two seconds, and its cursor says where to go on.
/// let waited = hub.wait([&channel]).hold(Duration::from_secs(2)).await;
/// let Waited::TimedOut { cursor } = waited else { panic!("a quiet channel") };
///
/// // Nobody waits at the moment. The event is not lost: the cursor is older than it.
/// hub.publish(&channel, Event::text("e4"))?;
/// let Waited::Events(batch) = hub.wait([&channel]).since(cursor).await else { panic!() };
/// assert_eq!(batch.entries()[0].payload(), "e4");
/// assert!(!batch.gap());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Hub {
    registry: Arc<Registry>,
}

impl Hub {
    /// A hub with the default limits.
    pub fn new() -> Self {
        Self::with_config(Config::default().checked().expect("the defaults do not contradict"))
    }

    /// Sets limits before the hub is made.
    pub fn builder() -> HubBuilder {
        HubBuilder::new()
    }

    fn with_config(config: Config) -> Self {
        trace::describe();
        let registry = Registry::new(config, Instant::now().into_std());
        Self { registry: Arc::new(registry) }
    }

    /// Publishes an event: stores it in the channel's history and wakes all who wait for it.
    ///
    /// It returns soon, however many these are: where a multi-threaded runtime uses the hub, all but
    /// the first thousand are woken by a task of its own, which lets others run in between.
    ///
    /// A channel needs no making. Publishing works while the hub drains, too. If a waker of a woken
    /// wait panics, all others are woken first and the panic goes on here; tokio's do not.
    ///
    /// # Errors
    ///
    /// [`PublishError`] names the limit that stands in the way. Then nothing was changed.
    pub fn publish(
        &self,
        channel: &Channel,
        event: impl Into<Event>,
    ) -> Result<Published, PublishError> {
        let common = &self.registry.common;
        let now = Now::of(common);
        let expires = now.after(common.config.history_age);
        let times = Times { now: now.tick(), expires, moment: now.moment() };
        let published = self.registry.publish(channel, event.into(), times);
        let (published, timer, panics) =
            published.inspect_err(|error| trace::unpublished(error.name()))?;
        match timer {
            Some(deadline) => driver::watch(common, deadline),
            None => driver::mind(common),
        }
        panics.resume();
        Ok(published)
    }

    /// Waits for events on one or more channels: any iterator of [`Channel`]s or references to them.
    /// A channel that is named twice counts once.
    ///
    /// Polling a channel makes nothing that stays. A poll that cannot be held ends as
    /// [`Waited::Refused`](crate::Waited::Refused).
    pub fn wait<C>(&self, channels: C) -> Wait
    where
        C: IntoIterator<Item: Into<Channel>>,
    {
        let common = &self.registry.common;
        let parts = self.registry.parts(channels).map_err(|reason| {
            common.count_refused(reason);
            (reason, common.present())
        });
        Wait::new(parts, common.config.hold, common.config.max_batch_events)
    }

    /// The events of one or more channels as a stream that ends only with its channels or the hub.
    ///
    /// [`Events`] has an example.
    pub fn events<C>(&self, channels: C, since: impl Into<Since>) -> Events
    where
        C: IntoIterator<Item: Into<Channel>>,
    {
        Events::new(self.wait(channels).since(since))
    }

    /// The present position. A wait since here gets every event whose publish begins after this
    /// call returns, and none whose publish returned before it was called.
    ///
    /// Taken before some state is read, it closes the race between reading and waiting.
    ///
    /// ```
    /// use tower_longpoll::{Channel, Hub, Waited};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (hub, news) = (Hub::new(), Channel::new("news")?);
    /// let cursor = hub.cursor();
    /// // Here some state is read, and meanwhile:
    /// hub.publish(&news, "hello")?;
    /// let waited = hub.wait([&news]).since(cursor).await;
    /// assert!(matches!(waited, Waited::Events(_)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn cursor(&self) -> Cursor {
        self.registry.common.present()
    }

    /// Wakes who waits on a channel at the moment without an event: there is something to look at.
    /// Returns how many, as [`Published::woken`] counts them. Nothing is stored; whoever comes later is
    /// not told.
    ///
    /// Waits end as [`Waited::Touched`](crate::Waited::Touched), polls over HTTP as if their hold had
    /// run out; requests that are watched are looked at again. If a waker of a woken wait panics,
    /// all others are woken first and the panic goes on here; tokio's do not.
    ///
    /// ```
    /// use tower_longpoll::{Channel, Hub, Waited};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (hub, job) = (Hub::new(), Channel::new("job:7")?);
    /// let wait = tokio::spawn(hub.wait([&job]));
    /// tokio::task::yield_now().await; // until it is parked
    /// assert_eq!(hub.touch(&job), 1);
    /// assert!(matches!(wait.await?, Waited::Touched { .. }));
    /// assert_eq!(hub.touch(&job), 0); // nobody waits
    /// # Ok(())
    /// # }
    /// ```
    pub fn touch(&self, channel: &Channel) -> usize {
        let (woken, panics) = self.registry.touch(channel, Now::of(&self.registry.common).tick());
        panics.resume();
        woken
    }

    /// Deletes a channel: its events are gone, and who waits on it is told. False if there is no
    /// such channel.
    ///
    /// Whoever has not seen all of the deleted events is told of a gap by their next poll. The name
    /// can be used again at once.
    ///
    /// ```
    /// use tower_longpoll::{Channel, Hub, Waited};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (hub, game) = (Hub::new(), Channel::new("game:42")?);
    /// let before = hub.cursor();
    /// hub.publish(&game, "e4")?;
    /// assert!(hub.delete(&game));
    /// assert!(!hub.delete(&game)); // there is none any more
    /// let Waited::Events(batch) = hub.wait([&game]).since(before).await else { panic!() };
    /// assert!(batch.gap() && batch.is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete(&self, channel: &Channel) -> bool {
        self.registry.delete(channel, Now::of(&self.registry.common).tick())
    }

    /// Lets every parked poll go, spread evenly over `over`, or at once if that is zero; refuses
    /// new polls from now on. Returns at once; none of the polls outlives its own hold for it.
    ///
    /// Events can still be published, and what was published is kept. Draining twice is draining
    /// once, but the second time may be faster.
    ///
    /// A spread needs a running tokio runtime, like every hold.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_longpoll::{Channel, Hub, Refused, Waited};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (hub, news) = (Hub::new(), Channel::new("news")?);
    /// let parked = tokio::spawn(hub.wait([&news]));
    /// tokio::task::yield_now().await; // until it is parked
    /// hub.drain(Duration::ZERO);
    /// assert!(matches!(parked.await?, Waited::Drained { .. }));
    /// let late = hub.wait([&news]).await;
    /// assert!(matches!(late, Waited::Refused { reason: Refused::Draining, .. }));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The guide has a chapter on [shutdown](crate::guide::shutdown).
    pub fn drain(&self, over: Duration) {
        let common = &self.registry.common;
        let now = Now::of(common);
        let over = over.min(Config::LONGEST);
        trace::draining(over);
        let over = now.after(over) - now.after(Duration::ZERO);
        let panics = self.registry.drain(Phase::Draining, now.tick(), over);
        driver::watch(common, now.tick());
        panics.resume();
    }

    /// Ends the hub: parked polls are let go, new polls and events are refused, histories are freed.
    ///
    /// ```
    /// use tower_longpoll::{Channel, Hub, PublishError};
    ///
    /// let hub = Hub::new();
    /// hub.close();
    /// assert!(!hub.is_open());
    /// assert_eq!(hub.publish(&Channel::new("news")?, "hello"), Err(PublishError::Closed));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        trace::closed();
        self.stop_following();
        self.registry.close(Now::of(&self.registry.common).tick());
    }

    /// What the hub holds, and what has happened on it. It visits every shard, one after the other.
    ///
    /// [`Stats`] has an example.
    pub fn stats(&self) -> Stats {
        let now = Now::of(&self.registry.common).tick();
        let (holds, counts) = self.registry.stats(now);
        let (ready, lag) = self.registry.common.following.get();
        Stats { ready, lag, ..Stats::new(holds, counts) }
    }

    /// What one channel holds; none if nobody waits on it and it has no events.
    ///
    /// [`ChannelStats`] has an example.
    pub fn channel_stats(&self, channel: &Channel) -> Option<ChannelStats> {
        let now = Now::of(&self.registry.common).tick();
        self.registry.channel_stats(channel, now).map(ChannelStats::new)
    }

    /// Whether the hub takes polls: not once it drains or is closed.
    pub fn is_open(&self) -> bool {
        self.registry.common.phase() == Phase::Open
    }

    /// A wait for nothing but the end of its hold, or of the hub.
    pub(crate) fn pause(&self, hold: Duration) -> Wait {
        Wait::new(Ok(self.registry.nowhere()), hold, 1)
    }

    /// The present, in milliseconds since the hub was made.
    pub(crate) fn millis(&self) -> u64 {
        Now::of(&self.registry.common).millis()
    }

    /// A time from now; none is later than any time that a hub can wait for.
    pub(crate) fn deadline(&self, after: Duration) -> Deadline {
        Deadline(Instant::now() + after.min(Config::LONGEST))
    }

    /// How long a wait of this hub is held that does not say.
    pub(crate) fn default_hold(&self) -> Duration {
        self.registry.common.config.hold
    }

    /// How long a wait of this hub can be held at most.
    pub(crate) fn max_hold(&self) -> Duration {
        self.registry.common.config.max_hold
    }

    /// The most events of one answer.
    pub(crate) fn max_batch(&self) -> usize {
        self.registry.common.config.max_batch_events
    }

    /// The hub's limit on a payload, in bytes.
    pub(crate) fn max_payload_bytes(&self) -> usize {
        self.registry.common.config.max_payload_bytes
    }
}

/// A time that has been or will be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// How long it is until then; zero once it has been.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("cursor", &self.cursor()).finish_non_exhaustive()
    }
}
