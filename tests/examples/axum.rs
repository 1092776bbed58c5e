//! `examples/axum.rs`: events, inboxes and jobs.

use std::thread;

use serde_json::{Value, json};

use super::*;

fn start() -> Server {
    Server::of(command("axum").args(["--listen", "127.0.0.1:0"]))
}

fn bearer(user: &str) -> String {
    format!("authorization: Bearer {user}\r\n")
}

/// A poll of an inbox that its user may read, with a query.
fn inbox(server: &Server, user: &str, query: &str) -> Client {
    server.asking(&format!("/inbox/{user}?{query}"), &bearer(user))
}

fn parked_inbox(server: &Server, user: &str) -> Client {
    inbox(server, user, "wait=60")
}

fn assert_own_answer(answer: &Answer) {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), json!({ "unread": 0 }));
    assert_eq!(answer.header("x-handler"), Some("inbox"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("longpoll-cursor").is_some());
}

fn put(client: &mut Client, job: &str, state: &str) {
    client.send("PUT", &format!("/jobs/{job}"), "", state.as_bytes());
    assert_eq!(client.answer().status, 204, "{job}");
}

/// The entity tag of a job.
fn etag(client: &mut Client, job: &str) -> String {
    let answer = client.get(&format!("/jobs/{job}"));
    assert_eq!(answer.status, 200);
    answer.header("etag").unwrap().to_owned()
}

fn changed_from(etag: &str) -> String {
    format!("if-none-match: {etag}\r\n")
}

/// A server with the job `7` in some state, a client of it, and the entity tag of the job.
fn start_with_job(state: &str) -> (Server, Client, String) {
    let server = start();
    let mut client = server.connect();
    put(&mut client, "7", state);
    let tag = etag(&mut client, "7");
    (server, client, tag)
}

/// A request that waits for a job to change from what has this tag.
fn watch(server: &Server, job: &str, etag: &str) -> Client {
    server.asking(&format!("/jobs/{job}?wait=60"), &changed_from(etag))
}

#[test]
fn a_publish_answers_a_parked_poll() {
    let server = start();
    let mut parked = server.asking("/events/demo?wait=60", "");
    server.until_parked(1);
    let mut publisher = server.connect();
    let (cursor, woken) = publisher.publish("demo", "hello");
    assert_eq!(woken, 1);
    let answer = parked.answer();
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    assert_eq!(answer.header("longpoll-cursor"), Some(&*cursor));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("allow"), None);
    server.until_parked(0);
}

#[test]
fn a_cursor_chain_misses_nothing() {
    let server = start();
    let mut client = server.connect();
    let mut cursor = "oldest".to_owned();
    for round in 0..5 {
        let texts = [format!("{round}, one"), format!("{round}, two")];
        for text in &texts {
            client.publish("demo", text);
        }
        for text in texts {
            let answer = client.get(&format!("/events/demo?cursor={cursor}"));
            assert_eq!((answer.status, answer.body), (200, text.into_bytes()));
            cursor = header(&answer.headers, "longpoll-cursor");
        }
    }
    let quiet = client.get(&format!("/events/demo?wait=0&cursor={cursor}"));
    assert_eq!(quiet.status, 204);
    let quiet = client.get(&format!("/events/demo?wait=1&cursor={cursor}"));
    assert_eq!(quiet.status, 204);
    assert!(quiet.header("longpoll-cursor").is_some());
}

fn header(headers: &[(String, String)], name: &str) -> String {
    headers.iter().find(|(known, _)| known == name).unwrap().1.clone()
}

#[test]
fn an_inbox_is_nothing_to_strangers() {
    let server = start();
    let mut client = server.connect();
    for head in [
        "",
        "authorization: Bearer bob\r\n",
        "authorization: Bearer an\r\n",
        "authorization: Bearer anna\r\n",
        "authorization: Bearer Ann\r\n",
        "authorization: Bearer\r\n",
        "authorization: ann\r\n",
        "authorization: Basic ann\r\n",
        "authorization: Bearer \u{e9}\r\n",
    ] {
        for query in ["", "?wait=60", "?wait=0", "?wait=soon", "?cursor=nonsense", "?wait=1&wait=2"]
        {
            client.send("GET", &format!("/inbox/ann{query}"), head, b"");
            let answer = client.answer();
            assert_eq!(answer.status, 401, "{head:?} {query}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.header("x-handler"), None);
        }
        client.send("GET", "/inbox/ann", &format!("prefer: wait=60\r\n{head}"), b"");
        assert_eq!(client.answer().status, 401, "{head:?}");
    }
    let stats = server.stats();
    for name in ["parked", "channels", "timed_out", "refused", "superseded", "dropped"] {
        assert_eq!(stats[name], 0, "{name}");
    }
}

#[test]
fn who_may_read_an_inbox_is_told_what_is_malformed() {
    let server = start();
    for (query, field) in [("wait=soon", "wait"), ("cursor=nonsense", "cursor")] {
        let answer = inbox(&server, "ann", query).answer();
        assert_eq!(answer.status, 400);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.json()["field"], field);
    }
    assert_eq!(server.stats()["parked"], 0);
}

