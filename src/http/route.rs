//! Which requests are polls, and on what.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{Method, Response, request::Parts};

use super::query;
use crate::channel::{Channel, ChannelError};

/// What a route says of a request.
///
/// [`Route`] has an example.
#[derive(Debug)]
#[non_exhaustive]
pub enum Routed {
    /// Not a poll: the request goes on untouched.
    Pass,
    /// A poll on one channel.
    Poll(Channel),
    /// A poll on several channels.
    PollAny(Vec<Channel>),
    /// A poll that cannot be understood: answered with 400.
    Invalid(Invalid),
    /// Answered with this response, as it is.
    Refuse(Response<Bytes>),
}

/// Decides for each request whether it is a poll.
///
/// Implemented by [`PathRoute`] and by every closure from `&http::request::Parts` to [`Routed`].
/// It runs for every request that comes to the layer, so it should be quick.
///
/// ```
/// use tower_longpoll::{Channel, Hub, LongPollLayer, http::{Invalid, Routed}};
///
/// let route = |parts: &http::request::Parts| {
///     let Some(name) = parts.uri.path().strip_prefix("/rooms/") else { return Routed::Pass };
///     match Channel::new(name) {
///         Ok(channel) if parts.method == http::Method::GET => Routed::Poll(channel),
///         Ok(_) => Routed::Pass,
///         Err(error) => Routed::Invalid(Invalid::new("channel", error.to_string())),
///     }
/// };
/// let layer = LongPollLayer::new(Hub::new(), route);
/// # let _: tower_longpoll::LongPollService<_> = layer.into();
/// ```
pub trait Route {
    /// Looks at a request.
    fn route(&self, parts: &Parts) -> Routed;
}

impl<F> Route for F
where
    F: Fn(&Parts) -> Routed,
{
    fn route(&self, parts: &Parts) -> Routed {
        self(parts)
    }
}

/// No request is a poll: for a layer that only holds responses with a [`Hold`](super::Hold).
impl Route for () {
    fn route(&self, _: &Parts) -> Routed {
        Routed::Pass
    }
}

/// A part of a poll that cannot be understood.
///
/// ```
/// use tower_longpoll::http::Invalid;
///
/// let invalid = Invalid::new("channel", "there is no such room");
/// assert_eq!((invalid.field(), invalid.to_string().as_str()), ("channel", "there is no such room"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    field: &'static str,
    detail: String,
}

impl Invalid {
    /// Names the field (`cursor`, `wait`, `channel`, …) and says what is wrong with it.
    pub fn new(field: &'static str, detail: impl Into<String>) -> Self {
        Self { field, detail: detail.into() }
    }

    /// The field that is wrong.
    pub fn field(&self) -> &'static str {
        self.field
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Invalid {}

/// Polls by path.
///
/// A pattern is a path in which whole segments may be parameters: `/events/{channel}` matches
/// `/events/a` but neither `/events/` nor `/events/a/b`. The channel's name is the parameter called
/// `channel`, or the only one; it is percent-decoded and must then be UTF-8, so that
/// `/events/a%2Fb` is the channel `a/b`; a `%` without two hexadecimal digits stands for itself, as
/// in the URL Standard. A pattern without parameters takes its channels from the query:
/// `/events?channel=a&channel=b`.
///
/// Only `GET` requests are polls. All others pass, `HEAD` too.
///
/// ```
/// use tower_longpoll::PathRoute;
///
/// let route = PathRoute::new("/events/{channel}")?.or("/events")?;
/// assert!(PathRoute::new("/events/{*rest}").is_err());
/// # Ok::<(), tower_longpoll::RouteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PathRoute {
    paths: matchit::Router<Source>,
    prefix: String,
}

/// Where a pattern has its channels.
#[derive(Clone, Debug)]
enum Source {
    /// In the parameter of this name.
    Parameter(Box<str>),
    Query,
}

impl PathRoute {
    /// A route of one pattern.
    ///
    /// # Errors
    ///
    /// [`RouteError`] if it is no pattern as described above.
    pub fn new(pattern: &str) -> Result<Self, RouteError> {
        Self { paths: matchit::Router::new(), prefix: String::new() }.or(pattern)
    }

