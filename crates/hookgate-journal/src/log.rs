//! The writing end of one log: its active segment, rotation, and what happens when
//! the disk fails.
//!
//! A failed write or sync *poisons the segment*. After a failed `fdatasync` the
//! kernel forgets which pages were not written, so a second try on the same file
//! proves nothing; the batch is made unreadable and the log goes on in a new file.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::disk::{self, Disk, Operation};
use crate::format::{BATCH_HEADER, BLOCK, BLOCK_BYTES, BatchHeader, SegmentHeader};
use crate::prepare::{Prepared, Slot};
use crate::queue::Part;
use crate::record::Position;
use crate::segment;
use crate::settings::{
    LAZY_SYNC, LogId, LogSettings, Retention, SEGMENT_BYTES_MIN, Settings, Sync,
};
use crate::ticket::CommitError;
use crate::view::{Extent, Health, LogView};

/// A new segment is prepared when the active one is this part full: late enough
/// that an idle installation stays small, early enough under load.
const PREPARE_AT_PART: u32 = 4;

/// A ring has at least this many segments, so that dropping one drops a part only.
const RING_PARTS: u64 = 4;

/// The segment being written.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: File,
    pub(crate) number: u64,
    pub(crate) size: u32,
    /// Where the next batch goes.
    pub(crate) at: u32,
    pub(crate) records: u64,
    /// Since when it is written to.
    pub(crate) since: Instant,
    /// The next one was asked for.
    pub(crate) is_preparing: bool,
    /// The name is not durable yet.
    pub(crate) is_new: bool,
}

/// Where a log stands when its writer starts.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) active: Option<Active>,
    /// Where the acknowledged bytes end.
    pub(crate) end: Position,
    /// The number of the next segment.
    pub(crate) next_number: u64,
    /// The size of the newest segment, or zero.
    pub(crate) newest_size: u32,
}

/// The writing end of one log.
pub(crate) struct LogWriter {
    id: LogId,
    settings: LogSettings,
    segment_bytes: (u64, u64),
    calm: Duration,
    salt: u64,
    disk: Disk,
    view: Arc<LogView>,
    slot: Arc<Slot>,
    active: Option<Active>,
    /// Where the acknowledged bytes end.
    end: Position,
    /// Where the synced bytes end.
    durable_end: Position,
    next_number: u64,
    newest_size: u32,
    /// When the oldest unsynced batch of a lazy log was written.
    unsynced_since: Option<Instant>,
    /// Segments of a ring that went, for the readers to close.
    dropped: Vec<u64>,
}

impl LogWriter {
    pub(crate) fn new(
        id: LogId,
        (log, settings): (LogSettings, &Settings),
        (salt, disk): (u64, Disk),
        (view, slot): (Arc<LogView>, Arc<Slot>),
        start: Start,
    ) -> Self {
        Self {
            id,
            settings: log,
            segment_bytes: segment_bytes(&log, settings),
            calm: settings.calm,
            salt,
            disk,
            view,
            slot,
            active: start.active,
            end: start.end,
            durable_end: start.end,
            next_number: start.next_number,
            newest_size: start.newest_size,
            unsynced_since: None,
            dropped: Vec::new(),
        }
    }

    /// Writes the records of `part` and, for a durable log, syncs them. Gives where
    /// the batch starts.
    ///
    /// # Errors
    ///
    /// None of the records is acknowledged; the segment is poisoned, and the next
    /// commit opens another.
    pub(crate) fn commit(&mut self, part: &mut Part) -> Result<Position, CommitError> {
        let result = self.try_commit(part);
        match &result {
            Ok(_) => self.view.set_health(Health::Healthy),
            Err(error) => {
                self.view.set_health(cause_of(error).into());
                self.poison();
            }
        }
        result.map_err(|error| cause_of(&error))
    }

