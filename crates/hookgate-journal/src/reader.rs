//! Reading: one record by its position, or a log from front to back.
//!
//! A [`Reader`] takes no lock and changes nothing. The one from
//! [`Journal::reader`] knows how far each segment is acknowledged; the one from
//! [`Reader::open`], for other processes, finds out from the bytes.
//!
//! [`Journal::reader`]: crate::Journal::reader

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::format::{self, PayloadState, Proven, RECORD_HEADER, RecordHeader, VERSION};
use crate::lock;
use crate::record::{Head, Payload, Position, Record};
use crate::scan::{HeadScan, Scan};
use crate::segment::{self, OpenFault, Segment};
use crate::settings::{self, LogId, LogSettings};
use crate::view::LogView;
use crate::walk::Bound;

/// Segment files held open: enough for a few scans and the random reads of a
/// dashboard, far below the usual limit of 1024 descriptors.
const FILES_MAX: usize = 32;

/// Read at once for a record: most webhooks with their head.
const READ_AHEAD: usize = 8 << 10;

/// After zeros a reader of another process looks this many bytes further before it
/// believes that the log ends there: more than a disk usually loses at once, and
/// still one cheap read for each look at the end of the log.
const LOOKAHEAD: u32 = 64 << 10;

/// Why a record was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its segment was dropped. A scan goes on with the oldest that is there.
    #[error("segment {segment} of the log was dropped")]
    Gone {
        /// The log.
        log: LogId,
        /// The segment.
        segment: u64,
    },
    /// What is there does not prove itself. A scan goes on behind it.
    #[error("{bytes} bytes at {} of segment {} are corrupt", position.offset, position.segment)]
    Corrupt {
        /// The log.
        log: LogId,
        /// Where the bad bytes start.
        position: Position,
        /// How many there are.
        bytes: u64,
    },
    /// The journal has no such log.
    #[error("there is no such log")]
    NoSuchLog,
    /// A newer version of this software wrote the segment.
    #[error("the segment has format {found}, but only {known} and older are known here")]
    NewerFormat {
        /// The version found.
        found: u32,
        /// The newest version that is known here.
        known: u32,
    },
    /// The system failed to read.
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

/// Reads a journal. Cheap to clone; the clones share the open files.
#[derive(Clone, Debug)]
pub struct Reader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    logs: Vec<LogFolder>,
    /// The most recently used last.
    files: Mutex<VecDeque<(LogId, Arc<Segment>)>>,
}

#[derive(Debug)]
struct LogFolder {
    name: &'static str,
    folder: PathBuf,
    /// In the process of the writer.
    view: Option<Arc<LogView>>,
}

impl Reader {
    /// Reads the journal in `folder`, also while another process writes it.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] when there is no such folder or it cannot be read,
    /// [`ReadError::NoSuchLog`] when `logs` cannot be logs of a journal.
    pub fn open(folder: &Path, logs: &[LogSettings]) -> Result<Self, ReadError> {
        if settings::fault_in(logs).is_some() {
            return Err(ReadError::NoSuchLog);
        }
        std::fs::read_dir(folder).map_err(|source| ReadError::Io {
            doing: "opening the folder",
            path: folder.to_owned(),
            source,
        })?;
        let folder_of = |it: &LogSettings| LogFolder {
            name: it.name,
            folder: folder.join(it.name),
            view: None,
        };
        Ok(Self::new(logs.iter().map(folder_of).collect()))
    }

    /// The reader in the process of the writer.
    pub(crate) fn live(views: &[Arc<LogView>]) -> Self {
        let folder_of = |it: &Arc<LogView>| LogFolder {
            name: it.name,
            folder: it.folder.clone(),
            view: Some(Arc::clone(it)),
        };
        Self::new(views.iter().map(folder_of).collect())
    }

    fn new(logs: Vec<LogFolder>) -> Self {
        Self { inner: Arc::new(Inner { logs, files: Mutex::default() }) }
    }

    /// The record at `position`, which a [`Committed`] or an earlier read gave.
    ///
    /// # Errors
    ///
    /// [`ReadError::Gone`] when its segment was dropped, [`ReadError::Corrupt`] when
    /// what is there does not prove itself, or another [`ReadError`].
    ///
    /// [`Committed`]: crate::Committed
    pub fn read(&self, log: LogId, position: Position) -> Result<Record, ReadError> {
        let segment = self.segment(log, position.segment)?;
        let bytes = record_at(&segment, position.offset)
            .map_err(|source| self.io("reading the segment", log, position.segment, source))?;
        Proven::decode(&bytes, segment.salt)
            .and_then(|it| record_of(log, position, it).ok())
            .ok_or(ReadError::Corrupt { log, position, bytes: bytes.len() as u64 })
    }

    /// The records of `log` in order: all, or from the one at `from` on, itself
    /// included.
    ///
    /// The iterator ends at the end of what is written. It is not fused: asked
    /// again, it goes on with what was written since.
    ///
    /// Damage is an item, and the next one is what follows it. When `from` was
    /// dropped, the first item is [`ReadError::Gone`].
    #[must_use]
    pub fn scan(&self, log: LogId, from: Option<Position>) -> Scan {
        Scan::new(self.clone(), log, from)
    }

    /// As [`Reader::scan`], without payloads and without comparing their checksums.
    #[must_use]
    pub fn scan_heads(&self, log: LogId, from: Option<Position>) -> HeadScan {
        HeadScan::new(self.clone(), log, from)
    }

