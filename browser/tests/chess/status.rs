//! The status page.

use tower_longpoll_browser::Browser;

use crate::site::{Page, Site};

#[tokio::test]
async fn the_status_page_lives_and_shows_polls_threads_and_a_chart() {
    let mut site = Site::start("status");
    let browser = Browser::start().await;
    let page = Page::open(&browser, &site.example.url("/status")).await;
    let samples = "Number(document.getElementById('status').dataset.samples)";
    page.until("samples", &format!("{samples} >= 3")).await;
    page.is_live().await;
    page.says("#summary", "of their time is free").await;
    page.until("a measured latency", "/[µm]s$/.test(document.getElementById('p50').textContent)")
        .await;
    let workers = "document.querySelectorAll('#workers li').length";
    page.until("a bar for each thread", &format!("{workers} >= 1")).await;
    page.until(
        "a line",
        "document.querySelector('#chart-parked .line').getAttribute('d').includes('L')",
    )
    .await;

    // Players park a poll each: their browser is another one.
    let others = Browser::start().await;
    let (white, url) = Page::create(&others, &site, "black").await;
    page.until("more polls", "Number(document.getElementById('parked').textContent) >= 2").await;
    page.says("#games", "1 game").await;
    white.is_clean().await;
    assert!(url.contains("/game/"));

    // Another server has other samples. Nobody reloads.
    page.run("window.stayed = true").await;
    assert!(site.example.terminate().success());
    page.is_cut_off().await;
    page.until("old figures to look old", "document.querySelector('.stale') !== null").await;
    site.example.start_again();
    page.is_live().await;
    page.until("new figures", "document.querySelector('.stale') === null && parseInt(document.getElementById('uptime').textContent) < 60")
        .await;
    assert_eq!(page.run("return window.stayed").await, true);
    page.is_clean().await;
}

/// Answers with made samples, and with a poll that stays parked.
const MADE: &str = "
    const real = window.fetch;
    window.fetch = (url, options) => {
        if (String(url).includes('/events')) return new Promise(() => {});
        if (String(url) !== '/api/status') return real(url, options);
        const [parked, threads] = location.hash.slice(1).split(',').map(Number);
        const samples = Array.from({ length: 120 }, (_, at) => ({
            at: 1e12 + at * 1000, parked, channels: parked, games: parked, threads,
            busy: Array.from({ length: threads }, () => (parked ? 0.05 : 0)),
            events_per_s: parked, answers_per_s: parked, wake_us: parked ? { p50: 41.2, p99: 1834.5 } : null,
            cpu: 0, rss_bytes: parked ? 236e6 : null, open_files: parked ? parked + 32 : null, uptime_s: 5000,
        }));
        return Promise.resolve(new Response(JSON.stringify({ cursor: 'x', samples })));
    };";

#[tokio::test]
async fn the_status_page_fits_nothing_and_ten_thousand() {
    let site = Site::start("status-size");
    let browser = Browser::start().await;
    for (name, hash, parked, p99) in [
        ("nothing", "#0,1", "0", "–"),
        ("ten-thousand", "#10000,2", "10,000", "1.8 ms"),
        ("many-threads", "#10000,64", "10,000", "1.8 ms"),
    ] {
        let page = Page::open(&browser, "about:blank").await;
        let script = serde_json::json!({ "source": MADE });
        page.0.protocol("Page.addScriptToEvaluateOnNewDocument", script).await;
        page.0.goto(&site.example.url(&format!("/status{hash}"))).await;
        for width in [320, 390, 1280] {
            page.0.resize(width, 900).await;
            page.until(
                "the figures",
                "document.getElementById('status').dataset.samples === '120'",
            )
            .await;
            assert_eq!(page.text("#parked").await, parked);
            assert_eq!(page.text("#p99").await, p99);
            let cut = "return [...document.querySelectorAll('.tile dd, #workers span, figcaption *')]
                .filter((part) => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0).length";
            assert_eq!(page.run(cut).await, 0, "{name} at {width}: something is cut off");
            let over = "return document.documentElement.scrollWidth - innerWidth";
            assert!(page.run(over).await.as_i64().unwrap() <= 0, "{name} at {width} is too wide");
            page.0.screenshot(&format!("status-{name}-{width}")).await;
        }
        page.is_clean().await;
    }
}
