//! An engine and the servers that follow its log, as processes.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::task::block_in_place;

use crate::process::{Server, command};

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Nats,
    Redis,
}

/// An engine with a folder of its own, which both go with it.
pub(crate) struct Engine {
    kind: Kind,
    port: u16,
    folder: PathBuf,
    child: Option<Child>,
}

impl Engine {
    /// None, and says so, if the engine is not installed; where it has to be, that is a failure.
    pub(crate) fn start(kind: Kind) -> Option<Self> {
        let name = kind.program();
        if Command::new(&name).arg("--version").stdout(Stdio::null()).status().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{name} is not installed");
            println!("skipped: {name} is not installed");
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("cluster-{port}"));
        fs::create_dir_all(&folder).unwrap();
        let mut engine = Self { kind, port, folder, child: None };
        engine.run();
        Some(engine)
    }

    fn run(&mut self) {
        let (port, folder) = (self.port.to_string(), self.folder.to_str().unwrap());
        let mut command = Command::new(self.kind.program());
        match self.kind {
            Kind::Nats => command.args(["-js", "-sd", folder, "-a", "127.0.0.1", "-p", &port]),
            Kind::Redis => command
                .args(["--bind", "127.0.0.1", "--port", &port, "--dir", folder, "--save", ""])
                .args(["--appendonly", "yes", "--appendfsync", "always"]),
        };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            // A connection may have its port for a moment.
            if child.try_wait().unwrap().is_some() {
                child = command.spawn().unwrap();
            }
            std::thread::yield_now();
        }
        self.child = Some(child);
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    fn restart(&mut self) {
        self.signal(Signal::TERM);
        self.child.take().unwrap().wait().unwrap();
        self.run();
    }

    fn arguments(&self) -> [String; 2] {
        match self.kind {
            Kind::Nats => ["--nats".into(), format!("nats://127.0.0.1:{}", self.port)],
            Kind::Redis => ["--redis".into(), format!("redis://127.0.0.1:{}", self.port)],
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Kind {
    /// In `REDIS_SERVER` may be the name of Valkey's.
    fn program(self) -> String {
        match self {
            Self::Nats => "nats-server".to_owned(),
            Self::Redis => std::env::var("REDIS_SERVER").unwrap_or("redis-server".to_owned()),
        }
    }
}

/// What goes wrong.
#[derive(Debug)]
pub(crate) enum Fault {
    /// A server is killed, and comes back.
    Killed(usize),
    /// A server is asked to leave, and comes back.
    Drained(usize),
    /// The engine stops in the middle of whatever it does, and goes on.
    Paused,
    /// The engine is restarted with its data.
    Restarted,
}

impl Fault {
    pub(crate) fn any(random: &mut Random) -> Self {
        match random.below(6) {
            0 | 1 => Self::Killed(random.below(3)),
            2 => Self::Drained(random.below(3)),
            3 | 4 => Self::Paused,
            _ => Self::Restarted,
        }
    }
}

pub(crate) struct Nodes {
    // Dropped first.
    servers: Vec<Mutex<Option<Server>>>,
    pub(crate) addresses: Vec<SocketAddr>,
    engine: Mutex<Engine>,
}

impl Nodes {
    pub(crate) fn start(engine: Engine, count: usize) -> Self {
        let engine = Mutex::new(engine);
        let mut nodes = Self { servers: Vec::new(), addresses: Vec::new(), engine };
        for _ in 0..count {
            let server = nodes.server("127.0.0.1:0".parse().unwrap());
            nodes.addresses.push(server.address);
            nodes.servers.push(Mutex::new(Some(server)));
        }
        nodes
    }

    fn server(&self, listen: SocketAddr) -> Server {
        let engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner).arguments();
        let listen = listen.to_string();
        let arguments = ["--listen", &listen, "--threads", "1", "--history", "100000"];
        Server::of(command("server").args(arguments).args(engine))
    }

    /// Suffers a fault; `progress` returns when clients have had some answers meanwhile.
    pub(crate) async fn suffer(&self, fault: Fault, progress: impl Future<Output = ()>) {
        println!("{fault:?}");
        match fault {
            Fault::Killed(node) => self.leave(node, Signal::KILL),
            Fault::Drained(node) => self.leave(node, Signal::TERM),
            Fault::Paused => {
                self.engine().signal(Signal::STOP);
                progress.await;
                self.engine().signal(Signal::CONT);
            }
            Fault::Restarted => block_in_place(|| self.engine().restart()),
        }
    }

    fn engine(&self) -> std::sync::MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, node: usize, signal: Signal) {
        block_in_place(|| {
            let mut server = self.servers[node].lock().unwrap();
            let old = server.take().unwrap();
            old.signal(signal);
            old.exit();
            *server = Some(self.server(self.addresses[node]));
        });
    }
}

/// A stream of numbers that a seed gives again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn fork(&mut self) -> Self {
        Self(self.next())
    }
}
