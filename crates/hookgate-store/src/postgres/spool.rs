//! What a node keeps on its own disk while the database is away: a bounded queue, drained
//! oldest first.
//!
//! One folder, that one process has open:
//!
//! | name | what |
//! |---|---|
//! | `spool/` | the queue: a log of the journal crate |
//! | `bodies/` | bodies over 1 MiB, a file each |
//! | `drained` | up to where everything is in the database |
//! | `lost/` | tails that were never acknowledged |
//! | `damaged/` | segments with damage, kept when the others go |
//! | `refused/` | events that no database takes |
//!
//! What holds:
//!
//! - **What was appended is on disk** when [`Appending`] is ready, its body with it.
//! - **Oldest first.** The order of places is the order of appending.
//! - **Drained at least once.** [`Spool::done`] is durable when it returns; after a crash
//!   before that, entries come again, under the same ids.
//! - **Bounded.** Whoever has [`Room`] appends; without room nothing is read from a sender.
//! - **Nothing is dropped in silence.** Damage is counted, said, and kept.

mod bodies;
mod entry;
mod judge;
mod look;
mod mark;

use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use hookgate_core::time::Timestamp;
use hookgate_journal::{
    Health, Journal, LogId, LogSettings, Payload, Position, ReadError as Damage, Retention,
    Settings, Sync, Ticket, Wake,
};

use self::bodies::Bodies;
pub(crate) use self::bodies::KeptBody;
use self::entry::Sketch;
pub(crate) use self::entry::{Entry, EntryBody, NewEntry, Wait};
pub use self::look::{SPOOL_FOLDER, SpoolContents, look_at_spool, look_for_left_spool};
use self::mark::Mark;
use crate::error::{OpenError, ReadError, Unavailable};
use crate::{layout, lock, space};

/// The least that it may hold, in bytes: a few of the largest bodies, or a thousand events.
pub const SPOOL_BYTES_MIN: u64 = 64 << 20;

/// What is set aside for the head of a request whose body is still to come, in bytes: more
/// than the headers of nearly all.
const HEAD_BYTES_EXPECTED: u64 = 8 << 10;

/// What a record takes beside its head and body, in bytes: its header, its padding, its part
/// of a batch.
const RECORD_BYTES: u64 = 96;

/// A segment file is this part of the whole, so that drained space comes back soon.
const SEGMENTS: u64 = 16;

/// The smallest segment file, in bytes.
const SEGMENT_BYTES_MIN: u64 = 4 << 20;

const LOG: LogId = LogId::new(0);

/// Its name is that of the folder with the segments.
const LOG_SETTINGS: LogSettings =
    LogSettings { name: "spool", retention: Retention::Keep, sync: Sync::Durable };

/// How a spool is opened.
#[derive(Clone)]
pub(crate) struct SpoolOptions {
    /// What it may hold, in bytes: bodies, heads, and what is admitted.
    pub(crate) bytes_max: u64,
    /// How long a commit waits for company when it has some already.
    pub(crate) gather: Duration,
    /// Whether a folder on a file system that goes with the machine is refused. It is
    /// warned of in any case.
    pub(crate) refuse_volatile: bool,
    /// How whoever waits for an append is woken.
    pub(crate) wake: Wake,
}

impl fmt::Debug for SpoolOptions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SpoolOptions").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

/// The place of an entry. Ordered as they were appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    seq: u64,
    position: Position,
}

/// What was found when a spool was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Entries that wait to be drained.
    pub(crate) entries: u64,
    /// Tails that were torn by a crash: never acknowledged, kept in `lost/`.
    pub(crate) torn: u64,
    /// Stretches of acknowledged bytes that are damaged.
    pub(crate) damaged: u64,
    /// What was drained is not known any more: all that is there is drained again.
    pub(crate) is_mark_lost: bool,
    /// The kind of file system, if what is written there goes with the machine.
    pub(crate) volatile: Option<&'static str>,
}

