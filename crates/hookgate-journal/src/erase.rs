//! Erasing a payload in place.
//!
//! First the mark in each record header, synced, then the bytes: whatever happens in
//! between, the record reads as erased, and erasing again finishes the work. This
//! is the only thing that ever changes durable bytes; the mark is four aligned bytes
//! in one sector, and no checksum covers it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use crate::format::{ERASED, Proven, RECORD_HEADER, STATE_AT};
use crate::reader;
use crate::record::Position;
use crate::segment::{self, OpenFault, Segment};
use crate::view::LogView;

/// What came of erasing payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Payloads that were not erased before.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where a record should be and none proves itself: bytes of it may remain.
    pub damaged: Vec<Position>,
}

/// A record whose payload goes.
struct Target {
    at: u64,
    payload_at: u64,
    payload_bytes: usize,
}

/// Erases the payloads of the records at `positions`: with two syncs for each segment, however
/// many they are.
pub(crate) fn erase(view: &LogView, positions: &[Position]) -> io::Result<Erased> {
    let mut positions = positions.to_vec();
    positions.sort_unstable();
    positions.dedup();
    let mut erased = Erased::default();
    for positions in positions.chunk_by(|a, b| a.segment == b.segment) {
        erase_in_segment(view, positions, &mut erased)?;
    }
    Ok(erased)
}

fn erase_in_segment(view: &LogView, positions: &[Position], erased: &mut Erased) -> io::Result<()> {
    let Some(Position { segment: number, .. }) = positions.first().copied() else { return Ok(()) };
    let Some(extent) = view.get(number) else {
        let newest = view.segments().last().map_or(0, |(number, _)| *number);
        // What was dropped is erased already.
        return if number < newest { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) };
    };
    if positions.iter().any(|it| it.offset >= extent.end) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let segment = match Segment::open(&view.folder, view.name, number) {
        Ok(segment) => segment,
        Err(OpenFault::Io(error)) => return Err(error),
        Err(OpenFault::Newer(_)) => return Err(io::ErrorKind::InvalidData.into()),
    };
    let file = OpenOptions::new().write(true).open(segment::path_of(&view.folder, number))?;
    let mut targets = Vec::with_capacity(positions.len());
    for position in positions {
        let bytes = reader::record_at(&segment, position.offset)?;
        let Some(record) = Proven::decode(&bytes, segment.salt) else {
            erased.damaged.push(*position);
            continue;
        };
        if !record.is_marked_erased() {
            erased.records = erased.records.saturating_add(1);
            erased.bytes = erased.bytes.saturating_add(record.payload.len() as u64);
        }
        let at = u64::from(position.offset);
        let head_bytes = (RECORD_HEADER as u64).saturating_add(record.head.len() as u64);
        let payload_at = at.saturating_add(head_bytes);
        targets.push(Target { at, payload_at, payload_bytes: record.payload.len() });
    }
    for target in &targets {
        file.write_all_at(&ERASED, target.at.saturating_add(STATE_AT.into()))?;
    }
    file.sync_data()?;
    for target in &targets {
        zero(&file, target.payload_at, target.payload_bytes)?;
    }
    file.sync_data()
}

/// Zeroes a range and gives its whole blocks back to the file system, which zeroes
/// the edges itself.
fn zero(file: &File, at: u64, bytes: usize) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match fallocate(file, flags, at, bytes as u64) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.write_all_at(&vec![0; bytes], at),
        Err(error) => Err(error.into()),
    }
}
