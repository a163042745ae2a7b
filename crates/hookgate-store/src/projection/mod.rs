//! Conversations as their events tell them: folded from the journal, into a file of its own or
//! into tables beside it. Disposable, made again on demand.
//!
//! What holds:
//!
//! - **Nothing is decided by it.** Whose an event is stands in the index and the registry.
//! - **A conversation is one tenant's.** Events of two tenants that name the same id are two
//!   conversations here, and each is folded of what its tenant may read.
//! - **Cursor and content move together**, in one transaction: a killed process goes on where
//!   it was.
//! - **What is erased leaves it** before the index forgets the event, and is in no file after.
//! - **It holds nobody up.** A thread follows in batches and rests between them; who reads
//!   asks it to hurry, waits a moment, and is told what is missing.
//!
//! `pace.rs` says when, `folding.rs` how, `write.rs` and `query.rs` have the SQL, `words.rs` alone
//! what belongs to full text, `verbs.rs` what is shown. `fold.rs` and `writer.rs` are those of the
//! embedded store; what PostgreSQL has instead is in `postgres/folded.rs`.

mod fold;
mod folding;
mod pace;
pub(crate) mod query;
mod schema;
mod verbs;
mod words;
mod write;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hookgate_core::conversation::State;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use rusqlite::OpenFlags;
use uuid::Uuid;

pub(crate) use self::fold::Fold;
pub(crate) use self::folding::{
    DECISIONS_MAX, Events, FoldError, Said, decisions, events, fold_again, reader,
};
pub(crate) use self::pace::Pace;
pub(crate) use self::schema::VERSION;
pub use self::verbs::{ConversationPage, ListedConversation};
pub(crate) use self::verbs::{Telling, list, one};
pub(crate) use self::write::{DECISIONS, EVENTS, Tables};
use self::writer::Writer;
use crate::error::{OpenError, ReadError, is_broken};
use crate::lock;
use crate::sql::{self, Connection};

/// Connections that read, kept open: as many as may read at once.
const KEPT_MAX: usize = crate::limits::READS_MAX;

/// Statements that each connection keeps prepared.
const PREPARED_MAX: usize = 32;

/// Pages of a connection that only reads, in KiB.
const READER_CACHE_KIB: i64 = 2 << 10;

/// How long one read may take.
const READ_MAX: Duration = Duration::from_secs(10);

/// Steps of SQLite after which the time is looked at.
const STEPS: i32 = 10_000;

/// A conversation as its events tell it.
#[derive(Clone, Debug)]
pub struct Folded {
    /// Whose it is; nothing: nobody's, so the operator's alone.
    pub tenant: Option<TenantId>,
    /// The provider.
    pub provider: String,
    /// The provider's id of it.
    pub external_id: String,
    /// How many events it is folded of.
    pub events: u64,
    /// When the first of them was received.
    pub received_at: Timestamp,
    /// What they say.
    pub state: State,
}

/// Which conversations. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct FoldedFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Over this channel; `report` for reports.
    pub channel: Option<String>,
    /// In this status: the provider's word, or `ongoing`, `ended`, `failed`.
    pub status: Option<String>,
    /// With the agent of this id or name.
    pub agent: Option<String>,
    /// With this telephone number on either side, in any spelling; its end is enough.
    pub number: Option<String>,
    /// That began at this moment or later.
    pub since: Option<Timestamp>,
    /// That began before this moment.
    pub until: Option<Timestamp>,
    /// With all of these words in what was said or written. A word with `*` behind it is the
    /// beginning of one.
    pub q: Option<String>,
}

impl FoldedFilter {
    /// Whether a text can be looked for as a number: it has digits enough.
    #[must_use]
    pub fn is_number(text: &str) -> bool {
        write::wanted_digits(text).is_some()
    }

    /// Whether it asks for what only the events of a conversation tell.
    #[must_use]
    pub const fn asks_for_content(&self) -> bool {
        self.channel.is_some()
            || self.status.is_some()
            || self.agent.is_some()
            || self.number.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.q.is_some()
    }
}

/// How far the conversations are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Folding {
    /// Everything up to this place in the journal is in them.
    pub through: u64,
    /// So many places of the journal are not in them yet.
    pub behind: u64,
    /// How many there are.
    pub conversations: u64,
}

