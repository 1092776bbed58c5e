//! A game from its creation to mate, with everything that can come between.

use serde_json::json;
use tower_longpoll_browser::Browser;

use crate::site::{Page, Site};

#[tokio::test]
async fn two_windows_play_to_mate_through_a_reload_a_lost_network_and_a_restart() {
    let mut site = Site::start("mate");
    let (one, two) = (Browser::start().await, Browser::start().await);
    let (white, url) = Page::create(&one, &site, "white").await;
    white.says("#headline", "Waiting for your opponent").await;
    assert_eq!(white.run("return document.getElementById('share').value").await, url.as_str());
    let black = Page::join(&two, &url).await;
    let watcher = Page::open(&one, &url).await;
    watcher.is_live().await;
    watcher.says("#detail", "you are watching").await;
    white.says("#upper .presence", "is here").await;
    black.says("#upper .presence", "is here").await;
    white.0.screenshot("game-begins").await;

    // By clicks.
    white.click_move("e2", "e4").await;
    black.has_moves(&["e4"]).await;
    black.says("#announcer", "White: pawn e2 to e4.").await;

    // By dragging, and by the keyboard.
    black.drag_move("e7", "e5").await;
    white.has_moves(&["e4", "e5"]).await;
    white.key_move("f1", "c4").await;
    for page in [&white, &black, &watcher] {
        page.has_moves(&["e4", "e5", "Bc4"]).await;
    }

    // The chat, both ways; what looks like markup is text.
    white.say("Hello <b>there</b>").await;
    black.says("#said li:last-child", "Hello <b>there</b>").await;
    black.say("<img src=x onerror=alert(1)> hello").await;
    white.says("#said li:last-child", "<img src=x onerror=alert(1)> hello").await;
    watcher.says("#said li:last-child", "<img src=x").await;
    for page in [&white, &black, &watcher] {
        assert_eq!(
            page.run(
                "return document.querySelectorAll('#said :is(img, b:not(:first-child))').length"
            )
            .await,
            0
        );
        assert_eq!(page.run("return document.querySelectorAll('#said li').length").await, 2);
    }

    // A reload changes nothing.
    black.0.reload().await;
    black.has_moves(&["e4", "e5", "Bc4"]).await;
    black.says("#lower .name", "Black (you)").await;
    black.is_live().await;
    assert_eq!(black.run("return document.querySelectorAll('#said li').length").await, 2);
    black.click_move("b8", "c6").await;
    white.has_moves(&["e4", "e5", "Bc4", "Nc6"]).await;

    // From here on, nobody reloads.
    for page in [&white, &black, &watcher] {
        page.run("window.stayed = true").await;
    }

    // Without network: the others play on, and it catches up. What is said answers the poll that is
    // still parked; no other comes, which is noticed.
    black.0.offline(true).await;
    black.is_cut_off().await;
    white.say("Are you there?").await;
    white.says("#upper .presence", "left").await;
    white.click_move("d1", "h5").await;
    watcher.has_moves(&["e4", "e5", "Bc4", "Nc6", "Qh5"]).await;
    black.has_moves(&["e4", "e5", "Bc4", "Nc6"]).await;
    black.0.screenshot("game-offline").await;
    black.0.offline(false).await;
    black.has_moves(&["e4", "e5", "Bc4", "Nc6", "Qh5"]).await;
    black.is_live().await;
    black.says("#said li:last-child", "Are you there?").await;
    white.says("#upper .presence", "is here").await;
    black.click_move("g8", "f6").await;
    white.has_moves(&["e4", "e5", "Bc4", "Nc6", "Qh5", "Nf6"]).await;

    // The server goes, a move is made meanwhile, the server comes back. One page is there only later:
    // of what it missed, the new server has no history.
    assert!(site.example.terminate().success());
    for page in [&white, &black, &watcher] {
        page.is_cut_off().await;
    }
    white.click_move("h5", "f7").await;
    white.says("#quiet", "Your move waits for the connection.").await;
    assert_eq!(white.piece("f7").await, "Q");
    white.draws("f7").await;
    assert_eq!(black.piece("f7").await, "p");
    black.0.offline(true).await;
    site.example.start_again();
    white.says("#detail", "White wins by checkmate.").await;
    assert_eq!(black.piece("f7").await, "p");
    white.say("Well played").await;
    white.says("#said li:last-child", "Well played").await;
    assert!(site.example.terminate().success());
    site.example.start_again();
    black.0.offline(false).await;
    for page in [&white, &black, &watcher] {
        page.has_moves(&["e4", "e5", "Bc4", "Nc6", "Qh5", "Nf6", "Qxf7#"]).await;
        page.says("#headline", "White wins").await;
        page.says("#detail", "White wins by checkmate.").await;
        page.is_live().await;
        page.says("#said li:last-child", "Well played").await;
        assert_eq!(page.piece("f7").await, "Q");
        page.draws("f7").await;
        assert_eq!(page.run("return document.querySelector('.check').dataset.square").await, "e8");
        assert_eq!(page.run("return window.stayed").await, true);
        assert_eq!(page.run("return document.querySelectorAll('#said li').length").await, 4);
        assert_eq!(page.run("return document.querySelectorAll('.square.mine').length").await, 0);
    }
    white.until("no remark", "document.getElementById('quiet').textContent === ''").await;
    white.says("#announcer", "White: queen h5 takes pawn on f7. White wins by checkmate.").await;
    white.0.screenshot("game-mate").await;

    // Whoever was cut off saw failed requests; nothing else may have failed anywhere.
    for page in [&white, &black, &watcher] {
        page.is_clean().await;
    }
}

