//! Follows the journal into the file of the conversations.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;

use super::folding::{
    DECISIONS_MAX, Events, FoldError, Said, decisions, events, fold_again, reader,
};
use super::write::{DECISIONS, EVENTS};
use super::writer::Writer;
use super::{Projection, is_unusable};
use crate::door::Door;
use crate::error::ReadError;
use crate::filter::{EventFilter, Page};
use crate::index::pool::Pool;
use crate::index::query::{self, Found};
use crate::library::Library;
use crate::lock;
use crate::record::EventId;
use crate::registry::Registry;
use crate::scrub::Scrubbed;

/// How long the index may take for a decision.
const DECIDE_MAX: Duration = Duration::from_secs(10);

/// Folds. The thread does, and whoever erases.
#[derive(Debug)]
pub(crate) struct Fold {
    pub(crate) projection: Projection,
    pub(crate) door: Arc<Door>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) library: Library,
    pub(crate) registry: Registry,
}

/// Events as the index and the journal have them.
struct Shelf<'a> {
    library: &'a Library,
    connection: &'a Connection,
}

impl Events for Shelf<'_> {
    type Found = Found;

    fn page(&self, filter: &EventFilter, page: Page) -> Result<Vec<Found>, ReadError> {
        query::page(self.connection, filter, page).map_err(ReadError::database)
    }

    fn accepted(&self, id: EventId) -> Result<Option<Found>, ReadError> {
        let found = query::by_id(self.connection, id).map_err(ReadError::database)?;
        Ok(found.filter(|it| !it.is_quarantined))
    }

    fn place(found: &Found) -> (u64, [u8; 16]) {
        (found.seq, found.id)
    }

    fn said(&self, found: &Found) -> Result<Option<Said>, ReadError> {
        let read = || {
            let Some(scope) = reader(found.tenant.as_deref()) else { return Ok(None) };
            let Some((event, body)) = self.library.stored(&scope, found.clone())? else {
                return Ok(None);
            };
            Said::of(event, body)
        };
        match read() {
            Err(ReadError::Damaged) => Ok(None),
            said => said,
        }
    }
}

impl Fold {
    /// Follows until the store is closed.
    pub(crate) fn run(&self) {
        self.projection.pace.follow(
            || *self.door.indexed().borrow(),
            || {
                if self.projection.is_broken() {
                    self.make_anew("somebody who read found a fault");
                }
                self.step().map(Some)
            },
            |error| self.recover(error),
        );
    }

    /// Something failed: what is broken is made anew, the rest is tried again.
    fn recover(&self, error: &FoldError) {
        if let FoldError::Database(database) = error
            && is_unusable(database)
        {
            self.make_anew(&database.to_string());
        } else {
            tracing::error!(
                error = %error,
                cause = std::error::Error::source(error).map(tracing::field::display),
                "conversations cannot be followed; it goes on in a moment"
            );
        }
    }

    fn make_anew(&self, reason: &str) {
        tracing::error!(reason, "the conversations are damaged and made anew");
        if let Err(error) = self.projection.begin_anew() {
            tracing::error!(error = %error, "the conversations cannot be made anew; trying again");
            self.projection.pace.pause(super::pace::PAUSE);
        }
    }

    /// Takes in decisions, and a batch of events; gives how far it is then.
    fn step(&self) -> Result<u64, FoldError> {
        self.check_place()?;
        while self.decisions()? {}
        let end = *self.door.indexed().borrow();
        let writer = lock(&self.projection.writer);
        self.change(&writer, |tables, shelf| events(tables, shelf, end))
    }

    /// Changes conversations by what events say, in one transaction.
    fn change<T>(
        &self,
        writer: &Writer,
        change: impl Fn(&super::Tables<'_>, &Shelf<'_>) -> Result<T, FoldError>,
    ) -> Result<T, FoldError> {
        let done = writer.in_transaction(|tables| {
            // What is found broken in the index is an error of reading.
            let mut failed = None;
            let done = self.pool.read(None, |connection| {
                let found = Shelf { library: &self.library, connection };
                match change(tables, &found) {
                    Ok(done) => Ok(Some(done)),
                    Err(FoldError::Reading(error)) => Err(error),
                    Err(error) => {
                        failed = Some(error);
                        Ok(None)
                    }
                }
            })?;
            match (done, failed) {
                (Some(done), _) => Ok(done),
                (None, Some(error)) => Err(error),
                (None, None) => Err(ReadError::Behind.into()),
            }
        });
        let (done, count) = done?;
        self.projection.counted(count);
        Ok(done)
    }

    /// Begins anew if the journal is another one than was followed: one of a backup ends
    /// before, or has other events in the same places.
    fn check_place(&self) -> Result<(), FoldError> {
        let mut writer = lock(&self.projection.writer);
        let through = writer.tables().cursor(EVENTS)?;
        let is_ahead = through > self.door.last_seq();
        let last = writer.tables().meta("last")?.and_then(|it| {
            let (seq, id) = it.split_once(' ')?;
            Some((seq.parse::<u64>().ok()?, id.to_owned()))
        });
        let is_other = match last.filter(|_| !is_ahead) {
            Some((seq, id)) => self
                .pool
                .read(None, |connection| {
                    query::by_seq(connection, seq).map_err(ReadError::database)
                })?
                .is_some_and(|it| hex::encode(it.id) != id),
            None => false,
        };
        if is_ahead || is_other {
            tracing::warn!("the conversations are of another journal and made anew");
            self.projection.replace(&mut writer)?;
        }
        Ok(())
    }

    /// Takes in a batch of decisions; says whether there may be more.
    fn decisions(&self) -> Result<bool, FoldError> {
        let behind = lock(&self.projection.writer).tables().cursor(DECISIONS)?;
        let decided = self.registry.decisions_after(behind, DECISIONS_MAX)?;
        if decided.is_empty() {
            return Ok(false);
        }
        // Decided first, and then in the index.
        let reader = self.library.reader.clone();
        self.door.have(DECIDE_MAX, move |index, later| index.decide(later, &reader))?;
        let writer = lock(&self.projection.writer);
        self.change(&writer, |tables, shelf| decisions(tables, shelf, &decided))?;
        Ok(true)
    }

    /// Takes events out of their conversations. They are erased in the journal, and still in
    /// the index.
    pub(crate) fn erase(&self, seqs: &[u64]) -> Result<(), FoldError> {
        let writer = lock(&self.projection.writer);
        let done = self.change(&writer, |tables, shelf| {
            let mut touched = std::collections::BTreeSet::new();
            for seq in seqs {
                touched.extend(tables.key_of(*seq)?);
            }
            fold_again(tables, shelf, &touched)
        });
        if let Err(FoldError::Database(error)) = &done
            && is_unusable(error)
        {
            // What is damaged goes whole, and with it what was to be erased.
            drop(writer);
            return Ok(self.projection.begin_anew()?);
        }
        done
    }

    /// Leaves nothing of what was removed in the file: a piece of it.
    pub(crate) fn scrub(&self, from: u32) -> Result<Scrubbed, FoldError> {
        let mut writer = lock(&self.projection.writer);
        if from <= 1 {
            while writer.forget_removed()? {}
        }
        Ok(writer.scrub(from)?)
    }
}
