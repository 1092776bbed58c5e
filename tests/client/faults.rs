//! Exactly once and in order, over a network that breaks at every point of a request.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Service, ServiceExt, service_fn};
use tower_longpoll::{
    Event, Hub, LongPollLayer, LongPollService, PathRoute, Reply,
    client::{Backoff, EventStream},
};

use super::{
    script::{Broken, Chunk, Chunks},
    *,
};

/// Where a request breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Nowhere,
    BeforeItIsSent,
    AfterItWasAnswered,
    /// With an error, or in silence, or as if it were the end.
    InTheBody,
    HalfDead,
    TooShort,
    Busy,
}

const BREAKS: [Break; 7] = [
    Break::Nowhere,
    Break::BeforeItIsSent,
    Break::AfterItWasAnswered,
    Break::InTheBody,
    Break::HalfDead,
    Break::TooShort,
    Break::Busy,
];

/// What a network makes of an answer.
async fn broken<B>(how: Break, at: usize, answer: Response<B>) -> Result<Response<Chunks>, Broken>
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (mut head, body) = answer.into_parts();
    let mut body = body.collect().await.unwrap().to_bytes();
    head.headers.insert("content-length", body.len().into());
    let (is_empty, rest) = (body.is_empty(), body.split_off(at % (body.len() + 1)));
    let end = match how {
        Break::AfterItWasAnswered => return Err(Broken),
        Break::TooShort if !rest.is_empty() => None,
        Break::InTheBody => Some(Chunk::Error),
        Break::HalfDead => Some(Chunk::Silence),
        _ => Some(Chunk::Data(rest)),
    };
    let chunks = (!is_empty).then_some(Chunk::Data(body)).into_iter().chain(end);
    Ok(Response::from_parts(head, Chunks(chunks.collect())))
}

type Choose = Arc<dyn Fn() -> (Break, usize) + Send + Sync>;

fn network(
    service: LongPollService<PathRoute>,
    choose: Choose,
) -> impl Service<
    Request<String>,
    Response = Response<Chunks>,
    Error = Broken,
    Future = impl Future<Output = Result<Response<Chunks>, Broken>>,
> {
    service_fn(move |request: Request<String>| {
        let (service, (how, at)) = (service.clone(), choose());
        Box::pin(async move {
            match how {
                Break::BeforeItIsSent => Err(Broken),
                Break::Busy => {
                    let busy = Response::builder().status(503).header("retry-after", "1");
                    Ok(busy.body(Chunks::default()).unwrap())
                }
                _ => broken(how, at, service.oneshot(request).await.unwrap()).await,
            }
        })
    })
}

fn service(hub: &Hub, reply: Reply) -> LongPollService<PathRoute> {
    let layer = LongPollLayer::new(hub.clone(), PathRoute::new("/events").unwrap()).reply(reply);
    layer.into_service()
}

fn asked() -> Subscription {
    subscription("/events").channel("c0").channel("c1").backoff(Backoff::default().start(MS))
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_twice_wherever_a_request_breaks() {
    for reply in [Reply::Raw, Reply::Json] {
        for how in BREAKS {
            for at in [0, 1, 30, 60] {
                let (hub, c) = (Hub::new(), channels(2));
                let start = hub.cursor();
                let calls = std::sync::atomic::AtomicUsize::new(0);
                // Every second request breaks.
                let choose: Choose = Arc::new(move || {
                    let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    (if call % 2 == 0 { how } else { Break::Nowhere }, at)
                });
                let mut stream = asked().since(start).over(network(service(&hub, reply), choose));
                for number in 0..6 {
                    publish(&hub, &c[number % 2], number.to_string());
                    if number % 3 == 2 {
                        for expected in number - 2..=number {
                            let event = event(stream.next().await);
                            assert_eq!(
                                text(&event),
                                expected.to_string(),
                                "{reply:?} {how:?} {at}"
                            );
                        }
                    }
                }
                drop(stream);
                assert_eq!(hub.stats().parked, 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_or_twice_in_any_mixture_of_faults_and_restarts_of_the_client() {
    let mut faults = 0;
    for seed in 0..60 {
        let reply = [Reply::Raw, Reply::Json][seed as usize % 2];
        let (hub, c) = (Hub::builder().max_batch_events(4).build().unwrap(), channels(2));
        let random = Arc::new(std::sync::Mutex::new(Random::new(seed)));
        let dice = Arc::clone(&random);
        let choose: Choose = Arc::new(move || {
            let mut dice = dice.lock().unwrap();
            (BREAKS[dice.below(BREAKS.len())], dice.below(200))
        });
        let publisher = tokio::spawn({
            let (hub, random) = (hub.clone(), Arc::clone(&random));
            async move {
                for number in 0..100 {
                    let (place, pause) = {
                        let mut random = random.lock().unwrap();
                        (random.below(2), [0, 0, 0, 5, 1_000, 40_000][random.below(6)])
                    };
                    publish(&hub, &c[place], Event::json(&number).unwrap());
                    tokio::time::sleep(pause as u32 * MS).await;
                }
            }
        });
        let mut cursor = hub.cursor().to_string();
        let mut seen = 0;
        while seen < 100 {
            let polls = network(service(&hub, reply), Arc::clone(&choose));
            let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            let counter = Arc::clone(&count);
            let mut stream: EventStream<_, _, _> = asked()
                .since(&cursor)
                .on_failure(move |_, _| {
                    counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                })
                .over(polls);
            let until = (seen + 1 + random.lock().unwrap().below(12)).min(100);
            while seen < until {
                let event = event(stream.next().await);
                assert_eq!(event.json::<usize>().unwrap(), seen, "{reply:?}, seed {seed}");
                assert!(stream.cursor().is_some());
                seen += 1;
            }
            // Kept by the consumer, whose process then ends.
            cursor = stream.cursor().unwrap().to_owned();
            faults += count.load(std::sync::atomic::Ordering::Relaxed);
        }
        publisher.await.unwrap();
        assert_eq!(hub.stats().parked, 0);
    }
    assert!(faults > 1_000, "{faults}");
}

#[tokio::test(start_paused = true)]
async fn from_its_first_answer_on_a_stream_misses_nothing() {
    let (hub, c) = (Hub::new(), channels(2));
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let choose: Choose = Arc::new(move || {
        // The second is parked, and then its connection breaks.
        let call = calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        ([Break::Nowhere, Break::AfterItWasAnswered, Break::Nowhere][call.min(2)], 0)
    });
    let mut stream =
        tokio_test::task::spawn(asked().over(network(service(&hub, Reply::Raw), choose)));
    tokio_test::assert_pending!(stream.poll_next());
    assert!(stream.cursor().is_some(), "the first poll is not held");
    publish(&hub, &c[0], "one");
    assert_eq!(text(&event(stream.next().await)), "one");
}
