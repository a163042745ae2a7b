//! Copies a whole store to another place, of the same kind or of the other.
//!
//! What holds:
//!
//! - **The copy is the store**: the same id and keys, the same ids and places of events, the
//!   same bytes, so that cursors, deliveries and links stay right.
//! - **Nothing changes meanwhile.** The source is locked; the target is nobody's store until
//!   the copy is whole, and says so to whoever opens it.
//! - **Events are copied in the order of their places**, so the last place that the target has
//!   says how far the copy is. Begun again, it goes on there. Then the sound of recordings; the
//!   registry is copied last, whole.
//! - **What was copied is compared**: each body with its digest on its way, and in the end what
//!   both sides say of every event and every row.
//!
//! Requests that were refused are not copied: their ring is for looking at, and short.

mod database;
mod folder;
mod into_database;
mod into_folder;
mod item;
mod sounds;
mod tables;

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use self::database::Database;
use self::folder::Folder;
use self::into_database::IntoDatabase;
use self::into_folder::IntoFolder;
use self::item::{Item, Kept, Stored, What};
use self::sounds::Sound;
use self::tables::{Columns, TABLES, Table, Tally};
use crate::error::OpenError;
use crate::maintenance::{MaintenanceError, Progress};
use crate::postgres::{ConnectError, PgSettings};
use crate::sql::Value;

/// Items that are copied at once.
const ITEMS_AT_ONCE: usize = 512;

/// Their bytes, but for the last one: what is in memory, twice.
const BYTES_AT_ONCE: usize = 8 << 20;

/// The bytes of a piece of a large body.
const PIECE_BYTES: usize = 1 << 20;

/// Where a store is that is copied, or is to be.
#[derive(Clone, Debug)]
pub enum CopyPlace {
    /// In a folder of this machine.
    Folder(PathBuf),
    /// In PostgreSQL.
    Postgres(Box<PgSettings>),
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Events.
    pub events: u64,
    /// Notes that an event came again.
    pub repetitions: u64,
    /// Large bodies among the bodies of the events that this run copied.
    pub large_bodies: u64,
    /// Bytes of the bodies that this run copied.
    pub bytes: u64,
    /// Recordings that are kept.
    pub recordings: u64,
    /// The last place that the store gave.
    pub last_seq: u64,
    /// The place behind which this run began: not zero when it went on with an earlier one.
    pub resumed_after: u64,
    /// The rows of each table of the registry.
    pub tables: Vec<(&'static str, u64)>,
    /// SHA-256, in hexadecimal digits, over the place, the id, the digest and the state of
    /// every event: the same on both sides.
    pub digest: String,
}

/// Why a store was not copied. The source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// One of them cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no store to copy.
    #[error("there is no store in {0}")]
    NoStore(String),
    /// There is something where the copy is to go.
    #[error(
        "{0} is not empty: name a folder that does not exist yet, or a database without the schema \
         hookgate"
    )]
    TargetTaken(String),
    /// The copy of another store was begun there.
    #[error("{0} holds a copy of another store that is not finished: name another place")]
    OtherCopy(String),
    /// Somebody works with the store.
    #[error("nodes of Hookgate use the store in {0}: stop them all, and copy then")]
    InUse(String),
    /// Something in the source is not what was stored.
    #[error("{0}: `hookgate store check` says more")]
    Damaged(String),
    /// Both sides are not the same.
    #[error(
        "the copy is not what the source is ({0}): if the source was used since the copy began, \
         remove what was copied and begin again"
    )]
    Differs(String),
    /// The system or a database failed.
    #[error("{doing} failed; run the same command again to go on")]
    Failed {
        /// What was being done.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl CopyError {
    fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        doing: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let doing = doing.into();
        move |error| Self::Failed { doing, source: io::Error::other(error) }
    }

    fn at(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::failed(format!("{doing} {}", path.display()))
    }
}

impl From<MaintenanceError> for CopyError {
    fn from(error: MaintenanceError) -> Self {
        Self::failed("looking after the copy")(error)
    }
}

impl From<rusqlite::Error> for CopyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::failed("asking SQLite")(error)
    }
}

