//! Large bodies and recordings: a file each, hashed while it is written.
//!
//! A body begins in `blobs/tmp/`, is synced when it is complete, and is moved to its place
//! before the record that names it is written. So a record never names a file that is not
//! there; a file that no record names is left by a crash and was never acknowledged.
//! Recordings are written by the same rules in `recordings/`, each under its own id.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::received::Blob;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;

use crate::error::Unavailable;
use crate::layout::{self, Layout, Shelf};
use crate::lock;

/// What is handed to the disk at once, in bytes: large enough that the hand-over costs
/// nothing beside the write. Twice this much of a body is in memory.
const PIECE_BYTES: usize = 256 << 10;

/// How long a complete body may wait to become part of an event. Whoever made it decides
/// in milliseconds; later it is abandoned.
const UNKEPT_MAX: Duration = Duration::from_mins(15);

/// The large bodies of a store, or its recordings.
#[derive(Debug)]
pub(crate) struct Blobs {
    shelf: Shelf,
    /// Those of refused requests, where there may be any.
    rejected: Option<PathBuf>,
    in_flight: AtomicU64,
    in_flight_max: u64,
    /// Complete, and not part of anything yet.
    unkept: Mutex<HashMap<[u8; 16], (u64, Instant)>>,
}

impl Blobs {
    /// Those of bodies. Makes the folders, and removes what was unfinished.
    pub(crate) fn open(layout: &Layout, in_flight_max: u64) -> io::Result<Self> {
        let rejected = layout.rejected_blobs();
        layout::create_folder(&rejected)?;
        Self::on(layout.bodies(), Some(rejected), in_flight_max)
    }

    /// Those of recordings.
    pub(crate) fn of_recordings(layout: &Layout, in_flight_max: u64) -> io::Result<Self> {
        Self::on(layout.recordings(), None, in_flight_max)
    }

    fn on(shelf: Shelf, rejected: Option<PathBuf>, in_flight_max: u64) -> io::Result<Self> {
        let unkept = shelf.unkept();
        layout::create_folder(&unkept)?;
        for entry in fs::read_dir(&unkept)? {
            layout::remove(&entry?.path())?;
        }
        Ok(Self {
            shelf,
            rejected,
            in_flight: AtomicU64::new(0),
            in_flight_max,
            unkept: Mutex::default(),
        })
    }

    pub(crate) fn in_flight_bytes(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether so many bytes fit the budget now.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.in_flight_bytes().saturating_add(bytes) <= self.in_flight_max
    }

    fn reserve(&self, bytes: u64) -> bool {
        let take = |used: u64| used.checked_add(bytes).filter(|it| *it <= self.in_flight_max);
        self.in_flight.try_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    fn release(&self, bytes: u64) {
        self.in_flight.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Creates the file of a new body. Blocks.
    fn create(&self, id: [u8; 16]) -> io::Result<File> {
        self.sweep(Instant::now());
        let path = self.shelf.unkept_file(id);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Removes complete bodies that nobody wanted in time.
    fn sweep(&self, now: Instant) {
        let is_old = |since: &Instant| now.saturating_duration_since(*since) > UNKEPT_MAX;
        let old: Vec<[u8; 16]> = {
            let unkept = lock(&self.unkept);
            unkept.iter().filter(|(_, (_, since))| is_old(since)).map(|(id, _)| *id).collect()
        };
        for id in old {
            self.discard_unkept(id);
        }
    }

    /// Takes a body off the list of those that belong to nothing.
    pub(crate) fn claim(&self, id: [u8; 16]) {
        if let Some((bytes, _)) = lock(&self.unkept).remove(&id) {
            self.release(bytes);
        }
    }

    /// Moves a complete body to its place for good, durably. Doing it twice is fine.
    pub(crate) fn keep(&self, id: [u8; 16]) -> io::Result<()> {
        let place = self.shelf.file(id);
        let folder = place.parent().unwrap_or(&place).to_owned();
        if !folder.is_dir() {
            layout::create_folder(&folder)?;
            layout::sync_folder(self.shelf.root())?;
        }
        match fs::rename(self.shelf.unkept_file(id), &place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.keep_rejected(id, &place)?;
            }
            moved => moved?,
        }
        layout::sync_folder(&folder)?;
        self.claim(id);
        Ok(())
    }

    /// A refused request was judged again: its body is part of both, until the ring
    /// drops the refused one.
    fn keep_rejected(&self, id: [u8; 16], place: &std::path::Path) -> io::Result<()> {
        let Some(rejected) = self.rejected_file(id) else {
            return if place.exists() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) };
        };
        match fs::hard_link(rejected, place) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(_) if place.exists() => Ok(()),
            linked => linked,
        }
    }

    fn rejected_file(&self, id: [u8; 16]) -> Option<PathBuf> {
        Some(self.rejected.as_ref()?.join(hex::encode(id)))
    }

    /// Moves a complete body to those of refused requests.
    pub(crate) fn reject(&self, id: [u8; 16]) -> io::Result<()> {
        let moved = match self.rejected_file(id) {
            Some(rejected) => fs::rename(self.shelf.unkept_file(id), rejected),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        self.claim(id);
        moved
    }

    /// Gives the file of a complete body to somebody else, who moves it.
    pub(crate) fn give_away<T>(
        &self,
        id: [u8; 16],
        to: impl FnOnce(&std::path::Path) -> io::Result<T>,
    ) -> io::Result<T> {
        let given = to(&self.shelf.unkept_file(id))?;
        self.claim(id);
        Ok(given)
    }

    /// Removes a body that is part of no event.
    pub(crate) fn discard(&self, id: [u8; 16]) {
        for path in [self.shelf.unkept_file(id), self.shelf.file(id)] {
            if let Err(error) = layout::remove(&path) {
                tracing::warn!(error = %error, "a large body that nobody needs could not be removed");
            }
        }
        self.claim(id);
    }

    /// Removes a complete body that belongs to nothing yet.
    pub(crate) fn discard_unkept(&self, id: [u8; 16]) {
        let _ = layout::remove(&self.shelf.unkept_file(id));
        self.claim(id);
    }

    /// Opens a complete body, wherever it is.
    pub(crate) fn open_file(&self, id: [u8; 16]) -> io::Result<File> {
        let places = [self.shelf.unkept_file(id), self.shelf.file(id)];
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for place in places.into_iter().chain(self.rejected_file(id)) {
            match File::open(place) {
                Err(error) => last = error,
                opened => return opened,
            }
        }
        Err(last)
    }
}

