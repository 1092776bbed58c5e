//! Events: what is published, and as entries what a poll receives.

mod entry;
#[cfg(feature = "json")]
mod json;

use std::{borrow::Cow, fmt};

use bytes::Bytes;

#[cfg(feature = "json")]
pub(crate) use self::entry::Encoded;
pub use self::entry::Entry;
pub(crate) use self::entry::Stored;
use crate::channel::Channel;

/// What is published: payload bytes and, if known, their content type.
///
/// An event whose content type is JSON (`application/json` or `…+json`) always holds valid JSON
/// when the feature `json` is on: the constructors check it.
///
/// ```
/// use tower_longpoll::Event;
///
/// let plain = Event::text("your move");
/// let typed = Event::typed(&b"\x89PNG"[..], "image/png")?;
/// # #[cfg(feature = "json")]
/// assert!(Event::typed("{ no json", "application/json").is_err());
/// # Ok::<(), tower_longpoll::EventError>(())
/// ```
#[derive(Clone)]
pub struct Event {
    payload: Bytes,
    content_type: Option<Cow<'static, str>>,
    is_json: bool,
    weight: usize,
}

impl Event {
    /// The longest content type, in bytes.
    pub const MAX_CONTENT_TYPE_BYTES: usize = 256;

    /// An event without a content type. The payload may be empty.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self::known(payload.into(), None, false)
    }

    /// An event of type `text/plain; charset=utf-8`.
    pub fn text(text: impl Into<String>) -> Self {
        let content_type = Some(Cow::Borrowed("text/plain; charset=utf-8"));
        Self::known(Bytes::from(text.into()), content_type, false)
    }

    /// An event with a content type.
    ///
    /// # Errors
    ///
    /// [`EventError::ContentType`] unless the type is `type/subtype`, perhaps with parameters, in
    /// printable ASCII and at most [`Event::MAX_CONTENT_TYPE_BYTES`] long, and
    /// [`EventError::NotJson`] when the type is JSON, the payload is not, and the feature `json`
    /// is on.
    pub fn typed(
        payload: impl Into<Bytes>,
        content_type: impl Into<Cow<'static, str>>,
    ) -> Result<Self, EventError> {
        let (payload, content_type) = (payload.into(), content_type.into());
        let essence = essence(&content_type).ok_or(EventError::ContentType)?;
        let is_json = cfg!(feature = "json") && is_json(essence);
        #[cfg(feature = "json")]
        if is_json {
            json::check(&payload)?;
        }
        Ok(Self::known(payload, Some(content_type), is_json))
    }

    fn known(payload: Bytes, content_type: Option<Cow<'static, str>>, is_json: bool) -> Self {
        #[cfg(feature = "json")]
        let transcoded = if is_json { 0 } else { json::transcoded(&payload) };
        #[cfg(not(feature = "json"))]
        let transcoded = 0;
        let mut event = Self { payload, content_type, is_json, weight: 0 };
        event.weight = event.weight_as_held().saturating_add(transcoded);
        event
    }

    /// Without what it takes in a JSON reply.
    fn weight_as_held(&self) -> usize {
        let content_type = self.content_type.as_ref().map_or(0, |text| text.len());
        self.payload.len().saturating_add(content_type).saturating_add(Self::OVERHEAD_BYTES)
    }

    /// What the event counts on a channel: for JSON replies it is held with the channel's name and the
    /// content type, which count if they are longer than what is counted for every event.
    pub(crate) fn weight_on(&self, channel: &Channel) -> usize {
        self.weight.saturating_add(self.texts_on(channel))
    }

    #[cfg(feature = "json")]
    fn texts_on(&self, channel: &Channel) -> usize {
        let texts = [channel.as_str(), self.content_type().unwrap_or_default()];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        // The most common, for which it is known without a look.
        if length * json::MOST_PER_BYTE <= Self::TEXT_BYTES {
            return 0;
        }
        let quoted: usize = texts.iter().map(json::quoted).sum();
        quoted.saturating_sub(Self::TEXT_BYTES)
    }

    #[cfg(not(feature = "json"))]
    fn texts_on(&self, _: &Channel) -> usize {
        0
    }

    /// For such texts, within [`Event::OVERHEAD_BYTES`].
    #[cfg(feature = "json")]
    const TEXT_BYTES: usize = 200;

    /// An event of type `application/json` from any serializable value.
    ///
    /// # Errors
    ///
    /// [`EventError::NotSerializable`] when `value` has no form in JSON, or one that [`Event::typed`]
    /// refuses: of more than 124 levels, or with text of its own that is no valid JSON.
    #[cfg(feature = "json")]
    pub fn json<T: serde_core::Serialize + ?Sized>(value: &T) -> Result<Self, EventError> {
        let payload = json::serialize(value)?;
        let content_type = Some(Cow::Borrowed("application/json"));
        Ok(Self::known(payload, content_type, true))
    }

    /// The payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The content type, as given.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The content type, if its text lives forever.
    pub(crate) fn static_content_type(&self) -> Option<&'static str> {
        match self.content_type {
            Some(Cow::Borrowed(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the payload is known to be JSON.
    #[cfg_attr(not(feature = "json"), allow(dead_code, reason = "the JSON reply asks"))]
    pub(crate) fn is_json(&self) -> bool {
        self.is_json
    }

    /// The bytes of the payload in a JSON reply without quotes, if it cannot be sent as it is held.
    #[cfg(feature = "json")]
    pub(crate) fn transcoded(&self) -> usize {
        self.weight - self.weight_as_held()
    }

    /// What the event counts against byte limits, whatever its channel is called.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// What every held event counts against the byte limits beside its payload and content type,
    /// so that a flood of empty events is bounded too.
    ///
    /// With the feature `json`, a payload that is neither JSON nor text without anything to escape
    /// also counts in the form that it takes in a JSON reply, for that form is held, too; so do the
    /// channel's name and the content type, where they take more than 200 bytes in JSON together.
    pub const OVERHEAD_BYTES: usize = 512;
}

/// `type/subtype` of a content type, or nothing if it is not one.
fn essence(content_type: &str) -> Option<&str> {
    let printable = content_type.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !printable || content_type.len() > Event::MAX_CONTENT_TYPE_BYTES {
        return None;
    }
    let essence = content_type.split(';').next()?.trim_end();
    let (kind, subtype) = essence.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some(essence)
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let is_token_byte = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// RFC 8259 and the `+json` suffix of RFC 6839.
fn is_json(essence: &str) -> bool {
    let essence = essence.to_ascii_lowercase();
    essence == "application/json" || essence.ends_with("+json")
}

/// Whether an event of this content type is JSON.
#[cfg(feature = "client")]
pub(crate) fn is_json_type(content_type: &str) -> bool {
    essence(content_type).is_some_and(is_json)
}

/// By payload and content type.
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        (&self.payload, &self.content_type) == (&other.payload, &other.content_type)
    }
}

impl Eq for Event {}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Event");
        out.field("bytes", &self.payload.len()).field("content_type", &self.content_type);
        out.finish_non_exhaustive()
    }
}

