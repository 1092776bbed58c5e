//! Many connections of HTTP/1 on one thread, with as little work for each answer as there can be:
//! one event of epoll (many come at once), one read, and a look at the head.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, Event, EventData, EventFlags},
    },
    fd::OwnedFd,
};
use socket2::SockRef;

/// After this long something is taken to hang.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Load {
    address: SocketAddr,
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Vec<u8>,
    connections: Vec<Connection>,
}

pub(crate) struct Connection {
    stream: TcpStream,
    /// The start of an answer of which the end has not come yet.
    begun: Vec<u8>,
    /// The header fields that make the next poll go on where the last answer has ended.
    cursor: Vec<u8>,
}

pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Load {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(),
            events: Vec::with_capacity(256),
            buffer: vec![0; 64 * 1_024],
            connections: Vec::new(),
        }
    }

    /// Opens a connection, and returns its number.
    pub(crate) fn connect(&mut self) -> usize {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_nonblocking(true).unwrap();
        // Closed at once: else the ports of one run are missing in the next.
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        let number = self.connections.len();
        epoll::add(&self.epoll, &stream, EventData::new_u64(number as u64), EventFlags::IN)
            .unwrap();
        self.connections.push(Connection { stream, begun: Vec::new(), cursor: Vec::new() });
        number
    }

    pub(crate) fn connection(&mut self, number: usize) -> &mut Connection {
        &mut self.connections[number]
    }

    /// Reads what has come, at least one answer if there is time for it.
    pub(crate) fn turn(
        &mut self,
        patience: Duration,
        mut on: impl FnMut(usize, &mut Connection, &Answer<'_>),
    ) {
        let timeout = Timespec::try_from(patience).unwrap();
        self.events.clear();
        epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&timeout))
            .unwrap();
        for event in &self.events {
            let number = event.data.u64() as usize;
            let connection = &mut self.connections[number];
            let read = connection.stream.read(&mut self.buffer).unwrap();
            assert!(read > 0, "the server has closed a connection");
            let mut begun = std::mem::take(&mut connection.begun);
            let mut rest = &self.buffer[..read];
            if !begun.is_empty() {
                begun.extend_from_slice(rest);
                rest = &begun;
            }
            while let Some(length) = connection.answer(rest, |connection, answer| {
                on(number, connection, answer);
            }) {
                rest = &rest[length..];
            }
            if !rest.is_empty() {
                connection.begun = rest.to_vec();
            }
        }
    }

    /// Reads answers of anyone: so many.
    pub(crate) fn answers(
        &mut self,
        count: usize,
        mut on: impl FnMut(usize, &mut Connection, &Answer<'_>),
    ) {
        let start = Instant::now();
        let mut come = 0;
        while come < count {
            self.turn(Duration::from_secs(1), |number, connection, answer| {
                come += 1;
                on(number, connection, answer);
            });
            assert!(start.elapsed() < PATIENCE, "{come} of {count} answers have come");
        }
    }
}

impl Connection {
    /// A poll, from where the last answer has ended.
    pub(crate) fn poll(&mut self, target: &str) {
        let head = format!("GET {target} HTTP/1.1\r\nhost: bench\r\naccept: */*\r\n");
        self.write(&[head.as_bytes(), &self.cursor, b"\r\n"].concat());
    }

    pub(crate) fn publish(&mut self, target: &str, payload: &[u8]) {
        self.write(&post(target, payload));
    }

    /// Requests are small: there is room for them.
    pub(crate) fn write(&mut self, request: &[u8]) {
        self.stream.write_all(request).unwrap();
    }

    /// Hands over the first answer and tells its length, if it is here as a whole.
    fn answer(&mut self, bytes: &[u8], on: impl FnOnce(&mut Self, &Answer<'_>)) -> Option<usize> {
        let status =
            bytes.get(9..12)?.iter().fold(0, |sum, &digit| sum * 10 + u16::from(digit - b'0'));
        let (mut place, mut length) = (0, 0);
        let mut cursor = std::mem::take(&mut self.cursor);
        let mut is_told = false;
        loop {
            let end = bytes[place..].iter().position(|&byte| byte == b'\n');
            let Some(end) = end else {
                self.cursor = cursor;
                return None;
            };
            let line = &bytes[place..=place + end];
            place += end + 1;
            if line.len() <= 2 {
                break;
            }
            // The first letter decides most lines.
            let mut keep = |name: &[u8], value: &[u8]| {
                if !std::mem::replace(&mut is_told, true) {
                    cursor.clear();
                }
                cursor.extend_from_slice(name);
                cursor.extend_from_slice(value);
            };
            match line.first() {
                Some(b'c' | b'C') if is(line, b"content-length:") => {
                    let digits = line[15..].iter().filter(|byte| byte.is_ascii_digit());
                    length = digits.fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
                }
                Some(b'l') if is(line, b"longpoll-cursor:") => keep(b"", line),
                Some(b'L') if is(line, b"last-modified:") => {
                    keep(b"if-modified-since:", &line[14..]);
                }
                Some(b'E') if is(line, b"etag:") => keep(b"if-none-match:", &line[5..]),
                _ => {}
            }
        }
        self.cursor = cursor;
        let body = bytes.get(place..place + length)?;
        on(self, &Answer { status, body });
        Some(place + length)
    }
}

/// The request of a publish.
pub(crate) fn post(target: &str, payload: &[u8]) -> Vec<u8> {
    let length = payload.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nhost: bench\r\ncontent-type: text/plain\r\n\
         content-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), payload].concat()
}

/// Whether a line is of this field.
fn is(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}
