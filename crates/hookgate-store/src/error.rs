//! Why something did not work.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookgate_journal::{AppendError, CommitError};

use crate::postgres::ConnectError;
use crate::sql;

/// Why a store cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to the folder.
    #[error(
        "another process uses this store folder: stop it, or choose another folder (--store; with \
         PostgreSQL [store] folder)"
    )]
    Locked,
    /// There is nothing of ours in the folder.
    #[error("there is no store in {}: name the folder of one with --store", .0.display())]
    NoStore(PathBuf),
    /// The folder cannot be written.
    #[error(
        "the store folder {} cannot be written: mount it writable and give it to the user that runs hookgate",
        .0.display()
    )]
    ReadOnly(PathBuf),
    /// A newer version wrote it.
    #[error(
        "{} was written by a newer version of hookgate (format {found}, this one knows {known}): install that version again",
        path.display()
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format known.
        known: u64,
    },
    /// A file that cannot be made anew is damaged.
    #[error("{} is damaged: restore it from a backup (`hookgate store backup` makes one)", .0.display())]
    Corrupt(PathBuf),
    /// A copy into it was begun and not finished.
    #[error("{0} holds a copy that is not finished: run the same `hookgate store copy` again")]
    Unfinished(String),
    /// The bounds are not possible.
    #[error("the store's settings are not possible: {0}")]
    Settings(&'static str),
    /// The system failed.
    #[error("{doing} {} failed: check the disk", path.display())]
    Io {
        /// What was being done, followed by `path`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A database failed.
    #[error("{doing} {} failed", path.display())]
    Database {
        /// What was being done, followed by `path`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// The database is away, and there is nothing to begin without it.
    #[error(
        "PostgreSQL was away for {} s, and this node has no configuration of it on its disk to \
         serve with meanwhile: see to the database, then start it again",
        waited.as_secs()
    )]
    Away {
        /// How long it was waited for.
        waited: Duration,
        /// Why it is away.
        #[source]
        source: Box<OpenError>,
    },
    /// The spool has events of another store.
    #[error(
        "the spool in {} holds events ({entries}) of another store than this database does: start \
         with the database they belong to, or name another folder for the spool",
        path.display()
    )]
    OtherSpool {
        /// Its folder.
        path: PathBuf,
        /// Events in it.
        entries: u64,
    },
    /// The spool is off, and there are events in it.
    #[error(
        "the spool is off, and events ({entries}) wait in {}: they were answered and are in no \
         database yet. Start once without [store] spool = \"off\", or keep that folder elsewhere",
        path.display()
    )]
    SpoolLeft {
        /// Its folder.
        path: PathBuf,
        /// Events in it.
        entries: u64,
    },
    /// Whoever logs in may not make the schema.
    #[error(
        "the database user {login} may not make the schema hookgate. Let the owner of the \
         database run: GRANT CREATE ON DATABASE {database} TO {login};"
    )]
    NoSchema {
        /// The user that logs in, quoted.
        login: String,
        /// The database, quoted.
        database: String,
        /// What the server said.
        #[source]
        source: postgres::Error,
    },
    /// PostgreSQL cannot be used.
    #[error(transparent)]
    Postgres(io::Error),
}

impl OpenError {
    /// The error of `doing` something with `path`.
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                Self::ReadOnly(path)
            }
            _ => Self::Io { doing, path, source },
        }
    }

    pub(crate) fn database(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ReadOnly) => Self::ReadOnly(path),
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Corrupt(path)
            }
            _ => Self::Database { doing, path, source },
        }
    }

    pub(crate) fn postgres(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Postgres(io::Error::other(error))
    }

    /// Whether it may pass without anybody's doing: the database is away.
    pub(crate) fn may_pass(&self) -> bool {
        let Self::Postgres(cause) = self else { return false };
        let found = cause.get_ref();
        found.is_some_and(|it| names(it, |it| it.downcast_ref().map(ConnectError::may_pass)))
    }

    pub(crate) fn journal(error: hookgate_journal::OpenError) -> Self {
        use hookgate_journal::OpenError as Journal;
        match error {
            Journal::Locked(_) => Self::Locked,
            Journal::NewerFormat { path, found, known } => {
                Self::NewerFormat { path, found: found.into(), known: known.into() }
            }
            Journal::ReadOnly(path) => Self::ReadOnly(path),
            Journal::Logs(fault) => Self::Settings(fault),
            Journal::Io { doing, path, source } => Self::Io { doing, path, source },
        }
    }
}

