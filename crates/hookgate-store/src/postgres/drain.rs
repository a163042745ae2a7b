//! The way back: the thread that commits looks for the database while it is away, and empties
//! the spool into it, the oldest first.
//!
//! Each entry is judged anew before it is stored: what was in memory when it came may have
//! been behind, and a binding may have changed since. It is stored under the id that its
//! sender was told; one that is there already is found by it, so nothing is stored twice.

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use hookgate_core::received::Verdict;
use hookgate_core::tenant::TenantId;
use hookgate_journal::Pending;
use postgres::Client;
use uuid::Uuid;

use super::arrival;
use super::batch::{self, Fate, Session};
use super::fault::{ConnectError, ConnectFault};
use super::large;
use super::outage::{DRAIN_BYTES_MAX, Purpose, Step, Why};
use super::queue::{Call, Entry};
use super::spool::{self, EntryBody, Place};
use super::spooling::Spooling;
use super::url::PgSettings;
use super::writer::{Connect, Trouble, Writer, trouble_of};
use crate::error::{OpenError, Unavailable};
use crate::head::{self, SlimHead};
use crate::layout::{EVENTS, UNPROVEN};
use crate::ledger::Ledger;
use crate::lock;

/// How long the thread waits when there is something that it cannot do now: entries on their
/// way to the disk, a disk that cannot be read.
const PAUSE: Duration = Duration::from_millis(10);

/// Times that an entry is decided anew because something changed meanwhile.
const DECIDINGS_MAX: u32 = 8;

/// Times that an entry is refused as out of date before it is stored as nobody's, so that it
/// keeps nothing behind it waiting: it can be attributed later.
const REFUSALS_MAX: u32 = 16;

/// What draining needs beside.
pub(super) struct Drainer {
    pub(super) spooling: Arc<Spooling>,
    pub(super) ledger: Ledger,
    /// Makes connections whose statements may take longer: nobody waits for them.
    pub(super) connect: Arc<Connect>,
    /// What a node that began without the database has not done yet.
    arriving: Option<PgSettings>,
    session: Option<Session>,
    /// An entry that was refused, and how often.
    stubborn: Option<(Uuid, u32)>,
}

/// What became of an entry of the spool.
enum Drained {
    Stored(Fate),
    /// No database takes it.
    Refused,
}

impl Drainer {
    pub(super) fn new(spooling: Arc<Spooling>, ledger: Ledger, connect: Arc<Connect>) -> Self {
        Self { spooling, ledger, connect, arriving: None, session: None, stubborn: None }
    }

    /// The same of a node that has not seen the database.
    pub(super) fn arriving(self, settings: PgSettings) -> Self {
        Self { arriving: Some(settings), ..self }
    }

    /// Does what a start does, if the database is there for the first time.
    fn arrive(&mut self, writer: &Writer) -> Result<(), Why> {
        let Some(settings) = &self.arriving else { return Ok(()) };
        let last_seq = arrival::arrive(settings).map_err(|error| {
            let OpenError::Postgres(cause) = &error else {
                tracing::error!(error = %error, "PostgreSQL is there, and cannot be used");
                return Why::Unreachable;
            };
            if !error.may_pass() {
                tracing::error!(error = %cause, "PostgreSQL is there, and cannot be used");
            }
            why_unreachable(cause)
        })?;
        self.arriving = None;
        writer.desk.note_listed(last_seq);
        Ok(())
    }

    /// Looks whether the database is there and takes writes, and what others changed in it.
    fn look(&mut self, writer: &Writer) -> Result<(), Why> {
        self.session = None;
        self.arrive(writer)?;
        let client = (self.connect)().map_err(|error| why_unreachable(&error))?;
        let mut session = batch::prepare(client).map_err(|error| why_of(&error))?;
        follow(&mut session.client, writer)?;
        self.session = Some(session);
        Ok(())
    }

