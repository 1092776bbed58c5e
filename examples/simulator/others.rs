//! Who publishes, and who looks at a normal page meanwhile.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http_body_util::Full;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    client::{Channel, PATIENCE, Run},
    wire::Wire,
};

/// Publishes on its channels in turn, one event every `every`, until it is told to stop. No publish
/// is cut: what was sent has to be known.
pub(crate) async fn publish(
    run: Arc<Run>,
    channels: Vec<Arc<Channel>>,
    mut wire: Wire,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for channel in channels.iter().cycle() {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        let number = channel.sent.load(Relaxed) + 1;
        // Before it is sent: who has a position later need not see it, but may.
        channel.sent.store(number, Relaxed);
        let sent = run.start.elapsed().as_micros();
        let payload = format!(r#"{{"run":"{}","number":{number},"sent":{sent}}}"#, run.name);
        let request = run.request(&run.path(&channel.name)).method("POST");
        let request = request.header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(payload)));
        let request = request.expect("the parts were checked");
        match wire.ask(request, PATIENCE, &run.publishes).await {
            Some(answer) if answer.status().is_success() => {}
            Some(answer) => {
                // It was not stored, so its number is free.
                channel.sent.store(number - 1, Relaxed);
                run.publishes.refuse(format!("a publish was answered {}", answer.status()));
            }
            None => {
                channel.uncertain.lock().expect("no panic").insert(number);
            }
        }
    }
}

/// Fetches the page ten times a second.
pub(crate) async fn look(
    run: Arc<Run>,
    page: String,
    mut wire: Wire,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => {}
        }
        let request = run.request(&run.options.below(&page)).body(Full::default());
        let request = request.expect("the parts were checked");
        let start = Instant::now();
        if let Some(answer) = wire.ask(request, PATIENCE, &run.pages).await {
            run.page_times.record(0, start.elapsed());
            if !answer.status().is_success() {
                run.pages.refuse(format!("the page was answered {}", answer.status()));
            }
        }
    }
}
