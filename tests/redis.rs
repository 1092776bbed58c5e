//! Several hubs that follow a stream of a real server of Redis. In real time, but without waiting for
//! times: every condition has a generous limit.
#![cfg(all(feature = "redis", not(loom)))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tower_longpoll::{
    Cursor, Hub, Since, Waited,
    backplane::{
        AppendError, Backplane, Change, Driver, EntryId, JoinError, Reader,
        redis::{Redis, RedisError},
    },
};

use self::{
    server::{PATIENCE, Server, Way, until},
    suite::{Client, Engine, LONG, channel},
};

#[path = "redis/ids.rs"]
mod ids;
#[path = "redis/server.rs"]
mod server;
#[path = "backplane/suite.rs"]
mod suite;
#[path = "redis/trimming.rs"]
mod trimming;

impl Engine for Server {
    type Driver = Redis;

    async fn driver(&self, log: &str) -> Redis {
        Redis::new(&self.url(), log).unwrap()
    }
}

#[tokio::test]
async fn a_stream_keeps_what_every_log_has_to() {
    let Some(server) = Server::start(&[]).await else { return };
    suite::all(&server).await;
}

#[tokio::test]
async fn the_newer_protocol_serves_as_well() {
    let Some(server) = Server::start(&[]).await else { return };
    let driver = Redis::new(&format!("{}?protocol=resp3", server.url()), "new").unwrap();
    let (here, there) = (suite::join(&server, "new").await, join(driver).await);
    let start = publish(&here, "1").await;
    publish(&there, "2").await;
    for node in [&here, &there] {
        assert_eq!(Client::new(start, &["a"]).hear(node.hub(), 1).await, ["2"]);
    }
}

