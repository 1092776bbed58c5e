//! The room with all tables: where games are changed, stored and told of, each under its own lock.
//!
//! Invariant: whatever somebody can know of a game is on disk, and has its event. So under the lock
//! of a game, and in this order, a change is made to a copy, written, published, and only then
//! becomes the game. Who reads the state and the hub's cursor under the same lock therefore gets
//! every later event once, and none that the state has already.
//!
//! Nothing is awaited in between: a handler whose client leaves cannot stop half-way.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{runtime::Handle, time::Instant};
use tower_longpoll::{Channel, Cursor, Event, Hub};

use self::alarm::Alarm;
use crate::{
    attendance::Attendance,
    game::{Game, Kind, Line, Seat},
    problem::Problem,
    random,
    rules::Color,
    store::Store,
    times::{Moment, Times},
};

mod alarm;

/// Games that nobody has touched for so long are forgotten, unless they are being played.
const KEPT: Duration = Duration::from_secs(24 * 60 * 60);
/// How often these are looked for.
const SWEEP: Duration = Duration::from_secs(600);

/// All games.
pub(crate) struct Room {
    hub: Hub,
    store: Store,
    times: Times,
    runtime: Handle,
    max_games: usize,
    creating: Mutex<()>,
    index: RwLock<Index>,
}

#[derive(Default)]
struct Index {
    tables: HashMap<String, Arc<Table>>,
    seats: HashMap<String, (Arc<Table>, Color)>,
}

/// One game, and what belongs to it. Locks are taken in the order of the fields.
pub(crate) struct Table {
    game: Mutex<Game>,
    attendance: Mutex<Attendance>,
    alarm: Mutex<Option<Alarm>>,
    events: Channel,
    chat: Channel,
}

/// What a player gets: the only time that a token leaves the server.
pub(crate) struct Ticket {
    pub(crate) id: String,
    pub(crate) color: Color,
    pub(crate) token: String,
    pub(crate) seat: String,
}