#[tokio::test]
async fn a_closed_tab_is_resumed_and_a_stranger_can_only_watch() {
    let site = Site::start("resume");
    let (one, two) = (Browser::start().await, Browser::start().await);
    let (white, url) = Page::create(&one, &site, "white").await;
    let black = Page::join(&one, &url).await;
    white.0.close().await;
    black
        .until(
            "white to be missed",
            "document.querySelector('#upper .presence').textContent.startsWith('left')",
        )
        .await;

    let stranger = Page::open(&two, &url).await;
    stranger.is_live().await;
    stranger.says("#headline", "White to move.").await;
    assert_eq!(
        stranger
            .run("return document.querySelectorAll('.square.mine, #seats button').length")
            .await,
        0
    );

    let again = Page::open(&one, &url).await;
    again.0.click("#resume-white").await;
    again.click_move("g1", "f3").await;
    for page in [&again, &black, &stranger] {
        page.has_moves(&["Nf3"]).await;
    }
    black.says("#upper .presence", "is here").await;

    // What strangers write is text, too, and said to be theirs.
    stranger.say("<i>hi</i>").await;
    black.says("#said li", "Watcher").await;
    black.says("#said li", "<i>hi</i>").await;
    for page in [&again, &black, &stranger] {
        page.is_clean().await;
    }
}

#[tokio::test]
async fn draws_and_resignations_are_asked_for_first() {
    let site = Site::start("draw");
    let browser = Browser::start().await;
    let (white, url) = Page::create(&browser, &site, "white").await;
    let black = Page::join(&browser, &url).await;
    white.may_move().await;
    assert_eq!(white.run("return document.getElementById('sound').ariaPressed").await, "false");

    white.0.click("#draw").await;
    white.0.click("#confirm button[value='']").await;
    white.0.click("#draw").await;
    white.0.click("#confirm-yes").await;
    black.says("#headline", "White offers a draw").await;
    black.says("#announcer", "White offers a draw.").await;
    black.0.click("#decline").await;
    white.says("#announcer", "The draw was declined.").await;
    white.until("the offer to be over", "!document.getElementById('draw').disabled").await;

    black.0.click("#resign").await;
    black.press("Escape", "Escape", "").await;
    black.until("no question", "document.querySelector('dialog[open]') === null").await;
    black.says("#headline", "White is thinking").await;
    black.0.click("#resign").await;
    black.0.click("#confirm-yes").await;
    for page in [&white, &black] {
        page.says("#detail", "White wins by resignation.").await;
        page.until("a new game", "!document.getElementById('again').hidden").await;
        page.is_clean().await;
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_kindly() {
    let site = Site::start("missing");
    let browser = Browser::start().await;
    let page = Page::open(&browser, &site.example.url("/game/nothing0")).await;
    page.says("h1", "There is no game here").await;
    let status = "return performance.getEntriesByType('navigation')[0].responseStatus";
    assert_eq!(page.run(status).await, json!(404));
    page.0.click("main a[href='/']").await;
    page.says("#create-title", "New game").await;
    page.is_clean().await;
}
