//! The pages and what belongs to them, embedded, so that the program is one file.
//!
//! To add a file: put it into `pages/` and add a line to `ASSETS`. It is then at `/assets/NAME`, its
//! content type told by its ending. A page of its own path has a line in `PAGES` instead, and a
//! route in `api.rs`.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    body::Bytes,
    extract::Path,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};

use crate::problem::Problem;

/// Files of a folder: name, content.
macro_rules! files {
    ($folder:literal: $($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!($folder, "/", $name)))),*]
    };
}

/// Pages with paths of their own.
const PAGES: &[(&str, &[u8])] =
    files!["pages": "index.html", "game.html", "status.html", "not-found.html"];

/// What is below `/assets/`.
const ASSETS: &[(&str, &[u8])] = files![
    "pages":
    "api.js",
    "base.css",
    "board.js",
    "chart.js",
    "chat.js",
    "clocks.js",
    "dialogs.js",
    "drag.js",
    "game.css",
    "game.js",
    "home.css",
    "home.js",
    "icon.svg",
    "panel.js",
    "piece.js",
    "pieces.svg",
    "players.js",
    "position.js",
    "record.js",
    "seats.js",
    "sound.js",
    "status.css",
    "status.js",
    "words.js",
];

/// The client, which stands by itself since anybody may take it.
const CLIENT: &[(&str, &[u8])] = files!["client": "longpoll.js", "shared.js"];

/// What pages may do: run and load what comes from here, and nothing that stands in the page.
pub(crate) const POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; \
     base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A page by its file's name.
pub(crate) fn page(name: &str, status: StatusCode, headers: &HeaderMap) -> Response {
    let found = PAGES.iter().find(|(page, _)| *page == name);
    let Some((_, content)) = found else { return status.into_response() };
    // Only a success may be told to be the same as before.
    if status == StatusCode::OK {
        return embedded(name, content, headers);
    }
    let fields = [(header::CONTENT_TYPE, content_type(name)), (header::CACHE_CONTROL, "no-store")];
    (status, fields, Bytes::from_static(content)).into_response()
}

/// `GET /assets/{name}`.
pub(crate) async fn asset(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = ASSETS.iter().chain(CLIENT).find(|(asset, _)| *asset == name);
    let (_, content) = found.ok_or_else(|| Problem::not_found("There is no such file."))?;
    Ok(embedded(&name, content, &headers))
}

/// The content, or that the browser has it already. It asks each time, so that a new build of the
/// program is never mixed with an old page.
fn embedded(name: &str, content: &'static [u8], headers: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    let etag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
    });
    let fields = [
        (header::ETAG, etag.as_str()),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_TYPE, content_type(name)),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, fields).into_response();
    }
    (fields, Bytes::from_static(content)).into_response()
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("json" | "webmanifest") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}
