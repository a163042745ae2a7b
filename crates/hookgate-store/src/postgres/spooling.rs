//! Where events go, and the spool that takes them while the database is away: what the verbs
//! and the thread that commits share. The rules are in `outage.rs`, the files in `spool.rs`,
//! the way back in `drain.rs`.
//!
//! What holds:
//!
//! - **One way at a time.** An event is routed and put in its queue under one lock, so that
//!   none is left in the database's queue when the way changes.
//! - **A receipt is for what is on disk**, here or in the database.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use hookgate_journal::Wake;
use tokio::sync::watch;
use uuid::Uuid;

use super::outage::{HAND_OVER_MAX, Moment, Outage, Purpose, Route, State, Statement, Step, Why};
use super::owner;
use super::queue::{Entry, Queue};
use super::spool::{Appending, KeptBody, NewBody, NewEntry, Spool, SpoolOptions};
use crate::error::{OpenError, Unavailable};
use crate::ledger::Adopting;
use crate::lock;
use crate::options::Options;
use crate::receipt::Receipt;
use crate::record::EventId;
use crate::registry::Registry;
use crate::snapshot::SpoolState;

/// Conversations that events in the spool made known, kept in memory: more are asked for
/// when they are drained.
const ADOPTIONS_MAX: usize = 65_536;

/// The spool of a node, and whether it is needed.
pub(super) struct Spooling {
    pub(super) spool: Spool,
    outage: Mutex<Outage>,
    began: Instant,
    /// Counts changes of the state.
    changed: watch::Sender<u64>,
    /// Conversations that events in the spool make known, by event.
    adopting: Mutex<HashMap<Uuid, Adopting>>,
    registry: Registry,
}

/// What became of an event that looks for its way.
pub(super) enum Passed {
    /// It waits for the database, or may not.
    Queued(Result<(), Unavailable>),
    /// It goes into the spool: say [`Spooling::arrived`] afterwards.
    Spool(Entry),
    /// Ask again after [`Spooling::moved`].
    Hold(Entry),
}

impl Spooling {
    /// Opens the spool in this folder. The database counts as away until it was seen.
    pub(super) fn open(
        folder: &Path,
        options: &Options,
        wake: Wake,
        registry: Registry,
    ) -> Result<Self, OpenError> {
        let settings = SpoolOptions {
            bytes_max: options.spool_bytes_max,
            gather: options.gather,
            refuse_volatile: false,
            wake,
        };
        let (spool, _) = Spool::open(folder, settings)?;
        owner::claim(folder, registry.store_id(), spool.len())?;
        registry.shared().use_spool();
        registry.shared().set_away(true);
        Ok(Self {
            spool,
            outage: Mutex::new(Outage::new(Moment::ZERO)),
            began: Instant::now(),
            changed: watch::Sender::new(0),
            adopting: Mutex::default(),
            registry,
        })
    }

    /// Does something to the state, and tells everybody when it is another one then.
    fn with<T>(&self, work: impl FnOnce(&mut Outage, Moment) -> T) -> T {
        let mut outage = lock(&self.outage);
        let (before, _) = outage.state();
        let done = work(&mut outage, self.began.elapsed());
        let (after, _) = outage.state();
        if before != after {
            self.registry.shared().set_away(matches!(after, State::Spooling(_)));
            self.changed.send_modify(|it| *it = it.wrapping_add(1));
        }
        drop(outage);
        match (before, after) {
            (State::Live | State::Draining, State::Spooling(why)) => {
                if why == Why::OtherStore {
                    self.say_other_store();
                }
                tracing::warn!(why = why.name(), "PostgreSQL is away: events go into the spool");
            }
            (State::Spooling(before), State::Spooling(Why::OtherStore))
                if before != Why::OtherStore =>
            {
                self.say_other_store();
            }
            (State::Spooling(_), State::Draining) if !self.spool.is_empty() => {
                let entries = self.spool.len();
                tracing::info!(entries, "PostgreSQL is back: the spool is being emptied");
            }
            (State::Draining, State::Live) => tracing::info!("events go to PostgreSQL"),
            _ => {}
        }
        done
    }

    fn say_other_store(&self) {
        tracing::error!(
            entries = self.spool.len(),
            "the database that answers holds another store than this node began with: the spool \
             is kept, and nothing of it goes there; bring the right database back"
        );
    }

    /// Whether events go to the database now.
    pub(super) fn is_live(&self) -> bool {
        self.with(|outage, now| {
            outage.tick(now);
            outage.state().0 == State::Live
        })
    }

    /// Sends an event its way.
    pub(super) fn pass(&self, entry: Entry, queue: &Queue) -> Passed {
        self.with(|outage, now| {
            outage.tick(now);
            match outage.route() {
                Route::Direct => Passed::Queued(queue.push(entry)),
                Route::Spool => Passed::Spool(entry),
                Route::Hold => Passed::Hold(entry),
            }
        })
    }