/// How the spool is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpoolStatus {
    /// Entries that wait, those on their way to the disk among them.
    pub(crate) entries: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What it may hold.
    pub(crate) bytes_max: u64,
    /// When the oldest of them was received.
    pub(crate) oldest_at: Option<Timestamp>,
    /// Stretches of damage that were met since it was opened, or when it was.
    pub(crate) damaged: u64,
    /// Whether the disk takes what is written.
    pub(crate) health: Health,
    /// The kind of file system, if what is written there goes with the machine.
    pub(crate) volatile: Option<&'static str>,
}

/// The spool. Clones share it.
#[derive(Clone)]
pub(crate) struct Spool {
    inner: Arc<Inner>,
}

struct Inner {
    folder: PathBuf,
    journal: Journal,
    bodies: Bodies,
    bytes_max: u64,
    volatile: Option<&'static str>,
    state: Mutex<State>,
    /// One reads and drains at a time. Locked before `state`.
    drain: Mutex<Drain>,
}

/// What is counted.
#[derive(Debug, Default)]
struct State {
    entries: u64,
    bytes: u64,
    /// Set aside for requests whose bodies are still coming.
    admitted: u64,
    oldest_at: Option<i64>,
    damaged: u64,
    /// Grows with each append.
    appended: u64,
    /// On their way to the disk, in order.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    ticket: Ticket,
    bytes: u64,
    blob: Option<[u8; 16]>,
}

/// Where draining is.
#[derive(Debug, Default)]
struct Drain {
    done: Option<Place>,
    /// What was given out last, and is not done.
    given: VecDeque<Given>,
    /// The last damage that was counted.
    damage: Option<Position>,
    /// Segments with damage: kept when the others go.
    damaged_segments: Vec<u64>,
}

#[derive(Debug)]
struct Given {
    place: Place,
    at: i64,
    bytes: u64,
    blob: Option<[u8; 16]>,
}

/// Bytes that are set aside in the spool; dropped, they are free again.
#[must_use = "room that is dropped is given back"]
pub(crate) struct Room {
    inner: Arc<Inner>,
    bytes: u64,
}

/// The body of a new entry.
#[derive(Debug)]
pub(crate) enum NewBody<'a> {
    /// In memory.
    Whole(&'a [u8]),
    /// In a file that the spool has taken over.
    Kept(KeptBody),
}

/// An entry on its way to the disk: ready when it is durable. Dropped, it goes on.
#[must_use = "nothing is acknowledged before it is durable"]
#[derive(Debug)]
pub(crate) struct Appending {
    ticket: Ticket,
}