    /// Makes an entry ready to be stored, judged by what is known now.
    fn ready(&self, entry: &spool::Entry) -> Result<Entry, NotReady> {
        self.spooling.undo_adoption(entry.id);
        let slim: SlimHead<'_> = head::decode(&entry.head).map_err(|_| NotReady::Unreadable)?;
        let is_proven = slim.verdict == Verdict::Verified.name();
        let log = if is_proven { EVENTS } else { UNPROVEN };
        let payload = match &entry.body {
            EntryBody::Whole(bytes) => bytes.clone(),
            EntryBody::File { .. } => bytes::Bytes::new(),
        };
        let again = |head: Vec<u8>| {
            let (again, _) =
                Entry::again(head, payload.clone(), log).map_err(|_| NotReady::Unreadable)?;
            Ok(again)
        };
        let question = entry.question().map_err(|_| NotReady::Unreadable)?;
        let Some(question) = question else { return again(entry.head.clone()) };
        let is_given_up =
            self.stubborn.is_some_and(|(id, count)| id == entry.id && count >= REFUSALS_MAX);
        for _ in 0..DECIDINGS_MAX {
            let consulted = self.ledger.consult_here(&question.provider, &question.claims)?;
            let is_owner = |tenant: &TenantId| !is_given_up && self.ledger.is_owner(tenant);
            let rejudged = entry.judge(&consulted, is_owner).map_err(|_| NotReady::Unreadable)?;
            let Some(rejudged) = rejudged else { return again(entry.head.clone()) };
            // Behind it, others of its conversation are judged.
            let adopting = match &rejudged.adoption {
                None => None,
                Some(adoption) => match self.ledger.adopt(adoption) {
                    Ok(adopting) => Some(adopting),
                    Err(_) => continue,
                },
            };
            let mut ready = again(rejudged.head)?;
            ready.adopting = adopting;
            return Ok(ready);
        }
        Err(NotReady::Away(Unavailable::Behind))
    }

    /// Notes that an entry is out of date.
    fn refuse(&mut self, id: Uuid) {
        let count = self.stubborn.filter(|it| it.0 == id).map_or(0, |it| it.1);
        self.stubborn = Some((id, count.saturating_add(1)));
    }
}

/// Why an entry is not ready.
enum NotReady {
    Unreadable,
    Away(Unavailable),
}

impl From<Unavailable> for NotReady {
    fn from(cause: Unavailable) -> Self {
        Self::Away(cause)
    }
}

impl Writer {
    /// Until the queue is closed and empty, of a node with a spool.
    pub(super) fn run_with(mut self, mut drainer: Drainer) {
        let spooling = Arc::clone(&drainer.spooling);
        loop {
            let (step, wait) = spooling.next();
            let news = self.until_news();
            let wait = wait.into_iter().chain(news).min();
            match self.desk.queue.take(wait) {
                Call::Batch(batch) => self.store_or_spool(&spooling, batch),
                Call::Nothing if news.is_some() => drop(self.tell_news()),
                Call::Nothing => match step {
                    Step::Wait(_) => {}
                    Step::Probe => {
                        let probe = spooling.begin(Purpose::Probe);
                        let found = drainer.look(&self);
                        spooling.finished(probe, found);
                    }
                    Step::Drain(most) => self.drain(&mut drainer, most),
                },
                Call::Closed => {
                    self.tell_news();
                    return;
                }
            }
        }
    }

    /// Commits a batch, or puts it into the spool.
    fn store_or_spool(&mut self, spooling: &Spooling, batch: Vec<Entry>) {
        let pending =
            Pending { records: batch.len() as u64, bytes: batch.iter().map(Entry::bytes).sum() };
        if spooling.is_live() {
            let commit = spooling.begin(Purpose::Commit);
            match self.store_now(batch) {
                Ok(()) => drop(spooling.finished(commit, Ok(()))),
                Err((rest, why)) => {
                    // Said first, so that nothing more comes this way.
                    if !spooling.finished(commit, Err(why)) {
                        spooling.lose(why);
                    }
                    self.spool(spooling, rest);
                }
            }
        } else {
            self.spool(spooling, batch);
        }
        self.desk.queue.done(pending);
        self.trim();
    }

    /// Commits a batch. What the database is away for comes back; it may be there all the same.
    fn store_now(&mut self, mut batch: Vec<Entry>) -> Result<(), (Vec<Entry>, Why)> {
        match self.try_to_store(&mut batch) {
            Ok(()) => Ok(()),
            Err(Trouble::Away(_, why)) => {
                self.forget_session();
                Err((batch, why))
            }
            Err(Trouble::Refused) if batch.len() > 1 => {
                let rest = batch.split_off(batch.len() / 2);
                match self.store_now(batch) {
                    Ok(()) => self.store_now(rest),
                    Err((mut left, why)) => {
                        left.extend(rest);
                        Err((left, why))
                    }
                }
            }
            Err(Trouble::Refused) => {
                self.answer_all(batch, Unavailable::Failed);
                Ok(())
            }
        }
    }

