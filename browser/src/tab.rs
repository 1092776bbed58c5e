//! A tab, and what can happen to it.

use std::{env, fs, path::PathBuf, sync::Arc};

use fantoccini::{
    Client, Locator,
    elements::Element,
    error::CmdError,
    wd::{WebDriverCompatibleCommand, WindowHandle},
};
use http::Method;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard};
use url::{ParseError, Url};

use crate::wait_until;

/// A tab of a [`Browser`](crate::Browser).
pub struct Tab {
    client: Client,
    window: WindowHandle,
    turn: Arc<Mutex<()>>,
}

impl Tab {
    pub(crate) fn new(client: Client, window: WindowHandle, turn: Arc<Mutex<()>>) -> Self {
        Self { client, window, turn }
    }

    /// Goes to another page, or loads this one anew.
    pub async fn goto(&self, url: &str) {
        let _turn = self.turn().await;
        self.client.goto(url).await.unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Loads the page anew.
    pub async fn reload(&self) {
        let _turn = self.turn().await;
        self.client.refresh().await.expect("the page loads");
    }

    /// Runs a function's body in the page, and gives what it returns.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.try_run(script, arguments).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    async fn try_run(&self, script: &str, arguments: Value) -> Result<Value, CmdError> {
        let _turn = self.turn().await;
        let arguments = match arguments {
            Value::Array(arguments) => arguments,
            Value::Null => Vec::new(),
            argument => vec![argument],
        };
        self.client.execute(script, arguments).await
    }

    /// Waits until a function's body returns something true, and gives that.
    pub async fn wait_until(&self, what: &str, script: &str) -> Value {
        let is_true = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
        // A page that is just being loaded has no answer.
        wait_until(what, async || self.try_run(script, Value::Null).await.ok().filter(is_true))
            .await
    }

    /// Waits until an element is there that matches the selector.
    pub async fn find(&self, selector: &str) -> Element {
        wait_until(selector, async || {
            let _turn = self.turn().await;
            self.client.find(Locator::Css(selector)).await.ok()
        })
        .await
    }

    /// Clicks on an element, as soon as it is there and can be clicked.
    pub async fn click(&self, selector: &str) {
        wait_until(selector, async || {
            let _turn = self.turn().await;
            self.client.find(Locator::Css(selector)).await.ok()?.click().await.ok()
        })
        .await;
    }

    /// Types into an element, as soon as it is there.
    pub async fn fill(&self, selector: &str, text: &str) {
        wait_until(selector, async || {
            let _turn = self.turn().await;
            self.client.find(Locator::Css(selector)).await.ok()?.send_keys(text).await.ok()
        })
        .await;
    }

    /// Cuts the page off the network, or gives it back.
    pub async fn offline(&self, is_offline: bool) {
        let none = if is_offline { 0 } else { -1 };
        self.protocol("Network.enable", json!({})).await;
        let conditions = json!({
            "offline": is_offline, "latency": 0, "downloadThroughput": none, "uploadThroughput": none,
        });
        self.protocol("Network.emulateNetworkConditions", conditions).await;
    }

    /// Freezes the page, as browsers do with tabs that nobody looks at, or has it go on. Nothing
    /// else can be asked of a frozen page.
    pub async fn freeze(&self, is_frozen: bool) {
        let state = if is_frozen { "frozen" } else { "active" };
        self.protocol("Page.setWebLifecycleState", json!({ "state": state })).await;
    }

    /// Brings the tab to the front; others of its window are hidden by that.
    pub async fn show(&self) {
        self.protocol("Page.bringToFront", json!({})).await;
    }

    /// Sets the size that the page sees, also one narrower than a window can be.
    pub async fn resize(&self, width: u32, height: u32) {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.protocol("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// Sends a command of the Chrome DevTools Protocol.
    pub async fn protocol(&self, command: &str, parameters: Value) -> Value {
        let _turn = self.turn().await;
        let body = json!({ "cmd": command, "params": parameters });
        let answer = self.client.issue_cmd(Protocol(body)).await;
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Writes what the tab shows to `NAME.png`, in the folder that `BROWSER_SHOTS` names, or in one
    /// beside what the tests are built into.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let folder = env::var_os("BROWSER_SHOTS").map_or_else(
            || env::current_exe().expect("a path").with_file_name("shots"),
            PathBuf::from,
        );
        let _turn = self.turn().await;
        let image = self.client.screenshot().await.expect("a picture");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(format!("{name}.png"));
        fs::write(&path, image).expect("a file");
        path
    }

    /// Closes the tab.
    pub async fn close(self) {
        let _turn = self.turn().await;
        self.client.close_window().await.expect("it closes");
    }

    /// Until the guard is dropped, the client's commands go to this tab.
    async fn turn(&self) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().await;
        self.client.switch_to_window(self.window.clone()).await.expect("the tab is there");
        turn
    }
}

/// What chromedriver has beside WebDriver.
#[derive(Debug)]
struct Protocol(Value);

impl WebDriverCompatibleCommand for Protocol {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}
