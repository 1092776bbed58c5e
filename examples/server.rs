//! A ready-made long-poll server. It needs no Rust to use, only to build:
//!
//! ```text
//! cargo run --release --example server -- --listen 127.0.0.1:3000
//! ```
//!
//! It speaks HTTP/1 and HTTP/2 (prior knowledge) on one port. All options: `-- --help`.
//!
//! ```text
//! # Park a poll in one terminal. It waits up to 25 seconds.
//! curl -i http://127.0.0.1:3000/events/demo
//! # Publish in another: the first one has its answer at once.
//! curl -i -H 'content-type: application/json' -d '{"move":"e4"}' http://127.0.0.1:3000/events/demo
//! # Go on from the `cursor` of the last answer, so that nothing in between is missed; `oldest` is
//! # all that is still held. Several channels, and a hold of 5 seconds:
//! curl -i 'http://127.0.0.1:3000/events?channel=demo&channel=chat&cursor=oldest&wait=5'
//! # Forget a channel; look at the counters.
//! curl -i -X DELETE http://127.0.0.1:3000/events/demo
//! curl http://127.0.0.1:3000/stats
//! ```
//!
//! Several servers can follow one log, of NATS or Redis (features `nats`, `redis`): what is published on
//! one is answered on all, and a cursor is good on each.
//!
//! ```text
//! cargo run --release --features nats --example server -- --nats nats://127.0.0.1:4222
//! ```
//!
//! SIGTERM or Ctrl-C: it takes no more connections, answers every parked poll and exits; a second
//! one ends it at once. Whoever reaches the port may publish and delete: it belongs behind a proxy
//! that asks who they are, and hands on whole uploads, since how many are on their way is not limited.

use std::{
    convert::Infallible,
    error::Error,
    io::{self, Write},
    net::{SocketAddr, ToSocketAddrs},
    num::ParseIntError,
    process::{self, ExitCode},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE},
};
use hyper::{
    body::{Body, Incoming},
    server::conn::{http1, http2},
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use mimalloc::MiMalloc;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpSocket, TcpStream},
    runtime::{self, Handle},
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, Service, service_fn};
use tower_longpoll::{
    Channel, Hub, HubBuilder, LongPollLayer, PathRoute, PublishService, Reply,
    http::{LongPoll, ReplyBody, Route, Routed},
};

use self::engine::{EngineOptions, Store};

#[path = "server/engine.rs"]
mod engine;

/// A connection has two buffers of 8 KiB, of which a poll uses some hundred bytes. This allocator
/// begins each with a page, so that its second page is never touched.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// A long-poll server: GET /events/{channel} waits for what POST /events/{channel} publishes.
#[derive(Parser)]
#[command(name = "server")]
struct Options {
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:3000", value_parser = address)]
    listen: SocketAddr,
    /// How long a poll is held that does not say
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    hold: Duration,
    /// The longest hold that a poll can ask for; not less than --hold
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = seconds)]
    max_hold: Duration,
    /// Shorten each hold at random by up to this, so that polls do not end together
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(..=100))]
    jitter: u8,
    /// How many events a channel keeps for those who ask again
    #[arg(long, value_name = "EVENTS", default_value_t = 1_000)]
    history: usize,
    /// How long a channel keeps an event
    #[arg(long, value_name = "SECONDS", default_value = "3600", value_parser = seconds)]
    history_age: Duration,
    /// How events are answered: one as it was published, or all that there are as JSON
    #[arg(long, value_name = "KIND", default_value = "json")]
    reply: ReplyKind,
    /// Threads that do the work; 0 is one for each core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=1_024))]
    threads: u16,
    /// Spread the answers to parked polls over this long before exiting
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds)]
    drain: Duration,

    /// The most polls parked at once
    #[arg(long, value_name = "N", default_value_t = 1_000_000, help_heading = "Limits")]
    max_waits: usize,
    /// The most polls parked at once on one channel
    #[arg(long, value_name = "N", default_value_t = 1_000_000, help_heading = "Limits")]
    max_waits_per_channel: usize,
    /// The most channels with events or parked polls
    #[arg(long, value_name = "N", default_value_t = 1_000_000, help_heading = "Limits")]
    max_channels: usize,
    /// The most channels of one poll
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Limits")]
    max_channels_per_poll: usize,
    /// The longest channel name
    #[arg(long, value_name = "BYTES", default_value_t = 256, help_heading = "Limits")]
    max_name_bytes: usize,
    /// How long a client may take for its first word, and on HTTP/1 for the head of each request,
    /// counted from the last answer; 0 for as long as it likes, behind a proxy that sees to this
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds, help_heading = "Limits")]
    head_timeout: Duration,
    /// The most streams, and so polls, of one HTTP/2 connection: as many as a proxy brings over one, or
    /// few where clients connect themselves, whose answers stay in memory until they are read
    #[arg(long, value_name = "N", default_value_t = 100_000, help_heading = "Limits")]
    max_streams: u32,
    /// The largest event
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, help_heading = "Limits")]
    max_payload: usize,
    /// The most that a channel keeps
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20, help_heading = "Limits")]
    history_bytes: usize,
    /// The most that all channels keep together
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20, help_heading = "Limits")]
    total_history_bytes: usize,

    #[command(flatten)]
    engine: EngineOptions,
}

