//! Games on disk: one JSON file each, replaced as a whole, so that it is never half of one.
//!
//! A server that is killed finds there what it has told anybody. It is not flushed to the disk
//! itself: a power failure may cost the last moves. The files hold the players' secrets, so only
//! their owner may read the folder.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    game::{Game, Line, Seat},
    rules::{Board, Color, Outcome, Sides},
    times::{Moment, ms},
};

/// The ending of a file that is being written.
const PART: &str = "part";

/// A folder of games.
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// Makes the folder if there is none.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    pub(crate) fn write(&self, game: &Game, now: Moment) -> io::Result<()> {
        let text = serde_json::to_vec(&Stored::of(game, now))?;
        let part = self.folder.join(format!("{}.{PART}", game.id));
        fs::write(&part, text)?;
        fs::rename(part, self.file(&game.id))
    }

    pub(crate) fn remove(&self, id: &str) -> io::Result<()> {
        fs::remove_file(self.file(id))
    }

    /// All games, their clocks running from now on, and what is wrong with the other files.
    pub(crate) fn read(&self, now: Moment) -> io::Result<(Vec<Game>, Vec<String>)> {
        let (mut games, mut damaged) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == PART) {
                // Of a server that was killed while it wrote: nobody was told of it.
                fs::remove_file(path)?;
                continue;
            }
            if path.extension().is_some_and(|extension| extension == "json") {
                match read(&path, now) {
                    Ok(game) => games.push(game),
                    Err(what) => damaged.push(format!("{}: {what}", path.display())),
                }
            }
        }
        Ok((games, damaged))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn read(path: &Path, now: Moment) -> Result<Game, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    let stored: Stored = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if path.file_stem().is_none_or(|stem| stem != stored.id.as_str()) {
        return Err("it holds a game of another name".into());
    }
    stored.game(now).ok_or_else(|| "its moves are not legal".into())
}

#[derive(Serialize, Deserialize)]
struct Stored {
    id: String,
    version: u64,
    moves: Vec<String>,
    initial_ms: u64,
    increment_ms: u64,
    left_ms: Sides<u64>,
    running: Option<Color>,
    seats: Sides<Option<Seat>>,
    draw_offer: Option<Color>,
    offered: Sides<Option<usize>>,
    outcome: Option<Outcome>,
    chat: VecDeque<Line>,
    changed_at: u64,
}

impl Stored {
    fn of(game: &Game, now: Moment) -> Self {
        let left = |color| ms(game.clock.left(color, now.instant));
        Self {
            id: game.id.clone(),
            version: game.version,
            moves: game.board.plies().iter().map(|ply| ply.uci.clone()).collect(),
            initial_ms: ms(game.clock.initial()),
            increment_ms: ms(game.clock.increment()),
            left_ms: Sides { white: left(Color::White), black: left(Color::Black) },
            running: game.clock.running(),
            seats: game.seats.clone(),
            draw_offer: game.draw_offer,
            offered: game.offered,
            outcome: game.outcome,
            chat: game.chat.clone(),
            changed_at: game.changed_at,
        }
    }

    fn game(self, now: Moment) -> Option<Game> {
        let board = Board::after(&self.moves).ok()?;
        let span = Duration::from_millis;
        let left = Sides { white: span(self.left_ms.white), black: span(self.left_ms.black) };
        let mut clock = Clock::with_left(span(self.initial_ms), span(self.increment_ms), left);
        if let Some(color) = self.running {
            clock.start(color, now.instant);
        }
        Some(Game {
            id: self.id,
            version: self.version,
            board,
            clock,
            seats: self.seats,
            draw_offer: self.draw_offer,
            offered: self.offered,
            outcome: self.outcome,
            watchers: 0,
            chat: self.chat,
            changed_at: self.changed_at,
        })
    }
}
