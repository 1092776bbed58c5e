//! What the kernel tells about processes, and where they run.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Has this thread, and what it starts, run on one core; on any if the machine has but one.
pub(crate) fn pin(core: usize) {
    let mut cores = CpuSet::new();
    cores.set(core);
    let before = sched_getaffinity(None).unwrap();
    if sched_setaffinity(None, &cores).is_err() {
        sched_setaffinity(None, &before).unwrap();
    }
}

/// Bytes of a process that are in memory. What its sockets take in the kernel is not in it.
pub(crate) fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * 1_024.0
}

/// Seconds of CPU time that a process has had, in user space and in the kernel.
pub(crate) fn cpu(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // The name, in parentheses, may have spaces; these are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
