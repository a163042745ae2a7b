//! What is read back: records, and where they lie.

use crate::settings::LogId;

/// Where a record lies in its log. Ordered as the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the segment file; the first is 1.
    pub segment: u64,
    /// Bytes from the start of that file.
    pub offset: u32,
}

impl Position {
    /// Packs both into one number for an index column; the order stays, zero is
    /// never a record, and segment numbers below 2³¹ fit a signed 64-bit column.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.segment << 32) | self.offset as u64
    }

    /// The inverse of [`Position::to_u64`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is the offset")]
    pub const fn from_u64(packed: u64) -> Self {
        Self { segment: packed >> 32, offset: packed as u32 }
    }
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place in the order of all logs of the journal.
    pub seq: u64,
    /// Its log.
    pub log: LogId,
    /// Where it lies.
    pub position: Position,
    /// The head, as appended.
    pub head: Vec<u8>,
    /// The payload, as appended, unless it was erased.
    pub payload: Payload,
}

/// The payload of a [`Record`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// The bytes, as appended.
    Present(Vec<u8>),
    /// [`Journal::erase`] was called on it: the bytes are zeroed.
    ///
    /// [`Journal::erase`]: crate::Journal::erase
    Erased,
}

/// A record without its payload, whose checksum was *not* compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its place in the order of all logs of the journal.
    pub seq: u64,
    /// Its log.
    pub log: LogId,
    /// Where it lies.
    pub position: Position,
    /// The head, as appended.
    pub head: Vec<u8>,
    /// The length of the payload, erased or not.
    pub payload_bytes: u32,
    /// The payload was erased.
    pub erased: bool,
}
