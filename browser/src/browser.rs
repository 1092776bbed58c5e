//! A Chromium of its own: profile, windows and connections are shared with no other test.

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tokio::sync::Mutex;

use crate::Tab;

/// A browser with an empty profile. All of it ends when this is dropped.
pub struct Browser {
    client: Client,
    /// Commands go to the window that was switched to last.
    turn: Arc<Mutex<()>>,
    // In this order: the profile is removed when nobody writes to it.
    _driver: Driver,
    _profile: Profile,
}

impl Browser {
    /// Starts one; `CHROMIUM` and `CHROMEDRIVER` may name other programs than those of the path.
    pub async fn start() -> Self {
        let (profile, driver) = (Profile::new(), Driver::start());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1280,900",
            // The browser ends with the driver, however that ends.
            "--remote-debugging-pipe",
            &format!("--user-data-dir={}", profile.0.display()),
        ];
        let chromium = env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into());
        let options = json!({ "goog:chromeOptions": { "binary": chromium, "args": arguments } });
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("chromedriver starts a browser");
        Self { client, turn: Arc::default(), _driver: driver, _profile: profile }
    }

    /// Opens a page in a window of its own: the pages of several windows are seen at a time.
    pub async fn window(&self, url: &str) -> Tab {
        self.open(url, false).await
    }

    /// Opens a page in a new tab of the window that had the last command. What is done with a tab
    /// brings it to the front, and so hides the others of its window.
    pub async fn tab(&self, url: &str) -> Tab {
        self.open(url, true).await
    }

    async fn open(&self, url: &str, is_tab: bool) -> Tab {
        let turn = self.turn.lock().await;
        let window = self.client.new_window(is_tab).await.expect("a new tab").handle;
        drop(turn);
        let tab = Tab::new(self.client.clone(), window, Arc::clone(&self.turn));
        tab.goto(url).await;
        tab
    }
}

/// The process that drives the browser.
struct Driver {
    child: Child,
    port: u16,
}

/// How often a driver is started at most.
const STARTS: usize = 20;

impl Driver {
    /// It takes any free port of IPv6, then the same one of IPv4, and ends if somebody else has that.
    fn start() -> Self {
        (0..STARTS).find_map(|_| Self::try_start()).expect("chromedriver says its port")
    }

    fn try_start() -> Option<Self> {
        let program = env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".into());
        // So that it also ends when the test's process is killed.
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", &program, "--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.rsplit_once("started successfully on port ")?;
            port.trim_end_matches('.').parse().ok()
        });
        // Ended if it has no port.
        let driver = Self { child, port: port.unwrap_or_default() };
        port?;
        thread::spawn(move || lines.for_each(drop));
        Some(driver)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Profile(PathBuf);

impl Profile {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("longpoll-browser-{}-{number}", process::id()));
        fs::create_dir(&path).expect("a new folder for the profile");
        Self(path)
    }
}

impl Drop for Profile {
    /// Waits for the browser, which writes for a while after its driver went.
    fn drop(&mut self) {
        let process = fs::read_link(self.0.join("SingletonLock")).ok();
        let id = process.and_then(|lock| Some(lock.to_str()?.rsplit_once('-')?.1.to_owned()));
        let runs = || id.as_ref().is_some_and(|id| is_running(id));
        for _ in 0..100 {
            if !runs() && fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A process that ended and was not waited for has no command line.
fn is_running(id: &str) -> bool {
    fs::read(Path::new("/proc").join(id).join("cmdline")).is_ok_and(|line| !line.is_empty())
}
