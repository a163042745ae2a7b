//! The way into the journal: one lock, under which a record gets its place, its key is
//! known and its row waits for the index, in the same order for all three.
//!
//! What is slow (digests, encoding) is done before the lock; what may be slow (asking the
//! table about an old key) is done without it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use hookgate_journal::{Journal, LogId, Ticket};
use tokio::sync::watch;
use uuid::Uuid;

use crate::bloom::Key;
use crate::dedupe::{Dedupe, Known, Lookup};
use crate::error::Unavailable;
use crate::head::{self, Octets, REPETITION, RepetitionHead};
use crate::index::{Change, Index, Row};
use crate::layout::EVENTS;
use crate::ledger::Adopting;
use crate::lock;
use crate::registry::Registry;
use crate::registry::later::Later;

/// Records that the indexer takes into one transaction: what costs it some ten
/// milliseconds.
pub(crate) const BATCH_RECORDS: usize = 4_096;

/// An event on its way in.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) log: LogId,
    /// Encoded; a link is written into it when one is needed.
    pub(crate) head: &'a mut Vec<u8>,
    pub(crate) payload: &'a [u8],
    pub(crate) row: Row,
    pub(crate) id: Uuid,
    pub(crate) at: i64,
    pub(crate) correlation_id: &'a str,
    /// By which a repetition is recognised, if at all.
    pub(crate) key: Option<Key>,
    /// The first half of the body's SHA-256.
    pub(crate) digest: [u8; 16],
    /// Whose it is.
    pub(crate) tenant: Option<&'a str>,
}

/// An event that has its place.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) ticket: Ticket,
    pub(crate) role: Role,
}

impl Placed {
    /// Keeps the adoption of an event that is stored as what it is. A repetition carries
    /// none.
    pub(crate) fn keep(&self, adopting: &mut Option<Adopting>) {
        if let Role::New(_) | Role::Variant(_) = self.role
            && let Some(adopting) = adopting.take()
        {
            adopting.keep(self.ticket.seq());
        }
    }
}

/// What an event is among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// New; under this key, if it has one.
    New(Option<Key>),
    /// Another one once more: only that was noted.
    Repetition(Known),
    /// Another one with other bytes: stored, and linked.
    Variant(Known),
}

/// What the table is asked, without the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// Which event a key stands for.
    Key(Key),
    /// The digest of the event at a place.
    Seq(u64),
}

/// A record that waits for the index.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) ticket: Ticket,
    pub(crate) log: LogId,
    pub(crate) change: Change,
}

/// Something else that the indexer does with the index, once everything is in it that has a
/// place by then. Done again when it failed, so twice must be fine.
pub(crate) type Task = Box<dyn FnMut(&mut Index, &Later) -> Result<(), rusqlite::Error> + Send>;

/// The door.
#[derive(Debug)]
pub(crate) struct Door {
    journal: Journal,
    registry: Registry,
    state: Mutex<State>,
    work: Condvar,
    /// Everything up to here is in the index.
    indexed: watch::Sender<u64>,
    lag_max: u64,
}

struct State {
    dedupe: Dedupe,
    queue: Vec<Waiting>,
    tasks: Vec<Task>,
    last_seq: u64,
    indexed: u64,
    /// The indexer is to be woken when so many wait.
    wake_at: usize,
    /// A reader waits for the index.
    is_wanted: bool,
    is_closing: bool,
    /// The indexer does nothing more.
    is_left: bool,
}

impl fmt::Debug for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("State").field("last_seq", &self.last_seq).finish_non_exhaustive()
    }
}

/// What the indexer finds when it looks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// Records to take in, or something else to do.
    Work,
    /// Nothing came within the time, or somebody wants the index to be looked after.
    Nothing,
    /// Nothing will come any more.
    Closed,
}

impl Door {
    pub(crate) fn new(journal: Journal, registry: Registry, dedupe: Dedupe, lag_max: u64) -> Self {
        let last_seq = journal.next_seq().saturating_sub(1);
        let state = State {
            dedupe,
            queue: Vec::new(),
            tasks: Vec::new(),
            last_seq,
            indexed: last_seq,
            wake_at: usize::MAX,
            is_wanted: false,
            is_closing: false,
            is_left: false,
        };
        let (indexed, _) = watch::channel(last_seq);
        let state = Mutex::new(state);
        Self { journal, registry, state, work: Condvar::new(), indexed, lag_max }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Whether nothing more is taken because the index is behind.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_late(&lock(&self.state))
    }

    fn is_late(&self, state: &State) -> bool {
        state.last_seq.saturating_sub(state.indexed) >= self.lag_max || state.dedupe.is_behind()
    }

