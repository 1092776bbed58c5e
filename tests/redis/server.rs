//! A server of Redis, started for a test, and a way to it that can be cut.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{net::TcpStream, sync::watch};

/// After this long something is taken to hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server that does not outlive its test, and neither does its folder.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    options: Vec<&'static str>,
    pub(crate) port: u16,
}

impl Server {
    /// None if there is none installed, where that is allowed.
    pub(crate) async fn start(options: &[&'static str]) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tower-longpoll-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        loop {
            std::fs::create_dir_all(&folder).unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let Some(child) = spawn(port, &folder, options) else {
                let _ = std::fs::remove_dir_all(&folder);
                assert!(std::env::var("CI").is_err(), "redis-server is not installed");
                println!("skipped: redis-server is not installed");
                return None;
            };
            let (folder, options) = (folder.clone(), options.to_vec());
            let mut server = Self { child, folder, options, port };
            // Somebody else may have taken the port meanwhile.
            if server.wait().await {
                return Some(server);
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Until it answers. False if it has ended instead.
    async fn wait(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            match self.try_ask::<redis::Value>(&["PING"]).await {
                Ok(_) => return true,
                Err(error) if error.code() == Some("NOAUTH") => return true,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("redis-server does not answer");
    }

    async fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection = client.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await
    }

    /// As somebody else who uses the server.
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).await.unwrap()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) async fn start_again(&mut self) {
        let start = Instant::now();
        loop {
            self.child = spawn(self.port, &self.folder, &self.options).unwrap();
            if self.wait().await {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "redis-server does not start again");
        }
    }

    pub(crate) fn lose_data(&self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
        std::fs::create_dir(&self.folder).unwrap();
    }

    fn saved(&self) -> PathBuf {
        self.folder.with_extension("saved")
    }

    pub(crate) fn save_data(&self) {
        copy(&self.folder, &self.saved());
    }

    pub(crate) fn restore_data(&self) {
        std::fs::remove_dir_all(&self.folder).unwrap();
        copy(&self.saved(), &self.folder);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = std::fs::remove_dir_all(self.saved());
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(copied.success());
}

fn spawn(port: u16, folder: &std::path::Path, options: &[&str]) -> Option<Child> {
    // Valkey's, if that is named.
    let program = std::env::var("REDIS_SERVER");
    let mut command = Command::new(program.as_deref().unwrap_or("redis-server"));
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]).arg("--dir").arg(folder);
    command.args(["--appendonly", "yes", "--appendfsync", "always"]).args(options);
    match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        child => Some(child.unwrap()),
    }
}

/// Until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A way to a server that can be cut, for one node and not for the others.
pub(crate) struct Way {
    pub(crate) address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Way {
    pub(crate) async fn to(server: &Server) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, port) = (listener.local_addr().unwrap(), server.port);
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut here, _)) = listener.accept().await {
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let mut there = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
                        _ = is_open.wait_for(|is_open| !is_open) => {}
                    }
                });
            }
        });
        Self { address, open }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}