#[test]
fn an_inbox_answers_for_itself_when_the_hold_runs_out() {
    let server = start();
    for query in ["wait=0", "wait=1"] {
        assert_own_answer(&inbox(&server, "ann", query).answer());
    }
    let preferred = bearer("ann") + "prefer: wait=1\r\n";
    assert_own_answer(&server.asking("/inbox/ann", &preferred).answer());
    server.until_parked(0);
}

#[test]
fn a_letter_answers_the_parked_inbox() {
    let server = start();
    let mut parked = parked_inbox(&server, "ann");
    let mut other = parked_inbox(&server, "bob");
    server.until_parked(2);
    let mut client = server.connect();
    client.send("POST", "/inbox/ann", "content-type: text/plain\r\n", b"a letter");
    let published = client.answer();
    assert_eq!((published.status, &published.json()["woken"]), (201, &json!(1)));

    let answer = parked.answer();
    assert_eq!((answer.status, &*answer.body), (200, &b"a letter"[..]));
    assert_eq!(answer.header("x-handler"), Some("inbox"));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(answer.header("longpoll-cursor"), Some(&*published.cursor()));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "content-type").count(), 1);

    server.until_parked(1);
    client.send("POST", "/inbox/bob", "", b"another");
    assert_eq!(client.answer().status, 201);
    assert_eq!(&*other.answer().body, b"another");
    server.until_parked(0);
}

#[test]
fn letters_between_two_polls_are_found_by_the_cursor() {
    let server = start();
    let first = inbox(&server, "ann", "wait=0").answer();
    let mut cursor = header(&first.headers, "longpoll-cursor");
    let mut client = server.connect();
    for letter in ["one", "two"] {
        client.send("POST", "/inbox/ann", "", letter.as_bytes());
        assert_eq!(client.answer().status, 202);
    }
    for letter in ["one", "two"] {
        let answer = inbox(&server, "ann", &format!("cursor={cursor}")).answer();
        assert_eq!((answer.status, &*answer.body), (200, letter.as_bytes()));
        assert_eq!(answer.header("x-handler"), Some("inbox"));
        cursor = header(&answer.headers, "longpoll-cursor");
    }
    assert_own_answer(&inbox(&server, "ann", &format!("wait=0&cursor={cursor}")).answer());
    let oldest = inbox(&server, "ann", "cursor=oldest").answer();
    assert_eq!(&*oldest.body, b"one");
}

#[test]
fn the_newest_poll_of_an_inbox_supersedes_the_older() {
    let server = start();
    let mut other = parked_inbox(&server, "bob");
    server.until_parked(1);
    let mut older = parked_inbox(&server, "ann");
    server.until_parked(2);
    for superseded in 1..=5 {
        let newer = parked_inbox(&server, "ann");
        // Its hold is far longer than the patience of this test.
        assert_own_answer(&older.answer());
        server.until(|stats| stats["parked"] == 2 && stats["superseded"] == superseded);
        older = newer;
    }
    let mut client = server.connect();
    for (user, parked) in [("ann", &mut older), ("bob", &mut other)] {
        client.send("POST", &format!("/inbox/{user}"), "", user.as_bytes());
        assert_eq!(client.answer().json()["woken"], 1);
        assert_eq!(&*parked.answer().body, user.as_bytes());
    }
    server.until_parked(0);
}

