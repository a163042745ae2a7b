//! The thread that commits, one for each node: batch after batch, each a transaction. Whoever
//! waits is answered after the commit, all of a batch in one call.
//!
//! A commit whose outcome nobody knows, because the connection was lost while it was under
//! way, is looked up on the next connection, under the lock that the lost transaction held:
//! by then it has happened or never will. What is missing is sent again under the same ids.
//! The senders wait meanwhile, for [`AWAY_MAX`] at most. Of a node with a spool they do not:
//! what is not committed at once goes into the spool (see `drain.rs`).

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use hookgate_core::provider;
use hookgate_journal::Pending;
use postgres::Client;
use postgres::error::SqlState;
use tokio::sync::watch;

use super::batch::{self, Committed, Fate, Session};
use super::counters::Counters;
use super::drain::{why_of, why_unreachable};
use super::large;
use super::outage::Why;
use super::queue::{Call, Entry, Queue};
use super::spooling::Spooling;
use crate::blobs::Blobs;
use crate::error::Unavailable;
use crate::lock;
use crate::options::Ring;
use crate::registry::Registry;
use crate::registry::memory::Effect;
use crate::store::Wake;

/// How long senders wait for a database that is away: longer than a fail-over of a good
/// proxy or a restart takes, shorter than senders wait for an answer.
pub(super) const AWAY_MAX: Duration = Duration::from_secs(5);

/// The first pause before a database that is away is tried again; each is twice as long.
const BACK_OFF_MIN: Duration = Duration::from_millis(50);

/// The longest pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(2);

/// A ring is trimmed when this part of it is new: looking through it costs more than what it
/// may be too large meanwhile.
const TRIM_PARTS: u64 = 64;

/// How often other nodes are told of events: under load each batch would wake all of them,
/// and the last of a burst is told so much later.
const TELL_PAUSE: Duration = Duration::from_millis(10);

/// Opens a connection.
pub(crate) type Connect = dyn Fn() -> io::Result<Client> + Send + Sync;

/// What the thread and the verbs share.
pub(super) struct Desk {
    pub(super) queue: Queue,
    pub(super) registry: Registry,
    pub(super) blobs: Arc<Blobs>,
    pub(super) listed: watch::Sender<u64>,
    pub(super) counters: Mutex<Counters>,
    pub(super) repetitions: AtomicU64,
    /// Why nothing can be committed, while that is so.
    pub(super) away: Mutex<Option<Unavailable>>,
    pub(super) wake: Wake,
    /// Where events go while the database is away, if anywhere.
    pub(super) spooling: Option<Arc<Spooling>>,
}

impl Desk {
    /// Why nothing is taken, if nothing is.
    pub(super) fn gate(&self) -> Result<(), Unavailable> {
        if self.spooling.is_some() {
            return Ok(());
        }
        lock(&self.away).map_or(Ok(()), Err)
    }

    fn set_away(&self, cause: Option<Unavailable>) {
        let mut away = lock(&self.away);
        if *away != cause {
            if cause.is_some() {
                tracing::error!("PostgreSQL takes nothing: nothing is accepted until it does");
            } else {
                tracing::info!("PostgreSQL takes events again");
            }
        }
        *away = cause;
    }

    /// Moves the place up to which events can be listed.
    pub(super) fn note_listed(&self, seq: u64) {
        self.listed.send_if_modified(|it| {
            let is_later = seq > *it;
            *it = seq.max(*it);
            is_later
        });
    }
}

/// The thread's own.
pub(super) struct Writer {
    pub(super) desk: Arc<Desk>,
    pub(super) connect: Arc<Connect>,
    pub(super) unproven: Ring,
    session: Option<Session>,
    /// No connection could be made, and that was said.
    is_unreachable: bool,
    /// Records of the ring since it was last trimmed.
    untrimmed: Pending,
    /// When other nodes were told of events last.
    told: Option<Instant>,
    /// There are events of which they were not.
    owes_news: bool,
}

/// Why a batch was not committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The database is away, or takes nothing now. What was sent may be there all the same.
    Away(Unavailable, Why),
    /// It does not take this batch.
    Refused,
}

impl Trouble {
    pub(super) fn why(self) -> Why {
        match self {
            Self::Away(_, why) => why,
            Self::Refused => Why::Unreachable,
        }
    }
}

impl Writer {
    pub(super) fn new(desk: Arc<Desk>, connect: Arc<Connect>, unproven: Ring) -> Self {
        Self {
            desk,
            connect,
            unproven,
            session: None,
            is_unreachable: false,
            untrimmed: Pending::default(),
            told: None,
            owes_news: false,
        }
    }