/// A large body on its way to a file of its own. Dropped before it is kept, it is gone.
#[derive(Debug)]
pub struct BlobWriter {
    blobs: Arc<Blobs>,
    id: [u8; 16],
    bytes: u64,
    pieces: Vec<Bytes>,
    piece_bytes: usize,
    work: Work,
    is_finished: bool,
}

/// The file, and who has it.
#[derive(Debug)]
enum Work {
    Idle(Box<Writing>),
    Busy(JoinHandle<io::Result<Box<Writing>>>),
    Failed(Unavailable),
}

/// A file that is written, and its digest so far.
#[derive(Debug)]
struct Writing {
    file: File,
    digest: Sha256,
}

impl Writing {
    fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        for piece in pieces {
            self.digest.update(piece);
            self.file.write_all(piece)?;
        }
        Ok(())
    }
}

impl BlobWriter {
    pub(crate) async fn begin(blobs: Arc<Blobs>, id: [u8; 16]) -> Result<Self, Unavailable> {
        let creator = Arc::clone(&blobs);
        let file = blocking(move || creator.create(id)).await?;
        let work = Work::Idle(Box::new(Writing { file, digest: Sha256::new() }));
        Ok(Self {
            blobs,
            id,
            bytes: 0,
            pieces: Vec::new(),
            piece_bytes: 0,
            work,
            is_finished: false,
        })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the budget is spent, or the disk is full or failing.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Unavailable> {
        if let Work::Failed(cause) = self.work {
            return Err(cause);
        }
        if !self.blobs.reserve(chunk.len() as u64) {
            return Err(Unavailable::Behind);
        }
        self.bytes = self.bytes.saturating_add(chunk.len() as u64);
        self.piece_bytes = self.piece_bytes.saturating_add(chunk.len());
        self.pieces.push(chunk);
        if self.piece_bytes >= PIECE_BYTES {
            let mut writing = self.idle().await?;
            let pieces = std::mem::take(&mut self.pieces);
            self.piece_bytes = 0;
            self.work = Work::Busy(tokio::task::spawn_blocking(move || {
                writing.write(&pieces)?;
                Ok(writing)
            }));
        }
        Ok(())
    }

    /// Syncs the file. It is kept only once an event that holds it is appended.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the disk is full or failing.
    pub async fn finish(mut self) -> Result<Blob, Unavailable> {
        let mut writing = self.idle().await?;
        let pieces = std::mem::take(&mut self.pieces);
        let sha256 = blocking(move || {
            writing.write(&pieces)?;
            writing.file.sync_data()?;
            Ok(writing.digest.finalize().into())
        })
        .await?;
        self.is_finished = true;
        lock(&self.blobs.unkept).insert(self.id, (self.bytes, Instant::now()));
        Ok(Blob { id: self.id, bytes: self.bytes, sha256 })
    }

    /// Waits for the file.
    async fn idle(&mut self) -> Result<Box<Writing>, Unavailable> {
        // Whoever is cancelled here has lost the file; what comes then fails.
        match std::mem::replace(&mut self.work, Work::Failed(Unavailable::Failed)) {
            Work::Idle(writing) => Ok(writing),
            Work::Busy(handle) => match handle.await {
                Ok(Ok(writing)) => Ok(writing),
                Ok(Err(error)) => {
                    let cause = failed(&error);
                    self.work = Work::Failed(cause);
                    Err(cause)
                }
                Err(_) => Err(Unavailable::Failed),
            },
            Work::Failed(cause) => Err(cause),
        }
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = layout::remove(&self.blobs.shelf.unkept_file(self.id));
            self.blobs.release(self.bytes);
        }
    }
}

/// Runs what blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Unavailable> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| failed(&error)),
        Err(_) => Err(Unavailable::Failed),
    }
}

fn failed(error: &io::Error) -> Unavailable {
    tracing::error!(error = %error, "a large body could not be written");
    Unavailable::of_io(error)
}
