//! The bytes on disk: three headers, encoded and decoded.
//!
//! `docs/journal-format.md` has the tables. Everything is little-endian. Nothing
//! here reads a file; a decoder takes bytes and gives `None` for anything that does
//! not prove itself.
//!
//! The *salt* is a random number of the journal, kept in every segment header and
//! part of what batch and record headers prove. It keeps a payload that imitates
//! our format from being taken for a batch or a record when a reader looks for the
//! next good one behind damage.

use crc32fast::Hasher;

use crate::record::Position;
use crate::settings::HEAD_BYTES_MAX;

#[cfg(test)]
mod tests;

/// The version this code writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;
/// Batches start at multiples of this many bytes: a torn write never touches a
/// sector with durable bytes.
pub(crate) const BLOCK: u32 = 4096;
/// [`BLOCK`] in memory.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// The batch header.
pub(crate) const BATCH_HEADER: usize = 64;
/// The record header.
pub(crate) const RECORD_HEADER: usize = 32;
/// Records start at multiples of this many bytes within a batch.
const RECORD_ALIGNMENT: usize = 8;
/// Where the state of a record stands in its header.
pub(crate) const STATE_AT: u32 = 28;
/// The state of a record whose payload was erased.
pub(crate) const ERASED: [u8; 4] = *b"GONE";

const SEGMENT_MAGIC: [u8; 8] = *b"HKGJRNL\n";
const BATCH_MAGIC: [u8; 8] = *b"HKGBATCH";
/// The room for a log's name in the segment header.
const NAME_BYTES: usize = 64;

/// The header of a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) salt: u64,
    pub(crate) number: u64,
    /// The sequence number that was next when the segment was opened.
    pub(crate) first_seq: u64,
    pub(crate) created_at_ms: u64,
    /// The length of the file.
    pub(crate) size: u32,
    /// Where the acknowledged bytes of the log ended before this segment.
    pub(crate) previous_end: Position,
    pub(crate) log: String,
}

/// Why the first block of a file is no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// It is one, of a version this code does not know.
    Newer(u32),
    /// It does not prove itself.
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK_BYTES);
        bytes.extend_from_slice(&SEGMENT_MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        for field in [self.salt, self.number, self.first_seq, self.created_at_ms] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.extend_from_slice(&u64::from(self.size).to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.segment.to_le_bytes());
        bytes.extend_from_slice(&self.previous_end.offset.to_le_bytes());
        bytes.extend_from_slice(&BLOCK.to_le_bytes());
        bytes.extend(self.log.bytes().take(NAME_BYTES));
        bytes.resize(BLOCK_BYTES - 4, 0);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let (covered, rest) =
            bytes.split_at_checked(BLOCK_BYTES - 4).ok_or(HeaderFault::Damaged)?;
        let promise = covered.get(..12).unwrap_or_default();
        if !promise.starts_with(&SEGMENT_MAGIC) || crc32fast::hash(promise) != u32_at(covered, 12) {
            return Err(HeaderFault::Damaged);
        }
        let version = u32_at(covered, 8);
        if version > VERSION {
            return Err(HeaderFault::Newer(version));
        }
        let size = u32::try_from(u64_at(covered, 48)).map_err(|_| HeaderFault::Damaged)?;
        if crc32fast::hash(covered) != u32_at(rest, 0) || u32_at(covered, 68) != BLOCK {
            return Err(HeaderFault::Damaged);
        }
        let name = covered.get(72..72 + NAME_BYTES).unwrap_or_default();
        let name = name.split(|it| *it == 0).next().unwrap_or_default();
        Ok(Self {
            salt: u64_at(covered, 16),
            number: u64_at(covered, 24),
            first_seq: u64_at(covered, 32),
            created_at_ms: u64_at(covered, 40),
            size,
            previous_end: Position { segment: u64_at(covered, 56), offset: u32_at(covered, 64) },
            log: String::from_utf8_lossy(name).into_owned(),
        })
    }
}

/// The header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    /// Where the batch itself starts.
    pub(crate) position: Position,
    /// The bytes of the records, without the header and the padding behind them.
    pub(crate) body_bytes: u32,
    pub(crate) first_seq: u64,
    pub(crate) records: u32,
    /// Where the synced bytes of this log ended when the batch was written.
    pub(crate) durable_end: Position,
}

impl BatchHeader {
    pub(crate) fn encode(&self, salt: u64) -> [u8; BATCH_HEADER] {
        let mut bytes = [0; BATCH_HEADER];
        bytes[0..8].copy_from_slice(&BATCH_MAGIC);
        bytes[8..16].copy_from_slice(&salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.segment.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.position.offset.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_seq.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.records.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.durable_end.offset.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.durable_end.segment.to_le_bytes());
        bytes[56..60].copy_from_slice(&BLOCK.to_le_bytes());
        let sum = crc32fast::hash(&bytes[0..60]);
        bytes[60..64].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, found at `position` of a file of `size`
    /// bytes, if it proves itself there.
    pub(crate) fn decode(bytes: &[u8], salt: u64, position: Position, size: u32) -> Option<Self> {
        let header = Self::decode_any(bytes, position)?;
        let fits = header.end().is_some_and(|end| end <= size);
        (salt_of(bytes) == salt && fits).then_some(header)
    }

    /// As [`BatchHeader::decode`], under any salt: only for the first batch of a
    /// segment whose own header is damaged.
    pub(crate) fn decode_any(bytes: &[u8], position: Position) -> Option<Self> {
        let (covered, rest) = bytes.split_at_checked(60)?;
        if !covered.starts_with(&BATCH_MAGIC) || crc32fast::hash(covered) != u32_at(rest, 0) {
            return None;
        }
        let header = Self {
            position: Position { segment: u64_at(covered, 16), offset: u32_at(covered, 24) },
            body_bytes: u32_at(covered, 28),
            first_seq: u64_at(covered, 32),
            records: u32_at(covered, 40),
            durable_end: Position { segment: u64_at(covered, 48), offset: u32_at(covered, 44) },
        };
        (header.position == position && u32_at(covered, 56) == BLOCK).then_some(header)
    }

    /// Where the next batch starts.
    pub(crate) fn end(&self) -> Option<u32> {
        let header = u32::try_from(BATCH_HEADER).ok()?;
        let bytes = self.body_bytes.checked_add(header)?.checked_next_multiple_of(BLOCK)?;
        self.position.offset.checked_add(bytes)
    }
}

/// The salt that the batch header in `bytes` claims.
pub(crate) fn salt_of(bytes: &[u8]) -> u64 {
    u64_at(bytes, 8)
}

/// The checksums of a record, as far as they can be computed before it has a
/// sequence number: outside every lock, on the caller's slices.
pub(crate) struct Sums {
    head: Hasher,
    payload: u32,
}

impl Sums {
    pub(crate) fn of(salt: u64, head: &[u8], payload: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&salt.to_le_bytes());
        hasher.update(head);
        Self { head: hasher, payload: crc32fast::hash(payload) }
    }
}

