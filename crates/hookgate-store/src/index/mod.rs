//! The index: what lists filter by, in SQLite. Disposable, made again from the journal.

pub(crate) mod adopted;
pub(crate) mod indexer;
mod later;
pub(crate) mod pool;
pub(crate) mod query;
mod row;
mod schema;
pub(crate) mod victims;
mod write;

use std::collections::HashMap;
use std::path::Path;

use hookgate_journal::{LogId, Position};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

pub(crate) use self::later::{Dropped, Victim, decisions_through};
pub(crate) use self::row::{Adoption, Change, Placed, Row};
use crate::bloom::Bloom;
use crate::layout::{self, LOGS};
use crate::scrub::Scrubber;
use crate::sql::keep_statements;

/// Pages of the index in memory, in KiB: the upper levels of every tree of a store with
/// tens of millions of events.
const CACHE_KIB: i64 = 32 << 10;

/// Statements that each connection keeps prepared.
const PREPARED_MAX: usize = 32;

/// Pages of a connection that only reads, in KiB.
const READER_CACHE_KIB: i64 = 4 << 10;

/// Words in memory. More than that is no vocabulary; then it is begun anew.
const WORDS_MAX: usize = 10_000;

/// Why there is no index to go on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("there is none")]
    Absent,
    #[error("it has format {0}")]
    OtherFormat(i64),
    #[error("it is damaged: {0}")]
    Damaged(String),
    #[error("it cannot be opened")]
    Database(#[from] rusqlite::Error),
}

/// How far the index has followed one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The last record that is in it.
    pub(crate) seq: u64,
    /// Where that lies; nothing before the first.
    pub(crate) position: Option<Position>,
}

/// The index, open for writing.
#[derive(Debug)]
pub(crate) struct Index {
    connection: Connection,
    words: HashMap<String, i64>,
    progress: [Progress; 2],
    /// Nothing for a temporary one.
    scrubber: Option<Scrubber>,
    /// Tenants that were erased, and up to which place: what names them is not noted.
    forgotten: HashMap<String, u64>,
}

impl Index {
    /// Opens the index at `path` to go on with it.
    pub(crate) fn open(path: &Path) -> Result<Self, Unusable> {
        if !path.exists() {
            return Err(Unusable::Absent);
        }
        let mut index = Self::with(Connection::open(path)?)?;
        index.scrubber = Some(Scrubber::new(path));
        index.check_format()?;
        index.check_after_a_crash()?;
        index.set_meta("open_on", &boot_id())?;
        index.with_progress()
    }

    /// Makes a new one at `path`, instead of what may be there.
    pub(crate) fn create(path: &Path) -> Result<Self, Unusable> {
        let io = |error: std::io::Error| Unusable::Damaged(error.to_string());
        layout::remove_database(path).map_err(io)?;
        layout::create_private(path).map_err(io)?;
        let mut index = Self::with(Connection::open(path)?)?;
        index.scrubber = Some(Scrubber::new(path));
        index.make_tables()?;
        index.set_meta("open_on", &boot_id())?;
        Ok(index)
    }

    /// Makes one in a temporary file that goes with it.
    pub(crate) fn temporary() -> Result<Self, Unusable> {
        // An empty name: a file of SQLite's own, on disk only when it grows.
        let index = Self::with(Connection::open("")?)?;
        index.make_tables()?;
        Ok(index)
    }

