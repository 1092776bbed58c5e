//! Responses that are not held, or not as gRPC: they go out as they are.

use futures_util::{StreamExt, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use tower::{ServiceExt, service_fn};

use super::*;

type Frames = Vec<Result<Frame<Bytes>, Status>>;

fn data(bytes: impl Into<Bytes>) -> Result<Frame<Bytes>, Status> {
    Ok(Frame::data(bytes.into()))
}

fn ok() -> Result<Frame<Bytes>, Status> {
    let status = ("grpc-status".parse().unwrap(), "0".parse().unwrap());
    Ok(Frame::trailers(HeaderMap::from_iter([status])))
}

/// A response of these frames, which wants to be held.
fn response(
    fields: &[(&'static str, &'static str)],
    frames: impl futures_util::Stream<Item = Result<Frame<Bytes>, Status>> + Send + 'static,
) -> http::Response<Body> {
    let mut response = http::Response::builder();
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let response = response.extension(Hold::new([channel("a")]));
    response.body(Body::new(StreamBody::new(frames))).unwrap()
}

const GRPC: [(&str, &str); 1] = [("content-type", "application/grpc")];

/// What the layer makes of a response, as a future.
fn passed(hub: &Hub, own: http::Response<Body>) -> task::Spawn<impl Future<Output = Passed>> {
    let mut own = Some(own);
    let handler = service_fn(move |_: Request<Body>| {
        let own = own.take().unwrap();
        async move { Ok::<_, Infallible>(own) }
    });
    task::spawn(layer(hub).layer(handler).oneshot(bare(&[])))
}

type Passed = Result<http::Response<tower_longpoll::http::ResponseBody<Body>>, Infallible>;

#[tokio::test(start_paused = true)]
async fn an_error_of_the_method_goes_out_at_once_and_untouched() {
    let hub = Hub::new();
    let api = Api::new(|_| async {
        let mut metadata = MetadataMap::new();
        metadata.insert("x-why", "because".parse().unwrap());
        Err(Status::with_details_and_metadata(
            Code::PermissionDenied,
            "not you: 100 %",
            Bytes::from_static(b"details"),
            metadata,
        ))
    });
    let status = assert_ready!(call(&layer(&hub), &api, ask("")).poll()).unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not you: 100 %"));
    assert_eq!(status.details(), b"details");
    assert_eq!(status.metadata().get("x-why").unwrap(), "because");
    assert!(status.metadata().get("longpoll-cursor").is_none());
    assert_eq!(hub.stats().parked, 0);
}

/// A status in the head is the end of a response: no message can come after it.
#[tokio::test(start_paused = true)]
async fn a_status_in_the_head_is_never_mixed_with_an_event() {
    let hub = Hub::new();
    let fields = [GRPC[0], ("grpc-status", "7"), ("grpc-message", "not you")];
    let mut held = passed(&hub, response(&fields, stream::empty()));
    let response = match held.poll() {
        Poll::Ready(response) => response.unwrap(),
        Poll::Pending => {
            hub.publish(&channel("a"), news("hello")).unwrap();
            assert_ready!(held.poll()).unwrap()
        }
    };
    let read = read(response).await;
    match &read.data[..] {
        [] => assert_eq!(read.headers["grpc-message"], "not you"),
        _ => {
            assert!(!read.headers.contains_key("grpc-status"), "{read:?}");
            assert!(!read.headers.contains_key("grpc-message"), "{read:?}");
        }
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_held_and_is_complete() {
    // Each is a part that is there, and one that comes later.
    let large = || data(vec![1; 64 * 1024 + 1]);
    let small = || data(vec![2; 100]);
    let rows: [(&str, Frames, Frames); 5] = [
        ("nothing yet", vec![], vec![small(), ok()]),
        ("a message, and more to come", vec![small()], vec![small(), ok()]),
        ("large, at once", vec![large()], vec![ok()]),
        ("large, in parts", vec![data(vec![3; 64 * 1024]), data("4")], vec![small(), ok()]),
        ("all but the status", vec![small()], vec![ok()]),
    ];
    for (name, now, later) in rows {
        let hub = Hub::new();
        let expected: Vec<u8> = now.iter().chain(&later).fold(Vec::new(), |mut all, frame| {
            all.extend(frame.as_ref().unwrap().data_ref().into_iter().flatten());
            all
        });
        let mut gate = Some(tokio::time::sleep(SECOND * 30));
        let later = stream::once(async move {
            gate.take().unwrap().await;
            stream::iter(later)
        });
        let body = stream::iter(now).chain(later.flatten());
        let mut sent = passed(&hub, response(&GRPC, body));
        let response = assert_ready!(sent.poll(), "{}", name).unwrap();
        assert_eq!(hub.stats().parked, 0, "{name}");
        assert!(response.extensions().get::<Hold>().is_none(), "{name}");
        assert!(!response.headers().contains_key("longpoll-cursor"), "{name}");
        assert!(!response.body().is_end_stream(), "{name}");
        let read = read(response).await;
        assert!(read.data == expected, "{name}");
        assert_eq!(read.trailers.unwrap()["grpc-status"], "0", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_fails_after_what_came_of_it() {
    let hub = Hub::new();
    let frames = vec![data("some"), Err(Status::data_loss("the rest"))];
    let mut sent = passed(&hub, response(&GRPC, stream::iter(frames)));
    let response = assert_ready!(sent.poll(), "not held").unwrap();
    let mut body = Box::pin(response.into_body());
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "some");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_is_held_up_to_a_size_and_larger_ones_are_complete() {
    // Its prefix has five bytes, and the text's tag and length have four.
    for (over, is_held) in [(0, true), (1, false), (1 << 20, false)] {
        let hub = Hub::new();
        let text = "x".repeat(64 * 1024 - 9 + over);
        let own = text.clone();
        let api = Api::new(move |_| {
            let mut response = nothing(Hold::new([channel("a")]));
            response.get_mut().text = own.clone();
            async move { Ok(response) }
        });
        let mut call = call(&layer(&hub), &api, ask(""));
        assert_eq!(call.poll().is_pending(), is_held, "{over}");
        assert_eq!(hub.stats().parked, usize::from(is_held), "{over}");
        if is_held {
            let response = call.await.unwrap();
            assert!(response.get_ref().text == text);
            assert_eq!(cursor(response.metadata()), hub.cursor());
        }
        assert_eq!(hub.stats().parked, 0);
    }
    let hub = Hub::new();
    let text = "x".repeat(1 << 20);
    let own = text.clone();
    let api = Api::new(move |_| {
        let mut response = nothing(Hold::new([channel("a")]));
        response.get_mut().text = own.clone();
        async move { Ok(response) }
    });
    let response = assert_ready!(call(&layer(&hub), &api, ask("")).poll()).unwrap();
    assert!(response.get_ref().text == text, "complete");
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_grpc_shows_in_the_content_type() {
    let rows = [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;charset=utf-8", true),
        ("application/grpc+proto;charset=utf-8", true),
        ("application/grpc-web", false),
        ("application/grpc-web+proto", false),
        ("application/grpc-web-text", false),
        ("application/grpcx", false),
        ("application/gr", false),
        ("text/plain", false),
    ];
    for (content_type, is_grpc) in rows {
        let hub = Hub::new();
        // Of unknown length, but short: only gRPC's are read to see that.
        let own =
            response(&[("content-type", content_type)], stream::iter(vec![data("own"), ok()]));
        let mut sent = passed(&hub, own);
        assert_eq!(sent.poll().is_pending(), is_grpc, "{content_type}");
        drop(sent);
        // Of known length: held, and answered in its own way.
        let mut own = http::Response::new(Body::new(Full::from("own")));
        own.headers_mut().insert("content-type", content_type.parse().unwrap());
        own.extensions_mut().insert(Hold::new([channel("a")]));
        let mut held = passed(&hub, own);
        assert_pending!(held.poll(), "{}", content_type);
        hub.publish(&channel("a"), Event::text("hello")).unwrap();
        let read = read(assert_ready!(held.poll()).unwrap()).await;
        assert_eq!(read.trailers.is_some(), is_grpc, "{content_type}");
        let expected: &[u8] = if is_grpc { b"\0\0\0\0\x05hello" } else { b"hello" };
        assert_eq!(read.data, expected, "{content_type}");
        assert_eq!(hub.stats().parked, 0);
    }
}

/// The subtype says how messages are encoded: a client that is told another cannot decode them.
#[tokio::test(start_paused = true)]
async fn a_reply_is_of_the_methods_own_content_type() {
    for content_type in ["application/grpc", "application/grpc+proto", "application/grpc+json"] {
        let hub = Hub::new();
        let own =
            response(&[("content-type", content_type)], stream::iter(vec![data("own"), ok()]));
        let mut held = passed(&hub, own);
        assert_pending!(held.poll());
        hub.publish(&channel("a"), "{}").unwrap();
        let response = assert_ready!(held.poll()).unwrap();
        assert_eq!(response.headers()["content-type"], content_type);
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_without_a_wish_is_untouched_grpc_or_not() {
    let hub = Hub::new();
    let api = Api::new(|_| async { Ok(tonic::Response::new(News { text: "hello".into() })) });
    let mut request = ask("");
    request.set_timeout(SECOND);
    let response = assert_ready!(call(&layer(&hub), &api, request).poll()).unwrap();
    assert_eq!(response.get_ref().text, "hello");
    assert!(response.metadata().get("longpoll-cursor").is_none());
    assert_eq!(hub.stats().parked, 0);
}