    /// Puts events into the spool that the database did not take, under their ids, and
    /// answers their senders when they are on the disk. They may be in the database all the
    /// same: they are looked for before they are stored.
    fn spool(&self, spooling: &Spooling, batch: Vec<Entry>) {
        let mut appending = Vec::with_capacity(batch.len());
        for entry in batch {
            let kept = entry
                .row
                .blob
                .map(|id| self.desk.blobs.give_away(id, |path| spooling.spool.keep_body(id, path)));
            let put = match kept.transpose() {
                Ok(kept) => spooling.put(&entry, kept),
                Err(error) => Err(Unavailable::of_io(&error)),
            };
            appending.push((entry, put));
        }
        let mut wakers: Vec<Waker> = Vec::new();
        let mut failed = 0_u64;
        for (mut entry, put) in appending {
            let adopting = entry.adopting.take();
            let outcome = match put.and_then(spool::Appending::wait) {
                Ok(()) => Ok(spooling.receipt(entry.id, adopting)),
                Err(cause) => {
                    failed = failed.saturating_add(1);
                    Err(cause)
                }
            };
            wakers.extend(entry.answer.keep(outcome));
        }
        lock(&self.desk.counters).count_failed(failed);
        if !wakers.is_empty() {
            (self.desk.wake)(wakers);
        }
    }

    /// Stores the oldest entries of the spool, or sees that there are none.
    fn drain(&mut self, drainer: &mut Drainer, most: usize) {
        let spooling = Arc::clone(&drainer.spooling);
        let entries = match spooling.spool.oldest(most, DRAIN_BYTES_MAX) {
            Ok(entries) => entries,
            Err(error) => {
                tracing::error!(error = %error, "the spool cannot be read");
                self.desk.queue.rest(PAUSE.saturating_mul(50));
                return;
            }
        };
        if entries.is_empty() {
            spooling.spool.settle();
            // The next commit waits for no connection.
            match self.try_session() {
                Ok(()) => spooling.drained(),
                Err(trouble) => spooling.fail(trouble.why()),
            }
            if !spooling.is_live() {
                self.desk.queue.rest(PAUSE);
            }
            return;
        }
        let statement = spooling.begin(Purpose::Drain);
        // A node that starts has seen the database, but not from here.
        let seen = if drainer.session.is_some() { Ok(()) } else { drainer.look(self) };
        let outcome = seen.and_then(|()| self.drain_batch(drainer, &entries));
        if outcome.is_err() {
            drainer.session = None;
        }
        spooling.finished(statement, outcome);
        if outcome.is_ok() && self.try_session().is_ok() {
            spooling.drained();
        }
    }

    /// Stores a batch of the spool, and forgets there what is stored.
    fn drain_batch(
        &mut self,
        drainer: &mut Drainer,
        entries: &[(Place, spool::Entry)],
    ) -> Result<(), Why> {
        let Some(mut session) = drainer.session.take() else { return Err(Why::Unreachable) };
        follow(&mut session.client, self)?;
        // Up to here, all is in the database, or kept aside.
        let mut done: Option<Place> = None;
        let (mut are_ready, mut batch) = (Vec::with_capacity(entries.len()), Vec::new());
        for (_, entry) in entries {
            if let EntryBody::File { id, .. } = &entry.body {
                let file = drainer.spooling.spool.open_body(*id);
                match file
                    .map_err(large::UploadError::File)
                    .and_then(|mut file| large::upload_file(&mut session.client, &mut file, *id))
                {
                    Ok(()) => {}
                    Err(large::UploadError::Database(error)) => return Err(why_of(&error)),
                    Err(large::UploadError::File(error)) => {
                        tracing::error!(error = %error, "a large body of the spool is lost");
                        are_ready.push(false);
                        continue;
                    }
                }
            }
            match drainer.ready(entry) {
                Ok(it) => {
                    are_ready.push(true);
                    batch.push(it);
                }
                Err(NotReady::Unreadable) => are_ready.push(false),
                Err(NotReady::Away(Unavailable::Behind)) if !are_ready.is_empty() => break,
                Err(NotReady::Away(Unavailable::Behind)) => {
                    drainer.refuse(entry.id);
                    drainer.session = Some(session);
                    self.desk.queue.rest(PAUSE);
                    return Ok(());
                }
                Err(NotReady::Away(_)) => return Err(Why::Unreachable),
            }
        }
        let fates = self.commit_drained(&mut session, &batch)?;
        drainer.session = Some(session);
        let mut stored = batch.into_iter().zip(fates);
        let mut failed = None;
        for ((place, entry), is_ready) in entries.iter().zip(&are_ready) {
            let found = if *is_ready { stored.next() } else { None };
            let is_done = match found {
                Some((stored, Drained::Stored(fate))) => {
                    let is_stored = fate.outcome.is_ok();
                    self.answer(vec![stored], &[fate]);
                    is_stored
                }
                Some((_, Drained::Refused)) | None => {
                    tracing::error!(
                        event.id = %entry.id,
                        "PostgreSQL does not take an event of the spool: it is kept in the \
                         spool's folder `refused`"
                    );
                    drainer.spooling.spool.set_refused_aside(entry).is_ok()
                }
            };
            if !is_done && failed.is_none() {
                failed = Some(entry.id);
            }
            if failed.is_none() {
                done = Some(*place);
            }
        }
        if let Some(id) = failed {
            drainer.refuse(id);
            self.desk.queue.rest(PAUSE);
        }
        if let Some(done) = done
            && let Err(error) = drainer.spooling.spool.done(done)
        {
            // They come again, and are found.
            tracing::error!(error = %error, "how far the spool is drained cannot be noted");
            self.desk.queue.rest(PAUSE.saturating_mul(50));
        }
        Ok(())
    }

