//! The seam between the journal and the file system: where tests put faults.
//!
//! Every write and sync of the live log passes here. Without [`Faults`] each is one
//! system call; with them, a test decides before each one whether it fails.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::settings::LogId;

/// What is about to be done to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new segment is created or a prepared one taken.
    Create(LogId),
    /// A batch is written.
    Write(LogId),
    /// A batch, or a lazy log, is synced.
    Sync(LogId),
    /// A failed batch is made unreadable.
    Invalidate(LogId),
    /// The next segment is about to be zeroed ahead.
    Prepare(LogId),
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done; this `errno`.
    Errno(i32),
    /// This many bytes are written, then this `errno`.
    Short(usize, i32),
    /// It is done, and still reported as failed with this `errno`.
    Late(i32),
}

/// Decides before each operation. May block, to play a disk that is stuck.
pub type Faults = Arc<dyn Fn(Operation) -> Option<Fault> + Send + Sync>;

/// The disk, with or without faults.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    faults: Option<Faults>,
}

impl Disk {
    pub(crate) fn with_faults(faults: Faults) -> Self {
        Self { faults: Some(faults) }
    }

    /// Writes `bytes` at `at`.
    pub(crate) fn write(
        &self,
        what: Operation,
        file: &File,
        bytes: &[u8],
        at: u64,
    ) -> io::Result<()> {
        let part = |count: usize| bytes.get(..count).unwrap_or(bytes);
        match self.fault(what) {
            None => file.write_all_at(bytes, at),
            Some(Fault::Errno(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Fault::Short(count, errno)) => {
                file.write_all_at(part(count), at)?;
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(Fault::Late(errno)) => {
                file.write_all_at(bytes, at)?;
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    /// Syncs the data of `file`.
    pub(crate) fn sync(&self, what: Operation, file: &File) -> io::Result<()> {
        self.act(what, || file.sync_data())
    }

    /// Does `act`, unless a fault forbids it.
    pub(crate) fn act<T>(
        &self,
        what: Operation,
        act: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        match self.fault(what) {
            None => act(),
            Some(Fault::Errno(errno) | Fault::Short(_, errno)) => {
                Err(io::Error::from_raw_os_error(errno))
            }
            Some(Fault::Late(errno)) => {
                act()?;
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    fn fault(&self, what: Operation) -> Option<Fault> {
        self.faults.as_ref().and_then(|it| it(what))
    }
}

/// Creates a file that only its owner reads, to be written.
pub(crate) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Makes what was created, renamed or removed in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Creates `folder` and what is missing above it, durably, for its owner only.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|it| !it.as_os_str().is_empty()) {
        create_folder(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match folder.parent().filter(|it| !it.as_os_str().is_empty()) {
        Some(parent) => sync_folder(parent),
        None => sync_folder(Path::new(".")),
    }
}

/// Removes a file; one that is not there is fine.
pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