impl Spool {
    /// Opens the spool in `folder`, makes what is missing, and says what it found. Blocks.
    ///
    /// # Errors
    ///
    /// An [`OpenError`]; each says what to do.
    pub(crate) fn open(folder: &Path, options: SpoolOptions) -> Result<(Self, Found), OpenError> {
        if options.bytes_max < SPOOL_BYTES_MIN {
            return Err(OpenError::Settings("a spool of less than 64 MiB is of little use"));
        }
        let io = |doing: &'static str| move |error| OpenError::io(doing, folder, error);
        layout::create_folder(folder).map_err(io("creating"))?;
        make_private(folder).map_err(io("changing the permissions of"))?;
        let volatile = space::volatile(folder);
        if volatile.is_some() && options.refuse_volatile {
            return Err(OpenError::Settings(
                "the spool's folder goes with the machine: choose another, or set `spool = \"off\"`",
            ));
        }
        let mark = mark::read(folder).map_err(io("reading how far the spool is drained in"))?;
        let segment_bytes_max = (options.bytes_max / SEGMENTS)
            .clamp(SEGMENT_BYTES_MIN, hookgate_journal::SEGMENT_BYTES_MAX);
        let settings = Settings {
            segment_bytes_max,
            gather: options.gather,
            // Numbers go on above what was drained, even if the segments are gone.
            known_durable: mark.place().map(|it| it.seq),
            ..Settings::default()
        };
        let (journal, recovery) = Journal::open(folder, &[LOG_SETTINGS], settings, options.wake)
            .map_err(OpenError::journal)?;
        let mut done = mark.place();
        if let Some(done) = &mut done {
            // Its segment may be gone, and others in its place: then its number counts alone.
            let found = journal.reader().read(LOG, done.position);
            if found.map_or(true, |it| it.seq != done.seq) {
                done.position = Position::from_u64(0);
            }
        }
        let mut drain = Drain { done, ..Drain::default() };
        drain.damaged_segments.extend(recovery.corrupt.iter().map(|it| it.segment));
        let mut state = State { damaged: recovery.corrupt.len() as u64, ..State::default() };
        let mut wanted = Vec::new();
        for item in journal.reader().scan_heads(LOG, drain.from()) {
            match item {
                Ok(record) if drain.is_done(record.seq) => {}
                Ok(record) => {
                    let sketch = Sketch::decode(&record.head).ok();
                    let blob = sketch.as_ref().and_then(|it| it.blob);
                    wanted.extend(blob.map(|(id, _)| id));
                    let body = blob.map_or(record.payload_bytes.into(), |(_, bytes)| bytes);
                    state.count(record.head.len() as u64, body, sketch.map(|it| it.at));
                }
                Err(Damage::Corrupt { .. } | Damage::Gone { .. }) => {}
                Err(Damage::Io { doing, path, source }) => {
                    return Err(OpenError::Io { doing, path, source });
                }
                Err(other) => {
                    return Err(OpenError::io("reading", folder, io::Error::other(other)));
                }
            }
        }
        let bodies = Bodies::open(folder, &wanted).map_err(io("opening the bodies in"))?;
        let found = Found {
            entries: state.entries,
            torn: recovery.torn.len() as u64,
            damaged: state.damaged,
            is_mark_lost: mark == Mark::Damaged,
            volatile,
        };
        found.tell();
        let inner = Inner {
            folder: folder.to_owned(),
            journal,
            bodies,
            bytes_max: options.bytes_max,
            volatile,
            state: Mutex::new(state),
            drain: Mutex::new(drain),
        };
        Ok((Self { inner: Arc::new(inner) }, found))
    }

    /// Sets room aside for a request, before its body of this length is read.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the spool is full, or its disk refuses. Answer 503.
    pub(crate) fn admit(&self, body_bytes: u64) -> Result<Room, Unavailable> {
        match self.inner.journal.health() {
            Health::Healthy => {}
            Health::DiskFull => return Err(Unavailable::DiskFull),
            // The next append tries it again: one must be let through.
            Health::ReadOnly | Health::Failed if self.inner.state().pending.is_empty() => {}
            Health::ReadOnly | Health::Failed => return Err(Unavailable::Failed),
        }
        let bytes = body_bytes.saturating_add(HEAD_BYTES_EXPECTED);
        let mut state = self.inner.state();
        if state.used().saturating_add(bytes) > self.inner.bytes_max {
            return Err(Unavailable::Behind);
        }
        state.admitted = state.admitted.saturating_add(bytes);
        drop(state);
        Ok(Room { inner: Arc::clone(&self.inner), bytes })
    }

