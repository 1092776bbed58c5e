//! A server of NATS for a test, in a process and a folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// Longer than anything takes that goes well.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// Whether there is a server to test with. Where all tests must run, it is a failure if not.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("nats-server").arg("--version").stdout(Stdio::null()).status();
    let is_installed = version.is_ok_and(|status| status.success());
    if !is_installed {
        let is_gate = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_gate, "nats-server is not installed");
        // Not by a macro: the harness would keep it back, since the test passes.
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default();
        let _ = writeln!(std::io::stdout(), "skipped: nats-server is not installed ({test})");
    }
    is_installed
}

/// Streams reserve what they may take; the tests need little of it.
const JETSTREAM: &str = "jetstream: { max_file: 1TB }";

pub(crate) struct Server {
    child: Option<Child>,
    folder: PathBuf,
    port: u16,
    settings: &'static str,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(JETSTREAM)
    }

    /// With more settings, as its file has them.
    pub(crate) fn start_with(settings: &'static str) -> Self {
        static SERVERS: AtomicU32 = AtomicU32::new(0);
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-longpoll-nats-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        let mut server = Self { child: None, folder, port: free_port(), settings };
        // Another process may be quicker to take the port.
        for _ in 0..10 {
            if server.run() {
                return server;
            }
            server.port = free_port();
        }
        panic!("nats-server does not start")
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Ends it at once. What it stored stays.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn start_again(&mut self) {
        assert!(self.run(), "nats-server does not start again");
    }

    /// What was stored is gone. Only when it was ended.
    pub(crate) fn lose_data(&self) {
        assert!(self.child.is_none());
        fs::remove_dir_all(&self.folder).unwrap();
    }

    /// It keeps its connections, and does nothing until it is let go on.
    pub(crate) fn stop(&self) {
        let child = self.signal(Signal::STOP);
        // Its threads may run on for a moment.
        waitpid(Some(child), WaitOptions::UNTRACED).unwrap();
    }

    pub(crate) fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) -> Pid {
        let child = Pid::from_child(self.child.as_ref().unwrap());
        kill_process(child, signal).unwrap();
        child
    }

    /// Whether it runs, and takes connections.
    fn run(&mut self) -> bool {
        fs::create_dir_all(&self.folder).unwrap();
        let settings = self.folder.join("settings");
        // Room for an event of 1 MiB and its headers.
        fs::write(&settings, format!("max_payload: 2MB\n{}\n", self.settings)).unwrap();
        let log = fs::File::create(self.folder.join("log")).unwrap();
        let port = self.port.to_string();
        let child = Command::new("nats-server")
            .args([Path::new("-c"), &settings, Path::new("-sd"), &self.folder])
            .args(["-a", "127.0.0.1", "-p", &port])
            .stdin(Stdio::null())
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let child = self.child.insert(child);
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if child.try_wait().unwrap().is_some() {
                return false;
            }
            if says_who_it_is(self.port) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn says_who_it_is(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let mut line = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO")
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
