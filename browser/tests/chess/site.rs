//! The running example, and its pages with what people do on them.

use std::{fs, path::PathBuf, process};

use serde_json::{Value, json};
use tower_longpoll_browser::{Browser, Example, Tab};

/// The example, with a folder of its own for its games.
pub struct Site {
    pub example: Example,
    folder: PathBuf,
}

impl Site {
    pub fn start(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("longpoll-chess-{}-{name}", process::id()));
        let example = Example::start("chess", &["--games", folder.to_str().unwrap()]);
        Self { example, folder }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A page of the example, in a tab of its own.
pub struct Page(pub Tab);

/// Notes what no page may do: fail, or want what its policy forbids.
const WATCH: &str = "
    window.faults = [];
    addEventListener('error', (event) => faults.push(`${event.message} ${event.filename}`));
    addEventListener('unhandledrejection', (event) => faults.push(String(event.reason)));
    addEventListener('securitypolicyviolation', (event) => faults.push(`policy: ${event.violatedDirective}`));
    for (const kind of ['error', 'warn']) {
        const say = console[kind];
        console[kind] = (...what) => { faults.push(what.join(' ')); say(...what); };
    }";

impl Page {
    pub async fn open(browser: &Browser, url: &str) -> Self {
        let tab = browser.tab("about:blank").await;
        tab.protocol("Page.enable", json!({})).await;
        tab.protocol("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WATCH })).await;
        tab.goto(url).await;
        Self(tab)
    }

    /// Creates a game by the form of the first page. Ends on the page of the game; gives its address.
    pub async fn create(browser: &Browser, site: &Site, color: &str) -> (Self, String) {
        let page = Self::open(browser, &site.example.url("/")).await;
        page.0.click("input[name=clock][value='10+5']").await;
        page.0.click(&format!("input[name=colour][value={color}]")).await;
        page.0.click("#create button[type=submit]").await;
        page.is_live().await;
        let url = page.run("return location.href").await;
        (page, url.as_str().unwrap().to_owned())
    }

    /// Opens the link of a game and takes the free seat.
    pub async fn join(browser: &Browser, url: &str) -> Self {
        let page = Self::open(browser, url).await;
        page.0.click("#join").await;
        page.until(
            "a seat",
            "document.querySelector('#lower .name').textContent.endsWith('(you)')",
        )
        .await;
        page.is_live().await;
        page
    }

    pub async fn run(&self, script: &str) -> Value {
        self.0.run(script, Value::Null).await
    }

    /// Waits until an expression is true.
    pub async fn until(&self, what: &str, expression: &str) {
        self.0.wait_until(what, &format!("return ({expression})")).await;
    }

    pub async fn text(&self, selector: &str) -> String {
        let script = format!("return document.querySelector({selector:?}).textContent");
        self.run(&script).await.as_str().unwrap().to_owned()
    }

    pub async fn says(&self, selector: &str, text: &str) {
        let expression =
            format!("document.querySelector({selector:?})?.textContent.includes({text:?})");
        self.until(&format!("{text:?} in {selector}"), &expression).await;
    }

    pub async fn is_live(&self) {
        self.until(
            "a connection",
            "document.getElementById('link-state')?.dataset.state === 'connected'",
        )
        .await;
    }

    pub async fn is_cut_off(&self) {
        let expression = "['offline', 'reconnecting'].includes(document.getElementById('link-state').dataset.state)";
        self.until("no connection", expression).await;
    }

    /// Waits until the list of moves is this, all of them confirmed.
    pub async fn has_moves(&self, sans: &[&str]) {
        let moves = "[...document.querySelectorAll('#moves .move')].map((move) => move.textContent).join(' ')";
        self.until(&format!("the moves {sans:?}"), &format!("{moves} === {:?}", sans.join(" ")))
            .await;
    }

    /// Waits until it may move: its own turn has come to this page.
    pub async fn may_move(&self) {
        self.until("its turn", "document.querySelector('.square.mine') !== null").await;
    }

    /// The piece on a square, as in FEN.
    pub async fn piece(&self, square: &str) -> String {
        let script =
            format!("return document.querySelector('[data-square={square}]').dataset.piece");
        self.run(&script).await.as_str().unwrap().to_owned()
    }

    /// Waits until the piece on a square can be seen: what it is drawn from is there.
    pub async fn draws(&self, name: &str) {
        let drawn = format!("document.querySelector('{} use').getBBox().width > 10", square(name));
        self.until(&format!("a drawing on {name}"), &drawn).await;
    }

    pub async fn click_move(&self, from: &str, to: &str) {
        self.may_move().await;
        self.0.click(&square(from)).await;
        self.0.click(&format!("{}.target", square(to))).await;
    }

    /// Drags by mouse, as the browser gets it from the system.
    pub async fn drag_move(&self, from: &str, to: &str) {
        self.may_move().await;
        let (start, end) = (self.middle(from).await, self.middle(to).await);
        let half = ((start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0);
        for (kind, (x, y), buttons) in [
            ("mousePressed", start, 1),
            ("mouseMoved", half, 1),
            ("mouseMoved", end, 1),
            ("mouseReleased", end, 0),
        ] {
            let event = json!({
                "type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1,
            });
            self.0.protocol("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Drags by finger.
    pub async fn touch_move(&self, from: &str, to: &str) {
        self.may_move().await;
        let (start, end) = (self.middle(from).await, self.middle(to).await);
        let half = ((start.0 + end.0) / 2.0, (start.1 + end.1) / 2.0);
        for (kind, at) in [
            ("touchStart", Some(start)),
            ("touchMove", Some(half)),
            ("touchMove", Some(end)),
            ("touchEnd", None),
        ] {
            let points: Vec<_> = at.iter().map(|(x, y)| json!({ "x": x, "y": y })).collect();
            let event = json!({ "type": kind, "touchPoints": points });
            self.0.protocol("Input.dispatchTouchEvent", event).await;
        }
    }

    /// Moves with nothing but the keyboard, from wherever the focus of the board is.
    pub async fn key_move(&self, from: &str, to: &str) {
        self.may_move().await;
        self.walk(from).await;
        self.press("Enter", "Enter", "\r").await;
        self.until("a picked piece", &format!("document.querySelector('{}.picked')", square(from)))
            .await;
        self.walk(to).await;
        self.press(" ", "Space", " ").await;
    }

    /// Goes to a square by the arrow keys.
    pub async fn walk(&self, square: &str) {
        self.run("document.querySelector('#board [tabindex=\"0\"]').focus()").await;
        let at = "return document.activeElement.dataset.square";
        let at = self.run(at).await.as_str().unwrap().to_owned();
        let white =
            self.run("return document.querySelector('.square').dataset.square === 'a8'").await;
        let turned = if white == true { 1 } else { -1 };
        let steps = |place: usize| {
            turned * (i32::from(square.as_bytes()[place]) - i32::from(at.as_bytes()[place]))
        };
        for (steps, more, less) in
            [(steps(0), "ArrowRight", "ArrowLeft"), (steps(1), "ArrowUp", "ArrowDown")]
        {
            let key = if steps > 0 { more } else { less };
            for _ in 0..steps.abs() {
                self.press(key, key, "").await;
            }
        }
        self.until("the focus", &format!("document.activeElement.dataset.square === {square:?}"))
            .await;
    }

    pub async fn press(&self, key: &str, code: &str, text: &str) {
        let number = match key {
            "Enter" => 13,
            "Escape" => 27,
            " " => 32,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 9,
        };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": code, "text": text, "windowsVirtualKeyCode": number,
            });
            self.0.protocol("Input.dispatchKeyEvent", event).await;
        }
    }

    pub async fn say(&self, text: &str) {
        self.0.fill("#text", text).await;
        self.0.click("#say button").await;
    }

    /// Moves made by the program of a player rather than on the board, to get somewhere quickly.
    pub async fn make(&self, token: &str, uci: &str, ply: usize) {
        let script = "
            const [token, move, ply] = arguments;
            window.made = undefined;
            fetch(`/api${location.pathname.replace('game', 'games')}/moves`, {
                method: 'POST',
                headers: { authorization: `Bearer ${token}` },
                body: JSON.stringify({ move, ply }),
            }).then((response) => { window.made = response.status; });";
        self.0.run(script, json!([token, uci, ply])).await;
        self.until(&format!("{uci} to be made"), "window.made === 200").await;
    }

    /// The token of this tab's seat.
    pub async fn token(&self) -> String {
        let script = "return JSON.parse(sessionStorage[`chess.seats.${location.pathname.split('/').pop()}`]).token";
        self.run(script).await.as_str().unwrap().to_owned()
    }

    /// Nothing failed on this page.
    pub async fn is_clean(&self) {
        assert_eq!(self.run("return window.faults").await, json!([]));
    }

    async fn middle(&self, name: &str) -> (f64, f64) {
        let script = format!(
            "const cell = document.querySelector('{}');
             cell.scrollIntoView({{ block: 'nearest' }});
             const box = cell.getBoundingClientRect();
             return [box.x + box.width / 2, box.y + box.height / 2];",
            square(name)
        );
        let point = self.run(&script).await;
        (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())
    }
}

pub fn square(name: &str) -> String {
    format!("[data-square={name}]")
}
