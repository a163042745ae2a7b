//! The registry in a file: its tables and their versions.
//!
//! Tables to come are statements added to [`MIGRATIONS`]; a database is never opened by
//! software that knows fewer of them than it has.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::Registry;
use super::super::checkpoint::{Checkpoints, SIDE_FILE_BYTES_MAX};
use super::super::memory::Memory;
use super::{Opened, WhoError, read_or_make, who};
use crate::error::OpenError;
use crate::layout::{self, Layout};
use crate::sql;

/// Marks the file as a registry of Hookgate, in `application_id`.
const APPLICATION: i64 = 0x484b_4752;

/// How long a statement waits for another process: a backup reads the whole file.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// Statements that each connection keeps prepared.
const PREPARED_MAX: usize = 128;

/// The statements that lead from each version to the next. Never changed, only added to.
const MIGRATIONS: &[&str] = &[
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;",
    "
CREATE TABLE tenants (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retention_days INTEGER,
    events_per_second INTEGER,
    bytes_per_second INTEGER,
    in_flight INTEGER,
    erasing INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE tenant_keys (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX tenant_keys_tenant ON tenant_keys (tenant, n);
CREATE TABLE bindings (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    provider TEXT NOT NULL,
    kind TEXT NOT NULL,
    external_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (external_id, kind, provider)
) STRICT;
CREATE INDEX bindings_tenant ON bindings (tenant, n);
CREATE TABLE conversations (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    provider TEXT NOT NULL,
    external_id TEXT NOT NULL,
    agent_id TEXT,
    phone_number_id TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (external_id, provider)
) STRICT;
CREATE INDEX conversations_tenant ON conversations (tenant, n);
CREATE TABLE sources (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    provider TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE url_tokens (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    tenant TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    digest BLOB NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX url_tokens_tenant ON url_tokens (tenant) WHERE tenant IS NOT NULL;
CREATE TABLE data_keys (
    tenant TEXT PRIMARY KEY,
    master BLOB NOT NULL,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE credentials (
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    sealed BLOB NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
CREATE TABLE answers (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    key BLOB NOT NULL UNIQUE,
    request BLOB NOT NULL,
    status INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_at ON answers (at);
CREATE TABLE decisions (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    event BLOB NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    tenant TEXT,
    adopts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    by TEXT NOT NULL,
    correlation_id TEXT NOT NULL
) STRICT;
CREATE INDEX decisions_event ON decisions (event, n);
CREATE TABLE erasures (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT,
    source TEXT,
    provider TEXT,
    conversation TEXT,
    before INTEGER,
    state TEXT NOT NULL,
    done_seq INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE TABLE dropped_keys (
    key BLOB PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    id BLOB NOT NULL,
    digest BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX erasures_running ON erasures (n) WHERE state = 'running';
CREATE TABLE counts (what TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO counts VALUES ('bindings', 0), ('conversations', 0);
CREATE TRIGGER bindings_added AFTER INSERT ON bindings
BEGIN UPDATE counts SET n = n + 1 WHERE what = 'bindings'; END;
CREATE TRIGGER bindings_removed AFTER DELETE ON bindings
BEGIN UPDATE counts SET n = n - 1 WHERE what = 'bindings'; END;
CREATE TRIGGER conversations_added AFTER INSERT ON conversations
BEGIN UPDATE counts SET n = n + 1 WHERE what = 'conversations'; END;
CREATE TRIGGER conversations_removed AFTER DELETE ON conversations
BEGIN UPDATE counts SET n = n - 1 WHERE what = 'conversations'; END;
",
    "
CREATE TABLE tool_calls (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    event BLOB NOT NULL,
    position INTEGER NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    conversation TEXT,
    agent TEXT,
    call_id TEXT,
    tool TEXT NOT NULL,
    effect BLOB,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    status TEXT NOT NULL DEFAULT '',
    repeats BLOB,
    late INTEGER NOT NULL DEFAULT 0,
    store_us INTEGER NOT NULL DEFAULT 0,
    record_us INTEGER NOT NULL DEFAULT 0,
    connector_us INTEGER NOT NULL DEFAULT 0,
    total_us INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL,
    finished_at INTEGER,
    arguments TEXT NOT NULL,
    reply TEXT
) STRICT;
CREATE INDEX tool_calls_effect ON tool_calls (effect, n) WHERE effect IS NOT NULL;
CREATE INDEX tool_calls_event ON tool_calls (event);
CREATE INDEX tool_calls_tenant ON tool_calls (tenant, n);
CREATE INDEX tool_calls_conversation ON tool_calls (conversation, n) WHERE conversation IS NOT NULL;
CREATE INDEX tool_calls_tenant_age ON tool_calls (tenant, started_at);
CREATE INDEX tool_calls_source_age ON tool_calls (source, started_at);
CREATE INDEX tool_calls_started ON tool_calls (n) WHERE state = 'started';
CREATE TABLE tool_settings (
    tenant TEXT PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    settings TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE destinations (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    tenant TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    settings TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    rate INTEGER,
    ordered INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    sealed_before BLOB,
    before_until INTEGER,
    disabled TEXT,
    disabled_at INTEGER,
    removed INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    probes INTEGER NOT NULL DEFAULT 0,
    probe_at INTEGER,
    full_at INTEGER NOT NULL DEFAULT 0,
    ready_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX destinations_tenant ON destinations (tenant, n);
CREATE INDEX destinations_ready ON destinations (ready_at)
    WHERE ready_at IS NOT NULL AND disabled IS NULL AND removed = 0;
CREATE INDEX destinations_removed ON destinations (n) WHERE removed = 1;
CREATE TABLE deliveries (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    destination INTEGER NOT NULL REFERENCES destinations (n) ON DELETE CASCADE,
    event BLOB NOT NULL,
    seq INTEGER NOT NULL,
    replay INTEGER NOT NULL,
    request BLOB,
    tenant TEXT,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    conversation TEXT,
    kind TEXT NOT NULL,
    lane TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER,
    token INTEGER,
    leased_until INTEGER,
    received_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (event, destination, replay)
) STRICT;
CREATE INDEX deliveries_destination ON deliveries (destination, n);
CREATE INDEX deliveries_tenant ON deliveries (tenant, n);
CREATE INDEX deliveries_tenant_age ON deliveries (tenant, received_at);
CREATE INDEX deliveries_source_age ON deliveries (source, received_at);
CREATE INDEX deliveries_conversation ON deliveries (conversation, n)
    WHERE conversation IS NOT NULL;
CREATE INDEX deliveries_request ON deliveries (request, event, destination)
    WHERE request IS NOT NULL;
CREATE INDEX deliveries_state ON deliveries (state, n) WHERE state <> 'delivered';
CREATE INDEX deliveries_due ON deliveries (destination, due)
    WHERE state = 'pending' AND token IS NULL AND due IS NOT NULL;
CREATE INDEX deliveries_lane ON deliveries (destination, lane, due)
    WHERE state = 'pending' AND lane IS NOT NULL;
CREATE INDEX deliveries_leased ON deliveries (destination) WHERE token IS NOT NULL;
CREATE INDEX deliveries_leased_until ON deliveries (leased_until) WHERE token IS NOT NULL;
CREATE TABLE attempts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    delivery INTEGER NOT NULL REFERENCES deliveries (n) ON DELETE CASCADE,
    at INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    micros INTEGER NOT NULL,
    response TEXT
) STRICT;
CREATE INDEX attempts_delivery ON attempts (delivery, n);
CREATE TABLE cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE alerts (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    tenant TEXT REFERENCES tenants (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    facts TEXT NOT NULL,
    raised_at INTEGER NOT NULL,
    cleared_at INTEGER
) STRICT;
CREATE UNIQUE INDEX alerts_raised ON alerts (kind, subject) WHERE cleared_at IS NULL;
CREATE INDEX alerts_raised_at ON alerts (raised_at);
CREATE INDEX alerts_tenant ON alerts (tenant) WHERE tenant IS NOT NULL;
",
    "
CREATE TABLE recordings (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    event BLOB NOT NULL,
    seq INTEGER NOT NULL,
    place INTEGER NOT NULL,
    tenant TEXT,
    source TEXT NOT NULL,
    provider TEXT NOT NULL,
    conversation TEXT,
    kind TEXT NOT NULL,
    digest BLOB,
    state TEXT NOT NULL,
    reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER,
    token INTEGER,
    leased_until INTEGER,
    size INTEGER,
    sha256 BLOB,
    sound TEXT,
    received_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (event, place)
) STRICT;
CREATE INDEX recordings_tenant ON recordings (tenant, n);
CREATE INDEX recordings_tenant_age ON recordings (tenant, received_at);
CREATE INDEX recordings_source_age ON recordings (source, received_at);
CREATE INDEX recordings_conversation ON recordings (conversation, n)
    WHERE conversation IS NOT NULL;
CREATE INDEX recordings_state ON recordings (state, n) WHERE state <> 'fetched';
CREATE INDEX recordings_due ON recordings (due) WHERE state = 'pending';
CREATE INDEX recordings_leased ON recordings (leased_until) WHERE token IS NOT NULL;
",
];

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
    let mut writer = Connection::open(path).map_err(failed("opening"))?;
    prepare_writer(&writer).map_err(failed("opening"))?;
    let version = version_of(&writer, path)?;
    migrate(&mut writer, version).map_err(failed("migrating"))?;
    let mut writer = sql::Connection::sqlite(writer);
    let made = read_or_make(&mut writer).map_err(|error| match error {
        WhoError::Database(error) => failed("reading")(error.into()),
        WhoError::Unfinished => OpenError::Unfinished(path.display().to_string()),
        WhoError::Random(error) => OpenError::io("drawing a key for", path, error),
    })?;
    let (store_id, mask_key) = who(made, path)?;
    if is_new {
        let synced = File::open(path).and_then(|it| it.sync_all());
        let parent = path.parent().unwrap_or(path);
        synced
            .and_then(|()| layout::sync_folder(parent))
            .map_err(|error| OpenError::io("syncing", path, error))?;
    }
    let checkpoints = match writer.as_sqlite_mut() {
        Some(writer) => Checkpoints::start(path, writer).map_err(failed("opening"))?,
        None => None,
    };
    let reader = || open_reader(path).map_err(failed("opening"));
    let (lookups, lists) = (reader()?, reader()?);
    let memory = Memory::load(&writer).map_err(|error| failed("reading")(error.into()))?;
    let opened = Opened {
        path: path.to_owned(),
        store_id,
        mask_key,
        memory,
        writer,
        lookups: sql::Connection::sqlite(lookups),
        lists: sql::Connection::sqlite(lists),
        checkpoints,
        nodes: None,
        recordings: Some(Layout::new(path.parent().unwrap_or(path)).recordings()),
    };
    Ok(opened.registry())
}

/// Opens the database of the registry at `path`, creating or migrating its tables, and leaves
/// them as they are: without a key and an id if they are new.
pub(crate) fn open_tables(path: &Path) -> Result<Connection, OpenError> {
    layout::create_private(path).map_err(|error| OpenError::io("creating", path, error))?;
    let failed = |doing| move |error| OpenError::database(doing, path, error);
    let mut connection = Connection::open(path).map_err(failed("opening"))?;
    prepare_writer(&connection).map_err(failed("opening"))?;
    let version = version_of(&connection, path)?;
    migrate(&mut connection, version).map_err(failed("migrating"))?;
    Ok(connection)
}

/// Opens the registry of an existing store without the folder's lock, beside a gateway that
/// may run: to change rows that a gateway reads anew each time, which sealed data keys are,
/// and nothing else.
///
/// # Errors
///
/// An [`OpenError`]: there is no store, or another version of hookgate wrote it.
pub fn open_registry(folder: &Path) -> Result<Registry, OpenError> {
    let path = Layout::new(folder).registry();
    let failed = |error| OpenError::database("reading", &path, error);
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
    if version_of(&connection, &path)? < MIGRATIONS.len() {
        let older = "an older version of hookgate wrote it: start the gateway once with this one";
        return Err(OpenError::io("opening", &path, io::Error::other(older)));
    }
    open(&path)
}

fn prepare_writer(connection: &Connection) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(BUSY_MAX)?;
    // Readers and the writer do not wait for each other, and a commit is one sync.
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What is removed is overwritten: erased means gone.
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_size_limit", SIDE_FILE_BYTES_MAX)?;
    sql::keep_statements(connection, PREPARED_MAX)
}

fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "query_only", true)?;
    sql::keep_statements(&connection, PREPARED_MAX)?;
    Ok(connection)
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
