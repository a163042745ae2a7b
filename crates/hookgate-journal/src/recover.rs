//! Opening what an earlier process left: verify, report, set torn tails aside.
//!
//! Headers of all segments are validated; only the last two segments of a log, and
//! those the caller asks for, are read in full, so that ten gigabytes open in
//! seconds. [`check`](crate::check()) reads everything.
//!
//! What is bad *before* a place that a later header calls durable, or that the
//! caller's index knows, is corruption: reported, left where it is, its good records
//! delivered. What is bad *behind* it was never acknowledged: moved to `lost/`.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use crate::content::{Content, contents};
use crate::disk;
use crate::format::{BLOCK, BatchHeader, SegmentHeader, VERSION};
use crate::journal::OpenError;
use crate::log::{Active, Start};
use crate::lost;
use crate::record::Position;
use crate::recovery::{Corrupt, Recovery, Torn};
use crate::segment::{self, OpenFault, Segment};
use crate::settings::{LogId, LogSettings, Retention, Settings};
use crate::view::Extent;
use crate::walk::{Bound, Walk, bound_before};

/// The segments at the end of a log that are always read in full.
const VERIFIED_SEGMENTS: usize = 2;

/// What the journal starts from.
pub(crate) struct Recovered {
    pub(crate) recovery: Recovery,
    pub(crate) salt: u64,
    pub(crate) logs: Vec<RecoveredLog>,
}

/// What one log starts from.
pub(crate) struct RecoveredLog {
    pub(crate) segments: BTreeMap<u64, Extent>,
    pub(crate) start: Start,
}

/// Recovers all logs of the journal in `folder`.
pub(crate) fn recover(
    folder: &Path,
    logs: &[LogSettings],
    settings: &Settings,
) -> Result<Recovered, OpenError> {
    let mut found = Vec::new();
    for (index, log) in (0..).zip(logs) {
        found.push(Found::survey(LogId::new(index), *log, folder.join(log.name))?);
    }
    // Nothing was changed up to here: every segment is of a version known here.
    let mut recovery = Recovery::default();
    for log in &mut found {
        disk::create_folder(&log.folder)
            .map_err(|it| OpenError::io("creating the folder", &log.folder, it))?;
        log.drop_unborn(folder, &mut recovery)?;
        log.verify(settings, &mut recovery)?;
    }
    let known = settings.known_durable.unwrap_or(0);
    let last_seq = found.iter().map(|it| it.last_seq).max().unwrap_or(0);
    let promise = Promise { known, last_seq };
    let mut recovered = Vec::new();
    for log in &mut found {
        recovered.push(log.finish(folder, promise, &mut recovery)?);
    }
    let last_seq = found.iter().map(|it| it.last_seq).max().unwrap_or(0);
    recovery.missing = (known > last_seq).then(|| last_seq.saturating_add(1)..=known);
    let expected = found.iter().map(|it| it.next_seq).max().unwrap_or(0);
    recovery.next_seq = expected.max(last_seq.saturating_add(1)).max(known.saturating_add(1));
    let salt = found.iter().rev().find_map(Found::salt).unwrap_or_else(random);
    Ok(Recovered { recovery, salt, logs: recovered })
}

/// A number that nobody can guess: the standard library's hash keys come from the
/// operating system.
fn random() -> u64 {
    RandomState::new().hash_one("salt")
}

/// What the caller's index knows, and what all logs together hold.
#[derive(Clone, Copy)]
struct Promise {
    known: u64,
    last_seq: u64,
}

impl Promise {
    /// Whether a bad tail was acknowledged: by its own header, or because something
    /// is missed and this may be it.
    fn covers(self, tail: Option<BatchHeader>) -> bool {
        tail.map_or(self.last_seq < self.known, |it| it.first_seq <= self.known)
    }
}

/// One log, being recovered.
struct Found {
    id: LogId,
    settings: LogSettings,
    folder: PathBuf,
    surveyed: Vec<Surveyed>,
    extents: BTreeMap<u64, Extent>,
    /// The highest sequence number of a record.
    last_seq: u64,
    /// The highest sequence number that anything promises to be free.
    next_seq: u64,
    /// Above every segment ever seen.
    next_number: u64,
    /// The newest segment has damage before its end.
    is_damaged: bool,
}

/// One segment, as its header tells.
struct Surveyed {
    number: u64,
    header: Option<SegmentHeader>,
    size: u32,
}

impl Found {
    fn survey(id: LogId, settings: LogSettings, folder: PathBuf) -> Result<Self, OpenError> {
        let numbers = segment::list(&folder)
            .map_err(|it| OpenError::io("listing the folder", &folder, it))?;
        let mut found = Self {
            id,
            settings,
            folder,
            surveyed: Vec::new(),
            extents: BTreeMap::new(),
            last_seq: 0,
            next_seq: 1,
            next_number: numbers.last().map_or(1, |it| it.saturating_add(1)),
            is_damaged: false,
        };
        for number in numbers {
            let segment = found.open(number)?;
            let size = segment.size().map_err(|it| found.io(number, it))?;
            found.next_seq =
                segment.header.as_ref().map_or(0, |it| it.first_seq).max(found.next_seq);
            found.surveyed.push(Surveyed { number, header: segment.header, size });
        }
        Ok(found)
    }

