//! Moves: shown at once, taken back if refused, never lost and never made twice.

use tower_longpoll_browser::Browser;

use crate::site::{Page, Site, square};

async fn begin(browser: &Browser, site: &Site) -> (Page, Page) {
    let (white, url) = Page::create(browser, site, "white").await;
    let black = Page::join(browser, &url).await;
    white.may_move().await;
    (white, black)
}

/// Makes moves for both sides.
async fn make(white: &Page, black: &Page, moves: &str) {
    let tokens = [white.token().await, black.token().await];
    for (ply, uci) in moves.split(' ').enumerate() {
        white.make(&tokens[ply % 2], uci, ply).await;
    }
}

#[tokio::test]
async fn a_refused_move_is_taken_back() {
    let site = Site::start("refused");
    let browser = Browser::start().await;
    let (white, black) = begin(&browser, &site).await;
    // The answer waits for the test, which looks at the board first.
    let script = "
        const real = window.fetch;
        window.fetch = (url, options) => String(url).endsWith('/moves')
            ? new Promise((answer) => {
                window.refuse = () => answer(new Response('{\"detail\":\"Not today.\"}', { status: 422 }));
            })
            : real(url, options);";
    white.run(script).await;
    white.click_move("e2", "e4").await;
    white
        .until(
            "the move to be shown",
            "document.querySelector('[data-square=e4]').dataset.piece === 'P'",
        )
        .await;
    assert_eq!(white.text("#moves .move").await, "…");
    white.until("a request", "window.refuse").await;
    white.run("refuse()").await;
    white.says("#quiet", "Taken back: Not today.").await;
    white.has_moves(&[]).await;
    assert_eq!((white.piece("e2").await, white.piece("e4").await), ("P".into(), String::new()));
    white.until("the clock to run again", "document.querySelector('#lower .clock.running')").await;
    assert_eq!(black.piece("e2").await, "P");
    white.is_clean().await;
}

#[tokio::test]
async fn a_move_whose_answer_is_lost_is_made_once() {
    let site = Site::start("lost-answer");
    let browser = Browser::start().await;
    let (white, black) = begin(&browser, &site).await;
    let script = "
        const real = window.fetch;
        window.attempts = [];
        window.fetch = async (url, options) => {
            const answer = await real(url, options);
            if (!String(url).endsWith('/moves')) return answer;
            attempts.push(answer.status);
            if (attempts.length === 1) throw new TypeError('lost');
            return answer;
        };";
    white.run(script).await;
    white.click_move("e2", "e4").await;
    white.until("a second attempt", "attempts.length === 2").await;
    assert_eq!(white.run("return attempts").await, serde_json::json!([200, 409]));
    for page in [&white, &black] {
        page.has_moves(&["e4"]).await;
        assert_eq!(page.piece("e4").await, "P");
    }
    white.until("no remark", "document.getElementById('quiet').textContent === ''").await;
    black.click_move("e7", "e5").await;
    white.has_moves(&["e4", "e5"]).await;
    white.is_clean().await;
}

#[tokio::test]
async fn a_finger_drags_a_piece_and_an_illegal_drop_puts_it_back() {
    let site = Site::start("finger");
    let browser = Browser::start().await;
    let (white, black) = begin(&browser, &site).await;
    white.0.resize(390, 844).await;
    white.touch_move("e2", "e5").await;
    white.until("nothing picked", "document.querySelector('.picked, .carried') === null").await;
    assert_eq!(white.piece("e2").await, "P");
    white.touch_move("g1", "f3").await;
    black.has_moves(&["Nf3"]).await;
    white.is_clean().await;
}

#[tokio::test]
async fn escape_and_a_second_press_drop_what_was_picked() {
    let site = Site::start("escape");
    let browser = Browser::start().await;
    let (white, _black) = begin(&browser, &site).await;
    let targets = "return [...document.querySelectorAll('.target')].map((cell) => cell.dataset.square).sort()";
    white.walk("b1").await;
    white.press("Enter", "Enter", "\r").await;
    white.until("a picked piece", "document.querySelector('.picked')").await;
    assert_eq!(white.run(targets).await, serde_json::json!(["a3", "c3"]));
    let selected = "return document.querySelector('[aria-selected=true]').dataset.square";
    assert_eq!(white.run(selected).await, "b1");
    white.press("Escape", "Escape", "").await;
    assert_eq!(white.run(targets).await, serde_json::json!([]));
    white.0.click(&square("b1")).await;
    assert_eq!(white.run(targets).await, serde_json::json!(["a3", "c3"]));
    white.0.click(&square("b1")).await;
    assert_eq!(white.run(targets).await, serde_json::json!([]));
    // Not a target: drops it. Another own piece: picks that.
    white.0.click(&square("b1")).await;
    white.0.click(&square("g1")).await;
    assert_eq!(white.run(targets).await, serde_json::json!(["f3", "h3"]));
    white.0.click(&square("d5")).await;
    assert_eq!(white.run(targets).await, serde_json::json!([]));
}

#[tokio::test]
async fn a_pawn_is_promoted_to_what_was_chosen() {
    let site = Site::start("promotion");
    let browser = Browser::start().await;
    let (white, black) = begin(&browser, &site).await;
    make(&white, &black, "a2a4 b7b5 a4b5 a7a6 b5a6 g8f6 a6a7 f6g8").await;
    white.until("eight moves", "document.querySelectorAll('#moves .move').length === 8").await;
    white.click_move("a7", "b8").await;
    white.press("Escape", "Escape", "").await;
    white.until("the question to be gone", "!document.getElementById('promotion').open").await;
    assert_eq!(white.piece("a7").await, "P");
    white.click_move("a7", "b8").await;
    white.0.click("#choices button[value=n]").await;
    let moves = ["a4", "b5", "axb5", "a6", "bxa6", "Nf6", "a7", "Ng8", "axb8=N"];
    black.has_moves(&moves).await;
    assert_eq!(black.piece("b8").await, "N");
    // Two pawns and a knight were taken, and a pawn has become a knight.
    white.says("#lower .in-words", "captured: knight, 2 pawns").await;
    white.says("#lower .ahead", "+7").await;
    white.is_clean().await;
}

/// Castling on both sides, en passant, promotions that capture.
const ODD: &str =
    "e2e4 g8f6 e4e5 d7d5 e5d6 b8c6 g1f3 c8f5 f1b5 d8d7 e1g1 e8c8 d6c7 g7g5 c7d8q c6d8";

#[tokio::test]
async fn the_page_carries_out_each_move_as_the_server_does() {
    let site = Site::start("odd");
    let browser = Browser::start().await;
    let (white, black) = begin(&browser, &site).await;
    let tokens = [white.token().await, black.token().await];
    let check = "
        window.same = undefined;
        (async () => {
            const { START, play, read } = await import('/assets/position.js');
            const state = await (await fetch(`/api${location.pathname.replace('game', 'games')}`)).json();
            let position = read(START);
            for (const { uci } of state.view.moves) position = play(position, uci).position;
            const text = (position) => [...position].map((pair) => pair.join('')).sort().join(' ');
            window.same = [text(position), text(read(state.view.fen))];
        })();";
    for (ply, uci) in ODD.split(' ').enumerate() {
        white.make(&tokens[ply % 2], uci, ply).await;
        white.run(check).await;
        white.until("both positions", "window.same").await;
        assert!(white.run("return same[0] === same[1]").await == true, "after {uci}");
    }
    white.is_clean().await;
}