    /// Takes over the file of a large body, which must be complete and synced and on the same
    /// file system: moves it, durably. Blocks.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(crate) fn keep_body(&self, id: [u8; 16], file: &Path) -> io::Result<KeptBody> {
        self.inner.bodies.keep(id, file)
    }

    /// Appends an entry, behind all others. Copies it, and never waits for the disk.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the spool is full or closing. Answer 503.
    pub(crate) fn append(
        &self,
        room: Room,
        entry: &NewEntry,
        body: NewBody<'_>,
    ) -> Result<Appending, Unavailable> {
        drop(room);
        let (payload, body_bytes) = match &body {
            NewBody::Whole(bytes) => (*bytes, bytes.len() as u64),
            NewBody::Kept(kept) => (&[][..], kept.bytes()),
        };
        let mut state = self.inner.state();
        let bytes = cost(entry.record.len() as u64, body_bytes);
        if state.used().saturating_add(bytes) > self.inner.bytes_max {
            return Err(Unavailable::Behind);
        }
        let ticket = self.inner.journal.append(LOG, &entry.record, payload)?;
        let blob = match body {
            NewBody::Whole(_) => None,
            NewBody::Kept(kept) => Some(kept.keep()),
        };
        state.count(entry.record.len() as u64, body_bytes, Some(entry.at));
        state.appended = state.appended.wrapping_add(1);
        state.pending.push_back(Pending { ticket: ticket.clone(), bytes, blob });
        Ok(Appending { ticket })
    }

    /// The oldest entries that are not drained: so many, and so many bytes of bodies in
    /// memory, at most, but one if there is one. The same again until [`Self::done`]. Blocks.
    ///
    /// Nothing comes while all entries are still on their way to the disk: see
    /// [`Self::settle`].
    ///
    /// # Errors
    ///
    /// [`ReadError`]: the disk cannot be read now.
    pub(crate) fn oldest(
        &self,
        entries_max: usize,
        bytes_max: u64,
    ) -> Result<Vec<(Place, Entry)>, ReadError> {
        let mut drain = lock(&self.inner.drain);
        let before = {
            let state = self.inner.state();
            state.pending.is_empty().then_some(state.appended)
        };
        let mut entries = Vec::new();
        let mut bytes = 0_u64;
        drain.given.clear();
        let mut is_end = true;
        for item in self.inner.journal.reader().scan(LOG, drain.from()) {
            let record = match item {
                Ok(record) => record,
                Err(Damage::Gone { .. }) => continue,
                Err(Damage::Corrupt { position, bytes, .. }) => {
                    self.inner.note_damage(&mut drain, position, bytes);
                    continue;
                }
                Err(error) => return Err(ReadError::journal(error).unwrap_or(ReadError::Damaged)),
            };
            if drain.is_done(record.seq) {
                continue;
            }
            let size = record.head.len() as u64;
            let Payload::Present(payload) = record.payload else { continue };
            let in_memory = payload.len() as u64;
            if entries.len() >= entries_max
                || (!entries.is_empty() && bytes.saturating_add(in_memory) > bytes_max)
            {
                is_end = false;
                break;
            }
            let entry = match Entry::decode(&record.head, payload) {
                Ok(entry) => entry,
                Err(error) => {
                    tracing::error!(error = %error, "an entry of the spool cannot be read");
                    self.inner.note_damage(&mut drain, record.position, size);
                    continue;
                }
            };
            bytes = bytes.saturating_add(in_memory);
            let place = Place { seq: record.seq, position: record.position };
            let (body, blob) = match &entry.body {
                EntryBody::Whole(_) => (in_memory, None),
                EntryBody::File { id, bytes } => (*bytes, Some(*id)),
            };
            drain.given.push_back(Given { place, at: entry.at, bytes: cost(size, body), blob });
            entries.push((place, entry));
        }
        if entries.is_empty() && is_end {
            self.inner.recount_empty(before);
        }
        Ok(entries)
    }

    /// Forgets entries up to this one, which [`Self::oldest`] gave: they are in the database.
    /// Durable when it returns. Blocks.
    ///
    /// # Errors
    ///
    /// What the file system says. They may come again then.
    pub(crate) fn done(&self, up_to: Place) -> io::Result<()> {
        let mut drain = lock(&self.inner.drain);
        if drain.is_done(up_to.seq) {
            return Ok(());
        }
        mark::write(&self.inner.folder, up_to)?;
        drain.done = Some(up_to);
        let (mut entries, mut bytes) = (0_u64, 0_u64);
        while let Some(given) = drain.given.pop_front_if(|it| it.place.seq <= up_to.seq) {
            entries = entries.saturating_add(1);
            bytes = bytes.saturating_add(given.bytes);
            if let Some(id) = given.blob {
                self.inner.bodies.remove(id);
            }
        }
        let next = drain.given.front().map(|it| it.at);
        let oldest = if next.is_some() { next } else { self.inner.peek(&drain) };
        {
            let mut state = self.inner.state();
            state.entries = state.entries.saturating_sub(entries);
            state.bytes = state.bytes.saturating_sub(bytes);
            state.oldest_at = if state.entries == 0 { None } else { oldest.or(state.oldest_at) };
        }
        self.inner.drop_before(&mut drain, up_to.position.segment);
        Ok(())
    }

    /// Opens the body of an entry that lies in a file.
    ///
    /// # Errors
    ///
    /// What the file system says; `NotFound` when the entry is done.
    pub(crate) fn open_body(&self, id: [u8; 16]) -> io::Result<File> {
        self.inner.bodies.open_file(id)
    }

    /// Keeps what no database takes in the folder `refused/`: head and body, a file each.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(crate) fn set_refused_aside(&self, entry: &Entry) -> io::Result<()> {
        let folder = self.inner.folder.join("refused");
        layout::create_folder(&folder)?;
        let body = folder.join(format!("{}.body", entry.id));
        match &entry.body {
            EntryBody::Whole(bytes) => fs::write(&body, bytes)?,
            EntryBody::File { id, .. } => {
                io::copy(&mut self.open_body(*id)?, &mut File::create(&body)?)?;
            }
        }
        let head = folder.join(format!("{}.head", entry.id));
        fs::write(&head, &entry.head)?;
        File::open(&body)?.sync_all()?;
        File::open(&head)?.sync_all()?;
        layout::sync_folder(&folder)
    }

    /// Waits until all that was appended is on disk, or failed. Blocks.
    pub(crate) fn settle(&self) {
        let last = self.inner.state().pending.back().map(|it| it.ticket.clone());
        if let Some(last) = last {
            // What became of it is told to whoever appended it.
            let _ = last.wait();
        }
    }

    /// Entries that wait, those on their way to the disk among them.
    pub(crate) fn len(&self) -> u64 {
        self.inner.state().entries
    }

    /// Whether nothing waits, not even on its way to the disk.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it is, for metrics, readiness and the doctor.
    pub(crate) fn status(&self) -> SpoolStatus {
        let health = self.inner.journal.health();
        let state = self.inner.state();
        SpoolStatus {
            entries: state.entries,
            bytes: state.bytes,
            bytes_max: self.inner.bytes_max,
            oldest_at: state.oldest_at.map(Timestamp::from_millis),
            damaged: state.damaged,
            health,
            volatile: self.inner.volatile,
        }
    }

    /// Takes nothing more, has everything on disk, and gives how many entries are left for
    /// the next start. Blocks.
    pub(crate) fn close(&self) -> u64 {
        self.inner.journal.close();
        self.len()
    }
}

