//! The full check: every checksum of every record, read-only, also beside a writer.

use std::io;
use std::path::{Path, PathBuf};

use crate::content::{Content, contents};
use crate::format::{BLOCK, SegmentHeader, VERSION};
use crate::recovery::Corrupt;
use crate::segment::{self, OpenFault, Segment};
use crate::settings::{self, LogId, LogSettings};
use crate::walk::{Bound, Walk, bound_before};

/// What [`check()`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segment files read.
    pub segments: u64,
    /// Records whose head proves itself, and whose payload does or was erased.
    pub records: u64,
    /// Of these, the erased.
    pub erased: u64,
    /// The bytes read.
    pub bytes: u64,
    /// What does not prove itself although it was acknowledged.
    pub corrupt: Vec<Corrupt>,
    /// Bytes behind the end of a log: a torn tail that the next open sets aside, or
    /// a batch that is being written right now.
    pub unfinished: Vec<Corrupt>,
}

/// How far a [`check()`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The log being read.
    pub log: LogId,
    /// The segment that was just finished.
    pub segment: u64,
    /// Bytes of segment files read so far.
    pub bytes_done: u64,
    /// Bytes of segment files in all.
    pub bytes_total: u64,
}

/// Why a journal could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The logs asked for cannot be logs of a journal.
    #[error("the logs of the journal are not possible: {0}")]
    Logs(&'static str),
    /// A newer version of this software wrote the journal; use that one.
    #[error("{} has journal format {found}, but this version knows only {known} and older", path.display())]
    NewerFormat {
        /// The segment.
        path: PathBuf,
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

/// Reads every byte of the journal in `folder` and compares every checksum. Changes
/// nothing and takes no lock. `progress` is called after each segment.
///
/// # Errors
///
/// A [`CheckError`] when something could not be *read*; what was read and is bad is
/// in the [`Report`].
pub fn check(
    folder: &Path,
    logs: &[LogSettings],
    mut progress: impl FnMut(Progress),
) -> Result<Report, CheckError> {
    if let Some(fault) = settings::fault_in(logs) {
        return Err(CheckError::Logs(fault));
    }
    let mut plan = Vec::new();
    for (index, log) in (0..).zip(logs) {
        let folder = folder.join(log.name);
        let numbers =
            segment::list(&folder).map_err(|it| io_error("listing the folder", &folder, it))?;
        plan.push((LogId::new(index), log.name, folder, numbers));
    }
    let paths = plan
        .iter()
        .flat_map(|(_, _, folder, numbers)| numbers.iter().map(|it| segment::path_of(folder, *it)));
    let bytes_total = paths.filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum();
    let mut report = Report::default();
    for (log, name, folder, numbers) in &plan {
        for (index, number) in numbers.iter().enumerate() {
            let next = match numbers.get(index.saturating_add(1)) {
                Some(next) => open(folder, name, *next)?,
                None => None,
            };
            // A ring may drop a segment meanwhile.
            if let Some(segment) = open(folder, name, *number)? {
                let is_last = index.saturating_add(1) == numbers.len();
                let next = next.and_then(|it| it.header);
                check_segment(*log, &segment, next.as_ref(), is_last, &mut report)
                    .map_err(|it| io_error("reading", &segment::path_of(folder, *number), it))?;
            }
            progress(Progress {
                log: *log,
                segment: *number,
                bytes_done: report.bytes,
                bytes_total,
            });
        }
    }
    Ok(report)
}

fn check_segment(
    log: LogId,
    segment: &Segment,
    next: Option<&SegmentHeader>,
    is_last: bool,
    report: &mut Report,
) -> io::Result<()> {
    let corrupt = |offset, bytes| Corrupt { log, segment: segment.number, offset, bytes };
    if segment.header.is_none() {
        let fault = corrupt(0, BLOCK.into());
        if is_last { report.unfinished.push(fault) } else { report.corrupt.push(fault) }
    }
    let bound = bound_before(next, segment.number);
    let mut walk = Walk::new(segment, BLOCK, bound);
    while let Some(region) = walk.next()? {
        for content in contents(segment, region, walk.body()) {
            match content {
                Content::Record { is_erased, .. } => {
                    report.records = report.records.saturating_add(1);
                    report.erased = report.erased.saturating_add(is_erased.into());
                }
                Content::Bad { offset, bytes } => report.corrupt.push(corrupt(offset, bytes)),
            }
        }
    }
    if matches!(bound, Bound::Open { .. }) {
        let written = segment.written_end(walk.at())?;
        if written > walk.at() {
            let fault = corrupt(walk.at(), u64::from(written - walk.at()));
            if is_last { report.unfinished.push(fault) } else { report.corrupt.push(fault) }
        }
    }
    report.segments = report.segments.saturating_add(1);
    report.bytes = report.bytes.saturating_add(segment.size()?.into());
    Ok(())
}

fn open(folder: &Path, name: &str, number: u64) -> Result<Option<Segment>, CheckError> {
    let path = || segment::path_of(folder, number);
    match Segment::open(folder, name, number) {
        Ok(segment) => Ok(Some(segment)),
        Err(OpenFault::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(OpenFault::Io(source)) => Err(io_error("opening", &path(), source)),
        Err(OpenFault::Newer(found)) => {
            Err(CheckError::NewerFormat { path: path(), found, known: VERSION })
        }
    }
}

fn io_error(doing: &'static str, path: &Path, source: io::Error) -> CheckError {
    CheckError::Io { doing, path: path.to_owned(), source }
}
