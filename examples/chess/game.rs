//! One game: who sits where, what they may do, and how it looks. It knows no lock, file or channel.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    clock::Clock,
    problem::Problem,
    random,
    rules::{Board, Color, Illegal, Outcome, Reason, Sides},
    times::{Moment, ms},
};

/// How much of a chat is kept.
const LINES: usize = 50;

/// A player's place.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Seat {
    /// The secret that moves the pieces.
    pub(crate) token: String,
    /// The name of the channel that says who is here.
    pub(crate) name: String,
    /// What everybody was told last.
    pub(crate) here: bool,
    /// Since when they are not here.
    pub(crate) left_at: u64,
}

impl Seat {
    pub(crate) fn new() -> Self {
        Self { token: random::name(26), name: random::name(16), here: true, left_at: 0 }
    }
}

/// A line of a chat.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) from: String,
    pub(crate) text: String,
    pub(crate) at: u64,
}

/// What happened to a game, as its event says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Joined,
    Moved,
    DrawOffered,
    DrawDeclined,
    Presence,
    Over,
}

impl Kind {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Joined => "joined",
            Self::Moved => "moved",
            Self::DrawOffered => "draw offered",
            Self::DrawDeclined => "draw declined",
            Self::Presence => "presence",
            Self::Over => "over",
        }
    }
}

/// A game. What can fail leaves it as it was.
#[derive(Clone)]
pub(crate) struct Game {
    pub(crate) id: String,
    /// Counts every change that was told.
    pub(crate) version: u64,
    pub(crate) board: Board,
    pub(crate) clock: Clock,
    pub(crate) seats: Sides<Option<Seat>>,
    pub(crate) draw_offer: Option<Color>,
    /// After how many half-moves each side offered a draw last: once is enough.
    pub(crate) offered: Sides<Option<usize>>,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) watchers: usize,
    pub(crate) chat: VecDeque<Line>,
    /// When something was last done to it.
    pub(crate) changed_at: u64,
}

impl Game {
    /// A game in which one seat is taken.
    pub(crate) fn new(
        id: String,
        time: Duration,
        increment: Duration,
        color: Color,
        seat: Seat,
    ) -> Self {
        let mut seats = Sides::default();
        *seats.get_mut(color) = Some(seat);
        Self {
            id,
            version: 1,
            board: Board::new(),
            clock: Clock::new(time, increment),
            seats,
            draw_offer: None,
            offered: Sides::default(),
            outcome: None,
            watchers: 0,
            chat: VecDeque::new(),
            changed_at: 0,
        }
    }

