//! Requests that no client of good will sends, byte by byte.

use super::*;

/// Sends bytes on a connection of its own; the status of the answer, zero if there is none, and all
/// of it as text.
fn send(site: &Site, bytes: &[u8]) -> (u16, String) {
    let mut wire = site.wire();
    wire.send(bytes);
    let text = String::from_utf8_lossy(&wire.rest()).into_owned();
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status.unwrap_or(0), text)
}

fn get(target: &[u8], head: &[u8]) -> Vec<u8> {
    [b"GET ", target, b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", head, b"\r\n"].concat()
}

fn channels(count: usize, name: impl Fn(usize) -> String) -> Vec<u8> {
    let names = (0..count).map(|number| format!("channel={}&", name(number)));
    format!("/events?wait=0&{}", names.collect::<String>()).into_bytes()
}

/// Sends each, and checks that the server is as it was.
#[track_caller]
fn assert_answers(rows: &[(&str, Vec<u8>, u16, &str)]) {
    let mut site = Site::start(&["--reply", "raw"]);
    for (name, bytes, status, field) in rows {
        let (got, text) = send(&site, bytes);
        assert_eq!(got, *status, "{name}: {text}");
        if !field.is_empty() {
            assert!(text.contains(&format!("\"field\":\"{field}\"")), "{name}: {text}");
        }
        let (head, _) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        assert!(!head.to_lowercase().contains("x-evil"), "{name}: {head}");
        let stats = site.stats();
        assert_eq!((&stats["channels"], &stats["parked"]), (&0.into(), &0.into()), "{name}");
    }
    site.recover("what was sent");
}

#[test]
fn a_request_line_cannot_smuggle_anything() {
    let get = |target: &[u8]| get(target, b"");
    assert_answers(&[
        ("CR", get(b"/events/a\rb?wait=0"), 400, ""),
        ("LF", get(b"/events/a\nx-evil: 1"), 400, ""),
        ("NUL", get(b"/events/a\0?wait=0"), 400, ""),
        ("a space", get(b"/events/a b?wait=0"), 400, ""),
        ("not UTF-8", get(b"/events/\xff?wait=0"), 400, ""),
        ("encoded CR LF", get(b"/events/a%0d%0ax-evil:%201?wait=0"), 400, "channel"),
        ("encoded LF", get(b"/events/%0Ax-evil?wait=0"), 400, "channel"),
        ("encoded NUL", get(b"/events/a%00b?wait=0"), 400, "channel"),
        ("encoded C1 control", get(b"/events/%C2%85?wait=0"), 400, "channel"),
        ("encoded, not UTF-8", get(b"/events/%FF?wait=0"), 400, "channel"),
        ("an overlong NUL", get(b"/events/%C0%80?wait=0"), 400, "channel"),
        ("an overlong slash", get(b"/events/%C0%AF?wait=0"), 400, "channel"),
        ("a surrogate", get(b"/events/%ED%A0%80?wait=0"), 400, "channel"),
        ("beyond Unicode", get(b"/events/%F4%90%80%80?wait=0"), 400, "channel"),
        ("encoded twice", get(b"/events/%2500?wait=0"), 204, ""),
        ("half an escape", get(b"/events/%0?wait=0"), 204, ""),
        ("dots", get(b"/events/..%2f..%2fetc?wait=0"), 204, ""),
        ("a quote", get(b"/events/%22?wait=x%22%0d%0ax-evil:1"), 400, "wait"),
        ("a cursor with CR LF", get(b"/events/a?cursor=1%0d%0ax-evil:1"), 400, "cursor"),
        ("no version", b"GET /events/a?wait=0\r\n\r\n".to_vec(), 400, ""),
        ("no such version", b"GET /events/a HTTP/9.9\r\n\r\n".to_vec(), 400, ""),
        ("not HTTP", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), 400, ""),
        ("another preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), 400, ""),
        ("all NUL", vec![0; 64 << 10], 400, ""),
    ]);
}

#[test]
fn what_is_too_long_or_too_much_is_refused() {
    let get = |target: Vec<u8>| get(&target, b"");
    let name = |length| format!("/events/{}?wait=0", "n".repeat(length)).into_bytes();
    assert_answers(&[
        ("the longest name", get(name(256)), 204, ""),
        ("one byte more", get(name(257)), 400, "channel"),
        ("the longest name of any hub, and one", get(name(4_097)), 400, "channel"),
        ("a name of 60 KB", get(name(60_000)), 400, "channel"),
        ("a target of 70 KB", get(name(70_000)), 414, ""),
        ("a name of nothing but escapes", get(b"/events/%E2%82".to_vec()), 400, "channel"),
        ("64 channels", get(channels(64, |n| n.to_string())), 204, ""),
        ("65 channels", get(channels(65, |n| n.to_string())), 400, "channel"),
        ("4,000 channels", get(channels(4_000, |n| n.to_string())), 400, "channel"),
        ("one channel 4,000 times", get(channels(4_000, |_| "a".to_owned())), 204, ""),
        ("4,000 empty channels", get(channels(4_000, |_| String::new())), 400, "channel"),
        (
            "4,000 parameters",
            get(format!("/events/a?wait=0{}", "&x=y".repeat(4_000)).into()),
            204,
            "",
        ),
        (
            "two cursors",
            get(b"/events/a?wait=0&cursor=oldest&cursor=oldest".to_vec()),
            400,
            "cursor",
        ),
        ("two waits", get(b"/events/a?wait=0&wait=0".to_vec()), 400, "wait"),
        ("60,000 digits", get(format!("/events/a?wait=0{}", "0".repeat(60_000)).into()), 204, ""),
    ]);
}

#[test]
fn fields_of_the_head_cannot_smuggle_anything() {
    let get = |head: &[u8]| get(b"/events/a?wait=0", head);
    let long = |name: &str, length| get(format!("{name}: {}\r\n", "x".repeat(length)).as_bytes());
    assert_answers(&[
        ("CR in a value", get(b"x: a\rx-evil: 1\r\n"), 400, ""),
        ("NUL in a value", get(b"x: a\0b\r\n"), 400, ""),
        ("a space in a name", get(b"x y: z\r\n"), 400, ""),
        ("a field that goes on", get(b"x: a\r\n x-evil: 1\r\n"), 400, ""),
        ("no name", get(b": x\r\n"), 400, ""),
        ("not ASCII", get(b"x: \xff\xfe\r\n"), 204, ""),
        ("a cursor that is not ASCII", get(b"longpoll-cursor: \xff\r\n"), 400, "cursor"),
        (
            "a cursor in both places",
            get(b"longpoll-cursor: a\r\nlongpoll-cursor: a\r\n"),
            400,
            "cursor",
        ),
        ("a cursor of 64 KB", long("longpoll-cursor", 64 << 10), 400, "cursor"),
        ("a preference of 64 KB", long("prefer", 64 << 10), 204, ""),
        ("a field of 64 KB", long("x", 64 << 10), 204, ""),
        ("a field of 1 MB", long("x", 1 << 20), 431, ""),
        ("a name of 64 KB", get(&[&[b'x'; 64 << 10][..], b": y\r\n"].concat()), 431, ""),
        ("1,000 fields", get(&b"x: y\r\n".repeat(1_000)), 431, ""),
        (
            "a preference of 20,000 quotes",
            get(format!("prefer: x={}\r\n", "\"".repeat(20_001)).as_bytes()),
            204,
            "",
        ),
        ("two lengths", get(b"content-length: 0\r\ncontent-length: 5\r\n"), 400, ""),
        (
            "a length and parts",
            get(b"content-length: 5\r\ntransfer-encoding: chunked\r\n"),
            400,
            "",
        ),
        ("a negative length", get(b"content-length: -1\r\n"), 400, ""),
        ("an odd encoding", get(b"transfer-encoding: chunked, gzip\r\n"), 400, ""),
    ]);
}

#[test]
fn a_content_type_cannot_split_the_head_of_an_answer() {
    let mut site = Site::start(&["--reply", "raw"]);
    let long = format!("text/{}", "x".repeat(252));
    let rows: [(&str, &[u8], u16); 15] = [
        ("CR", b"text/plain\rx-evil: 1", 400),
        ("NUL", b"text/plain\0", 400),
        ("a vertical tab", b"text/plain\x0bx-evil: 1", 400),
        ("a tab", b"text/plain;\tx=y", 400),
        ("not ASCII", b"text/plain; x=\xe2\x80\xa8", 400),
        ("escaped", b"text/plain%0d%0ax-evil: 1", 400),
        ("two", b"text/plain, text/html", 400),
        ("no subtype", b"text/", 400),
        ("nothing", b"", 400),
        ("too long", long.as_bytes(), 400),
        ("64 KB", &[b'x'; 64 << 10], 400),
        ("parameters", b"text/plain; x=\"\\\"; x-evil: 1\"", 202),
        ("what a browser runs", b"text/html", 202),
        ("what a browser guesses", b"application/x-unknown", 202),
        ("what goes on in the next line", b"text/plain\r\n x-evil: 1", 400),
    ];
    for (number, (name, kind, status)) in rows.into_iter().enumerate() {
        let head = format!("POST /events/c{number} HTTP/1.1\r\nhost: x\r\n");
        let request = [
            head.as_bytes(),
            b"connection: close\r\ncontent-length: 8\r\ncontent-type: ",
            kind,
            b"\r\n\r\n<script>",
        ]
        .concat();
        let (got, text) = send(&site, &request);
        assert_eq!(got, status, "{name}: {text}");
        let answer = site.control.get(&format!("/events/c{number}?cursor=oldest&wait=0"));
        assert_eq!(answer.status, if status == 202 { 200 } else { 204 }, "{name}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert_eq!(answer.header("x-evil"), None, "{name}");
        if status == 202 {
            assert_eq!(answer.header("content-type").map(str::as_bytes), Some(kind), "{name}");
            assert_eq!(answer.body, b"<script>", "{name}");
        }
    }
    site.recover("content types");
}
