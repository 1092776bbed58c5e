//! The rules, as the site tells them.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    clock::Clock,
    game::{Game, Seat},
    rules::{Board, Color, Outcome, Reason},
};

fn outcome(winner: Option<Color>, reason: Reason) -> Option<Outcome> {
    Some(Outcome { winner, reason })
}

#[test]
fn castling_is_the_kings_step_of_two() {
    let mut board = Board::at("4k2r/8/8/8/8/8/8/R3K2R w KQk - 0 1");
    let king = board.legal().destinations.remove("e1").unwrap();
    assert!(king.contains(&"g1".into()) && king.contains(&"c1".into()), "{king:?}");
    assert!(!king.contains(&"h1".into()), "{king:?}");
    board.play("e1c1").unwrap();
    assert_eq!((board.plies()[0].uci.as_str(), board.plies()[0].san.as_str()), ("e1c1", "O-O-O"));
    assert_eq!(board.fen(), "4k2r/8/8/8/8/8/8/2KR3R b k - 1 1");
}

#[test]
fn a_pawn_becomes_what_is_said_and_nothing_unsaid() {
    let mut board = Board::at("8/P6k/8/8/8/8/7K/8 w - - 0 1");
    assert_eq!(board.legal().promotions, ["a7a8"]);
    assert_eq!(board.legal().destinations["a7"], ["a8"]);
    assert!(board.play("a7a8").is_err());
    assert!(board.play("a7a8k").is_err());
    board.play("a7a8n").unwrap();
    assert_eq!(board.fen(), "N7/7k/8/8/8/8/7K/8 b - - 0 1");
}

#[test]
fn a_pawn_is_taken_in_passing() {
    let mut board = Board::after("e2e4 a7a6 e4e5 d7d5".split(' ')).unwrap();
    assert!(board.legal().destinations["e5"].contains(&"d6".into()));
    board.play("e5d6").unwrap();
    assert_eq!(board.plies().last().unwrap().san, "exd6");
    assert!(Board::after("e2e4 a7a6 e4e5 d7d5 a2a3 a6a5 e5d6".split(' ')).is_err());
}

#[test]
fn texts_that_are_no_moves_are_illegal() {
    for text in ["", "e2", "e2e5", "0000", "P@e4", "e9e4", "e2e4e5", "♔", "e7e5", "e2e4 "] {
        let mut board = Board::new();
        assert!(board.play(text).is_err(), "{text:?}");
        assert!(board.plies().is_empty());
    }
}

#[test]
fn each_end_by_the_rules_has_its_name() {
    let stalemate = "e2e3 a7a5 d1h5 a8a6 h5a5 h7h5 h2h4 a6h6 a5c7 f7f6 c7d7 e8f7 d7b7 d8d3 b7b8 \
                     d3h7 b8c8 f7g6 c8e6";
    let again = "g1f3 g8f6 f3g1 f6g8 g1f3 g8f6 f3g1 f6g8";
    let rows = [
        ("f2f3 e7e5 g2g4 d8h4", outcome(Some(Color::Black), Reason::Checkmate)),
        (stalemate, outcome(None, Reason::Stalemate)),
        (again, outcome(None, Reason::ThreefoldRepetition)),
    ];
    for (moves, expected) in rows {
        let moves: Vec<_> = moves.split(' ').collect();
        assert_eq!(Board::after(&moves).unwrap().outcome(), expected, "{moves:?}");
        let before = Board::after(&moves[..moves.len() - 1]).unwrap();
        assert_eq!(before.outcome(), None, "{moves:?}");
    }
    let rows = [
        ("8/8/8/8/8/4R3/4k3/7K b - - 3 80", "e2e3", outcome(None, Reason::InsufficientMaterial)),
        ("7k/8/8/8/8/8/8/R6K w - - 99 80", "a1a2", outcome(None, Reason::FiftyMoves)),
        ("7k/8/8/8/8/8/8/R6K w - - 98 80", "a1a2", None),
        // Mate goes before the fifty moves.
        (
            "7k/6pp/8/8/8/8/8/R6K w - - 99 80",
            "a1a8",
            outcome(Some(Color::White), Reason::Checkmate),
        ),
    ];
    for (fen, uci, expected) in rows {
        let mut board = Board::at(fen);
        assert_eq!(board.outcome(), None, "{fen}");
        board.play(uci).unwrap();
        assert_eq!(board.outcome(), expected, "{fen}");
    }
}

/// What is left when White's time is over.
#[test]
fn time_is_a_draw_if_the_other_cannot_mate() {
    let rows = [
        ("7k/8/8/8/8/8/8/R6K w - - 0 1", None),
        ("7k/8/8/8/8/8/8/Rn5K w - - 0 1", Some(Color::Black)),
        ("7k/7p/8/8/8/8/8/R6K w - - 0 1", Some(Color::Black)),
    ];
    for (fen, winner) in rows {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let seat = Seat::new();
        let mut game = Game::new("a".into(), second, Duration::ZERO, Color::White, seat);
        game.join(Seat::new(), now).unwrap();
        game.board = Board::at(fen);
        assert!(!game.flag(now + second - Duration::from_nanos(1)), "{fen}");
        assert!(game.flag(now + second), "{fen}");
        assert_eq!(game.outcome, outcome(winner, Reason::Time), "{fen}");
        assert!(!game.flag(now + second * 2), "{fen}: it has ended already");
    }
}

#[test]
fn only_the_clock_of_who_is_to_move_runs() {
    let (now, second) = (Instant::now(), Duration::from_secs(1));
    let mut clock = Clock::new(second * 60, second * 3);
    clock.press(now);
    assert_eq!(clock.running(), None, "nobody has started it");
    clock.start(Color::White, now);
    clock.press(now + second * 10);
    let later = now + second * 15;
    assert_eq!(clock.left(Color::White, later), second * 53);
    assert_eq!(clock.left(Color::Black, later), second * 55);
    assert_eq!(clock.falls(), Some((Color::Black, now + second * 70)));
    clock.stop(later);
    assert_eq!(clock.left(Color::Black, later + second), second * 55);
    assert_eq!(clock.falls(), None);
}
