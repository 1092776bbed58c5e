//! What every log has to keep, whatever engine is behind it: each test runs on a new log.

use std::{collections::BTreeMap, future::Future, time::Duration};

use tower_longpoll::{
    Channel, Cursor, Event, Hub, HubBuilder, PublishError, Since, Waited,
    backplane::{AppendError, Backplane, Change, Driver, EntryId},
};

/// Makes drivers of logs, by name.
pub(crate) trait Engine {
    type Driver: Driver;

    fn driver(&self, log: &str) -> impl Future<Output = Self::Driver>;
}

pub(crate) async fn join<E: Engine>(engine: &E, log: &str) -> Backplane {
    join_with(engine, log, Hub::builder()).await
}

pub(crate) async fn join_with<E: Engine>(engine: &E, log: &str, settings: HubBuilder) -> Backplane {
    let backplane = Backplane::join(settings, engine.driver(log).await).await.unwrap();
    backplane.ready().await;
    backplane
}

pub(crate) fn channel(name: &str) -> Channel {
    Channel::new(name).unwrap()
}

/// Longer than any engine takes to bring an entry from one node to another.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// A client that chains cursors, on whichever hub.
pub(crate) struct Client {
    channels: Vec<Channel>,
    pub(crate) since: Since,
    pub(crate) told: Vec<(String, String)>,
    pub(crate) gaps: usize,
}

impl Client {
    pub(crate) fn new(since: impl Into<Since>, channels: &[&str]) -> Self {
        let channels = channels.iter().map(|name| channel(name)).collect();
        Self { channels, since: since.into(), told: Vec::new(), gaps: 0 }
    }

    /// Polls once. False if there was nothing.
    pub(crate) async fn poll(&mut self, hub: &Hub, hold: Duration) -> bool {
        let waited = hub.wait(&self.channels).since(self.since).hold(hold).await;
        self.since = waited.cursor().into();
        let Waited::Events(batch) = waited else { return false };
        self.gaps += usize::from(batch.gap());
        self.told.extend(batch.entries().iter().map(|entry| {
            let text = String::from_utf8_lossy(entry.payload()).into_owned();
            (entry.channel().to_string(), text)
        }));
        true
    }

    /// Polls until it was told so many events.
    pub(crate) async fn hear(&mut self, hub: &Hub, count: usize) -> Vec<&str> {
        while self.told.len() < count {
            assert!(self.poll(hub, LONG).await, "told {:?}, then nothing", self.told);
        }
        self.texts()
    }

    pub(crate) fn texts(&self) -> Vec<&str> {
        self.told.iter().map(|(_, text)| &**text).collect()
    }
}

/// An event that is published on one node reaches a poll that is parked on another, with its type.
pub(crate) async fn an_event_reaches_every_node(engine: &impl Engine) {
    let (here, there) = (join(engine, "reach").await, join(engine, "reach").await);
    let news = channel("news");
    let parked = there.hub().wait([&news]).hold(LONG);
    let parked = tokio::spawn(parked);
    while there.hub().stats().parked == 0 {
        tokio::task::yield_now().await;
    }
    let event = Event::typed("it works", "application/x-test").unwrap();
    let cursor = here.publisher().publish(&news, event).await.unwrap();
    let Waited::Events(batch) = parked.await.unwrap() else { panic!("no event") };
    let entry = &batch.entries()[0];
    assert_eq!((entry.cursor(), &entry.payload()[..]), (cursor, &b"it works"[..]));
    assert_eq!(entry.event().content_type(), Some("application/x-test"));
    assert!(!batch.gap());
}

/// Two publishers race; a client that changes its node at every poll is told all of it once, in the
/// order in which all others are.
pub(crate) async fn all_nodes_tell_one_order(engine: &impl Engine) {
    let nodes = [join(engine, "order").await, join(engine, "order").await];
    let names = ["a", "b", "c"];
    let start = nodes[0].hub().cursor();
    let publish = async |node: &Backplane, name: &str| {
        for number in 0..50 {
            let channel = channel(names[number % 3]);
            node.publisher().publish(&channel, format!("{name}{number}")).await.unwrap();
        }
    };
    tokio::join!(publish(&nodes[0], "x"), publish(&nodes[1], "y"));
    let mut wanderer = Client::new(start, &names);
    let mut turn = 0;
    while wanderer.told.len() < 100 {
        turn += 1;
        assert!(wanderer.poll(nodes[turn % 2].hub(), LONG).await, "{:?}", wanderer.told);
    }
    for node in &nodes {
        let mut client = Client::new(start, &names);
        client.hear(node.hub(), 100).await;
        assert_eq!(client.told, wanderer.told);
        assert_eq!((client.gaps, wanderer.gaps), (0, 0));
    }
    for name in ["x", "y"] {
        let own: Vec<_> =
            wanderer.texts().into_iter().filter(|text| text.starts_with(name)).collect();
        let sent: Vec<_> = (0..50).map(|number| format!("{name}{number}")).collect();
        assert_eq!(own, sent, "a publisher's own order");
    }
}

