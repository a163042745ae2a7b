//! What the writer tells the rest of the journal about each log: its segments,
//! how far they are written, and whether the disk takes writes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::lock;
use crate::ticket::CommitError;

/// Whether the disk takes what is written. Cleared by the next write that succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Health {
    /// The last write of every log succeeded.
    #[default]
    Healthy,
    /// The last write found no space.
    DiskFull,
    /// The last write found a file system that does not permit it.
    ReadOnly,
    /// The last write or sync failed otherwise.
    Failed,
}

impl Health {
    fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Healthy,
            1 => Self::DiskFull,
            2 => Self::ReadOnly,
            _ => Self::Failed,
        }
    }

    fn code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::DiskFull => 1,
            Self::ReadOnly => 2,
            Self::Failed => 3,
        }
    }
}

impl From<CommitError> for Health {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::DiskFull => Self::DiskFull,
            CommitError::ReadOnly => Self::ReadOnly,
            CommitError::Failed | CommitError::Closed => Self::Failed,
        }
    }
}

/// One segment, as far as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The length of the file.
    pub(crate) size: u32,
    /// Where the acknowledged bytes end.
    pub(crate) end: u32,
    /// Acknowledged records; of a log that keeps everything, only those written or
    /// verified since it was opened.
    pub(crate) records: u64,
}

/// One log. The writer changes it, everybody reads it.
#[derive(Debug)]
pub(crate) struct LogView {
    pub(crate) name: &'static str,
    pub(crate) folder: PathBuf,
    segments: Mutex<BTreeMap<u64, Extent>>,
    health: AtomicU8,
}

impl LogView {
    pub(crate) fn new(
        name: &'static str,
        folder: PathBuf,
        segments: BTreeMap<u64, Extent>,
    ) -> Self {
        Self { name, folder, segments: Mutex::new(segments), health: AtomicU8::new(0) }
    }

    pub(crate) fn set(&self, number: u64, extent: Extent) {
        lock(&self.segments).insert(number, extent);
    }

    pub(crate) fn remove(&self, number: u64) {
        lock(&self.segments).remove(&number);
    }

    pub(crate) fn get(&self, number: u64) -> Option<Extent> {
        lock(&self.segments).get(&number).copied()
    }

    /// The first segment at `number` or above.
    pub(crate) fn at_or_after(&self, number: u64) -> Option<u64> {
        lock(&self.segments).range(number..).next().map(|(number, _)| *number)
    }

    /// All segments, oldest first.
    pub(crate) fn segments(&self) -> Vec<(u64, Extent)> {
        lock(&self.segments).iter().map(|(number, extent)| (*number, *extent)).collect()
    }

    pub(crate) fn health(&self) -> Health {
        Health::from_code(self.health.load(Ordering::Acquire))
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(health.code(), Ordering::Release);
    }
}
