//! Copies a store, also while a server writes it.
//!
//! The order makes the copy whole: first the registry, then each log up to the end that it
//! had when the copy began, then the large bodies and the recordings, which are in their place
//! before a record or a row names them. The index is left out: the copy makes its own. Keys are left out:
//! who steals a backup must not have them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use hookgate_journal::{LogId, LogSettings, ReadError, Reader};
use rusqlite::{Connection, OpenFlags};

use super::{MaintenanceError, Progress};
use crate::layout::{self, Layout};
use crate::options::Options;
use crate::registry;

/// Where batches of the journal begin: multiples of this many bytes (see
/// `docs/journal-format.md`).
const BLOCK: u64 = 4096;

/// The header of a record in the journal, and what its records are aligned to, in bytes.
const RECORD_HEADER: u64 = 32;

/// Copied at once, in bytes.
const CHUNK_BYTES: usize = 1 << 20;

/// A segment file, and how much of it is copied.
struct Segment {
    from: PathBuf,
    name: String,
    bytes: u64,
}

/// Copies the store in `folder` into `target`, which must not exist yet or be empty. The
/// copy holds everything that was acknowledged before it began, and opens as a store.
///
/// # Errors
///
/// A [`MaintenanceError`]. What was copied until then is of no use: remove it.
pub fn backup(
    folder: &Path,
    target: &Path,
    mut progress: impl FnMut(Progress),
) -> Result<(), MaintenanceError> {
    let (from, to) = (Layout::existing(folder)?, Layout::new(target));
    registry::check_version(&from.registry())?;
    let taken = fs::read_dir(target).is_ok_and(|mut entries| entries.next().is_some());
    if taken {
        return Err(MaintenanceError::TargetTaken(target.to_owned()));
    }
    layout::create_folder(target).map_err(MaintenanceError::io("creating", target))?;
    copy_registry(&from.registry(), &to.registry())?;

    let options = Options::default();
    let logs = [
        (from.journal(), to.journal(), layout::event_logs(options.unproven).to_vec()),
        (from.rejections(), to.rejections(), layout::rejection_logs(options.rejections).to_vec()),
    ];
    // The ends of all logs first: what the copy holds is decided here.
    let mut plan = Vec::new();
    for (from, to, logs) in &logs {
        for (log, settings) in (0..).map(LogId::new).zip(logs) {
            plan.push((to.join(settings.name), segments(from, logs, log, settings.name)?));
        }
    }
    let total = plan.iter().flat_map(|(_, segments)| segments).map(|it| it.bytes).sum();
    let mut done = 0;
    for (to, segments) in plan {
        layout::create_folder(&to).map_err(MaintenanceError::io("creating", &to))?;
        for segment in segments {
            copy_segment(&segment, &to.join(&segment.name))?;
            done += segment.bytes;
            progress(Progress { stage: "journal", done, total });
        }
        layout::sync_folder(&to).map_err(MaintenanceError::io("syncing", &to))?;
    }
    copy_blobs(&from, &to, &mut progress)?;
    for folder in [to.journal(), to.rejections(), target.to_owned()] {
        layout::sync_folder(&folder).map_err(MaintenanceError::io("syncing", &folder))?;
    }
    Ok(())
}

fn copy_registry(from: &Path, to: &Path) -> Result<(), MaintenanceError> {
    let failed = || MaintenanceError::database("copying", from);
    let connection =
        Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed())?;
    layout::create_private(to).map_err(MaintenanceError::io("creating", to))?;
    // One consistent moment of it, whoever writes; into the empty file made above, so that
    // its permissions are ours.
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(failed())?;
    File::open(to).and_then(|it| it.sync_all()).map_err(MaintenanceError::io("syncing", to))
}