#[derive(Clone, clap::ValueEnum)]
enum ReplyKind {
    Raw,
    Json,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "the name has no address".into())
}

fn seconds(text: &str) -> Result<Duration, ParseIntError> {
    text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()))
}

impl Options {
    fn settings(&self) -> HubBuilder {
        Hub::builder()
            .hold(self.hold)
            .max_hold(self.max_hold)
            .history_events(self.history)
            .history_age(self.history_age)
            .history_bytes(self.history_bytes)
            .total_history_bytes(self.total_history_bytes)
            .max_waits(self.max_waits)
            .max_waits_per_channel(self.max_waits_per_channel)
            .max_channels(self.max_channels)
            .max_channels_per_wait(self.max_channels_per_poll)
            .max_channel_name_bytes(self.max_name_bytes)
            .max_payload_bytes(self.max_payload)
    }

    fn polls(&self, hub: &Hub, route: PathRoute) -> LongPollLayer<PathRoute> {
        let reply = match self.reply {
            ReplyKind::Raw => Reply::Raw,
            ReplyKind::Json => Reply::Json,
        };
        let polls = LongPollLayer::new(hub.clone(), route);
        polls.reply(reply).max_hold(self.max_hold).jitter(self.jitter)
    }
}

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(help) if !help.use_stderr() => help.exit(),
        Err(error) => {
            // The first paragraph says what is wrong; the rest is advice.
            let text = error.to_string();
            let what: Vec<_> = text.lines().map(str::trim).take_while(|l| !l.is_empty()).collect();
            return fail(what.join(" ").trim_start_matches("error: "));
        }
    };
    run(options).map_or_else(|error| fail(&error.to_string()), |()| ExitCode::SUCCESS)
}

fn fail(what: &str) -> ExitCode {
    eprintln!("error: {what}");
    ExitCode::FAILURE
}

fn run(options: Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    // One thread needs none to share its work with.
    let mut builder = match options.threads {
        1 => runtime::Builder::new_current_thread(),
        _ => runtime::Builder::new_multi_thread(),
    };
    if options.threads > 0 {
        builder.worker_threads(options.threads.into());
    }
    let runtime = builder.enable_all().build()?;
    // A task of its own, so that a worker runs it: the main thread only waits for it.
    let done = runtime.block_on(async { tokio::spawn(serve(options)).await });
    runtime.shutdown_background();
    done?
}

/// Each connection is an open file, and the usual limit is low. HTTP/1 has one poll a connection.
fn raise_open_files(max_waits: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        limit = raised;
    }
    if let Some(files) = limit.current.filter(|&files| files < max_waits as u64) {
        eprintln!(
            "note: the limit of {files} open files (ulimit -n) is lower than the {max_waits} polls \
             of --max-waits"
        );
    }
}

/// How long an HTTP/2 client may say nothing before it is pinged, and to that.
const SILENCE: Duration = Duration::from_secs(30);

