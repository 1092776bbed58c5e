//! Hubs that follow a stream of NATS JetStream, with a real server and in real time.
//!
//! Nothing here waits for a time that should be enough: it waits for what should happen, and fails
//! when that does not for very long.
#![cfg(all(feature = "nats", not(loom)))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_nats::{
    Client as Connection,
    jetstream::{self, stream::Config},
};
use tower_longpoll::{
    Cursor, Hub, HubBuilder, Since,
    backplane::{
        AppendError, Backplane, Change, Driver, EntryId, JoinError, Opened, Portion, Position,
        Reader, Retention,
        nats::{Nats, NatsError, NatsReader},
    },
};

use self::{
    link::Link,
    server::{LIMIT, Server, is_installed},
    suite::{Client, Engine, channel},
};

#[path = "nats/link.rs"]
mod link;
#[path = "nats/server.rs"]
mod server;
#[path = "backplane/suite.rs"]
mod suite;

impl Engine for Server {
    type Driver = Nats;

    async fn driver(&self, log: &str) -> Nats {
        driver(&self.url(), log)
    }
}

/// One that notices soon what is wrong.
fn driver(url: &str, stream: &str) -> Nats {
    Nats::new(url, stream).answer_within(Duration::from_secs(2)).silence(Duration::from_secs(1))
}

async fn node(url: &str) -> Backplane {
    node_with(Hub::builder(), url).await
}

async fn node_with(settings: HubBuilder, url: &str) -> Backplane {
    let node = Backplane::join(settings, driver(url, "LOG")).await.unwrap();
    within(node.ready()).await;
    node
}

#[track_caller]
fn within<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let done = tokio::time::timeout(LIMIT, future).await;
        done.unwrap_or_else(|_| panic!("it takes too long: {caller}"))
    }
}