#[test]
fn of_many_polls_of_an_inbox_exactly_one_stays() {
    let server = start();
    let mut polls: Vec<_> = (0..50).map(|_| parked_inbox(&server, "ann")).collect();
    server.until(|stats| stats["parked"] == 1 && stats["superseded"] == 49);
    let mut client = server.connect();
    client.send("POST", "/inbox/ann", "", b"a letter");
    assert_eq!(client.answer().json()["woken"], 1);
    let answers: Vec<_> = polls.iter_mut().map(Client::answer).collect();
    let (news, own): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| *answer.body == *b"a letter");
    assert_eq!((news.len(), own.len()), (1, 49));
    own.into_iter().for_each(assert_own_answer);
}

#[test]
fn inboxes_are_not_read_as_events() {
    let server = start();
    let mut client = server.connect();
    client.send("POST", "/inbox/ann", "", b"a letter");
    assert_eq!(client.answer().status, 202);
    for name in ["inbox:ann", "inbox%3Aann", "%69nbox:ann", "inbox:", "inbox%3aann"] {
        for query in ["", "?cursor=oldest", "?wait=60"] {
            let answer = client.get(&format!("/events/{name}{query}"));
            assert_eq!(answer.status, 400, "{name}{query}");
            assert_eq!(answer.json()["field"], "channel");
        }
        client.send("HEAD", &format!("/events/{name}?cursor=oldest"), "", b"");
        assert_eq!(client.answer_to("HEAD").status, 405);
    }
    assert_eq!(client.get("/events/ann?wait=0&cursor=oldest").status, 204);
    assert_eq!(server.stats()["parked"], 0);
}

#[test]
fn users_may_have_any_name_that_a_channel_may_have() {
    let server = start();
    let mut client = server.connect();
    let longest = "u".repeat(250);
    for (number, (path, user)) in [
        ("J%C3%BCrgen", "Jürgen"),
        ("%E2%98%83", "☃"),
        ("a%2Fb", "a/b"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("inbox:ann", "inbox:ann"),
        ("%25", "%"),
        ("..", ".."),
        (&longest, &longest),
    ]
    .into_iter()
    .enumerate()
    {
        let mut parked = server.asking(&format!("/inbox/{path}?wait=60"), &bearer(user));
        server.until_parked(1);
        client.send("POST", &format!("/inbox/{path}"), "", user.as_bytes());
        assert_eq!(client.answer().json()["woken"], 1, "{path}");
        let answer = parked.answer();
        assert_eq!((answer.status, &*answer.body), (200, user.as_bytes()), "{path}");
        server.until(|stats| stats["delivered"] == number + 1);
    }
}

#[test]
fn other_names_of_users_are_400_or_404() {
    let server = start();
    let mut client = server.connect();
    let too_long = "u".repeat(300);
    for (path, user, status) in [
        (&*too_long, &*too_long, 400),
        ("%FF", "x", 400),
        ("", "", 404),
        ("a/b", "a/b", 404),
        ("ann/", "ann", 404),
    ] {
        client.send("GET", &format!("/inbox/{path}?wait=60"), &bearer(user), b"");
        assert_eq!(client.answer().status, status, "GET {path}");
        client.send("POST", &format!("/inbox/{path}"), "", b"x");
        assert_eq!(client.answer().status, status, "POST {path}");
    }
    client.send("GET", &format!("/inbox/{too_long}"), &bearer("ann"), b"");
    assert_eq!(client.answer().status, 401);
    let stats = server.stats();
    assert_eq!((&stats["parked"], &stats["channels"]), (&json!(0), &json!(0)));
}

#[test]
fn an_inbox_lets_go_of_a_client_that_leaves() {
    let server = start();
    let polls: Vec<_> =
        (0..EACH).map(|number| parked_inbox(&server, &format!("u{number}"))).collect();
    server.until_parked(EACH);
    drop(polls);
    server.until(|stats| stats["parked"] == 0 && stats["dropped"] == EACH);
}

#[test]
fn an_unknown_job_is_404_however_it_is_asked_for() {
    let server = start();
    let mut client = server.connect();
    for query in ["", "?wait=60", "?wait=0"] {
        for head in ["", "if-none-match: *\r\n", "if-none-match: \"x\"\r\nprefer: wait=60\r\n"] {
            client.send("GET", &format!("/jobs/none{query}"), head, b"");
            let answer = client.answer();
            assert_eq!(answer.status, 404, "{query} {head}");
            assert_eq!(answer.header("etag"), None);
        }
    }
    assert_eq!(server.stats()["parked"], 0);
    assert_eq!(client.get("/jobs/").status, 404);
    assert_eq!(client.get("/jobs/a/b").status, 404);
}

#[test]
fn a_job_is_json_with_an_etag() {
    let server = start();
    let mut client = server.connect();
    put(&mut client, "7", "running");
    let first = client.get("/jobs/7");
    assert_eq!(first.status, 200);
    assert_eq!(first.json(), json!({ "id": "7", "state": "running" }));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let tag = first.header("etag").unwrap();
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");

    // A wish to wait without an entity tag, or with another, has nothing to wait for.
    assert_eq!(client.get("/jobs/7?wait=60").json(), first.json());
    client.send("GET", "/jobs/7?wait=60", &changed_from("\"other\""), b"");
    assert_eq!(client.answer().json(), first.json());
    // And an entity tag without a wish to wait is an ordinary condition.
    for listed in [tag, &format!("W/{tag}"), "*", &format!("\"x\", {tag}")] {
        client.send("GET", "/jobs/7", &changed_from(listed), b"");
        let answer = client.answer();
        assert_eq!(answer.status, 304, "{listed}");
        assert_eq!(answer.header("etag"), Some(tag), "{listed}");
    }
    put(&mut client, "7", "done");
    assert_ne!(etag(&mut client, "7"), tag);
    assert_eq!(server.stats()["parked"], 0);
}

#[test]
fn a_job_is_parked_until_its_state_is_another() {
    let (server, mut client, tag) = start_with_job("running");
    put(&mut client, "8", "running");
    let prefers = |value: &str| changed_from(value) + "prefer: wait=60\r\n";
    let mut polls = vec![
        watch(&server, "7", &tag),
        watch(&server, "7", &format!("W/{tag}")),
        watch(&server, "7", "*"),
        watch(&server, "7", &format!("\"x\", {tag}")),
        server.asking("/jobs/7", &prefers(&tag)),
    ];
    server.until_parked(5);
    put(&mut client, "8", "done");
    put(&mut client, "7", "running");
    // The same state: all have looked at it again, and wait on.
    server.until(|stats| stats["touched"] == 5 && stats["parked"] == 5);
    put(&mut client, "7", "done");
    // `*` stands for whatever there is.
    let anything = polls.remove(2);
    let new = etag(&mut client, "7");
    for poll in &mut polls {
        let answer = poll.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json(), json!({ "id": "7", "state": "done" }));
        assert_eq!(answer.header("etag"), Some(&*new));
    }
    server.until_parked(1);
    drop(anything);
    server.until_parked(0);
}

