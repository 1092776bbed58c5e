//! What the machine and tokio allow: nobody who does such a thing can be faster.

use std::{
    collections::hash_map::RandomState,
    future::poll_fn,
    hash::BuildHasher,
    hint::black_box,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use super::{
    subject::{payload, shuffled},
    tasks::{Parked, joined},
    world::{World, time},
};

pub(crate) struct Floor {
    pub(crate) name: &'static str,
    /// How long it takes to do it as often.
    pub(crate) run: fn(usize) -> Duration,
}

pub(crate) const FLOORS: [Floor; 7] = [
    Floor { name: "lock and unlock a mutex", run: lock },
    Floor { name: "add to an atomic number", run: add },
    Floor { name: "read the clock", run: clock },
    Floor { name: "hash a name of 16 bytes", run: hash },
    Floor { name: "clone and drop `Bytes`", run: bytes },
    Floor { name: "read what is in no cache, and where to read next", run: chase },
    Floor { name: "tokio: a task from `wake` to joined", run: wake_tasks },
];

fn lock(count: usize) -> Duration {
    let mutex = Mutex::new(0_u64);
    time(|| (0..count).for_each(|_| *black_box(&mutex).lock().unwrap() += 1))
}

fn add(count: usize) -> Duration {
    let number = AtomicU64::new(0);
    time(|| (0..count).for_each(|_| _ = black_box(&number).fetch_add(1, Ordering::Relaxed)))
}

fn clock(count: usize) -> Duration {
    time(|| (0..count).for_each(|_| _ = black_box(Instant::now())))
}

fn hash(count: usize) -> Duration {
    let keys = RandomState::new();
    time(|| (0..count).for_each(|_| _ = black_box(keys.hash_one(black_box("channel:00000042")))))
}

fn bytes(count: usize) -> Duration {
    let payload = payload();
    time(|| (0..count).for_each(|_| drop(black_box(black_box(&payload).clone()))))
}

/// Through 128 MiB: more than most caches.
fn chase(count: usize) -> Duration {
    const LINES: usize = 1 << 21;
    let order = shuffled(LINES);
    let mut lines = vec![[0_u64; 8]; LINES];
    for pair in order.windows(2) {
        lines[pair[0]][0] = pair[1] as u64;
    }
    lines[order[LINES - 1]][0] = order[0] as u64;
    time(|| _ = black_box((0..count).fold(0, |line, _| lines[line][0] as usize)))
}

/// Tasks that wait for nothing but their waker, woken one after the other.
pub(crate) fn wake_tasks(count: usize) -> Duration {
    let world = World::new();
    let doors: Arc<Vec<Mutex<Door>>> = Arc::new((0..count).map(|_| Mutex::default()).collect());
    let parked = Parked::new();
    let tasks: Vec<_> = (0..count)
        .map(|place| {
            let (doors, parked) = (Arc::clone(&doors), parked.clone());
            world.runtime.spawn(async move {
                parked.count();
                poll_fn(|cx| {
                    let mut door = doors[place].lock().unwrap();
                    if door.is_open {
                        return Poll::Ready(());
                    }
                    door.waker = Some(cx.waker().clone());
                    Poll::Pending
                })
                .await;
            })
        })
        .collect();
    parked.wait_for(count);
    joined(&world, tasks, move || {
        for door in doors.iter() {
            let mut door = door.lock().unwrap();
            door.is_open = true;
            let waker = door.waker.take();
            drop(door);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        |_, ()| {}
    })
}

#[derive(Default)]
struct Door {
    is_open: bool,
    waker: Option<Waker>,
}
