//! Requests as text, and a second reading of them that is naive.
#![allow(dead_code, unreachable_pub)]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};
use tower_longpoll::{Cursor, Hub, Since};

/// What a hub of these tests allows.
pub const MAX_NAME_BYTES: usize = 32;
pub const MAX_CHANNELS: usize = 4;
pub const MAX_PAYLOAD_BYTES: usize = 400;

/// An input: a line of settings, the request line and the header fields, as in HTTP/1, an empty
/// line, and the body.
pub struct Input<'a> {
    settings: &'a [u8],
    pub request: Request<()>,
    pub body: &'a [u8],
}

impl<'a> Input<'a> {
    /// None if it is nothing that a server could hand on. `$0` to `$9` are cursors of the hub.
    pub fn read(data: &'a [u8], hub: &Hub) -> Option<Self> {
        let (settings, mut rest) = line(data);
        let (first, after) = line(rest);
        rest = after;
        let place = first.iter().position(|byte| *byte == b' ')?;
        let (method, target) = (&first[..place], &first[place + 1..]);
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(method).ok()?;
        *request.uri_mut() = Uri::try_from(with_cursors(target, hub)).ok()?;
        if settings.contains(&b'2') {
            *request.version_mut() = Version::HTTP_2;
        }
        loop {
            let (field, after) = line(rest);
            rest = after;
            if field.is_empty() {
                return Some(Self { settings, request, body: rest });
            }
            let place = field.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&field[..place]).ok()?;
            let value = field[place + 1..].trim_ascii_start();
            let value = HeaderValue::from_bytes(&with_cursors(value, hub)).ok()?;
            request.headers_mut().append(name, value);
        }
    }

    pub fn is_set(&self, letter: u8) -> bool {
        self.settings.contains(&letter)
    }

    /// The first setting that is one of these.
    pub fn first_set(&self, letters: &[u8]) -> Option<u8> {
        self.settings.iter().copied().find(|letter| letters.contains(letter))
    }
}

/// The settings of an input.
pub fn settings(data: &[u8]) -> &[u8] {
    line(data).0
}

fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(place) => (&data[..place], &data[place + 1..]),
        None => (data, &[]),
    }
}

fn with_cursors(text: &[u8], hub: &Hub) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), text.iter().copied().peekable());
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(digit) if byte == b'$' && digit.is_ascii_digit() => {
                out.extend(cursor(hub, u64::from(digit - b'0')).to_string().bytes());
                bytes.next();
            }
            _ => out.push(byte),
        }
    }
    out
}

/// A position of a hub, whether it was there already or not.
pub fn cursor(hub: &Hub, number: u64) -> Cursor {
    let number = number.to_be_bytes();
    let digits = number.iter().copied().skip_while(|byte| *byte == 0);
    let raw: Vec<u8> = inside(hub.cursor()).into_iter().take(8).chain(digits).collect();
    format!("1{}", URL_SAFE_NO_PAD.encode(raw)).parse().unwrap()
}

/// The number of a cursor of this hub; none if it is of another.
pub fn number(hub: &Hub, cursor: Cursor) -> Option<u64> {
    let (own, raw) = (inside(hub.cursor()), inside(cursor));
    let is_own = own[..8] == raw[..8];
    is_own.then(|| raw[8..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn inside(cursor: Cursor) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(&cursor.to_string()[1..]).unwrap()
}

/// Percent-decodes a text, byte by byte; none if it is not UTF-8 then.
pub fn decoded(text: &str, form: bool) -> Option<String> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let digit = |place: usize| char::from(*after.get(place)?).to_digit(16);
        let (byte, used) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => ((high * 16 + low) as u8, 2),
            (b'+', ..) if form => (b' ', 0),
            _ => (*first, 0),
        };
        out.push(byte);
        rest = &after[used..];
    }
    String::from_utf8(out).ok()
}

