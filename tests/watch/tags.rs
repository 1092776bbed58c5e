//! Which answers are known to a client, and what goes out.

use super::*;

/// Whether an answer is held.
fn is_held(
    fields: &[(&str, &str)],
    reply: impl Fn() -> Response<Content> + Send + Sync + 'static,
) -> bool {
    let (hub, resource) = (Hub::new(), Resource::replying(move |_, _| Ok(reply())));
    let mut watching = start(&layer(&hub), &resource, get("/r/a?wait=20", fields));
    let held = watching.poll().is_pending();
    assert_eq!(hub.stats().parked, usize::from(held));
    assert_eq!(resource.runs(), 1);
    held
}

fn reply(status: u16, etag: Option<&'static str>) -> impl Fn() -> Response<Content> + Send + Sync {
    move || {
        let mut response = Response::builder().status(status).body(Content::new("text")).unwrap();
        response.headers_mut().extend(etag.map(|etag| (http::header::ETAG, etag.parse().unwrap())));
        response
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_the_client_has_is_held_and_no_other() {
    let one: &[(&str, &str)] = &[("if-none-match", "\"a\"")];
    let several: &[(&str, &str)] =
        &[("if-none-match", "\"x\", W/\"y\""), ("if-none-match", "\"a\"")];
    let any: &[(&str, &str)] = &[("if-none-match", "*")];
    let garbage: &[(&str, &str)] = &[("if-none-match", "a")];
    for (row, fields, status, etag, held) in [
        ("the same", one, 200, Some("\"a\""), true),
        ("weakly the same", one, 200, Some("W/\"a\""), true),
        ("another", one, 200, Some("\"b\""), false),
        ("no tag", one, 200, None, false),
        ("a tag that is none", one, 200, Some("a"), false),
        ("304 by itself", one, 304, None, true),
        ("304 with another tag", one, 304, Some("\"b\""), true),
        ("201", one, 201, Some("\"a\""), false),
        ("204", one, 204, Some("\"a\""), false),
        ("206", one, 206, Some("\"a\""), false),
        ("301", one, 301, Some("\"a\""), false),
        ("404", one, 404, Some("\"a\""), false),
        ("412", one, 412, Some("\"a\""), false),
        ("500", one, 500, Some("\"a\""), false),
        ("the second field", several, 200, Some("\"a\""), true),
        ("the first of a list", several, 200, Some("\"x\""), true),
        ("a weak one of a list", several, 200, Some("\"y\""), true),
        ("not in any field", several, 200, Some("\"b\""), false),
        ("anything", any, 200, Some("\"b\""), true),
        ("anything, with no tag", any, 200, None, false),
        ("no list of tags", garbage, 200, Some("\"a\""), false),
    ] {
        assert_eq!(is_held(fields, reply(status, etag)), held, "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_keeps_what_is_not_about_the_body() {
    let hub = Hub::new();
    let resource = Resource::replying(|_, state| {
        let mut response = tagged(0);
        for (name, value) in [
            ("cache-control", "private, max-age=5"),
            ("vary", "cookie"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("access-control-allow-origin", "*"),
            ("expires", "0"),
            ("content-location", "/r/a/en"),
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("content-type", "text/plain"),
            ("content-length", "7"),
            ("content-encoding", "identity"),
            ("content-language", "en"),
            ("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("accept-ranges", "bytes"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response.headers_mut().insert("x-run", state.to_string().parse().unwrap());
        response.extensions_mut().insert(state);
        Ok(response)
    });
    let mut watching = start(&layer(&hub), &resource, request());
    assert_pending!(watching.poll());
    assert_eq!(resource.alive(), (1, 0, 0), "no body is kept");
    resource.change(&hub);
    assert_pending!(watching.poll());
    pass(HOLD).await;
    let answer = assert_ready!(watching.poll()).unwrap();
    assert_eq!(answer.status(), 304);
    let mut names: Vec<_> = answer.headers().keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "access-control-allow-origin",
            "cache-control",
            "content-location",
            "date",
            "etag",
            "expires",
            "set-cookie",
            "vary",
            "x-run",
        ]
    );
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(
        (&answer.headers()["etag"], &answer.headers()["x-run"]),
        (&"\"0\"".parse().unwrap(), &"1".parse().unwrap())
    );
    assert_eq!(answer.extensions().get(), Some(&1_u64), "those of the last run");
    assert!(answer.body().is_end_stream());
    assert_eq!(answer.body().size_hint().exact(), Some(0));
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_304_of_the_handler_goes_out_as_it_is() {
    let hub = Hub::new();
    let resource = Resource::replying(|_, _| {
        let response = Response::builder().status(304);
        let response = response.header("etag", "\"0\"").header("last-modified", "then");
        Ok(response.body(Content::new("")).unwrap())
    });
    let mut watching = start(&layer(&hub), &resource, request());
    assert_pending!(watching.poll());
    pass(HOLD).await;
    let (status, headers) = head(watching.poll());
    assert_eq!(
        (status, headers.len(), &headers["last-modified"]),
        (304, 2, &"then".parse().unwrap())
    );
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_changed_answer_is_exactly_the_handlers() {
    for status in [200, 203, 404, 503] {
        let hub = Hub::new();
        let build = move |state: u64| {
            if state == 0 {
                return tagged(0);
            }
            let response = Response::builder().status(status).version(http::Version::HTTP_10);
            let response = response.header("etag", "\"1\"").header("set-cookie", "a=1");
            let response = response.header("set-cookie", "b=2").header("content-length", "3");
            let frames = [
                Ok(Frame::data(Bytes::from("ab"))),
                Ok(Frame::data(Bytes::from("c"))),
                Ok(Frame::trailers(HeaderMap::from_iter([(
                    http::header::TE,
                    "x".parse().unwrap(),
                )]))),
            ];
            response.extension("mark").body(Content::of(frames).claiming(3)).unwrap()
        };
        let resource = Resource::replying(move |_, state| Ok(build(state)));
        let mut watching = start(&layer(&hub), &resource, request());
        assert_pending!(watching.poll());
        resource.change(&hub);
        let (head, body) = assert_ready!(watching.poll()).unwrap().into_parts();
        let (expected, _) = build(1).into_parts();
        assert_eq!((head.status, head.version), (expected.status, expected.version));
        assert_eq!(head.headers, expected.headers);
        assert_eq!(head.extensions.get(), Some(&"mark"));
        assert_eq!(body.size_hint().exact(), Some(3));
        let body = body.collect().now_or_never().unwrap().unwrap();
        assert!(body.trailers().is_some());
        assert_eq!(body.to_bytes(), "abc");
        assert_eq!(hub.stats().parked, 0);
    }
}
