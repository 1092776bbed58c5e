//! An example of the crate, as a process of its own.

use std::{
    env,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

/// A running example that takes `--listen`. It is killed when this is dropped.
pub struct Example {
    program: PathBuf,
    arguments: Vec<String>,
    /// Where it listens: `127.0.0.1:PORT`.
    pub address: String,
    child: Child,
}

impl Example {
    /// Starts one on a free port. It must have been built, into the folder that `EXAMPLES` names or
    /// into the crate's usual one.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/examples");
        let program = env::var_os("EXAMPLES").map_or_else(usual, PathBuf::from).join(name);
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        let (child, address) = start(&program, &arguments, "127.0.0.1:0");
        Self { program, arguments, address, child }
    }

    /// The address of a page: `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks it to end, and waits until it did.
    pub fn terminate(&mut self) -> ExitStatus {
        let id = Pid::from_child(&self.child);
        kill_process(id, Signal::TERM).expect("it runs");
        self.child.wait().expect("it was started")
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was started");
        self.child.wait().expect("it was started");
    }

    /// Starts it again, on the same port, after it ended.
    pub fn start_again(&mut self) {
        (self.child, self.address) = start(&self.program, &self.arguments, &self.address);
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program and waits until it says where it listens.
fn start(program: &Path, arguments: &[String], listen: &str) -> (Child, String) {
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(["--listen", listen])
        .args(arguments)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("http://")?.1.split(['/', ' ']).next()?.to_owned()))
        .unwrap_or_else(|| panic!("{} does not say where it listens", program.display()));
    thread::spawn(move || lines.for_each(drop));
    (child, address)
}
