//! Who does not see, or has no mouse, or a small window, or likes it dark.

use serde_json::json;
use tower_longpoll_browser::Browser;

use crate::site::{Page, Site};

/// All text that is seen, with its contrast to what it stands on, if that is less than WCAG AA asks.
const FAINT: &str = r"
    const parse = (text) => {
        const numbers = text.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
        const scale = text.startsWith('color(') ? 255 : 1;
        const [r, g, b, a = 1] = numbers;
        return [r * scale, g * scale, b * scale, a];
    };
    const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const ground = (element) => {
        const layers = [];
        for (let at = element; at; at = at.parentElement) {
            const style = getComputedStyle(at);
            const tint = style.backgroundImage.match(/^linear-gradient\((rgba?\([^)]*\))/);
            if (tint) layers.push(parse(tint[1]));
            layers.push(parse(style.backgroundColor));
        }
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
    };
    const faint = [];
    const judge = (element, color, text) => {
        const style = getComputedStyle(element);
        const below = ground(element);
        const [one, two] = [light(over(parse(color), below)), light(below)].sort((a, b) => b - a);
        const ratio = (one + 0.05) / (two + 0.05);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        if (ratio < (large ? 3 : 4.5)) faint.push(`${text.trim()}: ${ratio.toFixed(2)} (${color} in ${element.className || element.tagName})`);
    };
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let judged = 0;
    while (walk.nextNode()) {
        const element = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || !element.checkVisibility()) continue;
        if (element.closest('.unseen, .site-name, noscript, :disabled, .check')) continue;
        judged += 1;
        judge(element, getComputedStyle(element).color, walk.currentNode.data);
    }
    for (const field of document.querySelectorAll('input[placeholder]')) {
        judge(field, getComputedStyle(field, '::placeholder').color, field.placeholder);
    }
    return { judged, faint };";

async fn scheme(page: &Page, scheme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    page.0.protocol("Emulation.setEmulatedMedia", json!({ "features": features })).await;
}

#[tokio::test]
async fn every_page_fits_every_window_and_is_readable_in_both_schemes() {
    let site = Site::start("contrast");
    let (one, two) = (Browser::start().await, Browser::start().await);
    let home = Page::open(&one, &site.example.url("/")).await;
    let (white, url) = Page::create(&one, &site, "white").await;
    let (waiting, _) = Page::create(&one, &site, "black").await;
    let black = Page::join(&two, &url).await;
    let tokens = [white.token().await, black.token().await];
    let moves = "e2e4 d7d5 e4d5 d8d5 b1c3 d5a5 g1f3 c8g4 f1e2 g4f3 e2f3 b8c6 f3c6";
    for (ply, uci) in moves.split(' ').enumerate() {
        white.make(&tokens[ply % 2], uci, ply).await;
    }
    white.say("Good luck").await;
    black.say("Thank you, the same to you. This one is long enough to need a second line.").await;
    black.says("#headline", "Your move. Check!").await;
    black.says("#said", "Thank you").await;
    let over = Page::create(&one, &site, "white").await;
    let loser = Page::join(&two, &over.1).await;
    loser.0.click("#resign").await;
    loser.0.click("#confirm-yes").await;
    over.0.says("#headline", "White wins").await;
    let status = Page::open(&one, &site.example.url("/status")).await;
    status.until("samples", "Number(document.getElementById('status').dataset.samples) >= 2").await;
    let missing = Page::open(&one, &site.example.url("/game/nothing0")).await;

    for (name, page) in [
        ("home", &home),
        ("waiting", &waiting),
        ("game", &black),
        ("over", &over.0),
        ("status", &status),
        ("missing", &missing),
    ] {
        // The longest that is said of a connection.
        page.run("const state = document.getElementById('link-state'); if (state) state.textContent = 'reconnecting'")
            .await;
        for color in ["light", "dark"] {
            scheme(page, color).await;
            for (width, height) in
                [(320, 568), (390, 844), (844, 390), (1024, 768), (1440, 900), (2560, 1300)]
            {
                page.0.resize(width, height).await;
                let wide =
                    page.run("return document.documentElement.scrollWidth - innerWidth").await;
                assert!(wide.as_i64().unwrap() <= 0, "{name} is wider than {width}");
                if [390, 1440].contains(&width) {
                    page.0.screenshot(&format!("{name}-{width}-{color}")).await;
                }
            }
            let found = page.run(FAINT).await;
            assert!(found["judged"].as_u64().unwrap() > 5, "{name}: {found}");
            assert_eq!(found["faint"], json!([]), "{name} in {color}");
        }
        page.is_clean().await;
    }
}