impl Inner {
    /// The counts, with what became of the entries that were on their way.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        while let Some(done) = state.pending.pop_front_if(|it| it.ticket.outcome().is_some()) {
            if matches!(done.ticket.outcome(), Some(Err(_))) {
                state.entries = state.entries.saturating_sub(1);
                state.bytes = state.bytes.saturating_sub(done.bytes);
                if state.entries == 0 {
                    state.oldest_at = None;
                }
                if let Some(id) = done.blob {
                    self.bodies.remove(id);
                }
            }
        }
        state
    }

    fn note_damage(&self, drain: &mut Drain, position: Position, bytes: u64) {
        if drain.damage.is_some_and(|it| it >= position) {
            return;
        }
        drain.damage = Some(position);
        if !drain.damaged_segments.contains(&position.segment) {
            drain.damaged_segments.push(position.segment);
            let mut state = self.state();
            state.damaged = state.damaged.saturating_add(1);
        }
        tracing::error!(
            segment = position.segment,
            offset = position.offset,
            bytes,
            "the spool is damaged: what is there was acknowledged and cannot be stored; \
             the segment is kept in the folder `damaged`"
        );
    }

    /// Nothing readable is left: whatever is still counted is damaged.
    fn recount_empty(&self, before: Option<u64>) {
        let mut state = self.state();
        if before == Some(state.appended) && state.entries > 0 {
            tracing::error!(entries = state.entries, "entries of the spool are lost to damage");
            state.entries = 0;
            state.bytes = 0;
            state.oldest_at = None;
        }
    }

    /// When the first entry was received that is not done.
    fn peek(&self, drain: &Drain) -> Option<i64> {
        let mut heads = self.journal.reader().scan_heads(LOG, drain.from()).flatten();
        let next = heads.find(|it| !drain.is_done(it.seq))?;
        Sketch::decode(&next.head).ok().map(|it| it.at)
    }

    /// Drops the segments before this one; keeps those with damage elsewhere.
    fn drop_before(&self, drain: &mut Drain, segment: u64) {
        let (aside, rest) = drain.damaged_segments.iter().partition(|it| **it < segment);
        let aside: Vec<u64> = aside;
        for number in aside {
            if let Err(error) = self.set_aside(number) {
                tracing::error!(error = %error, "a damaged segment of the spool cannot be kept elsewhere");
                // It stays where it is, and all behind it.
                return;
            }
        }
        drain.damaged_segments = rest;
        if let Err(error) = self.journal.drop_before(LOG, segment) {
            tracing::warn!(error = %error, "a drained segment of the spool cannot be removed");
        }
    }

    fn set_aside(&self, segment: u64) -> io::Result<()> {
        let name = format!("{segment:016x}.seg");
        let folder = self.folder.join("damaged");
        layout::create_folder(&folder)?;
        match fs::hard_link(self.folder.join(LOG_SETTINGS.name).join(&name), folder.join(&name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            linked => linked.and_then(|()| layout::sync_folder(&folder)),
        }
    }
}