    /// Gives an event its place, or finds that it is known. `ask` is called without the
    /// lock, for old keys only; nothing in its answer means: not known there.
    pub(crate) fn place(
        &self,
        mut entry: Entry<'_>,
        ask: impl Fn(Question) -> Result<Option<Known>, Unavailable>,
    ) -> Result<Placed, Unavailable> {
        let mut answers = Answers::default();
        let mut state = lock(&self.state);
        loop {
            if state.is_closing {
                return Err(Unavailable::Closing);
            }
            // Whoever is being erased gets nothing more: judged anew, it is nobody's.
            if self.is_late(&state) || entry.tenant.is_some_and(|it| !self.is_owner(it)) {
                return Err(Unavailable::Behind);
            }
            match self.look_up(&state, entry.key.as_ref(), &answers) {
                Ok(None) => return self.put_new(&mut state, entry),
                Ok(Some(known)) if known.digest == Some(entry.digest) => {
                    return self.put_repetition(&mut state, &entry, known);
                }
                Ok(Some(known)) => {
                    head::link(entry.head, known.id);
                    entry.row.key = None;
                    let ticket = self.put(
                        &mut state,
                        entry.log,
                        (entry.head, entry.payload),
                        Change::Event(entry.row),
                    )?;
                    return Ok(Placed { ticket, role: Role::Variant(known) });
                }
                Err(question) => {
                    let merges = state.dedupe.merges;
                    drop(state);
                    answers.note(merges, question, ask(question)?);
                    state = lock(&self.state);
                }
            }
        }
    }

    fn is_owner(&self, tenant: &str) -> bool {
        self.registry.shared().memory().owner(tenant).is_some()
    }

    /// The last place that was given. What is placed from now on sees what the registry has
    /// in memory by now.
    pub(crate) fn last_seq(&self) -> u64 {
        lock(&self.state).last_seq
    }

    /// The event that a key stands for, or what must be asked first.
    fn look_up(
        &self,
        state: &State,
        key: Option<&Key>,
        answers: &Answers,
    ) -> Result<Option<Known>, Question> {
        let Some(key) = key else { return Ok(None) };
        let merges = state.dedupe.merges;
        let known = match state.dedupe.lookup(key) {
            Lookup::New => None,
            Lookup::Known(known) => Some(known),
            Lookup::AskTable => answers.get(merges, Question::Key(*key))?,
        };
        let Some(known) = known.filter(|it| !self.journal.has_failed(it.seq)) else {
            return Ok(None);
        };
        if known.digest.is_some() {
            return Ok(Some(known));
        }
        let digest = answers.get(merges, Question::Seq(known.seq))?.and_then(|it| it.digest);
        // Without a digest nothing is the same: the bytes are kept.
        Ok(Some(Known { digest, ..known }))
    }

    fn put_new(&self, state: &mut State, entry: Entry<'_>) -> Result<Placed, Unavailable> {
        let ticket =
            self.put(state, entry.log, (entry.head, entry.payload), Change::Event(entry.row))?;
        if let Some(key) = entry.key {
            state
                .dedupe
                .insert(key, Known { seq: ticket.seq(), id: entry.id, digest: Some(entry.digest) });
        }
        Ok(Placed { ticket, role: Role::New(entry.key) })
    }

    fn put_repetition(
        &self,
        state: &mut State,
        entry: &Entry<'_>,
        known: Known,
    ) -> Result<Placed, Unavailable> {
        let repetition = RepetitionHead {
            record: REPETITION,
            id: entry.id.into(),
            at: entry.at,
            correlation_id: entry.correlation_id,
            of: known.seq,
            original: Octets(known.id.into_bytes()),
        };
        let mut head = Vec::with_capacity(160);
        head::encode(&repetition, &mut head);
        let ticket = self.put(state, EVENTS, (&head, &[]), Change::Repetition(known.seq))?;
        Ok(Placed { ticket, role: Role::Repetition(known) })
    }

    fn put(
        &self,
        state: &mut State,
        log: LogId,
        (head, payload): (&[u8], &[u8]),
        change: Change,
    ) -> Result<Ticket, Unavailable> {
        let ticket = self.journal.append(log, head, payload)?;
        state.last_seq = ticket.seq();
        state.queue.push(Waiting { ticket: ticket.clone(), log, change });
        if state.queue.len() >= state.wake_at {
            state.wake_at = usize::MAX;
            self.work.notify_one();
        }
        Ok(ticket)
    }

    /// Forgets the key of an event that was not stored.
    pub(crate) fn forget(&self, key: &Key, seq: u64) {
        lock(&self.state).dedupe.forget(key, seq);
    }

    /// Follows how far the index has come.
    pub(crate) fn indexed(&self) -> watch::Receiver<u64> {
        self.indexed.subscribe()
    }

    /// Asks the indexer not to wait for more records.
    pub(crate) fn want_index(&self) {
        let mut state = lock(&self.state);
        state.is_wanted = true;
        self.wake_indexer(state);
    }

