//! Erasing, and what need not be kept longer.
//!
//! What holds:
//!
//! - **The wish is durable before anything is erased**, in the registry's table of erasures.
//!   Whatever stops a node, it or another goes on.
//! - **Nothing slips through.** From the wish on nothing more is appended as the tenant's or
//!   decided to be; what was before that is committed when the walk begins, because the walk
//!   has held the locks of both once by then.
//! - **A piece is one transaction.** An event has its bytes, or it is erased.
//! - **One node erases at a time.** It has a lock as long as its connection lives.
//! - **The head stays without what names anybody**, with its hash.
//!
//! The bytes of a row that was changed stay in the files of the tables until `VACUUM` has made
//! their place free and something else is written there, and longer in the log of changes
//! (WAL), in replicas that lag and in backups. After each erasure the tables are vacuumed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use hookgate_core::time::Timestamp;
use postgres::Client;
use tokio::sync::watch;

use super::Node;
use super::pool::{Pool, discard, lost};
use super::query::{signed, unsigned};
use super::recordings::remove_orphans;
use super::victims::{Limits, erase_piece, forget, has_victims};
use super::{decide, spans};
use crate::erasure::Stop;
use crate::error::{ReadError, Unavailable};
use crate::index::victims::Whose;
use crate::keeper::Erasing;
use crate::lock;
use crate::options::Hook;
use crate::registry::{Erased, Erasure, ErasureTarget, Registry};
use crate::rejections::now;
use crate::retention::{Retention, targets, unswept};
use crate::sql::ERASER_LOCK;

/// What an erasure changes, made free for others.
const VACUUM: &str = "VACUUM hookgate.events, hookgate.blobs, hookgate.repetitions, \
     hookgate.adopted, hookgate.violation_tenants, hookgate.rejections, hookgate.folded, \
     hookgate.folded_entries, hookgate.folded_numbers, hookgate.folded_words, \
     hookgate.folded_again, hookgate.recordings, hookgate.recording_pieces";

impl From<ReadError> for Stop {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<postgres::Error> for Stop {
    fn from(error: postgres::Error) -> Self {
        Self::Read(error.into())
    }
}

/// Erases. One erasure after the other.
#[derive(Debug)]
pub(super) struct Eraser {
    pub(super) registry: Registry,
    pub(super) pool: Pool,
    pub(super) hook: Hook,
    /// Changes whenever an erasure has come further.
    pub(super) progress: watch::Sender<u64>,
    turn: Mutex<()>,
    is_stopping: AtomicBool,
}

/// That no other node erases, as long as its connection lives.
struct Turn(Option<Client>);

impl Turn {
    fn take(pool: &Pool) -> Result<Self, Stop> {
        let mut client = pool.connect()?;
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&ERASER_LOCK]);
        let has_it = row.and_then(|it| it.try_get(0));
        let turn = Self(Some(client));
        if has_it? { Ok(turn) } else { Err(Stop::Elsewhere) }
    }

    /// Whether it is still this node's. Gives the connection.
    fn check(&mut self) -> Result<&mut Client, Stop> {
        let client = self.0.as_mut().ok_or(Stop::Elsewhere)?;
        client.batch_execute("SELECT 1")?;
        Ok(client)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(client) = &mut self.0 {
            // The server would see only a while later that the connection is closed.
            let _ = client.batch_execute(&format!("SELECT pg_advisory_unlock({ERASER_LOCK})"));
        }
        discard(self.0.take().into_iter().collect());
    }
}

impl Eraser {
    pub(super) fn new(registry: Registry, pool: Pool, hook: Hook) -> Self {
        Self {
            registry,
            pool,
            hook,
            progress: watch::Sender::new(0),
            turn: Mutex::default(),
            is_stopping: AtomicBool::new(false),
        }
    }