impl From<Bytes> for Event {
    fn from(payload: Bytes) -> Self {
        Self::new(payload)
    }
}

impl From<Vec<u8>> for Event {
    fn from(payload: Vec<u8>) -> Self {
        Self::new(payload)
    }
}

impl From<String> for Event {
    fn from(payload: String) -> Self {
        Self::new(payload)
    }
}

impl From<&'static str> for Event {
    fn from(payload: &'static str) -> Self {
        Self::new(payload)
    }
}

/// Why an event cannot be made.
///
/// ```
/// use tower_longpoll::{Event, EventError};
///
/// assert_eq!(Event::typed("text", "no type"), Err(EventError::ContentType));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventError {
    /// The content type is not one.
    ContentType,
    /// The content type is JSON but the payload is not. Also refused is JSON that common parsers
    /// choke on: unpaired surrogates, numbers beyond an `f64`, and more than 124 levels,
    /// to which the reply adds three.
    NotJson {
        /// The line of the first fault, counted from 1.
        line: usize,
        /// The column of the first fault, counted from 1.
        column: usize,
    },
    /// The value cannot be written as JSON.
    NotSerializable {
        /// What the serializer said.
        reason: String,
    },
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType => f.write_str("the content type is malformed"),
            Self::NotJson { line, column } => {
                write!(f, "the payload is not valid JSON at line {line} column {column}")
            }
            Self::NotSerializable { reason } => {
                write!(f, "the value cannot be written as JSON: {reason}")
            }
        }
    }
}