    pub(crate) fn is_closing(&self) -> bool {
        lock(&self.state).is_closing
    }

    /// Takes no more, and lets the indexer finish.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.is_closing = true;
        self.wake_indexer(state);
    }

    fn wake_indexer(&self, mut state: MutexGuard<'_, State>) {
        state.wake_at = usize::MAX;
        drop(state);
        self.work.notify_one();
    }

    /// For the indexer: waits for records, and then a moment for more of them, unless a
    /// reader wants the index. `patience` is for the first; without it, as long as it takes.
    pub(crate) fn wait(&self, patience: Option<Duration>, gather: Duration) -> Call {
        let begun = Instant::now();
        let mut state = lock(&self.state);
        while state.queue.is_empty() && state.tasks.is_empty() {
            if state.is_closing {
                return Call::Closed;
            }
            if std::mem::take(&mut state.is_wanted) {
                return Call::Nothing;
            }
            let rest = patience.map(|it| it.saturating_sub(begun.elapsed()));
            if rest.is_some_and(|it| it.is_zero()) {
                return Call::Nothing;
            }
            state = self.sleep(state, 1, rest);
        }
        let gathering = Instant::now();
        while !state.is_wanted && !state.is_closing && state.queue.len() < BATCH_RECORDS {
            let rest = gather.saturating_sub(gathering.elapsed());
            if rest.is_zero() {
                break;
            }
            state = self.sleep(state, BATCH_RECORDS, Some(rest));
        }
        Call::Work
    }

    fn sleep<'g>(
        &self,
        mut state: MutexGuard<'g, State>,
        wake_at: usize,
        time: Option<Duration>,
    ) -> MutexGuard<'g, State> {
        state.wake_at = wake_at;
        let mut state = match time {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                self.work.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.wake_at = usize::MAX;
        state
    }

    /// For the indexer: takes all that waits, in order, and leaves an empty list to be
    /// filled. And what else is to be done then.
    pub(crate) fn take(&self, empty: Vec<Waiting>) -> (Vec<Waiting>, Vec<Task>) {
        let mut state = lock(&self.state);
        state.is_wanted = false;
        (std::mem::replace(&mut state.queue, empty), std::mem::take(&mut state.tasks))
    }

    /// Has the indexer do something, and waits for so long at most. Blocks.
    ///
    /// # Errors
    ///
    /// `Behind` when it is not done yet: it will be. `Closing` when it will not.
    pub(crate) fn have<T: Send + 'static>(
        &self,
        time: Duration,
        mut work: impl FnMut(&mut Index, &Later) -> Result<T, rusqlite::Error> + Send + 'static,
    ) -> Result<T, Unavailable> {
        let (done, waiter) = mpsc::sync_channel(1);
        let task: Task = Box::new(move |index, later| {
            let value = work(index, later)?;
            // Nobody may wait any more.
            let _ = done.try_send(value);
            Ok(())
        });
        let mut state = lock(&self.state);
        if state.is_left {
            return Err(Unavailable::Closing);
        }
        state.tasks.push(task);
        state.is_wanted = true;
        self.wake_indexer(state);
        waiter.recv_timeout(time).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Unavailable::Behind,
            mpsc::RecvTimeoutError::Disconnected => Unavailable::Closing,
        })
    }

    /// For the indexer: it does nothing more.
    pub(crate) fn leave(&self) {
        let mut state = lock(&self.state);
        state.is_left = true;
        let left = std::mem::take(&mut state.tasks);
        drop(state);
        drop(left);
    }

    /// For the indexer: everything up to `seq` is in the index.
    pub(crate) fn note_indexed(&self, seq: u64) {
        lock(&self.state).indexed = seq;
        self.indexed.send_replace(seq);
    }

    /// For the indexer: works on what is known, for a moment.
    pub(crate) fn with_dedupe<T>(&self, work: impl FnOnce(&mut Dedupe) -> T) -> T {
        work(&mut lock(&self.state).dedupe)
    }

    /// How many records wait for the index; keys in memory, and in the table.
    pub(crate) fn counts(&self) -> (u64, (u64, u64)) {
        let state = lock(&self.state);
        (state.last_seq.saturating_sub(state.indexed), state.dedupe.keys())
    }
}

/// What the table said, while it still holds.
#[derive(Debug, Default)]
struct Answers {
    merges: u64,
    known: HashMap<Question, Option<Known>>,
}

impl Answers {
    fn get(&self, merges: u64, question: Question) -> Result<Option<Known>, Question> {
        match self.known.get(&question) {
            Some(answer) if merges == self.merges => Ok(*answer),
            _ => Err(question),
        }
    }

    fn note(&mut self, merges: u64, question: Question, answer: Option<Known>) {
        if merges != self.merges {
            self.known.clear();
            self.merges = merges;
        }
        self.known.insert(question, answer);
    }
}
