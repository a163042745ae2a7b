//! The way in: open, append, close.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use crate::disk::{self, Disk, Faults};
use crate::erase::{self, Erased};
use crate::lock;
use crate::log::LogWriter;
use crate::prepare::{self, Preparer, Request, Slot};
use crate::queue::{AppendError, Pending, Queue};
use crate::reader::{ReadError, Reader};
use crate::record::Position;
use crate::recover::{self, Recovered};
use crate::recovery::Recovery;
use crate::segment;
use crate::settings::{self, LogId, LogSettings, Settings};
use crate::statistics::{Counters, Statistics};
use crate::ticket::Ticket;
use crate::view::{Health, LogView};
use crate::writer::Writer;

/// Called on the writer thread once a batch, with the wakers of all its tickets
/// that were polled. It should hand them to the executor quickly: the next batch
/// waits for it.
pub type Wake = Arc<dyn Fn(Vec<Waker>) + Send + Sync>;

/// Wakes one after the other, on the writer thread.
#[must_use]
pub fn wake_inline() -> Wake {
    Arc::new(|wakers| wakers.into_iter().for_each(Waker::wake))
}

/// Why a journal was not opened. No file of it was changed, except by
/// [`OpenError::Io`].
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the folder open for writing, or this one twice.
    #[error("another process is writing the journal in {}; only one can", .0.display())]
    Locked(PathBuf),
    /// A newer version of this software wrote the journal; use that one.
    #[error(
        "{} was written in journal format {found}, but this version knows only {known} and older: use a newer version",
        path.display()
    )]
    NewerFormat {
        /// The segment.
        path: PathBuf,
        /// The version found.
        found: u32,
        /// The newest version that is known here.
        known: u32,
    },
    /// The folder cannot be written.
    #[error("the journal in {} is on a read-only file system or not permitted to be written", .0.display())]
    ReadOnly(PathBuf),
    /// The logs asked for cannot be logs of a journal.
    #[error("the logs of the journal are not possible: {0}")]
    Logs(&'static str),
    /// The system failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done, followed by `path`.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
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
}

/// A journal, open for writing. Only one at a time, on the whole machine.
///
/// Dropping it is [`Journal::close`].
pub struct Journal {
    queue: Arc<Queue>,
    views: Vec<Arc<LogView>>,
    counters: Arc<Counters>,
    reader: Reader,
    stop: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Released when the journal goes.
    _lock: Arc<File>,
}

impl Journal {
    /// Opens the journal in `folder` with these logs, creating what is missing, and
    /// says in [`Recovery`] what it found.
    ///
    /// The order of `logs` gives each its [`LogId`]; names must not change, but logs
    /// may be added.
    ///
    /// # Errors
    ///
    /// An [`OpenError`]; each says what to do.
    pub fn open(
        folder: &Path,
        logs: &[LogSettings],
        settings: Settings,
        wake: Wake,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(&Disk::default(), folder, logs, settings, wake)
    }

