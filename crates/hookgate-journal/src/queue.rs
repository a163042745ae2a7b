//! What waits for the disk: batches under one lock.
//!
//! [`Queue::append`] is the hot path of the whole gateway. Checksums come before the
//! lock; under it there is a sequence number, three copies into a buffer that is
//! reused, and a count. The writer is woken only when it sleeps.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::failures::Failures;
use crate::format::{self, BATCH_HEADER, RecordHeader, Sums};
use crate::lock;
use crate::settings::{HEAD_BYTES_MAX, LogId, RECORD_BYTES_MAX, Settings};
use crate::ticket::{Cell, CommitError, Outcome, Ticket};

/// Buffers kept for reuse: one being written, one being filled, and one more of
/// each for a second log.
const SPARE_MAX: usize = 4;

/// Why a record was not accepted. It has no sequence number and is nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits for the disk; try again later, or refuse.
    #[error("too much waits for the disk")]
    Full,
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
    /// The record is longer than any record may be; it will never fit.
    #[error("the record is too large")]
    TooLarge,
    /// The journal has no such log.
    #[error("there is no such log")]
    NoSuchLog,
}

/// What waits for the disk, being written included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Records.
    pub records: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

/// The records of one log in a batch.
#[derive(Debug, Default)]
pub(crate) struct Part {
    /// Room for the batch header, then the records.
    pub(crate) buffer: Vec<u8>,
    pub(crate) records: u32,
    pub(crate) first_seq: u64,
    /// An earlier record of the log failed while this waited.
    pub(crate) doomed: Option<CommitError>,
}

impl Part {
    /// The sequence numbers in the buffer.
    fn seqs(&self) -> impl Iterator<Item = u64> {
        let mut rest = self.buffer.get(BATCH_HEADER..).unwrap_or_default();
        std::iter::from_fn(move || {
            let header = RecordHeader::decode(rest)?;
            rest = rest.get(header.bytes()?..).unwrap_or_default();
            Some(header.seq)
        })
        .take(self.records as usize)
    }

    /// Everything in it fails for `cause`, now.
    fn doom(&mut self, cause: CommitError, failures: &mut Failures) {
        if self.doomed.is_none() {
            failures.note(self.seqs());
            self.doomed = Some(cause);
        }
    }
}

/// Records that are committed together.
#[derive(Debug)]
pub(crate) struct Batch {
    cell: Arc<Cell>,
    /// By log.
    pub(crate) parts: Vec<Part>,
    pub(crate) pending: Pending,
    last_seq: u64,
    /// Takes no more records: a part is doomed.
    sealed: bool,
}

impl Batch {
    fn new(logs: usize) -> Self {
        Self {
            cell: Arc::default(),
            parts: std::iter::repeat_with(Part::default).take(logs).collect(),
            pending: Pending::default(),
            last_seq: 0,
            sealed: false,
        }
    }

    /// Settles all tickets, and gives what is to be woken.
    pub(crate) fn settle(&self, outcomes: Vec<Outcome>) -> Vec<std::task::Waker> {
        self.cell.settle(outcomes)
    }
}

impl Drop for Batch {
    /// A batch that goes without an outcome was never committed: its tickets say so
    /// and do not wait for ever. Happens only when the writer thread panicked.
    fn drop(&mut self) {
        if !self.cell.is_settled() {
            let outcomes = self.parts.iter().map(|_| Err(CommitError::Closed)).collect();
            for waker in self.cell.settle(outcomes) {
                waker.wake();
            }
        }
    }
}

#[derive(Debug)]
struct State {
    batches: VecDeque<Batch>,
    /// Emptied buffers.
    spare: Vec<Vec<u8>>,
    next_seq: u64,
    pending: Pending,
    /// The writer sleeps and needs a wake-up.
    is_idle: bool,
    /// The writer sleeps until this many records wait; zero if it does not.
    wanted: u64,
    is_closed: bool,
}

