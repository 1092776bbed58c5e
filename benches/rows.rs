//! Each row of the comparison by itself: `cargo bench --bench rows -- FILTER`.
//!
//! At moderate sizes, for a look before and after a change. The figures that count are those of
//! `compare`, at full size and in turns.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "work/mod.rs"]
mod work;

use std::{env, sync::LazyLock};

use divan::{Bencher, counter::ItemsCount};
use tower_longpoll::Hub;

use self::work::{
    Broadcast, Handled, Notifying, Parsed, Size, Subject, fanout::fanout, floors::FLOORS,
    many::many, park::Park, subject::HISTORY, tasks::Tasks,
};

static SIZE: LazyLock<Size> = LazyLock::new(|| {
    // What divan makes of these is not told to those who are measured.
    let is_told = |word: &str| env::args().any(|argument| argument == word);
    if is_told("--bench") && !is_told("--test") { Size::MODERATE } else { Size::SMOKE }
});

fn main() {
    divan::main();
}

#[divan::bench(
    types = [Hub, Parsed, Notifying, Broadcast, Handled<Hub>, Handled<Notifying>, Handled<Broadcast>],
    args = [1, 2],
    sample_count = 20,
)]
fn park_and_cancel<S: Subject>(bencher: Bencher<'_, '_>, threads: usize) {
    let park = Park::<S>::new(&SIZE);
    bencher.counter(ItemsCount::new(SIZE.iterations)).bench_local(|| park.cancel(threads));
}

#[divan::bench(types = [Hub, Notifying, Broadcast], args = [1, 2], sample_count = 20)]
fn park_and_wake<S: Subject>(bencher: Bencher<'_, '_>, threads: usize) {
    let park = Park::<S>::new(&SIZE);
    bencher.counter(ItemsCount::new(SIZE.iterations)).bench_local(|| park.wake(threads));
}

#[divan::bench(types = [Hub, Notifying, Broadcast], sample_count = 5)]
fn many_channels_park<S: Subject>(bencher: Bencher<'_, '_>) {
    let bencher = bencher.counter(ItemsCount::new(SIZE.waits));
    bencher.with_inputs(|| many::<S>(SIZE.waits, HISTORY)).bench_local_refs(|many| many.park());
}

#[divan::bench(types = [Hub, Notifying, Broadcast], sample_count = 5)]
fn many_channels_wake_answer_park<S: Subject>(bencher: Bencher<'_, '_>) {
    let many = many::<S>(SIZE.waits, HISTORY);
    many.park();
    bencher.counter(ItemsCount::new(SIZE.waits)).bench_local(|| many.cycle());
}

#[divan::bench(types = [Hub, Notifying, Broadcast], sample_count = 5)]
fn broadcast_to_waits<S: Subject>(bencher: Bencher<'_, '_>) {
    let bencher = bencher.counter(ItemsCount::new(SIZE.waits));
    bencher.with_inputs(|| fanout::<S>(SIZE.waits)).bench_local_refs(|fanout| {
        fanout.publish();
        fanout.collect();
    });
}

#[divan::bench(types = [Hub, Notifying, Broadcast], sample_count = 5)]
fn broadcast_to_tasks<S: Subject>(bencher: Bencher<'_, '_>) {
    let bencher = bencher.counter(ItemsCount::new(SIZE.tasks));
    bencher.with_inputs(|| Tasks::<S>::on_one(SIZE.tasks)).bench_local_values(Tasks::publish);
}

#[divan::bench(types = [Hub, Notifying, Broadcast], sample_count = 5)]
fn publish_to_each_task<S: Subject>(bencher: Bencher<'_, '_>) {
    let bencher = bencher.counter(ItemsCount::new(SIZE.own_tasks));
    bencher
        .with_inputs(|| Tasks::<S>::on_their_own(SIZE.own_tasks))
        .bench_local_values(Tasks::publish);
}

#[divan::bench(args = FLOORS.map(|floor| floor.name), sample_count = 5)]
fn floor(bencher: Bencher<'_, '_>, name: &str) {
    let floor = FLOORS.into_iter().find(|floor| floor.name == name).unwrap();
    bencher.counter(ItemsCount::new(SIZE.tasks)).bench_local(|| (floor.run)(SIZE.tasks));
}
