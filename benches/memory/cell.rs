//! One figure: polls of one kind, in one form, are parked, measured, and let go.

use std::{
    fmt,
    future::Future,
    hint::black_box,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    runtime::Builder,
    task::{JoinHandle, yield_now},
    time::sleep,
};
use tower::{Service, ServiceExt};
use tower_longpoll::Hub;

use super::{
    HEAP, http,
    work::{
        Broadcast, Notifying, Oneshots, Watching,
        clock::worked,
        rooms::{Room, Rooms},
        subject::{self, Subject},
    },
};

pub const KINDS: &[&str] = &["ours", "notify+history", "broadcast", "watch", "oneshot"];

/// As a future in a box (those that are written by hand cannot be polled elsewhere, so ours is in
/// one, too), as a task, and as a request that a service has been called with: the response's future
/// alone, and with the request's place beside it, as `ServiceExt::oneshot` has it.
pub const FORMS: &[&str] = &["bare", "task", "call", "oneshot"];

/// What to measure.
pub struct Cell<'a> {
    kind: &'a str,
    form: &'a str,
    /// Whether each poll has a channel of its own.
    own: bool,
}

impl<'a> Cell<'a> {
    pub fn parse(text: &'a str) -> Self {
        let mut words = text.split(' ');
        let mut word = || words.next().unwrap();
        Self { kind: word(), form: word(), own: word() == "own" }
    }
}

/// In bytes and nanoseconds, beyond what there was before the first poll.
pub struct Figures {
    heap: i64,
    resident: i64,
    heap_that_stays: i64,
    resident_that_stays: i64,
    pub longest_park: u64,
}

impl Figures {
    pub fn parse(text: &str) -> Self {
        let mut numbers = text.split_whitespace().map(|word| word.parse::<i64>().unwrap());
        let mut number = || numbers.next().unwrap();
        Self {
            heap: number(),
            resident: number(),
            heap_that_stays: number(),
            resident_that_stays: number(),
            longest_park: number() as u64,
        }
    }

    pub fn per_poll(&self, count: usize) -> [String; 4] {
        [self.heap, self.resident, self.heap_that_stays, self.resident_that_stays]
            .map(|bytes| format!("{:.0}", bytes as f64 / count as f64))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heap, resident, heap_that_stays, resident_that_stays, longest_park } = self;
        write!(f, "{heap} {resident} {heap_that_stays} {resident_that_stays} {longest_park}")
    }
}

pub fn measure(cell: Cell<'_>, count: usize) -> Figures {
    match cell.kind {
        "ours" => measure_ours(&cell, count),
        "notify+history" => measure_hand(Notifying::new(), &cell, count),
        "broadcast" => measure_hand(Broadcast::new(), &cell, count),
        "watch" => measure_hand(Watching::new(), &cell, count),
        "oneshot" => measure_hand(Oneshots::new(), &cell, count),
        other => panic!("no such kind: {other}"),
    }
}

fn measure_ours(cell: &Cell<'_>, count: usize) -> Figures {
    let hub = <Hub as Subject>::new();
    match cell.form {
        "call" | "oneshot" => measure_service(cell, count, http::ours(hub)),
        _ => measure_waits(cell, count, &hub),
    }
}

fn measure_hand<R: Room>(rooms: Rooms<R>, cell: &Cell<'_>, count: usize) -> Figures {
    match cell.form {
        "call" | "oneshot" => measure_service(cell, count, http::by_hand(rooms)),
        _ => measure_waits(cell, count, &rooms),
    }
}

fn measure_service<S>(cell: &Cell<'_>, count: usize, service: S) -> Figures
where
    S: Service<http::Ask> + Clone,
{
    if cell.form == "oneshot" {
        return hold(cell, count, |name| service.clone().oneshot(http::request(name)));
    }
    // Such services are always ready.
    hold(cell, count, |name| service.clone().call(http::request(name)))
}

fn measure_waits<S: Subject>(cell: &Cell<'_>, count: usize, subject: &S) -> Figures {
    let wait = |name: &str| subject::wait(subject, &S::name(name), None);
    if cell.form == "task" { spawn(cell, count, wait) } else { hold(cell, count, wait) }
}

impl Cell<'_> {
    /// The name of the channel that a poll waits on.
    fn name(&self, number: usize) -> String {
        format!("channel:{:07}", if self.own { number } else { 0 })
    }
}

/// Polls every future once and keeps it.
fn hold<F: Future>(cell: &Cell<'_>, count: usize, make: impl Fn(&str) -> F) -> Figures {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let mut cx = Context::from_waker(Waker::noop());
    // Whoever keeps the futures has the places for them.
    let mut places: Vec<Option<Pin<Box<F>>>> = (0..count).map(|_| None).collect();
    black_box(&mut places);
    let before = Used::now();
    let mut longest = 0;
    for (number, place) in places.iter_mut().enumerate() {
        let name = cell.name(number);
        let start = worked();
        let future = place.insert(Box::pin(make(&name)));
        assert!(future.as_mut().poll(&mut cx).is_pending(), "nothing has happened yet");
        longest = longest.max(worked() - start);
    }
    let peak = Used::now();
    places.iter_mut().for_each(|place| *place = None);
    Figures::of([before, peak, Used::now()], longest)
}

/// Has every future run as a task.
fn spawn<F>(cell: &Cell<'_>, count: usize, make: impl Fn(&str) -> F) -> Figures
where
    F: Future<Output: Send> + Send + 'static,
{
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut places: Vec<Option<JoinHandle<F::Output>>> = (0..count).map(|_| None).collect();
        black_box(&mut places);
        // The runtime has its own first task by now.
        tokio::spawn(async {}).await.unwrap();
        let before = Used::now();
        for (number, place) in places.iter_mut().enumerate() {
            *place = Some(tokio::spawn(make(&cell.name(number))));
            if number % 64 == 0 {
                // So that the queue of new tasks stays short.
                yield_now().await;
            }
        }
        sleep(Duration::from_millis(20)).await;
        let peak = Used::now();
        places.iter().flatten().for_each(JoinHandle::abort);
        for place in &mut places {
            drop(place.take().unwrap().await);
        }
        Figures::of([before, peak, Used::now()], 0)
    })
}

/// What the process has in use.
struct Used {
    heap: i64,
    resident: i64,
}

impl Used {
    fn now() -> Self {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: i64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        let heap = HEAP.current_usage() as i64;
        Self { heap, resident: pages * rustix::param::page_size() as i64 }
    }
}

impl Figures {
    fn of([before, peak, after]: [Used; 3], longest_park: u64) -> Self {
        Self {
            heap: peak.heap - before.heap,
            resident: peak.resident - before.resident,
            heap_that_stays: after.heap - before.heap,
            resident_that_stays: after.resident - before.resident,
            longest_park,
        }
    }
}
