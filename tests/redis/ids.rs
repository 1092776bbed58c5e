//! Entries of others, and ids that only others make.

use super::*;

#[tokio::test]
async fn entries_of_others_are_passed_over() {
    let Some(server) = Server::start(&[]).await else { return };
    server.ask::<String>(&["XADD", "log", "*", "of", "before"]).await;
    let node = quick_node(&server.url()).await;
    let start = publish(&node, "1").await;
    server.ask::<String>(&["XADD", "log", "*", "k", "p", "c", "a", "d", "not ours"]).await;
    server.ask::<String>(&["XADD", "log", "*", "b", "x", "n", "y", "\u{1}", ""]).await;
    publish(&node, "2").await;
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(node.hub(), 1).await, ["2"]);
    let last: String = server.ask(&["XADD", "log", "*", "one", "more"]).await;
    until("it is passed", || Since::Cursor(node.hub().cursor()) != client.since).await;
    let late = quick_node(&server.url()).await;
    assert_eq!(late.hub().cursor(), node.hub().cursor(), "{last}");
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(late.hub(), 1).await, ["2"]);
    assert_eq!(client.gaps, 0);
}

#[tokio::test]
async fn numbers_ascend_while_the_clock_is_behind_the_last_id() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    let start = publish(&node, "1").await;
    // As after a clock that was set back by a long time, and very many entries since.
    let far = 200_000_000_000_000_u64;
    server.ask::<String>(&["XADD", "log", &format!("{far}-65533"), "a", "b"]).await;
    for number in 2..=5 {
        publish(&node, &number.to_string()).await;
    }
    server.ask::<String>(&["XADD", "log", &format!("{far}1-0"), "a", "b"]).await;
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(node.hub(), 4).await, ["2", "3", "4", "5"]);
    assert_eq!(client.gaps, 0);
    let error = node.publisher().publish(&channel("a"), "6").await.unwrap_err();
    assert!(error.to_string().contains("does not fit into a cursor"), "{error}");
    until("the reader says so", || {
        node.status().error.is_some_and(|error| error.contains("does not fit into a cursor"))
    })
    .await;
}

#[tokio::test]
async fn the_last_number_of_a_millisecond_is_no_gap() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    let start = publish(&node, "1").await;
    let (seconds, _): (u64, u64) = server.ask(&["TIME"]).await;
    let ahead = format!("{}-65533", (seconds + 1_000) * 1_000);
    server.ask::<String>(&["XSETID", "log", &ahead]).await;
    publish(&node, "2").await;
    let last = publish(&node, "3").await;
    let late = quick_node(&server.url()).await;
    for hub in [node.hub(), late.hub()] {
        until("it has all", || hub.cursor() == last).await;
        let quiet = hub.wait([channel("quiet")]).since(last).hold(Duration::ZERO).await;
        assert!(matches!(quiet, Waited::TimedOut { .. }), "{quiet:?}");
    }
    publish(&node, "4").await;
    for hub in [node.hub(), late.hub()] {
        let mut client = Client::new(start, &["a"]);
        assert_eq!(client.hear(hub, 3).await, ["2", "3", "4"]);
        assert_eq!(client.gaps, 0);
    }
}

#[tokio::test]
async fn a_node_that_begins_lags_by_entries_and_not_by_numbers() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    publish(&node, "1").await;
    publish(&node, "2").await;
    let late = Backplane::join(Hub::builder(), server.driver("log").await).await.unwrap();
    // Nothing was awaited since: it has read nothing yet.
    assert_eq!((late.status().lag, late.hub().stats().lag), (2, 2));
    assert!(late.ready().await);
    until("all is applied", || late.status().lag == 0).await;
}

#[tokio::test]
async fn the_largest_settings_are_as_good_as_none() {
    let Some(server) = Server::start(&[]).await else { return };
    let driver = Redis::new(&server.url(), "log").unwrap();
    let driver = driver.max_entries(u64::MAX).timeout(Duration::MAX);
    let node = Backplane::join(Hub::builder(), driver).await.unwrap();
    let start = publish(&node, "1").await;
    publish(&node, "2").await;
    assert_eq!(Client::new(start, &["a"]).hear(node.hub(), 1).await, ["2"]);
    assert_eq!(node.status().error, None);
}

#[tokio::test]
async fn others_may_use_up_the_numbers_of_a_millisecond() {
    let Some(server) = Server::start(&[]).await else { return };
    let node = quick_node(&server.url()).await;
    let start = publish(&node, "1").await;
    server.ask::<String>(&["XADD", "log", "200000000000000-70000", "a", "b"]).await;
    publish(&node, "2").await;
    publish(&node, "3").await;
    let mut client = Client::new(start, &["a"]);
    assert_eq!(client.hear(node.hub(), 2).await, ["2", "3"]);
    assert_eq!(client.gaps, 0);
}
