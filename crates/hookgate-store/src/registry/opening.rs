//! The registry: what cannot be made again from the journal.
//!
//! For now that is who the store is and the key of its masked tokens. Tables to come are
//! migrations in [`MIGRATIONS`]; a database is never opened by software that knows fewer of
//! them than it has.

use std::fs::File;
use std::path::Path;

use hookgate_core::secret::MaskKey;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use uuid::Uuid;

use crate::error::OpenError;
use crate::layout;
use crate::random;

/// Marks the file as a registry of Hookgate, in `application_id`.
const APPLICATION: i64 = 0x484b_4752;

/// The statements that lead from each version to the next. Never changed, only added to.
const MIGRATIONS: &[&str] =
    &["CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;"];

/// What a store knows about itself.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) store_id: Uuid,
    pub(crate) mask_key: MaskKey,
}

/// Looks whether the registry at `path`, if there is one, can be opened by this version.
/// Changes nothing.
pub(crate) fn check_version(path: &Path) -> Result<(), OpenError> {
    if std::fs::metadata(path).map_or(true, |it| it.len() == 0) {
        return Ok(());
    }
    let failed = |error| OpenError::database("reading", path, error);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    version_of(&connection, path).map(drop)
}

/// Opens the registry at `path`, creating or migrating it.
pub(crate) fn open(path: &Path) -> Result<Registry, OpenError> {
    let is_new = !path.exists();
    layout::create_private(path).map_err(|error| OpenError::io("creating", path, error))?;
    let failed = |doing| move |error| OpenError::database(doing, path, error);
    let mut connection = Connection::open(path).map_err(failed("opening"))?;
    connection.pragma_update(None, "synchronous", "FULL").map_err(failed("opening"))?;
    let version = version_of(&connection, path)?;
    migrate(&mut connection, version).map_err(failed("migrating"))?;
    let registry = read_or_make(&mut connection, path)?;
    connection.close().map_err(|(_, error)| OpenError::database("closing", path, error))?;
    if is_new {
        let synced = File::open(path).and_then(|it| it.sync_all());
        let parent = path.parent().unwrap_or(path);
        synced
            .and_then(|()| layout::sync_folder(parent))
            .map_err(|error| OpenError::io("syncing", path, error))?;
    }
    Ok(registry)
}

fn version_of(connection: &Connection, path: &Path) -> Result<usize, OpenError> {
    let pragma = |name: &str| {
        let read = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        read.map_err(|error| OpenError::database("reading", path, error))
    };
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    let (found, known) = (u64::try_from(version).unwrap_or(u64::MAX), MIGRATIONS.len() as u64);
    if found > known {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found, known });
    }
    if version != 0 && application != APPLICATION {
        return Err(OpenError::Corrupt(path.to_owned()));
    }
    Ok(usize::try_from(found).unwrap_or(0))
}

fn migrate(connection: &mut Connection, from: usize) -> Result<(), rusqlite::Error> {
    for (version, statements) in (1_i64..).zip(MIGRATIONS).skip(from) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(statements)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", version)?;
        transaction.commit()?;
    }
    Ok(())
}

fn read_or_make(connection: &mut Connection, path: &Path) -> Result<Registry, OpenError> {
    let failed = |error| OpenError::database("reading", path, error);
    let transaction = connection.transaction().map_err(failed)?;
    let value = |name: &str, fresh: &[u8]| -> Result<Vec<u8>, rusqlite::Error> {
        let select = "SELECT value FROM meta WHERE name = ?1";
        if let Some(value) = transaction.query_row(select, [name], |row| row.get(0)).optional()? {
            return Ok(value);
        }
        transaction.execute("INSERT INTO meta VALUES (?1, ?2)", rusqlite::params![name, fresh])?;
        Ok(fresh.to_vec())
    };
    let mut fresh = [0; 48];
    random::fill(&mut fresh).map_err(|error| OpenError::io("drawing a key for", path, error))?;
    let (fresh_key, fresh_id) = fresh.split_at(32);
    let mask_key = value("mask_key", fresh_key).map_err(failed)?;
    let store_id = value("store_id", fresh_id).map_err(failed)?;
    transaction.commit().map_err(failed)?;
    let damaged = || OpenError::Corrupt(path.to_owned());
    let mask_key: [u8; 32] = mask_key.try_into().map_err(|_| damaged())?;
    let store_id: [u8; 16] = store_id.try_into().map_err(|_| damaged())?;
    Ok(Registry {
        store_id: uuid::Builder::from_random_bytes(store_id).into_uuid(),
        mask_key: MaskKey::new(mask_key),
    })
}
