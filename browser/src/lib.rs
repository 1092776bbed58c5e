//! What tests in a real browser need: Chromium, driven over WebDriver, and the examples as
//! processes.
//!
//! Rules: nothing sleeps for a time, every wait is for a condition ([`wait_until`]). Ports are the
//! system's choice. What a test starts ends with it, also when it panics.
//!
//! ```no_run
//! # async fn test() {
//! use tower_longpoll_browser::Browser;
//!
//! let browser = Browser::start().await;
//! let one = browser.window("http://127.0.0.1:3002/").await;
//! let two = browser.window("http://127.0.0.1:3002/").await;
//! one.wait_until("a heading", "return document.querySelector('h1') !== null").await;
//! two.offline(true).await;
//! one.screenshot("heading").await;
//! # }
//! ```

mod browser;
mod example;
mod tab;

use std::time::{Duration, Instant};

pub use self::{browser::Browser, example::Example, tab::Tab};

/// Generous: a machine may be busy. Nothing waits as long if it goes well.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the condition gives a value, and fails with `what` when that takes too long.
pub async fn wait_until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