impl From<postgres::Error> for CopyError {
    fn from(error: postgres::Error) -> Self {
        Self::failed("asking PostgreSQL")(error)
    }
}

/// Takes a piece of something large.
type Sink<'a> = dyn FnMut(&[u8]) -> Result<(), CopyError> + 'a;

/// Passes on what is given piece by piece; its length and its digest.
fn measured(
    sink: &mut Sink<'_>,
    give: impl FnOnce(&mut Sink<'_>) -> Result<(), CopyError>,
) -> Result<(u64, [u8; 32]), CopyError> {
    let (mut digest, mut bytes) = (Sha256::new(), 0_u64);
    give(&mut |piece| {
        digest.update(piece);
        bytes = bytes.saturating_add(piece.len() as u64);
        sink(piece)
    })?;
    Ok((bytes, digest.finalize().into()))
}

/// A store that is read.
enum Side {
    Folder(Box<Folder>),
    Database(Box<Database>),
}

/// A store that is made.
enum Target {
    Folder(Box<IntoFolder>),
    Database(Box<IntoDatabase>),
}

/// How far a side is read.
enum Walk {
    Folder(Box<folder::Walk>),
    Database(database::Walk),
}

/// What a side says of all events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fingerprint {
    events: u64,
    repetitions: u64,
    digest: [u8; 32],
}

/// Copies the store at `from` to `to`, where there must be nothing, or what an earlier copy of
/// the same store has left: then it goes on. Blocks; not to be called on a thread of a runtime.
///
/// The master key is in no store and is not copied: who opens the copy needs the same one.
///
/// # Errors
///
/// A [`CopyError`], whose sentence says what to do.
pub fn copy(
    from: &CopyPlace,
    to: &CopyPlace,
    mut progress: impl FnMut(Progress),
) -> Result<Copied, CopyError> {
    let mut source = Side::open(from)?;
    let id = source.store_id()?;
    let mut target = Target::begin(to, &id)?;
    let after = target.last()?;
    let last_seq = source.last_seq()?;
    if after > last_seq {
        return Err(CopyError::Differs("it has more events than the source".to_owned()));
    }
    let mut copied = Copied { resumed_after: after, last_seq, ..Copied::default() };
    let mut walk = source.walk(after, true)?;
    loop {
        let items = source.next(&mut walk)?;
        let Some(last) = items.last().map(|it| it.seq) else { break };
        for item in &items {
            check(item)?;
            copied.count(item);
        }
        target.write(&items, &mut source)?;
        progress(Progress { stage: "events", done: last, total: last_seq });
    }
    copied.recordings = sounds::copy(&mut source, &mut target, &mut progress)?;
    let mut erased = Vec::new();
    let expected = source.fingerprint(&mut erased, "comparing", last_seq, &mut progress)?;
    progress(Progress { stage: "registry", done: 0, total: 0 });
    let tables = target.finish(&mut source, &erased, last_seq)?;
    drop(erased);
    let mut made = target.open()?;
    let found = made.fingerprint(&mut Vec::new(), "comparing", last_seq, &mut progress)?;
    if found != expected {
        return Err(CopyError::Differs(format!(
            "{} of {} events, {} of {} repetitions, or another digest",
            found.events, expected.events, found.repetitions, expected.repetitions
        )));
    }
    if made.last_seq()? != last_seq {
        return Err(CopyError::Differs("the last place is another".to_owned()));
    }
    for (table, expected) in TABLES.iter().zip(tables) {
        let columns = made.columns(table)?;
        let found = made.tally(table, &columns)?.end();
        if found != expected {
            let (name, rows) = (table.name, found.0);
            return Err(CopyError::Differs(format!(
                "{rows} of {} rows in {name}, or other ones",
                expected.0
            )));
        }
        copied.tables.push((table.name, found.0));
    }
    sounds::compare(&mut made)?;
    made.release()?;
    (copied.events, copied.repetitions) = (expected.events, expected.repetitions);
    copied.digest = hex::encode(expected.digest);
    Ok(copied)
}

