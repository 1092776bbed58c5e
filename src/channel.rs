//! Channel names.

use std::{borrow::Borrow, fmt, sync::Arc};

/// The name of a channel: what events are published on and polls wait for.
///
/// A name is any text that is not empty, has no control character (so no NUL, CR or LF) and at
/// most [`Channel::MAX_BYTES`] bytes of UTF-8; a [`Hub`](crate::Hub) usually sets a lower limit.
/// Names are compared byte by byte: no case folding, no Unicode normalisation, and `/` is a
/// character like any other. Cloning is cheap.
///
/// ```
/// use tower_longpoll::Channel;
///
/// let channel = Channel::new("game:42")?;
/// assert_eq!(channel.as_str(), "game:42");
/// assert!(Channel::new("").is_err());
/// assert!(Channel::new("a\0b").is_err());
/// # Ok::<(), tower_longpoll::ChannelError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Channel(Arc<str>);

impl Channel {
    /// The longest name that any hub can allow, in bytes.
    pub const MAX_BYTES: usize = 4096;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// [`ChannelError`] says which of the rules of [`Channel`] the name breaks.
    pub fn new(name: impl AsRef<str>) -> Result<Self, ChannelError> {
        let name = name.as_ref();
        if name.is_empty() {
            Err(ChannelError::Empty)
        } else if name.len() > Self::MAX_BYTES {
            Err(ChannelError::TooLong { max_bytes: Self::MAX_BYTES })
        } else if has_control(name) {
            Err(ChannelError::ControlCharacter)
        } else {
            Ok(Self(name.into()))
        }
    }

    /// The name of what is no channel, but waited on like one: a key that only the newest wait has.
    /// No channel has a name with a control character.
    pub(crate) fn key(key: &str) -> Self {
        Self(format!("\0{key}").into())
    }

    /// The name of nothing: whoever waits on it pauses. No channel's name is empty.
    pub(crate) fn nothing() -> Self {
        Self("".into())
    }

    /// Whether both are one piece of memory.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn role(&self) -> Role {
        match self.0.as_bytes().first() {
            None => Role::Nothing,
            Some(0) => Role::Key,
            Some(_) => Role::Channel,
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Most names are ASCII, where every byte can be looked at by itself.
fn has_control(name: &str) -> bool {
    if name.is_ascii() {
        name.bytes().fold(false, |any, byte| any | byte.is_ascii_control())
    } else {
        name.chars().any(char::is_control)
    }
}

/// What a name stands for in a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Channel,
    /// See [`Channel::key`].
    Key,
    /// See [`Channel::nothing`].
    Nothing,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", &*self.0)
    }
}

impl AsRef<str> for Channel {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&Channel> for Channel {
    fn from(channel: &Channel) -> Self {
        channel.clone()
    }
}

impl std::str::FromStr for Channel {
    type Err = ChannelError;

    fn from_str(name: &str) -> Result<Self, ChannelError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for Channel {
    type Error = ChannelError;

    fn try_from(name: &str) -> Result<Self, ChannelError> {
        Self::new(name)
    }
}

/// A text that cannot name a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// The name is empty.
    Empty,
    /// The name is longer than allowed.
    TooLong {
        /// The longest name allowed, in bytes.
        max_bytes: usize,
    },
    /// The name has a control character.
    ControlCharacter,
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the channel name is empty"),
            Self::TooLong { max_bytes } => {
                write!(f, "the channel name is longer than {max_bytes} bytes")
            }
            Self::ControlCharacter => f.write_str("the channel name has a control character"),
        }
    }
}

impl std::error::Error for ChannelError {}
