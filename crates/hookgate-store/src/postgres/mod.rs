//! The store in PostgreSQL: the journal is a table, several nodes share it.
//!
//! One file a concern, each with the verbs of [`Node`] that belong to it. The way in:
//! `append.rs` (an event is made ready), `queue.rs` (it waits), `writer.rs` (the thread that
//! commits), `way.rs` and `spooling.rs` (the database or the spool), `drain.rs` (back from the
//! spool), `batch.rs` (a transaction), `large.rs` (large bodies), `rings.rs` (refused
//! requests), `recordings.rs` (what is fetched).

mod append;
mod arrival;
mod batch;
pub(crate) mod cached;
mod caching;
mod check;
mod connect;
mod conversations;
mod counters;
mod decide;
mod drain;
mod erase;
mod fault;
mod file;
mod folded;
pub(crate) mod guard;
mod large;
pub(crate) mod listen;
pub(crate) mod migrations;
mod opening;
mod outage;
mod owner;
mod pieces;
mod pool;
mod query;
mod queue;
mod read;
#[cfg(test)]
mod reading_tests;
mod recordings;
mod rings;
mod role;
mod seed;
mod spans;
mod spool;
mod spooling;
mod statement;
#[cfg(test)]
mod tests;
mod tls;
mod url;
mod victims;
mod way;
mod wire;
mod writer;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use hookgate_core::secret::MaskKey;
use hookgate_journal::{Health, Statistics};
use postgres::Client;
use tokio::sync::watch;
use uuid::Uuid;

use self::append::UPLOADS_MAX;
pub use self::check::{check as check_postgres, check_database};
use self::connect::PORT_OF_POOLERS;
use self::erase::Eraser;
pub use self::fault::{ConnectError, ConnectFault};
use self::folded::Folder;
pub(crate) use self::listen::Listed;
pub use self::listen::Listener;
pub use self::migrations::rehearse;
pub(crate) use self::outage::STATEMENT_MAX;
pub(crate) use self::pieces::{Of, Pieces};
use self::pool::{Pool, discard};
pub use self::role::{APP_ROLE, RoleError, ensure_role};
pub use self::seed::{
    SEED_INTEGRATIONS_MAX, SeedError, SeedIntegration, SeedIntegrations, seed_integrations,
};
pub use self::spool::{
    SPOOL_BYTES_MIN, SPOOL_FOLDER, SpoolContents, look_at_spool, look_for_left_spool,
};
pub(crate) use self::statement::storable;
pub use self::url::{PgSettings, PgUrlError, is_url};
pub(crate) use self::writer::Connect;
use self::writer::Desk;
use crate::error::Unavailable;
use crate::keeper::Keeper;
use crate::ledger::Ledger;
use crate::lock;
use crate::options::Options;
use crate::peers::Shares;
use crate::random::Random;
use crate::registry::Registry;
use crate::snapshot::{self, Snapshot};
use crate::space::Space;

/// A node of a store in PostgreSQL. Clones share it. What its verbs promise stands in
/// `store.rs`.
#[derive(Clone)]
pub(crate) struct Node {
    inner: Arc<Inner>,
    /// Ends the threads with the last clone: they have the rest themselves.
    _end: Arc<End>,
}

/// What all clones share.
struct Inner {
    registry: Registry,
    ledger: Ledger,
    options: Options,
    connect: Arc<Connect>,
    /// What is shared with the thread that commits.
    desk: Arc<Desk>,
    ring: rings::Ring,
    recordings: recordings::Recordings,
    uploads: [Mutex<Option<Client>>; UPLOADS_MAX],
    upload_turn: AtomicUsize,
    unproven: Shares,
    random: Mutex<Random>,
    space: Space,
    volatile: Option<&'static str>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Dropped, the thread that writes the cache down ends.
    caching: Mutex<Option<Sender<()>>>,
    /// Hears what other nodes change.
    listener: Mutex<Option<Listener>>,
    /// For who reads, decides and erases.
    pool: Pool,
    /// Follows conversations.
    folder: Arc<Folder>,
    /// Erases.
    keeper: Keeper<Eraser>,
}

/// Closes a node.
struct End(Arc<Inner>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Node {
    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The connections of who reads, decides and erases.
    fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn mask_key(&self) -> &MaskKey {
        self.inner.registry.mask_key()
    }

    pub(crate) fn id(&self) -> Uuid {
        self.inner.registry.store_id()
    }

    pub(crate) fn listed(&self) -> watch::Receiver<u64> {
        self.inner.desk.listed.subscribe()
    }

    /// Asks nobody: what only the database knows is as it was when it was last heard of.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let inner = &*self.inner;
        let desk = &*inner.desk;
        let load = |it: &AtomicU64| it.load(Ordering::Relaxed);
        Snapshot {
            health: match desk.gate() {
                Ok(()) => Health::Healthy,
                Err(Unavailable::DiskFull) => Health::DiskFull,
                Err(_) => Health::Failed,
            },
            pending: desk.queue.pending(),
            next_seq: desk.listed.borrow().saturating_add(1),
            journal: lock(&desk.counters).statistics(),
            rejections_journal: none(),
            // The rows are in the transaction of the event.
            index: snapshot::Index { lag_max: inner.options.index_lag_max, ..Default::default() },
            conversations: self.folding(),
            dedupe: snapshot::Dedupe { repetitions: load(&desk.repetitions), ..Default::default() },
            unproven: snapshot::Unproven { dropped: inner.unproven.dropped() },
            rejections: snapshot::Rejections {
                kept: load(&inner.ring.kept),
                blob_bytes: load(&inner.ring.blob_bytes),
                dropped: load(&inner.ring.dropped),
            },
            blobs: snapshot::Blobs {
                in_flight_bytes: desk.blobs.in_flight_bytes(),
                in_flight_bytes_max: inner.options.blobs_in_flight_bytes_max,
            },
            disk: inner.space.look(),
            volatile: inner.volatile,
            recovered: snapshot::Recovered::default(),
            spool: self.spool(),
        }
    }

    pub(crate) fn close(&self) {
        self.inner.close();
    }
}

impl Inner {
    /// Commits what waits, and ends the threads. Blocks. Twice is fine.
    fn close(&self) {
        self.keeper.stop();
        self.folder.stop();
        drop(lock(&self.caching).take());
        self.recordings.close();
        drop(lock(&self.listener).take());
        self.desk.queue.close();
        self.ring.close();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            if thread.join().is_err() {
                tracing::error!("a thread that writes to PostgreSQL ended in a panic");
            }
        }
        if let Some(spooling) = &self.desk.spooling {
            spooling.close();
        }
        self.keeper.join();
        discard(self.uploads.iter().filter_map(|it| lock(it).take()).collect());
        self.registry.close();
    }
}

fn none() -> Statistics {
    counters::Counters::default().statistics()
}

impl fmt::Debug for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Node").finish_non_exhaustive()
    }
}