    fn try_commit(&mut self, part: &mut Part) -> io::Result<Position> {
        let body_bytes = part.buffer.len().saturating_sub(BATCH_HEADER);
        part.buffer.resize(part.buffer.len().next_multiple_of(BLOCK_BYTES), 0);
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let bytes = u32::try_from(part.buffer.len()).map_err(|_| too_large())?;
        if !self.has_room(bytes) {
            self.rotate(bytes, part.first_seq)?;
        }
        let active = self.active.as_mut().ok_or_else(too_large)?;
        let position = Position { segment: active.number, offset: active.at };
        let header = BatchHeader {
            position,
            body_bytes: u32::try_from(body_bytes).map_err(|_| too_large())?,
            first_seq: part.first_seq,
            records: part.records,
            durable_end: self.durable_end,
        };
        if let Some(room) = part.buffer.first_chunk_mut() {
            *room = header.encode(self.salt);
        }
        self.disk.write(Operation::Write(self.id), &active.file, &part.buffer, active.at.into())?;
        let end = Position { segment: active.number, offset: active.at.saturating_add(bytes) };
        match self.settings.sync {
            Sync::Durable => {
                self.disk.sync(Operation::Sync(self.id), &active.file)?;
                if active.is_new {
                    disk::sync_folder(&self.view.folder)?;
                    active.is_new = false;
                }
                self.durable_end = end;
            }
            Sync::Lazy => {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
        }
        self.newest_size = active.size;
        active.at = end.offset;
        active.records = active.records.saturating_add(part.records.into());
        self.end = end;
        let extent = Extent { size: active.size, end: end.offset, records: active.records };
        self.view.set(active.number, extent);
        Ok(position)
    }

    fn has_room(&self, bytes: u32) -> bool {
        let records_max = segment_records_max(self.settings.retention);
        self.active.as_ref().is_some_and(|it| {
            it.records < records_max && it.at.checked_add(bytes).is_some_and(|end| end <= it.size)
        })
    }

    /// Opens the next segment, with room for `bytes`: the prepared one if it is
    /// ready, else a fresh one, without waiting.
    fn rotate(&mut self, bytes: u32, first_seq: u64) -> io::Result<()> {
        self.sync_lazy();
        self.active = None;
        let needed = bytes.saturating_add(BLOCK);
        let number = self.next_number;
        let (first, max) = self.segment_bytes;
        let wanted = u64::from(self.newest_size).saturating_mul(2).clamp(first, max);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).max(needed);
        self.trim(wanted);
        let (file, size) = self.create(number, (needed, wanted), first_seq)?;
        self.active = Some(Active {
            file,
            number,
            size,
            at: BLOCK,
            records: 0,
            since: Instant::now(),
            is_preparing: false,
            is_new: true,
        });
        self.next_number = number.saturating_add(1);
        Ok(())
    }

    /// Makes segment `number`. It gets its name last: a reader that sees it sees its
    /// header, which says where the segment before it ended.
    fn create(
        &self,
        number: u64,
        (needed, wanted): (u32, u32),
        first_seq: u64,
    ) -> io::Result<(File, u32)> {
        let folder = &self.view.folder;
        let operation = Operation::Create(self.id);
        let prepared = self.slot.take(needed);
        let (file, size, name) = if let Some(Prepared { file, size }) = prepared {
            self.disk.act(operation, || Ok(()))?;
            (file, size, folder.join(segment::NEXT))
        } else {
            let name = folder.join(segment::NEW);
            let file = self.disk.act(operation, || {
                disk::remove_if_there(&name)?;
                let file = disk::create_new(&name)?;
                file.set_len(wanted.into())?;
                Ok(file)
            })?;
            (file, wanted, name)
        };
        let header = SegmentHeader {
            salt: self.salt,
            number,
            first_seq,
            created_at_ms: now_ms(),
            size,
            previous_end: self.end,
            log: self.settings.name.to_owned(),
        };
        self.disk.write(Operation::Write(self.id), &file, &header.encode(), 0)?;
        fs::rename(name, segment::path_of(folder, number))?;
        Ok((file, size))
    }

