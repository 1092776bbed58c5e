//! The query string, read strictly: what is not UTF-8 is told, not replaced.

use http::request::Parts;
use percent_encoding::percent_decode_str;

/// The values of a parameter, in order; none for one that is not UTF-8.
pub(super) fn values<'a>(
    parts: &'a Parts,
    name: &'a str,
) -> impl Iterator<Item = Option<String>> + 'a {
    let pairs = parts.uri.query().unwrap_or_default().split('&');
    pairs.filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key, true).as_deref() == Some(name)).then(|| decode(value, true))
    })
}

/// Percent-decodes a text; `form` also reads `+` as a space, as forms write it.
pub(super) fn decode(text: &str, form: bool) -> Option<String> {
    let plain = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
    if form && text.contains('+') { plain(&text.replace('+', " ")) } else { plain(text) }
}
