//! Looking after a store: check it, make its index anew, copy it.

mod backup;
mod check;

use std::io;
use std::path::{Path, PathBuf};

pub use self::backup::backup;
pub use self::check::{Report, check};

use crate::error::OpenError;
use crate::layout::{self, Layout};
use crate::opening::{open_index, open_journal, open_later};
use crate::options::Options;
use crate::postgres::ConnectError;

/// How far long work is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: &'static str,
    /// So much of it.
    pub done: u64,
    /// All of it; zero where that is not known.
    pub total: u64,
}

/// Why a store could not be looked after.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read.
    #[error("the journal cannot be read")]
    Journal(#[source] hookgate_journal::CheckError),
    /// A part of the journal that is to be copied is damaged.
    #[error("the journal is damaged; `hookgate store check` says where")]
    Damaged(#[source] hookgate_journal::ReadError),
    /// There is something where the copy is to go.
    #[error("{} is not empty: name a folder that does not exist yet", .0.display())]
    TargetTaken(PathBuf),
    /// The system failed.
    #[error("{doing} {} failed", path.display())]
    Io {
        /// What was being done, followed by `path`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// PostgreSQL cannot be used.
    #[error(transparent)]
    Connect(#[from] Box<ConnectError>),
    /// Nothing of ours is in the database.
    #[error("there is no store in {0}: `hookgate serve` makes one at its first start")]
    NoStore(String),
    /// A version before this one made the tables, and looking must not change them.
    #[error(
        "the tables in {place} are of an older version of hookgate ({found}, this one knows \
         {known}): start a node of this version once, or check with that one"
    )]
    Older {
        /// Which database.
        place: String,
        /// The version found.
        found: u64,
        /// The version that this software makes of it.
        known: u64,
    },
    /// PostgreSQL cannot be asked.
    #[error("reading the store in PostgreSQL failed")]
    Postgres {
        /// What it said, without what is stored.
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
}

impl MaintenanceError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    fn database(doing: &'static str, path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Database { doing, path, source }
    }
}

/// Removes what is folded of conversations from the store in `folder`; its next start makes it
/// anew. No server may use the store meanwhile.
///
/// # Errors
///
/// A [`MaintenanceError`].
pub fn remove_conversations(folder: &Path) -> Result<(), MaintenanceError> {
    let layout = Layout::existing(folder)?;
    // For its lock.
    let (journal, _) = open_journal(&layout, &Options::default(), hookgate_journal::wake_inline())?;
    let path = layout.conversations();
    layout::remove_database(&path).map_err(MaintenanceError::io("removing", &path))?;
    journal.close();
    Ok(())
}

/// Makes the index of the store in `folder` anew from its journal. No server may use the
/// store meanwhile.
///
/// # Errors
///
/// A [`MaintenanceError`]. The next start makes the index if this did not finish.
pub fn rebuild(folder: &Path, mut progress: impl FnMut(Progress)) -> Result<(), MaintenanceError> {
    let layout = Layout::existing(folder)?;
    let options = Options::default();
    let (journal, _) = open_journal(&layout, &options, hookgate_journal::wake_inline())?;
    let index = layout.index();
    layout::remove_database(&index).map_err(MaintenanceError::io("removing", &index))?;
    let note = |done| progress(Progress { stage: "records", done, total: 0 });
    let later = open_later(&layout)?;
    let (mut made, _) = open_index(&layout, &journal, &later, note)?;
    let failed = MaintenanceError::database("writing", &index);
    made.merge_from_events(options.generation_keys_max, 0).map_err(failed)?;
    made.close().map_err(MaintenanceError::database("closing", &index))?;
    journal.close();
    Ok(())
}