/// The bytes of a record within its batch, or `None` when lengths do not fit.
pub(crate) fn record_bytes(head: usize, payload: usize) -> Option<usize> {
    RECORD_HEADER
        .checked_add(head)?
        .checked_add(payload)?
        .checked_next_multiple_of(RECORD_ALIGNMENT)
}

/// Appends a record to the body of a batch. `head_bytes` and `payload_bytes` are
/// the lengths of the slices, already proven to fit.
pub(crate) fn put_record(
    body: &mut Vec<u8>,
    seq: u64,
    (head, head_bytes): (&[u8], u32),
    (payload, payload_bytes): (&[u8], u32),
    sums: Sums,
) {
    let mut header = [0; RECORD_HEADER];
    header[0..8].copy_from_slice(&seq.to_le_bytes());
    header[8..12].copy_from_slice(&head_bytes.to_le_bytes());
    header[12..16].copy_from_slice(&payload_bytes.to_le_bytes());
    header[16..20].copy_from_slice(&sums.payload.to_le_bytes());
    let mut hasher = sums.head;
    hasher.update(&header[0..24]);
    header[24..28].copy_from_slice(&hasher.finalize().to_le_bytes());
    body.extend_from_slice(&header);
    body.extend_from_slice(head);
    body.extend_from_slice(payload);
    body.resize(body.len().next_multiple_of(RECORD_ALIGNMENT), 0);
}

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) seq: u64,
    pub(crate) head_bytes: u32,
    pub(crate) payload_bytes: u32,
    payload_sum: u32,
    head_sum: u32,
    reserved: u32,
    erased: bool,
}

impl RecordHeader {
    /// Reads the fields; nothing is proven yet.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER)?;
        Some(Self {
            seq: u64_at(bytes, 0),
            head_bytes: u32_at(bytes, 8),
            payload_bytes: u32_at(bytes, 12),
            payload_sum: u32_at(bytes, 16),
            reserved: u32_at(bytes, 20),
            head_sum: u32_at(bytes, 24),
            erased: bytes.ends_with(&ERASED),
        })
    }

    /// The bytes of the record within its batch.
    pub(crate) fn bytes(&self) -> Option<usize> {
        let head = usize::try_from(self.head_bytes).ok()?;
        record_bytes(head, usize::try_from(self.payload_bytes).ok()?)
    }
}

/// A record in memory whose header and head have proven themselves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proven<'a> {
    pub(crate) header: RecordHeader,
    pub(crate) head: &'a [u8],
    pub(crate) payload: &'a [u8],
}

/// What became of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadState {
    Whole,
    Erased,
    Damaged,
}

impl<'a> Proven<'a> {
    /// The record at the start of `bytes`.
    pub(crate) fn decode(bytes: &'a [u8], salt: u64) -> Option<Self> {
        let header = RecordHeader::decode(bytes)?;
        if header.reserved != 0
            || header.head_bytes > HEAD_BYTES_MAX
            || header.bytes()? > bytes.len()
        {
            return None;
        }
        let rest = bytes.get(RECORD_HEADER..)?;
        let (head, rest) = rest.split_at_checked(usize::try_from(header.head_bytes).ok()?)?;
        let payload = rest.get(..usize::try_from(header.payload_bytes).ok()?)?;
        let mut hasher = Hasher::new();
        hasher.update(&salt.to_le_bytes());
        hasher.update(head);
        hasher.update(bytes.get(..24)?);
        (hasher.finalize() == header.head_sum).then_some(Self { header, head, payload })
    }

    /// Whether the payload was erased, by its mark alone.
    pub(crate) fn is_marked_erased(&self) -> bool {
        self.header.erased
    }

    /// Compares the payload with its checksum. A payload of zeros that does not
    /// match was erased by something that could not write the mark.
    pub(crate) fn payload_state(&self) -> PayloadState {
        if self.header.erased {
            PayloadState::Erased
        } else if crc32fast::hash(self.payload) == self.header.payload_sum {
            PayloadState::Whole
        } else if is_zero(self.payload) {
            PayloadState::Erased
        } else {
            PayloadState::Damaged
        }
    }
}

/// Whether there is nothing but zeros.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<64>();
    words.iter().all(|it| *it == [0; 64]) && rest.iter().all(|it| *it == 0)
}

/// A number in a header; outside of it reads as zero, which proves nothing.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(chunk_at(bytes, at))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(chunk_at(bytes, at))
}

fn chunk_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|it| it.first_chunk()).copied().unwrap_or([0; N])
}
