//! Which requests are polls, and on what.

use http::{Method, Uri, request::Parts};
use tower::Service;
use tower_longpoll::http::{Invalid, Routed};

use super::*;

fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_name_in_a_path_or_a_query_is_the_channel_that_it_says() {
    let longest = "x".repeat(256);
    let longest_utf8 = "é".repeat(128);
    let (in_path, in_query) = (format!("/events/{longest}"), format!("/events?channel={longest}"));
    let long_utf8 = format!("/events/{}", encoded(&longest_utf8));
    let rows = [
        ("plain", "/events/a", "a"),
        ("a colon", "/events/game:42", "game:42"),
        ("a space", "/events/a%20b", "a b"),
        ("UTF-8", "/events/%C3%A4%e6%97%a5", "ä日"),
        ("a slash", "/events/a%2Fb", "a/b"),
        ("slashes alone", "/events/%2f%2F", "//"),
        ("a plus", "/events/a+b", "a+b"),
        ("an encoded plus", "/events/a%2Bb", "a+b"),
        ("decoded once", "/events/a%252Fb", "a%2Fb"),
        ("dots", "/events/..", ".."),
        ("a question mark", "/events/a%3Fchannel=b", "a?channel=b"),
        ("the path, not the query", "/events/a?channel=b", "a"),
        ("braces", "/events/%7Bchannel%7D", "{channel}"),
        ("the longest", &in_path, &longest),
        ("the longest in UTF-8", &long_utf8, &longest_utf8),
        ("in the query", "/events?channel=a", "a"),
        ("a slash in the query", "/events?channel=a/b", "a/b"),
        ("an encoded slash in the query", "/events?channel=a%2Fb", "a/b"),
        ("a plus in the query", "/events?channel=a+b", "a b"),
        ("an encoded plus in the query", "/events?channel=a%2Bb", "a+b"),
        ("an equals sign", "/events?channel=a=b", "a=b"),
        ("an ampersand", "/events?channel=a%26b", "a&b"),
        ("an encoded key", "/events?ch%61nnel=a", "a"),
        ("beside other keys", "/events?Channel=b&channels=c&channel=a&%FF=d", "a"),
        ("the longest in the query", &in_query, &longest),
        ("twice", "/events?channel=a&channel=a", "a"),
    ];
    for (name, uri, expected) in rows {
        let hub = Hub::new();
        let publish = || {
            assert!(hub.channel_stats(&channel(expected)).is_some(), "{name}: parked there");
            assert_eq!(hub.stats().channels, 1, "{name}: and nowhere else");
            assert_eq!(hub.publish(&channel(expected), "x").unwrap().woken, 1, "{name}");
        };
        let answer = parked(&layer(&hub), get(uri), publish).await;
        let got = answer.header("longpoll-channel").unwrap();
        let got = percent_encoding::percent_decode_str(got).decode_utf8().unwrap();
        assert_eq!((answer.status, &*got), (200, expected), "{name}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_cannot_be_is_refused_by_name() {
    let hub = Hub::new();
    let rows = [
        ("NUL", "%00".to_owned()),
        ("NUL within", "a%00b".into()),
        ("a newline", "a%0Ab".into()),
        ("a carriage return", "%0D".into()),
        ("delete", "%7F".into()),
        ("a control of Latin-1", "%C2%85".into()),
        ("not UTF-8", "%FF".into()),
        ("cut off UTF-8", "a%C3".into()),
        ("overlong", "%C0%AF".into()),
        ("a surrogate", "%ED%A0%80".into()),
        ("too long for the hub", "x".repeat(257)),
        ("too long in UTF-8", encoded(&"é".repeat(129))),
        ("too long for any hub", "x".repeat(4_097)),
        ("10 KB", "x".repeat(10_240)),
    ];
    for (name, text) in rows {
        let good_too = format!("/events?channel=a&channel={text}");
        for uri in [format!("/events/{text}"), format!("/events?channel={text}"), good_too] {
            let (took, answer) = timed(ask_at(&layer(&hub), get(&uri))).await;
            assert_eq!(answer.shape(), "400 problem channel", "{name}: {uri}");
            assert_eq!((took, answer.cursor()), (Duration::ZERO, hub.cursor()), "{name}");
        }
    }
    for uri in ["/events", "/events?", "/events?channel=", "/events?channel", "/events?x=y"] {
        let answer = ask_at(&layer(&hub), get(uri)).await;
        assert_eq!(answer.shape(), "400 problem channel", "{uri}");
    }
    assert_eq!((hub.stats().channels, hub.stats().parked), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_poll_has_up_to_64_channels() {
    let hub = Hub::new();
    let uri = |count| {
        let names = (0..count).map(|number| format!("channel=c{number}"));
        format!("/events?{}", names.collect::<Vec<_>>().join("&"))
    };
    for channel in [0, 31, 63] {
        let name = &channels(64)[channel];
        let publish = || assert_eq!(hub.publish(name, "x").unwrap().woken, 1);
        let answer = parked(&layer(&hub), get(&uri(64)), publish).await;
        assert_eq!(answer.header("longpoll-channel"), Some(name.as_str()));
    }
    for count in [65, 66, 1_000] {
        let answer = ask_at(&layer(&hub), get(&uri(count))).await;
        assert_eq!(answer.shape(), "400 problem channel", "{count}");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_named_twice_is_told_once() {
    let hub = Hub::new();
    hub.publish(&channel("a"), "x").unwrap();
    let layer = layer(&hub).reply(Reply::Json);
    let answer = ask_at(&layer, get("/events?channel=a&channel=b&channel=a&cursor=oldest")).await;
    assert_eq!(answer.json()["events"].as_array().unwrap().len(), 1);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_a_poll_goes_on() {
    let hub = Hub::new();
    let paths = ["/", "/events/", "/events/a/", "/events/a/b", "//events/a", "/Events/a", "/event"];
    for path in paths {
        let answer = ask_at(&layer(&hub), get(path)).await;
        assert_eq!((answer.status, answer.text()), (299, &*format!("GET {path}")));
        assert!(answer.headers.is_empty(), "{path}: {:?}", answer.headers);
    }
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "CONNECT"] {
        for uri in ["/events/a", "/events?channel=a", "/events/%00", "/events/a?cursor=x"] {
            let mut request = get(uri);
            *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = ask_at(&layer(&hub), request).await;
            assert_eq!((answer.status, answer.text()), (299, &*format!("{method} {uri}")));
            assert!(answer.headers.is_empty(), "{method} {uri}");
        }
    }
    // Forms of a target that have no path.
    for uri in [Uri::from_static("*"), Uri::from_static("example.com:80")] {
        let mut request = get("/");
        *request.uri_mut() = uri.clone();
        assert_eq!(ask_at(&layer(&hub), request).await.status, 299, "{uri}");
    }
    assert_eq!((hub.stats().refused, hub.stats().parked), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_absolute_form_is_a_poll_too() {
    let hub = Hub::new();
    let answer = ask_at(&layer(&hub), get("http://example.com/events/a?wait=0")).await;
    assert_eq!(answer.shape(), "204 - ");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_poll_with_a_body_is_refused() {
    let hub = Hub::new();
    type Fields = &'static [(&'static str, &'static str)];
    let rows: [(&str, Fields, &str); 8] = [
        ("a length", &[("content-length", "5")], "400 problem body"),
        ("a huge length", &[("content-length", "99999999999999999999")], "400 problem body"),
        ("no number", &[("content-length", "x")], "400 problem body"),
        ("chunked", &[("transfer-encoding", "chunked")], "400 problem body"),
        ("gzip, chunked", &[("transfer-encoding", "gzip, chunked")], "400 problem body"),
        ("two lengths", &[("content-length", "0"), ("content-length", "5")], "400 problem body"),
        ("both", &[("content-length", "0"), ("transfer-encoding", "chunked")], "400 problem body"),
        ("nothing in it", &[("content-length", "0")], "204 - "),
    ];
    for (name, fields, shape) in rows {
        let mut request = Request::get("/events/a?wait=0");
        for (field, value) in fields {
            request = request.header(*field, *value);
        }
        let answer = ask_at(&layer(&hub), request.body("hello".into()).unwrap()).await;
        assert_eq!(answer.shape(), shape, "{name}");
        assert_eq!(answer.cursor(), hub.cursor(), "{name}");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[test]
fn a_pattern_that_is_none_is_refused() {
    let bad = [
        ("empty", ""),
        ("no slash", "events/{channel}"),
        ("not closed", "/events/{channel"),
        ("not opened", "/events/channel}"),
        ("catch-all", "/events/{*rest}"),
        ("catch-all, named", "/{*channel}"),
        ("star", "/events/*"),
        ("prefix", "/events/a{channel}"),
        ("suffix", "/events/{channel}.json"),
        ("two in one", "/events/{a}{channel}"),
        ("none of two", "/{a}/{b}"),
        ("nameless", "/events/{}"),
        ("escaped", "/{{events}}"),
        ("the same name twice", "/{channel}/{channel}"),
    ];
    for (name, pattern) in bad {
        let Err(error) = PathRoute::new(pattern) else { panic!("{name}: {pattern} is refused") };
        assert!(error.to_string().contains(pattern), "{name}: {error}");
        assert!(PathRoute::new("/x").unwrap().or(pattern).is_err(), "{name}");
    }
    let twice = [("/a", "/a"), ("/{a}", "/{channel}"), ("/x/{a}", "/x/{b}")];
    for (first, second) in twice {
        assert!(PathRoute::new(first).unwrap().or(second).is_err(), "{first} {second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pattern_takes_its_channel_from_the_parameter_of_that_name() {
    let rows = [
        ("/events/{channel}", "/events/a"),
        ("/{name}", "/a"),
        ("/{tenant}/events/{channel}", "/x/events/a"),
        ("/{channel}/of/{tenant}", "/a/of/x"),
        ("/", "/?channel=a"),
        ("/deep/er/and/deeper/", "/deep/er/and/deeper/?channel=a"),
    ];
    for (pattern, uri) in rows {
        let hub = Hub::new();
        let layer = LongPollLayer::new(hub.clone(), PathRoute::new(pattern).unwrap());
        let publish = || assert_eq!(hub.publish(&channel("a"), "x").unwrap().woken, 1);
        assert_eq!(parked(&layer, get(uri), publish).await.text(), "x", "{pattern}");
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_closure_decides_what_is_a_poll() {
    let hub = Hub::new();
    let route = |parts: &Parts| match parts.uri.path() {
        "/one" => Routed::Poll(channel("a")),
        "/any" => Routed::PollAny(vec![channel("a"), channel("b")]),
        "/none" => Routed::PollAny(Vec::new()),
        "/login" => Routed::Refuse(
            Response::builder().status(401).header("x", "y").body("who?".into()).unwrap(),
        ),
        "/odd" => Routed::Invalid(Invalid::new("mood", "a \"bad\"\n\\mood\0\u{85}")),
        _ => Routed::Pass,
    };
    let layer = LongPollLayer::new(hub.clone(), route).jitter(0);
    let rows = [
        ("/one?wait=2", "204 - ", 2),
        ("/any?wait=3", "204 - ", 3),
        ("/none", "400 problem channel", 0),
        ("/odd", "400 problem mood", 0),
        ("/odd?cursor=x", "400 problem mood", 0),
        ("/login", "401 - who?", 0),
        ("/login?cursor=x&wait=x", "401 - who?", 0),
        ("/else", "299 - GET /else", 0),
    ];
    for (uri, shape, seconds) in rows {
        let (took, answer) = timed(ask_at(&layer, get(uri))).await;
        assert_eq!((answer.shape().as_str(), took), (shape, SECOND * seconds), "{uri}");
        let is_ours = answer.headers.contains_key("cache-control");
        assert_eq!(is_ours, !matches!(answer.status, 299 | 401), "{uri}");
        let fields = if answer.status == 401 { 1 } else { answer.headers.len() };
        assert_eq!(answer.headers.len(), fields, "{uri}: the response as it is");
    }
    // A closure may take other methods, too.
    let mut request = get("/one?wait=1");
    *request.method_mut() = Method::POST;
    assert_eq!(ask_at(&layer, request).await.shape(), "204 - ");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_service_answers_polls_and_nothing_else() {
    let hub = Hub::new();
    let mut service = LongPollService::from(layer(&hub));
    let rows = [
        ("GET", "/events/c?wait=0", "204 - ", None),
        ("GET", "/events/c?wait=x", "400 problem wait", None),
        ("GET", "/else", "404 - ", None),
        ("GET", "/events/", "404 - ", None),
        ("POST", "/else", "404 - ", None),
        ("POST", "/events/c", "405 - ", Some("GET")),
        ("HEAD", "/events/c", "405 - ", Some("GET")),
        ("DELETE", "/events?channel=c", "405 - ", Some("GET")),
        ("PUT", "/events/%00", "405 - ", Some("GET")),
    ];
    for (method, uri, shape, allow) in rows {
        let mut request = get(uri);
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        let answer = read(service.call(request).await.unwrap()).await;
        assert_eq!(answer.shape(), shape, "{method} {uri}");
        assert_eq!(answer.header("allow"), allow, "{method} {uri}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{method} {uri}");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_service_has_the_settings_of_the_layer() {
    let hub = Hub::new();
    let layer = layer(&hub).hold(SECOND * 4).reply(Reply::Json);
    for service in [layer.clone().into_service(), LongPollService::from(layer)] {
        let (took, response) = timed(service.oneshot(get("/events/c"))).await;
        assert_eq!((took, read(response.unwrap()).await.status), (SECOND * 4, 200));
    }
    let route = PathRoute::new("/{channel}").unwrap();
    let response = LongPollService::new(hub.clone(), route).oneshot(get("/c?wait=0")).await;
    assert_eq!(read(response.unwrap()).await.status, 204);
    assert_eq!(hub.stats().parked, 0);
}
