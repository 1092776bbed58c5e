//! Time: the one clock that is read, and the task that acts on it.
//!
//! A tick is a millisecond since the hub was made. Deadlines are rounded up, the present down, so
//! that nothing ever happens early.
//!
//! Every runtime on which a hub is in use has one driver task for it: one, because a task of
//! another runtime may never be polled again. A driver sleeps until the earliest deadline of all
//! shards, or until the alarm rings for an earlier one, and ends with the last of the hub's handles
//! and waits.

use std::{
    cell::Cell as ThreadCell,
    collections::hash_map::DefaultHasher,
    future::Future,
    hash::{Hash, Hasher},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task,
    time::{Instant, Sleep, sleep_until},
};

use crate::registry::Common;

/// Batches of due work that a driver does before it lets the tasks that it woke run.
const BATCHES_A_POLL: usize = 64;

/// The present, as a hub counts it.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    since_base: Duration,
}

impl Now {
    pub(crate) fn of(common: &Common) -> Self {
        Self { since_base: Instant::now().into_std().saturating_duration_since(common.base) }
    }

    pub(crate) fn tick(self) -> u64 {
        whole_ticks(self.since_base)
    }

    /// The first tick that is `duration` or more from now.
    pub(crate) fn after(self, duration: Duration) -> u64 {
        let end = self.since_base.saturating_add(duration);
        whole_ticks(end) + u64::from(end.subsec_nanos() % 1_000_000 > 0)
    }
}

fn whole_ticks(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000) + u64::from(duration.subsec_millis())
}

thread_local! {
    /// The hub that is known to have a driver on the multi-threaded runtime whose worker this
    /// thread is, and how many of its drivers had gone by then. A worker works for one runtime all
    /// its life, and such a runtime works by itself.
    static SURE: ThreadCell<(u64, u64)> = const { ThreadCell::new((0, 0)) };
}

/// Makes sure that a deadline, registered just now, is looked at in time. Outside of a runtime it
/// is looked at when the hub is next used inside one.
pub(crate) fn watch(common: &Arc<Common>, deadline: u64) {
    ensure(common);
    if !common.alarm.covers(deadline) {
        common.alarm.cover(deadline);
    }
}

/// Makes sure that the current runtime, if there is one, has a driver.
pub(crate) fn ensure(common: &Arc<Common>) {
    // Asking for the current runtime counts a reference that all its threads share, so workers ask
    // once. Other threads may be in another runtime each time; they ask each time.
    let (here, is_task) = ((common.id(), common.alarm.gone()), task::try_id().is_some());
    if is_task && SURE.try_with(ThreadCell::get).is_ok_and(|sure| sure == here) {
        return;
    }
    let Ok(handle) = Handle::try_current() else { return };
    let mut hasher = DefaultHasher::new();
    handle.id().hash(&mut hasher);
    let runtime = hasher.finish();
    if common.alarm.enlist(runtime) {
        let common = Arc::clone(common);
        handle.spawn(Driver { common, runtime, place: 0, sleep: None });
    }
    if is_task && handle.runtime_flavor() == RuntimeFlavor::MultiThread {
        // While the thread ends there is nothing to remember.
        let _ = SURE.try_with(|sure| sure.set(here));
    }
}

struct Driver {
    common: Arc<Common>,
    runtime: u64,
    /// The shard at which the next batch is due.
    place: usize,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    /// Does what is due in all shards; false if it stopped before the end to let others run.
    fn turn(&mut self) -> bool {
        let mut batches = BATCHES_A_POLL;
        let now = Now::of(&self.common).tick();
        while let Ok(cell) = self.common.cell(self.place) {
            while let Some((more, panics)) = cell.as_ref().map(|cell| cell.turn(now)) {
                // A waker that panics has said so by now, and no wait may miss its end for it.
                drop(panics);
                if !more {
                    break;
                }
                batches -= 1;
                if batches == 0 {
                    return false;
                }
            }
            self.place += 1;
        }
        self.place = 0;
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        loop {
            if !driver.turn() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            driver.common.alarm.listen(driver.runtime, cx.waker());
            let (mut is_last, mut next) = (true, None);
            for cell in driver.common.cells() {
                is_last = false;
                next = [next, cell.next_turn()].into_iter().flatten().min();
            }
            if is_last {
                return Poll::Ready(());
            }
            let Some(tick) = driver.common.alarm.arm(driver.runtime, next) else {
                driver.sleep = None;
                return Poll::Pending;
            };
            let at = Instant::from_std(driver.common.base) + Duration::from_millis(tick);
            let sleep = driver.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
            if sleep.deadline() != at {
                sleep.as_mut().reset(at);
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.common.alarm.retire(self.runtime);
        // Waits of other runtimes may have relied on this one.
        self.common.recall();
    }
}
