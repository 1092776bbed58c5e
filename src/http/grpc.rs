//! What of gRPC over HTTP/2 a held response needs.
//!
//! A message is five bytes (not compressed, length) and the payload; the status stands in the
//! trailers, or in the head of a response that has neither body nor trailers. See
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::{
    body::ReplyBody,
    reply::{channel_field, mark},
};
use crate::{
    event::Entry,
    outcome::{Refused, Waited},
    random,
};

const GRPC: &str = "application/grpc";
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// gRFC A6: when a client that retries may do so.
const RETRY: HeaderName = HeaderName::from_static("grpc-retry-pushback-ms");

/// Status codes.
#[derive(Clone, Copy)]
enum Code {
    InvalidArgument = 3,
    NotFound = 5,
    ResourceExhausted = 8,
    Unavailable = 14,
}

/// Whether a response is gRPC, and not one of its relatives such as gRPC-Web.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let parts = content_type.and_then(|value| value.split_at_checked(GRPC.len()));
    parts.is_some_and(|(essence, rest)| {
        essence.eq_ignore_ascii_case(GRPC.as_bytes())
            && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    })
}

/// Whether a response has a message, and the status that goes with it. A status in the head is that
/// of a response without.
pub(super) fn is_success(head: &HeaderMap, trailers: Option<&HeaderMap>) -> bool {
    let status = trailers.and_then(|trailers| trailers.get(STATUS));
    !head.contains_key(STATUS) && status.is_none_or(|status| status == "0")
}

/// How long the client waits for the response, if it says and can be understood.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(3_600 * number),
        "M" => Duration::from_secs(60 * number),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The response that takes the place of one that was held; none if that is to go out itself.
/// Its content type says how messages are encoded, and stays.
pub(super) fn answer(
    waited: &Waited,
    own: &HeaderMap,
    retry_after: u64,
) -> Option<Response<ReplyBody>> {
    let mut response = match waited {
        Waited::Events(batch) => message(batch.entries().first()?),
        Waited::TimedOut { .. } | Waited::Touched { .. } | Waited::Superseded { .. } => {
            return None;
        }
        Waited::Deleted { .. } => status(Code::NotFound, "the channel was deleted"),
        Waited::Drained { .. } => refused(Refused::Draining, retry_after),
        Waited::Refused { reason, .. } => refused(*reason, retry_after),
    };
    let content_type = own.get(CONTENT_TYPE).cloned();
    let content_type = content_type.unwrap_or(HeaderValue::from_static(GRPC));
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    mark(response.headers_mut(), waited);
    Some(response)
}

/// How many bytes stand before a message.
pub(super) const PREFIX_BYTES: usize = 5;

/// What stands before a message. Its length has four bytes: a payload is far smaller.
pub(super) fn prefix(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut prefix = [0; PREFIX_BYTES];
    prefix.iter_mut().skip(1).zip(length.to_be_bytes()).for_each(|(to, from)| *to = from);
    Bytes::copy_from_slice(&prefix)
}

/// The trailers that say that all went well.
pub(super) fn success() -> HeaderMap {
    HeaderMap::from_iter([(STATUS, HeaderValue::from_static("0"))])
}

fn message(entry: &Entry) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::grpc(entry.payload().clone()));
    response.headers_mut().extend([channel_field(entry.channel())]);
    response
}

/// A response that is nothing but a status: "trailers-only".
fn status(code: Code, text: &str) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::default());
    let headers = response.headers_mut();
    headers.insert(STATUS, HeaderValue::from(code as u16));
    let text: String = utf8_percent_encode(text, NOT_IN_MESSAGES).collect();
    headers.extend(HeaderValue::try_from(text).ok().map(|text| (MESSAGE, text)));
    response
}

const NOT_IN_MESSAGES: &AsciiSet = &CONTROLS.add(b'%');

fn refused(reason: Refused, retry_after: u64) -> Response<ReplyBody> {
    let code = match reason {
        Refused::Draining | Refused::Closed => Code::Unavailable,
        reason if reason.is_temporary() => Code::ResourceExhausted,
        _ => return status(Code::InvalidArgument, &reason.to_string()),
    };
    let mut response = status(code, &reason.to_string());
    // Clients that retry by themselves are to spread over the time until then.
    let millis = retry_after.saturating_mul(1_000);
    let millis = millis.saturating_add(random::up_to(millis));
    response.headers_mut().insert(RETRY, HeaderValue::from(millis));
    response
}