/// Why a request cannot be stored now. The sender is told to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The disk has no room.
    #[error("the disk is full")]
    DiskFull,
    /// More waits to be written or indexed than may wait.
    #[error("the store is behind")]
    Behind,
    /// The disk refuses to take it.
    #[error("the store cannot be written to")]
    Failed,
    /// The store is being closed.
    #[error("the store is closing")]
    Closing,
}

impl Unavailable {
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            _ => Self::Failed,
        }
    }
}

impl From<AppendError> for Unavailable {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full => Self::Behind,
            AppendError::Closed => Self::Closing,
            AppendError::TooLarge | AppendError::NoSuchLog => Self::Failed,
        }
    }
}

impl From<CommitError> for Unavailable {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::DiskFull => Self::DiskFull,
            CommitError::ReadOnly | CommitError::Failed => Self::Failed,
            CommitError::Closed => Self::Closing,
        }
    }
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The index did not catch up within two seconds.
    #[error("the index is behind")]
    Behind,
    /// A record is damaged.
    #[error("the record is damaged")]
    Damaged,
    /// Reading failed.
    #[error("reading the store failed")]
    Io(#[source] io::Error),
}

impl ReadError {
    pub(crate) fn database(error: impl Into<sql::Error>) -> Self {
        let error = error.into();
        match error.sqlite_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::Behind
            }
            Some(rusqlite::ErrorCode::OperationInterrupted) => {
                Self::Io(io::ErrorKind::TimedOut.into())
            }
            _ => Self::Io(match error {
                // The pool of the index looks whether it is broken.
                sql::Error::Sqlite(error) => io::Error::other(error),
                other => io::Error::other(other),
            }),
        }
    }

    /// The error of a journal that was read; a record that was dropped is none.
    pub(crate) fn journal(error: hookgate_journal::ReadError) -> Option<Self> {
        use hookgate_journal::ReadError as Journal;
        match error {
            Journal::Gone { .. } => None,
            Journal::Corrupt { .. } => Some(Self::Damaged),
            Journal::Io { source, .. } => Some(Self::Io(source)),
            other @ (Journal::NoSuchLog | Journal::NewerFormat { .. }) => {
                Some(Self::Io(io::Error::other(other)))
            }
        }
    }
}

/// Whether something failed as PostgreSQL is away: it cannot be reached, or takes nothing now.
/// That passes, and the node says it itself.
#[must_use]
pub fn is_database_away(error: &(dyn std::error::Error + 'static)) -> bool {
    names(error, |it| {
        use io::ErrorKind::{ConnectionReset, NotConnected};
        let kind = it.downcast_ref().map(io::Error::kind);
        kind.filter(|it| matches!(it, NotConnected | ConnectionReset)).map(|_| true)
    })
}

/// What the causes say, the first that says something: whether the database is away.
fn names(
    first: &(dyn std::error::Error + 'static),
    says: impl Fn(&(dyn std::error::Error + 'static)) -> Option<bool>,
) -> bool {
    let mut next = Some(first);
    while let Some(found) = next {
        if let Some(said) = says(found) {
            return said;
        }
        match found.downcast_ref::<sql::Error>() {
            Some(sql::Error::Postgres(error)) => return passes(error),
            Some(error) => return error.is_lost(),
            None => {}
        }
        if let Some(error) = found.downcast_ref::<postgres::Error>() {
            return passes(error);
        }
        // What an I/O error wraps is not its source.
        next = match found.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(within) => Some(within),
            None => found.source(),
        };
    }
    false
}

/// Whether what a server says is about how it is now: it is gone, stopping, slow or full of work.
pub(crate) fn passes(error: &postgres::Error) -> bool {
    // PostgreSQL, appendix A. 40: transactions that stood in each other's way; 53: resources;
    // 57: somebody or something stepped in, as a limit of time.
    let class = error.code().and_then(|it| it.code().get(..2));
    sql::is_lost(error) || matches!(class, Some("40" | "53" | "57"))
}

/// Whether the database itself is broken, not what was done with it: its pages, or what
/// stands in them.
pub(crate) fn is_broken(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
    match error.sqlite_error_code() {
        Some(code) => {
            matches!(code, rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
        }
        None => matches!(
            error,
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
        ),
    }
}