/// The values of a parameter of the query.
pub fn values(parts: &Parts, name: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    for pair in parts.uri.query().unwrap_or("").split('&') {
        let end = pair.find('=').unwrap_or(pair.len());
        if decoded(&pair[..end], true).as_deref() == Some(name) {
            values.push(decoded(pair.get(end + 1..).unwrap_or(""), true));
        }
    }
    values
}

/// The channels that a path names on the routes `/events/{channel}` and `/events`, if it is one of
/// them; an error if one of them is not a channel.
pub fn channels(parts: &Parts, prefix: &str) -> Option<Result<Vec<String>, ()>> {
    let segments: Vec<&str> = parts.uri.path().split('/').collect();
    let names = match segments[..] {
        ["", "events"] => values(parts, "channel"),
        ["", "events", name] if !name.is_empty() => vec![decoded(name, false)],
        _ => return None,
    };
    let with_prefix = |name: Option<String>| {
        let name = name.filter(|name| !name.is_empty()).ok_or(())?;
        Some(prefix.to_owned() + &name).filter(|name| is_channel(name)).ok_or(())
    };
    Some(names.into_iter().map(with_prefix).collect())
}

pub fn is_channel(name: &str) -> bool {
    let is_control = |c: char| matches!(c, '\0'..='\x1f' | '\x7f'..='\u{9f}');
    (1..=4_096).contains(&name.len()) && !name.contains(is_control)
}

/// Where a poll goes on.
pub fn since(parts: &Parts) -> Result<Since, ()> {
    let mut texts = values(parts, "cursor");
    for value in parts.headers.get_all("longpoll-cursor") {
        texts.push(String::from_utf8(value.as_bytes().to_vec()).ok());
    }
    match &texts[..] {
        [] => Ok(Since::Now),
        [Some(text)] if text == "oldest" => Ok(Since::Oldest),
        [Some(text)] => text.parse::<Cursor>().map(Since::Cursor).map_err(|_| ()),
        _ => Err(()),
    }
}

/// The seconds that a poll is willing to wait, and whether it says so as a preference.
pub fn wait(parts: &Parts) -> Result<Option<(u64, bool)>, ()> {
    match &values(parts, "wait")[..] {
        [] => Ok(preferred(parts).map(|seconds| (seconds, true))),
        [Some(text)] => whole(text.as_bytes()).map(|seconds| Some((seconds, false))).ok_or(()),
        _ => Err(()),
    }
}

fn whole(digits: &[u8]) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    is_number.then(|| digits.iter().fold(0, add))
}

/// The first `wait` among the preferences that is well-formed.
fn preferred(parts: &Parts) -> Option<u64> {
    for field in parts.headers.get_all("prefer") {
        let is_readable = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
        if !field.as_bytes().iter().all(is_readable) {
            continue;
        }
        let (mut element, mut quoted, mut escaped) = (Vec::new(), false, false);
        for &byte in field.as_bytes() {
            if byte == b',' && !quoted {
                if let Some(seconds) = preference(&element) {
                    return Some(seconds);
                }
                element.clear();
                continue;
            }
            (quoted, escaped) = match (byte, quoted, escaped) {
                (_, true, true) => (true, false),
                (b'\\', true, false) => (true, true),
                (b'"', true, false) => (false, false),
                (b'"', false, _) => (true, false),
                _ => (quoted, false),
            };
            element.push(byte);
        }
        if let Some(seconds) = preference(&element) {
            return Some(seconds);
        }
    }
    None
}

fn preference(element: &[u8]) -> Option<u64> {
    let end = element.iter().position(|byte| *byte == b';').unwrap_or(element.len());
    let place = element[..end].iter().position(|byte| *byte == b'=')?;
    let (name, mut value) = (element[..place].trim_ascii(), element[place + 1..end].trim_ascii());
    if let [b'"', inside @ .., b'"'] = value {
        value = inside;
    }
    if name.eq_ignore_ascii_case(b"wait") { whole(value) } else { None }
}
