//! Channel names: whatever bytes a client makes a name of, all ways in read the same name of them,
//! or refuse it, and all ways out tell the same name.
#![allow(unreachable_pub)]

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use tower_longpoll::{
    Channel, ChannelError, Hub, LongPollLayer, LongPollService, PathRoute, PublishService, Reply,
};

use super::{
    answers::{self, Answer, Chunks, Step},
    reading,
};

/// An input: a prefix, an end of line, and the bytes of a name.
pub fn check(data: &[u8]) {
    let (prefix, name) = match data.iter().position(|byte| *byte == b'\n') {
        Some(place) => (&data[..place], &data[place + 1..]),
        None => (&data[..0], data),
    };
    if let Ok(name) = std::str::from_utf8(name) {
        check_name(name);
    }
    let Ok(prefix) = std::str::from_utf8(prefix) else { return };
    answers::on_paused_clock(async {
        let check = Check { hub: Hub::builder().shards(1).build().unwrap(), prefix };
        // As it stands, and encoded.
        if let Ok(name) = std::str::from_utf8(name) {
            check.check_text(name);
        }
        check.check_text(&encoded(name, |_| true));
        check.check_text(&encoded(name, |byte| !byte.is_ascii_alphanumeric()));
    });
}

/// A name is a name, or it is said why not.
fn check_name(name: &str) {
    let expected = match name {
        "" => Err(ChannelError::Empty),
        _ if name.len() > Channel::MAX_BYTES => {
            Err(ChannelError::TooLong { max_bytes: Channel::MAX_BYTES })
        }
        _ if !reading::is_channel(name) => Err(ChannelError::ControlCharacter),
        _ => Ok(name.to_owned()),
    };
    let channel = Channel::new(name);
    assert_eq!(channel.clone().map(|channel| channel.as_str().to_owned()), expected);
    assert_eq!(name.parse::<Channel>(), channel);
    assert_eq!(Channel::try_from(name), channel);
    let Ok(channel) = channel else { return };
    assert_eq!((channel.to_string().as_str(), channel.as_ref()), (name, name));
    assert_eq!(channel, Channel::from(&channel));
}

/// Percent-encodes these bytes, with digits of both cases.
fn encoded(name: &[u8], is_encoded: impl Fn(u8) -> bool) -> String {
    let encode = |(place, &byte): (usize, &u8)| match is_encoded(byte) {
        true if place % 2 == 0 => format!("%{byte:02x}"),
        true => format!("%{byte:02X}"),
        false => char::from(byte).to_string(),
    };
    name.iter().enumerate().map(encode).collect()
}

struct Check<'a> {
    hub: Hub,
    prefix: &'a str,
}

impl Check<'_> {
    /// Polls and publishes on what a text names, in the path and in the query.
    fn check_text(&self, text: &str) {
        let in_path = format!("/events/{text}").parse::<Uri>();
        let in_query = format!("/events?channel={text}").parse::<Uri>();
        for uri in [in_path, in_query].into_iter().flatten() {
            let (parts, ()) = Request::get(uri.clone()).body(()).unwrap().into_parts();
            // Other parameters are not the matter here.
            if ["wait", "cursor"].iter().any(|name| !reading::values(&parts, name).is_empty()) {
                continue;
            }
            let names = reading::channels(&parts, self.prefix);
            let poll = self.poll(&uri, Reply::Raw);
            let publish = self.publish(&uri);
            match names.as_ref().map(|names| names.as_deref()) {
                None => {
                    assert_eq!((poll.status, publish.status), (404, 404), "{uri}");
                }
                Some(Ok([name])) if name.len() <= 256 => {
                    assert_eq!((poll.status, publish.status), (204, 202), "{uri} is {name:?}");
                    self.check_told(&uri, name);
                }
                Some(Ok([])) => panic!("{uri} names something"),
                Some(_) => {
                    // Several may be polled.
                    let is_many = names.is_some_and(|names| names.is_ok_and(|n| n.len() > 1));
                    assert!(is_many || poll.invalid().as_deref() == Some("channel"), "{uri}");
                    assert_eq!(publish.invalid().as_deref(), Some("channel"), "{uri}");
                }
            }
            assert_eq!(self.hub.stats().parked, 0);
        }
    }

    /// Both replies tell of the event by its name, and the hub knows no other.
    fn check_told(&self, uri: &Uri, name: &str) {
        let separator = if uri.query().is_some() { '&' } else { '?' };
        let uri = format!("{uri}{separator}cursor=oldest").parse().unwrap();
        let raw = self.poll(&uri, Reply::Raw);
        let told = raw.field("longpoll-channel").unwrap();
        assert!(told.bytes().all(|byte| byte.is_ascii_graphic()), "{told:?} for {name:?}");
        assert_eq!(reading::decoded(told, false).as_deref(), Some(name));
        let json = self.poll(&uri, Reply::Json).json();
        assert_eq!(json["events"][0]["channel"], name);
        assert_eq!(json["events"].as_array().unwrap().len(), 1);
        assert_eq!(self.hub.stats().channels, 1);
        assert!(self.hub.delete(&Channel::new(name).unwrap()), "{name:?} is its name");
    }

    fn poll(&self, uri: &Uri, reply: Reply) -> Answer {
        let layer = LongPollLayer::new(self.hub.clone(), self.route());
        let mut service = LongPollService::from(layer.hold(Duration::ZERO).reply(reply));
        let request = Request::get(uri.clone()).body(()).unwrap();
        let answer = answers::call(&mut service, request);
        let answer = answer.unwrap_or_else(|_| panic!("a hold of zero is answered at once"));
        answer.check();
        answer
    }

    fn publish(&self, uri: &Uri) -> Answer {
        let mut service = PublishService::new(self.hub.clone(), self.route());
        let mut body = Chunks::default();
        body.steps.push_back(Step::Data(Bytes::from_static(b"x")));
        let request = Request::post(uri.clone()).body(body).unwrap();
        let answer = answers::call(&mut service, request);
        let answer = answer.unwrap_or_else(|_| panic!("the body is there"));
        answer.check();
        answer
    }

    fn route(&self) -> PathRoute {
        let route = PathRoute::new("/events/{channel}").unwrap().or("/events").unwrap();
        route.prefix(self.prefix)
    }
}