impl State {
    /// Used, or set aside.
    fn used(&self) -> u64 {
        self.bytes.saturating_add(self.admitted)
    }

    fn count(&mut self, head_bytes: u64, body_bytes: u64, at: Option<i64>) {
        if self.entries == 0 {
            self.oldest_at = at;
        }
        self.entries = self.entries.saturating_add(1);
        self.bytes = self.bytes.saturating_add(cost(head_bytes, body_bytes));
    }
}

impl Drain {
    fn is_done(&self, seq: u64) -> bool {
        self.done.is_some_and(|it| seq <= it.seq)
    }

    /// Where reading begins.
    fn from(&self) -> Option<Position> {
        self.done.map(|it| it.position).filter(|it| it.to_u64() != 0)
    }
}

impl Found {
    fn tell(&self) {
        if let Some(kind) = self.volatile {
            tracing::warn!(
                kind,
                "the spool lies on a file system that goes with the machine: what it holds \
                 during an outage can be lost with it"
            );
        }
        if self.torn > 0 {
            tracing::warn!(torn = self.torn, "what was never acknowledged was set aside");
        }
        if self.damaged > 0 {
            tracing::error!(damaged = self.damaged, "the spool is damaged: look at the disk");
        }
        if self.is_mark_lost {
            tracing::warn!("how far the spool was drained is not known: it is drained again");
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = lock(&self.inner.state);
        state.admitted = state.admitted.saturating_sub(self.bytes);
    }
}

impl Appending {
    /// Waits on this thread until the entry is durable.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: it is not stored.
    pub(crate) fn wait(self) -> Result<(), Unavailable> {
        self.ticket.wait().map(|_| ()).map_err(Into::into)
    }
}

impl Future for Appending {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let ticket = Pin::new(&mut self.ticket);
        ticket.poll(context).map(|done| done.map(|_| ()).map_err(Into::into))
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Spool").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Room").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// What an entry takes of the bound.
fn cost(head_bytes: u64, body_bytes: u64) -> u64 {
    head_bytes.saturating_add(body_bytes).saturating_add(RECORD_BYTES)
}

/// Only the owner reads the folder, also one that was there before.
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(test)]
mod tests;