/// The way from the appenders to the writer.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    failures: Mutex<Failures>,
    durable_seq: AtomicU64,
    logs: usize,
    salt: u64,
    pending_bytes_max: u64,
    batch_bytes_max: u64,
}

/// What the writer gets when it asks for work.
pub(crate) enum Work {
    Batch(Batch),
    /// Nothing came within the time.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl Queue {
    pub(crate) fn new(logs: usize, salt: u64, next_seq: u64, settings: &Settings) -> Self {
        Self {
            state: Mutex::new(State {
                batches: VecDeque::new(),
                spare: Vec::new(),
                next_seq,
                pending: Pending::default(),
                is_idle: false,
                wanted: 0,
                is_closed: false,
            }),
            work: Condvar::new(),
            failures: Mutex::default(),
            durable_seq: AtomicU64::new(next_seq.saturating_sub(1)),
            logs,
            salt,
            pending_bytes_max: settings.pending_bytes_max,
            batch_bytes_max: settings.batch_bytes_max.min(RECORD_BYTES_MAX),
        }
    }

    pub(crate) fn append(
        &self,
        log: LogId,
        head: &[u8],
        payload: &[u8],
    ) -> Result<Ticket, AppendError> {
        if log.index() >= self.logs {
            return Err(AppendError::NoSuchLog);
        }
        let record_bytes =
            format::record_bytes(head.len(), payload.len()).ok_or(AppendError::TooLarge)?;
        let bytes = record_bytes as u64;
        if bytes > RECORD_BYTES_MAX.min(self.pending_bytes_max) {
            return Err(AppendError::TooLarge);
        }
        let head_bytes = u32::try_from(head.len()).map_err(|_| AppendError::TooLarge)?;
        if head_bytes > HEAD_BYTES_MAX {
            return Err(AppendError::TooLarge);
        }
        let payload_bytes = u32::try_from(payload.len()).map_err(|_| AppendError::TooLarge)?;
        let sums = Sums::of(self.salt, head, payload);

        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.is_closed {
            return Err(AppendError::Closed);
        }
        if state.pending.bytes.saturating_add(bytes) > self.pending_bytes_max {
            return Err(AppendError::Full);
        }
        let seq = state.next_seq;
        let batch = open_batch(&mut state.batches, self.logs, bytes, self.batch_bytes_max);
        let Some(part) = batch.parts.get_mut(log.index()) else {
            return Err(AppendError::NoSuchLog);
        };
        if part.records == 0 {
            part.first_seq = seq;
            part.buffer = state.spare.pop().unwrap_or_default();
            part.buffer.resize(BATCH_HEADER, 0);
        }
        // Fits: a batch holds less than 2 × RECORD_BYTES_MAX.
        let offset = u32::try_from(part.buffer.len()).unwrap_or(u32::MAX);
        format::put_record(
            &mut part.buffer,
            seq,
            (head, head_bytes),
            (payload, payload_bytes),
            sums,
        );
        part.records = part.records.saturating_add(1);
        batch.pending.add(bytes);
        batch.last_seq = seq;
        let ticket = Ticket::new(Arc::clone(&batch.cell), seq, log.index(), offset);
        state.next_seq = seq.saturating_add(1);
        state.pending.add(bytes);
        let is_company = state.wanted > 0 && state.pending.records >= state.wanted;
        let wakes = is_company || std::mem::take(&mut state.is_idle);
        if is_company {
            state.wanted = 0;
        }
        drop(guard);
        if wakes {
            self.work.notify_one();
        }
        Ok(ticket)
    }

    /// Waits until `records` wait, for `time_max` at most. Nothing is being written now,
    /// so what waits is all that the next batch can have.
    pub(crate) fn gather(&self, records: u64, time_max: Duration) {
        let mut state = lock(&self.state);
        state.wanted = records;
        let is_short = |state: &mut State| {
            state.wanted > 0 && state.pending.records < records && !state.is_closed
        };
        let waited = self.work.wait_timeout_while(state, time_max, is_short);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.wanted = 0;
    }

