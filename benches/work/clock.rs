//! What a thread has worked: other processes are not in it, page faults are.

use rustix::time::{ClockId, clock_gettime};

/// In nanoseconds.
pub(crate) fn worked() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