    fn salt(&self) -> Option<u64> {
        self.surveyed.iter().rev().find_map(|it| it.header.as_ref()).map(|it| it.salt)
    }

    /// Removes a newest segment that holds nothing yet: its process ended before the
    /// first batch was durable, and with it the header.
    fn drop_unborn(&mut self, folder: &Path, recovery: &mut Recovery) -> Result<(), OpenError> {
        while let Some(newest) = self.surveyed.last().filter(|it| it.header.is_none()) {
            let (number, size) = (newest.number, newest.size);
            let segment = self.open(number)?;
            let is_born =
                segment.find_batch(BLOCK, size, size).map_err(|it| self.io(number, it))?.is_some();
            if is_born {
                return Ok(());
            }
            recovery.torn.extend(self.set_aside(folder, &segment, 0)?);
            let path = segment::path_of(&self.folder, number);
            fs::remove_file(&path).map_err(|it| OpenError::io("removing", &path, it))?;
            self.surveyed.pop();
        }
        Ok(())
    }

    /// Reads what must be read, and notes the end of each segment.
    fn verify(&mut self, settings: &Settings, recovery: &mut Recovery) -> Result<(), OpenError> {
        let from =
            settings.verify_from.iter().find(|(log, _)| *log == self.id).map(|(_, it)| it.segment);
        let surveyed = std::mem::take(&mut self.surveyed);
        let count = surveyed.len();
        for (index, segment) in surveyed.iter().enumerate() {
            let next = surveyed.get(index.saturating_add(1));
            let bound = bound_before(next.and_then(|it| it.header.as_ref()), segment.number);
            let is_last = next.is_none();
            if segment.header.is_none() {
                recovery.corrupt.push(self.corrupt(segment.number, 0, BLOCK.into()));
                self.is_damaged |= is_last;
            }
            let is_asked_for = from.is_some_and(|it| segment.number >= it);
            let extent = match bound {
                Bound::Known(end)
                    if index.saturating_add(VERIFIED_SEGMENTS) < count && !is_asked_for =>
                {
                    Extent {
                        size: segment.size,
                        end,
                        records: self.count(segment.number, segment.size)?,
                    }
                }
                _ => self.read(segment, bound, is_last, recovery)?,
            };
            self.extents.insert(segment.number, extent);
        }
        self.surveyed = surveyed;
        Ok(())
    }

    /// The records of an older segment of a ring, by its batch headers.
    fn count(&self, number: u64, size: u32) -> Result<u64, OpenError> {
        if self.settings.retention == Retention::Keep {
            return Ok(0);
        }
        let segment = self.open(number)?;
        let (mut at, mut records) = (BLOCK, 0_u64);
        while let Ok(header) = segment.batch_at(at, size).map_err(|it| self.io(number, it))? {
            records = records.saturating_add(header.records.into());
            at = header.end().unwrap_or(u32::MAX);
        }
        Ok(records)
    }

    /// Reads a segment in full.
    fn read(
        &mut self,
        surveyed: &Surveyed,
        bound: Bound,
        is_last: bool,
        recovery: &mut Recovery,
    ) -> Result<Extent, OpenError> {
        let segment = self.open(surveyed.number)?;
        let mut walk = Walk::new(&segment, BLOCK, bound);
        let records = self.tally(&mut walk, &segment, is_last, recovery)?;
        let end = walk.at();
        if let (Bound::Open { .. }, false) = (bound, is_last) {
            // The next segment cannot say where this one ended.
            let written = segment.written_end(end).map_err(|it| self.io(segment.number, it))?;
            if written > end {
                recovery.corrupt.push(self.corrupt(segment.number, end, u64::from(written - end)));
            }
        }
        Ok(Extent { size: surveyed.size, end, records })
    }

    /// Walks to the end, counting records and noting damage.
    fn tally(
        &mut self,
        walk: &mut Walk<'_>,
        segment: &Segment,
        is_last: bool,
        recovery: &mut Recovery,
    ) -> Result<u64, OpenError> {
        let mut records = 0_u64;
        while let Some(region) = walk.next().map_err(|it| self.io(segment.number, it))? {
            let faults = recovery.corrupt.len();
            for item in contents(segment, region, walk.body()) {
                match item {
                    Content::Record { seq, .. } => {
                        records = records.saturating_add(1);
                        self.last_seq = self.last_seq.max(seq);
                    }
                    Content::Bad { offset, bytes } => {
                        recovery.corrupt.push(self.corrupt(segment.number, offset, bytes));
                    }
                }
            }
            self.is_damaged |= is_last && recovery.corrupt.len() > faults;
        }
        recovery.records = recovery.records.saturating_add(records);
        Ok(records)
    }

