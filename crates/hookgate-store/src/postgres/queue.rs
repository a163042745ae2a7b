//! What waits to be committed: while one batch is, the next gathers here.

use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_journal::{LogId, Pending};
use uuid::Uuid;

use super::spool::Wait;
use crate::error::Unavailable;
use crate::head::{self, SlimHead, Unreadable};
use crate::index::Row;
use crate::ledger::Adopting;
use crate::lock;
use crate::receipt::Receipt;

/// Records that may wait, beside their bytes: seconds of what one PostgreSQL takes.
const WAITING_RECORDS_MAX: u64 = 16_384;

/// Records of one batch: beyond, a batch keeps other nodes waiting and gains nothing.
const BATCH_RECORDS_MAX: usize = 1_024;

/// Bytes of one batch. One record may be larger alone.
const BATCH_BYTES_MAX: u64 = 8 << 20;

/// An event on its way in. Dropped without an answer, it was not stored.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) log: LogId,
    pub(super) at: i64,
    /// Encoded, with no link yet.
    pub(super) head: Vec<u8>,
    /// Empty when the body lies in pieces.
    pub(super) payload: Bytes,
    pub(super) row: Row,
    pub(super) correlation_id: String,
    /// The first half of the body's SHA-256.
    pub(super) digest: [u8; 16],
    /// The conversation that it makes known is known on this node already.
    pub(super) adopting: Option<Adopting>,
    /// It may have been committed before: it is looked for first.
    pub(super) may_be_there: bool,
    /// What the spool needs beside, should it take it; nothing where there is none.
    pub(super) wait: Option<Box<Wait>>,
    pub(super) answer: Promise,
}

impl Entry {
    /// An event that was written down elsewhere, under its final id: stored unless it is.
    pub(super) fn again(
        head: Vec<u8>,
        payload: Bytes,
        log: LogId,
    ) -> Result<(Self, Ticket), Unreadable> {
        let (answer, ticket) = promise();
        let slim: SlimHead<'_> = head::decode(&head)?;
        let entry = Self {
            id: slim.id.uuid(),
            log,
            at: slim.at,
            row: Row::new(&slim),
            correlation_id: slim.correlation_id.clone().into_owned(),
            digest: slim.sha256.0.first_chunk().copied().unwrap_or_default(),
            head,
            payload,
            adopting: None,
            may_be_there: true,
            wait: None,
            answer,
        };
        Ok((entry, ticket))
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> u64 {
        (self.head.len() as u64).saturating_add(self.payload.len() as u64)
    }

    /// Whose it is.
    pub(super) fn tenant(&self) -> Option<&str> {
        let [_, _, _, _, tenant, ..] = self.row.texts();
        tenant
    }
}

/// What became of an event.
pub(super) type Outcome = Result<Receipt, Unavailable>;

#[derive(Debug, Default)]
struct Slot {
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// The side that answers.
#[derive(Debug)]
pub(super) struct Promise(Arc<Mutex<Slot>>);

/// The side that waits.
#[derive(Debug)]
pub(super) struct Ticket(Arc<Mutex<Slot>>);

/// An answer to come.
pub(super) fn promise() -> (Promise, Ticket) {
    let slot = Arc::new(Mutex::new(Slot::default()));
    (Promise(Arc::clone(&slot)), Ticket(slot))
}

impl Promise {
    /// Answers. Gives who waits, to be woken with all others. The first answer stays.
    pub(super) fn keep(&self, outcome: Outcome) -> Option<Waker> {
        let mut slot = lock(&self.0);
        slot.outcome.get_or_insert(outcome);
        slot.waker.take()
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if let Some(waker) = self.keep(Err(Unavailable::Failed)) {
            waker.wake();
        }
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut slot = lock(&self.0);
        if let Some(outcome) = slot.outcome {
            return Poll::Ready(outcome);
        }
        match &mut slot.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    bytes_max: u64,
    /// How long a batch waits for company at most when the last one had some.
    gather: Duration,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Entry>,
    /// With those of the batch that is being committed.
    pending: Pending,
    /// So many are expected: as many as the last batch had.
    expected: usize,
    /// How long the database took to make the last batch durable.
    synced: Duration,
    /// Who waits is to look what else there is to do.
    is_nudged: bool,
    is_closing: bool,
}

/// What is found when it is looked.
#[derive(Debug)]
pub(super) enum Call {
    /// A batch.
    Batch(Vec<Entry>),
    /// Nothing came in time.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl Queue {
    pub(super) fn new(bytes_max: u64, gather: Duration) -> Self {
        Self { state: Mutex::default(), work: Condvar::new(), bytes_max, gather }
    }

