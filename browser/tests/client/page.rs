//! A page that listens, seen from the test.

use serde_json::{Value, json};
use tower_longpoll_browser::{Browser, Tab};

use crate::server::Server;

/// A tab with a page that can listen.
pub async fn open(browser: &Browser, server: &Server) -> Page {
    open_at(browser, &server.url("/")).await
}

pub async fn open_at(browser: &Browser, url: &str) -> Page {
    watch(browser.window(url).await).await
}

pub async fn watch(tab: Tab) -> Page {
    tab.wait_until("the page", "return window.isReady").await;
    Page { tab }
}

pub struct Page {
    pub tab: Tab,
}

impl Page {
    /// Begins to listen, under a name.
    pub async fn listen(&self, name: &str, options: Value) {
        self.tab.run("listen(...arguments)", json!([name, options])).await;
    }

    /// What was heard: `{events, states, end}`.
    pub async fn heard(&self, name: &str) -> Value {
        let script = "const { events, states, end } = window[arguments[0]];
            return { events, states, end };";
        self.tab.run(script, json!([name])).await
    }

    /// The numbers that were heard, with `"gap"` where one was told.
    pub async fn numbers(&self, name: &str) -> Vec<Value> {
        let heard = self.heard(name).await;
        let events = heard["events"].as_array().unwrap();
        let told = |event: &Value| match event["gap"] {
            Value::Bool(true) => json!("gap"),
            _ => event["data"].clone(),
        };
        events.iter().map(told).collect()
    }

    /// Waits until so much was heard, and gives it.
    pub async fn hears(&self, name: &str, count: usize) -> Vec<Value> {
        let script = format!("return {name}.events.length >= {count}");
        self.tab.wait_until(&format!("{count} events"), &script).await;
        self.numbers(name).await
    }

    /// Waits until exactly these numbers were heard, in this order, and the last thing is
    /// published for it: whatever came twice or late would have come before.
    pub async fn hears_all(&self, name: &str, numbers: impl IntoIterator<Item = u64>) {
        let numbers: Vec<_> = numbers.into_iter().map(Value::from).collect();
        assert_eq!(self.hears(name, numbers.len()).await, numbers);
    }

    /// Waits until so many callers share a poll, and nothing more is to be done for that.
    pub async fn settles(&self, server: &Server, callers: usize) {
        self.shares(callers).await;
        server.parks(1).await;
    }

    /// The same, while a frozen page may still have a poll of its own.
    pub async fn shares(&self, callers: usize) {
        let what = format!("{callers} callers that share a poll");
        self.tab.wait_until(&what, &format!("return settled === {callers}")).await;
    }

    pub async fn state(&self, name: &str, state: &str) {
        let script = format!("return {name}.states.at(-1) === '{state}'");
        self.tab.wait_until(state, &script).await;
    }

    /// Waits until it ended: with this status, or zero if there was no error.
    pub async fn ends(&self, name: &str, status: i64) {
        let end = self.tab.wait_until("the end", &format!("return {name}.end")).await;
        assert_eq!(end["status"], status, "{end}");
    }

    /// Nothing went wrong that nobody caught.
    pub async fn is_clean(&self) {
        assert_eq!(self.tab.run("return failures", Value::Null).await, json!([]));
    }
}