async fn serve(options: Options) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut stops = Stops::new()?;
    // Nobody comes before it is ready, which a log can take for ever for.
    let store = tokio::select! {
        store = Store::open(options.settings(), &options.engine) => store?,
        _ = stops.next() => return Ok(()),
    };
    let hub = store.hub.clone();
    let listener = listen(options.listen).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", options.listen))
    })?;
    raise_open_files(options.max_waits);
    announce(listener.local_addr()?);

    let channels = PathRoute::new("/events/{channel}").expect("a pattern");
    let polls = options.polls(&hub, channels.clone().or("/events").expect("another pattern"));
    let site = Arc::new(Site::new(store, channels));
    // Boxed: else a parked poll would have the size of what it might have been.
    let rest = service_fn(move |request| Box::pin(Arc::clone(&site).answer(request)));
    let service = Arc::new(polls.layer(rest));
    // Called at once: hyper-util's adapter would keep the request until hyper reads again, which
    // then takes a second buffer of 8 KiB. Nothing here has to be asked whether it is ready.
    let service =
        hyper::service::service_fn(move |request| LongPoll::clone(&service).call(request));
    let head_timeout = Some(options.head_timeout).filter(|limit| !limit.is_zero());
    let http = http(head_timeout, options.max_streams);
    let connections = GracefulShutdown::new();
    // Closed with the listener: who has not said a word by then has nothing to lose.
    let (opened, open) = watch::channel(());
    let mut told = false;
    loop {
        let client = tokio::select! {
            client = accept(&listener, &mut told) => client,
            _ = stops.next() => break,
        };
        let (http, service) = (http.clone(), service.clone());
        let (watcher, mut open) = (connections.watcher(), open.clone());
        let first_word = head_timeout.unwrap_or(Duration::MAX);
        tokio::spawn(async move {
            let is_http2 = tokio::select! {
                biased;
                is_http2 = timeout(first_word, is_http2(&client)) => is_http2,
                _ = open.changed() => return,
            };
            let Ok(Ok(is_http2)) = is_http2 else { return };
            let client = TokioIo::new(client);
            // A task keeps the room that it needs at most: a connection has one of its own. An error
            // ends this one connection: the client left, or does not speak HTTP.
            if is_http2 {
                tokio::spawn(watcher.watch(http.http2.serve_connection(client, service)));
            } else {
                tokio::spawn(watcher.watch(http.http1.serve_connection(client, service)));
            }
        });
    }

    drop((listener, opened));
    hub.drain(options.drain);
    tokio::select! {
        () = finish(connections, &hub, options.drain) => Ok(()),
        // 128 and the signal's number, as shells count it.
        signal = stops.next() => process::exit(128 + signal.as_raw_value()),
    }
}

/// Whether a client begins as HTTP/2 does (RFC 9113, section 3.4). Nothing is read: a connection of
/// hyper-util, which finds out by itself, takes half as much memory again, and has no limit on the
/// time.
async fn is_http2(client: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let (mut start, mut pause) = ([0; PREFACE.len()], Duration::from_millis(10));
    loop {
        let length = client.peek(&mut start).await?;
        let said = start.get(..length).unwrap_or_default();
        if said.is_empty() || said == PREFACE || !PREFACE.starts_with(said) {
            return Ok(said == PREFACE);
        }
        if client.ready(Interest::READABLE).await?.is_read_closed() {
            return Ok(false);
        }
        // A client that hesitates: to peek again would show the same at once.
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// How connections are served.
#[derive(Clone)]
struct Http {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

fn http(head_timeout: Option<Duration>, max_streams: u32) -> Http {
    let mut http1 = http1::Builder::new();
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    // This does not run while a poll is parked.
    http1.timer(TokioTimer::new()).header_read_timeout(head_timeout);
    // A peer that is gone without a word is found by pings, since its polls say nothing.
    http2
        .max_concurrent_streams(max_streams)
        .timer(TokioTimer::new())
        .keep_alive_interval(SILENCE)
        .keep_alive_timeout(SILENCE);
    Http { http1, http2 }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart must not wait for the old connections' last packets.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // Clients that were let go together come back together.
    socket.listen(4_096)
}

fn announce(address: SocketAddr) {
    let url = format!("http://{address}");
    // Whoever started this may not care to read it.
    let _ = writeln!(
        io::stdout(),
        "listening on {url}\n\
         curl -i {url}/events/demo\n\
         curl -i -H 'content-type: application/json' -d '{{\"move\":\"e4\"}}' {url}/events/demo\n\
         curl {url}/stats"
    );
}

/// The next client, however long that takes.
async fn accept(listener: &TcpListener, told: &mut bool) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // Answers are small and waited for. Without it they are late, but right.
                let _ = client.set_nodelay(true);
                return client;
            }
            Err(error) => {
                if !std::mem::replace(told, true) {
                    eprintln!("cannot accept a connection, trying on: {error}");
                }
                // Out of open files, most likely: this takes until some client leaves.
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The signals that ask to stop.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.terminate.recv() => SignalKind::terminate(),
            _ = self.interrupt.recv() => SignalKind::interrupt(),
        }
    }
}

