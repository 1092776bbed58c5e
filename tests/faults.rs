//! Clients that misbehave as far as a socket lets them, against `examples/server.rs`.
//!
//! After each of them the server must be as it was: nothing parked past its deadline, no descriptor
//! left open, no event lost. It runs on the real clock, so nothing here asserts how long something
//! takes: holds are either one second, or longer than the patience of the test.
#![cfg(all(target_os = "linux", not(loom), feature = "json"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "faults/hostile.rs"]
mod hostile;
#[path = "faults/leaving.rs"]
mod leaving;
#[path = "faults/overload.rs"]
mod overload;
#[path = "faults/payloads.rs"]
mod payloads;
mod process;
#[path = "faults/slow.rs"]
mod slow;

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use process::{Answer, Client, PATIENCE, Server, command};
use serde_json::Value;
use socket2::{Domain, SockRef, Socket, Type};

/// A hold that outlasts the patience of a test.
const LONG: &str = "60";

/// The server, and one connection that behaves.
struct Site {
    server: Server,
    control: Client,
    /// The descriptors of the server when nobody else was connected.
    files: usize,
}

impl Site {
    fn start(options: &[&str]) -> Self {
        let mut command = command("server");
        command.args(["--listen", "127.0.0.1:0", "--hold", LONG, "--jitter", "0"]);
        let server = Server::of(command.args(options));
        let mut control = server.connect();
        assert_eq!(control.get("/stats").status, 200);
        let files = descriptors(&server);
        Self { server, control, files }
    }

    fn stats(&mut self) -> Value {
        self.control.get("/stats").json()
    }

    fn until_parked(&mut self, polls: usize) {
        self.control.until(|stats| stats["parked"] == polls);
    }

    /// Waits until the server has let go of everything that others had it hold.
    fn recover(&mut self, what: &str) {
        self.until_parked(0);
        let start = Instant::now();
        while descriptors(&self.server) != self.files {
            let open = descriptors(&self.server);
            assert!(start.elapsed() < PATIENCE, "{what}: {open} open, not {}", self.files);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// What a client reads that goes on from a cursor until there is no more.
    fn rest(&mut self, channel: &str, cursor: &str) -> Vec<String> {
        let (mut cursor, mut texts) = (cursor.to_owned(), Vec::new());
        loop {
            let answer = self.control.get(&format!("/events/{channel}?wait=0&cursor={cursor}"));
            assert_eq!((answer.status, &answer.json()["gap"]), (200, &Value::Bool(false)));
            let new = answer.data();
            if new.is_empty() {
                return texts;
            }
            texts.extend(new);
            cursor = answer.cursor();
        }
    }

    fn wire(&self) -> Wire {
        Wire::open(self.server.address, None)
    }
}

fn of_process(server: &Server, file: &str) -> String {
    format!("/proc/{}/{file}", server.process.pid().as_raw_nonzero())
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(of_process(server, "fd")).unwrap().count()
}

/// The resident memory of the server, in bytes.
fn resident(server: &Server) -> usize {
    let status = fs::read_to_string(of_process(server, "status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1_024
}

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Leave {
    /// It crashes: `RST`.
    Reset,
    /// It closes: `FIN`, and nobody reads any more.
    Close,
    /// It says that it is done, and reads to the end.
    HalfClose,
}

/// A connection without anything that HTTP would have it do.
struct Wire(TcpStream);

impl Wire {
    /// Connects, if wanted with so small a buffer that an answer does not fit.
    fn open(address: SocketAddr, buffer: Option<usize>) -> Self {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        if let Some(bytes) = buffer {
            socket.set_recv_buffer_size(bytes).unwrap();
        }
        socket.connect(&address.into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self(socket.into())
    }

    /// Sends as much as the server takes: it may refuse the rest.
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.write_all(bytes.as_ref());
    }

    /// Reads a part of what comes.
    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Reads what is left; a server may reset a client that it did not hear out.
    fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("it hangs"),
            _ => bytes,
        }
    }

    fn leave(mut self, how: Leave) {
        match how {
            Leave::Reset => SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap(),
            Leave::Close => drop(self.0.shutdown(Shutdown::Write)),
            Leave::HalfClose => {
                let _ = self.0.shutdown(Shutdown::Write);
                self.rest();
            }
        }
    }
}