    /// The open file of a segment.
    pub(crate) fn segment(&self, log: LogId, number: u64) -> Result<Arc<Segment>, ReadError> {
        let folder = self.folder(log)?;
        let gone = || ReadError::Gone { log, segment: number };
        let is_live = folder.view.is_some();
        if folder.view.as_ref().is_some_and(|it| it.get(number).is_none()) {
            self.forget(log, number);
            return Err(gone());
        }
        if let Some(segment) = self.cached(log, number) {
            if is_live || !segment.is_removed() {
                return Ok(segment);
            }
            self.forget(log, number);
        }
        let segment = match Segment::open(&folder.folder, folder.name, number) {
            Ok(segment) => Arc::new(segment),
            Err(OpenFault::Newer(found)) => {
                return Err(ReadError::NewerFormat { found, known: VERSION });
            }
            Err(OpenFault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Err(gone());
            }
            Err(OpenFault::Io(source)) => {
                return Err(self.io("opening the segment", log, number, source));
            }
        };
        // A header that is damaged may be one that is still being written.
        if segment.header.is_some() {
            let mut files = lock(&self.inner.files);
            if files.len() >= FILES_MAX {
                files.pop_front();
            }
            files.push_back((log, Arc::clone(&segment)));
        }
        Ok(segment)
    }

    fn cached(&self, log: LogId, number: u64) -> Option<Arc<Segment>> {
        let mut files = lock(&self.inner.files);
        let at = files.iter().rposition(|(of, it)| *of == log && it.number == number)?;
        if at.saturating_add(1) < files.len() {
            let entry = files.remove(at)?;
            files.push_back(entry);
        }
        files.back().map(|(_, it)| Arc::clone(it))
    }

    /// Closes a segment that was dropped, so that its space is free.
    pub(crate) fn forget(&self, log: LogId, number: u64) {
        lock(&self.inner.files).retain(|(of, it)| *of != log || it.number != number);
    }

    /// What is known about the end of segment `number`.
    pub(crate) fn bound(&self, log: LogId, number: u64) -> Result<Bound, ReadError> {
        let folder = self.folder(log)?;
        if let Some(view) = &folder.view {
            return Ok(Bound::Known(view.get(number).map_or(0, |it| it.end)));
        }
        let Some(next) = self.at_or_after(log, number.saturating_add(1))? else {
            return Ok(Bound::Open { lookahead: LOOKAHEAD });
        };
        let next = match self.segment(log, next) {
            Err(ReadError::Gone { .. }) => None,
            next => next?.header.as_ref().map(|it| it.previous_end),
        };
        Ok(match next.filter(|it| it.segment == number) {
            Some(end) => Bound::Known(end.offset),
            None => Bound::Open { lookahead: LOOKAHEAD },
        })
    }

    /// The first segment at `number` or above.
    pub(crate) fn at_or_after(&self, log: LogId, number: u64) -> Result<Option<u64>, ReadError> {
        let folder = self.folder(log)?;
        if let Some(view) = &folder.view {
            return Ok(view.at_or_after(number));
        }
        let numbers = segment::list(&folder.folder).map_err(|source| ReadError::Io {
            doing: "listing the folder",
            path: folder.folder.clone(),
            source,
        })?;
        Ok(numbers.into_iter().find(|it| *it >= number))
    }

    /// The error of a failed system call on a segment.
    pub(crate) fn io(
        &self,
        doing: &'static str,
        log: LogId,
        number: u64,
        source: io::Error,
    ) -> ReadError {
        match self.folder(log) {
            Ok(folder) => {
                ReadError::Io { doing, path: segment::path_of(&folder.folder, number), source }
            }
            Err(error) => error,
        }
    }

    fn folder(&self, log: LogId) -> Result<&LogFolder, ReadError> {
        self.inner.logs.get(log.index()).ok_or(ReadError::NoSuchLog)
    }
}

/// The bytes at `offset`, as many as the record there claims to have.
pub(crate) fn record_at(segment: &Segment, offset: u32) -> io::Result<Vec<u8>> {
    let at = u64::from(offset);
    let mut bytes = vec![0; READ_AHEAD];
    let read = segment::read_up_to(&segment.file, &mut bytes, at)?;
    let claimed = RecordHeader::decode(&bytes).and_then(|it| it.bytes()).unwrap_or(RECORD_HEADER);
    if claimed > read {
        // Only what is in the file: a damaged length must not cost its size.
        let rest = u64::from(segment.size()?).saturating_sub(at);
        if claimed as u64 <= rest {
            bytes.resize(claimed, 0);
            let (_, missing) = bytes.split_at_mut(read.min(claimed));
            segment.file.read_exact_at(missing, at.saturating_add(read as u64))?;
            return Ok(bytes);
        }
    }
    bytes.truncate(claimed.min(read));
    Ok(bytes)
}

/// The record as its reader gets it, or `Err` when its payload is damaged.
pub(crate) fn record_of(
    log: LogId,
    position: Position,
    proven: Proven<'_>,
) -> Result<Record, format::RecordHeader> {
    let payload = match proven.payload_state() {
        PayloadState::Whole => Payload::Present(proven.payload.to_vec()),
        PayloadState::Erased => Payload::Erased,
        PayloadState::Damaged => return Err(proven.header),
    };
    Ok(Record { seq: proven.header.seq, log, position, head: proven.head.to_vec(), payload })
}

/// The record without its payload.
pub(crate) fn head_of(log: LogId, position: Position, proven: Proven<'_>) -> Head {
    Head {
        seq: proven.header.seq,
        log,
        position,
        head: proven.head.to_vec(),
        payload_bytes: proven.header.payload_bytes,
        erased: proven.is_marked_erased(),
    }
}
