//! Time: the one clock that is read, and the task that acts on it.
//!
//! Ticks are counted since the hub was made. Deadlines are rounded up, the present down, so that
//! nothing ever happens early.
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
    panic,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{self, Handle, RuntimeFlavor},
    task,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    registry::{Cell, Common, TICKS_PER_MS},
    trace::Moment,
};

/// Batches of due work that a driver does before it lets the tasks that it woke run. With threads it
/// may be polled 61 times before tokio looks at sockets and timers, and so does less at a time.
const BATCHES_A_POLL: usize = 64;
const BATCHES_A_POLL_WITH_THREADS: usize = 4;

/// Batches of due work that it does in a shard before it goes on to the next.
const BATCHES_A_SHARD: usize = 4;

/// The present, as a hub counts it.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    nanos_since_base: u64,
}

const MS_NANOS: u64 = 1_000_000;
const TICK_NANOS: u64 = MS_NANOS / TICKS_PER_MS;

impl Now {
    pub(crate) fn of(common: &Common) -> Self {
        let since_base = Instant::now().into_std().saturating_duration_since(common.base);
        Self { nanos_since_base: nanos(since_base) }
    }

    pub(crate) fn tick(self) -> u64 {
        self.nanos_since_base / TICK_NANOS
    }

    pub(crate) fn millis(self) -> u64 {
        self.nanos_since_base / MS_NANOS
    }

    #[inline]
    pub(crate) fn moment(self) -> Moment {
        Moment::at(self.nanos_since_base)
    }

    /// Until when to ask tokio to sleep so that a tick is met, as a time since the hub was made. One
    /// that has come by now is over: it is not slept for.
    ///
    /// Tokio sleeps until the end of a millisecond of its own, and its poller for so many whole ones
    /// from the present: up to two too long. Asked for one less, it may wake early. It is asked again
    /// then, for no more than the present, and sleeps for one.
    fn alarm_for(self, tick: u64) -> Duration {
        let due = tick.saturating_mul(TICK_NANOS);
        if tick <= self.tick() {
            return Duration::from_nanos(due);
        }
        let early = due.saturating_sub(MS_NANOS);
        Duration::from_nanos(early.max(self.nanos_since_base.saturating_add(1)))
    }

    /// The first tick that is `duration` or more from now.
    pub(crate) fn after(self, duration: Duration) -> u64 {
        self.after_nanos(nanos(duration))
    }

    pub(crate) fn after_nanos(self, nanos: u64) -> u64 {
        self.nanos_since_base.saturating_add(nanos).div_ceil(TICK_NANOS)
    }
}

/// Up to 584 years.
pub(crate) fn nanos(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos()))
}

thread_local! {
    /// What this thread last made sure of.
    static SURE: ThreadCell<Option<Sure>> = const { ThreadCell::new(None) };
}

/// That a hub has a driver on a runtime. True until one of the hub's drivers has gone.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sure {
    hub: u64,
    gone: u64,
    runtime: runtime::Id,
    /// The runtime works by itself, whatever this thread does next.
    works_alone: bool,
}

/// Makes sure that a deadline, registered just now, is looked at in time. Outside of a runtime it
/// is looked at when the hub is next used inside one.
pub(crate) fn watch(common: &Arc<Common>, deadline: u64) {
    ensure(common);
    common.alarm.cover(deadline);
}

/// Makes sure that what was registered before is looked at: it may be left from a runtime that is gone,
/// and its driver with it.
pub(crate) fn mind(common: &Arc<Common>) {
    if !common.alarm.is_armed() {
        ensure(common);
    }
}

