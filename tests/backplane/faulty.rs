//! A log that can be taken away, lose its data, or be slow.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;
use tower_longpoll::backplane::{
    Change, Driver, EntryId, MemoryLog, Opened, Portion, Position, Reader, Retention,
};

#[derive(Clone)]
pub(crate) struct Faulty {
    log: Arc<Mutex<MemoryLog>>,
    away: watch::Sender<bool>,
}

#[derive(Debug)]
pub(crate) struct Away;

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the engine is away")
    }
}

impl std::error::Error for Away {}

impl Faulty {
    pub(crate) fn new() -> Self {
        Self { log: Arc::default(), away: watch::Sender::new(false) }
    }

    /// As others see it, which are not cut off.
    pub(crate) fn log(&self) -> MemoryLog {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.send_replace(away);
    }

    /// The engine comes back without what it had.
    pub(crate) fn lose_data(&self) {
        *self.log.lock().unwrap() = MemoryLog::new();
    }

    fn check(&self) -> Result<MemoryLog, Away> {
        if *self.away.borrow() { Err(Away) } else { Ok(self.log()) }
    }
}

pub(crate) struct FaultyReader {
    inner: <MemoryLog as Driver>::Reader,
    away: watch::Receiver<bool>,
}

impl Driver for Faulty {
    type Error = Away;
    type Reader = FaultyReader;

    async fn open(
        &self,
        after: Option<Position>,
        retention: &Retention,
    ) -> Result<Opened<FaultyReader>, Away> {
        let Ok(opened) = self.check()?.open(after, retention).await;
        let Opened { epoch, floor, last, reader } = opened;
        let reader = FaultyReader { inner: reader, away: self.away.subscribe() };
        Ok(Opened { epoch, floor, last, reader })
    }

    async fn append(&self, id: &EntryId, change: &Change) -> Result<Position, Away> {
        let Ok(position) = self.check()?.append(id, change).await;
        Ok(position)
    }
}

impl Reader for FaultyReader {
    type Error = Away;

    async fn next(&mut self) -> Result<Portion, Away> {
        tokio::select! {
            biased;
            _ = self.away.wait_for(|away| *away) => Err(Away),
            Ok(portion) = self.inner.next() => Ok(portion),
        }
    }
}

impl Faulty {
    /// One more node's way to a log that others have, too.
    #[allow(dead_code, reason = "not every test has several")]
    pub(crate) fn over(log: &MemoryLog) -> Self {
        let new = Self::new();
        *new.log.lock().unwrap() = log.clone();
        new
    }
}
