//! What happens at a table without anybody doing something: a flag falls, somebody has left.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{Room, Table};
use crate::{
    attendance::{CROWD, Role},
    game::{Game, Kind},
    problem::Problem,
    rules::Color,
};

/// When to try again what the disk did not take.
const AGAIN: Duration = Duration::from_secs(1);

/// The one task of a game: asleep until its flag may fall, or somebody may have left.
pub(super) struct Alarm {
    at: Instant,
    task: JoinHandle<()>,
}

impl Room {
    /// A poll begins.
    pub(crate) fn enter(self: &Arc<Self>, table: &Arc<Table>, role: Role) {
        let now = Instant::now();
        if table.attendance().enter(role, now) {
            self.arm(table, if role == Role::Watcher { now + CROWD } else { now });
        }
    }

    /// A poll has ended.
    pub(crate) fn leave(self: &Arc<Self>, table: &Arc<Table>, role: Role) {
        let now = Instant::now();
        let due = {
            let mut attendance = table.attendance();
            attendance.leave(role, now);
            attendance.due(now)
        };
        if let Some(at) = due {
            self.arm(table, at);
        }
    }

    /// Looks whether a flag has fallen, or others are here than was told last.
    pub(super) fn tick(self: &Arc<Self>, table: &Arc<Table>) {
        let due = {
            let mut game = table.lock();
            let told = self.flag(table, &mut game).and_then(|()| self.look(table, &mut game));
            let now = Instant::now();
            let falls = game.clock.falls().map(|(_, at)| at);
            match told {
                Ok(()) => table.attendance().due(now).into_iter().chain(falls).min(),
                // A game that was forgotten has no more to look for.
                Err(_) if self.table(&game.id).is_none() => None,
                Err(_) => Some(now + AGAIN),
            }
        };
        if let Some(at) = due {
            self.arm(table, at);
        }
    }

    fn look(
        self: &Arc<Self>,
        table: &Arc<Table>,
        game: &mut MutexGuard<'_, Game>,
    ) -> Result<(), Problem> {
        let now = self.now();
        let mut next = Game::clone(game);
        let mut is_changed = false;
        {
            let mut attendance = table.attendance();
            let watchers = attendance.watchers(now.instant);
            is_changed |= std::mem::replace(&mut next.watchers, watchers) != watchers;
            for color in Color::BOTH {
                let Some(seat) = next.seats.get_mut(color) else { continue };
                let here = attendance.is_here(color, now.instant);
                if std::mem::replace(&mut seat.here, here) != here {
                    let left = attendance.left(color).unwrap_or(now.instant);
                    seat.left_at = now.unix_ms_of(left);
                    is_changed = true;
                }
            }
        }
        if !is_changed {
            return Ok(());
        }
        self.tell(table, game, next, now, Kind::Presence).map(|_| ())
    }

    /// Has the table looked at again, at this time at the latest.
    pub(super) fn arm(self: &Arc<Self>, table: &Arc<Table>, at: Instant) {
        let mut alarm = table.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        if alarm.as_ref().is_some_and(|alarm| alarm.at <= at) {
            return;
        }
        if let Some(later) = alarm.take() {
            later.task.abort();
        }
        let (room, rung) = (Arc::clone(self), Arc::clone(table));
        let task = self.runtime.spawn(async move {
            sleep_until(at).await;
            let now = Instant::now();
            let mut alarm = rung.alarm.lock().unwrap_or_else(PoisonError::into_inner);
            alarm.take_if(|alarm| alarm.at <= now);
            drop(alarm);
            room.tick(&rung);
        });
        *alarm = Some(Alarm { at, task });
    }
}