    /// The same for an event with a large body: to the database only when that is there.
    pub(super) fn pass_large(&self, entry: Entry, queue: &Queue, is_uploaded: bool) -> Passed {
        self.with(|outage, now| {
            outage.tick(now);
            match outage.route() {
                Route::Direct if is_uploaded => Passed::Queued(queue.push(entry)),
                Route::Direct | Route::Hold => Passed::Hold(entry),
                Route::Spool => Passed::Spool(entry),
            }
        })
    }

    /// The way of what cannot go to the database as it is.
    pub(super) fn route(&self) -> Route {
        self.with(|outage, now| {
            outage.tick(now);
            outage.route()
        })
    }

    /// What was routed into the spool is in it, or was given up.
    pub(super) fn arrived(&self) {
        self.with(|outage, _| outage.arrived());
    }

    /// Waits until the state changes, for a moment at most.
    pub(super) async fn moved(&self) {
        let mut changed = self.changed.subscribe();
        // The sender is in here.
        let _ = tokio::time::timeout(HAND_OVER_MAX, changed.changed()).await;
    }

    /// The database was found to be away by somebody who asked it something else.
    pub(super) fn lose(&self, why: Why) {
        self.with(|outage, now| {
            if outage.state().0 == State::Live {
                outage.fail(why, now);
            }
        });
    }

    /// The database was found to be away by the thread that looks after it.
    pub(super) fn fail(&self, why: Why) {
        self.with(|outage, now| outage.fail(why, now));
    }

    /// A node that has just seen the database, with an empty spool, begins with it.
    pub(super) fn seen(&self) {
        let probe = self.begin(Purpose::Probe);
        self.finished(probe, Ok(()));
        if self.spool.is_empty() {
            self.drained();
        }
    }

    pub(super) fn begin(&self, purpose: Purpose) -> Statement {
        self.with(|outage, now| outage.begin(purpose, now))
    }

    pub(super) fn finished(&self, statement: Statement, outcome: Result<(), Why>) -> bool {
        self.with(|outage, now| outage.finished(statement, outcome, now))
    }

    /// After a batch, or when there was nothing.
    pub(super) fn drained(&self) {
        self.with(|outage, now| outage.drained(self.spool.len(), now));
    }

    /// What is to be done now, and how long nothing else is.
    pub(super) fn next(&self) -> (Step, Option<std::time::Duration>) {
        self.with(|outage, now| {
            outage.tick(now);
            let step = outage.next(now);
            let wait = match step {
                Step::Wait(until) => until.map(|it| it.saturating_sub(now)),
                Step::Probe | Step::Drain(_) => Some(std::time::Duration::ZERO),
            };
            (step, wait)
        })
    }

    /// Whether a body of this length may be read now, while the database is away.
    pub(super) fn admit(&self, body_bytes: u64) -> Result<(), Unavailable> {
        self.spool.admit(body_bytes).map(drop)
    }

    /// Puts an event into the spool, its large body with it.
    pub(super) fn put(
        &self,
        entry: &Entry,
        kept: Option<KeptBody>,
    ) -> Result<Appending, Unavailable> {
        let wait = entry.wait.as_deref().ok_or(Unavailable::Failed)?;
        self.append(&NewEntry::stored(entry.at, &entry.head, wait), &entry.payload, kept)
    }

    /// The same for what is encoded already.
    pub(super) fn append(
        &self,
        entry: &NewEntry,
        payload: &[u8],
        kept: Option<KeptBody>,
    ) -> Result<Appending, Unavailable> {
        let room = self.spool.admit(payload.len() as u64)?;
        let body = kept.map_or(NewBody::Whole(payload), NewBody::Kept);
        self.spool.append(room, entry, body)
    }

    /// What the sender of an event is told that is in the spool. Its place is not known yet.
    pub(super) fn receipt(&self, id: Uuid, adopting: Option<Adopting>) -> Receipt {
        if let Some(adopting) = adopting {
            let mut held = lock(&self.adopting);
            if held.len() < ADOPTIONS_MAX {
                held.insert(id, adopting);
            }
        }
        Receipt::new(EventId(id), 0, false)
    }

    /// Takes back what an event in the spool made known: it is decided anew.
    pub(super) fn undo_adoption(&self, id: Uuid) {
        let undone = lock(&self.adopting).remove(&id);
        drop(undone);
    }

    /// How it is.
    pub(super) fn state(&self) -> SpoolState {
        let (state, outages) = {
            let outage = lock(&self.outage);
            (outage.state().0, outage.outages())
        };
        let status = self.spool.status();
        SpoolState {
            state: state.name(),
            why: match state {
                State::Spooling(why) => Some(why.name()),
                State::Live | State::Draining => None,
            },
            entries: status.entries,
            bytes: status.bytes,
            bytes_max: status.bytes_max,
            oldest_at: status.oldest_at,
            damaged: status.damaged,
            outages,
            volatile: status.volatile,
        }
    }

    /// Closes the spool, and says what is left in it.
    pub(super) fn close(&self) {
        lock(&self.adopting).clear();
        let left = self.spool.close();
        if left > 0 {
            tracing::error!(
                entries = left,
                "stopped with events in the spool: they are drained when a node is started on \
                 the same folder; do not remove it"
            );
        }
    }
}
