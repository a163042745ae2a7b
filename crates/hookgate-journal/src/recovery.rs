//! What opening a journal tells its owner.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::settings::LogId;

/// What [`Journal::open`](crate::Journal::open) found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Records in the segments that were read in full.
    pub records: u64,
    /// The sequence number that the next record gets.
    pub next_seq: u64,
    /// Tails that were never acknowledged, set aside.
    pub torn: Vec<Torn>,
    /// Acknowledged bytes that are bad. Somebody must look at the disk, and restore
    /// from a backup what is missed.
    pub corrupt: Vec<Corrupt>,
    /// Sequence numbers that the caller's index knows and that are behind the end of
    /// every log: acknowledged, and not there.
    pub missing: Option<RangeInclusive<u64>>,
}

/// A torn tail: a batch whose write never finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The log.
    pub log: LogId,
    /// The segment.
    pub segment: u64,
    /// Where the tail started.
    pub offset: u32,
    /// Its bytes, without the zeros behind them.
    pub bytes: u64,
    /// Where the bytes are now.
    pub moved_to: PathBuf,
}

/// Acknowledged bytes that do not prove themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corrupt {
    /// The log.
    pub log: LogId,
    /// The segment.
    pub segment: u64,
    /// Where the bad bytes start. Zero: it is the header of the segment.
    pub offset: u32,
    /// How many there are.
    pub bytes: u64,
}
