//! The query string, read strictly: what is not UTF-8 is told, not replaced.

use std::borrow::Cow;

use http::request::Parts;
use percent_encoding::percent_decode_str;

/// The values of a parameter, in order; none for one that is not UTF-8.
pub(super) fn values<'a>(
    parts: &'a Parts,
    name: &'a str,
) -> impl Iterator<Item = Option<Cow<'a, str>>> {
    let pairs = parts.uri.query().into_iter().flat_map(|query| query.split('&'));
    pairs.filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true).as_deref() == Some(name)).then(|| decode(value, true))
    })
}

/// Percent-decodes a text; `form` also reads `+` as a space, as forms write it. What stands for
/// itself, as most texts do, is not copied.
pub(super) fn decode(text: &str, form: bool) -> Option<Cow<'_, str>> {
    if form && text.contains('+') {
        let text = text.replace('+', " ");
        return Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned().into());
    }
    // Else the decoder would look whether it is UTF-8, which it is.
    if !text.contains('%') {
        return Some(text.into());
    }
    percent_decode_str(text).decode_utf8().ok()
}
