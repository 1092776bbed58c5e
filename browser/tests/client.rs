//! `longpoll.js` in Chromium, against a server whose faults are the test's choice.

#[path = "client/alone.rs"]
mod alone;
#[path = "client/joins.rs"]
mod joins;
#[path = "client/nodes.rs"]
mod nodes;
#[path = "client/page.rs"]
mod page;
#[path = "client/server.rs"]
mod server;
#[path = "client/shared.rs"]
mod shared;
