//! How late somebody else's timer is while one event goes to very many tasks, on two workers.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use tokio::{
    runtime::Builder,
    task::yield_now,
    time::{Instant, sleep},
};
use tower_longpoll::Hub;

use crate::work::{
    Broadcast, Notifying, Subject,
    crowd::Counter,
    figures,
    subject::{self, payload},
};

/// Tasks that measure.
const SLEEPERS: usize = 8;
const NAP: Duration = Duration::from_millis(1);

pub fn measure(count: usize, rounds: usize) -> String {
    let head = ["", "floor p50", "floor p99", "p50", "p99", "max", "all answered after"];
    let mut rows = vec![figures::row(head)];
    rows.push(cells::<Hub>(count, rounds));
    rows.push(cells::<Notifying>(count, rounds));
    rows.push(cells::<Broadcast>(count, rounds));
    let title = format!("How late a sleep of 1 ms is while one event goes to {count} tasks");
    figures::titled(&title, &rows)
}

fn cells<S: Subject>(count: usize, rounds: usize) -> Vec<String> {
    let (mut floor, mut late, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        let round = runtime.spawn(round::<S>(count));
        let round = runtime.block_on(round).unwrap();
        floor.extend(round.floor);
        late.extend(round.late);
        took.push(round.took);
    }
    let mut cells = vec![S::NAME.to_owned()];
    cells.extend([0.5, 0.99].map(|part| figures::duration(figures::quantile(&mut floor, part))));
    cells
        .extend([0.5, 0.99, 1.0].map(|part| figures::duration(figures::quantile(&mut late, part))));
    cells.push(figures::duration(figures::median(&mut took)));
    cells
}

struct Round {
    floor: Vec<u64>,
    late: Vec<u64>,
    took: u64,
}

async fn round<S: Subject>(count: usize) -> Round {
    let (subject, name) = (S::new(), S::name("all"));
    let (parked, answered) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    for _ in 0..count {
        let wait = subject::wait(&subject, &name, None);
        let (parked, answered) = (Arc::clone(&parked), Arc::clone(&answered));
        tokio::spawn(async move {
            let mut wait = pin!(wait);
            let mut is_new = true;
            poll_fn(|cx| {
                let ended = wait.as_mut().poll(cx);
                if std::mem::take(&mut is_new) {
                    parked.up();
                }
                ended
            })
            .await;
            answered.up();
        });
    }
    while parked.count() < count {
        yield_now().await;
    }
    let floor = naps(sleep(Duration::from_millis(500))).await;

    let begin = Instant::now();
    // As the handler of a server does it.
    tokio::spawn(async move { subject.publish(&name, payload()) });
    let all = async {
        while answered.count() < count {
            sleep(NAP).await;
        }
    };
    let late = naps(all).await;
    Round { floor, late, took: begin.elapsed().as_nanos() as u64 }
}

/// How late naps are that begin before `end` has come.
async fn naps(end: impl Future) -> Vec<u64> {
    let is_over = Arc::new(AtomicBool::new(false));
    let sleepers = (0..SLEEPERS).map(|_| {
        let is_over = Arc::clone(&is_over);
        tokio::spawn(async move {
            let mut late = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                let start = Instant::now();
                sleep(NAP).await;
                late.push((start.elapsed() - NAP).as_nanos() as u64);
            }
            late
        })
    });
    let sleepers: Vec<_> = sleepers.collect();
    end.await;
    is_over.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for sleeper in sleepers {
        all.extend(sleeper.await.unwrap());
    }
    all
}
