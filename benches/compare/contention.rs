//! Which number of shards is right, what a hot channel does, and what a poll of many channels costs.

use std::pin::pin;

use tower_longpoll::{Channel, Hub};

use super::{Plan, section};
use crate::work::{
    Size,
    figures::{Spread, table},
    ours,
    park::Park,
    slots::poll,
    subject::{HOLD, names},
    world::{World, each, time},
};

const SHARDS: [usize; 5] = [1, 4, 16, 64, 256];
const THREADS: [usize; 2] = [1, 2];
const CHANNELS: [usize; 4] = [1, 2, 8, 64];

pub(crate) fn run(plan: &Plan) -> String {
    if !plan.wants("contention") {
        return String::new();
    }
    let says =
        "Ours, ns on each thread: median (least–most). Publishes are to channels without waits";
    let head = ["shards", "park + cancel, 1 thread", "2", "publish, 1 thread", "2", "hot, 1", "2"];
    let shards: Vec<_> = SHARDS.iter().map(|&shards| by_shards(plan, shards)).collect();
    let text = section("contention", says, table(&head, &shards), &shards);

    let head = ["channels of a poll", "park + cancel, ns for each channel"];
    let width: Vec<_> = CHANNELS.iter().map(|&channels| by_channels(plan, channels)).collect();
    format!("{text}\n{}", table(&head, &width))
}

fn by_shards(plan: &Plan, shards: usize) -> Vec<String> {
    // Enough channels that they are not all in a cache.
    let size = Size { channels: plan.size.channels * 2, ..plan.size };
    let mut runs = [const { Vec::new() }; 6];
    for _ in 0..plan.rounds {
        let hub = ours::builder().shards(shards).build().unwrap();
        let park = Park::with(hub, &size);
        let works = [Park::cancel, Park::publish, Park::publish_hot];
        let times = works.iter().flat_map(|work| THREADS.map(|threads| work(&park, threads)));
        for (run, time) in runs.iter_mut().zip(times) {
            run.push(each(time, size.iterations));
        }
    }
    let spreads = runs.map(|run| Spread::of(run).to_string());
    [shards.to_string()].into_iter().chain(spreads).collect()
}

fn by_channels(plan: &Plan, channels: usize) -> Vec<String> {
    let count = plan.size.iterations / channels;
    let run = || {
        let (world, hub) = (World::new(), ours::builder().build().unwrap());
        let names = names::<Hub>("many", plan.size.channels.max(CHANNELS[CHANNELS.len() - 1]));
        let elapsed = world.alone(move || {
            // Parked for less, so that the hub's timer is not set again and again.
            let mut early = pin!(hub.wait([&names[0]]).hold(HOLD / 2));
            assert!(poll(early.as_mut()).is_pending());
            time(|| (0..count).for_each(|step| cancel(&hub, window(&names, step, channels))))
        });
        each(elapsed, count * channels)
    };
    let spread = Spread::of((0..plan.rounds).map(|_| run()).collect());
    vec![channels.to_string(), spread.to_string()]
}

fn window(names: &[Channel], step: usize, channels: usize) -> &[Channel] {
    let start = step * channels % (names.len() - channels + 1);
    &names[start..start + channels]
}

fn cancel(hub: &Hub, channels: &[Channel]) {
    let mut wait = pin!(hub.wait(channels).hold(HOLD));
    assert!(poll(wait.as_mut()).is_pending(), "not parked");
}
