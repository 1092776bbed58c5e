//! The rules of chess: the one file that knows the crate which keeps them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shakmaty::{
    CastlingMode, Chess, EnPassantMode, Position,
    fen::Fen,
    san::SanPlus,
    uci::UciMove,
    zobrist::{Zobrist128, ZobristHash},
};

/// One side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Color {
    White,
    Black,
}

impl Color {
    pub(crate) const BOTH: [Self; 2] = [Self::White, Self::Black];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::White => Self::Black,
            Self::Black => Self::White,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Black => "black",
        }
    }

    fn of(color: shakmaty::Color) -> Self {
        color.fold_wb(Self::White, Self::Black)
    }

    fn theirs(self) -> shakmaty::Color {
        match self {
            Self::White => shakmaty::Color::White,
            Self::Black => shakmaty::Color::Black,
        }
    }
}

/// One thing for each side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sides<T> {
    pub(crate) white: T,
    pub(crate) black: T,
}

impl<T> Sides<T> {
    pub(crate) fn get(&self, color: Color) -> &T {
        match color {
            Color::White => &self.white,
            Color::Black => &self.black,
        }
    }

    pub(crate) fn get_mut(&mut self, color: Color) -> &mut T {
        match color {
            Color::White => &mut self.white,
            Color::Black => &mut self.black,
        }
    }
}

/// Why a game is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reason {
    Checkmate,
    Stalemate,
    Time,
    Resignation,
    #[serde(rename = "draw agreed")]
    DrawAgreed,
    #[serde(rename = "insufficient material")]
    InsufficientMaterial,
    #[serde(rename = "threefold repetition")]
    ThreefoldRepetition,
    #[serde(rename = "fifty moves")]
    FiftyMoves,
}

/// How a game ended; no winner is a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) winner: Option<Color>,
    pub(crate) reason: Reason,
}

/// A move that was made, in the two ways of writing it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ply {
    pub(crate) uci: String,
    pub(crate) san: String,
}

/// The moves that the rules allow.
#[derive(Default)]
pub(crate) struct Legal {
    /// From a square to where a piece may go from there. Castling is the king's step of two.
    pub(crate) destinations: BTreeMap<String, Vec<String>>,
    /// Of these, as one word, the ones that need to say what the pawn becomes.
    pub(crate) promotions: Vec<String>,
}

/// A move that the rules do not allow, or that is none.
#[derive(Debug)]
pub(crate) struct Illegal;

/// A position, and how it was reached.
#[derive(Clone)]
pub(crate) struct Board {
    position: Chess,
    plies: Vec<Ply>,
    /// Every position so far: the same one three times is a draw.
    seen: Vec<Zobrist128>,
}

impl Board {
    pub(crate) fn new() -> Self {
        let position = Chess::default();
        let seen = vec![position.zobrist_hash(EnPassantMode::Legal)];
        Self { position, plies: Vec::new(), seen }
    }

    /// The board after these moves.
    pub(crate) fn after<S: AsRef<str>>(
        moves: impl IntoIterator<Item = S>,
    ) -> Result<Self, Illegal> {
        let mut board = Self::new();
        for uci in moves {
            board.play(uci.as_ref())?;
        }
        Ok(board)
    }

    /// A board with this position, however it was reached.
    #[cfg(test)]
    pub(crate) fn at(fen: &str) -> Self {
        let fen: Fen = fen.parse().expect("a position");
        let position = fen.into_position(CastlingMode::Standard).expect("a possible one");
        Self { position, ..Self::new() }
    }

    /// Makes a move such as `e2e4`, `e1g1` or `e7e8q`.
    pub(crate) fn play(&mut self, uci: &str) -> Result<(), Illegal> {
        let uci: UciMove = uci.parse().map_err(|_| Illegal)?;
        let made = uci.to_move(&self.position).map_err(|_| Illegal)?;
        // As the crate writes it: castling can be told in two ways.
        let uci = made.to_uci(CastlingMode::Standard).to_string();
        let san = SanPlus::from_move_and_play_unchecked(&mut self.position, made).to_string();
        self.plies.push(Ply { uci, san });
        self.seen.push(self.position.zobrist_hash(EnPassantMode::Legal));
        Ok(())
    }

    pub(crate) fn plies(&self) -> &[Ply] {
        &self.plies
    }

    pub(crate) fn turn(&self) -> Color {
        Color::of(self.position.turn())
    }

    pub(crate) fn is_check(&self) -> bool {
        self.position.is_check()
    }

    pub(crate) fn fen(&self) -> String {
        Fen::from_position(&self.position, EnPassantMode::Legal).to_string()
    }

    pub(crate) fn legal(&self) -> Legal {
        let mut legal = Legal::default();
        for candidate in self.position.legal_moves() {
            let UciMove::Normal { from, to, promotion } = candidate.to_uci(CastlingMode::Standard)
            else {
                continue;
            };
            let destinations = legal.destinations.entry(from.to_string()).or_default();
            let to = to.to_string();
            // A promotion is four moves, to one square.
            if destinations.contains(&to) {
                continue;
            }
            if promotion.is_some() {
                legal.promotions.push(format!("{from}{to}"));
            }
            destinations.push(to);
        }
        legal
    }

    /// How the game ended by the rules alone, if it did.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        let draw = |reason| Some(Outcome { winner: None, reason });
        let again =
            self.seen.last().map_or(0, |last| self.seen.iter().filter(|s| *s == last).count());
        if self.position.is_checkmate() {
            Some(Outcome { winner: Some(self.turn().other()), reason: Reason::Checkmate })
        } else if self.position.is_stalemate() {
            draw(Reason::Stalemate)
        } else if self.position.is_insufficient_material() {
            draw(Reason::InsufficientMaterial)
        } else if again >= 3 {
            draw(Reason::ThreefoldRepetition)
        } else if self.position.halfmoves() >= 100 {
            draw(Reason::FiftyMoves)
        } else {
            None
        }
    }

    /// Whether this side has pieces that could mate, with whatever help.
    pub(crate) fn can_mate(&self, color: Color) -> bool {
        !self.position.has_insufficient_material(color.theirs())
    }
}