/// Whether the body of an event is what came; a large one is compared on its way.
fn check(item: &Item) -> Result<(), CopyError> {
    let What::Event(event) = &item.what else { return Ok(()) };
    let Kept::Whole(bytes) = &event.body else { return Ok(()) };
    let found: [u8; 32] = Sha256::digest(bytes).into();
    if (bytes.len() as u64, found) == (event.size, event.sha256) {
        Ok(())
    } else {
        Err(damaged(event, item.seq))
    }
}

fn damaged(event: &Stored, seq: u64) -> CopyError {
    CopyError::Damaged(format!("the body of event {} (place {seq}) is not what came", event.id))
}

impl Copied {
    fn count(&mut self, item: &Item) {
        let What::Event(event) = &item.what else { return };
        match &event.body {
            Kept::Large(_) => self.large_bodies = self.large_bodies.saturating_add(1),
            Kept::Whole(_) => {}
            Kept::Erased | Kept::Unread => return,
        }
        self.bytes = self.bytes.saturating_add(event.size);
    }
}

impl Side {
    fn open(place: &CopyPlace) -> Result<Self, CopyError> {
        Ok(match place {
            CopyPlace::Folder(path) => Self::Folder(Box::new(Folder::open(path)?)),
            CopyPlace::Postgres(settings) => Self::Database(Box::new(Database::open(settings)?)),
        })
    }

    fn store_id(&mut self) -> Result<Vec<u8>, CopyError> {
        let select = "SELECT value FROM meta WHERE name = 'store_id'";
        let id = match self {
            Self::Folder(it) => it.registry().query_row(select, [], |row| row.get(0))?,
            Self::Database(it) => it.client().query_one(select, &[])?.try_get(0)?,
        };
        Ok(id)
    }

    /// The last place that was given.
    fn last_seq(&mut self) -> Result<u64, CopyError> {
        match self {
            Self::Folder(it) => Ok(it.last_seq()),
            Self::Database(it) => it.last_seq(),
        }
    }

    fn walk(&mut self, after: u64, with_bodies: bool) -> Result<Walk, CopyError> {
        Ok(match self {
            Self::Folder(it) => Walk::Folder(Box::new(it.walk(after, with_bodies)?)),
            Self::Database(_) => Walk::Database(database::Walk { after, with_bodies }),
        })
    }

    /// The next items; nothing at the end.
    fn next(&mut self, walk: &mut Walk) -> Result<Vec<Item>, CopyError> {
        match (self, walk) {
            (Self::Folder(it), Walk::Folder(walk)) => it.next(walk),
            (Self::Database(it), Walk::Database(walk)) => it.next(walk),
            _ => Ok(Vec::new()),
        }
    }

    /// Gives a large body piece by piece, and says in the end whether it is what came.
    fn large(
        &mut self,
        (event, seq): (&Stored, u64),
        blob: [u8; 16],
        sink: &mut Sink<'_>,
    ) -> Result<(), CopyError> {
        let found = measured(sink, |pass| match self {
            Self::Folder(it) => it.large(blob, pass),
            Self::Database(it) => it.large(blob, pass),
        })?;
        if found == (event.size, event.sha256) { Ok(()) } else { Err(damaged(event, seq)) }
    }