    /// Carries out erasures; gives how many events that were.
    fn finish(&self, turn: &mut Turn, erasures: &[Erasure]) -> Result<u64, Stop> {
        if erasures.is_empty() {
            return Ok(0);
        }
        let mut events = 0_u64;
        let mut done = Vec::with_capacity(erasures.len());
        for erasure in erasures {
            done.push(self.carry_out(turn, erasure)?);
        }
        if done.iter().any(|it| it.events > 0 || it.bytes > 0)
            && let Err(error) = turn.check()?.batch_execute(VACUUM)
        {
            // The server does it itself sooner or later.
            tracing::warn!(error = %lost(&error), "the tables could not be vacuumed");
        }
        for (erasure, erased) in erasures.iter().zip(done) {
            let id = &erasure.id;
            self.registry.unname_erasure(id).map_err(Stop::Registry)?;
            self.registry.finish_erasure(id, erased, now()).map_err(Stop::Registry)?;
            events = events.saturating_add(erased.events);
            tracing::info!(
                erasure.id = id,
                events = erased.events,
                bytes = erased.bytes,
                "an erasure is done"
            );
        }
        self.tell();
        Ok(events)
    }

    /// Erases what one of them is about, up to its row in the registry.
    fn carry_out(&self, turn: &mut Turn, erasure: &Erasure) -> Result<Erased, Stop> {
        let mut erased = Erased { done_seq: 0, events: erasure.events, bytes: erasure.bytes };
        // Who decided or appended before the wish is done when this has the locks.
        let last_seq = self.pool.write(|client| {
            decide::lock_all(client)?;
            let row = client.query_one("SELECT coalesce(max(seq), 0) FROM events", &[])?;
            Ok::<_, Stop>(unsigned(row.try_get(0)?))
        })?;
        self.erase_rows(erasure)?;
        let mut walk = Walk { id: &erasure.id, before: None, erased: &mut erased };
        match &erasure.target {
            ErasureTarget::Tenant(tenant) => {
                self.walk(turn, Whose::Tenant(tenant.as_str()), &mut walk)?;
            }
            ErasureTarget::Conversation { provider, external_id } => {
                self.walk(turn, Whose::Conversation(provider, external_id), &mut walk)?;
            }
            ErasureTarget::Before { at, tenant, source } => {
                walk.before = Some(*at);
                let whose = match (tenant, source) {
                    (Some(tenant), _) => Some(Whose::Tenant(tenant.as_str())),
                    (None, Some(source)) => Some(Whose::Source(source)),
                    (None, None) => None,
                };
                if let Some(whose) = whose {
                    self.walk(turn, whose, &mut walk)?;
                }
            }
        }
        self.pool.write(|client| forget(client, &erasure.target))?;
        // Of the last events tool calls and deliveries were perhaps begun meanwhile.
        self.erase_rows(erasure)?;
        let removed = remove_orphans(&self.pool, &self.is_stopping)?;
        erased.bytes = erased.bytes.saturating_add(removed);
        erased.done_seq = last_seq;
        // Conversations of which nothing is left are not adopted any more.
        lock(&self.registry.shared().known).forget_conversations(last_seq);
        Ok(erased)
    }

    /// Erases what the registry has of events: tool calls, deliveries, and recordings but for
    /// their pieces.
    fn erase_rows(&self, erasure: &Erasure) -> Result<(), Stop> {
        self.registry.erase_tool_calls(&erasure.target).map_err(Stop::Registry)?;
        self.registry.erase_deliveries(&erasure.target, now()).map_err(Stop::Registry)?;
        self.registry.erase_recordings(&erasure.target).map(drop).map_err(Stop::Registry)
    }