    fn commit_drained(
        &mut self,
        session: &mut Session,
        batch: &[Entry],
    ) -> Result<Vec<Drained>, Why> {
        if batch.is_empty() {
            return Ok(Vec::new());
        }
        let registry = &self.desk.registry;
        let is_owner = |tenant: &str| registry.shared().memory().owner(tenant).is_some();
        let begun = Instant::now();
        match batch::commit(session, batch, is_owner, true) {
            Ok(committed) => {
                self.note(batch, &committed, begun.elapsed());
                Ok(committed.fates.into_iter().map(Drained::Stored).collect())
            }
            Err(error) => match trouble_of(&error) {
                Trouble::Away(_, why) => Err(why),
                Trouble::Refused => {
                    session.client.batch_execute("ROLLBACK").map_err(|error| why_of(&error))?;
                    let (one, other) = batch.split_at(batch.len() / 2);
                    if one.is_empty() {
                        return Ok(vec![Drained::Refused]);
                    }
                    let mut fates = self.commit_drained(session, one)?;
                    fates.extend(self.commit_drained(session, other)?);
                    Ok(fates)
                }
            },
        }
    }
}

/// Reads what other nodes changed, so that what is decided is decided by today's bindings.
fn follow(client: &mut Client, writer: &Writer) -> Result<(), Why> {
    let at = Instant::now();
    let rows = large::transact(client, |client| client.query("SELECT topic, n FROM versions", &[]))
        .map_err(|error| why_of(&error))?;
    let versions: Vec<(String, i64)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, postgres::Error>>()
        .map_err(|error| why_of(&error))?;
    writer.desk.registry.follow(&versions, at).map_err(|error| {
        tracing::warn!(error = %error, "what other nodes changed could not be read");
        Why::Unreachable
    })
}

/// Why the database is away, by what it said.
pub(super) fn why_of(error: &postgres::Error) -> Why {
    let Some(code) = error.code() else {
        return if is_timeout(error) { Why::Slow } else { Why::Unreachable };
    };
    // PostgreSQL, appendix A.
    match code.code() {
        "25006" | "53100" => Why::ReadOnly,
        "57014" | "55P03" | "25P03" => Why::Slow,
        it if it.starts_with("57P") => Why::FailingOver,
        _ => Why::Unreachable,
    }
}

/// The same of a connection that could not be made.
pub(super) fn why_unreachable(error: &io::Error) -> Why {
    let fault = error.get_ref().and_then(|it| it.downcast_ref()).map(ConnectError::fault);
    match fault {
        Some(ConnectFault::ReadOnly) => Why::ReadOnly,
        Some(ConnectFault::Silent) => Why::Slow,
        Some(ConnectFault::Busy) => Why::FailingOver,
        Some(ConnectFault::OtherStore) => Why::OtherStore,
        _ => Why::Unreachable,
    }
}

fn is_timeout(error: &postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(found) = cause {
        if found.downcast_ref::<io::Error>().is_some_and(|it| it.kind() == io::ErrorKind::TimedOut)
        {
            return true;
        }
        cause = found.source();
    }
    false
}