#[test]
fn a_job_that_stays_as_it_is_is_304_when_the_hold_runs_out() {
    let (server, mut client, tag) = start_with_job("running");
    for (query, head) in [("?wait=1", ""), ("?wait=0", ""), ("", "prefer: wait=1\r\n")] {
        client.send("GET", &format!("/jobs/7{query}"), &(changed_from(&tag) + head), b"");
        let answer = client.answer();
        assert_eq!(answer.status, 304, "{query}");
        assert_eq!(answer.header("etag"), Some(&*tag));
        let applied = (!head.is_empty()).then_some("wait=1");
        assert_eq!(answer.header("preference-applied"), applied);
    }
    server.until_parked(0);
}

#[test]
fn one_change_of_a_job_answers_all_who_wait_for_it() {
    const POLLS: usize = 50;
    let (server, mut client, tag) = start_with_job("running");
    let polls: Vec<_> = (0..POLLS).map(|_| watch(&server, "7", &tag)).collect();
    server.until_parked(POLLS);
    put(&mut client, "7", "done");
    for mut poll in polls {
        assert_eq!(poll.answer().json()["state"], "done");
    }
    server.until_parked(0);
}

#[test]
fn of_changes_that_follow_each_other_the_last_is_seen() {
    const LAST: u64 = 300;
    let (server, mut client, tag) = start_with_job("0");
    thread::scope(|scope| {
        for follower in [server.connect(), server.connect()] {
            let tag = tag.clone();
            scope.spawn(|| follow(follower, tag, LAST));
        }
        for state in 1..=LAST {
            put(&mut client, "7", &state.to_string());
        }
    });
    server.until_parked(0);
}