/// A node that comes later begins with what the log holds, and answers the cursors of others.
pub(crate) async fn a_new_node_begins_with_the_log(engine: &impl Engine) {
    let first = join(engine, "late").await;
    let start = first.hub().cursor();
    let mut cursors = Vec::new();
    for number in 0..20 {
        cursors.push(first.publisher().publish(&channel("a"), number.to_string()).await.unwrap());
    }
    let second = join(engine, "late").await;
    assert!(second.hub().stats().ready);
    let mut client = Client::new(start, &["a"]);
    client.hear(second.hub(), 20).await;
    assert_eq!(client.gaps, 0);
    let mut client = Client::new(cursors[9], &["a"]);
    assert_eq!(client.hear(second.hub(), 10).await[0], "10");
    Client::new(start, &["a"]).hear(first.hub(), 20).await;
    assert_eq!(second.hub().cursor(), first.hub().cursor());
}

/// One id is stored once, also when both tries are on their way at once.
pub(crate) async fn an_id_is_stored_once(engine: &impl Engine) {
    let nodes = [join(engine, "ids").await, join(engine, "ids").await];
    let start = nodes[0].hub().cursor();
    let change = || Change::Publish(channel("a"), "once".into());
    let id = EntryId::new("order-4711").unwrap();
    let append = |node: &Backplane| {
        let publisher = node.publisher().clone();
        let id = id.clone();
        async move { publisher.append(id, change()).await.unwrap() }
    };
    let (first, second) = tokio::join!(append(&nodes[0]), append(&nodes[1]));
    assert_eq!(first, second);
    assert_eq!(append(&nodes[0]).await, first);
    nodes[1].publisher().publish(&channel("a"), "then").await.unwrap();
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(nodes[1].hub(), 2).await, ["once", "then"]);
}

/// Payloads are bytes, and names any text: nothing is lost, changed or mixed up.
pub(crate) async fn names_and_payloads_come_through(engine: &impl Engine) {
    let (here, there) = (join(engine, "odd").await, join(engine, "odd").await);
    let start = there.hub().cursor();
    let long = "n".repeat(256);
    let names = [
        "a",
        "A",
        "a.b",
        "a*",
        ">",
        "a>b",
        "a b",
        "a/b",
        "a\\b",
        "%",
        "%2E",
        "$a",
        "_",
        "-",
        "+",
        "é",
        "e\u{301}",
        "日本語",
        "\u{10ffff}",
        "\u{feff}",
        "'\"`",
        "{a}",
        "a:b",
        "..",
        "a..b",
        "a.",
        ".a",
        "=",
        "==",
        "a=b",
        "#",
        "?",
        "&",
        "\u{ad}",
        &long,
    ];
    for name in names {
        let payload: Vec<u8> = (0..=255).chain(name.bytes()).collect();
        here.publisher().publish(&channel(name), payload).await.unwrap();
    }
    here.publisher().publish(&channel("a"), "").await.unwrap();
    let big = vec![b'x'; 1 << 20];
    here.publisher().publish(&channel("big"), big.clone()).await.unwrap();
    let last = there.hub().wait([channel("big")]).since(start).hold(LONG).await;
    let Waited::Events(last) = last else { panic!("the largest event is lost") };
    assert_eq!(last.entries()[0].payload(), &big);
    for name in names {
        let Waited::Events(batch) = there.hub().wait([channel(name)]).since(start).await else {
            panic!("{name:?} has no events")
        };
        let payload: Vec<u8> = (0..=255).chain(name.bytes()).collect();
        let payloads: Vec<_> = batch.entries().iter().map(|entry| &entry.payload()[..]).collect();
        let expected: &[&[u8]] = if name == "a" { &[&payload, b""] } else { &[&payload] };
        assert_eq!(payloads, expected, "{name:?}");
        assert!(!batch.gap(), "{name:?}");
    }
}

