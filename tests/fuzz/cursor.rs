//! Cursor text: whatever it is, it is one cursor, written as that cursor is, or none.
#![allow(unreachable_pub)]

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tower_longpoll::{Channel, Cursor, Hub, Waited};

/// The length of the longest cursor: the version, and 16 bytes as base64.
const TEXT_BYTES: usize = 23;

pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check_text(text);
    }
    // The same bytes as the inside of a cursor.
    check_text(&written(data));
    check_use(data);
}

fn written(raw: &[u8]) -> String {
    format!("1{}", URL_SAFE_NO_PAD.encode(raw))
}

/// An epoch that is not zero, and a number without leading zeros.
fn is_cursor(text: &str) -> bool {
    let Some(raw) = text.strip_prefix('1').map(|text| URL_SAFE_NO_PAD.decode(text)) else {
        return false;
    };
    raw.is_ok_and(|raw| {
        (8..=16).contains(&raw.len())
            && raw.iter().take(8).any(|byte| *byte != 0)
            && raw.get(8) != Some(&0)
    })
}

fn check_text(text: &str) {
    let parsed = text.parse::<Cursor>();
    assert_eq!(parsed.is_ok(), is_cursor(text), "{text:?}");
    let Ok(cursor) = parsed else { return };
    let again = cursor.to_string();
    assert_eq!(again, text, "a cursor has one text");
    assert_eq!(again.parse(), Ok(cursor));
    assert!(text.len() <= TEXT_BYTES, "{text:?} is long");
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    assert!(text.bytes().all(is_safe), "{text:?} is safe in URLs and header fields");
    assert!(!format!("{cursor:?} {cursor:>30}").is_empty());
}

/// A position that is not the hub's own, by its epoch or by being ahead, is a gap and told at once.
fn check_use(data: &[u8]) {
    let (hub, c) = (Hub::builder().shards(1).build().unwrap(), Channel::new("c").unwrap());
    let from = hub.cursor().to_string();
    let epoch = URL_SAFE_NO_PAD.decode(&from[1..]).unwrap();
    let digits: Vec<u8> = data.iter().copied().skip_while(|byte| *byte == 0).take(8).collect();
    let number = digits.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let published = u64::from(data.first().is_some_and(|byte| byte % 2 == 0));
    for _ in 0..published {
        hub.publish(&c, "x").unwrap();
    }
    let foreign = std::str::from_utf8(data).ok().and_then(|text| text.parse::<Cursor>().ok());
    let own: Cursor = written(&[&epoch[..], &digits].concat()).parse().unwrap();
    for (since, is_gap) in
        foreign.map(|since| (since, true)).into_iter().chain([(own, number > published)])
    {
        let wait = hub.wait([&c]).since(since).hold(Duration::ZERO);
        match pin!(wait).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Waited::Events(batch)) => {
                assert_eq!(batch.gap(), is_gap, "{since:?}");
                let is_new = is_gap || number < published;
                assert_eq!(batch.len() as u64, if is_new { published } else { 0 }, "{since:?}");
                assert_eq!(batch.cursor(), hub.cursor());
            }
            Poll::Ready(Waited::TimedOut { cursor }) => {
                assert!(!is_gap && number == published, "{since:?}");
                assert_eq!(cursor, hub.cursor());
            }
            other => panic!("{since:?} is answered {other:?}"),
        }
        assert_eq!(hub.stats().parked, 0);
    }
}