    /// Until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            let is_away = self.desk.gate().is_err();
            let patience = is_away.then_some(back_off).or_else(|| self.until_news());
            match self.desk.queue.take(patience) {
                Call::Batch(batch) => self.store(batch),
                Call::Nothing if self.tell_news() => {}
                Call::Nothing => match self.try_session() {
                    Ok(()) => self.desk.set_away(None),
                    Err(_) => back_off = back_off.saturating_mul(2).min(BACK_OFF_MAX),
                },
                Call::Closed => {
                    self.tell_news();
                    return;
                }
            }
            if self.desk.gate().is_ok() {
                back_off = BACK_OFF_MIN;
            }
        }
    }

    /// How long nobody is told yet of what was committed; nothing if there is nothing to tell.
    pub(super) fn until_news(&self) -> Option<Duration> {
        let told = self.told.filter(|_| self.owes_news)?;
        Some(TELL_PAUSE.saturating_sub(told.elapsed()))
    }

    /// Tells other nodes of events, if they do not know: they look by themselves too, later.
    pub(super) fn tell_news(&mut self) -> bool {
        if !std::mem::take(&mut self.owes_news) {
            return false;
        }
        self.told = Some(Instant::now());
        if let Some(session) = &mut self.session
            && session.client.batch_execute(batch::TELL).is_err()
        {
            self.session = None;
        }
        true
    }

    /// Commits a batch, whatever happens meanwhile, or says that it could not be.
    fn store(&mut self, batch: Vec<Entry>) {
        let pending =
            Pending { records: batch.len() as u64, bytes: batch.iter().map(Entry::bytes).sum() };
        let begun = Instant::now();
        // What is known to be away is tried once: nobody waits for it again and again.
        let patience = if self.desk.gate().is_ok() { AWAY_MAX } else { Duration::ZERO };
        self.store_until(batch, begun, patience);
        self.desk.queue.done(pending);
        self.trim();
    }

    fn store_until(&mut self, mut batch: Vec<Entry>, begun: Instant, patience: Duration) {
        let mut back_off = BACK_OFF_MIN;
        loop {
            match self.try_to_store(&mut batch) {
                Ok(()) => {
                    self.desk.set_away(None);
                    return;
                }
                Err(Trouble::Away(cause, _)) => {
                    self.session = None;
                    if begun.elapsed() >= patience {
                        self.desk.set_away(Some(cause));
                        return self.answer_all(batch, cause);
                    }
                    self.desk.queue.rest(back_off);
                    back_off = back_off.saturating_mul(2).min(BACK_OFF_MAX);
                }
                // One that it does not take keeps none of the others out.
                Err(Trouble::Refused) if batch.len() > 1 => {
                    let rest = batch.split_off(batch.len() / 2);
                    self.store_until(batch, begun, patience);
                    return self.store_until(rest, begun, patience);
                }
                Err(Trouble::Refused) => return self.answer_all(batch, Unavailable::Failed),
            }
            for entry in &mut batch {
                entry.may_be_there = true;
            }
        }
    }

    pub(super) fn answer_all(&self, batch: Vec<Entry>, cause: Unavailable) {
        lock(&self.desk.counters).count_failed(batch.len() as u64);
        let fate = Fate { outcome: Err(cause), is_new: false, is_taken: false };
        let fates = vec![fate; batch.len()];
        self.answer(batch, &fates);
    }

    pub(super) fn try_to_store(&mut self, batch: &mut Vec<Entry>) -> Result<(), Trouble> {
        self.try_session()?;
        let Some(session) = &mut self.session else {
            return Err(Trouble::Away(Unavailable::Failed, Why::Unreachable));
        };
        let registry = &self.desk.registry;
        let is_owner = |tenant: &str| registry.shared().memory().owner(tenant).is_some();
        let begun = Instant::now();
        let tells = self.told.is_none_or(|it| it.elapsed() >= TELL_PAUSE);
        match batch::commit(session, batch, is_owner, tells) {
            Ok(committed) => {
                self.owes_news = !tells;
                if tells {
                    self.told = Some(begun);
                }
                self.desk.queue.note_synced(committed.synced);
                self.note(batch, &committed, begun.elapsed());
                self.answer(std::mem::take(batch), &committed.fates);
                Ok(())
            }
            Err(error) => {
                let trouble = trouble_of(&error);
                tracing::warn!(
                    code = error.code().map(SqlState::code),
                    events = batch.len(),
                    "a batch of events was not committed"
                );
                if trouble == Trouble::Refused && session.client.batch_execute("ROLLBACK").is_err()
                {
                    self.session = None;
                }
                Err(trouble)
            }
        }
    }

    /// So much was added to the ring of requests without proof.
    pub(super) fn note_unproven(&mut self, added: Pending) {
        self.untrimmed.records = self.untrimmed.records.saturating_add(added.records);
        self.untrimmed.bytes = self.untrimmed.bytes.saturating_add(added.bytes);
    }

    /// Another connection is made for the next batch.
    pub(super) fn forget_session(&mut self) {
        self.session = None;
    }

    /// Answers everybody who waits for a batch.
    pub(super) fn answer(&self, batch: Vec<Entry>, fates: &[Fate]) {
        let mut wakers: Vec<Waker> = Vec::with_capacity(batch.len());
        for (mut entry, fate) in batch.into_iter().zip(fates) {
            if let (Ok(receipt), true, Some(adopting)) =
                (fate.outcome, fate.is_new, entry.adopting.take())
            {
                adopting.keep(receipt.seq());
            }
            if fate.is_taken {
                self.forget_conversation(&entry);
            }
            if let Some(blob) = entry.row.blob {
                self.desk.blobs.discard(blob);
            }
            if fate.outcome.is_ok_and(|it| it.is_duplicate()) {
                self.desk.repetitions.fetch_add(1, Ordering::Relaxed);
            }
            wakers.extend(entry.answer.keep(fate.outcome));
        }
        if !wakers.is_empty() {
            (self.desk.wake)(wakers);
        }
    }

    /// Another node was faster: what this one has in memory of the conversation is not so.
    fn forget_conversation(&self, entry: &Entry) {
        let [_, provider, ..] = entry.row.texts();
        let adoption = entry.row.more.as_ref().and_then(|it| it.adoption.as_ref());
        if let (Some(provider), Some(adoption)) = (provider.and_then(provider::named), adoption) {
            let effect = Effect::Conversation(provider.name, adoption.external_id.clone());
            lock(&self.desk.registry.shared().known).note(&effect);
        }
    }

    /// Notes what was committed.
    pub(super) fn note(&mut self, batch: &[Entry], committed: &Committed, took: Duration) {
        let bytes = batch.iter().map(Entry::bytes).sum();
        let done = Pending { records: batch.len() as u64, bytes };
        lock(&self.desk.counters).count(done, took);
        self.note_unproven(committed.unproven);
        self.desk.note_listed(committed.last_seq);
    }

    /// A session, if there is none.
    pub(super) fn try_session(&mut self) -> Result<(), Trouble> {
        if self.session.as_ref().is_some_and(|it| !it.client.is_closed()) {
            return Ok(());
        }
        self.session = None;
        let client = (self.connect)().map_err(|error| {
            if !std::mem::replace(&mut self.is_unreachable, true) {
                tracing::warn!(error = %error, "PostgreSQL cannot be reached");
            }
            Trouble::Away(Unavailable::Failed, why_unreachable(&error))
        })?;
        let session = batch::prepare(client).map_err(|error| {
            tracing::warn!(
                code = error.code().map(SqlState::code),
                "PostgreSQL does not take what every session begins with"
            );
            Trouble::Away(Unavailable::Failed, why_of(&error))
        })?;
        self.session = Some(session);
        self.is_unreachable = false;
        Ok(())
    }

    /// Keeps the ring of requests without proof within its bounds.
    pub(super) fn trim(&mut self) {
        let is_due = self.untrimmed.records > self.unproven.records_max / TRIM_PARTS
            || self.untrimmed.bytes > self.unproven.bytes_max / TRIM_PARTS;
        if !is_due {
            return;
        }
        let Some(session) = &mut self.session else { return };
        self.untrimmed = Pending::default();
        if let Err(error) = large::trim(&mut session.client, &large::UNPROVEN, self.unproven) {
            tracing::warn!(
                code = error.code().map(SqlState::code),
                "the ring of requests without proof could not be trimmed"
            );
            self.session = None;
        }
    }
}

/// What an error means for a batch. Whatever is not about what was sent, passes.
pub(super) fn trouble_of(error: &postgres::Error) -> Trouble {
    let Some(code) = error.code() else {
        // Without a code the server did not say it: the connection is lost, or a value
        // cannot be sent.
        let is_ours = !error.is_closed() && std::error::Error::source(error).is_none();
        return if is_ours {
            Trouble::Refused
        } else {
            Trouble::Away(Unavailable::Failed, why_of(error))
        };
    };
    if *code == SqlState::DISK_FULL {
        return Trouble::Away(Unavailable::DiskFull, Why::ReadOnly);
    }
    // PostgreSQL, appendix A. 22: the value; 23: a constraint; 54: a limit of the program.
    match code.code().get(..2) {
        Some("22" | "23" | "54") => Trouble::Refused,
        _ => Trouble::Away(Unavailable::Failed, why_of(error)),
    }
}