    /// The oldest batch; waits for one, at most `patience` when that is given.
    pub(crate) fn take(&self, patience: Option<Duration>) -> Work {
        let mut state = lock(&self.state);
        loop {
            if let Some(batch) = state.batches.pop_front() {
                return Work::Batch(batch);
            }
            if state.is_closed {
                return Work::Closed;
            }
            state.is_idle = true;
            let Some(patience) = patience else {
                state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (woken, waited) =
                self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.is_idle = false;
            if waited.timed_out() && state.batches.is_empty() && !state.is_closed {
                return Work::Nothing;
            }
        }
    }

    /// Fails the part of `log` in `batch` and everything of that log that waits at
    /// this moment, in one step: what is appended later may succeed, and everything
    /// before it has an answer.
    pub(crate) fn fail(&self, batch: &mut Batch, log: usize, cause: CommitError) {
        let mut state = lock(&self.state);
        let mut failures = lock(&self.failures);
        if let Some(part) = batch.parts.get_mut(log) {
            part.doom(cause, &mut failures);
        }
        for waiting in &mut state.batches {
            if let Some(part) = waiting.parts.get_mut(log).filter(|it| it.records > 0) {
                part.doom(cause, &mut failures);
                waiting.sealed = true;
            }
        }
    }

    /// Notes that every record of `batch` has its outcome, and takes its buffers
    /// back.
    pub(crate) fn retire(&self, batch: &mut Batch) {
        let mut state = lock(&self.state);
        state.pending.subtract(batch.pending);
        self.durable_seq.store(batch.last_seq, Ordering::Release);
        for part in &mut batch.parts {
            let mut buffer = std::mem::take(&mut part.buffer);
            let is_usual = buffer.capacity() as u64 <= self.batch_bytes_max.saturating_mul(2);
            if buffer.capacity() > 0 && is_usual && state.spare.len() < SPARE_MAX {
                buffer.clear();
                state.spare.push(buffer);
            }
        }
    }

    /// Accepts nothing more. With `abandon`, what waits fails as well: the writer is
    /// gone.
    pub(crate) fn close(&self, abandon: bool) {
        let mut state = lock(&self.state);
        state.is_closed = true;
        state.is_idle = false;
        let mut abandoned =
            if abandon { std::mem::take(&mut state.batches) } else { VecDeque::new() };
        let mut failures = lock(&self.failures);
        for part in abandoned.iter_mut().flat_map(|it| &mut it.parts) {
            part.doom(CommitError::Closed, &mut failures);
        }
        drop(failures);
        drop(state);
        self.work.notify_one();
        drop(abandoned);
    }

    pub(crate) fn has_failed(&self, seq: u64) -> bool {
        lock(&self.failures).contains(seq)
    }

    pub(crate) fn durable_seq(&self) -> u64 {
        self.durable_seq.load(Ordering::Acquire)
    }

    /// Goes on with this number.
    pub(crate) fn number_next(&self, seq: u64) {
        lock(&self.state).next_seq = seq;
    }

    pub(crate) fn next_seq(&self) -> u64 {
        lock(&self.state).next_seq
    }

    pub(crate) fn pending(&self) -> Pending {
        lock(&self.state).pending
    }
}

impl Pending {
    fn add(&mut self, bytes: u64) {
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn subtract(&mut self, other: Self) {
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// The newest batch if it takes `bytes` more, else a new one behind it.
fn open_batch(
    batches: &mut VecDeque<Batch>,
    logs: usize,
    bytes: u64,
    bytes_max: u64,
) -> &mut Batch {
    let has_room = |it: &Batch| {
        !it.sealed
            && it.pending.bytes.saturating_add(bytes) <= bytes_max
            && it.pending.records < u64::from(u32::MAX)
    };
    if !batches.back().is_some_and(has_room) {
        return batches.push_back_mut(Batch::new(logs));
    }
    batches.back_mut().unwrap_or_else(|| unreachable!())
}
