//! Promise 5: never early, hardly late.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_hold_ends_at_its_exact_instant() {
    let (hub, c) = (Hub::new(), channels(3));
    for ms in [1, 2, 63, 64, 65, 4_095, 4_096, 4_097, 20_000, 262_144, 3_600_000] {
        let mut wait = task::spawn(hub.wait(&c).hold(MS * ms));
        assert_pending!(wait.poll());
        pass(MS * ms - Duration::from_nanos(1)).await;
        assert!(!wait.is_woken(), "{ms} ms: early");
        assert_pending!(wait.poll(), "{ms} ms: early");
        pass(Duration::from_nanos(1)).await;
        assert!(wait.is_woken(), "{ms} ms: late");
        timed_out(assert_ready!(wait.poll()));
        // The same without a hand on the clock.
        let (took, waited) = timed(hub.wait(&c).hold(MS * ms)).await;
        timed_out(waited);
        assert_eq!(took, MS * ms);
    }
    assert_eq!((hub.stats().parked, hub.stats().timed_out), (0, 22));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_no_whole_number_of_ticks_is_rounded_up() {
    let (hub, c) = (Hub::new(), channels(1));
    let rows = [(1, MS), (999_999, MS), (1_000_001, 2 * MS), (20_000_000_001, 20_001 * MS)];
    for (nanos, expected) in rows {
        let (took, waited) = timed(hub.wait(&c).hold(Duration::from_nanos(nanos))).await;
        timed_out(waited);
        assert_eq!(took, expected, "{nanos} ns");
    }
    assert_eq!(hub.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_begins_within_a_tick_is_never_early_and_hardly_late() {
    for offset in [1, 300_000, 500_000, 999_999] {
        // The hub's ticks and tokio's are apart, too.
        tokio::time::advance(Duration::from_nanos(offset)).await;
        let (hub, c) = (Hub::new(), channels(1));
        for _ in 0..20 {
            tokio::time::advance(Duration::from_nanos(123_457)).await;
            let (took, waited) = timed(hub.wait(&c).hold(10 * MS)).await;
            timed_out(waited);
            // A tick of the hub's, and one of tokio's own timer.
            assert!((10 * MS..=12 * MS).contains(&took), "{took:?}");
        }
        assert_eq!(hub.stats().parked, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn holds_are_clamped_and_default_as_said() {
    let (hub, c) = (Hub::new(), channels(1));
    let short = Hub::builder().hold(3 * SECOND).max_hold(7 * SECOND).build().unwrap();
    let none = Hub::builder().hold(Duration::ZERO).build().unwrap();
    let rows = [
        ("zero", hub.wait(&c).hold(Duration::ZERO), Duration::ZERO),
        ("default", hub.wait(&c), 25 * SECOND),
        ("beyond all", hub.wait(&c).hold(Duration::MAX), 3_600 * SECOND),
        ("its own default", short.wait(&c), 3 * SECOND),
        ("its own maximum", short.wait(&c).hold(8 * SECOND), 7 * SECOND),
        ("up to it", short.wait(&c).hold(7 * SECOND), 7 * SECOND),
        ("a default of zero", none.wait(&c), Duration::ZERO),
    ];
    for (row, wait, expected) in rows {
        let (took, waited) = timed(wait).await;
        timed_out(waited);
        assert_eq!(took, expected, "{row}");
    }
    assert_eq!(hub.stats().parked + short.stats().parked + none.stats().parked, 0);
}

#[tokio::test(start_paused = true)]
async fn the_hold_begins_with_the_first_poll() {
    let (hub, c) = (Hub::new(), channels(1));
    let wait = hub.wait(&c).hold(SECOND);
    pass(50 * SECOND).await;
    assert_eq!(hub.stats().parked, 0, "nothing happens before it is polled");
    let (took, waited) = timed(wait).await;
    timed_out(waited);
    assert_eq!(took, SECOND);
}
