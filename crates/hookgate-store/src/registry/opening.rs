//! Opening the registry: what is loaded from it, wherever it is kept.

mod postgres;
mod sqlite;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, RwLock};

use hookgate_core::secret::MaskKey;
use tokio::sync::watch;
use uuid::Uuid;

pub use self::sqlite::open_registry;
pub(crate) use self::sqlite::{check_version, open, open_tables};
use super::batch::Batch;
use super::checkpoint::Checkpoints;
use super::memory::Memory;
use super::nodes::Nodes;
use super::{Registry, Shared};
use crate::error::OpenError;
use crate::layout::Shelf;
use crate::ledger::Known;
use crate::random;
use crate::scrub::Scrubber;
use crate::sql::{Connection, Error, OptionalExtension, params};

/// What a registry is made of when it is opened.
struct Opened {
    /// Where it is, for people.
    path: PathBuf,
    store_id: Uuid,
    mask_key: MaskKey,
    memory: Memory,
    writer: Connection,
    lookups: Connection,
    lists: Connection,
    checkpoints: Option<Checkpoints>,
    /// What other nodes did, if there may be others.
    nodes: Option<Nodes>,
    /// Where the files of recordings are, if they may be kept.
    recordings: Option<Shelf>,
}

impl Opened {
    fn registry(self) -> Registry {
        let scrubber = Scrubber::new(&self.path);
        let shared = Shared {
            path: self.path,
            store_id: self.store_id,
            mask_key: self.mask_key,
            writer: Mutex::new(self.writer),
            lookups: Mutex::new(self.lookups),
            lists: Mutex::new(self.lists),
            has_tenants: AtomicBool::new(!self.memory.tenants.is_empty()),
            memory: RwLock::new(self.memory),
            changes: AtomicU64::new(0),
            sources_version: watch::Sender::new(0),
            destinations_version: watch::Sender::new(0),
            deliveries_version: watch::Sender::new(0),
            recordings_version: watch::Sender::new(0),
            recordings: self.recordings,
            known: Mutex::new(Known::default()),
            statements: AtomicU64::new(0),
            batch: Batch::default(),
            index: OnceLock::new(),
            nodes: self.nodes,
            is_away: AtomicBool::new(false),
            has_spool: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            checkpoints: self.checkpoints,
            scrubber: Mutex::new(scrubber),
        };
        // From a thread of whoever is first it would have the priority of a delivery. If it
        // cannot be started now, whoever is first tries again.
        let _ = shared.batch.start();
        Registry { shared: Arc::new(shared) }
    }
}

/// Who the store is: read, or drawn if nobody did so before.
fn read_or_make(connection: &mut Connection) -> Result<(Vec<u8>, Vec<u8>), WhoError> {
    let transaction = connection.transaction()?;
    let unfinished = "SELECT value FROM meta WHERE name = ?1";
    let unfinished: Option<Vec<u8>> =
        transaction.query_row(unfinished, [COPYING], |row| row.get(0)).optional()?;
    if unfinished.is_some() {
        return Err(WhoError::Unfinished);
    }
    let value = |name: &str, fresh: &[u8]| -> Result<Vec<u8>, Error> {
        let select = "SELECT value FROM meta WHERE name = ?1";
        if let Some(value) = transaction.query_row(select, [name], |row| row.get(0)).optional()? {
            return Ok(value);
        }
        transaction
            .execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![name, fresh])?;
        Ok(fresh.to_vec())
    };
    let mut fresh = [0; 48];
    random::fill(&mut fresh).map_err(WhoError::Random)?;
    let (fresh_key, fresh_id) = fresh.split_at(32);
    let mask_key = value("mask_key", fresh_key)?;
    let store_id = value("store_id", fresh_id)?;
    transaction.commit()?;
    Ok((mask_key, store_id))
}

/// The name in `meta` of what says that a copy into this store is not finished.
pub(crate) const COPYING: &str = "copying";

enum WhoError {
    /// It is a copy that was not finished.
    Unfinished,
    Database(Error),
    Random(io::Error),
}

impl From<Error> for WhoError {
    fn from(error: Error) -> Self {
        Self::Database(error)
    }
}

/// The same as what it is.
fn who((mask_key, drawn): (Vec<u8>, Vec<u8>), path: &Path) -> Result<(Uuid, MaskKey), OpenError> {
    let damaged = || OpenError::Corrupt(path.to_owned());
    let mask_key: [u8; 32] = mask_key.try_into().map_err(|_| damaged())?;
    let drawn: [u8; 16] = drawn.try_into().map_err(|_| damaged())?;
    Ok((store_id(drawn), MaskKey::new(mask_key)))
}

/// The id of a store whose 16 bytes were drawn: an id has bits of its own in it.
pub(crate) fn store_id(drawn: [u8; 16]) -> Uuid {
    uuid::Builder::from_random_bytes(drawn).into_uuid()
}
