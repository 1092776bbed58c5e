//! Channel names.

use std::{
    borrow::Borrow,
    cmp, fmt,
    hash::{BuildHasher, Hash, Hasher},
    sync::{Arc, LazyLock},
};

use crate::sync::RandomState;

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
#[derive(Clone)]
pub struct Channel {
    name: Arc<str>,
    /// Of the name, by keys that nobody outside can know: names are chosen by clients.
    hash: u64,
}

/// One set of keys for the process: a name is hashed once, whichever hubs it is used on.
static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

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
            Ok(Self::unchecked(name))
        }
    }

    /// The name of what is no channel, but waited on like one: a key that only the newest wait has.
    /// No channel has a name with a control character.
    pub(crate) fn key(key: &str) -> Self {
        Self::unchecked(&format!("\0{key}"))
    }

    /// The name of nothing: whoever waits on it pauses. No channel's name is empty.
    pub(crate) fn nothing() -> Self {
        Self::unchecked("")
    }

    /// The name of what a wait waits for that is ahead of its hub.
    pub(crate) fn ahead() -> Self {
        Self::unchecked("\u{1}")
    }

    fn unchecked(name: &str) -> Self {
        let mut hasher = KEYS.build_hasher();
        hasher.write(name.as_bytes());
        Self { name: name.into(), hash: hasher.finish() }
    }

    /// The hash of the name: the same for equal names, in this process only.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The name without its hash, for who keeps them apart.
    pub(crate) fn text(&self) -> &Arc<str> {
        &self.name
    }

    /// Puts together again what [`Channel::text`] and [`Channel::hash`] gave.
    pub(crate) fn of(name: Arc<str>, hash: u64) -> Self {
        Self { name, hash }
    }

    /// A name whose hash collides with whatever the test likes.
    #[cfg(test)]
    pub(crate) fn with_hash(name: &str, hash: u64) -> Self {
        Self { name: name.into(), hash }
    }

    pub(crate) fn role(&self) -> Role {
        Role::of(&self.name)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// Whether two texts are equal. Mostly they are one piece of memory, which is then not read.
pub(crate) fn is_text(one: &Arc<str>, other: &Arc<str>) -> bool {
    Arc::ptr_eq(one, other) || one == other
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
    /// See [`Channel::ahead`].
    Ahead,
}

impl Role {
    /// What a name with this text stands for.
    pub(crate) fn of(name: &str) -> Self {
        match name.as_bytes().first() {
            None => Self::Nothing,
            Some(0) => Self::Key,
            Some(1) => Self::Ahead,
            Some(_) => Self::Channel,
        }
    }
}

impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && is_text(&self.name, &other.name)
    }
}

impl Eq for Channel {}

impl PartialOrd for Channel {
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Channel {
    fn cmp(&self, other: &Self) -> cmp::Ordering {
        self.name.cmp(&other.name)
    }
}

/// As the name itself hashes, so that a map of channels can be asked by `&str`.
impl Hash for Channel {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({:?})", &*self.name)
    }
}

impl AsRef<str> for Channel {
    fn as_ref(&self) -> &str {
        &self.name
    }
}

impl Borrow<str> for Channel {
    fn borrow(&self) -> &str {
        &self.name
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
///
/// ```
/// use tower_longpoll::{Channel, ChannelError};
///
/// assert_eq!(Channel::new(""), Err(ChannelError::Empty));
/// assert_eq!(Channel::new("a\r\nb"), Err(ChannelError::ControlCharacter));
/// ```
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
