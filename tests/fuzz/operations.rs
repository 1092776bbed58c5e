//! Any bytes are limits and operations, and with any of them the hub does what its reference does.
#![allow(clippy::module_inception, unreachable_pub)]

#[path = "../model/forgetting.rs"]
mod forgetting;
#[path = "../model/limits.rs"]
mod limits;
#[path = "../model/operations.rs"]
mod operations;
#[path = "../model/polls.rs"]
mod polls;
#[path = "../model/reference.rs"]
mod reference;
#[path = "../model/run.rs"]
mod run;

/// More operations than this find nothing new, only slower.
const MOST: usize = 200;

pub fn check(data: &[u8]) {
    let (limits, mut operations) = operations::from_bytes(data);
    operations.truncate(MOST);
    run::run(&limits, &operations);
}
