//! How a change ends, and why it does not happen.

use std::io;

use crate::sql;

/// Why the registry does not do something.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The id is another tenant's, or the name is in use. Says nothing of whose.
    #[error("it is taken")]
    Taken,
    /// There is no such tenant, or it is being erased.
    #[error("there is no such tenant")]
    NoSuchTenant,
    /// There is no such thing.
    #[error("there is no such thing")]
    NotFound,
    /// There are as many as there may be.
    #[error("there may be {max} {what} at most")]
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// So many.
        max: u64,
    },
    /// The source is built in or configured in the file, not here.
    #[error("the source is configured elsewhere")]
    Reserved,
    /// The key of a repeated request was used with another request.
    #[error("the key was used with another request")]
    Conflict,
    /// What was given cannot be kept.
    #[error("{0}")]
    Invalid(&'static str),
    /// The database failed.
    #[error("{doing} failed: the registry cannot be used now")]
    Unavailable {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A thing that was to be there, and is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<T> {
    /// It is new.
    Created(T),
    /// It was there.
    Present(T),
}

impl<T> Written<T> {
    /// The thing, new or not.
    pub fn into_inner(self) -> T {
        match self {
            Self::Created(it) | Self::Present(it) => it,
        }
    }
}

/// A page of a list, the newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rows {
    /// Only rows before this one.
    pub after: Option<u64>,
    /// So many at most.
    pub limit: u32,
}

impl Rows {
    /// All rows: for lists that are short by their bounds.
    pub const ALL: Self = Self { after: None, limit: u32::MAX };

    /// The row that all on the page are before.
    pub(super) fn before(self) -> i64 {
        self.after.and_then(|it| i64::try_from(it).ok()).unwrap_or(i64::MAX)
    }
}

/// Why a change stops half-way: what was being done is known to who began it.
#[derive(Debug)]
pub(crate) enum Stop {
    Refused(RegistryError),
    Database(sql::Error),
    Random(io::Error),
    Files(io::Error),
    Index(crate::error::ReadError),
    Closed,
}

impl From<RegistryError> for Stop {
    fn from(error: RegistryError) -> Self {
        Self::Refused(error)
    }
}

impl From<sql::Error> for Stop {
    fn from(error: sql::Error) -> Self {
        Self::Database(error)
    }
}

impl Stop {
    pub(super) fn error(self, doing: &'static str) -> RegistryError {
        let source = match self {
            Self::Refused(error) => return error,
            Self::Database(error) => io::Error::other(error),
            Self::Random(error) | Self::Files(error) => error,
            Self::Index(error) => io::Error::other(error),
            Self::Closed => io::Error::other(crate::error::Unavailable::Closing),
        };
        RegistryError::Unavailable { doing, source }
    }
}