    /// Erases events from the first to the last, until there is none.
    fn walk(&self, turn: &mut Turn, whose: Whose<'_>, walk: &mut Walk<'_>) -> Result<(), Stop> {
        let mut limits = self.limits(walk.before)?;
        loop {
            if self.is_stopping.load(Ordering::Relaxed) {
                return Err(Stop::Closing);
            }
            turn.check()?;
            let piece = self.pool.write(|client| erase_piece(client, whose, limits))?;
            let Some(piece) = piece else { return Ok(()) };
            limits.after = piece.last;
            let erased = &mut *walk.erased;
            erased.done_seq = unsigned(piece.last);
            erased.events = erased.events.saturating_add(piece.events);
            erased.bytes = erased.bytes.saturating_add(piece.bytes);
            self.registry.progress_erasure(walk.id, *erased).map_err(Stop::Registry)?;
            self.tell();
            if let Some(hook) = &self.hook.0 {
                hook(walk.erased.events);
            }
        }
    }

    fn limits(&self, before: Option<Timestamp>) -> Result<Limits, Stop> {
        let Some(before) = before.map(Timestamp::millis) else { return Ok(Limits::ALL) };
        let last = self.pool.read(&hookgate_core::tenant::Scope::Operator, |client| {
            spans::last_before(client, before)
        })?;
        Ok(Limits { before, after: Limits::ALL.after, last: signed(unsigned(last)) })
    }

    fn tell(&self) {
        self.progress.send_modify(|it| *it = it.wrapping_add(1));
    }
}

impl Erasing for Eraser {
    fn finish_all(&self) -> Result<(), Stop> {
        let _turn = lock(&self.turn);
        if self.registry.shared().is_away() {
            // It is said already, and looked again in a moment.
            return Err(Stop::Elsewhere);
        }
        // Of a node that began while the database was away.
        self.registry.finish_removals().map_err(Stop::Registry)?;
        // The lock is taken after a look that costs less.
        if self.registry.running_erasures().map_err(Stop::Registry)?.is_empty() {
            return Ok(());
        }
        let mut turn = Turn::take(&self.pool)?;
        let running = self.registry.running_erasures().map_err(Stop::Registry)?;
        self.finish(&mut turn, &running).map(drop)
    }

    fn sweep(&self, sources: &Retention, now: Timestamp) -> Result<u64, Stop> {
        let _turn = lock(&self.turn);
        let mut turn = Turn::take(&self.pool)?;
        while self.pool.write(spans::note)? {}
        // What attempts left that were given up.
        remove_orphans(&self.pool, &self.is_stopping)?;
        let targets = targets(
            &self.registry,
            (sources, now),
            |whose, at| {
                let limits = self.limits(Some(at))?;
                let scope = hookgate_core::tenant::Scope::Operator;
                Ok(self.pool.read(&scope, |client| has_victims(client, whose, limits))?)
            },
            |source, at| {
                let (tenant, source) = (None, Some(source.to_owned()));
                let target = ErasureTarget::Before { at, tenant, source };
                self.pool.write(|client| forget(client, &target))
            },
        )?;
        let mut erasures = Vec::with_capacity(targets.len());
        for target in targets {
            let erasure = self.registry.add_erasure_now(&target, now).map_err(Stop::Registry)?;
            erasures.push(erasure.into_inner());
        }
        self.finish(&mut turn, &erasures)
    }

    fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }
}

/// A walk through events that are to be erased.
struct Walk<'a> {
    /// The erasure.
    id: &'a str,
    before: Option<Timestamp>,
    erased: &'a mut Erased,
}

impl Node {
    pub(crate) fn erase_soon(&self) {
        self.inner.keeper.ring();
    }

    pub(crate) fn erasing(&self) -> watch::Receiver<u64> {
        self.inner.keeper.eraser.progress.subscribe()
    }

    pub(crate) fn set_retention(&self, sources: impl IntoIterator<Item = (String, u32)>) {
        self.inner.keeper.set_retention(sources.into_iter().collect());
    }

    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, Unavailable> {
        let inner = std::sync::Arc::clone(&self.inner);
        let sweeping = tokio::task::spawn_blocking(move || inner.keeper.sweep(now));
        sweeping.await.unwrap_or(Err(Stop::Closing)).map_err(unswept)
    }
}