    /// Adds a pattern.
    ///
    /// # Errors
    ///
    /// [`RouteError`] if it is no pattern as described above, or says the same as an earlier one.
    pub fn or(mut self, pattern: &str) -> Result<Self, RouteError> {
        let error = || RouteError { pattern: pattern.into() };
        let mut names = Vec::new();
        for segment in pattern.strip_prefix('/').ok_or_else(error)?.split('/') {
            let name = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            if name.unwrap_or(segment).contains(['{', '}', '*']) {
                return Err(error());
            }
            if name.is_some_and(|name| names.contains(&name)) {
                return Err(error());
            }
            names.extend(name);
        }
        let source = match *names {
            [] => Source::Query,
            [name] => Source::Parameter(name.into()),
            _ if names.contains(&"channel") => Source::Parameter("channel".into()),
            _ => return Err(error()),
        };
        self.paths.insert(pattern, source).map_err(|_| error())?;
        Ok(self)
    }

    /// Puts this before the name in every request, so that several routes share a hub and not their
    /// channels: `/inbox/ann` is the channel `inbox:ann` with the prefix `inbox:`. Default: empty.
    ///
    /// Answers name the channel as the hub does, with the prefix. A prefix is no lock: a route
    /// without one reaches every channel of the hub, `/events/inbox:ann` the same one. So either all
    /// routes have one, or what only some may read is in a hub of its own, or is looked after by
    /// who decides what may be read.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The channel of a name in a request: what to publish on, or touch, for those who poll it.
    ///
    /// # Errors
    ///
    /// [`ChannelError`] if the name, with its prefix, is none of a [`Channel`].
    ///
    /// ```
    /// use tower_longpoll::PathRoute;
    ///
    /// let jobs = PathRoute::new("/jobs/{id}")?.prefix("job:");
    /// assert_eq!(jobs.channel("7")?.as_str(), "job:7");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn channel(&self, name: impl AsRef<str>) -> Result<Channel, ChannelError> {
        let name = name.as_ref();
        // An empty one does not become a name by its prefix.
        if name.is_empty() || self.prefix.is_empty() {
            return Channel::new(name);
        }
        Channel::new([&self.prefix, name].concat())
    }

    /// The channels that a request names, whatever its method; none if no pattern matches.
    pub(super) fn channels(&self, parts: &Parts) -> Option<Result<Routed, Invalid>> {
        let found = self.paths.at(parts.uri.path()).ok()?;
        Some(match found.value {
            Source::Parameter(name) => {
                let raw = found.params.get(name).unwrap_or_default();
                self.named(query::decode(raw, false)).map(Routed::Poll)
            }
            Source::Query => query::values(parts, "channel")
                .map(|name| self.named(name))
                .collect::<Result<Vec<_>, _>>()
                .map(Routed::PollAny),
        })
    }

    fn named(&self, name: Option<Cow<'_, str>>) -> Result<Channel, Invalid> {
        let name = name.ok_or_else(|| Invalid::new("channel", "the channel name is not UTF-8"))?;
        self.channel(name).map_err(|error| Invalid::new("channel", error.to_string()))
    }
}

impl Route for PathRoute {
    fn route(&self, parts: &Parts) -> Routed {
        if parts.method != Method::GET {
            return Routed::Pass;
        }
        self.channels(parts).map_or(Routed::Pass, |routed| routed.unwrap_or_else(Routed::Invalid))
    }
}

/// A text that is not a pattern of [`PathRoute`], or stands in for one that is there already.
///
/// ```
/// use tower_longpoll::PathRoute;
///
/// assert!(PathRoute::new("events").is_err()); // no path
/// assert!(PathRoute::new("/{room}/{seat}").is_err()); // which of them?
/// assert!(PathRoute::new("/{channel}/{seat}").is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    pattern: String,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a new path of whole segments with a parameter `{{channel}}`, one \
             parameter, or none",
            self.pattern
        )
    }
}

impl std::error::Error for RouteError {}