    pub(crate) fn phase(&self) -> &'static str {
        if self.outcome.is_some() {
            "over"
        } else if self.free().is_some() {
            "waiting"
        } else {
            "playing"
        }
    }

    /// The seat that is free.
    fn free(&self) -> Option<Color> {
        Color::BOTH.into_iter().find(|&color| self.seats.get(color).is_none())
    }

    /// Whose token this is.
    pub(crate) fn owner(&self, token: &str) -> Option<Color> {
        let is_owner = |color: &Color| {
            let seat = self.seats.get(*color).as_ref();
            seat.is_some_and(|seat| random::is_same(&seat.token, token))
        };
        Color::BOTH.into_iter().find(is_owner)
    }

    /// Takes the free seat; the clock of White runs from now on.
    pub(crate) fn join(&mut self, seat: Seat, now: Instant) -> Result<Color, Problem> {
        let taken = || Problem::conflict("Both seats of this game are taken; you can watch it.");
        let color = self.free().ok_or_else(taken)?;
        *self.seats.get_mut(color) = Some(seat);
        self.clock.start(Color::White, now);
        Ok(color)
    }

    /// Makes a move, which is the one after `ply` half-moves.
    pub(crate) fn play(
        &mut self,
        color: Color,
        uci: &str,
        ply: usize,
        now: Instant,
    ) -> Result<(), Problem> {
        self.playing()?;
        let made = self.board.plies().len();
        if ply != made {
            let detail = format!("The game has {made} half-moves, and your page shows {ply}.");
            return Err(Problem::conflict(detail));
        }
        if self.board.turn() != color {
            return Err(Problem::conflict("It is not your turn."));
        }
        self.board.play(uci).map_err(|Illegal| {
            let status = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
            Problem::new(status, "The rules do not allow this move.")
        })?;
        self.clock.press(now);
        // To move is to decline.
        self.draw_offer = self.draw_offer.filter(|&by| by == color);
        if let Some(outcome) = self.board.outcome() {
            self.end(outcome, now);
        }
        Ok(())
    }

    pub(crate) fn offer_draw(&mut self, color: Color) -> Result<(), Problem> {
        self.playing()?;
        match self.draw_offer {
            Some(by) if by == color => {
                return Err(Problem::conflict("Your offer of a draw still stands."));
            }
            Some(_) => {
                return Err(Problem::conflict("Your opponent has offered a draw: accept it."));
            }
            None => {}
        }
        let made = self.board.plies().len();
        // Two half-moves later the one who offered has moved again.
        if self.offered.get(color).is_some_and(|at| made < at + 2) {
            return Err(Problem::conflict("You have offered a draw already; make a move first."));
        }
        *self.offered.get_mut(color) = Some(made);
        self.draw_offer = Some(color);
        Ok(())
    }

    pub(crate) fn accept_draw(&mut self, color: Color, now: Instant) -> Result<(), Problem> {
        self.offered_to(color)?;
        self.end(Outcome { winner: None, reason: Reason::DrawAgreed }, now);
        Ok(())
    }

    pub(crate) fn decline_draw(&mut self, color: Color) -> Result<(), Problem> {
        self.offered_to(color)?;
        self.draw_offer = None;
        Ok(())
    }

    fn offered_to(&self, color: Color) -> Result<(), Problem> {
        self.playing()?;
        if self.draw_offer == Some(color.other()) {
            return Ok(());
        }
        Err(Problem::conflict("Your opponent has not offered a draw."))
    }

    pub(crate) fn resign(&mut self, color: Color, now: Instant) -> Result<(), Problem> {
        self.playing()?;
        self.end(Outcome { winner: Some(color.other()), reason: Reason::Resignation }, now);
        Ok(())
    }

    /// Ends the game if the time of who is to move is over. Whether it did.
    pub(crate) fn flag(&mut self, now: Instant) -> bool {
        let Some((color, at)) = self.clock.falls().filter(|(_, at)| *at <= now) else {
            return false;
        };
        let winner = Some(color.other()).filter(|&winner| self.board.can_mate(winner));
        self.end(Outcome { winner, reason: Reason::Time }, at);
        true
    }

    pub(crate) fn say(&mut self, line: Line) {
        self.chat.push_back(line);
        while self.chat.len() > LINES {
            self.chat.pop_front();
        }
    }

    fn playing(&self) -> Result<(), Problem> {
        match self.phase() {
            "over" => Err(Problem::conflict("The game is over.")),
            "waiting" => Err(Problem::conflict("The game has not begun: a seat is free.")),
            _ => Ok(()),
        }
    }

    fn end(&mut self, outcome: Outcome, now: Instant) {
        self.clock.stop(now);
        self.draw_offer = None;
        self.outcome = Some(outcome);
    }

    /// The game as everybody may see it.
    pub(crate) fn view(&self, now: Moment) -> Value {
        let legal = match self.phase() {
            "playing" => self.board.legal(),
            _ => Default::default(),
        };
        let left = |color| ms(self.clock.left(color, now.instant));
        let seat = |color: Color| {
            let seat = self.seats.get(color).as_ref();
            let gone = seat.filter(|seat| !seat.here);
            json!({
                "taken": seat.is_some(),
                "here": seat.is_some_and(|seat| seat.here),
                "left_ms": gone.map_or(0, |seat| now.unix_ms.saturating_sub(seat.left_at)),
            })
        };
        json!({
            "id": self.id,
            "version": self.version,
            "phase": self.phase(),
            "fen": self.board.fen(),
            "turn": self.board.turn(),
            "check": self.board.is_check(),
            "moves": self.board.plies(),
            "legal": legal.destinations,
            "promotions": legal.promotions,
            "clock": {
                "white_ms": left(Color::White),
                "black_ms": left(Color::Black),
                "running": self.clock.running(),
                "increment_ms": ms(self.clock.increment()),
                "initial_ms": ms(self.clock.initial()),
            },
            "draw_offer": self.draw_offer,
            "seats": { "white": seat(Color::White), "black": seat(Color::Black) },
            "watchers": self.watchers,
            "result": self.outcome,
        })
    }
}
