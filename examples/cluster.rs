//! Three servers that follow one log: what is published on one is answered on all, and a client goes on
//! elsewhere when its server is killed.
//!
//! ```text
//! cargo run --release --features nats --example cluster
//! ```
//!
//! It starts `nats-server` (Debian: `apt install nats-server`) and three copies of itself on free ports,
//! tells what happens, and ends them all.

use std::{
    env,
    error::Error,
    fs,
    io::{self, BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{self, Child, Command, Stdio},
    thread,
    time::Duration,
};

use axum::Router;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tower_longpoll::{
    Hub, LongPollLayer, PathRoute, PublishService, Reply,
    backplane::{Backplane, nats::Nats},
};

type Failed = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    match env::args().collect::<Vec<_>>().as_slice() {
        [_] => show().await,
        [_, kind, listen, engine] if kind == "node" => serve(listen, engine).await,
        _ => Err("this example takes no arguments".into()),
    }
}

/// One node: as with one process, but for the first line.
async fn serve(listen: &str, engine: &str) -> Result<(), Failed> {
    let backplane = Backplane::join(Hub::builder(), Nats::new(engine, "cluster-example")).await?;
    backplane.ready().await;
    let hub = backplane.hub().clone();
    let channels = PathRoute::new("/events/{channel}")?;
    let publish = PublishService::new(hub.clone(), channels.clone()).also_allow(Method::GET);
    let app = Router::new()
        .fallback_service(publish)
        .layer(LongPollLayer::new(hub, channels).reply(Reply::Json));
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}

/// What there is to see.
async fn show() -> Result<(), Failed> {
    let engine = Engine::start()?;
    let url = format!("nats://127.0.0.1:{}", engine.port);
    println!("an engine at {url}");
    let mut nodes = Vec::new();
    for name in ["one", "two", "three"] {
        let node = Node::start("127.0.0.1:0", &url)?;
        println!("node {name} at http://{}", node.address);
        nodes.push(node);
    }
    let [one, mut two, three] = <[Node; 3]>::try_from(nodes).map_err(|_| "three nodes")?;
    let http = Http(Client::builder(TokioExecutor::new()).build_http());

    // Where the client stands before anything happens.
    let begun = http.get(&two, "wait=0").await?;
    let cursor = cursor(&begun)?;
    println!("\na client polls node two since {cursor}, and \"e4\" is published on node one:");
    let poll = format!("cursor={cursor}&wait=20");
    let (answer, ()) = tokio::try_join!(http.get(&two, &poll), http.post(&one, "e4"))?;
    println!("  node two answers {}", events(&answer));

    println!(
        "\nnode two is killed; \"e5\" is published on node three, and the client goes to node one:"
    );
    let address = two.address.clone();
    two.kill();
    http.post(&three, "e5").await?;
    let poll = format!("cursor={}&wait=20", self::cursor(&answer)?);
    let answer = http.get(&one, &poll).await?;
    println!("  node one answers {}", events(&answer));

    println!("\nnode two comes back, with the log, and the client asks it the same again:");
    two = Node::start(&address, &url)?;
    let again = http.get(&two, &poll).await?;
    println!("  node two answers {}", events(&again));
    if again == answer { Ok(()) } else { Err("the nodes do not agree".into()) }
}

fn cursor(answer: &Value) -> Result<String, Failed> {
    let cursor = answer.get("cursor").and_then(Value::as_str);
    Ok(cursor.ok_or("an answer has a cursor")?.to_owned())
}

fn events(answer: &Value) -> String {
    answer.get("events").map(Value::to_string).unwrap_or_default()
}

struct Http(Client<HttpConnector, Full<bytes::Bytes>>);

impl Http {
    async fn get(&self, node: &Node, query: &str) -> Result<Value, Failed> {
        let uri = format!("http://{}/events/moves?{query}", node.address);
        let answer = self.0.request(Request::get(uri).body(Full::default())?).await?;
        Ok(serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?)
    }

    async fn post(&self, node: &Node, text: &'static str) -> Result<(), Failed> {
        let uri = format!("http://{}/events/moves", node.address);
        let request = Request::post(uri).header("content-type", "text/plain");
        let answer = self.0.request(request.body(text.into())?).await?;
        if answer.status() == 201 { Ok(()) } else { Err(answer.status().to_string().into()) }
    }
}

/// A copy of this program that serves; it ends with this one.
struct Node {
    child: Child,
    address: String,
}

impl Node {
    fn start(listen: &str, engine: &str) -> Result<Self, Failed> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["node", listen, engine]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut address = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut address)?;
        }
        Ok(Self { child, address: address.trim().to_owned() })
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

struct Engine {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Engine {
    fn start() -> Result<Self, Failed> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let folder = env::temp_dir().join(format!("cluster-example-{}", process::id()));
        let mut command = Command::new("nats-server");
        command.arg("-js").arg("-sd").arg(&folder).args(["-a", "127.0.0.1", "-p"]);
        command.arg(port.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| {
            io::Error::new(error.kind(), format!("nats-server cannot be started: {error}"))
        })?;
        let engine = Self { child, port, folder };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
