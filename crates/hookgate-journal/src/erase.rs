//! Erasing a payload in place.
//!
//! First the mark in the record header, synced, then the bytes: whatever happens in
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

/// Erases the payload of the record at `position`.
pub(crate) fn erase(view: &LogView, position: Position) -> io::Result<()> {
    let Some(extent) = view.get(position.segment) else {
        let newest = view.segments().last().map_or(0, |(number, _)| *number);
        // What was dropped is erased already.
        return if position.segment < newest {
            Ok(())
        } else {
            Err(io::ErrorKind::InvalidInput.into())
        };
    };
    if position.offset >= extent.end {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let segment = match Segment::open(&view.folder, view.name, position.segment) {
        Ok(segment) => segment,
        Err(OpenFault::Io(error)) => return Err(error),
        Err(OpenFault::Newer(_)) => return Err(io::ErrorKind::InvalidData.into()),
    };
    let bytes = reader::record_at(&segment, position.offset)?;
    let record = Proven::decode(&bytes, segment.salt).ok_or(io::ErrorKind::InvalidData)?;
    let file =
        OpenOptions::new().write(true).open(segment::path_of(&view.folder, position.segment))?;
    let at = u64::from(position.offset);
    file.write_all_at(&ERASED, at.saturating_add(STATE_AT.into()))?;
    file.sync_data()?;
    let payload_at =
        at.saturating_add(RECORD_HEADER as u64).saturating_add(record.head.len() as u64);
    zero(&file, payload_at, record.payload.len())?;
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