impl Room {
    /// A room with the games that are stored. Needs a runtime.
    pub(crate) fn open(
        hub: Hub,
        store: Store,
        times: Times,
        max_games: usize,
    ) -> io::Result<Arc<Self>> {
        let (games, damaged) = store.read(times.now())?;
        for what in damaged {
            eprintln!("note: left a game out, {what}");
        }
        let index = RwLock::default();
        let runtime = Handle::current();
        let creating = Mutex::default();
        let room = Arc::new(Self { hub, store, times, runtime, max_games, creating, index });
        if games.len() > max_games {
            eprintln!("note: left {} games out, there are too many", games.len() - max_games);
        }
        for game in games.into_iter().take(max_games) {
            let table = room.seat(game);
            // Whoever was here comes back, or is told to have left when the grace has passed.
            room.tick(&table);
        }
        let sweeper = Arc::downgrade(&room);
        room.runtime.spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(room) = sweeper.upgrade() else { return };
                room.sweep();
            }
        });
        Ok(room)
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(crate) fn now(&self) -> Moment {
        self.times.now()
    }

    pub(crate) fn games(&self) -> usize {
        self.read_index().tables.len()
    }

    pub(crate) fn table(&self, id: &str) -> Option<Arc<Table>> {
        self.read_index().tables.get(id).cloned()
    }

    /// The table of a seat's name.
    pub(crate) fn seat_of(&self, name: &str) -> Option<(Arc<Table>, Color)> {
        self.read_index().seats.get(name).cloned()
    }

    /// Begins a game.
    pub(crate) fn create(
        self: &Arc<Self>,
        time: Duration,
        increment: Duration,
        color: Color,
    ) -> Result<Ticket, Problem> {
        let full = || Problem::unavailable("There are as many games as this server takes.");
        // One after the other, so that there are never more than that, nor two of one name.
        let _one = self.creating.lock().unwrap_or_else(PoisonError::into_inner);
        if self.games() >= self.max_games {
            return Err(full());
        }
        let mut id = random::name(8);
        while self.table(&id).is_some() {
            id = random::name(8);
        }
        let (now, seat) = (self.now(), Seat::new());
        let mut game = Game::new(id, time, increment, color, seat.clone());
        game.changed_at = now.unix_ms;
        self.store.write(&game, now).map_err(not_stored)?;
        let ticket = Ticket { id: game.id.clone(), color, token: seat.token, seat: seat.name };
        let table = self.seat(game);
        self.tick(&table);
        Ok(ticket)
    }

    /// Takes the free seat of a game.
    pub(crate) fn join(self: &Arc<Self>, table: &Arc<Table>) -> Result<Ticket, Problem> {
        let seat = Seat::new();
        let mut game = table.lock();
        let (color, _) = self.change(table, &mut game, |game, now| {
            let color = game.join(seat.clone(), now.instant)?;
            Ok((Kind::Joined, color))
        })?;
        table.attendance().expect(color, Instant::now());
        self.write_index().seats.insert(seat.name.clone(), (Arc::clone(table), color));
        let id = game.id.clone();
        drop(game);
        self.tick(table);
        Ok(Ticket { id, color, token: seat.token, seat: seat.name })
    }

    /// Lets a player do something, whom the token names.
    pub(crate) fn act(
        self: &Arc<Self>,
        table: &Arc<Table>,
        token: Option<&str>,
        act: impl FnOnce(&mut Game, Color, Instant) -> Result<Kind, Problem>,
    ) -> Result<Cursor, Problem> {
        let mut game = table.lock();
        let color = token.and_then(|token| game.owner(token));
        let forbidden = || Problem::forbidden("Only the players of this game may do this.");
        let color = color.ok_or_else(forbidden)?;
        let (_, cursor) = self.change(table, &mut game, |game, now| {
            let kind = act(game, color, now.instant)?;
            Ok((kind, ()))
        })?;
        Ok(cursor)
    }

    /// Says something, as a player or a watcher.
    pub(crate) fn say(
        &self,
        table: &Table,
        token: Option<&str>,
        text: String,
    ) -> Result<(), Problem> {
        let mut game = table.lock();
        let forbidden = || Problem::forbidden("This token belongs to no player of this game.");
        let from = match token {
            Some(token) => game.owner(token).ok_or_else(forbidden)?.name(),
            None => "watcher",
        };
        let now = self.now();
        let line = Line { from: from.into(), text, at: now.unix_ms };
        let mut next = game.clone();
        next.say(line.clone());
        next.changed_at = now.unix_ms;
        self.commit(&mut game, next, now, &table.chat, &json!(line))?;
        Ok(())
    }

    /// The game as one client may see it, and where to go on from.
    pub(crate) fn state(self: &Arc<Self>, table: &Arc<Table>, token: Option<&str>) -> Value {
        let mut game = table.lock();
        // If the disk does not take it now, the alarm tries again.
        let _ = self.flag(table, &mut game);
        let you = token.and_then(|token| game.owner(token));
        let seat = you.and_then(|color| game.seats.get(color).as_ref());
        json!({
            "cursor": self.hub.cursor().to_string(),
            "you": you,
            "seat": seat.map(|seat| &seat.name),
            "chat": game.chat,
            "view": game.view(self.now()),
        })
    }

    /// Stores what the clocks show: the server is about to end.
    pub(crate) fn save(&self) {
        let tables: Vec<_> = self.read_index().tables.values().cloned().collect();
        for table in tables {
            let game = table.lock();
            if game.clock.running().is_some() {
                if let Err(error) = self.store.write(&game, self.now()) {
                    eprintln!("note: the clocks of game {} are not stored: {error}", game.id);
                }
            }
        }
    }

    /// Ends the game if a flag has fallen, then makes a change and tells of it.
    fn change<T>(
        self: &Arc<Self>,
        table: &Arc<Table>,
        game: &mut MutexGuard<'_, Game>,
        change: impl FnOnce(&mut Game, Moment) -> Result<(Kind, T), Problem>,
    ) -> Result<(T, Cursor), Problem> {
        self.flag(table, game)?;
        let now = self.now();
        let mut next = Game::clone(game);
        let (kind, out) = change(&mut next, now)?;
        next.changed_at = now.unix_ms;
        Ok((out, self.tell(table, game, next, now, kind)?))
    }

    fn flag(
        self: &Arc<Self>,
        table: &Arc<Table>,
        game: &mut MutexGuard<'_, Game>,
    ) -> Result<(), Problem> {
        let now = self.now();
        if game.clock.falls().is_none_or(|(_, at)| at > now.instant) {
            return Ok(());
        }
        let mut next = Game::clone(game);
        next.flag(now.instant);
        next.changed_at = now.unix_ms;
        self.tell(table, game, next, now, Kind::Over).map(|_| ())
    }

    /// Makes this the game, and tells everybody.
    fn tell(
        self: &Arc<Self>,
        table: &Arc<Table>,
        game: &mut MutexGuard<'_, Game>,
        mut next: Game,
        now: Moment,
        kind: Kind,
    ) -> Result<Cursor, Problem> {
        next.version += 1;
        let event = json!({ "kind": kind.text(), "view": next.view(now) });
        let falls = next.clock.falls();
        let cursor = self.commit(game, next, now, &table.events, &event)?;
        if let Some((_, at)) = falls {
            self.arm(table, at);
        }
        Ok(cursor)
    }

    /// See the invariant above.
    fn commit(
        &self,
        game: &mut MutexGuard<'_, Game>,
        next: Game,
        now: Moment,
        channel: &Channel,
        event: &Value,
    ) -> Result<Cursor, Problem> {
        if !self.read_index().tables.contains_key(&next.id) {
            return Err(Problem::not_found("There is no such game any more."));
        }
        self.store.write(&next, now).map_err(not_stored)?;
        let event = Event::json(event).expect("a map with keys of text");
        let published = self.hub.publish(channel, event);
        **game = next;
        Ok(match published {
            Ok(published) => published.cursor,
            Err(error) => {
                eprintln!("note: an event of game {} is not told: {error}", game.id);
                self.hub.cursor()
            }
        })
    }

    fn seat(&self, game: Game) -> Arc<Table> {
        let channel = |kind: &str| {
            Channel::new(format!("{kind}.{}", game.id))
                .expect("a file's name has no control characters")
        };
        let (events, chat) = (channel("game"), channel("chat"));
        let id = game.id.clone();
        let mut names = Vec::new();
        let now = self.now();
        let mut attendance = Attendance::new();
        for color in Color::BOTH {
            let Some(seat) = game.seats.get(color) else { continue };
            names.push((seat.name.clone(), color));
            if seat.here {
                attendance.expect(color, now.instant);
            }
        }
        let attendance = Mutex::new(attendance);
        let alarm = Mutex::default();
        let table = Arc::new(Table { game: Mutex::new(game), attendance, alarm, events, chat });
        let mut index = self.write_index();
        for (name, color) in names {
            index.seats.insert(name, (Arc::clone(&table), color));
        }
        index.tables.insert(id, Arc::clone(&table));
        table
    }

    /// Forgets the games that nobody needs any more.
    fn sweep(&self) {
        let tables: Vec<_> = self.read_index().tables.values().cloned().collect();
        let now = self.now();
        for table in tables {
            let game = table.lock();
            let age = Duration::from_millis(now.unix_ms.saturating_sub(game.changed_at));
            let is_idle = game.clock.running().is_none();
            if age >= KEPT && is_idle && table.attendance().is_empty(now.instant) {
                self.forget(&table, &game);
            }
        }
    }

    fn forget(&self, table: &Table, game: &Game) {
        let mut index = self.write_index();
        index.tables.remove(&game.id);
        for color in Color::BOTH {
            if let Some(seat) = game.seats.get(color) {
                index.seats.remove(&seat.name);
            }
        }
        drop(index);
        if let Err(error) = self.store.remove(&game.id) {
            eprintln!("note: the file of game {} cannot be removed: {error}", game.id);
        }
        self.hub.delete(&table.events);
        self.hub.delete(&table.chat);
    }

    fn read_index(&self) -> std::sync::RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_index(&self) -> std::sync::RwLockWriteGuard<'_, Index> {
        self.index.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Game> {
        self.game.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn attendance(&self) -> MutexGuard<'_, Attendance> {
        self.attendance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn not_stored(error: io::Error) -> Problem {
    eprintln!("note: a game cannot be stored: {error}");
    Problem::unavailable("The server cannot store the game at the moment; nothing has changed.")
}