    /// As [`Journal::open`], on a disk that fails when `faults` says so. For tests.
    ///
    /// # Errors
    ///
    /// As [`Journal::open`].
    #[doc(hidden)]
    pub fn open_with_faults(
        folder: &Path,
        logs: &[LogSettings],
        settings: Settings,
        wake: Wake,
        faults: Faults,
    ) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(&Disk::with_faults(faults), folder, logs, settings, wake)
    }

    fn open_on(
        disk: &Disk,
        folder: &Path,
        logs: &[LogSettings],
        settings: Settings,
        wake: Wake,
    ) -> Result<(Self, Recovery), OpenError> {
        if let Some(fault) = settings::fault_in(logs) {
            return Err(OpenError::Logs(fault));
        }
        disk::create_folder(folder)
            .map_err(|it| OpenError::io("creating the folder", folder, it))?;
        let held = Arc::new(hold(folder)?);
        let Recovered { recovery, salt, logs: recovered } =
            recover::recover(folder, logs, &settings)?;

        let queue = Arc::new(Queue::new(logs.len(), salt, recovery.next_seq, &settings));
        let mut views = Vec::new();
        let mut writers = Vec::new();
        let mut slots = Vec::new();
        for ((index, log), found) in (0..).zip(logs).zip(recovered) {
            let view = Arc::new(LogView::new(log.name, folder.join(log.name), found.segments));
            let slot = Arc::new(Slot::default());
            prepare::adopt(&view.folder, &slot).map_err(|it| {
                OpenError::io("taking over the prepared segment in", &view.folder, it)
            })?;
            writers.push(LogWriter::new(
                LogId::new(index),
                (*log, &settings),
                (salt, disk.clone()),
                (Arc::clone(&view), Arc::clone(&slot)),
                found.start,
            ));
            slots.push((view.folder.clone(), slot));
            views.push(view);
        }

        let (prepare, requests) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let reader = Reader::live(&views);
        let counters = Arc::new(Counters::default());
        let writer = Writer {
            queue: Arc::clone(&queue),
            logs: writers,
            wake,
            settings,
            counters: Arc::clone(&counters),
            reader: reader.clone(),
            prepare,
            _lock: Arc::clone(&held),
        };
        let preparer = Preparer { logs: slots, disk: disk.clone(), stop: Arc::clone(&stop) };
        let threads = start(writer, preparer, requests)
            .map_err(|it| OpenError::io("starting a thread for", folder, it))?;
        let threads = Mutex::new(threads);
        Ok((Self { queue, views, counters, reader, stop, threads, _lock: held }, recovery))
    }

    /// Appends a record to `log`: copies it, and never waits for the disk. The
    /// [`Ticket`] says when it is committed.
    ///
    /// # Errors
    ///
    /// An [`AppendError`]: the record was not accepted.
    pub fn append(&self, log: LogId, head: &[u8], payload: &[u8]) -> Result<Ticket, AppendError> {
        self.queue.append(log, head, payload)
    }

    /// Gives the next record this sequence number, and the ones behind it those that follow.
    /// For who writes the copy of another journal: numbers may be left out, and those that a
    /// write which never finished had taken are given again. The number is above that of
    /// every committed record, and nothing waits for the disk.
    pub fn number_next(&self, seq: u64) {
        self.queue.number_next(seq);
    }

    /// Whether the record with this sequence number was accepted and then failed, in
    /// this process: it will never be in its log. (The newest 65,536 runs of failed
    /// numbers are remembered.)
    #[must_use]
    pub fn has_failed(&self, seq: u64) -> bool {
        self.queue.has_failed(seq)
    }

    /// Up to here, inclusive, each record is either committed or failed. Right after
    /// opening, one less than [`Journal::next_seq`].
    #[must_use]
    pub fn durable_seq(&self) -> u64 {
        self.queue.durable_seq()
    }

    /// The sequence number that the next accepted record gets.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.queue.next_seq()
    }

    /// What waits for the disk.
    #[must_use]
    pub fn pending(&self) -> Pending {
        self.queue.pending()
    }

    /// Whether the disk takes what is written: the worst of the logs. While it does
    /// not, an append is still tried; refuse earlier by asking here.
    #[must_use]
    pub fn health(&self) -> Health {
        let healths = self.views.iter().map(|it| it.health());
        healths.into_iter().find(|it| *it != Health::Healthy).unwrap_or_default()
    }

    /// What the journal did since it was opened.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.counters.snapshot(self.views.iter().map(|it| &**it))
    }

    /// A reader that knows how far each log is committed.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Erases the payload of a committed record: its bytes are zeroed and their
    /// space given back, durably. The head stays. Erasing twice is fine, and so is
    /// erasing what was dropped.
    ///
    /// After a crash the record may be marked while bytes remain: whoever wants the
    /// erasure keeps that wish (a tombstone) and erases again.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when no record is at `position`, `InvalidData` when what is
    /// there is corrupt, and whatever the system says. Erase again.
    pub fn erase(&self, log: LogId, position: Position) -> io::Result<()> {
        let erased = self.erase_all(log, &[position])?;
        if erased.damaged.is_empty() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// As [`Journal::erase`] for many records at once, which costs two syncs a segment.
    /// Where a record is damaged, the others are erased all the same, and
    /// [`Erased::damaged`] has its position.
    ///
    /// # Errors
    ///
    /// As [`Journal::erase`], but for what is corrupt. Some may be erased then.
    pub fn erase_all(&self, log: LogId, positions: &[Position]) -> io::Result<Erased> {
        let view = self.views.get(log.index()).ok_or(io::ErrorKind::InvalidInput)?;
        erase::erase(view, positions)
    }

    /// Drops the segments of `log` whose number is below `segment`, though never
    /// the newest; gives how many went.
    ///
    /// # Errors
    ///
    /// [`ReadError::NoSuchLog`], or [`ReadError::Io`] when a file stays; it is
    /// dropped with the next call after the journal was opened again.
    pub fn drop_before(&self, log: LogId, segment: u64) -> Result<u64, ReadError> {
        let view = self.views.get(log.index()).ok_or(ReadError::NoSuchLog)?;
        let mut segments = view.segments();
        segments.pop();
        let mut dropped = 0_u64;
        for (number, _) in segments.into_iter().filter(|(number, _)| *number < segment) {
            view.remove(number);
            self.reader.forget(log, number);
            let path = segment::path_of(&view.folder, number);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(ReadError::Io { doing: "dropping the segment", path, source });
                }
                _ => dropped = dropped.saturating_add(1),
            }
        }
        Ok(dropped)
    }

    /// Accepts nothing more, commits everything that waits, syncs, and stops the
    /// threads. A second call waits for the first.
    pub fn close(&self) {
        self.queue.close(false);
        self.stop.store(true, Ordering::Relaxed);
        let mut threads = lock(&self.threads);
        if threads.iter().any(|it| it.thread().id() == thread::current().id()) {
            // The last handle went inside of `wake`: the writer cannot wait for
            // itself, and ends when it comes back from there.
            return;
        }
        for thread in threads.drain(..) {
            // A panic was already turned into failed tickets.
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Journal").field("logs", &self.views).finish_non_exhaustive()
    }
}

/// Takes the lock of `folder`.
fn hold(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|it| OpenError::io("opening the lock", &path, it))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(OpenError::io("locking", &path, source)),
    }
}

/// Starts both threads. The preparer ends with the writer, which has the other end
/// of `requests`.
fn start(
    writer: Writer,
    preparer: Preparer,
    requests: Receiver<Request>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let preparer = thread::Builder::new()
        .name("journal-prepare".to_owned())
        .spawn(move || preparer.run(&requests))?;
    let writer = thread::Builder::new().name("journal".to_owned()).spawn(move || writer.run())?;
    Ok(vec![writer, preparer])
}
