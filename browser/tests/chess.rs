//! The chess example in Chromium: its pages as people use them.

#[path = "chess/access.rs"]
mod access;
#[path = "chess/game.rs"]
mod game;
#[path = "chess/moves.rs"]
mod moves;
#[path = "chess/site.rs"]
mod site;
#[path = "chess/status.rs"]
mod status;
