//! The servers: how each is started, and how its requests look.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::proc::{pin, resident};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Example,
    Axum,
    Nchan,
}

pub(crate) struct Contender {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    program: PathBuf,
}

/// The example first, built as `cargo bench` is: with all optimisations.
pub(crate) fn all(also: &[PathBuf], is_alone: bool) -> Vec<Contender> {
    let example = |(name, program)| Contender { kind: Kind::Example, name, program };
    let mut all = vec![example(("examples/server.rs".into(), build()))];
    all.extend(also.iter().map(|path| example((path.display().to_string(), path.clone()))));
    if is_alone {
        return all;
    }
    let program = env::current_exe().unwrap();
    all.push(Contender { kind: Kind::Axum, name: "plain axum".into(), program });
    let nginx = Path::new("/usr/sbin/nginx");
    if nginx.exists() && Path::new(NCHAN).exists() {
        all.push(Contender { kind: Kind::Nchan, name: "nchan".into(), program: nginx.into() });
    } else {
        eprintln!("skipped: nchan, since there is no {} or no {NCHAN}", nginx.display());
    }
    all
}

const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

fn build() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--example", "server"])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "the example does not build");
    let messages = built.stdout.split(|&byte| byte == b'\n');
    let mut messages = messages.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let built = messages.find(|message| {
        message["target"]["name"] == "server" && message["target"]["kind"][0] == "example"
    });
    built.unwrap()["executable"].as_str().unwrap().into()
}

impl Contender {
    /// Starts it with one event an answer, as the rivals have it.
    pub(crate) fn start(&self) -> Server {
        self.start_with(&["--reply", "raw"])
    }

    /// Starts it on core 0, the example with these options; the caller is on core 1 afterwards.
    pub(crate) fn start_with(&self, options: &[&str]) -> Server {
        pin(0);
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut configuration = None;
        match self.kind {
            Kind::Example => {
                command.args(["--listen", "127.0.0.1:0", "--threads", "1"]).args(options);
                command.args(["--hold", "600", "--max-hold", "600", "--jitter", "0"]);
            }
            Kind::Axum => {
                command.arg("--serve-axum");
            }
            Kind::Nchan => {
                let (address, folder) = (free_address(), env::temp_dir().join("nchan-bench"));
                fs::create_dir_all(&folder).unwrap();
                let file = folder.join("nginx.conf");
                fs::write(&file, nchan(address, &folder)).unwrap();
                command.arg("-p").arg(&folder).arg("-c").arg(file);
                configuration = Some(address);
            }
        }
        let mut child = command.spawn().unwrap();
        let address = configuration.unwrap_or_else(|| announced(&mut child));
        pin(1);
        while TcpStream::connect(address).is_err() {
            thread::sleep(Duration::from_millis(5));
        }
        Server { kind: self.kind, child, address }
    }
}

/// The address in the first line that a server prints.
fn announced(child: &mut Child) -> SocketAddr {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().rsplit('/').next().unwrap().parse().unwrap()
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

fn nchan(address: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "load_module {NCHAN};
        daemon off;
        master_process off;
        worker_processes 1;
        worker_rlimit_nofile 20000;
        error_log /dev/null crit;
        pid {folder}/pid;
        events {{ worker_connections 19000; }}
        http {{
            access_log off;
            tcp_nodelay on;
            keepalive_timeout 3600;
            keepalive_requests 100000000;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            nchan_shared_memory_size 256M;
            nchan_message_buffer_length 1000;
            nchan_message_timeout 1h;
            nchan_subscriber_timeout 600;
            server {{
                listen {address} backlog=4096;
                location ~ ^/sub/(.+)$ {{ nchan_subscriber longpoll; nchan_channel_id $1; }}
                location ~ ^/pub/(.+)$ {{ nchan_publisher; nchan_channel_id $1; }}
            }}
        }}"
    )
}

/// A process under test, ended when this is dropped.
pub(crate) struct Server {
    kind: Kind,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// The target of a poll that waits long. Its cursor, if it has one, comes in header fields.
    pub(crate) fn poll(&self, channel: &str) -> String {
        match self.kind {
            Kind::Example | Kind::Axum => format!("/events/{channel}?wait=600"),
            Kind::Nchan => format!("/sub/{channel}"),
        }
    }

    pub(crate) fn publish(&self, channel: &str) -> String {
        match self.kind {
            Kind::Example | Kind::Axum => format!("/events/{channel}"),
            Kind::Nchan => format!("/pub/{channel}"),
        }
    }

    /// Resident memory, once it has come to rest: then all that was sent has been read.
    pub(crate) fn settled(&self) -> f64 {
        let mut last = resident(self.process());
        loop {
            thread::sleep(Duration::from_millis(300));
            let now = resident(self.process());
            if (now - last).abs() <= 64.0 * 1_024.0 {
                return now;
            }
            last = now;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself. A child is killed by its id, which is its own until `wait`.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