/// Makes sure that the current runtime, if there is one, has a driver.
pub(crate) fn ensure(common: &Arc<Common>) {
    let (hub, gone, is_task) = (common.id(), common.alarm.gone(), task::try_id().is_some());
    let sure = SURE.try_with(ThreadCell::get).ok().flatten();
    let sure = sure.filter(|sure| (sure.hub, sure.gone) == (hub, gone));
    // Asking for the current runtime counts a reference that all its threads share, so tasks of a
    // multi-threaded runtime do not ask again. Others may be in another runtime each time.
    if is_task && sure.is_some_and(|sure| sure.works_alone) {
        return;
    }
    let Ok(handle) = Handle::try_current() else { return };
    let runtime = handle.id();
    if sure.is_some_and(|sure| sure.runtime == runtime) {
        return;
    }
    let works_alone = handle.runtime_flavor() == RuntimeFlavor::MultiThread;
    let mut hasher = DefaultHasher::new();
    runtime.hash(&mut hasher);
    let key = hasher.finish();
    if common.alarm.enlist(key, works_alone) {
        let common = Arc::clone(common);
        let (place, sleep, polled) = (0, Sleeps::Not, false);
        handle.spawn(Driver { common, runtime: key, works_alone, place, sleep, polled });
    }
    let sure = Sure { hub, gone, runtime, works_alone: works_alone && is_task };
    // While the thread ends there is nothing to remember.
    let _ = SURE.try_with(|cell| cell.set(Some(sure)));
}

struct Driver {
    common: Arc<Common>,
    runtime: u64,
    works_alone: bool,
    /// The shard at which the next batch is due.
    place: usize,
    sleep: Sleeps,
    polled: bool,
}

enum Sleeps {
    Not,
    Until(Pin<Box<Sleep>>),
    /// The runtime has no time driver: tokio panicked when it was asked to sleep.
    Cannot,
}

impl Driver {
    /// Does what is due in all shards, and tells the time up to which it did; none if it stopped
    /// before the end to let others run.
    fn turn(&mut self) -> Option<Now> {
        let present = Now::of(&self.common);
        let now = present.tick();
        // Shard after shard and a few batches in each: none waits for another's million.
        let most = if self.works_alone { BATCHES_A_POLL_WITH_THREADS } else { BATCHES_A_POLL };
        let (mut batches, mut idle) = (most, 0);
        while idle < self.common.config.shards {
            let cell = self.common.cell(self.place);
            let more = cell.is_some_and(|cell| Self::work(&cell, now, &mut batches));
            idle = if more { 0 } else { idle + 1 };
            self.place = (self.place + 1) % self.common.config.shards;
            if batches == 0 {
                return None;
            }
        }
        Some(present)
    }

    /// Does a few batches of what is due in a shard. True if there may be more.
    fn work(cell: &Cell, now: u64, batches: &mut usize) -> bool {
        for _ in 0..BATCHES_A_SHARD.min(*batches) {
            // A waker that panics has said so by now, and no wait may miss its end for it.
            let (more, _) = cell.turn(now);
            // Who may go by now has to wait for those whose time is over.
            if !more && !cell.release(now).0 {
                return false;
            }
            *batches -= 1;
        }
        true
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        driver.polled = true;
        loop {
            let Some(now) = driver.turn() else {
                if driver.works_alone {
                    // Not as below: another thread may go on, if what was woken blocks this one.
                    cx.waker().wake_by_ref();
                } else {
                    // Lets tokio look at sockets and timers first.
                    let _ = pin!(task::yield_now()).poll(cx);
                }
                return Poll::Pending;
            };
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
                if let Sleeps::Until(_) = driver.sleep {
                    driver.sleep = Sleeps::Not;
                }
                return Poll::Pending;
            };
            let at = Instant::from_std(driver.common.base) + now.alarm_for(tick);
            if let Sleeps::Not = driver.sleep {
                let sleep = panic::catch_unwind(|| Box::pin(sleep_until(at)));
                driver.sleep = sleep.map_or(Sleeps::Cannot, Sleeps::Until);
                if let Sleeps::Cannot = driver.sleep {
                    driver.common.alarm.cannot_sleep(driver.runtime);
                    driver.common.hand_over();
                }
            }
            let Sleeps::Until(sleep) = &mut driver.sleep else { return Poll::Pending };
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
        let alone = self.common.alarm.retire(self.runtime);
        self.common.hand_over();
        // Waits of other runtimes may have relied on this one, unless it was never there for them.
        if self.polled && alone {
            self.common.recall();
        }
    }
}