/// The segments of a log, the last one up to its end at this moment.
fn segments(
    folder: &Path,
    logs: &[LogSettings],
    log: LogId,
    name: &str,
) -> Result<Vec<Segment>, MaintenanceError> {
    let log_folder = folder.join(name);
    let failed = || MaintenanceError::io("reading", &log_folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(&log_folder).map_err(failed())? {
        let entry = entry.map_err(failed())?;
        names.extend(entry.file_name().into_string().ok().filter(|it| number(it).is_some()));
    }
    names.sort_unstable();
    let Some(last) = names.last().and_then(|it| number(it)) else { return Ok(Vec::new()) };
    let mut end = BLOCK;
    let reader = Reader::open(folder, logs).map_err(MaintenanceError::Damaged)?;
    let start = hookgate_journal::Position { segment: last, offset: 0 };
    for item in reader.scan_heads(log, Some(start)) {
        match item {
            Ok(head) if head.position.segment == last => {
                let bytes = RECORD_HEADER + head.head.len() as u64 + u64::from(head.payload_bytes);
                end = (u64::from(head.position.offset) + bytes).next_multiple_of(BLOCK);
            }
            // The log went on behind the segments that were listed.
            Ok(_) => break,
            Err(ReadError::Corrupt { position, bytes, .. }) if position.segment == last => {
                // Damage is copied as it is.
                end = (u64::from(position.offset) + bytes).next_multiple_of(BLOCK);
            }
            Err(ReadError::Gone { .. } | ReadError::Corrupt { .. }) => {}
            Err(error) => return Err(MaintenanceError::Damaged(error)),
        }
    }
    let mut segments = Vec::new();
    for name in names {
        let from = log_folder.join(&name);
        let size = match fs::metadata(&from) {
            // The ring dropped it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            size => size.map_err(failed())?.len(),
        };
        let bytes = if number(&name) == Some(last) { end.min(size) } else { size };
        segments.push(Segment { from, name, bytes });
    }
    Ok(segments)
}

fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(".seg")?, 16).ok()
}

/// Copies the part of a segment that is decided; the rest of the file is zeros, as in one
/// that is still to be written.
fn copy_segment(segment: &Segment, to: &Path) -> Result<(), MaintenanceError> {
    let mut source = match File::open(&segment.from) {
        // The ring dropped it since.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source.map_err(MaintenanceError::io("reading", &segment.from))?,
    };
    let failed = || MaintenanceError::io("writing", to);
    let size = source.metadata().map_err(MaintenanceError::io("reading", &segment.from))?.len();
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed())?;
    target.set_len(size).map_err(failed())?;
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut rest = segment.bytes;
    while rest > 0 {
        let count = usize::try_from(rest).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let Some(chunk) = buffer.get_mut(..count) else { break };
        source.read_exact(chunk).map_err(MaintenanceError::io("reading", &segment.from))?;
        if chunk.iter().all(|it| *it == 0) {
            // What was erased takes no room in the copy either.
            let skip = SeekFrom::Current(i64::try_from(count).unwrap_or(0));
            target.seek(skip).map_err(failed())?;
        } else {
            target.write_all(chunk).map_err(failed())?;
        }
        rest = rest.saturating_sub(count as u64);
    }
    target.sync_all().map_err(failed())
}

fn copy_blobs(
    from: &Layout,
    to: &Layout,
    progress: &mut impl FnMut(Progress),
) -> Result<(), MaintenanceError> {
    let mut folders = vec![("large bodies", from.rejected_blobs(), to.rejected_blobs())];
    let shelves = [
        ("large bodies", from.bodies(), to.bodies()),
        ("recordings", from.recordings(), to.recordings()),
    ];
    for (stage, from, to) in &shelves {
        let root = to.root();
        layout::create_folder(root).map_err(MaintenanceError::io("creating", root))?;
        for folder in list(from.root())? {
            let name = folder.file_name().map(PathBuf::from).unwrap_or_default();
            if folder.is_dir() && name.as_os_str() != "tmp" {
                folders.push((*stage, folder, root.join(name)));
            }
        }
    }
    let (mut done, mut last) = (0, "");
    for (stage, from, to) in folders {
        if last != stage {
            (done, last) = (0, stage);
        }
        layout::create_folder(&to).map_err(MaintenanceError::io("creating", &to))?;
        for file in list(&from)? {
            let Some(name) = file.file_name() else { continue };
            copy_file(&file, &to.join(name))?;
            done += 1;
            progress(Progress { stage, done, total: 0 });
        }
        layout::sync_folder(&to).map_err(MaintenanceError::io("syncing", &to))?;
    }
    for (_, _, to) in &shelves {
        layout::sync_folder(to.root()).map_err(MaintenanceError::io("syncing", to.root()))?;
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> Result<(), MaintenanceError> {
    let mut source = match File::open(from) {
        // Dropped with its record since it was listed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        source => source.map_err(MaintenanceError::io("reading", from))?,
    };
    let failed = || MaintenanceError::io("copying to", to);
    let mut target =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed())?;
    io::copy(&mut source, &mut target).map_err(failed())?;
    target.sync_all().map_err(failed())
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, MaintenanceError> {
    let failed = || MaintenanceError::io("reading", folder);
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => {
            let entries = entries.map_err(failed())?;
            entries.map(|it| it.map(|it| it.path()).map_err(failed())).collect()
        }
    }
}
