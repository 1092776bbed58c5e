//! `examples/server.rs` as a process, beside what else there is to poll: a plain axum server
//! (`broadcast` and `timeout` in a handler), and nchan if nginx with its module is installed.
//!
//! ```text
//! cargo bench --bench server -- [--rounds N] [--only WORD] [--out FILE] [--also PROGRAM] [--alone]
//! ```
//!
//! The server under test has core 0, the load core 1. Each figure is taken of a server that was
//! started for it, in rounds in which all servers take turns. `--also` is another build of the
//! example, to be measured beside this one; it can be given more than once. `--alone`: without the
//! rivals. `--test`: a few polls of each, to see that it works.

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

#[cfg(target_os = "linux")]
#[path = "server/mod.rs"]
mod load;

#[cfg(target_os = "linux")]
fn main() {
    load::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("skipped: it pins processes and reads /proc, as Linux has them");
}
