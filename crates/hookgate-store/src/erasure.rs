//! Erasing: of a tenant, of a conversation, of what need not be kept longer.
//!
//! What holds:
//!
//! - **The wish is durable before anything is erased**, in the registry's table of erasures.
//!   Whatever stops the process, the next start goes on.
//! - **Nothing slips through.** From the wish on nothing more gets a place as the tenant's
//!   (see `Door::place`) or is decided to be (see `decide.rs`); what had its place before is
//!   in the index when the walk begins.
//! - **The journal first, then the index.** The mark in the journal makes the index forget
//!   the event even when that is made anew; until the index has forgotten it too, the walk
//!   finds it again.
//! - **The head stays**, with its hash; what it says is shown no more.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate_core::secret::MaskKey;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use tokio::sync::watch;

use crate::door::Door;
use crate::embedded::Embedded;
use crate::error::{ReadError, Unavailable};
use crate::index::Victim;
use crate::index::pool::Pool;
use crate::index::victims::{Part, Whose, all_before, swept, unowned_siblings, victims};
use crate::keeper::Erasing;
use crate::layout::LOGS;
use crate::library::Library;
use crate::lock;
use crate::options::Hook;
use crate::projection::{Fold, FoldError};
use crate::record::EventId;
use crate::registry::{Erased, Erasure, ErasureTarget, Registry, RegistryError};
use crate::rejections::{Rejections, now};
use crate::retention::Retention;
use crate::scrub::Scrubbed;

/// Events erased at once: two syncs of the disk, one transaction of the index, and one of
/// the registry for them all.
pub(crate) const ERASED_AT_ONCE: u32 = 512;

/// How long the index may take for a piece of work, before the erasure is begun again.
const INDEX_WAIT_MAX: Duration = Duration::from_mins(5);

/// How long whoever stands in the way of emptying a side file is waited for.
const SIDE_FILE_RETRY: Duration = Duration::from_millis(50);

/// Bytes of a hash that stands for an id: enough that no two are alike by chance.
const HASH_BYTES: usize = 8;

/// What is shown instead of an id that somebody may not see, or that was erased: `sha256:`
/// and 16 hexadecimal digits under the installation's own key. Equal ids look equal.
#[must_use]
pub fn foreign(key: &MaskKey, id: &str) -> String {
    // The same key hashes tokens: what is hashed here is never one of them.
    let hash = key.hash(format!("foreign/{id}").as_bytes());
    format!("sha256:{}", hex::encode(hash.get(..HASH_BYTES).unwrap_or_default()))
}

/// Whether that is what [`foreign`] makes.
pub(crate) fn is_foreign(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:");
    digits
        .is_some_and(|it| it.len() == 2 * HASH_BYTES && it.bytes().all(|it| it.is_ascii_hexdigit()))
}

