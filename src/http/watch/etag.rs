//! Entity tags (RFC 9110, section 8.8.3), and the answers without a body that they allow.

#[cfg(feature = "etag")]
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ETAG, IF_NONE_MATCH},
    response::Parts,
};
use http_body::Body;

use crate::http::{
    ahead::Ahead,
    hold::{Hold, OF_THE_BODY},
};

/// Whether a response tells a client nothing that it has not got: 304, or a 200 with an entity tag
/// that the request's `if-none-match` lists.
pub(super) fn is_known(request: &HeaderMap, status: StatusCode, response: &HeaderMap) -> bool {
    status == StatusCode::NOT_MODIFIED
        || status == StatusCode::OK
            && response.get(ETAG).is_some_and(|etag| is_listed(request, etag))
}

/// Whether `if-none-match` lists an entity tag, by weak comparison (RFC 9110, section 13.1.2).
fn is_listed(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let Some(etag) = opaque(etag.as_bytes()).map(|(tag, _)| tag) else { return false };
    let fields = request.get_all(IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    fields.into_iter().any(|field| field.trim_ascii() == b"*" || tags(field).any(|tag| tag == etag))
}

/// The opaque parts of a list of entity tags, up to the first that is malformed.
fn tags(mut field: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let start = field.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        let (tag, rest) = opaque(field.get(start..)?)?;
        field = rest;
        Some(tag)
    })
}

/// The opaque part of the entity tag at the beginning of a text, and what follows it.
fn opaque(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let quoted = text.strip_prefix(b"W/").unwrap_or(text).strip_prefix(b"\"")?;
    let end = quoted.iter().position(|&byte| byte == b'"')?;
    Some((quoted.get(..end)?, quoted.get(end + 1..)?))
}

/// Makes a 304 of a response: what describes the body goes (RFC 9110, section 15.4.5).
pub(super) fn not_modified(mut head: Parts) -> Response<()> {
    // It has been held.
    head.extensions.remove::<Hold>();
    if head.status != StatusCode::NOT_MODIFIED {
        head.status = StatusCode::NOT_MODIFIED;
        for name in OF_THE_BODY {
            head.headers.remove(name);
        }
    }
    Response::from_parts(head, ())
}

/// Sets the entity tag of a response whose body has been read.
#[cfg(feature = "etag")]
pub(super) fn set<B>(headers: &mut HeaderMap, body: &Ahead<B>)
where
    B: Body<Data = Bytes>,
{
    headers.insert(ETAG, strong(headers, body.data()));
}

/// Nobody can ask for it.
#[cfg(not(feature = "etag"))]
pub(super) fn set<B: Body>(_: &mut HeaderMap, _: &Ahead<B>) {}

/// A strong entity tag for a body and for what else makes it another representation.
#[cfg(feature = "etag")]
fn strong<'a>(headers: &HeaderMap, body: impl Iterator<Item = &'a Bytes>) -> HeaderValue {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    use http::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE};
    use sha2::{Digest, Sha256};

    let mut hash = Sha256::new();
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
        for value in headers.get_all(name) {
            hash.update(value);
            hash.update([0]);
        }
        hash.update([0]);
    }
    body.for_each(|data| hash.update(data));
    let digest = hash.finalize();
    let half = digest.get(..16).unwrap_or(&digest);
    let text = format!("\"{}\"", BASE64_URL_SAFE_NO_PAD.encode(half));
    HeaderValue::try_from(text).expect("base64 is safe in a header field")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_compared_weakly_and_lists_are_read_strictly() {
        for (what, listed, etag, expected) in [
            ("the same", r#""a""#, r#""a""#, true),
            ("another", r#""a""#, r#""b""#, false),
            ("weak and strong", r#"W/"a""#, r#""a""#, true),
            ("strong and weak", r#""a""#, r#"W/"a""#, true),
            ("case counts", r#""a""#, r#""A""#, false),
            ("a list", r#" "x" ,, W/"a", "y""#, r#""a""#, true),
            ("without commas", r#""x""a""#, r#""a""#, true),
            ("a comma in a tag", r#""x, y""#, r#""x, y""#, true),
            ("part of a tag", r#""x, y""#, r#""y""#, false),
            ("empty", r#""""#, r#""""#, true),
            ("anything", " * ", r#""a""#, true),
            ("no list", "", r#""a""#, false),
            ("no quotes", "a", "a", false),
            ("no end", r#""a"#, r#""a""#, false),
            ("after what is malformed", r#"x, "a""#, r#""a""#, false),
            ("w/ in small letters", r#"w/"a""#, r#""a""#, false),
        ] {
            let mut request = HeaderMap::new();
            request.insert(IF_NONE_MATCH, HeaderValue::from_static(listed));
            let mut response = HeaderMap::new();
            response.insert(ETAG, HeaderValue::from_static(etag));
            assert_eq!(is_known(&request, StatusCode::OK, &response), expected, "{what}");
            assert!(is_known(&request, StatusCode::NOT_MODIFIED, &response), "{what}");
            assert!(!is_known(&request, StatusCode::NOT_FOUND, &response), "{what}");
        }
    }

    #[cfg(feature = "etag")]
    #[test]
    fn an_entity_tag_depends_on_the_bytes_and_on_what_they_mean() {
        let tag = |content_type: &'static str, parts: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            let parts: Vec<_> = parts.iter().map(|part| bytes::Bytes::from(*part)).collect();
            strong(&headers, parts.iter())
        };
        let one = tag("text/plain", &["ab"]);
        assert_eq!(one, tag("text/plain", &["a", "b"]), "not on how they are cut");
        assert_ne!(one, tag("text/plain", &["abc"]));
        assert_ne!(one, tag("text/html", &["ab"]));
        // The same on every node and after every restart.
        assert_eq!(one, "\"iPbxJbl3j-A8y2dO2HSi9A\"");
    }
}
