//! What every binary here is told in the same words.

use std::{fs, path::PathBuf};

use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// How often each figure is taken.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Writes the tables to a file, too.
    #[arg(long)]
    out: Option<PathBuf>,
    /// So little of everything, and once, that it only shows that it works.
    #[arg(long)]
    test: bool,
    /// Cargo says so when it runs benches; without it, as under `cargo test`, this is a test.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    pub(crate) fn is_test(&self) -> bool {
        self.test || !self.bench
    }

    pub(crate) fn rounds(&self) -> usize {
        if self.is_test() { 1 } else { self.rounds.max(1) }
    }

    /// So much, unless this is a test.
    pub(crate) fn count(&self, full: usize) -> usize {
        if self.is_test() { full.min(1_000) } else { full }
    }

    /// Writes what was measured to the file, if one is given.
    pub(crate) fn write(&self, text: &str) {
        if let Some(file) = &self.out {
            fs::write(file, text).unwrap();
        }
    }
}
