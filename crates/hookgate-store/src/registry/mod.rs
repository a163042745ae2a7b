//! The registry: what cannot be made again from the journal. Who the store is, tenants with
//! their keys, bindings and conversations, sources and their URL tokens, sealed rows, what
//! an operator decided later, tool calls and who may make them, destinations and what is
//! delivered to them, recordings, alerts, and erasures.
//!
//! What holds:
//!
//! - **One writer.** Every change goes through [`Registry::write`]: one lock, one transaction,
//!   durable (`synchronous=FULL`) before anybody is told. Tool calls share transactions (see
//!   [`batch`]).
//! - **A change takes effect at once.** What requests ask is in [`memory`]; it is changed
//!   after the commit and before the caller hears of it, under the same lock.
//! - **No key and no token is in the file.** Only their SHA-256 is. They are 32 random bytes,
//!   so a fast digest is enough, and finding one by its digest tells no more of it through
//!   time than the digest itself would.
//!
//! One file a thing; `opening.rs` has the tables.

mod alerts;
mod answers;
mod batch;
pub(crate) mod bindings;
mod checkpoint;
pub(crate) mod columns;
pub(crate) mod conversations;
mod decisions;
mod deliveries;
mod delivery;
mod delivery_lists;
mod destination;
mod destinations;
mod erasures;
mod error;
pub(crate) mod image;
mod keys;
mod lanes;
pub(crate) mod later;
mod leases;
pub(crate) mod memory;
mod nodes;
mod opening;
mod overdue;
mod recording;
pub(crate) mod recordings;
mod sealed;
mod sources;
mod tenants;
mod text;
mod tokens;
mod tool_call;
mod tool_calls;
mod tool_settings;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::sql::{self, Connection, Sight, Transaction, may_block};
use hookgate_core::secret::MaskKey;
use hookgate_core::tenant::Scope;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::alerts::{ALERTS_MAX, Alert, NewAlert};
pub use self::answers::{ANSWER_KEPT, ANSWERS_MAX, Answer, Claim, Claimed};
use self::batch::Batch;
pub use self::bindings::{BINDINGS_MAX, Binding, BindingFilter};
use self::checkpoint::Checkpoints;
pub use self::conversations::{CONVERSATIONS_MAX, Conversation, ConversationFilter};
pub use self::decisions::{Decision, DecisionKind, NumberedDecision};
pub use self::delivery::{
    Attempt, Cursor, Delivery, DeliveryCounts, DeliveryFilter, DeliveryId, DeliveryStatus, Leased,
    Made, NewDelivery, RESPONSE_BYTES_MAX, Replaying, Retried, Settling,
};
pub use self::destination::{
    DESTINATIONS_PER_TENANT_MAX, Destination, DestinationId, NewDestination, NewSecret,
    OVERLAP_MAX, SealedSecrets,
};
pub use self::erasures::{ERASURES_MAX, Erased, Erasure, ErasureTarget};
pub(crate) use self::error::Stop;
pub use self::error::{RegistryError, Rows, Written};
pub use self::keys::{KEYS_PER_TENANT_MAX, TenantKey};
use self::memory::{Effect, Memory};
use self::nodes::Nodes;
pub(crate) use self::nodes::POLL;
pub use self::opening::open_registry;
pub(crate) use self::opening::{COPYING, check_version, open, open_tables, store_id};
pub use self::recording::{
    LeasedRecording, NewRecording, Recording, RecordingCounts, RecordingFilter, RecordingId,
    RecordingState, Unfetched,
};
pub use self::sealed::{
    CREDENTIALS_PER_TENANT_MAX, CredentialAndKey, SEALED_BYTES_MAX, SealedCredential, SealedKey,
};
pub use self::sources::{SETTINGS_BYTES_MAX, SOURCES_MAX, SourceRow};
pub use self::tenants::{Quota, TENANTS_MAX, Tenant};
pub use self::text::{EXTERNAL_ID_BYTES_MAX, NAME_BYTES_MAX};
pub use self::tokens::{GRACE_MAX, TOKENS_MAX, UrlToken};
pub use self::tool_call::{
    ARGUMENTS_BYTES_MAX, Begun, FinishedToolCall, NewToolCall, REPLY_BYTES_MAX, ToolCall,
    ToolCallFilter, ToolCallId, ToolCallState, ToolTimes,
};
pub use self::tool_settings::TOOL_SETTINGS_BYTES_MAX;
use crate::index::pool::Pool;
use crate::layout::Shelf;
use crate::ledger::{HasFailed, Known};
use crate::lock;
use crate::postgres::cached::Snapshot;
use crate::random;
use crate::rejections::now;
use crate::scrub::Scrubber;

