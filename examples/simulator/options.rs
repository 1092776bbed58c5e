//! What is asked for on the command line.

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use http::Uri;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ramps up clients against a long-poll server, publishes, and counts what they miss.
#[derive(Parser)]
#[command(name = "simulator")]
pub(crate) struct Options {
    /// The server; polls and publishes go to the path `events/CHANNEL` below it
    #[arg(value_name = "URL", value_parser = server)]
    pub(crate) server: Uri,
    /// How many clients poll at once
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) clients: u32,
    /// Over how long they start, one after the other
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) ramp: Duration,
    /// How many channels they share evenly
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) channels: u32,
    /// What the channels' names begin with
    #[arg(long, value_name = "NAME", default_value = "sim.")]
    pub(crate) prefix: String,
    /// Events of all channels together; 0 for none
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10.0, value_parser = rate)]
    pub(crate) publish_rate: f64,
    /// How long all clients poll, after the ramp
    #[arg(long, value_name = "SECONDS", default_value = "20", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// How long a poll asks to be held, sent as `wait=`
    #[arg(long, value_name = "SECONDS", default_value = "25", value_parser = seconds)]
    pub(crate) hold: Duration,
    /// HTTP/2 with prior knowledge: 200 clients share a connection
    #[arg(long)]
    pub(crate) h2: bool,
    /// A page that is fetched ten times a second meanwhile
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub(crate) page: Option<String>,
    /// Where to draw the latencies, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Where to write the results, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

fn server(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (uri.scheme_str(), uri.host(), uri.query()) {
        (Some("http"), Some(_), None) => Ok(uri),
        (Some("http"), Some(_), Some(_)) => Err("the server's URL has a query".into()),
        (Some("https"), ..) => Err("only http is spoken: put the server behind no TLS".into()),
        _ => Err("not a URL such as http://127.0.0.1:3000".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse::<u32>().map(|seconds| Duration::from_secs(seconds.into()))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate == 0.0 || (0.001..=1e6).contains(&rate) => Ok(rate),
        _ => Err("not a number from 0.001 to 1000000, or 0".into()),
    }
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.parse::<Uri>().is_ok() {
        Ok(text.into())
    } else {
        Err("not a path such as /stats".into())
    }
}

/// Clients that share a connection: what servers commonly allow.
pub(crate) const STREAMS: u32 = 200;

/// Open files beside the clients' connections.
const OTHER_FILES: u64 = 64;

impl Options {
    /// The one address that every connection goes to.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        let host = self.server.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.server.port_u16().unwrap_or(80);
        let mut found = (host, port).to_socket_addrs()?;
        found.next().ok_or_else(|| io::Error::other(format!("{host} has no address")))
    }

    /// The path of a channel, or of any other place below the server's own.
    pub(crate) fn below(&self, path: &str) -> String {
        format!("{}{path}", self.server.path().trim_end_matches('/'))
    }

    pub(crate) fn connections(&self) -> u32 {
        if self.h2 { self.clients.div_ceil(STREAMS) } else { self.clients }
    }

    /// Raises the limit of open files as far as it goes, and says so if that is not far enough.
    pub(crate) fn open_files(&self) -> Result<(), String> {
        let mut limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = raised;
        }
        let (clients, connections) = (self.clients, u64::from(self.connections()));
        match limit.current {
            Some(files) if files < connections + OTHER_FILES => Err(format!(
                "{clients} clients need {connections} connections, each an open file, and this \
                 process may have {files} (ulimit -n): use --clients {} or fewer{}",
                (files.saturating_sub(OTHER_FILES)) * if self.h2 { u64::from(STREAMS) } else { 1 },
                if self.h2 { "" } else { ", or --h2, where 200 share a connection" },
            )),
            _ => Ok(()),
        }
    }
}