/// Polls until a job has its last state; each answer is newer than the one before.
fn follow(mut client: Client, mut tag: String, last: u64) {
    let mut seen = 0;
    while seen < last {
        client.send("GET", "/jobs/7?wait=60", &changed_from(&tag), b"");
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        let state = answer.json()["state"].as_str().unwrap().parse().unwrap();
        assert!(state > seen, "{state} after {seen}");
        (seen, tag) = (state, header(&answer.headers, "etag"));
    }
}

#[test]
fn jobs_may_have_any_name_that_a_channel_may_have() {
    let server = start();
    let mut client = server.connect();
    for (path, id) in [
        ("J%C3%BCrgen", "Jürgen"),
        ("a%2Fb", "a/b"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("%25", "%"),
    ] {
        put(&mut client, path, "running");
        let tag = etag(&mut client, path);
        let mut parked = watch(&server, path, &tag);
        server.until_parked(1);
        put(&mut client, path, "done");
        let answer = parked.answer();
        assert_eq!(answer.json(), json!({ "id": id, "state": "done" }), "{path}");
        server.until_parked(0);
    }
    for (path, status) in [("%FF", 400), ("", 404), ("a/b", 404)] {
        client.send("PUT", &format!("/jobs/{path}"), "", b"running");
        assert_eq!(client.answer().status, status, "{path}");
    }
    // Longer than the name of a channel on which somebody may wait.
    let long = "j".repeat(300);
    put(&mut client, &long, "running");
    let tag = etag(&mut client, &long);
    assert_eq!(watch(&server, &long, &tag).answer().status, 400);
}

#[test]
fn a_state_that_is_no_text_is_400_and_changes_nothing() {
    let server = start();
    let mut client = server.connect();
    put(&mut client, "7", "running");
    client.send("PUT", "/jobs/7", "", b"\xff");
    assert_eq!(client.answer().status, 400);
    put(&mut client, "8", "quotes \" and \\ and \u{1}");
    assert_eq!(client.get("/jobs/7").json()["state"], "running");
    assert_eq!(client.get("/jobs/8").json()["state"], "quotes \" and \\ and \u{1}");
}

#[test]
fn the_stats_are_those_of_the_ready_made_server() {
    let server = start();
    let other = Server::of(command("server").args(["--listen", "127.0.0.1:0"]));
    let names = |stats: Value| stats.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let answer = server.connect().get("/stats");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(names(answer.json()), names(other.stats()));
    assert_eq!(answer.json()["draining"], false);
    assert!(answer.json()["worker_threads"].as_u64() >= Some(1));
}

#[test]
fn all_kinds_of_polls_are_counted_as_parked() {
    let (server, _client, tag) = start_with_job("running");
    let polls = [server.parked("demo"), parked_inbox(&server, "ann"), watch(&server, "7", &tag)];
    server.until(|stats| stats["parked"] == 3 && stats["channels"] == 3);
    drop(polls);
    server.until(|stats| stats["parked"] == 0 && stats["channels"] == 0);
}

#[test]
fn a_sigterm_answers_every_parked_poll() {
    for signal in [Signal::TERM, Signal::INT] {
        let (server, mut client, tag) = start_with_job("running");
        let events: Vec<_> = (0..EACH).map(|_| server.asking("/events/a?wait=60", "")).collect();
        let inboxes: Vec<_> =
            (0..EACH).map(|number| parked_inbox(&server, &format!("u{number}"))).collect();
        let jobs: Vec<_> = (0..EACH).map(|_| watch(&server, "7", &tag)).collect();
        server.until_parked(3 * EACH);
        server.signal(signal);
        events.into_iter().for_each(assert_let_go);
        inboxes.into_iter().map(last_answer).for_each(|answer| assert_own_answer(&answer));
        for answer in jobs.into_iter().map(last_answer) {
            assert_eq!((answer.status, answer.header("etag")), (304, Some(&*tag)));
        }
        client.assert_closed();
        assert_eq!(server.exit().code(), Some(0));
    }
}

#[test]
fn clients_that_stall_do_not_keep_it() {
    super::clients_that_stall_do_not_keep(start(), "/events/demo");
}

#[test]
fn what_stops_it_from_starting_is_an_error() {
    let server = start();
    let taken = server.address.to_string();
    for options in [
        vec!["--listen", "nowhere"],
        vec!["--listen"],
        vec!["--listen", &taken],
        vec!["--bogus"],
        vec!["extra"],
    ] {
        super::assert_fails("axum", &options);
    }
}
