//! What the stream has let go.

use tower_longpoll::backplane::{MemoryLog, Opened, Position, Retention};

use super::*;

/// What a node asks of its log. Only the crate makes such a value.
pub(crate) async fn retention() -> Retention {
    struct Spy(tokio::sync::mpsc::UnboundedSender<Retention>, MemoryLog);

    impl Driver for Spy {
        type Error = <MemoryLog as Driver>::Error;
        type Reader = <MemoryLog as Driver>::Reader;

        async fn open(
            &self,
            after: Option<Position>,
            retention: &Retention,
        ) -> Result<Opened<Self::Reader>, Self::Error> {
            self.0.send(*retention).unwrap();
            self.1.open(after, retention).await
        }

        async fn append(&self, id: &EntryId, change: &Change) -> Result<Position, Self::Error> {
            self.1.append(id, change).await
        }
    }

    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    Backplane::join(Hub::builder(), Spy(sender, MemoryLog::new())).await.unwrap();
    told.recv().await.unwrap()
}

/// The ids of all that is in the stream.
async fn ids(server: &Server) -> Vec<String> {
    let entries: Vec<(String, redis::Value)> = server.ask(&["XRANGE", "log", "-", "+"]).await;
    entries.into_iter().map(|(id, _)| id).collect()
}

/// A node that was away while six events were published and some let go, and the events' cursors.
async fn away_while(
    server: &Server,
    lose: impl AsyncFnOnce(&[String]),
) -> (Backplane, Backplane, Vec<Cursor>) {
    let way = Way::to(server).await;
    let (slow, quick) = (quick_node(&way.url()).await, quick_node(&server.url()).await);
    let mut cursors = vec![publish(&quick, "1").await];
    until("it is applied", || slow.hub().cursor() == cursors[0]).await;
    way.set_open(false);
    until("it is away", || slow.status().error.is_some()).await;
    for number in 2..=6 {
        cursors.push(publish(&quick, &number.to_string()).await);
    }
    lose(&ids(server).await).await;
    way.set_open(true);
    until("it is back", || slow.hub().cursor() == cursors[5]).await;
    (slow, quick, cursors)
}

/// What a client is told from `since` on, and how many gaps.
async fn told(node: &Backplane, since: impl Into<Since>) -> (usize, Vec<String>) {
    let mut client = Client::new(since, &["a"]);
    while client.poll(node.hub(), Duration::ZERO).await {}
    (client.gaps, client.told.into_iter().map(|(_, text)| text).collect())
}

#[tokio::test]
async fn what_was_trimmed_meanwhile_is_a_gap_for_exactly_who_is_behind() {
    let Some(server) = Server::start(&[]).await else { return };
    let (slow, quick, cursors) = away_while(&server, async |ids| {
        server.ask::<i64>(&["XTRIM", "log", "MINID", &ids[4]]).await;
    })
    .await;
    let late = quick_node(&server.url()).await;
    for (place, since) in cursors.into_iter().enumerate() {
        for node in [&slow, &late] {
            let expected: (_, &[&str]) = match place {
                0..=2 => (1, &["5", "6"]),
                3 => (0, &["5", "6"]),
                4 => (0, &["6"]),
                _ => (0, &[]),
            };
            let (gaps, texts) = told(node, since).await;
            let texts: Vec<_> = texts.iter().map(|text| &**text).collect();
            assert_eq!((gaps, &texts[..]), expected, "{place}");
        }
        assert_eq!(told(&quick, since).await.0, 0, "it has all");
    }
}

#[tokio::test]
async fn what_others_deleted_meanwhile_is_a_gap() {
    let Some(server) = Server::start(&[]).await else { return };
    let (slow, _, cursors) = away_while(&server, async |ids| {
        server.ask::<i64>(&["XDEL", "log", &ids[3]]).await;
    })
    .await;
    for (place, since) in cursors.into_iter().enumerate() {
        let gaps = usize::from(place < 3);
        assert_eq!(told(&slow, since).await.0, gaps, "{place}");
    }
}

#[tokio::test]
async fn a_stream_without_entries_is_a_gap_for_all_who_are_behind() {
    let Some(server) = Server::start(&[]).await else { return };
    let (slow, _, cursors) = away_while(&server, async |_| {
        server.ask::<i64>(&["XTRIM", "log", "MAXLEN", "0"]).await;
    })
    .await;
    let late = quick_node(&server.url()).await;
    for (place, since) in cursors.into_iter().enumerate() {
        for node in [&slow, &late] {
            assert_eq!(told(node, since).await, (usize::from(place < 5), vec![]), "{place}");
        }
    }
}

#[tokio::test]
async fn a_node_is_ready_although_the_last_entry_was_deleted() {
    let Some(server) = Server::start(&[]).await else { return };
    let first = quick_node(&server.url()).await;
    let kept = publish(&first, "kept").await;
    let deleted = publish(&first, "deleted").await;
    server.ask::<i64>(&["XDEL", "log", &ids(&server).await[1]]).await;
    let node = tokio::time::timeout(PATIENCE, quick_node(&server.url())).await.unwrap();
    assert_eq!(node.hub().cursor(), deleted);
    assert_eq!((told(&node, kept).await.0, told(&node, deleted).await.0), (1, 0));
}

#[tokio::test]
async fn a_stream_is_trimmed_by_age_bytes_and_entries() {
    let Some(server) = Server::start(&[]).await else { return };
    let old = "for i = 1, 250 do redis.call('XADD', KEYS[1], i .. '-0', 'a', 'b') end";
    for (key, limit, least, most) in
        [("age", 0, 21, 121), ("entries", 50, 50, 151), ("bytes", 0, 2, 150)]
    {
        let node = async || {
            let settings = Hub::builder().max_payload_bytes(128 << 10);
            let driver = server.driver(key).await.max_entries(limit);
            // Far fewer than the stream gets, for each alone.
            let bytes = if key == "bytes" { 2 << 20 } else { 256 << 20 };
            Backplane::join(settings.total_history_bytes(bytes), driver).await.unwrap()
        };
        server.ask::<()>(&["EVAL", old, "1", key]).await;
        let first = node().await;
        first.ready().await;
        let (count, size) = match key {
            "age" => (20, 1),
            "entries" => (300, 1),
            _ => (100, 100 << 10),
        };
        let start = first.hub().cursor();
        for number in 0..count {
            let payload = format!("{}{number}", " ".repeat(size));
            first.publisher().publish(&channel("a"), payload).await.unwrap();
        }
        let left: usize = server.ask(&["XLEN", key]).await;
        assert!((least..=most).contains(&left), "{key}: {left} are left");
        let weight: usize = left * (size + 512);
        assert!(key != "bytes" || (2 << 20..6 << 20).contains(&weight), "{weight} bytes are left");
        // A new node tells what is left, and whether something is missing.
        let second = node().await;
        second.ready().await;
        let mut client = Client::new(start, &["a"]);
        while client.poll(second.hub(), Duration::ZERO).await {}
        let last = client.told.last().unwrap().1.trim().to_owned();
        assert_eq!(
            (client.gaps, last),
            (usize::from(count > 20), (count - 1).to_string()),
            "{key}"
        );
    }
}