    /// What it says of all events; the places of those that are erased go into `erased`.
    fn fingerprint(
        &mut self,
        erased: &mut Vec<u64>,
        stage: &'static str,
        total: u64,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Fingerprint, CopyError> {
        let mut digest = Sha256::new();
        let mut found = Fingerprint::default();
        let mut walk = self.walk(0, false)?;
        loop {
            let items = self.next(&mut walk)?;
            let Some(last) = items.last().map(|it| it.seq) else { break };
            for item in &items {
                digest.update(item.seq.to_le_bytes());
                match &item.what {
                    What::Event(event) => {
                        found.events = found.events.saturating_add(1);
                        let is_erased = event.body == Kept::Erased;
                        if is_erased {
                            erased.push(item.seq);
                        }
                        digest.update(event.id);
                        digest.update(event.sha256);
                        let log = u8::from(event.is_unproven);
                        digest.update([log, u8::from(is_erased)]);
                        digest.update(event.now.status.to_le_bytes());
                        digest.update(event.now.tenant.as_deref().unwrap_or_default());
                    }
                    What::Again(again) => {
                        found.repetitions = found.repetitions.saturating_add(1);
                        digest.update(again.id);
                        digest.update(again.of.to_le_bytes());
                    }
                }
            }
            progress(Progress { stage, done: last, total });
        }
        found.digest = digest.finalize().into();
        Ok(found)
    }

    fn columns(&mut self, table: &Table) -> Result<Columns, CopyError> {
        match self {
            Self::Folder(it) => folder::columns(it.registry(), table),
            Self::Database(it) => database::columns(it.client(), table),
        }
    }

    /// Every row of a table, in the order of its key.
    fn rows(
        &mut self,
        table: &Table,
        columns: &Columns,
        sink: &mut dyn FnMut(Vec<Value>) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        match self {
            Self::Folder(it) => it.rows(table, columns, sink),
            Self::Database(it) => it.rows(table, columns, sink),
        }
    }

    fn tally(&mut self, table: &Table, columns: &Columns) -> Result<Tally, CopyError> {
        let mut tally = Tally::default();
        self.rows(table, columns, &mut |row| {
            tally.note(&row);
            Ok(())
        })?;
        Ok(tally)
    }

    /// The highest number that a table has given.
    fn highest(&mut self, table: &Table) -> Result<i64, CopyError> {
        match self {
            Self::Folder(it) => it.highest(table),
            Self::Database(it) => it.highest(table),
        }
    }

    /// Conversations that events made known: place, provider, id, tenant, agent, number, time.
    fn adopted(&mut self) -> Result<Vec<Vec<Value>>, CopyError> {
        match self {
            Self::Folder(it) => it.adopted(),
            Self::Database(it) => it.adopted(),
        }
    }

    /// Says that the copy in it is whole: from here on it is a store.
    fn release(self) -> Result<(), CopyError> {
        match self {
            Self::Folder(it) => it.release(),
            Self::Database(it) => it.release(),
        }
    }
}

impl Target {
    /// Begins a copy of this store, or goes on with it.
    fn begin(place: &CopyPlace, id: &[u8]) -> Result<Self, CopyError> {
        Ok(match place {
            CopyPlace::Folder(path) => Self::Folder(Box::new(IntoFolder::begin(path, id)?)),
            CopyPlace::Postgres(settings) => {
                Self::Database(Box::new(IntoDatabase::begin(settings, id)?))
            }
        })
    }

    /// The last place that it has.
    fn last(&mut self) -> Result<u64, CopyError> {
        match self {
            Self::Folder(it) => Ok(it.last()),
            Self::Database(it) => it.last(),
        }
    }

    fn write(&mut self, items: &[Item], source: &mut Side) -> Result<(), CopyError> {
        match self {
            Self::Folder(it) => it.write(items, source),
            Self::Database(it) => it.write(items, source),
        }
    }

    /// How many bytes of a recording it has; nothing if none.
    fn sound_bytes(&mut self, id: [u8; 16]) -> Result<Option<u64>, CopyError> {
        match self {
            Self::Folder(it) => it.sound_bytes(id),
            Self::Database(it) => it.sound_bytes(id),
        }
    }

    fn write_sound(&mut self, sound: &Sound, source: &mut Side) -> Result<(), CopyError> {
        match self {
            Self::Folder(it) => it.write_sound(sound, source),
            Self::Database(it) => it.write_sound(sound, source),
        }
    }

    /// Copies the registry; gives what stands in each table.
    fn finish(
        &mut self,
        source: &mut Side,
        erased: &[u64],
        last_seq: u64,
    ) -> Result<Vec<(u64, [u8; 32])>, CopyError> {
        match self {
            Self::Folder(it) => it.finish(source, erased, last_seq),
            Self::Database(it) => it.finish(source, last_seq),
        }
    }

    /// What was made, to be read.
    fn open(self) -> Result<Side, CopyError> {
        Ok(match self {
            Self::Folder(it) => Side::Folder(Box::new(it.open()?)),
            Self::Database(it) => Side::Database(Box::new(it.open()?)),
        })
    }
}