/// Lets the connections end, once the hub lets their polls go.
async fn finish(connections: GracefulShutdown, hub: &Hub, spread: Duration) {
    // Until then connections stay usable: a client that polls again is told when to come back. It
    // is over early if there is nobody left to tell, and late if a busy machine takes long.
    let spread_over = Instant::now() + spread;
    let is_early = || Instant::now() < spread_over || hub.stats().parked > 0;
    while is_early() && connections.count() > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    // Answers that are on their way arrive; a client that stalls does not keep the server.
    let _ = timeout(Duration::from_millis(1_500), connections.shutdown()).await;
}

/// What the server answers besides polls.
struct Site {
    store: Store,
    channels: PathRoute,
    publish: PublishService,
    started: Instant,
}

impl Site {
    fn new(store: Store, channels: PathRoute) -> Self {
        let publish = PublishService::new(store.hub.clone(), channels.clone());
        Self { store, channels, publish, started: Instant::now() }
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<ReplyBody>, Infallible> {
        Ok(match (request.uri().path(), request.method()) {
            ("/stats", &Method::GET) => self.stats(),
            ("/stats", &Method::HEAD) => without_body(self.stats()),
            ("/stats", _) => not_allowed("GET, HEAD"),
            ("/events", _) => not_allowed("GET"),
            (_, &Method::POST) => self.publish.clone().call(request).await?,
            _ => {
                let mut parts = request.into_parts().0;
                // The route only knows polls: what would this be, were it one?
                let method = std::mem::replace(&mut parts.method, Method::GET);
                match (self.channels.route(&parts), method) {
                    (Routed::Pass, _) => empty(StatusCode::NOT_FOUND),
                    (Routed::Poll(channel), Method::DELETE) => self.delete(&channel).await,
                    (_, Method::DELETE) => empty(StatusCode::NOT_FOUND),
                    _ => not_allowed("GET, POST, DELETE"),
                }
            }
        })
    }

    async fn delete(&self, channel: &Channel) -> Response<ReplyBody> {
        match self.store.delete(channel).await {
            Ok(true) => empty(StatusCode::NO_CONTENT),
            Ok(false) => empty(StatusCode::NOT_FOUND),
            // It is not known whether the log has it.
            Err(_) => empty(StatusCode::SERVICE_UNAVAILABLE),
        }
    }

    #[allow(clippy::indexing_slicing, reason = "of JSON, which makes room")]
    fn stats(&self) -> Response<ReplyBody> {
        let mut stats = serde_json::json!(self.store.hub.stats());
        stats["uptime_seconds"] = self.started.elapsed().as_secs().into();
        stats["worker_threads"] = Handle::current().metrics().num_workers().into();
        stats["draining"] = (!self.store.hub.is_open()).into();
        if let Some(trouble) = self.store.trouble() {
            stats["trouble"] = trouble.into();
        }
        let mut response = Response::new(Bytes::from(format!("{stats}\n")).into());
        set(&mut response, CONTENT_TYPE, "application/json");
        set(&mut response, CACHE_CONTROL, "no-store");
        response
    }
}

/// The answer to a `HEAD`, which says what a `GET` would be answered. On HTTP/2 hyper sees to nothing.
fn without_body(mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    if let Some(length) = std::mem::take(response.body_mut()).size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    response
}

fn empty(status: StatusCode) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::default());
    *response.status_mut() = status;
    response
}

fn not_allowed(allowed: &'static str) -> Response<ReplyBody> {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    set(&mut response, ALLOW, allowed);
    response
}

fn set(response: &mut Response<ReplyBody>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}