    /// Leaves the active segment for good. The failed batch is made unreadable as
    /// far as the disk permits; a segment without any acknowledged batch goes.
    fn poison(&mut self) {
        let Some(active) = self.active.take() else { return };
        let zeros = [0; BLOCK_BYTES];
        let operation = Operation::Invalidate(self.id);
        // Best effort: the header of the next segment says where this one ends.
        let _ = self.disk.write(operation, &active.file, &zeros, active.at.into());
        let _ = self.disk.sync(operation, &active.file);
        if active.at == BLOCK {
            let path = segment::path_of(&self.view.folder, active.number);
            let removed = self.disk.act(operation, || fs::remove_file(path));
            // Kept or not, no file is left behind for each failure of a bad disk.
            match removed {
                Ok(()) => self.next_number = active.number,
                Err(_) => self.end = Position { segment: active.number, offset: BLOCK },
            }
        }
        self.unsynced_since = None;
    }

    /// When a lazy log wants to be synced.
    pub(crate) fn sync_due(&self) -> Option<Instant> {
        self.unsynced_since.and_then(|it| it.checked_add(LAZY_SYNC))
    }

    /// Syncs a lazy log, if there is anything to sync. A failure poisons the
    /// segment: what it holds was acknowledged without a promise.
    pub(crate) fn sync_lazy(&mut self) {
        if self.unsynced_since.take().is_none() {
            return;
        }
        let Some(active) = self.active.as_mut() else { return };
        let result = self.disk.sync(Operation::Sync(self.id), &active.file).and_then(|()| {
            if active.is_new { disk::sync_folder(&self.view.folder) } else { Ok(()) }
        });
        match result {
            Ok(()) => {
                active.is_new = false;
                self.durable_end = self.end;
            }
            Err(error) => {
                self.view.set_health(cause_of(&error).into());
                self.active = None;
            }
        }
    }

    /// The size of the segment to prepare, once for each active one.
    pub(crate) fn wants_prepared(&mut self) -> Option<u32> {
        let active = self.active.as_mut()?;
        if active.is_preparing || active.at < active.size / PREPARE_AT_PART {
            return None;
        }
        if active.since.elapsed() < self.calm {
            return None;
        }
        active.is_preparing = true;
        let (first, max) = self.segment_bytes;
        u32::try_from(u64::from(active.size).saturating_mul(2).clamp(first, max)).ok()
    }

    /// Makes room in a ring for a segment of `size` bytes: drops the oldest segments,
    /// though never the newest, which carries the sequence.
    fn trim(&mut self, size: u32) {
        let Retention::Ring { bytes_max, records_max } = self.settings.retention else { return };
        let mut segments = self.view.segments();
        let mut bytes = u64::from(size);
        let mut records = segment_records_max(self.settings.retention);
        for (_, extent) in &segments {
            bytes = bytes.saturating_add(extent.size.into());
            records = records.saturating_add(extent.records);
        }
        segments.pop();
        for (number, extent) in segments {
            if bytes <= bytes_max && records <= records_max {
                break;
            }
            bytes = bytes.saturating_sub(extent.size.into());
            records = records.saturating_sub(extent.records);
            self.view.remove(number);
            // Best effort: what stays is found, and dropped, when the journal opens.
            let _ = fs::remove_file(segment::path_of(&self.view.folder, number));
            self.dropped.push(number);
        }
    }

    /// The segments that were dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dropped)
    }
}

/// A segment with this many records takes no further batch.
fn segment_records_max(retention: Retention) -> u64 {
    match retention {
        Retention::Keep => u64::MAX,
        Retention::Ring { records_max, .. } => (records_max / RING_PARTS).max(1),
    }
}

/// The first and the largest segment of a log, in bytes.
pub(crate) fn segment_bytes(log: &LogSettings, settings: &Settings) -> (u64, u64) {
    let block = u64::from(BLOCK);
    let share = match log.retention {
        Retention::Keep => u64::MAX,
        Retention::Ring { bytes_max, .. } => bytes_max / RING_PARTS,
    };
    // Half of what an offset can address, so that a batch always fits above it.
    let bounded = |it: u64| {
        let whole = it.min(share).clamp(SEGMENT_BYTES_MIN, 1 << 31);
        whole - whole % block
    };
    let first = bounded(settings.segment_bytes_first);
    (first, bounded(settings.segment_bytes_max).max(first))
}

/// Why a write failed, as callers need to know it.
pub(crate) fn cause_of(error: &io::Error) -> CommitError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => CommitError::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            CommitError::ReadOnly
        }
        _ => CommitError::Failed,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