impl std::error::Error for EventError {}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_that_could_split_a_header_is_refused() {
        for bad in ["", "text", "/", "a/", "text/html\r\nx: y", "text/ html", "text/\u{e9}"] {
            assert_eq!(Event::typed("", bad), Err(EventError::ContentType), "{bad:?}");
        }
        let longest = format!("a/{}", "b".repeat(Event::MAX_CONTENT_TYPE_BYTES - 2));
        assert!(Event::typed("", longest.clone()).is_ok());
        assert_eq!(Event::typed("", longest + "b"), Err(EventError::ContentType));
    }

    #[cfg(feature = "json")]
    #[test]
    fn an_event_of_a_json_type_holds_valid_json() {
        let good = ["null", " {\"a\":[1,2.5e3,\"\\ud83d\\ude00\"]} ", "\"</script>\"", "-0"];
        let deep = "[".repeat(100_000);
        let bad: [&[u8]; 10] = [
            b"",
            b"{",
            b"{}x",
            b"[1,]",
            b"nul",
            b"\"\\ud800\"",
            b"1e400",
            b"\"\xff\"",
            b"\"\0\"",
            deep.as_bytes(),
        ];
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/a+json"] {
            for text in good {
                assert!(Event::typed(text, kind).is_ok_and(|e| e.is_json()), "{text}");
            }
            for text in &bad {
                let event = Event::typed(text.to_vec(), kind);
                assert!(matches!(event, Err(EventError::NotJson { .. })), "{text:?}");
            }
        }
        assert!(Event::typed("{", "text/plain").is_ok_and(|event| !event.is_json()));
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_is_only_as_deep_as_can_be_read_within_a_reply() {
        let nested = |levels: usize| {
            // Brackets in strings open nothing.
            let text = format!("\n{}\"[{{\\\"[\"{}", "[".repeat(levels), "]".repeat(levels));
            (Event::typed(text.clone(), "application/json"), text)
        };
        let (deepest, text) = nested(124);
        assert!(deepest.is_ok());
        let reply = format!(r#"{{"events":[{{"data":{text}}}]}}"#);
        let value = serde_json::from_str::<serde_json::Value>(&reply).expect("it can be read");
        assert_eq!(nested(125).0, Err(EventError::NotJson { line: 2, column: 125 }));
        let deeper = serde_json::json!([[value["events"][0]["data"]]]);
        assert!(Event::json(&value["events"][0]["data"]).is_ok());
        assert!(matches!(Event::json(&deeper), Err(EventError::NotSerializable { .. })));
        let wide = format!("[{}[]]", "[],".repeat(1_000));
        assert!(Event::typed(wide, "application/json").is_ok());
    }

    #[cfg(feature = "json")]
    #[test]
    fn a_payload_counts_in_the_form_that_a_json_reply_holds() {
        let every: String = (0..256_u32).filter_map(char::from_u32).collect();
        let long = "\u{1}".repeat(1_000);
        for text in ["", "plain \u{e9}", "a \"quote\"\n", "\u{1}\u{1f}\u{7f}", "\\", &every, &long]
        {
            let held = serde_json::to_string(text).map(|json| json.len() - 2);
            let held = held.map(|held| if held == text.len() { 0 } else { held });
            assert_eq!(held.ok(), Some(Event::new(text.to_owned()).transcoded()), "{text:?}");
        }
        for bytes in 1..10 {
            assert_eq!(Event::new(vec![0xff; bytes]).transcoded(), bytes.div_ceil(3) * 4);
        }
        assert_eq!(Event::typed("\"\\n\"", "application/json").map(|e| e.transcoded()), Ok(0));
    }

    #[cfg(feature = "json")]
    #[test]
    fn long_texts_beside_a_payload_count_in_their_form_in_json() {
        for (name, kind, more) in [
            ("n".repeat(200), String::new(), 0),
            ("n".repeat(201), String::new(), 1),
            ("\"".repeat(100), String::new(), 0),
            ("\"".repeat(101), String::new(), 2),
            ("n".repeat(33), "a/b".into(), 0),
            ("n".repeat(100), format!("a/b; c={}", "\"".repeat(50)), 7),
        ] {
            let typed = Event::typed("", kind.clone()).ok().filter(|_| !kind.is_empty());
            let event = typed.unwrap_or_else(|| Event::new(""));
            let held = event.weight_on(&Channel::with_hash(&name, 0));
            assert_eq!(held - event.weight_as_held(), more, "{name} {kind}");
        }
    }

    /// The feature has serde_json's `RawValue`.
    #[cfg(feature = "client")]
    #[test]
    fn a_value_cannot_bring_json_that_is_none() {
        fn raw(text: &str) -> Result<Event, EventError> {
            let text = text.to_owned();
            let raw = serde_json::value::RawValue::from_string(text).expect("it passes for JSON");
            Event::json(&raw)
        }
        assert!(raw("[1.5]").is_ok());
        for bad in ["1e999", "\"\\ud800\""] {
            assert!(matches!(raw(bad), Err(EventError::NotSerializable { .. })), "{bad}");
        }
    }

    #[cfg(feature = "json")]
    #[test]
    fn a_value_becomes_json() {
        let event = Event::json(&["e4", "e5"]).expect("strings have a form in JSON");
        assert_eq!(event.payload(), "[\"e4\",\"e5\"]");
        assert_eq!(event.content_type(), Some("application/json"));
    }
}