/// The registry. Clones share it.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

/// What all clones share, and the ledger with them.
pub(crate) struct Shared {
    path: PathBuf,
    store_id: Uuid,
    mask_key: MaskKey,
    writer: Mutex<Connection>,
    /// For what requests wait for.
    lookups: Mutex<Connection>,
    /// For pages of lists, so that a long one keeps no request waiting.
    lists: Mutex<Connection>,
    memory: RwLock<Memory>,
    /// Grows with each change of what is in `memory`.
    changes: AtomicU64,
    has_tenants: AtomicBool,
    sources_version: watch::Sender<u64>,
    /// Grows with each change of the destinations.
    destinations_version: watch::Sender<u64>,
    /// Grows when a delivery may have become due.
    deliveries_version: watch::Sender<u64>,
    /// Grows with each change of the recordings.
    recordings_version: watch::Sender<u64>,
    /// Where the files of recordings are; nothing where none are kept.
    recordings: Option<Shelf>,
    /// What the ledger has in memory. Locked after `writer` and before `memory`.
    pub(crate) known: Mutex<Known>,
    /// Statements that the ledger asked a database.
    pub(crate) statements: AtomicU64,
    /// Changes to tool calls that wait to be committed together.
    batch: Batch,
    /// Where adopted conversations are; empty until the store has an index.
    pub(crate) index: OnceLock<Arc<Pool>>,
    /// What other nodes did; nothing if there is only this one.
    nodes: Option<Nodes>,
    /// The database is away: nobody waits for it.
    is_away: AtomicBool,
    has_spool: AtomicBool,
    is_closed: AtomicBool,
    /// Nothing where there is no side file, or no thread for it.
    checkpoints: Option<Checkpoints>,
    /// Last, so that its file is closed after the connections.
    scrubber: Mutex<Scrubber>,
}

impl Registry {
    /// Who the store is.
    pub(crate) fn store_id(&self) -> Uuid {
        self.shared.store_id
    }

    /// The key under which header tokens are hashed.
    pub(crate) fn mask_key(&self) -> &MaskKey {
        &self.shared.mask_key
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Grows with each change of what [`Self::snapshot`] has of tenants, keys and sources.
    pub(crate) fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Acquire)
    }

    /// What is known now, to be written down.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let shared = &self.shared;
        let known = lock(&shared.known);
        Snapshot {
            store_id: shared.store_id,
            mask_key: shared.mask_key.clone(),
            at: now(),
            memory: shared.memory().image(),
            ledger: known.image(),
        }
    }

    /// Says where adopted conversations are, and how to learn that an event which has its
    /// place was lost on its way to the disk.
    pub(crate) fn attach(&self, index: Arc<Pool>, has_failed: HasFailed) {
        // The first one stays; a store has one index.
        let _ = self.shared.index.set(index);
        lock(&self.shared.known).attach(has_failed);
    }

    /// Takes no more changes: another process may open the store from now on. Waits for
    /// the one that is under way, and keeps what is queued.
    pub fn close(&self) {
        self.commit_waiting();
        let writer = lock(&self.shared.writer);
        self.shared.is_closed.store(true, Ordering::Release);
        if let Some(checkpoints) = &self.shared.checkpoints {
            checkpoints.stop();
        }
        if let Some(writer) = writer.as_sqlite() {
            // What the side file holds goes into the file itself; not needed, only tidy.
            let _ = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        }
    }

    /// Changes something: in one transaction, then in memory.
    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<(T, Vec<Effect>), Stop> + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.blocking(doing, move |registry| registry.write_now(doing, change)).await
    }

    /// The same on a thread that may block.
    fn write_now<T>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<(T, Vec<Effect>), Stop>,
    ) -> Result<T, RegistryError> {
        let mut writer = lock(&self.shared.writer);
        self.write_with(&mut writer, change).map_err(|stop| stop.error(doing))
    }

    /// The same for who holds the writer already.
    fn write_with<T>(
        &self,
        writer: &mut Connection,
        change: impl FnOnce(&Transaction<'_>) -> Result<(T, Vec<Effect>), Stop>,
    ) -> Result<T, Stop> {
        if self.shared.is_closed.load(Ordering::Acquire) {
            return Err(Stop::Closed);
        }
        self.shared.check_there()?;
        let transaction = writer.transaction()?;
        let (value, effects) = change(&transaction)?;
        if let Some(topic) = nodes::topic_of(&effects) {
            transaction.announce(topic);
        }
        let counted = transaction.commit()?;
        self.shared.apply(effects);
        if let Some(nodes) = &self.shared.nodes {
            nodes.note_own(&counted);
        }
        Ok(value)
    }

    /// Reads a page of something.
    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.blocking(doing, move |registry| registry.read_now(doing, read)).await
    }

    /// The same of what a scope covers.
    async fn read_scoped<T: Send + 'static>(
        &self,
        doing: &'static str,
        scope: &Scope,
        read: impl FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let scope = scope.clone();
        self.blocking(doing, move |registry| registry.read_as(&scope, doing, read)).await
    }

    /// The same on a thread that may block.
    fn read_now<T>(
        &self,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Stop>,
    ) -> Result<T, RegistryError> {
        self.read_as(&Scope::Operator, doing, read)
    }

    /// The same of what a scope covers, should `read` forget to say so: PostgreSQL looks after
    /// it as well.
    fn read_as<T>(
        &self,
        scope: &Scope,
        doing: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Stop>,
    ) -> Result<T, RegistryError> {
        let there = self.shared.check_there().map_err(Stop::from);
        there.map_err(|stop| stop.error(doing))?;
        let lists = lock(&self.shared.lists);
        lists.read(Sight::of(scope), read).map_err(|stop| stop.error(doing))
    }

    /// Runs what blocks where it may. It goes on when nobody waits any more.
    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Self) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let registry = self.clone();
        let done = tokio::task::spawn_blocking(move || may_block(|| work(&registry))).await;
        done.unwrap_or_else(|error| {
            Err(RegistryError::Unavailable { doing, source: io::Error::other(error) })
        })
    }
}

