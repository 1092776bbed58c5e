//! Entity tags for handlers that know nothing of them.

use super::*;

const MAX: u64 = 8;

fn hashing(hub: &Hub) -> WatchLayer<PathRoute> {
    layer(hub).hash_bodies(MAX)
}

/// What a plain `GET` is answered.
#[track_caller]
fn plain(make: impl Fn() -> Content + Send + Sync + 'static) -> Response<ResponseBody<Content>> {
    let hub = Hub::new();
    let resource = Resource::replying(move |_, _| Ok(Response::new(make())));
    let answer = assert_ready!(start(&hashing(&hub), &resource, get("/r/a", &[])).poll()).unwrap();
    assert_eq!(hub.stats().parked, 0);
    answer
}

fn tag<B>(answer: &Response<B>) -> Option<String> {
    answer.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned())
}

fn data(text: &'static str) -> Result<Frame<Bytes>, Failed> {
    Ok(Frame::data(Bytes::from(text)))
}

#[tokio::test(start_paused = true)]
async fn a_body_is_hashed_up_to_the_limit() {
    for (size, hashed) in [(0, true), (1, true), (8, true), (9, false), (1_000, false)] {
        let answer = plain(move || Content::new("x".repeat(size)));
        assert_eq!(tag(&answer).is_some(), hashed, "{size}");
        assert!(tag(&answer).is_none_or(|tag| tag.starts_with('"')), "it is strong");
        assert_eq!(answer.body().size_hint().exact(), Some(size as u64));
        assert_eq!(text(answer.into_body()), "x".repeat(size));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_hashed_up_to_so_many_pieces() {
    for (pieces, hashed) in [(1_024, true), (1_025, false), (5_000, false)] {
        let make = move || {
            let empty = (1..pieces).map(|_| data(""));
            Content::of(empty.chain([data("end")])).claiming(3)
        };
        let answer = plain(make);
        assert_eq!(tag(&answer).is_some(), hashed, "{pieces}");
        assert_eq!(text(answer.into_body()), "end", "{pieces}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_is_of_the_bytes_alone_and_the_same_everywhere() {
    let one = tag(&plain(|| Content::new("abc"))).unwrap();
    let cut = plain(|| Content::of([data("a"), data(""), data("bc")]).claiming(3));
    assert_eq!(tag(&cut), Some(one.clone()));
    assert_eq!(text(cut.into_body()), "abc");
    assert_ne!(tag(&plain(|| Content::new("abd"))), Some(one));
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_unknown_size_passes_untouched_and_is_never_held() {
    let hub = Hub::new();
    let resource = Resource::replying(|_, _| {
        let mut content = Content::of([data("a")]);
        content.ends = Arc::default();
        Ok(Response::new(content))
    });
    for fields in [&[][..], &[("if-none-match", "*")]] {
        let mut watching = start(&hashing(&hub), &resource, get("/r/a?wait=20", fields));
        let mut answer = assert_ready!(watching.poll()).unwrap();
        assert_eq!((tag(&answer), hub.stats().parked), (None, 0));
        assert_eq!(answer.body().size_hint().upper(), None);
        let frame = answer.frame().now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_larger_than_it_says_goes_out_whole_and_without_a_tag() {
    let make = || Content::of([data("12345"), data("6789"), data("abc")]).claiming(2);
    let answer = plain(make);
    assert_eq!(tag(&answer), None);
    assert_eq!(text(answer.into_body()), "123456789abc");
    // Smaller than it says is no matter.
    let answer = plain(|| Content::of([data("1")]).claiming(7));
    assert!(tag(&answer).is_some());
    assert_eq!(answer.body().size_hint().exact(), Some(1));
    assert_eq!(text(answer.into_body()), "1");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_body_is_not_hidden() {
    for claims in [2, 8] {
        let make = move || Content::of([data("ab"), Err(Failed("torn"))]).claiming(claims);
        let answer = plain(make);
        assert_eq!((answer.status().as_u16(), tag(&answer)), (200, None));
        let (_, mut body) = answer.into_parts();
        let mut next = || body.frame().now_or_never().unwrap();
        assert_eq!(next().unwrap().unwrap().into_data().unwrap(), "ab");
        assert_eq!(next().unwrap().err(), Some(Failed("torn")));
        assert!(next().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn the_trailers_of_a_body_are_kept() {
    let trailers = || HeaderMap::from_iter([(http::header::TE, "x".parse().unwrap())]);
    let make = move || Content::of([data("ab"), Ok(Frame::trailers(trailers()))]).claiming(2);
    let answer = plain(make);
    assert!(tag(&answer).is_some());
    assert!(!answer.body().is_end_stream());
    let body = answer.into_body().collect().now_or_never().unwrap().unwrap();
    assert_eq!(body.trailers(), Some(&trailers()));
    assert_eq!(body.to_bytes(), "ab");
}

#[tokio::test(start_paused = true)]
async fn a_hashed_resource_is_watched() {
    let hub = Hub::new();
    let resource = Resource::replying(|_, state| {
        let json = Content::new(format!("{{\"s\":{state}}}"));
        let response = Response::builder().header("content-type", "application/json");
        Ok(response.header("content-length", "7").body(json).unwrap())
    });
    let first = assert_ready!(start(&hashing(&hub), &resource, get("/r/a", &[])).poll()).unwrap();
    let tag = tag(&first).unwrap();
    assert_eq!(text(first.into_body()), "{\"s\":0}");
    // Another server, or the same after a restart.
    let hub = Hub::new();
    let fields = [("if-none-match", tag.as_str())];
    let mut watching = start(&hashing(&hub), &resource, get("/r/a?wait=20", &fields));
    assert_pending!(watching.poll());
    assert_eq!((hub.stats().parked, resource.alive()), (1, (1, 0, 0)), "no body is kept");
    resource.change(&hub);
    assert_eq!(told(watching.poll()), (200, "{\"s\":1}".into()));
    // Whoever does not want to wait is told at once that nothing is new.
    resource.0.state.store(0, SeqCst);
    let mut asked = start(&hashing(&hub), &resource, get("/r/a", &fields));
    let (status, headers) = head(asked.poll());
    assert_eq!((status, headers.len()), (304, 1), "{headers:?}");
    assert_eq!(headers["etag"], tag.as_str());
    drop((watching, asked));
    assert_eq!((hub.stats().parked, resource.alive()), (0, (0, 0, 0)));
}

#[tokio::test(start_paused = true)]
async fn a_change_while_the_body_is_read_is_answered_by_another_run() {
    let (hub, ends) = (Hub::new(), ended());
    let end = Arc::clone(&ends);
    let resource = Resource::replying(move |_, state| {
        let mut content = Content::new(format!("{state}"));
        content.ends = Arc::clone(&end);
        Ok(Response::new(content))
    });
    let first = assert_ready!(start(&hashing(&hub), &resource, get("/r/a", &[])).poll()).unwrap();
    let tag = tag(&first).unwrap();
    drop(first);
    let asks = || get("/r/a?wait=20", &[("if-none-match", &tag)]);

    ends.store(false, SeqCst);
    let mut left = start(&hashing(&hub), &resource, asks());
    assert_pending!(left.poll());
    assert_eq!((resource.alive(), hub.stats().parked), ((1, 0, 1), 1), "its body is read");
    drop(left);
    assert_eq!((resource.alive(), hub.stats().parked), ((0, 0, 0), 0));

    let mut watching = start(&hashing(&hub), &resource, asks());
    assert_pending!(watching.poll());
    resource.change(&hub);
    ends.store(true, SeqCst);
    assert_eq!(told(watching.poll()), (200, "1".into()));
    assert_eq!((resource.runs(), hub.stats().parked), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_told_that_nothing_is_new_whatever_the_hub_does() {
    let hub = Hub::new();
    let resource = Resource::replying(|_, _| Ok(Response::new(Content::new("ab"))));
    let first = assert_ready!(start(&hashing(&hub), &resource, get("/r/a", &[])).poll()).unwrap();
    let tag = tag(&first).unwrap();
    hub.drain(Duration::ZERO);
    let mut asked = start(&hashing(&hub), &resource, get("/r/a", &[("if-none-match", &tag)]));
    let (status, headers) = head(asked.poll());
    assert_eq!((status, headers.len()), (304, 1), "{headers:?}");
    let stats = hub.stats();
    assert_eq!((stats.parked, stats.timed_out, stats.refused), (0, 0, 0), "it was no poll");
}

#[tokio::test(start_paused = true)]
async fn what_a_route_refuses_is_refused_to_those_who_wait() {
    use tower_longpoll::http::Routed;
    let refuse = |_: &http::request::Parts| {
        Routed::Refuse(Response::builder().status(403).body("no".into()).unwrap())
    };
    let (hub, resource) = (Hub::new(), Resource::new());
    let layer = WatchLayer::new(hub.clone(), refuse).hash_bodies(MAX);
    let known = ("if-none-match", "\"0\"");
    for (uri, fields, status) in
        [("/r/a", &[][..], 200), ("/r/a", &[known], 200), ("/r/a?wait=5", &[known], 403)]
    {
        let mut asked = start(&layer, &resource, get(uri, fields));
        assert_eq!(head(asked.poll()).0, status, "{uri} {fields:?}");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_get_or_has_a_tag_or_is_no_200_is_not_hashed() {
    let hub = Hub::new();
    for (row, request, status, etag) in [
        ("HEAD", Request::head("/r/a"), 200, None),
        ("POST", Request::post("/r/a"), 200, None),
        ("another path", Request::get("/else"), 200, None),
        ("its own tag", Request::get("/r/a"), 200, Some("\"own\"")),
        ("its own weak tag", Request::get("/r/a"), 200, Some("W/\"own\"")),
        ("404", Request::get("/r/a"), 404, None),
        ("206", Request::get("/r/a"), 206, None),
        ("500", Request::get("/r/a"), 500, None),
    ] {
        let resource = Resource::replying(move |_, _| {
            let mut response = Response::builder().status(status).body(Content::new("ab")).unwrap();
            let etag = etag.map(|etag| (http::header::ETAG, etag.parse().unwrap()));
            response.headers_mut().extend(etag);
            Ok(response)
        });
        let request = request.body(String::new()).unwrap();
        let answer = assert_ready!(start(&hashing(&hub), &resource, request).poll()).unwrap();
        assert_eq!((answer.status().as_u16(), tag(&answer).as_deref()), (status, etag), "{row}");
        assert_eq!(text(answer.into_body()), "ab", "{row}");
        assert_eq!(hub.stats().parked, 0, "{row}");
    }
}