/// Why an erasure stops before it is done. It is begun again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error("the store is closing")]
    Closing,
    #[error("another node erases now")]
    Elsewhere,
    #[error("the index cannot be changed: {0}")]
    Index(Unavailable),
    #[error("the index cannot be read")]
    Read(#[source] ReadError),
    #[error("the registry cannot be changed")]
    Registry(#[source] RegistryError),
    #[error("conversations cannot be changed")]
    Conversations(#[source] FoldError),
    #[error("bytes could not be erased")]
    Io(#[source] io::Error),
}

impl Stop {
    fn index(error: Unavailable) -> Self {
        match error {
            Unavailable::Closing => Self::Closing,
            error => Self::Index(error),
        }
    }
}

/// Erases. One erasure after the other.
#[derive(Debug)]
pub(crate) struct Eraser {
    pub(crate) registry: Registry,
    pub(crate) door: Arc<Door>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) library: Library,
    pub(crate) rejections: Arc<Rejections>,
    pub(crate) fold: Arc<Fold>,
    /// Held while a decision is made.
    pub(crate) deciding: Arc<Mutex<()>>,
    pub(crate) hook: Hook,
    /// Changes whenever an erasure has come further.
    pub(crate) progress: watch::Sender<u64>,
    pub(crate) turn: Mutex<()>,
    pub(crate) is_stopping: AtomicBool,
}

impl Eraser {
    /// Carries out erasures; gives how many events that were.
    pub(crate) fn finish(&self, erasures: &[Erasure]) -> Result<u64, Stop> {
        if erasures.is_empty() {
            return Ok(0);
        }
        let mut events = 0_u64;
        let mut done = Vec::with_capacity(erasures.len());
        for erasure in erasures {
            done.push(self.carry_out(erasure)?);
        }
        self.scrub(|eraser, from| {
            let scrubbed = eraser.door.have(INDEX_WAIT_MAX, move |index, _| index.scrub(from));
            scrubbed.map_err(Stop::index)
        })?;
        self.scrub(|eraser, from| eraser.fold.scrub(from).map_err(Stop::Conversations))?;
        for erasure in erasures {
            self.registry.unname_erasure(&erasure.id).map_err(Stop::Registry)?;
        }
        self.scrub(|eraser, from| eraser.registry.scrub(from).map_err(Stop::Registry))?;
        for (erasure, erased) in erasures.iter().zip(done) {
            let id = &erasure.id;
            self.registry.finish_erasure(id, erased, now()).map_err(Stop::Registry)?;
            // Deliveries and recordings that were made meanwhile of events read before. Whoever
            // makes some from now on reads anew.
            self.registry.erase_deliveries(&erasure.target, now()).map_err(Stop::Registry)?;
            self.registry.erase_recordings(&erasure.target).map_err(Stop::Registry)?;
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
    fn carry_out(&self, erasure: &Erasure) -> Result<Erased, Stop> {
        let Erasure { id, events, bytes, .. } = erasure;
        let mut erased = Erased { done_seq: 0, events: *events, bytes: *bytes };
        // Who decided before the wish is done now; what was placed before it is in the index.
        drop(lock(&self.deciding));
        let last_seq = self.door.last_seq();
        self.change(|_| Ok(()))?;
        self.erase_rows(erasure)?;
        let mut walk = Walk { id, before: None, erased: &mut erased };
        match &erasure.target {
            ErasureTarget::Tenant(tenant) => {
                self.walk(Whose::Tenant(tenant.as_str()), &mut walk)?;
                let tenant = tenant.to_string();
                self.change(move |index| index.forget_tenant(&tenant, last_seq))?;
            }
            ErasureTarget::Conversation { provider, external_id } => {
                self.walk(Whose::Conversation(provider, external_id), &mut walk)?;
                let (provider, external_id) = (provider.clone(), external_id.clone());
                self.change(move |index| index.forget_conversation(&provider, &external_id))?;
            }
            ErasureTarget::Before { at, tenant, source } => {
                walk.before = Some(*at);
                self.expire(&mut walk, tenant.as_ref(), source.as_deref())?;
            }
        }
        // Of the last events tool calls and deliveries were perhaps begun meanwhile.
        self.erase_rows(erasure)?;
        erased.done_seq = last_seq;
        // Conversations of which nothing is left are out of the index.
        lock(&self.registry.shared().known).forget_conversations(last_seq);
        Ok(erased)
    }

    /// Erases what the registry has of events: tool calls, deliveries, and recordings that
    /// came about after their event was erased.
    fn erase_rows(&self, erasure: &Erasure) -> Result<(), Stop> {
        self.registry.erase_tool_calls(&erasure.target).map_err(Stop::Registry)?;
        self.registry.erase_deliveries(&erasure.target, now()).map_err(Stop::Registry)?;
        self.registry.erase_recordings(&erasure.target).map(drop).map_err(Stop::Registry)
    }

    fn expire(
        &self,
        walk: &mut Walk<'_>,
        tenant: Option<&TenantId>,
        source: Option<&str>,
    ) -> Result<(), Stop> {
        let before = walk.before.unwrap_or_else(|| Timestamp::from_millis(i64::MIN));
        if let Some(tenant) = tenant {
            return self.walk(Whose::Tenant(tenant.as_str()), walk);
        }
        let Some(source) = source else { return Ok(()) };
        self.walk(Whose::Source(source), walk)?;
        self.rejections.expire(source, before).map_err(Stop::Io)?;
        let done = self.read(|connection| all_before(connection, before.millis()))?;
        let name = source.to_owned();
        self.change(move |index| index.set_swept(&name, done))
    }

    /// Whether there is anything to erase.
    pub(crate) fn has_victims(&self, whose: Whose<'_>, before: Timestamp) -> Result<bool, Stop> {
        let after = self.begin(whose)?;
        let part = Part { before: Some(before.millis()), after, limit: 1 };
        Ok(!self.read(|connection| victims(connection, whose, part))?.is_empty())
    }

    /// The place behind which a walk begins.
    fn begin(&self, whose: Whose<'_>) -> Result<u64, Stop> {
        match whose {
            Whose::Source(source) => {
                let swept = self.read(|connection| swept(connection, source))?;
                Ok(swept.saturating_sub(1))
            }
            Whose::Tenant(_) | Whose::Conversation(..) => Ok(0),
        }
    }

    /// Erases events from the first to the last, until there is none.
    fn walk(&self, whose: Whose<'_>, walk: &mut Walk<'_>) -> Result<(), Stop> {
        let before = walk.before.map(Timestamp::millis);
        let after = self.begin(whose)?;
        let mut part = Part { before, after, limit: ERASED_AT_ONCE };
        loop {
            if self.is_stopping.load(Ordering::Relaxed) {
                return Err(Stop::Closing);
            }
            let mut batch = self.read(|connection| victims(connection, whose, part))?;
            let Some(last) = batch.last().map(|it| it.seq) else { return Ok(()) };
            if let (Whose::Tenant(_), None) = (whose, before) {
                let siblings = self.read(|connection| unowned_siblings(connection, &batch))?;
                batch.extend(siblings);
            }
            self.erase(&batch, walk.erased)?;
            part.after = last;
            walk.erased.done_seq = last;
            self.registry.progress_erasure(walk.id, *walk.erased).map_err(Stop::Registry)?;
            self.tell();
            if let Some(hook) = &self.hook.0 {
                hook(walk.erased.events);
            }
        }
    }

    /// Erases events: their payloads, their large bodies and recordings, what the ring of refused requests
    /// has of them, and last what the index says of them.
    fn erase(&self, batch: &[Victim], erased: &mut Erased) -> Result<(), Stop> {
        let mut bytes = 0_u64;
        for log in LOGS {
            let of_log = batch.iter().filter(|it| it.log == log);
            let positions: Vec<_> = of_log.map(|it| it.position).collect();
            let done = self.door.journal().erase_all(log, &positions).map_err(Stop::Io)?;
            bytes = bytes.saturating_add(done.bytes);
            for position in done.damaged {
                tracing::error!(
                    segment = position.segment,
                    offset = position.offset,
                    "an event that is to be erased is damaged: bytes of it may remain in the journal"
                );
            }
        }
        let blobs = batch.iter().filter_map(|it| it.blob);
        let removed = self.library.layout.bodies().remove(blobs).map_err(Stop::Io)?;
        bytes = bytes.saturating_add(removed);
        let ids: HashSet<EventId> = batch.iter().map(|it| it.id).collect();
        let removed = self.registry.erase_recordings_of(&ids).map_err(Stop::Registry)?;
        bytes = bytes.saturating_add(removed);
        self.rejections.erase_of(&ids).map_err(Stop::Io)?;
        let mut seqs: Vec<u64> = batch.iter().map(|it| it.seq).collect();
        seqs.sort_unstable();
        // Before the index forgets where they were.
        self.fold.erase(&seqs).map_err(Stop::Conversations)?;
        self.change(move |index| index.erase(&seqs))?;
        erased.events = erased.events.saturating_add(batch.len() as u64);
        erased.bytes = erased.bytes.saturating_add(bytes);
        Ok(())
    }

    pub(crate) fn read<T>(
        &self,
        read: impl Fn(&rusqlite::Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, Stop> {
        let read =
            |connection: &rusqlite::Connection| read(connection).map_err(ReadError::database);
        self.pool.read(None, read).map_err(Stop::Read)
    }

    /// Changes the index, once everything is in it that has a place by now.
    pub(crate) fn change(
        &self,
        mut change: impl FnMut(&mut crate::index::Index) -> Result<(), rusqlite::Error> + Send + 'static,
    ) -> Result<(), Stop> {
        let done = self.door.have(INDEX_WAIT_MAX, move |index, _| change(index));
        done.map_err(Stop::index)
    }

    /// Leaves nothing that was erased in a database.
    fn scrub(&self, some: impl Fn(&Self, u32) -> Result<Scrubbed, Stop>) -> Result<(), Stop> {
        let mut from = 1;
        loop {
            match some(self, from)? {
                Scrubbed::Busy => self.pause()?,
                Scrubbed::Next(page) => from = page,
                Scrubbed::Done => return Ok(()),
            }
        }
    }

    fn tell(&self) {
        self.progress.send_modify(|it| *it = it.wrapping_add(1));
    }

    /// Somebody reads: waits a moment.
    fn pause(&self) -> Result<(), Stop> {
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(Stop::Closing);
        }
        std::thread::sleep(SIDE_FILE_RETRY);
        Ok(())
    }
}

impl Erasing for Eraser {
    fn finish_all(&self) -> Result<(), Stop> {
        let _turn = lock(&self.turn);
        let running = self.registry.running_erasures().map_err(Stop::Registry)?;
        self.finish(&running).map(drop)
    }

    fn sweep(&self, sources: &Retention, now: Timestamp) -> Result<u64, Stop> {
        Self::sweep(self, sources, now)
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

impl Embedded {
    /// There is something to erase.
    pub(crate) fn erase_soon(&self) {
        self.inner().keeper.ring();
    }

    /// Changes whenever an erasure has come further.
    #[must_use]
    pub(crate) fn erasing(&self) -> watch::Receiver<u64> {
        self.inner().keeper.eraser.progress.subscribe()
    }
}
