//! Follows the journal: one thread that takes in what was committed, in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hookgate_journal::{LogId, Reader};

use super::pool::Pool;
use super::{Change, Index, Placed, Unusable};
use crate::blobs::Blobs;
use crate::bloom::Key;
use crate::door::{BATCH_RECORDS, Call, Door, Waiting};
use crate::error::is_broken;
use crate::layout::{EVENTS, LOGS, UNPROVEN};
use crate::registry::later::Later;

/// How long the first record of a transaction waits for others: what a list may lag
/// behind without anyone noticing. A reader that waits shortens it.
const GATHER: Duration = Duration::from_millis(25);

/// Keys merged at once, so that records never wait long behind a merge.
const MERGE_KEYS: usize = 2_048;

/// How long a failed transaction rests before it is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Tries while the store is closing; what is missing then is read at the next start.
const CLOSING_TRIES_MAX: u32 = 3;

/// What stands in the way of following the journal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatchUpError {
    /// The index knows more than the journal has.
    #[error("the index knows records that are not in the journal")]
    Ahead,
    #[error("the index failed")]
    Index(#[from] rusqlite::Error),
    #[error("the journal failed")]
    Journal(#[from] hookgate_journal::ReadError),
}

/// Takes in what the journal and the registry have and the index has not. `note` is told how
/// many records were looked at.
pub(crate) fn follow(
    index: &mut Index,
    reader: &Reader,
    later: &Later,
    note: impl FnMut(u64),
) -> Result<(), CatchUpError> {
    index.set_forgotten(later.erased_tenants()?);
    catch_up(index, reader, note)?;
    // What is decided of an event comes after it.
    index.decide(later, reader)?;
    index.revive()?;
    Ok(())
}

/// Takes in what the journal has and the index has not.
fn catch_up(
    index: &mut Index,
    reader: &Reader,
    mut note: impl FnMut(u64),
) -> Result<(), CatchUpError> {
    let mut looked_at = 0_u64;
    for log in LOGS {
        let mut records = Vec::new();
        let progress = index.progress(log);
        let mut is_first = log == EVENTS && progress.position.is_some();
        for item in reader.scan_heads(log, progress.position) {
            let head = match item {
                Ok(head) => head,
                // The ring dropped it.
                Err(hookgate_journal::ReadError::Gone { .. }) if log == UNPROVEN => continue,
                Err(error @ hookgate_journal::ReadError::Corrupt { .. }) => {
                    tracing::error!(error = %error, "a part of the journal is damaged; what is behind it is read");
                    continue;
                }
                Err(hookgate_journal::ReadError::Gone { .. }) if is_first => {
                    return Err(CatchUpError::Ahead);
                }
                Err(error) => return Err(error.into()),
            };
            if is_first && head.seq != progress.seq {
                return Err(CatchUpError::Ahead);
            }
            is_first = false;
            let change = Change::read(&head.head, head.erased).unwrap_or_else(|error| {
                tracing::error!(event.seq = head.seq, error = %error, "a record cannot be understood");
                Change::Nothing
            });
            records.push(Placed { seq: head.seq, log, position: head.position, change });
            if records.len() >= BATCH_RECORDS {
                index.apply(&records)?;
                looked_at = looked_at.saturating_add(records.len() as u64);
                note(looked_at);
                records.clear();
            }
        }
        if is_first {
            return Err(CatchUpError::Ahead);
        }
        index.apply(&records)?;
        looked_at = looked_at.saturating_add(records.len() as u64);
        note(looked_at);
    }
    Ok(())
}

/// The thread.
#[derive(Debug)]
pub(crate) struct Indexer {
    pub(crate) door: Arc<Door>,
    pub(crate) index: Index,
    pub(crate) path: PathBuf,
    pub(crate) pool: Arc<Pool>,
    pub(crate) blobs: Arc<Blobs>,
    /// What came after the events.
    pub(crate) later: Later,
    /// Keys of one generation.
    pub(crate) keys_max: usize,
    /// All keys up to here are in the table.
    pub(crate) merged: u64,
    /// The oldest segment of the ring of unproven requests that is still indexed.
    pub(crate) oldest_unproven: u64,
    /// Everything up to here was looked at.
    pub(crate) done: u64,
    pub(crate) merging: Option<Merging>,
    /// The store is closing and the index cannot be written: nothing more is, so that the
    /// next start goes on where this one stopped.
    pub(crate) has_given_up: bool,
}

/// A generation on its way into the table.
#[derive(Debug)]
pub(crate) struct Merging {
    keys: Vec<(Key, u64)>,
    next: usize,
    through: u64,
}

impl Indexer {
    /// Follows until the door is closed.
    pub(crate) fn run(mut self) {
        let mut empty = Vec::new();
        loop {
            let patience = self.has_keys_to_merge().then_some(Duration::ZERO);
            match self.door.wait(patience, GATHER) {
                Call::Work => empty = self.take_in(empty),
                Call::Nothing => {}
                Call::Closed => break,
            }
            if self.pool.is_broken() {
                self.rebuild("a reader found it damaged");
            }
            self.try_to("merging keys", Self::merge_some);
        }
        // Whoever waits for something else to be done waits no longer.
        self.door.leave();
        if self.has_given_up {
            tracing::warn!("the index is behind the journal; it catches up at the next start");
        } else if let Err(error) = self.index.close() {
            tracing::warn!(error = %error, "the index was not closed; it is checked at the next start");
        }
    }

    /// Takes in what waits, and gives the emptied list back.
    fn take_in(&mut self, empty: Vec<Waiting>) -> Vec<Waiting> {
        let (mut waiting, tasks) = self.door.take(empty);
        let mut records = Vec::with_capacity(waiting.len().min(BATCH_RECORDS));
        let mut has_unproven = false;
        for Waiting { ticket, log, change } in waiting.drain(..) {
            self.done = ticket.seq();
            let outcome = ticket.outcome().unwrap_or_else(|| ticket.wait());
            // What failed was never stored.
            if let Ok(committed) = outcome {
                has_unproven |= log == UNPROVEN;
                records.push(Placed {
                    seq: committed.seq,
                    log,
                    position: committed.position,
                    change,
                });
            }
            if records.len() >= BATCH_RECORDS {
                self.write(&mut records);
            }
        }
        self.write(&mut records);
        if has_unproven {
            self.try_to("removing overwritten requests", Self::evict);
        }
        for mut task in tasks {
            self.try_to("changing", |indexer| task(&mut indexer.index, &indexer.later));
        }
        waiting
    }

    fn write(&mut self, records: &mut Vec<Placed>) {
        self.try_to("writing", |indexer| indexer.index.apply(records));
        records.clear();
        self.door.note_indexed(self.done);
    }

    /// Does something with the index until it works: what is broken is made anew, what
    /// fails otherwise (a full disk) is tried again while the door holds senders back.
    fn try_to(
        &mut self,
        doing: &str,
        mut work: impl FnMut(&mut Self) -> Result<(), rusqlite::Error>,
    ) {
        let mut tries = 0_u32;
        while !self.has_given_up {
            let Err(error) = work(self) else { return };
            if is_broken(&error) {
                self.rebuild(&error.to_string());
            } else if tries.is_multiple_of(50) {
                tracing::error!(error = %error, doing, "the index cannot be written; trying again");
            }
            tries = tries.saturating_add(1);
            self.has_given_up |= tries >= CLOSING_TRIES_MAX && self.door.is_closing();
            if !self.has_given_up {
                std::thread::sleep(RETRY);
            }
        }
    }

    /// Makes the index anew from the journal. Readers wait meanwhile.
    fn rebuild(&mut self, reason: &str) {
        tracing::error!(reason, "the index is damaged and made anew");
        self.pool.suspend();
        // The damaged file is closed before another takes its name.
        if let Ok(placeholder) = Index::temporary() {
            self.index = placeholder;
        }
        loop {
            match self.make_anew() {
                Ok(index) => {
                    self.index = index;
                    break;
                }
                Err(error) => {
                    tracing::error!(error = %error, "the index cannot be made anew; trying again");
                }
            }
            self.has_given_up |= self.door.is_closing();
            if self.has_given_up {
                return;
            }
            std::thread::sleep(RETRY);
        }
        self.merging = None;
        self.pool.renew();
        tracing::info!("the index is made anew");
    }

    fn make_anew(&mut self) -> Result<Index, CatchUpError> {
        let mut index = Index::create(&self.path).map_err(|error| match error {
            Unusable::Database(error) => error,
            other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
        })?;
        follow(&mut index, &self.door.journal().reader(), &self.later, |_| {})?;
        index.merge_from_events(self.keys_max, self.merged)?;
        Ok(index)
    }

    fn has_keys_to_merge(&self) -> bool {
        self.merging.is_some() || self.door.with_dedupe(|it| it.oldest_frozen().is_some())
    }

    /// Merges a piece of the oldest full generation, once all of it is committed.
    fn merge_some(&mut self) -> Result<(), rusqlite::Error> {
        if self.merging.is_none() {
            let Some(generation) = self.door.with_dedupe(|it| it.oldest_frozen()) else {
                return Ok(());
            };
            let through = generation.values().map(|it| it.seq).max().unwrap_or(0);
            if through > self.done {
                return Ok(());
            }
            let stored =
                generation.iter().filter(|(_, it)| !self.door.journal().has_failed(it.seq));
            let mut keys: Vec<(Key, u64)> = stored.map(|(key, it)| (*key, it.seq)).collect();
            keys.sort_unstable();
            self.merging = Some(Merging { keys, next: 0, through });
        }
        let Some(merging) = &mut self.merging else { return Ok(()) };
        let rest = merging.keys.get(merging.next..).unwrap_or_default();
        let piece = rest.get(..MERGE_KEYS).unwrap_or(rest);
        let is_last = piece.len() == rest.len();
        self.index.merge(piece, is_last.then_some(merging.through))?;
        self.door.with_dedupe(|it| it.note_in_table(piece.iter().map(|(key, _)| key)));
        merging.next = merging.next.saturating_add(piece.len());
        if is_last {
            self.merged = merging.through;
            self.merging = None;
            // Freed outside of the lock.
            drop(self.door.with_dedupe(crate::dedupe::Dedupe::merged));
        }
        Ok(())
    }

    /// Removes what the ring of unproven requests has dropped.
    fn evict(&mut self) -> Result<(), rusqlite::Error> {
        let oldest = oldest_segment(self.door.journal(), UNPROVEN);
        if oldest > self.oldest_unproven {
            for blob in self.index.evict(oldest)? {
                self.blobs.discard(blob);
            }
            self.oldest_unproven = oldest;
        }
        Ok(())
    }
}

/// The number of the oldest segment of a log.
pub(crate) fn oldest_segment(journal: &hookgate_journal::Journal, log: LogId) -> u64 {
    journal.statistics().logs.get(log.index()).map_or(0, |it| it.oldest_segment)
}
