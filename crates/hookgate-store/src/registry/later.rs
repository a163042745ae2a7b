//! What the index needs of the registry, read beside whoever writes it: decisions on stored
//! events, and who was erased. And keys of events whose segments are gone.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::OpenFlags;
use uuid::Uuid;

use super::decisions::{self, NumberedDecision};
use super::{Registry, RegistryError};
use crate::bloom::{Bloom, Key};
use crate::dedupe::Known;
use crate::sql::{self, Connection, OptionalExtension, Row, params};

/// How long a statement waits for the writer.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Decisions read at once.
pub(crate) const DECISIONS_AT_ONCE: u32 = 1_000;

/// A connection that only reads.
#[derive(Debug)]
pub(crate) struct Later {
    /// Nothing if there is no registry, or one of before there were decisions.
    connection: Option<Connection>,
}

impl Later {
    /// Reads the registry at `path`, if there is one.
    pub(crate) fn open(path: &Path) -> Result<Self, rusqlite::Error> {
        if !path.exists() {
            return Ok(Self { connection: None });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_MAX)?;
        let tables = "SELECT 1 FROM sqlite_schema WHERE name = 'decisions'";
        let has_tables = connection.prepare(tables)?.exists([])?;
        Ok(Self { connection: has_tables.then(|| Connection::sqlite(connection)) })
    }

    /// The decisions behind this one, in order.
    pub(crate) fn decisions_after(&self, n: u64) -> Result<Vec<NumberedDecision>, rusqlite::Error> {
        match &self.connection {
            Some(connection) => Ok(decisions::after(connection, n, DECISIONS_AT_ONCE)?),
            None => Ok(Vec::new()),
        }
    }

    /// Tenants that were erased, and up to which place.
    pub(crate) fn erased_tenants(&self) -> Result<HashMap<String, u64>, rusqlite::Error> {
        let Some(connection) = &self.connection else { return Ok(HashMap::new()) };
        let mut select = connection.prepare(
            "SELECT tenant, max(done_seq) FROM erasures WHERE state = 'done' \
             AND tenant IS NOT NULL AND before IS NULL GROUP BY tenant",
        )?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, whole(row.get(1)?)));
        Ok(select.query_map([], read)?.collect::<Result<_, _>>()?)
    }
}

/// A key of an event whose segment is gone: who repeats it is still told so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DroppedKey {
    pub(crate) key: Key,
    pub(crate) known: Known,
}

impl Registry {
    /// Keeps keys of events whose segments are about to go. Blocks.
    pub(crate) fn keep_keys(&self, keys: &[DroppedKey]) -> Result<(), RegistryError> {
        self.write_now("keeping the keys of old events", |connection| {
            let mut insert = connection.prepare_cached(
                "INSERT INTO dropped_keys (key, seq, id, digest) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (key) DO UPDATE \
                 SET seq = excluded.seq, id = excluded.id, digest = excluded.digest",
            )?;
            for DroppedKey { key, known } in keys {
                let seq = i64::try_from(known.seq).unwrap_or(i64::MAX);
                let digest = known.digest.unwrap_or_default();
                insert.execute(params![key, seq, known.id.as_bytes(), digest])?;
            }
            Ok(((), Vec::new()))
        })
    }

    /// The event that an old key stood for. Blocks.
    pub(crate) fn dropped_by_key(&self, key: &Key) -> Result<Option<Known>, sql::Error> {
        self.shared.look_up(|connection| {
            let select = "SELECT seq, id, digest FROM dropped_keys WHERE key = ?1";
            connection.prepare_cached(select)?.query_row([key], known).optional()
        })
    }

    /// The event that stood at a place. Blocks.
    pub(crate) fn dropped_by_seq(&self, seq: u64) -> Result<Option<Known>, sql::Error> {
        self.shared.look_up(|connection| {
            let select = "SELECT seq, id, digest FROM dropped_keys WHERE seq = ?1";
            let seq = i64::try_from(seq).unwrap_or(i64::MAX);
            connection.prepare_cached(select)?.query_row([seq], known).optional()
        })
    }

    /// How many such keys there are.
    pub(crate) fn dropped_keys(&self) -> Result<u64, RegistryError> {
        self.read_now("counting old keys", |connection| {
            let count = "SELECT count(*) FROM dropped_keys";
            Ok(whole(connection.query_row(count, [], |row| row.get(0))?))
        })
    }

    /// Adds all of them to a filter.
    pub(crate) fn fill(&self, bloom: &mut Bloom) -> Result<(), RegistryError> {
        self.read_now("reading old keys", |connection| {
            let mut select = connection.prepare("SELECT key FROM dropped_keys")?;
            for key in select.query_map([], |row| row.get(0))? {
                bloom.insert(&key?);
            }
            Ok(())
        })
    }
}

fn known(row: &Row<'_>) -> Result<Known, sql::Error> {
    Ok(Known {
        seq: whole(row.get(0)?),
        id: Uuid::from_bytes(row.get(1)?),
        digest: Some(row.get(2)?),
    })
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
