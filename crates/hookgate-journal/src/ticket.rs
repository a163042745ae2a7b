//! The promise given for an appended record, and how it is kept.
//!
//! All tickets of a batch share one [`Cell`]. The writer settles it once; the
//! wakers that gathered in it are woken together, which is what makes a commit of a
//! thousand records cost one wake-up call and not a thousand.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::lock;
use crate::record::Position;

/// A record that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its place in the order of all logs of the journal.
    pub seq: u64,
    /// Where it lies in its log.
    pub position: Position,
}

/// Why a record was not committed. It is not in the log; append it again, or refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The disk is full. The next append tries again.
    #[error("the disk is full")]
    DiskFull,
    /// The file system does not permit writing. The next append tries again.
    #[error("the file system is read-only")]
    ReadOnly,
    /// The write or the sync failed otherwise. The next append tries again, in
    /// another file.
    #[error("the disk failed")]
    Failed,
    /// The journal was closed before the record was written.
    #[error("the journal is closed")]
    Closed,
}

/// What became of the records of one log in one batch: where the batch starts.
pub(crate) type Outcome = Result<Position, CommitError>;

/// What all tickets of one batch share.
#[derive(Debug, Default)]
pub(crate) struct Cell {
    /// By log; set once.
    outcomes: OnceLock<Vec<Outcome>>,
    waiting: Mutex<Waiting>,
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    wakers: Vec<Waker>,
    threads: usize,
}

impl Cell {
    /// Settles the batch and gives the wakers to wake. A second call does nothing.
    pub(crate) fn settle(&self, outcomes: Vec<Outcome>) -> Vec<Waker> {
        if self.outcomes.set(outcomes).is_err() {
            return Vec::new();
        }
        let mut waiting = lock(&self.waiting);
        if waiting.threads > 0 {
            self.settled.notify_all();
        }
        std::mem::take(&mut waiting.wakers)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.outcomes.get().is_some()
    }

    /// Keeps `waker` until the batch is settled, in `slot` if it has one already;
    /// gives false when the batch is settled, and keeps nothing then.
    fn register(&self, waker: &Waker, slot: &mut Option<usize>) -> bool {
        let mut waiting = lock(&self.waiting);
        if self.is_settled() {
            return false;
        }
        if let Some(kept) = slot.and_then(|it| waiting.wakers.get_mut(it)) {
            kept.clone_from(waker);
        } else {
            *slot = Some(waiting.wakers.len());
            waiting.wakers.push(waker.clone());
        }
        true
    }

    fn wait(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.threads = waiting.threads.saturating_add(1);
        while !self.is_settled() {
            waiting = self.settled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The promise for one appended record: a future, which can also be asked or waited
/// for without an executor. Dropping it changes nothing about the record.
#[derive(Debug)]
pub struct Ticket {
    cell: Arc<Cell>,
    seq: u64,
    log: usize,
    /// From the start of the batch.
    offset: u32,
    /// Where the waker of this ticket stands in the cell.
    slot: Option<usize>,
}

impl Ticket {
    pub(crate) fn new(cell: Arc<Cell>, seq: u64, log: usize, offset: u32) -> Self {
        Self { cell, seq, log, offset, slot: None }
    }

    /// The sequence number of the record, known from the start.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// What became of the record, or `None` while it is on its way.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Committed, CommitError>> {
        let outcome = *self.cell.outcomes.get()?.get(self.log)?;
        Some(outcome.map(|batch| Committed {
            seq: self.seq,
            position: Position {
                segment: batch.segment,
                offset: batch.offset.saturating_add(self.offset),
            },
        }))
    }

    /// Blocks the thread until the record is committed or failed.
    ///
    /// # Errors
    ///
    /// A [`CommitError`]: the record is not in the log.
    pub fn wait(&self) -> Result<Committed, CommitError> {
        self.cell.wait();
        self.outcome().unwrap_or(Err(CommitError::Failed))
    }
}

impl Clone for Ticket {
    /// Another ticket for the same record, with a waker of its own.
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell), slot: None, ..*self }
    }
}

impl Future for Ticket {
    type Output = Result<Committed, CommitError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.outcome().is_none() && this.cell.register(context.waker(), &mut this.slot) {
            return Poll::Pending;
        }
        Poll::Ready(this.outcome().unwrap_or(Err(CommitError::Failed)))
    }
}
