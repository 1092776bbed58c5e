//! Examples as processes: their sockets, their signals, and a client of HTTP/1 by hand.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// After this long something is taken to hang.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An example, built once a test run, the way this test was built.
pub fn executable(example: &'static str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<&str, PathBuf>>> = Mutex::new(None);
    // Held meanwhile: who comes second waits. A build that failed is tried again.
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.get_or_insert_default().entry(example).or_insert_with(|| build(example)).clone()
}

fn build(example: &str) -> PathBuf {
    // `…/target/tmp`, and `…/PROFILE/deps/server-…`.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let this = std::env::current_exe().unwrap();
    let profile = this.ancestors().nth(2).and_then(Path::file_name).unwrap();
    let profile = if profile == "debug" { "dev".as_ref() } else { profile };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--example", example, "--all-features", "--message-format"])
        .arg("json-render-diagnostics")
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .arg("--profile")
        .arg(profile)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let messages = built.stdout.split(|&byte| byte == b'\n');
    let mut messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let built = messages.find(|message| {
        message["target"]["name"] == example && message["target"]["kind"][0] == "example"
    });
    built.unwrap()["executable"].as_str().unwrap().into()
}

pub fn command(example: &'static str) -> Command {
    Command::new(executable(example))
}

/// A child that does not outlive its test.
pub struct Process {
    child: Child,
    pub output: Receiver<String>,
    pub errors: Receiver<String>,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = lines(child.stdout.take().unwrap());
        let errors = lines(child.stderr.take().unwrap());
        Self { child, output, errors }
    }

    pub fn url(&mut self) -> String {
        match self.output.recv_timeout(PATIENCE) {
            Ok(line) => line.strip_prefix("listening on ").unwrap().to_owned(),
            Err(_) => panic!("did not start: {:?}", self.errors.try_iter().collect::<Vec<_>>()),
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits for the end of the child, by the end of its output.
    pub fn exit(&mut self) -> ExitStatus {
        while match self.output.recv_timeout(PATIENCE) {
            Ok(_) => true,
            Err(RecvTimeoutError::Disconnected) => false,
            Err(RecvTimeoutError::Timeout) => panic!("it does not end"),
        } {}
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself. A child is killed by its id, which is its own until `wait`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        // The receiver leaves first if its test fails.
        BufReader::new(from).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
    });
    receiver
}

pub struct Server {
    pub process: Process,
    pub address: SocketAddr,
}

impl Server {
    /// Starts a command that says where it listens.
    pub fn of(command: &mut Command) -> Self {
        let mut process = Process::spawn(command);
        let address = process.url().strip_prefix("http://").unwrap().parse().unwrap();
        Self { process, address }
    }

    pub fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client { stream: BufReader::new(stream) }
    }

    /// A client with a poll on its way: see [`Self::until_parked`].
    pub fn parked(&self, channel: &str) -> Client {
        self.asking(&format!("/events/{channel}"), "")
    }

    /// A client with a `GET` on its way.
    pub fn asking(&self, target: &str, head: &str) -> Client {
        let mut client = self.connect();
        client.send("GET", target, head, b"");
        client
    }

    pub fn stats(&self) -> Value {
        self.connect().get("/stats").json()
    }

    pub fn until(&self, holds: impl Fn(&Value) -> bool) {
        self.connect().until(holds);
    }

    pub fn until_parked(&self, polls: usize) {
        self.until(|stats| stats["parked"] == polls);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.process.pid(), signal).unwrap();
    }

    pub fn exit(mut self) -> ExitStatus {
        self.process.exit()
    }
}

/// A connection of HTTP/1, by hand.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
    }

    /// Sends a request; its length is added unless `head` has its transfer encoding.
    pub fn send(&mut self, method: &str, target: &str, head: &str, body: &[u8]) {
        let length = match body.len() {
            0 => String::new(),
            _ if head.contains("transfer-encoding") => String::new(),
            length => format!("content-length: {length}\r\n"),
        };
        let head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\n{head}{length}\r\n");
        self.write(&[head.as_bytes(), body].concat());
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.send("GET", target, "", b"");
        self.answer()
    }

    /// The cursor of the event, and how many polls it woke.
    pub fn publish(&mut self, channel: &str, text: &str) -> (String, u64) {
        let head = "content-type: text/plain\r\n";
        self.send("POST", &format!("/events/{channel}"), head, text.as_bytes());
        let answer = self.answer();
        let woken = answer.json()["woken"].as_u64().unwrap();
        assert_eq!(answer.status, if woken > 0 { 201 } else { 202 });
        (answer.cursor(), woken)
    }

    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    pub fn answer_to(&mut self, method: &str) -> Answer {
        let line = self.line();
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let fields = std::iter::from_fn(|| Some(self.line()).filter(|line| !line.is_empty()));
        let field = |line: String| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let mut answer = Answer { status, headers: fields.map(field).collect(), body: Vec::new() };
        if method != "HEAD" && ![100, 204, 304].contains(&status) {
            let length = answer.header("content-length").map_or(0, |text| text.parse().unwrap());
            answer.body.resize(length, 0);
            self.stream.read_exact(&mut answer.body).unwrap();
        }
        answer
    }

    /// The next part of a body in parts; none after the last.
    pub fn chunk(&mut self) -> Option<String> {
        let mut chunk = vec![0; usize::from_str_radix(&self.line(), 16).unwrap()];
        self.stream.read_exact(&mut chunk).unwrap();
        assert_eq!(self.line(), "");
        (!chunk.is_empty()).then(|| String::from_utf8(chunk).unwrap())
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    /// Asks again and again: from outside of the process nothing else tells what it has got to.
    pub fn until(&mut self, holds: impl Fn(&Value) -> bool) {
        let start = Instant::now();
        loop {
            let stats = self.get("/stats").json();
            if holds(&stats) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "still {stats}");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn until_draining(&mut self) {
        self.until(|stats| stats["draining"] == true);
    }

    /// Says that nothing more will be said.
    pub fn leave_half(&mut self) {
        self.stream.get_ref().shutdown(Shutdown::Write).unwrap();
    }

    pub fn assert_closed(&mut self) {
        assert_eq!(self.stream.read(&mut [0]).unwrap(), 0);
    }
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} {}", self.status, text()))
    }

    pub fn cursor(&self) -> String {
        self.json()["cursor"].as_str().unwrap().to_owned()
    }

    /// The texts of the events.
    pub fn data(&self) -> Vec<String> {
        let json = self.json();
        let events = json["events"].as_array().unwrap();
        events.iter().map(|event| event["data"].as_str().unwrap().to_owned()).collect()
    }
}
