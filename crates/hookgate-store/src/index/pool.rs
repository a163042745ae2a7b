//! Connections that read the index.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Unusable, open_reader};
use crate::error::{ReadError, is_broken};
use crate::lock;

/// Connections kept open. More may be in use for a moment.
const KEPT_MAX: usize = 8;

/// Steps of SQLite after which the time is looked at: a tenth of a millisecond.
const STEPS: i32 = 10_000;

/// The connections. Those of an index that was replaced are not used again.
#[derive(Debug)]
pub(crate) struct Pool {
    path: PathBuf,
    free: Mutex<Vec<(u64, Connection)>>,
    generation: AtomicU64,
    /// The generation that somebody found broken.
    broken: AtomicU64,
    /// The index is being made anew.
    is_suspended: AtomicBool,
}

impl Pool {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            free: Mutex::default(),
            generation: AtomicU64::new(1),
            broken: AtomicU64::new(0),
            is_suspended: AtomicBool::new(false),
        }
    }

    /// Reads with a connection, for so long at most.
    pub(crate) fn read<T>(
        &self,
        time: Option<Duration>,
        read: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if self.is_suspended.load(Ordering::Acquire) {
            return Err(ReadError::Behind);
        }
        let generation = self.generation.load(Ordering::Acquire);
        let kept = lock(&self.free).pop().filter(|(it, _)| *it == generation);
        let mut connection = match kept {
            Some((_, connection)) => connection,
            None => open_reader(&self.path).map_err(|error| match error {
                Unusable::Database(error) => self.error(error, generation),
                // It is being made anew.
                Unusable::Absent | Unusable::OtherFormat(_) | Unusable::Damaged(_) => {
                    ReadError::Behind
                }
            })?,
        };
        let begun = Instant::now();
        let stop = time.map(|time| move || begun.elapsed() > time);
        connection.progress_handler(STEPS, stop).map_err(ReadError::database)?;
        let result = read(&connection);
        if let Err(ReadError::Io(error)) = &result
            && error.get_ref().and_then(|it| it.downcast_ref()).is_some_and(is_broken)
        {
            self.broken.store(generation, Ordering::Release);
            return Err(ReadError::Behind);
        }
        let mut free = lock(&self.free);
        if free.len() < KEPT_MAX {
            free.push((generation, connection));
        }
        result
    }

    fn error(&self, error: rusqlite::Error, generation: u64) -> ReadError {
        if is_broken(&error) {
            self.broken.store(generation, Ordering::Release);
            return ReadError::Behind;
        }
        ReadError::database(error)
    }

    /// Whether somebody found the index broken since it was made.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire) == self.generation.load(Ordering::Acquire)
    }

    /// Lets nobody read: the index is being made anew.
    pub(crate) fn suspend(&self) {
        self.is_suspended.store(true, Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
        lock(&self.free).clear();
    }

    /// Lets everybody read the new one.
    pub(crate) fn renew(&self) {
        self.is_suspended.store(false, Ordering::Release);
    }
}