/// A touch ends waits on all nodes; a delete tells who waits, and is a gap for who has not seen all.
pub(crate) async fn touches_and_deletes_reach_every_node(engine: &impl Engine) {
    let (here, there) = (join(engine, "touch").await, join(engine, "touch").await);
    let start = there.hub().cursor();
    let a = channel("a");
    let park = async || {
        let parked = tokio::spawn(there.hub().wait([&a]).hold(LONG));
        while there.hub().stats().parked == 0 {
            tokio::task::yield_now().await;
        }
        // In an array, so that it is not awaited here.
        [parked]
    };
    let [parked] = park().await;
    here.publisher().touch(&a).await.unwrap();
    assert!(matches!(parked.await.unwrap(), Waited::Touched { .. }));

    here.publisher().publish(&a, "gone").await.unwrap();
    Client::new(start, &["a"]).hear(there.hub(), 1).await;
    let [parked] = park().await;
    here.publisher().delete(&a).await.unwrap();
    assert!(matches!(parked.await.unwrap(), Waited::Deleted { .. }));
    let mut client = Client::new(start, &["a"]);
    assert!(client.poll(there.hub(), LONG).await);
    assert_eq!((client.told.len(), client.gaps), (0, 1));
}

/// What is beyond a limit is refused before it is appended; the hub itself takes nothing.
pub(crate) async fn limits_are_checked_before_the_log(engine: &impl Engine) {
    let settings = Hub::builder().max_payload_bytes(10).max_channel_name_bytes(5);
    let node = join_with(engine, "limits", settings).await;
    let before = node.hub().cursor();
    let refused = |error| Err(AppendError::Refused(error));
    let publish = async |name, payload: &str| {
        node.publisher().publish(&channel(name), payload.to_owned()).await.map(drop)
    };
    assert_eq!(publish("12345", "0123456789").await, Ok(()));
    assert_eq!(
        publish("12345", "01234567890").await,
        refused(PublishError::Payload { max_bytes: 10 })
    );
    assert_eq!(publish("123456", "").await, refused(PublishError::ChannelName { max_bytes: 5 }));
    assert_eq!(node.hub().publish(&channel("a"), "x"), Err(PublishError::Follows));
    assert!(!node.hub().delete(&channel("12345")));
    assert_eq!(node.hub().touch(&channel("12345")), 0);
    let mut client = Client::new(before, &["a", "12345"]);
    assert_eq!(client.hear(node.hub(), 1).await, ["0123456789"]);
    node.hub().close();
    assert_eq!(publish("a", "late").await, refused(PublishError::Closed));
}

/// A node that begins with a log that has let events go tells so to exactly those who missed some.
pub(crate) async fn a_channel_that_was_cut_tells_a_gap(engine: &impl Engine) {
    let settings = || Hub::builder().history_events(5);
    let first = join_with(engine, "cut", settings()).await;
    let start = first.hub().cursor();
    let mut cursors = BTreeMap::<u32, Cursor>::new();
    let quiet = first.publisher().publish(&channel("quiet"), "still here").await.unwrap();
    for number in 0..20 {
        let cursor = first.publisher().publish(&channel("a"), number.to_string()).await;
        cursors.insert(number, cursor.unwrap());
    }
    let second = join_with(engine, "cut", settings()).await;
    for node in [&first, &second] {
        for (since, gaps, told) in [(cursors[&14], 0, 5), (cursors[&10], 1, 5), (start, 1, 5)] {
            let mut client = Client::new(since, &["a"]);
            client.hear(node.hub(), told).await;
            assert_eq!((client.told.len(), client.gaps), (told, gaps));
        }
    }
    let mut client = Client::new(start, &["quiet"]);
    assert_eq!(client.hear(second.hub(), 1).await, ["still here"]);
    assert_eq!(client.gaps, 0, "of another channel");
    assert!(!Client::new(quiet, &["quiet"]).poll(second.hub(), Duration::ZERO).await);
}

/// All of the above.
pub(crate) async fn all(engine: &impl Engine) {
    an_event_reaches_every_node(engine).await;
    all_nodes_tell_one_order(engine).await;
    a_new_node_begins_with_the_log(engine).await;
    an_id_is_stored_once(engine).await;
    names_and_payloads_come_through(engine).await;
    touches_and_deletes_reach_every_node(engine).await;
    limits_are_checked_before_the_log(engine).await;
    a_channel_that_was_cut_tells_a_gap(engine).await;
}
