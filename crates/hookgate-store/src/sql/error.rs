//! Why a database does not say or do what it was asked.

use std::fmt;

use postgres::error::SqlState;
use rusqlite::ErrorCode;
use rusqlite::types::FromSqlError;

/// What a database said, or what was made of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A row was wanted, and there is none.
    #[error("there is no such row")]
    NoRows,
    /// SQLite said it.
    #[error(transparent)]
    Sqlite(rusqlite::Error),
    /// PostgreSQL said it.
    // Without what it says of values: they may be somebody's.
    #[error("PostgreSQL: {}", Brief(.0))]
    Postgres(#[source] postgres::Error),
    /// PostgreSQL cannot be reached.
    #[error("PostgreSQL cannot be reached: {0}")]
    Away(String),
    /// Something else stands in a column than this program writes there.
    #[error("the column `{0}` cannot be read")]
    Unreadable(String),
}

/// What PostgreSQL said, as far as it is about what was asked and not about a value.
struct Brief<'a>(&'a postgres::Error);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_db_error() {
            Some(it) => write!(out, "{} ({})", it.message(), it.code().code()),
            None => write!(out, "{}", self.0),
        }
    }
}

impl Error {
    pub(crate) fn unreadable(column: impl fmt::Display) -> Self {
        Self::Unreadable(column.to_string())
    }

    /// What SQLite calls it, if it was SQLite.
    pub(crate) fn sqlite_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(it) => it.sqlite_error_code(),
            Self::NoRows | Self::Postgres(_) | Self::Away(_) | Self::Unreadable(_) => None,
        }
    }

    /// Whether a rule of the tables forbids it: a row that is there already, or one that is
    /// referred to and is not there.
    pub(crate) fn is_constraint(&self) -> bool {
        match self {
            Self::Sqlite(it) => it.sqlite_error_code() == Some(ErrorCode::ConstraintViolation),
            // Class 23 is that of integrity.
            Self::Postgres(it) => it.code().is_some_and(|it| it.code().starts_with("23")),
            Self::NoRows | Self::Away(_) | Self::Unreadable(_) => false,
        }
    }

    /// Whether the connection is gone or of no use: what was under way did not happen, but for
    /// a commit, of which nobody knows. The next transaction has another connection.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Postgres(it) => is_lost(it),
            Self::NoRows | Self::Sqlite(_) | Self::Unreadable(_) => false,
        }
    }
}

/// Without a code nobody answered. With one: it is stopping, is not the one that writes any
/// more, or the line is cut.
pub(crate) fn is_lost(error: &postgres::Error) -> bool {
    let Some(code) = error.code() else { return true };
    matches!(
        *code,
        SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::READ_ONLY_SQL_TRANSACTION
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT
    ) || code.code().starts_with("08")
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Self::NoRows,
            other => Self::Sqlite(other),
        }
    }
}

impl From<postgres::Error> for Error {
    fn from(error: postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<FromSqlError> for Error {
    fn from(error: FromSqlError) -> Self {
        Self::Sqlite(error.into())
    }
}

/// For the index, which is always in SQLite and reads the registry beside it.
impl From<Error> for rusqlite::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::NoRows => Self::QueryReturnedNoRows,
            Error::Sqlite(it) => it,
            other => Self::ToSqlConversionFailure(Box::new(other)),
        }
    }
}

/// That a row which is not there is none.
pub(crate) trait OptionalExtension<T> {
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> OptionalExtension<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(it) => Ok(Some(it)),
            Err(Error::NoRows) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
