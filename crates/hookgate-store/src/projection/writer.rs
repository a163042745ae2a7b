//! The file of the conversations, and the connection that writes into it.

use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use super::write::Tables;
use super::{PREPARED_MAX, of_io, schema, words};
use crate::layout;
use crate::scrub::{Scrubbed, Scrubber};
use crate::sql::{self, Connection, Patience};

/// Pages in memory, in KiB.
const CACHE_KIB: i64 = 8 << 10;

/// The connection that writes. There is one.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    scrubber: Scrubber,
}

impl Writer {
    /// Opens the database at `path`; nothing if it is not there, or not this store's or this
    /// version's.
    pub(super) fn open(path: &Path, store: Uuid) -> Result<Option<Self>, sql::Error> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = with(path)?;
        let pragma =
            |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let found = (pragma("user_version")?, pragma("application_id")?);
        if found != (schema::VERSION, schema::APPLICATION) {
            return Ok(None);
        }
        let writer = Self::of(connection, path);
        let is_its = writer.tables().meta("store")? == Some(store.to_string());
        Ok(is_its.then_some(writer))
    }

    /// Makes a new one at `path`, instead of what may be there.
    pub(super) fn create(path: &Path, store: Uuid) -> Result<Self, sql::Error> {
        layout::remove_database(path).map_err(of_io)?;
        layout::create_private(path).map_err(of_io)?;
        let connection = with(path)?;
        connection.execute_batch(&format!(
            "BEGIN; {} {} PRAGMA user_version = {}; PRAGMA application_id = {}; COMMIT;",
            schema::TABLES,
            words::TABLES,
            schema::VERSION,
            schema::APPLICATION,
        ))?;
        let writer = Self::of(connection, path);
        writer.tables().set_meta("store", &store.to_string())?;
        Ok(writer)
    }

    fn of(connection: rusqlite::Connection, path: &Path) -> Self {
        Self { connection: Connection::sqlite(connection), scrubber: Scrubber::new(path) }
    }

    /// What is in it now.
    pub(super) fn tables(&self) -> Tables<'_> {
        Tables::new(&self.connection)
    }

    /// Does something in one transaction; gives how many conversations there are then, too.
    /// After an error, nothing of it is there.
    pub(super) fn in_transaction<T, E: From<sql::Error>>(
        &self,
        work: impl FnOnce(&Tables<'_>) -> Result<T, E>,
    ) -> Result<(T, u64), E> {
        // No other node is there to have the turn.
        let turn = self.connection.turn(0, Patience::Waits)?;
        let tables = self.tables();
        let done = work(&tables)?;
        let count = tables.finish()?;
        turn.map_or(Ok(Vec::new()), sql::Transaction::commit)?;
        Ok((done, count))
    }

    /// Merges words so that removed ones are in no page; says whether there is more to do.
    pub(super) fn forget_removed(&self) -> Result<bool, sql::Error> {
        let connection = self.connection.as_sqlite();
        Ok(connection.map_or(Ok(false), words::forget_removed)?)
    }

    /// Overwrites what is left between cells.
    pub(super) fn scrub(&mut self, from: u32) -> Result<Scrubbed, sql::Error> {
        let Some(connection) = self.connection.as_sqlite() else { return Ok(Scrubbed::Done) };
        Ok(self.scrubber.scrub(connection, from)?)
    }

    /// Writes everything into the file itself; fails while somebody reads, which does no harm.
    pub(super) fn finish(&self) {
        if let Some(connection) = self.connection.as_sqlite() {
            let _ = crate::scrub::empty_side_file(connection);
        }
    }
}

fn with(path: &Path) -> Result<rusqlite::Connection, rusqlite::Error> {
    let connection = rusqlite::Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", 16_i64 << 20)?;
    // What is erased is overwritten.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    sql::keep_statements(&connection, PREPARED_MAX)?;
    Ok(connection)
}
