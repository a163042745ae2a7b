//! The full check: every checksum, and whether index, journal and large bodies agree.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hookgate_journal::Reader;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{MaintenanceError, Progress};
use crate::head::{self, EVENT, SlimHead};
use crate::index::{self, query};
use crate::layout::{self, LOGS, Layout};
use crate::options::Options;
use crate::registry;

/// Sentences about single faults that a report holds; the rest is counted.
const DETAILS_MAX: usize = 100;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records read, in both journals.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Events compared with the index.
    pub events: u64,
    /// Large bodies read.
    pub blobs: u64,
    /// Places where acknowledged bytes are bad.
    pub corrupt: u64,
    /// Events whose row in the index is missing or wrong: `hookgate store rebuild` mends it.
    pub misindexed: u64,
    /// Large bodies that are missing or not what was received.
    pub bad_blobs: u64,
    /// Bytes behind the end of a log: a write that never finished, or one that is being
    /// made right now. No fault.
    pub unfinished: u64,
    /// Whether there is no index that could be compared; it is made at the next start.
    pub has_no_index: bool,
    /// A sentence for each of the first hundred faults.
    pub details: Vec<String>,
}

impl Report {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.corrupt == 0 && self.misindexed == 0 && self.bad_blobs == 0
    }

    fn tell(&mut self, detail: impl FnOnce() -> String) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail());
        }
    }
}

/// Reads every byte of the store in `folder` and compares every checksum. Changes nothing,
/// takes no lock, and may run beside a server.
///
/// # Errors
///
/// A [`MaintenanceError`] when something cannot be *read*; what is bad is in the
/// [`Report`].
pub fn check(
    folder: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<Report, MaintenanceError> {
    let layout = Layout::new(folder);
    registry::check_version(&layout.registry())?;
    let options = Options::default();
    let mut report = Report::default();
    let journals = [
        ("events", layout.journal(), layout::event_logs(options.unproven).to_vec()),
        ("rejections", layout.rejections(), layout::rejection_logs(options.rejections).to_vec()),
    ];
    for (stage, folder, logs) in journals {
        let note = |it: hookgate_journal::Progress| {
            progress(Progress { stage, done: it.bytes_done, total: it.bytes_total });
        };
        let found =
            hookgate_journal::check(&folder, &logs, note).map_err(MaintenanceError::Journal)?;
        report.records = report.records.saturating_add(found.records);
        report.bytes = report.bytes.saturating_add(found.bytes);
        report.unfinished =
            report.unfinished.saturating_add(found.unfinished.iter().map(|it| it.bytes).sum());
        report.corrupt = report.corrupt.saturating_add(found.corrupt.len() as u64);
        for it in &found.corrupt {
            let log = logs.get(it.log.index()).map_or("?", |log| log.name);
            report.tell(|| {
                format!(
                    "journal {log}: {} bytes at {} of segment {} are damaged",
                    it.bytes, it.offset, it.segment
                )
            });
        }
    }
    let index = index::open_reader(&layout.index()).ok();
    report.has_no_index = index.is_none();
    compare(&layout, index.as_ref(), &mut report, &mut progress)?;
    Ok(report)
}

/// Compares each event with its row and its large body.
fn compare(
    layout: &Layout,
    index: Option<&Connection>,
    report: &mut Report,
    progress: &mut impl FnMut(Progress),
) -> Result<(), MaintenanceError> {
    let failed = |error| MaintenanceError::Database {
        doing: "reading",
        path: layout.index(),
        source: error,
    };
    let followed = match index {
        Some(index) => index::progress_of(index).map_err(failed)?,
        None => Default::default(),
    };
    let reader = Reader::open(&layout.journal(), &layout::event_logs(Options::default().unproven))
        .map_err(MaintenanceError::Damaged)?;
    for (log, followed) in LOGS.into_iter().zip(followed) {
        for item in reader.scan_heads(log, None) {
            // Damage is in the report already.
            let Ok(record) = item else { continue };
            let Ok(event) = head::decode::<SlimHead<'_>>(&record.head) else {
                report.corrupt = report.corrupt.saturating_add(1);
                report.tell(|| format!("the head of record {} cannot be understood", record.seq));
                continue;
            };
            if event.record != EVENT {
                continue;
            }
            report.events = report.events.saturating_add(1);
            if let Some(index) = index.filter(|_| record.seq <= followed.seq) {
                let row = query::by_seq(index, record.seq).map_err(failed)?;
                let is_right = row.is_some_and(|it| {
                    (it.id, it.log, it.position) == (event.id.0, record.log, record.position)
                });
                if !is_right {
                    report.misindexed = report.misindexed.saturating_add(1);
                    report.tell(|| {
                        format!(
                            "event {} (place {}) is not in the index as it is in the journal",
                            event.id.uuid(),
                            record.seq
                        )
                    });
                }
            }
            if let Some(blob) = event.blob.filter(|_| !record.erased) {
                report.blobs = report.blobs.saturating_add(1);
                progress(Progress { stage: "large bodies", done: report.blobs, total: 0 });
                if let Err(fault) = check_blob(&layout.blob(blob.0), event.size, event.sha256.0) {
                    report.bad_blobs = report.bad_blobs.saturating_add(1);
                    report.tell(|| format!("the large body of event {}: {fault}", event.id.uuid()));
                }
            }
        }
    }
    Ok(())
}

/// Whether a large body is what was received.
fn check_blob(path: &Path, size: u64, sha256: [u8; 32]) -> Result<(), String> {
    let read = || -> io::Result<(u64, [u8; 32])> {
        let mut file = File::open(path)?;
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        let mut bytes = 0_u64;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok((bytes, digest.finalize().into()));
            }
            bytes = bytes.saturating_add(count as u64);
            digest.update(buffer.get(..count).unwrap_or_default());
        }
    };
    match read() {
        Ok(found) if found == (size, sha256) => Ok(()),
        Ok((found, _)) => Err(format!("{found} of {size} bytes, or other bytes")),
        Err(error) => Err(error.to_string()),
    }
}
