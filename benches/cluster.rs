//! What a log costs: beside one hub, hubs that follow a log in memory, in NATS and in Redis.
//!
//! `cargo bench --features nats,redis --bench cluster [-- --entries 1000000]` starts the engines that it finds,
//! with folders of their own, and prints Markdown. All hubs are in this process: what an engine takes is
//! not in the CPU time.

use std::{
    error::Error,
    fs,
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime;
use tower_longpoll::{
    Channel, Hub, HubBuilder, Waited,
    backplane::{Backplane, Driver, MemoryLog, nats::Nats, redis::Redis},
};

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let arguments: Vec<_> = std::env::args().collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let entries = arguments.iter().position(|argument| argument == "--entries");
    let entries = entries.and_then(|place| arguments.get(place + 1)?.parse().ok());
    let sizes = Sizes {
        rounds: if is_test { 20 } else { 5_000 },
        events: if is_test { 200 } else { 50_000 },
        entries: entries.unwrap_or(if is_test { 500 } else { 1_000_000 }),
    };
    println!(
        "| log | publish to answer on another node, p50 / p99 | events stored a second, 100 at once | CPU an event, 1 / 2 / 3 nodes | a node starts with {} entries |",
        sizes.entries
    );
    println!("|---|---|---|---|---|");
    let runtime = runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let spread = runtime.block_on(async { local(sizes.rounds).await })?;
    println!("| none, one hub | {spread} | | | |");
    let memory = MemoryLog::new();
    runtime.block_on(measure("memory", &sizes, || Ok(memory.clone())))?;
    if let Some(engine) = Engine::start("nats-server") {
        let url = format!("nats://127.0.0.1:{}", engine.port);
        runtime.block_on(measure("NATS 2.9, one server", &sizes, || {
            Ok(Nats::new(url.as_str(), "bench"))
        }))?;
    }
    if let Some(engine) = Engine::start("redis-server") {
        let url = format!("redis://127.0.0.1:{}", engine.port);
        runtime.block_on(measure("Redis 7.0, appendonly", &sizes, || {
            Ok(Redis::new(&url, "bench")?)
        }))?;
    }
    Ok(())
}

struct Sizes {
    rounds: usize,
    events: usize,
    entries: usize,
}

/// Enough room for all of it, so that nothing is let go.
fn settings() -> HubBuilder {
    Hub::builder().history_events(1 << 20).history_bytes(1 << 30).total_history_bytes(1 << 30)
}

async fn local(rounds: usize) -> Result<String, Failed> {
    let (hub, channel) = (Hub::new(), Channel::new("latency")?);
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let parked = tokio::spawn(hub.wait([&channel]));
        until(|| hub.stats().parked > 0).await;
        let start = Instant::now();
        hub.publish(&channel, "event")?;
        parked.await?;
        times.push(start.elapsed());
    }
    Ok(percentiles(times))
}

async fn measure<D: Driver>(
    name: &str,
    sizes: &Sizes,
    driver: impl Fn() -> Result<D, Failed>,
) -> Result<(), Failed>
where
    D::Error: 'static,
{
    let mut nodes = vec![join(driver()?).await?];
    let mut costs = Vec::new();
    let mut rate = 0.0;
    for count in 1..=3 {
        if nodes.len() < count {
            nodes.push(join(driver()?).await?);
        }
        let (cpu, start) = (cpu(), Instant::now());
        publish(&nodes, sizes.events).await?;
        costs.push(format!("{:.1}", (cpu_since(cpu)).as_secs_f64() * 1e6 / sizes.events as f64));
        if count == 2 {
            rate = sizes.events as f64 / start.elapsed().as_secs_f64();
        }
    }
    let spread = latency(&nodes, sizes.rounds).await?;
    let stored = 3 * sizes.events + sizes.rounds;
    publish(&nodes, sizes.entries.saturating_sub(stored)).await?;
    drop(nodes);
    let start = Instant::now();
    let node = join(driver()?).await?;
    let begun = start.elapsed();
    println!(
        "| {name} | {spread} | {rate:.0} | {} us | {:.2} s ({:.0} a second) |",
        costs.join(" / "),
        begun.as_secs_f64(),
        node.hub().stats().history_events as f64 / begun.as_secs_f64()
    );
    Ok(())
}

async fn join<D: Driver>(driver: D) -> Result<Backplane, Failed> {
    let node = Backplane::join(settings(), driver).await.map_err(|error| error.to_string())?;
    node.ready().await;
    Ok(node)
}

/// Publishes on the first node, 100 at a time on 1,000 channels, until all nodes have applied it.
async fn publish(nodes: &[Backplane], count: usize) -> Result<(), Failed> {
    let Some(first) = nodes.first() else { return Ok(()) };
    let tasks: Vec<_> = (0..100)
        .map(|task| {
            let publisher = first.publisher().clone();
            tokio::spawn(async move {
                for number in (task..count).step_by(100) {
                    let channel = Channel::new(format!("c{}", number % 1_000));
                    let channel = channel.map_err(|error| error.to_string())?;
                    let published = publisher.publish(&channel, [7_u8; 64].to_vec()).await;
                    published.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    // The last of these is behind all others.
    let last = first.publisher().publish(&Channel::new("last")?, "").await?;
    for node in nodes {
        until(|| node.hub().cursor() == last).await;
    }
    Ok(())
}

async fn latency(nodes: &[Backplane], rounds: usize) -> Result<String, Failed> {
    let [here, there, ..] = nodes else { return Err("two nodes".into()) };
    let channel = Channel::new("latency")?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let parked = tokio::spawn(there.hub().wait([&channel]));
        until(|| there.hub().stats().parked > 0).await;
        let start = Instant::now();
        here.publisher().publish(&channel, "event").await?;
        let Waited::Events(_) = parked.await? else { return Err("no event".into()) };
        times.push(start.elapsed());
    }
    Ok(percentiles(times))
}

async fn until(mut holds: impl FnMut() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    format!("{:.0} / {:.0} us", at(50).as_secs_f64() * 1e6, at(99).as_secs_f64() * 1e6)
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

fn cpu_since(before: Duration) -> Duration {
    cpu() - before
}

/// An engine with a folder of its own, which both go with it.
struct Engine {
    port: u16,
    folder: PathBuf,
    child: Child,
}

impl Engine {
    fn start(name: &str) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
        let folder = std::env::temp_dir().join(format!("bench-{name}-{port}"));
        fs::create_dir_all(&folder).ok()?;
        let (text, place) = (port.to_string(), folder.to_str()?);
        let mut command = Command::new(name);
        if name == "nats-server" {
            command.args(["-js", "-sd", place, "-a", "127.0.0.1", "-p", &text]);
        } else {
            command.args(["--bind", "127.0.0.1", "--port", &text, "--dir", place, "--save", ""]);
            command.args(["--appendonly", "yes"]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            println!("| {name} is not installed | | | | |");
            return None;
        };
        let engine = Self { port, folder, child };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        Some(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