/// Waits until something is so.
async fn until(is_so: impl Fn() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Publishes, and tries again with the same id until that is known to be stored.
async fn publish(node: &Backplane, name: &str, text: impl Into<String>) -> Cursor {
    let (id, change) = (EntryId::random(), Change::Publish(channel(name), text.into().into()));
    within(async {
        loop {
            match node.publisher().append(id.clone(), change.clone()).await {
                Ok(cursor) => return cursor,
                Err(AppendError::Unknown { .. }) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// Everything that a client is told from here on, and how often it was told of a gap.
async fn told(hub: &Hub, since: impl Into<Since>, names: &[&str]) -> (Vec<String>, usize) {
    let mut client = Client::new(since, names);
    while client.poll(hub, Duration::ZERO).await {}
    (client.texts().into_iter().map(Into::into).collect(), client.gaps)
}

fn texts(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}

async fn stream(server: &Server) -> (Connection, jetstream::stream::Stream) {
    let client = async_nats::connect(server.url()).await.unwrap();
    let stream = jetstream::new(client.clone()).get_stream("LOG").await.unwrap();
    (client, stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_keeps_what_every_log_has_to() {
    if is_installed() {
        let server = Server::start();
        tokio::time::timeout(2 * LIMIT, suite::all(&server)).await.expect("it takes too long");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_loses_and_doubles_nothing() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start();
    let nodes = [node(&server.url()).await, node(&server.url()).await];
    let start = nodes[0].hub().cursor();
    let (count, restarts) = (300, HashSet::from([100, 200]));
    let listen = |node: &Backplane| {
        let hub = node.hub().clone();
        tokio::spawn(async move {
            let mut client = Client::new(start, &["a"]);
            client.hear(&hub, count).await;
            client
        })
    };
    let listeners = [listen(&nodes[0]), listen(&nodes[1])];
    for number in 0..count {
        if restarts.contains(&number) {
            server.kill();
            // On its way while there is no server.
            let publisher = nodes[1].clone();
            let text = number.to_string();
            let publishing = tokio::spawn(async move { publish(&publisher, "a", text).await });
            server.start_again();
            publishing.await.unwrap();
        } else {
            publish(&nodes[number % 2], "a", number.to_string()).await;
        }
    }
    for listener in listeners {
        let client = within(listener).await.unwrap();
        assert_eq!(
            (client.texts(), client.gaps),
            (texts(0..count).iter().map(|text| &**text).collect(), 0)
        );
    }
    for node in &nodes {
        assert_eq!(told(node.hub(), start, &["a"]).await, (texts(0..count), 0));
        assert_eq!(node.status().error, None);
    }
}

#[tokio::test]
async fn a_server_that_stands_still_is_noticed_and_goes_on() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let nodes = [node(&server.url()).await, node(&server.url()).await];
    let start = nodes[0].hub().cursor();
    publish(&nodes[0], "a", "before").await;
    server.stop();
    let id = EntryId::random();
    let change = Change::Publish(channel("a"), "while".into());
    let error = nodes[0].publisher().append(id.clone(), change.clone()).await.unwrap_err();
    assert!(error.to_string().contains("within 2s"), "{error}");
    for node in &nodes {
        until(|| node.status().error.is_some()).await;
    }
    server.go_on();
    let stored = within(async {
        loop {
            if let Ok(cursor) = nodes[1].publisher().append(id.clone(), change.clone()).await {
                break cursor;
            }
        }
    });
    let stored = stored.await;
    let after = publish(&nodes[1], "a", "after").await;
    for node in &nodes {
        until(|| node.hub().cursor() == after && node.status().error.is_none()).await;
        let all = ["before", "while", "after"].map(String::from).to_vec();
        assert_eq!(told(node.hub(), start, &["a"]).await, (all, 0));
        assert_eq!(told(node.hub(), stored, &["a"]).await, (vec!["after".to_owned()], 0));
    }
}

#[tokio::test]
async fn a_server_without_its_data_makes_every_cursor_a_gap() {
    if !is_installed() {
        return;
    }
    let mut server = Server::start();
    let nodes = [node(&server.url()).await, node(&server.url()).await];
    let mut cursors = vec![nodes[0].hub().cursor()];
    for number in 0..3 {
        cursors.push(publish(&nodes[0], "a", number.to_string()).await);
    }
    server.kill();
    server.lose_data();
    server.start_again();
    // Perhaps of either node, but never with the old epoch.
    let new = publish(&nodes[1], "a", "new").await;
    for node in &nodes {
        until(|| node.hub().cursor() == new).await;
        for &cursor in &cursors {
            assert_eq!(told(node.hub(), cursor, &["a"]).await, (vec!["new".to_owned()], 1));
        }
        assert_eq!(told(node.hub(), Since::Oldest, &["a"]).await, (vec!["new".to_owned()], 0));
        assert_eq!(told(node.hub(), new, &["a"]).await, (vec![], 0));
    }
}

#[tokio::test]
async fn an_entry_for_a_stream_is_not_stored_by_the_next_of_its_name() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    // It does not hear that the stream is gone for as long as the test takes.
    let deaf = driver(&server.url(), "LOG").silence(Duration::from_secs(3_600));
    let deaf = Backplane::join(Hub::builder(), deaf).await.unwrap();
    let old = publish(&deaf, "a", "old").await;
    until(|| deaf.hub().cursor() == old).await;
    let (client, _) = stream(&server).await;
    jetstream::new(client.clone()).delete_stream("LOG").await.unwrap();
    let other = node(&server.url()).await;
    for text in ["new", "newer"] {
        publish(&other, "a", text).await;
    }
    let error = deaf.publisher().publish(&channel("a"), "lost").await.unwrap_err();
    assert!(error.to_string().contains("no stream takes the entry"), "{error}");
    // That made it look.
    let last = publish(&deaf, "a", "last").await;
    for node in [&deaf, &other] {
        until(|| node.hub().cursor() == last).await;
        let new = ["new", "newer", "last"].map(String::from).to_vec();
        assert_eq!(told(node.hub(), old, &["a"]).await, (new, 1));
    }
}

#[tokio::test]
async fn what_was_purged_meanwhile_is_a_gap_for_exactly_who_is_behind() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let link = Link::to(server.address()).await;
    let (slow, quick) = (node(&link.url()).await, node(&server.url()).await);
    let mut cursors = vec![publish(&quick, "a", "1").await];
    until(|| slow.hub().cursor() == cursors[0]).await;
    link.set_cut(true);
    until(|| slow.status().error.is_some()).await;
    for number in 2..=6 {
        cursors.push(publish(&quick, "a", number.to_string()).await);
    }
    let (_client, stream) = stream(&server).await;
    stream.purge().sequence(5).await.unwrap();
    link.set_cut(false);
    until(|| slow.hub().cursor() == cursors[5]).await;
    for (place, &cursor) in cursors.iter().enumerate() {
        let expected = match place {
            0..=2 => (texts(5..=6), 1),
            3 => (texts(5..=6), 0),
            4 => (texts(6..=6), 0),
            _ => (vec![], 0),
        };
        assert_eq!(told(slow.hub(), cursor, &["a"]).await, expected, "{place}");
    }
}

#[tokio::test]
async fn what_was_pushed_out_of_one_channel_is_no_gap_for_another() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let link = Link::to(server.address()).await;
    let settings = || Hub::builder().history_events(5);
    let slow = node_with(settings(), &link.url()).await;
    let quick = node_with(settings(), &server.url()).await;
    let first = publish(&quick, "quiet", "0").await;
    let seen = publish(&quick, "a", "1").await;
    until(|| slow.hub().cursor() == seen).await;
    link.set_cut(true);
    until(|| slow.status().error.is_some()).await;
    for number in 2..=20 {
        publish(&quick, "a", number.to_string()).await;
    }
    // These do not push events out.
    for _ in 0..10 {
        quick.publisher().touch(&channel("a")).await.unwrap();
    }
    let last = publish(&quick, "quiet", "1").await;
    link.set_cut(false);
    let late = node_with(settings(), &server.url()).await;
    for node in [&slow, &quick, &late] {
        until(|| node.hub().cursor() == last).await;
        assert_eq!(told(node.hub(), seen, &["a"]).await, (texts(16..=20), 1));
        assert_eq!(told(node.hub(), seen, &["quiet"]).await, (texts(1..=1), 0));
        assert_eq!(told(node.hub(), first, &["quiet"]).await, (texts(1..=1), 0));
    }
}

#[tokio::test]
async fn a_node_is_ready_also_if_the_last_entries_were_deleted() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let quick = node(&server.url()).await;
    let mut cursors = Vec::new();
    for number in 1..=4 {
        cursors.push(publish(&quick, "a", number.to_string()).await);
    }
    let (_client, stream) = stream(&server).await;
    for sequence in [3, 4] {
        stream.delete_message(sequence).await.unwrap();
    }
    let late = node(&server.url()).await;
    assert_eq!(late.hub().cursor(), cursors[3]);
    assert_eq!(told(late.hub(), Since::Oldest, &["a"]).await, (texts(1..=2), 0));
    stream.purge().await.unwrap();
    let later = node(&server.url()).await;
    assert_eq!(later.hub().cursor(), cursors[3]);
    assert_eq!(told(later.hub(), cursors[1], &["a"]).await, (vec![], 1));
    let next = publish(&late, "a", "5").await;
    until(|| later.hub().cursor() == next).await;
    assert_eq!(told(later.hub(), cursors[3], &["a"]).await, (texts(5..=5), 0));
}

#[tokio::test]
async fn a_foreign_message_is_passed_over() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let node = node(&server.url()).await;
    let start = node.hub().cursor();
    let (client, stream) = stream(&server).await;
    let base = stream.cached_info().config.subjects[0].strip_suffix(".>").unwrap().to_owned();
    let first = publish(&node, "a", "1").await;
    for subject in ["foreign", "event.a.b", "event.%41", "later.a"] {
        let context = jetstream::new(client.clone());
        let stored = context.publish(format!("{base}.{subject}"), "x".into());
        stored.await.unwrap().await.unwrap();
    }
    let last = publish(&node, "a", "2").await;
    until(|| node.hub().cursor() == last).await;
    assert_eq!(told(node.hub(), start, &["a"]).await, (texts(1..=2), 0));
    assert_eq!(told(node.hub(), first, &["a"]).await, (texts(2..=2), 0));
    assert_eq!(node.status().error, None);
}

/// Of 2.9, the server tells of a stream before it is made, and before 2.9.16 it makes one for each
/// who asks at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_begin_at_once_share_one_stream() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    for log in 0..50 {
        let begin = |number: usize| {
            let driver = driver(&server.url(), &format!("LOG{log}"));
            tokio::spawn(async move {
                let node = Backplane::join(Hub::builder(), driver).await.unwrap();
                publish(&node, "a", number.to_string()).await;
                node
            })
        };
        for node in (0..8).map(begin).collect::<Vec<_>>() {
            let (node, mut client) = (node.await.unwrap(), Client::new(Since::Oldest, &["a"]));
            within(async {
                while client.texts().len() < 8 {
                    client.poll(node.hub(), LIMIT).await;
                }
            })
            .await;
            let mut told = client.texts();
            told.sort_unstable();
            assert_eq!(told, texts(0..8), "log {log}");
            assert_eq!(client.gaps, 0, "log {log}");
        }
    }
}

/// What a cluster says that is still making a stream, and finds it replaced, told by a server
/// without JetStream and somebody who answers in its place.
#[tokio::test]
async fn a_cluster_that_is_not_ready_is_asked_again() {
    if !is_installed() {
        return;
    }
    let server = Server::start_with("");
    let cluster = async_nats::connect(server.url()).await.unwrap();
    let mut asked = cluster.subscribe("$JS.API.>").await.unwrap();
    cluster.flush().await.unwrap();
    let info = |leader: &str| {
        let needs = 1_u64 << 60;
        format!(
            r#"{{"created":"2026-01-01T00:00:00Z","cluster":{{"name":"C"{leader}}},
            "config":{{"name":"LOG","subjects":["longpoll.LOG.t.>"],"retention":"limits",
            "discard":"old","storage":"file","num_replicas":1,"max_age":{needs},
            "duplicate_window":{needs},"max_bytes":-1,"max_msgs":-1,"max_msg_size":-1,
            "max_msgs_per_subject":-1,"max_consumers":-1}},
            "state":{{"messages":0,"bytes":0,"first_seq":1,"last_seq":0,"consumer_count":0,
            "first_ts":"2026-01-01T00:00:00Z","last_ts":"2026-01-01T00:00:00Z"}}}}"#
        )
    };
    let error = |code: u32, text: &str| {
        format!(r#"{{"error":{{"code":404,"err_code":{code},"description":"{text}"}}}}"#)
    };
    let led = info(r#","leader":"S""#);
    let answers = [
        ("STREAM.INFO", None), // While a leader is found nobody answers.
        ("STREAM.INFO", Some(info(""))),
        ("STREAM.INFO", Some(led.clone())),
        ("CONSUMER.CREATE", Some(error(10_059, "stream not found"))),
        ("STREAM.INFO", Some(led)),
        ("CONSUMER.CREATE", Some(error(10_000, "enough"))),
    ];
    let answer = tokio::spawn(async move {
        for (question, answer) in answers {
            let message = futures_util::StreamExt::next(&mut asked).await.unwrap();
            assert!(message.subject.contains(question), "{} for {question}", message.subject);
            if let (Some(answer), Some(to)) = (answer, message.reply) {
                cluster.publish(to, answer.into()).await.unwrap();
                cluster.flush().await.unwrap();
            }
        }
    });
    let joined = within(Backplane::join(Hub::builder(), driver(&server.url(), "LOG"))).await;
    let Err(JoinError::Driver(refused)) = joined else { panic!("{joined:?}") };
    assert!(refused.to_string().contains("enough"), "{refused}");
    answer.await.unwrap();
}

#[tokio::test]
async fn what_a_server_cannot_do_is_told() {
    if !is_installed() {
        return;
    }
    let open = async |url: &str| match Backplane::join(Hub::builder(), driver(url, "LOG")).await {
        Err(JoinError::Driver(error)) => error,
        other => panic!("{other:?}"),
    };
    let off = Server::start_with("");
    assert_eq!(open(&off.url()).await, NatsError::NoJetStream);

    let nowhere = format!("nats://127.0.0.1:{}", server::free_port());
    let error = open(&nowhere).await;
    assert!(matches!(error, NatsError::Unreachable { .. }), "{error}");

    let stopped = Server::start();
    stopped.stop();
    let error = open(&stopped.url()).await;
    assert!(error.to_string().contains("no answer within 2s"), "{error}");

    let forbidden = Server::start_with(
        "jetstream: { max_file: 1TB }
        authorization { users: [ { user: a, password: \"b@c\",
            permissions: { publish: { deny: \"$JS.API.STREAM.CREATE.>\" } } } ] }",
    );
    let error = open(&forbidden.url()).await;
    assert!(matches!(error, NatsError::Unreachable { .. }), "{error}");
    let error = open(&format!("nats://a:b%40c@{}", forbidden.address())).await;
    let NatsError::Unanswered { request: "make the stream", complaint: Some(complaint), .. } =
        &error
    else {
        panic!("{error}")
    };
    assert!(complaint.to_lowercase().contains("permissions violation"), "{error}");

    let name = Backplane::join(Hub::builder(), driver(&nowhere, "a.b")).await;
    assert!(matches!(name, Err(JoinError::Driver(NatsError::Name { .. }))));
}

#[tokio::test]
async fn a_stream_that_contradicts_is_told_with_both_values() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let client = async_nats::connect(server.url()).await.unwrap();
    let context = jetstream::new(client.clone());
    let config = Config {
        name: "LOG".into(),
        subjects: vec!["longpoll.LOG.mine.>".into()],
        max_messages_per_subject: 100,
        ..Config::default()
    };
    context.create_stream(config.clone()).await.unwrap();
    // A client of the application's.
    let log = || Nats::new(client.clone(), "LOG");
    let error = Backplane::join(Hub::builder(), log()).await.unwrap_err().to_string();
    assert!(
        error.contains("LOG has max_msgs_per_subject 100, and this node needs 1001"),
        "{error}"
    );
    let modest = Backplane::join(Hub::builder().history_events(99), log()).await.unwrap();
    let start = modest.hub().cursor();
    publish(&modest, "a", "fits").await;
    assert_eq!(Client::new(start, &["a"]).hear(modest.hub(), 1).await, ["fits"]);
}

#[tokio::test]
async fn what_is_too_large_for_the_server_is_told_and_harms_nothing() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let node = node_with(Hub::builder().max_payload_bytes(4 << 20), &server.url()).await;
    let start = node.hub().cursor();
    let error = node.publisher().publish(&channel("a"), vec![b'x'; 2 << 20]).await.unwrap_err();
    assert!(error.to_string().contains("and the NATS server's max_payload is 2097152"), "{error}");
    publish(&node, "a", "fits").await;
    assert_eq!(Client::new(start, &["a"]).hear(node.hub(), 1).await, ["fits"]);
    assert_eq!(node.status().error, None);
}

#[tokio::test]
async fn nothing_is_left_of_a_node_that_is_dropped() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let node = node(&server.url()).await;
    publish(&node, "a", "x").await;
    assert!(metrics.num_alive_tasks() > before);
    drop(node);
    until(|| metrics.num_alive_tasks() == before).await;
}

#[tokio::test]
async fn a_connection_that_was_made_anew_is_noticed_however_often_the_server_speaks() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let (link, seen) = (Link::to(server.address()).await, Arc::<Mutex<Seen>>::default());
    // Heartbeats come three times as often as the connection is looked at.
    let watched = Watched(driver(&link.url(), "LOG"), Arc::clone(&seen));
    let node = Backplane::join(Hub::builder(), watched).await.unwrap();
    within(node.ready()).await;
    let start = publish(&node, "a", "1").await;
    link.set_cut(true);
    // Until those who carry have seen it.
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    link.set_cut(false);
    until(|| seen.lock().unwrap().opened > 1).await;
    let other = self::node(&server.url()).await;
    publish(&other, "a", "2").await;
    assert_eq!(Client::new(start, &["a"]).hear(node.hub(), 1).await, ["2"]);
}

/// Tells what was seen of the stream.
struct Watched<T>(T, Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    /// How often it was opened.
    opened: usize,
    /// How old the entries were that were read.
    ages: Vec<Duration>,
}

impl Driver for Watched<Nats> {
    type Error = NatsError;
    type Reader = Watched<NatsReader>;

    async fn open(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> Result<Opened<Self::Reader>, NatsError> {
        self.1.lock().unwrap().opened += 1;
        let Opened { epoch, floor, last, reader } = self.0.open(after, retention).await?;
        Ok(Opened { epoch, floor, last, reader: Watched(reader, Arc::clone(&self.1)) })
    }

    async fn append(&self, id: &EntryId, change: &Change) -> Result<Position, NatsError> {
        self.0.append(id, change).await
    }
}

impl Reader for Watched<NatsReader> {
    type Error = NatsError;

    async fn next(&mut self) -> Result<Portion, NatsError> {
        let portion = self.0.next().await?;
        self.1.lock().unwrap().ages.extend(portion.entries.iter().map(|entry| entry.age));
        Ok(portion)
    }
}

#[tokio::test]
async fn entries_are_as_old_as_they_are_on_the_server() {
    if !is_installed() {
        return;
    }
    let server = Server::start();
    let first = node(&server.url()).await;
    let before = Instant::now();
    publish(&first, "a", "old").await;
    let stored = Instant::now();
    until(|| stored.elapsed() > Duration::from_millis(250)).await;
    let seen = Arc::<Mutex<Seen>>::default();
    let recording = Watched(driver(&server.url(), "LOG"), Arc::clone(&seen));
    let late = Backplane::join(Hub::builder(), recording).await.unwrap();
    within(late.ready()).await;
    // The clock of the server may be set a little meanwhile.
    let possible = Duration::from_millis(200)..before.elapsed() + Duration::from_millis(50);
    let ages = &seen.lock().unwrap().ages;
    assert!(ages.len() == 1 && possible.contains(&ages[0]), "{ages:?} {possible:?}");
}