    fn with(connection: Connection) -> Result<Self, Unusable> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.pragma_update(None, "journal_size_limit", 64_i64 << 20)?;
        // What is erased is overwritten. Always on: a page that is split leaves copies too.
        connection.pragma_update(None, "secure_delete", true)?;
        keep_statements(&connection, PREPARED_MAX)?;
        let progress = [Progress::default(); 2];
        let (words, forgotten) = (HashMap::new(), HashMap::new());
        Ok(Self { connection, words, progress, scrubber: None, forgotten })
    }

    fn make_tables(&self) -> Result<(), rusqlite::Error> {
        let version = schema::VERSION;
        let application = schema::APPLICATION;
        self.connection.execute_batch(&format!(
            "BEGIN; {} PRAGMA user_version = {version}; PRAGMA application_id = {application}; COMMIT;",
            schema::TABLES
        ))
    }

    fn check_format(&self) -> Result<(), Unusable> {
        let pragma =
            |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (version, application) = (pragma("user_version")?, pragma("application_id")?);
        if (version, application) != (schema::VERSION, schema::APPLICATION) {
            return Err(Unusable::OtherFormat(version));
        }
        Ok(())
    }

    /// Checks every page if the *machine* went down under it. When only the process did,
    /// what it wrote is whole: the system had it.
    fn check_after_a_crash(&self) -> Result<(), Unusable> {
        let open_on: Option<String> = self.meta("open_on")?;
        let Some(open_on) = open_on.filter(|it| !it.is_empty()) else { return Ok(()) };
        if open_on == boot_id() && !open_on.starts_with("unknown") {
            return Ok(());
        }
        let verdict: String =
            self.connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict == "ok" { Ok(()) } else { Err(Unusable::Damaged(verdict)) }
    }

    fn with_progress(mut self) -> Result<Self, Unusable> {
        self.progress = progress_of(&self.connection)?;
        Ok(self)
    }

    /// How far it has followed a log.
    pub(crate) fn progress(&self, log: LogId) -> Progress {
        self.progress.get(log.index()).copied().unwrap_or_default()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Says who was erased, before anything is taken in.
    pub(crate) fn set_forgotten(&mut self, forgotten: HashMap<String, u64>) {
        self.forgotten = forgotten;
    }

    pub(crate) fn meta<T: rusqlite::types::FromSql>(
        &self,
        name: &str,
    ) -> Result<Option<T>, rusqlite::Error> {
        let mut select =
            self.connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
        select.query_row([name], |row| row.get(0)).optional()
    }

    pub(crate) fn set_meta(
        &self,
        name: &str,
        value: &dyn rusqlite::ToSql,
    ) -> Result<(), rusqlite::Error> {
        let mut replace =
            self.connection.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
        replace.execute(rusqlite::params![name, value]).map(drop)
    }

    /// A filter over the keys in the table `dedupe`, and how many these are.
    /// There will be `more` of them besides.
    pub(crate) fn bloom(&self, more: u64) -> Result<(Bloom, u64), rusqlite::Error> {
        let count: i64 =
            self.connection.query_row("SELECT count(*) FROM dedupe", [], |row| row.get(0))?;
        let count = unsigned(count).saturating_add(more);
        let capacity = usize::try_from(count).unwrap_or(usize::MAX);
        let mut bloom = Bloom::with_capacity(capacity.saturating_mul(2));
        let mut select = self.connection.prepare("SELECT key FROM dedupe")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(key) = row.get_ref(0)?.as_blob().ok().and_then(|it| it.try_into().ok()) {
                bloom.insert(&key);
            }
        }
        Ok((bloom, count))
    }

    /// Writes everything into the file itself and notes that it was closed.
    pub(crate) fn close(self) -> Result<(), rusqlite::Error> {
        self.set_meta("open_on", &"")?;
        // Leaves no side files behind; fails while somebody reads, which does no harm.
        let _ = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        self.connection.close().map_err(|(_, error)| error)
    }
}

/// Opens the index at `path` to read it.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, Unusable> {
    if !path.exists() {
        return Err(Unusable::Absent);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    keep_statements(&connection, PREPARED_MAX)?;
    connection.busy_timeout(std::time::Duration::from_secs(1))?;
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (version, application) = (pragma("user_version")?, pragma("application_id")?);
    if (version, application) != (schema::VERSION, schema::APPLICATION) {
        return Err(Unusable::OtherFormat(version));
    }
    Ok(connection)
}

/// How far an index has followed each log.
pub(crate) fn progress_of(connection: &Connection) -> Result<[Progress; 2], rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT seq, place FROM progress WHERE log = ?1")?;
    let mut progress = [Progress::default(); 2];
    for (log, progress) in LOGS.iter().zip(&mut progress) {
        let read = |row: &rusqlite::Row<'_>| {
            let position = Position::from_u64(unsigned(row.get(1)?));
            Ok(Progress { seq: unsigned(row.get(0)?), position: Some(position) })
        };
        let found = select.query_row([log_number(*log)], read).optional()?;
        *progress = found.unwrap_or_default();
    }
    Ok(progress)
}

/// The log of a number in a column.
pub(crate) fn log_of(number: i64) -> LogId {
    if number == 1 { layout::UNPROVEN } else { layout::EVENTS }
}

pub(crate) fn log_number(log: LogId) -> i64 {
    i64::from(log == layout::UNPROVEN)
}

/// A `u64` in a column. Sequence numbers and positions stay far below 2^63.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What tells one start of the machine from the next.
fn boot_id() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => "unknown".to_owned(),
    }
}
