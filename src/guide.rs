//! The guide, a chapter each. Every piece of code in it is run as a test.
//!
//! | chapter | answers |
//! |---|---|
//! | [`mounting`] | which way in, which routes, how to publish |
//! | [`layers`] | what goes outside, what goes inside |
//! | [`cursors`] | how a client in any language loses nothing |
//! | [`proxies`] | what nginx, HAProxy and the clouds do to a request that waits |
//! | [`shutdown`] | how to leave without errors or a stampede |
//! | [`testing`] | how to test 25 seconds in none |
//! | [`many_polls`] | what 100,000 polls need of hyper and the kernel |
//! | [`clusters`] | how an event on one node reaches the polls of all |
//! | [`limits`] | what is bounded, by how much, and what happens there |
//! | [`migration`] | what is wrong with `broadcast` and `timeout`, and how to leave it |
//! | [`alternatives`] | when server-sent events or WebSockets are the better choice |
//! | [`comparison`] | how other long-poll servers differ, with sources |
//!
//! What a server can promise to hostile clients is told in [`security`](crate::security).

#[doc = include_str!("../docs/guide/alternatives.md")]
pub mod alternatives {}

#[doc = include_str!("../docs/guide/clusters.md")]
pub mod clusters {}

#[doc = include_str!("../docs/guide/comparison.md")]
pub mod comparison {}

#[doc = include_str!("../docs/guide/cursors.md")]
pub mod cursors {}

#[doc = include_str!("../docs/guide/layers.md")]
pub mod layers {}

#[doc = include_str!("../docs/guide/limits.md")]
pub mod limits {}

#[doc = include_str!("../docs/guide/many-polls.md")]
pub mod many_polls {}

#[doc = include_str!("../docs/guide/migration.md")]
pub mod migration {}

#[doc = include_str!("../docs/guide/mounting.md")]
pub mod mounting {}

#[doc = include_str!("../docs/guide/proxies.md")]
pub mod proxies {}

#[doc = include_str!("../docs/guide/shutdown.md")]
pub mod shutdown {}

#[doc = include_str!("../docs/guide/testing.md")]
pub mod testing {}