#[tokio::test]
async fn a_node_of_a_cluster_keeps_a_log_in_one_slot() {
    let Some(server) = Server::start(&["--cluster-enabled", "yes"]).await else { return };
    server.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    for log in ["log", "{tag}log"] {
        let start = Instant::now();
        // It takes a moment until the cluster knows that it has all slots.
        while Backplane::join(Hub::builder(), server.driver(log).await).await.is_err() {
            assert!(start.elapsed() < PATIENCE);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let node = suite::join(&server, log).await;
        let start = publish(&node, "1").await;
        publish(&node, "2").await;
        assert_eq!(Client::new(start, &["a"]).hear(node.hub(), 1).await, ["2"]);
    }
}

async fn join(driver: Redis) -> Backplane {
    let node = Backplane::join(Hub::builder(), driver).await.unwrap();
    node.ready().await;
    node
}

/// A node that notices soon that its server does not answer.
async fn quick_node(url: &str) -> Backplane {
    join(Redis::new(url, "log").unwrap().timeout(Duration::from_millis(500))).await
}

async fn publish(node: &Backplane, text: &str) -> Cursor {
    node.publisher().publish(&channel("a"), text.to_owned()).await.unwrap()
}

/// Publishes until that has succeeded, always with the same id.
async fn publish_at_last(node: &Backplane, id: EntryId, text: &str) -> Cursor {
    let start = Instant::now();
    loop {
        let change = Change::Publish(channel("a"), text.to_owned().into());
        match node.publisher().append(id.clone(), change).await {
            Ok(cursor) => return cursor,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_restart_of_the_server_loses_nothing_and_tells_nothing_twice() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let (here, there) = (quick_node(&server.url()).await, quick_node(&server.url()).await);
    let start = there.hub().cursor();
    let writer = tokio::spawn(async move {
        for number in 0..300 {
            publish_at_last(&here, EntryId::random(), &number.to_string()).await;
        }
    });
    let mut client = Client::new(start, &["a"]);
    client.hear(there.hub(), 50).await;
    server.kill();
    until("it is noticed", || there.status().error.is_some()).await;
    server.start_again().await;
    client.hear(there.hub(), 300).await;
    writer.await.unwrap();
    let all: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    assert_eq!((client.texts(), client.gaps), (all.iter().map(|text| &**text).collect(), 0));
    assert_eq!(there.status().error, None);
}

#[tokio::test]
async fn a_connection_of_before_a_restart_does_not_fail_an_append() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    publish(&node, "1").await;
    server.kill();
    server.start_again().await;
    publish(&node, "2").await;
    server.ask::<()>(&["SCRIPT", "FLUSH"]).await;
    publish(&node, "3").await;
    let mut client = Client::new(Since::Oldest, &["a"]);
    assert_eq!(client.hear(node.hub(), 3).await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_server_that_stands_still_is_noticed_and_goes_on() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    let start = publish(&node, "before").await;
    Client::new(Since::Oldest, &["a"]).hear(node.hub(), 1).await;
    let parked = tokio::spawn(node.hub().wait([channel("a")]).since(start).hold(LONG));
    until("it is parked", || node.hub().stats().parked == 1).await;
    server.signal(Signal::STOP);
    let id = EntryId::new("the-one").unwrap();
    let change = || Change::Publish(channel("a"), "once".into());
    let error = node.publisher().append(id.clone(), change()).await.unwrap_err();
    let AppendError::Unknown { reason, .. } = &error else { panic!("{error:?}") };
    assert_eq!(reason, "redis did not answer within 500ms");
    until("the reader notices", || node.status().error.is_some()).await;
    assert_eq!(node.hub().stats().parked, 1, "polls stay parked");
    server.signal(Signal::CONT);
    // It may have been stored when the server went on.
    let cursor = publish_at_last(&node, id.clone(), "once").await;
    let Waited::Events(batch) = parked.await.unwrap() else { panic!("not told") };
    assert_eq!((batch.cursor(), batch.len(), batch.gap()), (cursor, 1, false));
    publish(&node, "after").await;
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(node.hub(), 2).await, ["once", "after"]);
    assert_eq!((node.status().error, client.gaps), (None, 0));
}

/// All of what was there is gone: that is told to everybody, and nothing of it is told again.
async fn everything_is_a_gap(node: &Backplane, old: Cursor, how: &str) {
    let mut client = Client::new(old, &["a"]);
    assert!(client.poll(node.hub(), LONG).await, "{how}");
    assert_eq!((client.gaps, client.told.len()), (1, 0), "{how}");
    let id = EntryId::new("kept").unwrap();
    let new = publish_at_last(node, id, how).await;
    assert_eq!(client.hear(node.hub(), 1).await, [how]);
    assert_eq!((client.since, client.gaps), (Since::Cursor(new), 1), "{how}");
    let mut client = Client::new(Since::Oldest, &["a"]);
    assert_eq!(client.hear(node.hub(), 1).await, [how], "nothing else");
    let mut client = Client::new(old, &["a"]);
    client.hear(node.hub(), 1).await;
    assert_eq!((client.texts(), client.gaps), (vec![how], 1));
}

#[tokio::test]
async fn a_server_that_lost_its_data_makes_every_cursor_a_gap() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    let id = EntryId::new("kept").unwrap();
    let old = publish_at_last(&node, id, "old").await;
    Client::new(Since::Oldest, &["a"]).hear(node.hub(), 1).await;
    let parked = tokio::spawn(node.hub().wait([channel("b")]).since(old).hold(LONG));
    until("it is parked", || node.hub().stats().parked == 1).await;
    server.kill();
    server.lose_data();
    server.start_again().await;
    let Waited::Events(batch) = parked.await.unwrap() else { panic!("not told") };
    assert!(batch.gap() && batch.is_empty());
    everything_is_a_gap(&node, old, "lost").await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_makes_every_cursor_a_gap() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    let id = EntryId::new("kept").unwrap();
    let mut old = publish_at_last(&node, id, "old").await;
    let mut parts = vec![old];
    for words in [&["FLUSHALL"][..], &["DEL", "log"], &["UNLINK", "log", "{log}:notes"]] {
        until("it is applied", || node.hub().cursor() == old).await;
        let parked = tokio::spawn(node.hub().wait([channel("b")]).since(old).hold(LONG));
        until("it is parked", || node.hub().stats().parked == 1).await;
        server.ask::<redis::Value>(words).await;
        // Although nothing is published, and the connection is as it was.
        let Waited::Events(batch) = parked.await.unwrap() else { panic!("not told") };
        assert!(batch.gap() && batch.is_empty(), "{words:?}");
        everything_is_a_gap(&node, old, words[0]).await;
        old = node.hub().cursor();
        parts.push(old);
    }
    // The epoch alone.
    let groups: Vec<Vec<redis::Value>> = server.ask(&["XINFO", "GROUPS", "log"]).await;
    let name: String = redis::from_redis_value(groups[0][1].clone()).unwrap();
    server.ask::<i64>(&["XGROUP", "DESTROY", "log", &name]).await;
    until("it begins anew", || node.hub().cursor() != old).await;
    everything_is_a_gap(&node, old, "group").await;
    for since in parts {
        let mut client = Client::new(since, &["a"]);
        client.hear(node.hub(), 1).await;
        assert_eq!((client.texts(), client.gaps), (vec!["group"], 1));
    }
}

#[tokio::test]
async fn a_stream_that_is_made_anew_at_once_is_no_continuation() {
    let Some(server) = Server::start(&[]).await else { return };
    let (here, there) = (quick_node(&server.url()).await, quick_node(&server.url()).await);
    for round in 0..5 {
        let old = publish(&here, "old").await;
        until("it is applied", || there.hub().cursor() == old).await;
        server.ask::<i64>(&["DEL", "log"]).await;
        // The reader waits for entries of the old stream, and is woken by one of the new.
        let new = publish(&here, "new").await;
        let mut client = Client::new(old, &["a"]);
        assert_eq!(client.hear(there.hub(), 1).await, ["new"]);
        assert_eq!((client.gaps, client.since), (1, Since::Cursor(new)), "round {round}");
    }
}

#[tokio::test]
async fn a_server_that_comes_back_with_older_data_is_read_anew() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    publish(&node, "1").await;
    let kept = publish(&node, "2").await;
    server.kill();
    server.save_data();
    server.start_again().await;
    let lost = publish_at_last(&node, EntryId::random(), "lost").await;
    until("it is applied", || node.hub().cursor() == lost).await;
    server.kill();
    server.restore_data();
    server.start_again().await;
    until("it begins anew", || node.hub().cursor() == kept).await;
    let new = publish_at_last(&node, EntryId::random(), "3").await;
    for (since, told) in [
        (Since::Oldest, &["1", "2", "3"][..]),
        (kept.into(), &["3"]),
        // Nobody can tell it that others will never hear what it has heard.
        (lost.into(), &["3"]),
    ] {
        let mut client = Client::new(since, &["a"]);
        assert_eq!(client.hear(node.hub(), told.len()).await, told);
        assert_eq!((client.gaps, client.since), (0, Since::Cursor(new)));
    }
}

