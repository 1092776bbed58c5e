//! The log that several servers follow, if one is named.

use std::error::Error;

use tower_longpoll::{Channel, Hub, HubBuilder, backplane::Backplane};

/// Where the events come from.
#[derive(clap::Args)]
pub(crate) struct EngineOptions {
    /// Follow a stream of NATS JetStream, together with other servers: nats://HOST:PORT
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "URL", group = "engine", help_heading = "More than one server")]
    nats: Option<String>,
    /// Follow a stream of Redis or Valkey, together with other servers: redis://HOST:PORT
    #[cfg(feature = "redis")]
    #[arg(long, value_name = "URL", group = "engine", help_heading = "More than one server")]
    redis: Option<String>,
    /// The name of the stream in NATS, or its key in Redis
    #[cfg(any(feature = "nats", feature = "redis"))]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "longpoll",
        requires = "engine",
        help_heading = "More than one server"
    )]
    log: String,
}

type Failed = Box<dyn Error + Send + Sync>;

/// A hub, and the log that it follows, if any.
#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) hub: Hub,
    backplane: Option<Backplane>,
}

impl Store {
    /// Makes the hub. With an engine, it has all that the log holds.
    pub(crate) async fn open(settings: HubBuilder, engine: &EngineOptions) -> Result<Self, Failed> {
        let backplane = match engine.join_nats(settings.clone()).await? {
            None => engine.join_redis(settings.clone()).await?,
            joined => joined,
        };
        let hub = match &backplane {
            None => settings.build()?,
            Some(backplane) => {
                if !backplane.ready().await {
                    return Err("nobody reads the log any more".into());
                }
                backplane.hub().clone()
            }
        };
        Ok(Self { hub, backplane })
    }

    /// Deletes a channel: whether there was one, as far as this server knows.
    pub(crate) async fn delete(&self, channel: &Channel) -> Result<bool, Failed> {
        let Some(backplane) = &self.backplane else { return Ok(self.hub.delete(channel)) };
        let is_known = self.hub.channel_stats(channel).is_some();
        backplane.publisher().delete(channel).await?;
        Ok(is_known)
    }

    /// Why the log cannot be read at the moment.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.backplane.as_ref().and_then(|backplane| backplane.status().error)
    }
}

#[cfg(feature = "nats")]
impl EngineOptions {
    async fn join_nats(&self, settings: HubBuilder) -> Result<Option<Backplane>, Failed> {
        use tower_longpoll::backplane::nats::Nats;

        let Some(url) = &self.nats else { return Ok(None) };
        Ok(Some(Backplane::join(settings, Nats::new(url.as_str(), &self.log)).await?))
    }
}

#[cfg(not(feature = "nats"))]
impl EngineOptions {
    async fn join_nats(&self, _: HubBuilder) -> Result<Option<Backplane>, Failed> {
        Ok(None)
    }
}

#[cfg(feature = "redis")]
impl EngineOptions {
    async fn join_redis(&self, settings: HubBuilder) -> Result<Option<Backplane>, Failed> {
        use tower_longpoll::backplane::redis::Redis;

        let Some(url) = &self.redis else { return Ok(None) };
        Ok(Some(Backplane::join(settings, Redis::new(url, &self.log)?).await?))
    }
}

#[cfg(not(feature = "redis"))]
impl EngineOptions {
    async fn join_redis(&self, _: HubBuilder) -> Result<Option<Backplane>, Failed> {
        Ok(None)
    }
}