#[tokio::test]
async fn the_board_is_a_grid_with_names_and_one_stop_for_the_keyboard() {
    let site = Site::start("grid");
    let browser = Browser::start().await;
    let (white, url) = Page::create(&browser, &site, "white").await;
    let black = Page::join(&browser, &url).await;
    white.may_move().await;
    let shape = "return [
        document.querySelectorAll('[role=grid][aria-label] > [role=row]').length,
        document.querySelectorAll('[role=row] > [role=gridcell]').length,
        document.querySelectorAll('[role=gridcell][tabindex=\"0\"]').length,
        document.querySelector('[data-square=e2]').ariaLabel,
        document.querySelector('[data-square=e4]').ariaLabel,
        document.querySelector('[data-square=d8]').ariaLabel,
        document.querySelector('.square').dataset.square,
    ]";
    let expected = json!([8, 64, 1, "e2, white pawn", "e4, empty", "d8, black queen", "a8"]);
    assert_eq!(white.run(shape).await, expected);
    assert_eq!(black.run("return document.querySelector('.square').dataset.square").await, "h1");

    // Every control has a name; every field, too. Live regions are there.
    for page in [&white, &black] {
        let nameless = "return [...document.querySelectorAll('button, a, input, [role=group], [role=timer], dialog, section')]
            .filter((part) => {
                const ids = part.getAttribute('aria-labelledby')?.split(' ') ?? [];
                const name = part.ariaLabel || ids.map((id) => document.getElementById(id).textContent).join('')
                    || [...(part.labels ?? [])].map((label) => label.textContent).join('')
                    || (part.matches('button, a') && part.textContent.trim());
                return !name && part.id !== 'confirm' && part.checkVisibility();
            }).map((part) => part.outerHTML)";
        assert_eq!(page.run(nameless).await, json!([]));
        let live = "return document.querySelector('#announcer').ariaLive + document.querySelectorAll('[role=log]').length";
        assert_eq!(page.run(live).await, "polite1");
    }

    // The focus is seen, goes where the arrows point, and stays on the board at its edge.
    white.walk("h1").await;
    white.press("ArrowRight", "ArrowRight", "").await;
    white.press("ArrowDown", "ArrowDown", "").await;
    assert_eq!(white.run("return document.activeElement.dataset.square").await, "h1");
    let ring = "return getComputedStyle(document.activeElement, '::after').boxShadow";
    assert_ne!(white.run(ring).await, "none");
    white.key_move("e2", "e4").await;
    black.has_moves(&["e4"]).await;
    black.key_move("e7", "e5").await;
    white.has_moves(&["e4", "e5"]).await;
    white.says("#announcer", "Black: pawn e7 to e5.").await;
    let label = "return document.querySelector('[data-square=e5]').ariaLabel";
    assert_eq!(white.run(label).await, "e5, black pawn");

    // Turned around, it is still read from the upper left, and the arrows go where they point.
    white.0.click("#flip").await;
    assert_eq!(white.run("return document.querySelector('.square').dataset.square").await, "h1");
    white.key_move("g1", "f3").await;
    black.has_moves(&["e4", "e5", "Nf3"]).await;
}

#[tokio::test]
async fn nothing_slides_for_those_who_want_it_still() {
    let site = Site::start("still");
    let browser = Browser::start().await;
    let (white, url) = Page::create(&browser, &site, "white").await;
    let black = Page::join(&browser, &url).await;
    let count = "window.slides = 0;
        const animate = Element.prototype.animate;
        Element.prototype.animate = function (...how) { slides += 1; return animate.apply(this, how); };";
    for page in [&white, &black] {
        page.run(count).await;
    }
    let features = json!([{ "name": "prefers-reduced-motion", "value": "reduce" }]);
    black.0.protocol("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    white.click_move("e2", "e4").await;
    black.has_moves(&["e4"]).await;
    assert_eq!(white.run("return slides").await, 1);
    assert_eq!(black.run("return slides").await, 0);
}