#[tokio::test]
async fn nodes_that_begin_a_log_together_begin_the_same() {
    let Some(server) = Server::start(&[]).await else { return };
    for round in 0..20 {
        let log = format!("race{round}");
        let (a, b) = tokio::join!(suite::join(&server, &log), suite::join(&server, &log));
        assert_eq!(a.hub().cursor(), b.hub().cursor());
        let mut client = Client::new(a.hub().cursor(), &["a"]);
        publish(&a, "1").await;
        publish(&b, "2").await;
        assert_eq!(client.hear(b.hub(), 2).await, ["1", "2"]);
        assert_eq!(client.gaps, 0);
    }
}

async fn refused(url: &str, key: &str) -> RedisError {
    match Backplane::join(Hub::builder(), Redis::new(url, key).unwrap()).await {
        Err(JoinError::Driver(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_in_the_way_is_said_clearly() {
    let Some(mut server) = Server::start(&[]).await else { return };
    let url = server.url();
    server.ask::<()>(&["SET", "text", "x"]).await;
    assert_eq!(refused(&url, "text").await, RedisError::WrongType { key: "text".into() });

    let node = quick_node(&url).await;
    server.ask::<()>(&["SET", "log", "x"]).await;
    let error = node.publisher().publish(&channel("a"), "x").await.unwrap_err();
    assert!(error.to_string().contains(r#"the key "log""#), "{error}");
    until("the reader says so", || {
        node.status().error.is_some_and(|error| error.contains(r#"the key "log""#))
    })
    .await;

    server.ask::<()>(&["ACL", "SETUSER", "weak", "on", ">pass", "~*", "+@read"]).await;
    let weak = url.replace("//", "//weak:pass@");
    assert!(matches!(refused(&weak, "other").await, RedisError::Denied { .. }));
    server.kill();
    assert!(matches!(refused(&url, "log").await, RedisError::Connection { .. }));
    assert!(matches!(Redis::new("http://localhost", "log"), Err(RedisError::Url { .. })));
    let tls = url.replace("redis:", "rediss:");
    assert!(matches!(Redis::new(&tls, "log"), Err(RedisError::Url { .. })), "no TLS built in");
    assert!(matches!(Redis::new(&url, "a}"), Err(RedisError::Key)));
}

#[tokio::test]
async fn a_password_is_asked_for_and_used() {
    let Some(server) = Server::start(&["--requirepass", "secret"]).await else { return };
    let url = server.url();
    let with = |password: &str| url.replace("//", &format!("//:{password}@"));
    for url in [&url, &with("wrong")] {
        let error = refused(url, "log").await;
        assert!(matches!(error, RedisError::Denied { .. }), "{error:?}");
    }
    publish(&quick_node(&with("secret")).await, "x").await;
}

#[tokio::test]
async fn reads_that_are_dropped_lose_nothing() {
    let Some(server) = Server::start(&[]).await else { return };
    let (node, driver) = (quick_node(&server.url()).await, server.driver("log").await);
    let retention = trimming::retention().await;
    let mut reader = driver.open(None, &retention).await.unwrap().reader;
    let writer = tokio::spawn(async move {
        for number in 0..200 {
            publish(&node, &number.to_string()).await;
        }
        node
    });
    let (mut sequences, start) = (Vec::new(), Instant::now());
    while sequences.len() < 200 {
        assert!(start.elapsed() < PATIENCE, "only {} came", sequences.len());
        let read = tokio::time::timeout(Duration::from_micros(50), reader.next()).await;
        let entries = read.map_or(Vec::new(), |portion| portion.unwrap().entries);
        sequences.extend(entries.into_iter().map(|entry| entry.sequence));
    }
    assert!(sequences.is_sorted_by(|a, b| a < b), "in order, and nothing twice");
    writer.await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_of_a_node_that_is_dropped() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    publish(&node, "x").await;
    let mut clients = usize::MAX;
    let start = Instant::now();
    let before: String = server.ask(&["CLIENT", "LIST"]).await;
    assert_eq!(before.lines().count(), 3, "{before}");
    drop(node);
    while clients > 1 {
        assert!(start.elapsed() < PATIENCE, "{clients} clients are left");
        clients = server.ask::<String>(&["CLIENT", "LIST"]).await.lines().count();
    }
}