impl Shared {
    /// Changes what is in memory as the database was changed. Whoever asks from now on
    /// sees it.
    fn apply(&self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        let are_sources = effects.iter().any(Effect::is_of_sources);
        {
            let mut known = lock(&self.known);
            let mut memory = self.memory_mut();
            for effect in effects {
                known.note(&effect);
                memory.apply(effect);
            }
            self.changes.fetch_add(1, Ordering::Release);
            self.has_tenants.store(!memory.tenants.is_empty(), Ordering::Release);
        }
        if are_sources {
            self.sources_version.send_modify(|version| *version = version.saturating_add(1));
        }
    }

    /// The database is away, or there again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Release);
    }

    /// There is a spool: nobody waits for long.
    pub(crate) fn use_spool(&self) {
        self.has_spool.store(true, Ordering::Release);
    }

    pub(crate) fn has_spool(&self) -> bool {
        self.has_spool.load(Ordering::Acquire)
    }

    /// Whether the database is away, and nobody waits for it.
    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Acquire)
    }

    fn check_there(&self) -> Result<(), sql::Error> {
        if self.is_away() {
            return Err(sql::Error::Away("it is away, and the spool is in use".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn has_tenants(&self) -> bool {
        self.has_tenants.load(Ordering::Acquire)
    }

    pub(crate) fn memory(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory_mut(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the database what a request waits for.
    pub(crate) fn look_up<T>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, sql::Error>,
    ) -> Result<T, sql::Error> {
        self.check_there()?;
        lock(&self.lookups).read(Sight::All, ask)
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

/// The digest under which a key or a token is known.
fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// `prefix` and 16 random hexadecimal digits: an id.
fn new_id(prefix: &str) -> Result<String, Stop> {
    let mut bytes = [0; 8];
    random::fill(&mut bytes).map_err(Stop::Random)?;
    Ok(format!("{prefix}{}", hex::encode(bytes)))
}

/// `prefix` and 32 random bytes in base64url: a key or a token, and the four characters by
/// which people tell it from others.
fn new_secret(prefix: &str) -> Result<(String, String), Stop> {
    use base64::Engine as _;
    let mut bytes = [0; 32];
    random::fill(&mut bytes).map_err(Stop::Random)?;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let hint = text.get(text.len().saturating_sub(HINT_CHARS)..).unwrap_or_default().to_owned();
    Ok((format!("{prefix}{text}"), hint))
}

/// Characters of a key or a token that are shown: 24 of its 256 bits.
const HINT_CHARS: usize = 4;

/// That there is room for one more of what is counted in `counts`.
fn check_count(connection: &Connection, what: &'static str, max: u64) -> Result<(), Stop> {
    let count = "SELECT n FROM counts WHERE what = ?1";
    let count: i64 = connection.prepare_cached(count)?.query_row([what], |row| row.get(0))?;
    if u64::try_from(count).unwrap_or(0) >= max {
        return Err(RegistryError::TooMany { what, max }.into());
    }
    Ok(())
}