/// The database, open, and who waits for it.
#[derive(Debug)]
pub(crate) struct Projection {
    path: PathBuf,
    store: Uuid,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<(u64, Connection)>>,
    /// Rises whenever another file takes the place.
    generation: AtomicU64,
    count: AtomicU64,
    /// Somebody found it damaged, or it could not be made anew: the thread makes it.
    is_broken: AtomicBool,
    pace: Pace,
}

impl Projection {
    /// Opens the database at `path`, or makes it anew: when there is none, when it is of
    /// another version or another store, or damaged.
    pub(crate) fn open(path: &Path, store: Uuid) -> Result<Self, OpenError> {
        let failed = |error: sql::Error| OpenError::database("opening", path, error.into());
        let writer = match Writer::open(path, store) {
            Ok(Some(writer)) => writer,
            Ok(None) => Writer::create(path, store).map_err(failed)?,
            Err(error) if is_unusable(&error) => {
                tracing::warn!(error = %error, "the conversations are damaged and made anew");
                Writer::create(path, store).map_err(failed)?
            }
            Err(error) => return Err(failed(error)),
        };
        let through = writer.tables().cursor(EVENTS).map_err(failed)?;
        let count = writer.tables().count().map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            store,
            writer: Mutex::new(writer),
            readers: Mutex::default(),
            generation: AtomicU64::new(1),
            count: AtomicU64::new(count),
            is_broken: AtomicBool::new(false),
            pace: Pace::new(through),
        })
    }

    /// Throws everything away; the thread begins at the first event.
    pub(crate) fn begin_anew(&self) -> Result<(), sql::Error> {
        let mut writer = lock(&self.writer);
        self.replace(&mut writer)?;
        drop(writer);
        self.pace.begin_anew();
        Ok(())
    }

    fn replace(&self, writer: &mut Writer) -> Result<(), sql::Error> {
        self.generation.fetch_add(1, Ordering::AcqRel);
        lock(&self.readers).clear();
        let made = Writer::create(&self.path, self.store);
        // The one that is open is of a file that is gone.
        self.is_broken.store(made.is_err(), Ordering::Release);
        *writer = made?;
        self.count.store(0, Ordering::Relaxed);
        self.pace.reset();
        Ok(())
    }

    /// Whether it is to be made anew.
    fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    fn counted(&self, count: u64) {
        self.count.store(count, Ordering::Relaxed);
    }

    pub(crate) fn stop(&self) {
        self.pace.stop();
    }

    /// Writes everything into the file itself.
    pub(crate) fn close(&self) {
        lock(&self.readers).clear();
        lock(&self.writer).finish();
    }

    /// Reads.
    fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, sql::Error>,
    ) -> Result<T, ReadError> {
        let generation = self.generation.load(Ordering::Acquire);
        let kept = lock(&self.readers).pop().filter(|(it, _)| *it == generation);
        let mut connection = match kept {
            Some((_, connection)) => connection,
            None => open_reader(&self.path).map_err(ReadError::database)?,
        };
        let begun = Instant::now();
        let stop = Some(move || begun.elapsed() > READ_MAX);
        if let Some(sqlite) = connection.as_sqlite_mut() {
            sqlite.progress_handler(STEPS, stop).map_err(ReadError::database)?;
        }
        let done = connection.at_one_moment(read);
        let done = done.map_err(|error| {
            if is_unusable(&error) && self.generation.load(Ordering::Acquire) == generation {
                self.is_broken.store(true, Ordering::Release);
                self.pace.ask();
                return ReadError::Behind;
            }
            ReadError::database(error)
        })?;
        let mut readers = lock(&self.readers);
        if readers.len() < KEPT_MAX && self.generation.load(Ordering::Acquire) == generation {
            readers.push((generation, connection));
        }
        Ok(done)
    }
}

/// Whether the file can only be made anew: it is damaged, or what stands in it cannot be read.
fn is_unusable(error: &sql::Error) -> bool {
    match error {
        sql::Error::Sqlite(error) => is_broken(error),
        sql::Error::Unreadable(_) => true,
        sql::Error::NoRows | sql::Error::Postgres(_) | sql::Error::Away(_) => false,
    }
}

fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = rusqlite::Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    sql::keep_statements(&connection, PREPARED_MAX)?;
    connection.busy_timeout(Duration::from_secs(1))?;
    Ok(Connection::sqlite(connection))
}

/// An error of the file system as one of the database.
fn of_io(error: io::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(Box::new(error))
}
