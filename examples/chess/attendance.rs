//! Who is here, told from the polls themselves: who polls is here, and a little while longer.
//!
//! A poll ends with every event, and its client is back a moment later. So nobody has left before
//! `GRACE` has passed without a poll of theirs, and a new watcher's poll takes the place of one that
//! has just ended, if there is one: it is most likely the same watcher.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::rules::{Color, Sides};

/// How long a client that was answered counts as here without a new poll.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Watchers come and go in crowds: their number is told this often.
pub(crate) const CROWD: Duration = Duration::from_secs(1);

/// What a poll is to a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Player(Color),
    Watcher,
}

/// The polls of one game.
pub(crate) struct Attendance {
    seats: Sides<Polls>,
    watching: usize,
    /// When polls of watchers ended in whose place no other has come.
    ended: VecDeque<Instant>,
}

#[derive(Clone, Copy)]
struct Polls {
    parked: usize,
    /// When the last one ended; none if that was on an earlier server.
    ended: Option<Instant>,
}

impl Polls {
    /// Until when who was answered counts as here.
    fn until(self) -> Option<Instant> {
        self.ended.map(|ended| ended + GRACE)
    }
}

impl Attendance {
    /// Nobody is here.
    pub(crate) fn new() -> Self {
        let nobody = Polls { parked: 0, ended: None };
        let seats = Sides { white: nobody, black: nobody };
        Self { seats, watching: 0, ended: VecDeque::new() }
    }

    /// The player of this seat is about to poll: they count as here, as if just answered.
    pub(crate) fn expect(&mut self, color: Color, now: Instant) {
        self.seats.get_mut(color).ended = Some(now);
    }

    /// A poll begins. Whether that changes who is here.
    pub(crate) fn enter(&mut self, role: Role, now: Instant) -> bool {
        let Role::Player(color) = role else {
            self.forget(now);
            self.watching += 1;
            return self.ended.pop_front().is_none();
        };
        let was_here = self.is_here(color, now);
        self.seats.get_mut(color).parked += 1;
        !was_here
    }

    /// A poll has ended.
    pub(crate) fn leave(&mut self, role: Role, now: Instant) {
        match role {
            Role::Watcher => {
                self.watching = self.watching.saturating_sub(1);
                self.ended.push_back(now);
            }
            Role::Player(color) => {
                let polls = self.seats.get_mut(color);
                polls.parked = polls.parked.saturating_sub(1);
                polls.ended = Some(now);
            }
        }
    }

    pub(crate) fn is_here(&self, color: Color, now: Instant) -> bool {
        let polls = self.seats.get(color);
        polls.parked > 0 || polls.until().is_some_and(|until| now < until)
    }

    /// When the last poll of a seat ended.
    pub(crate) fn left(&self, color: Color) -> Option<Instant> {
        self.seats.get(color).ended
    }

    pub(crate) fn watchers(&mut self, now: Instant) -> usize {
        self.forget(now);
        self.watching + self.ended.len()
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&mut self, now: Instant) -> bool {
        self.watchers(now) == 0 && !Color::BOTH.into_iter().any(|color| self.is_here(color, now))
    }

    /// When somebody will have left, if nothing else happens.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.forget(now);
        // Together with those who leave soon after.
        let watcher = self.ended.front().map(|&ended| ended + GRACE + CROWD);
        let polls = Color::BOTH.map(|color| self.seats.get(color));
        let players = polls.into_iter().filter(|polls| polls.parked == 0);
        let players = players.filter_map(|polls| polls.until());
        players.chain(watcher).filter(|&due| due > now).min()
    }

    fn forget(&mut self, now: Instant) {
        while self.ended.front().is_some_and(|&ended| ended + GRACE <= now) {
            self.ended.pop_front();
        }
    }
}