    /// Whether a body of so many bytes may wait, too.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), Unavailable> {
        self.check(&lock(&self.state), bytes)
    }

    fn check(&self, state: &State, bytes: u64) -> Result<(), Unavailable> {
        if state.is_closing {
            return Err(Unavailable::Closing);
        }
        let all = state.pending.bytes.saturating_add(bytes);
        if all > self.bytes_max || state.pending.records >= WAITING_RECORDS_MAX {
            return Err(Unavailable::Behind);
        }
        Ok(())
    }

    /// Takes an event in.
    pub(super) fn push(&self, entry: Entry) -> Result<(), Unavailable> {
        let mut state = lock(&self.state);
        self.check(&state, entry.bytes())?;
        state.pending.bytes = state.pending.bytes.saturating_add(entry.bytes());
        state.pending.records = state.pending.records.saturating_add(1);
        state.waiting.push(entry);
        let count = state.waiting.len();
        if count == 1 || count >= state.expected {
            drop(state);
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits for a batch, `patience` at most; then a moment for as many as came last time.
    pub(super) fn take(&self, patience: Option<Duration>) -> Call {
        let mut state = lock(&self.state);
        let begun = Instant::now();
        while state.waiting.is_empty() {
            if state.is_closing {
                return Call::Closed;
            }
            if std::mem::take(&mut state.is_nudged) {
                return Call::Nothing;
            }
            state = match patience.map(|it| it.saturating_sub(begun.elapsed())) {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Call::Nothing,
                Some(rest) => {
                    let waited = self.work.wait_timeout(state, rest);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        // Company saves a sync: to wait for longer than one takes would save nothing.
        let gather = self.gather.min(state.synced);
        let gathering = Instant::now();
        while state.waiting.len() < state.expected && !state.is_closing {
            let rest = gather.saturating_sub(gathering.elapsed());
            if rest.is_zero() {
                break;
            }
            let waited = self.work.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut bytes = 0_u64;
        let mut fits = |entry: &Entry| {
            bytes = bytes.saturating_add(entry.bytes());
            bytes <= BATCH_BYTES_MAX
        };
        let most = state.waiting.iter().take(BATCH_RECORDS_MAX);
        let count = most.take_while(|it| fits(it)).count().max(1);
        let rest = state.waiting.split_off(count);
        let batch = std::mem::replace(&mut state.waiting, rest);
        // Who sends alone does not wait for others.
        state.expected = if batch.len() > 1 { batch.len() } else { 0 };
        Call::Batch(batch)
    }

    /// So long the database took to make a batch durable.
    pub(super) fn note_synced(&self, took: Duration) {
        lock(&self.state).synced = took;
    }

    /// A batch is not waited for any more.
    pub(super) fn done(&self, done: Pending) {
        let mut state = lock(&self.state);
        state.pending.bytes = state.pending.bytes.saturating_sub(done.bytes);
        state.pending.records = state.pending.records.saturating_sub(done.records);
    }

    /// Whoever waits for a batch looks what else there is to do.
    pub(super) fn nudge(&self) {
        lock(&self.state).is_nudged = true;
        self.work.notify_all();
    }

    pub(super) fn pending(&self) -> Pending {
        lock(&self.state).pending
    }

    /// Takes no more, and lets what waits be committed.
    pub(super) fn close(&self) {
        lock(&self.state).is_closing = true;
        self.work.notify_all();
    }

    /// Sleeps, unless the queue is being closed.
    pub(super) fn rest(&self, time: Duration) {
        let state = lock(&self.state);
        drop(self.work.wait_timeout_while(state, time, |it| !it.is_closing));
    }
}
