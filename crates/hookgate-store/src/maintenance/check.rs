//! The full check: every checksum, and whether index, journal and large bodies agree.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hookgate_journal::{Head, LogId, Reader};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{MaintenanceError, Progress};
use crate::error::is_broken;
use crate::head::{self, EVENT, SlimHead};
use crate::index::{self, query};
use crate::layout::{self, EVENTS, LOGS, Layout};
use crate::options::Options;
use crate::registry::{self, RecordingId, recordings};
use crate::sql;

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
    /// Large bodies and recordings read.
    pub blobs: u64,
    /// Places where acknowledged bytes are bad.
    pub corrupt: u64,
    /// Events whose row in the index is missing or wrong: `hookgate store rebuild` mends it.
    pub misindexed: u64,
    /// Large bodies and recordings that are missing or not what was received.
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

    pub(crate) fn corrupt(&mut self, detail: impl FnOnce() -> String) {
        self.corrupt = self.corrupt.saturating_add(1);
        self.tell(detail);
    }

    pub(crate) fn bad_blob(&mut self, detail: impl FnOnce() -> String) {
        self.bad_blobs = self.bad_blobs.saturating_add(1);
        self.tell(detail);
    }

    pub(crate) fn misindex(&mut self, count: u64, detail: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        self.misindexed = self.misindexed.saturating_add(count);
        self.tell(detail);
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
    let layout = Layout::existing(folder)?;
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
    let events = Reader::open(&layout.journal(), &layout::event_logs(options.unproven))
        .map_err(MaintenanceError::Damaged)?;
    if let Some(index) = &index {
        match check_index(index, &events, &mut report) {
            Err(error) if is_broken(&error) => {
                report.misindex(1, || format!("the index is damaged: {error}"));
            }
            done => done.map_err(MaintenanceError::database("reading", &layout.index()))?,
        }
    }
    check_blobs(&layout, &events, &mut report, &mut progress);
    check_recordings(&layout, &mut report, &mut progress)?;
    Ok(report)
}

/// The events of a log, as far as they prove themselves.
fn events_of(reader: &Reader, log: LogId) -> impl Iterator<Item = Head> {
    reader.scan_heads(log, None).filter_map(Result::ok)
}

/// Compares each event with its row.
fn check_index(
    index: &Connection,
    events: &Reader,
    report: &mut Report,
) -> Result<(), rusqlite::Error> {
    let verdict: String = index.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        report.misindex(1, || format!("the index is damaged: {verdict}"));
        return Ok(());
    }
    for (log, followed) in LOGS.into_iter().zip(index::progress_of(index)?) {
        let mut indexed = 0_u64;
        for record in events_of(events, log).filter(|it| it.seq <= followed.seq) {
            let Some(id) = event_id(&record) else { continue };
            indexed = indexed.saturating_add(1);
            let row = query::by_seq(index, record.seq)?;
            if row.is_none_or(|it| (it.id, it.log, it.position) != (id, log, record.position)) {
                let (id, seq) = (Uuid::from_bytes(id), record.seq);
                report.misindex(1, || {
                    format!("event {id} (place {seq}) is not in the index as it is in the journal")
                });
            }
        }
        // Of a ring, some may have been dropped since the index was looked at; of a damaged
        // journal, some have no head to be found by.
        let excess = query::count(index, log, followed.seq)?.saturating_sub(indexed);
        if excess > 0 && log == EVENTS && report.corrupt == 0 {
            report.misindex(excess, || {
                format!("{excess} events are in the index that are not in the journal")
            });
        }
    }
    Ok(())
}

fn event_id(record: &Head) -> Option<[u8; 16]> {
    let head: SlimHead<'_> = head::decode(&record.head).ok()?;
    (head.record == EVENT).then_some(head.id.0)
}

/// Compares each event with its large body, if it has one.
fn check_blobs(
    layout: &Layout,
    events: &Reader,
    report: &mut Report,
    progress: &mut impl FnMut(Progress),
) {
    for record in LOGS.into_iter().flat_map(|log| events_of(events, log)) {
        let Ok(event) = head::decode::<SlimHead<'_>>(&record.head) else {
            report.corrupt = report.corrupt.saturating_add(1);
            report.tell(|| format!("the head of record {} cannot be understood", record.seq));
            continue;
        };
        if event.record != EVENT {
            continue;
        }
        report.events = report.events.saturating_add(1);
        let Some(blob) = event.blob.filter(|_| !record.erased) else { continue };
        report.blobs = report.blobs.saturating_add(1);
        progress(Progress { stage: "large bodies", done: report.blobs, total: 0 });
        if let Err(fault) = check_blob(&layout.blob(blob.0), event.size, event.sha256.0) {
            report.bad_blobs = report.bad_blobs.saturating_add(1);
            report.tell(|| format!("the large body of event {}: {fault}", event.id.uuid()));
        }
    }
}

/// Compares each recording that was fetched with its row.
fn check_recordings(
    layout: &Layout,
    report: &mut Report,
    progress: &mut impl FnMut(Progress),
) -> Result<(), MaintenanceError> {
    let path = layout.registry();
    let failed = || MaintenanceError::database("reading", &path);
    let connection =
        Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed())?;
    let connection = sql::Connection::sqlite(connection);
    let rows = recordings::fetched(&connection).map_err(|error| failed()(error.into()))?;
    for (done, (id, size, sha256)) in (1..).zip(rows) {
        report.blobs = report.blobs.saturating_add(1);
        progress(Progress { stage: "recordings", done, total: 0 });
        let checked = check_blob(&layout.recordings().file(id), size, sha256);
        // One that was erased since it was listed is no fault.
        if let Err(fault) = checked
            && recordings::is_fetched(&connection, id).map_err(|error| failed()(error.into()))?
        {
            report.bad_blobs = report.bad_blobs.saturating_add(1);
            let id = RecordingId(Uuid::from_bytes(id));
            report.tell(|| format!("recording {id}: {fault}"));
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