    /// Deals with the tail of the newest segment, and makes it ready for appending.
    fn finish(
        &mut self,
        folder: &Path,
        promise: Promise,
        recovery: &mut Recovery,
    ) -> Result<RecoveredLog, OpenError> {
        let mut start = Start {
            active: None,
            end: Position { segment: 0, offset: 0 },
            next_number: self.next_number,
            newest_size: self.surveyed.last().map_or(0, |it| it.size),
        };
        if let Some(number) = self.surveyed.last().map(|it| it.number) {
            self.settle_tail(folder, number, promise, recovery)?;
            self.sync(number)?;
            let extent = self.extents.get(&number).copied();
            start.end.segment = number;
            start.end.offset = extent.map_or(BLOCK, |it| it.end);
            start.active = self.reopen(number, extent)?;
        }
        disk::sync_folder(&self.folder)
            .map_err(|it| OpenError::io("syncing the folder", &self.folder, it))?;
        Ok(RecoveredLog { segments: std::mem::take(&mut self.extents), start })
    }

    /// What was read may be in memory only, left by a process that was killed before
    /// it synced. From here on it counts as durable, so it has to be.
    fn sync(&self, number: u64) -> Result<(), OpenError> {
        let path = segment::path_of(&self.folder, number);
        let synced = File::open(&path).and_then(|it| it.sync_data());
        synced.map_err(|it| OpenError::io("syncing", &path, it))
    }

    /// What stands behind the last good batch: nothing, a torn tail, or, when the
    /// index knows more, corruption.
    fn settle_tail(
        &mut self,
        folder: &Path,
        number: u64,
        promise: Promise,
        recovery: &mut Recovery,
    ) -> Result<(), OpenError> {
        let segment = self.open(number)?;
        let Some(mut extent) = self.extents.get(&number).copied() else { return Ok(()) };
        let written = segment.written_end(extent.end).map_err(|it| self.io(number, it))?;
        if written <= extent.end {
            return Ok(());
        }
        let size = segment.size().map_err(|it| self.io(number, it))?;
        let header = segment.batch_at(extent.end, size).map_err(|it| self.io(number, it))?.ok();
        if let Some(header) = header {
            self.next_seq =
                self.next_seq.max(header.first_seq.saturating_add(header.records.into()));
        }
        if promise.covers(header) {
            let end = written.checked_next_multiple_of(BLOCK).unwrap_or(written);
            let mut walk = Walk::new(&segment, extent.end, Bound::Known(end));
            let records = self.tally(&mut walk, &segment, true, recovery)?;
            extent = Extent {
                size: extent.size,
                end: walk.at(),
                records: extent.records.saturating_add(records),
            };
            self.extents.insert(number, extent);
            return Ok(());
        }
        recovery.torn.extend(self.set_aside(folder, &segment, extent.end)?);
        Ok(())
    }

    /// Moves what is written from `at` on to `lost/`.
    fn set_aside(
        &self,
        folder: &Path,
        segment: &Segment,
        at: u32,
    ) -> Result<Option<Torn>, OpenError> {
        let end = segment.written_end(at).map_err(|it| self.io(segment.number, it))?;
        if end <= at {
            return Ok(None);
        }
        let bytes = u64::from(end - at);
        let path = segment::path_of(&self.folder, segment.number);
        let moved_to = lost::set_aside(folder, self.settings.name, segment, at..end)
            .map_err(|it| OpenError::io("moving a torn tail to `lost` from", &path, it))?;
        Ok(Some(Torn { log: self.id, segment: segment.number, offset: at, bytes, moved_to }))
    }

    /// Opens the newest segment for appending, unless it is damaged: then the log
    /// goes on in a new one, whose header says where this one ended.
    fn reopen(&self, number: u64, extent: Option<Extent>) -> Result<Option<Active>, OpenError> {
        let header = self.surveyed.last().and_then(|it| it.header.as_ref());
        let (Some(header), Some(extent), false) = (header, extent, self.is_damaged) else {
            return Ok(None);
        };
        let path = segment::path_of(&self.folder, number);
        let open = || -> io::Result<File> {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            if file.metadata()?.len() < u64::from(header.size) {
                file.set_len(header.size.into())?;
            }
            Ok(file)
        };
        let file = open().map_err(|it| OpenError::io("opening for appending", &path, it))?;
        Ok(Some(Active {
            file,
            number,
            size: header.size,
            at: extent.end,
            records: extent.records,
            since: std::time::Instant::now(),
            is_preparing: false,
            is_new: false,
        }))
    }

    fn open(&self, number: u64) -> Result<Segment, OpenError> {
        let path = || segment::path_of(&self.folder, number);
        Segment::open(&self.folder, self.settings.name, number).map_err(|fault| match fault {
            OpenFault::Io(source) => OpenError::io("opening", &path(), source),
            OpenFault::Newer(found) => {
                OpenError::NewerFormat { path: path(), found, known: VERSION }
            }
        })
    }

    fn io(&self, number: u64, source: io::Error) -> OpenError {
        OpenError::io("reading", &segment::path_of(&self.folder, number), source)
    }

    fn corrupt(&self, segment: u64, offset: u32, bytes: u64) -> Corrupt {
        Corrupt { log: self.id, segment, offset, bytes }
    }
}
