//! Walks the batches of a segment and the records of a batch, also over damage.
//!
//! One rule decides what damage is, for the writer that opens a journal, for
//! readers and for the check: **bytes that are bad where the log says that it was
//! durable are corruption** (reported, and the walk goes on behind them); **bytes
//! that are bad behind everything durable are the end**.

use std::io;

use crate::format::{BATCH_HEADER, BLOCK, BatchHeader, PayloadState, Proven, SegmentHeader};
use crate::segment::{IsZero, Segment, read_up_to};

/// What is known about the end of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Acknowledged bytes end here: whatever is bad before it is corrupt, whatever
    /// stands behind it was never acknowledged.
    Known(u32),
    /// Not known, or still growing. After a header of zeros the walk looks this
    /// many bytes further for batches that prove that there is more.
    Open { lookahead: u32 },
}

/// Where segment `number` ends, as the header of the next one tells.
pub(crate) fn bound_before(next: Option<&SegmentHeader>, number: u64) -> Bound {
    match next.map(|it| it.previous_end).filter(|it| it.segment == number) {
        Some(end) => Bound::Known(end.offset),
        None => Bound::Open { lookahead: u32::MAX },
    }
}

/// A stretch of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    /// A batch whose header proves itself; its body is in [`Walk::body`].
    Batch(BatchHeader),
    /// Corrupt: no batch proves itself before the next region. The bytes are in
    /// [`Walk::body`].
    Bad {
        /// Where it starts.
        at: u32,
        /// Its length.
        bytes: u32,
    },
}

/// What one look finds, and where the walk goes on behind it.
enum Seen {
    Good(Region, u32),
    Damage(Region, u32),
    End,
}

/// A walk over one segment.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    at: u32,
    bound: Bound,
    body: Vec<u8>,
}

impl<'a> Walk<'a> {
    /// Starts at `at`, where a batch starts.
    pub(crate) fn new(segment: &'a Segment, at: u32, bound: Bound) -> Self {
        Self { segment, at: at.max(BLOCK), bound, body: Vec::new() }
    }

    /// Where the next batch starts, or will.
    pub(crate) fn at(&self) -> u32 {
        self.at
    }

    /// The records of the last [`Region::Batch`], or the bytes of the last
    /// [`Region::Bad`].
    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The next region, or `None` at the end of what was acknowledged.
    pub(crate) fn next(&mut self) -> io::Result<Option<Region>> {
        let seen = match self.look()? {
            // A later batch proves that this place is written and durable *now*; it
            // may not have been when it was read, if a writer is at work. What is
            // still bad at the second look is damage.
            Seen::Damage(..) if matches!(self.bound, Bound::Open { .. }) => self.look()?,
            seen => seen,
        };
        Ok(match seen {
            Seen::Good(region, next) | Seen::Damage(region, next) => {
                self.at = next;
                Some(region)
            }
            Seen::End => None,
        })
    }

    fn look(&mut self) -> io::Result<Seen> {
        let size = self.segment.size()?;
        let limit = match self.bound {
            Bound::Known(end) => end,
            Bound::Open { .. } => size,
        };
        if self.at >= limit {
            return Ok(Seen::End);
        }
        match self.segment.batch_at(self.at, size.max(limit))? {
            Ok(header) => self.batch(header, size),
            Err(zero) => self.damage(zero, limit, size),
        }
    }

    fn batch(&mut self, header: BatchHeader, size: u32) -> io::Result<Seen> {
        let next = header.end().unwrap_or(u32::MAX);
        self.read(self.at.saturating_add(BODY_AT), header.body_bytes)?;
        let region = Region::Batch(header);
        Ok(match self.bound {
            Bound::Known(_) => Seen::Good(region, next),
            _ if is_whole(&self.body, self.segment.salt, &header) => Seen::Good(region, next),
            _ if self.is_durable(next, size)? => Seen::Damage(region, next),
            Bound::Open { .. } => Seen::End,
        })
    }

    fn damage(&mut self, IsZero(is_zero): IsZero, limit: u32, size: u32) -> io::Result<Seen> {
        let from = self.at.saturating_add(BLOCK);
        let next = match self.bound {
            Bound::Known(_) => {
                let next = self.segment.find_batch(from, limit, size)?;
                next.map_or(limit, |it| it.position.offset)
            }
            Bound::Open { lookahead } => {
                let to = if is_zero { from.saturating_add(lookahead).min(limit) } else { limit };
                match self.segment.find_batch(from, to, size)? {
                    Some(it) if self.is_durable(it.position.offset, size)? => it.position.offset,
                    _ => return Ok(Seen::End),
                }
            }
        };
        let bytes = next.saturating_sub(self.at);
        self.read(self.at, bytes)?;
        Ok(Seen::Damage(Region::Bad { at: self.at, bytes }, next))
    }

    /// Whether a batch at or behind `from` proves that the walk's place was durable.
    fn is_durable(&self, mut from: u32, size: u32) -> io::Result<bool> {
        while let Some(header) = self.segment.find_batch(from, size, size)? {
            if header.durable_end.segment == self.segment.number
                && header.durable_end.offset > self.at
            {
                return Ok(true);
            }
            from = header.end().unwrap_or(u32::MAX);
        }
        Ok(false)
    }

    fn read(&mut self, at: u32, bytes: u32) -> io::Result<()> {
        self.body.clear();
        self.body.resize(bytes as usize, 0);
        read_up_to(&self.segment.file, &mut self.body, u64::from(at))?;
        Ok(())
    }
}

/// Whether each record of a batch proves itself.
pub(crate) fn is_whole(body: &[u8], salt: u64, header: &BatchHeader) -> bool {
    let mut records = 0_u32;
    for item in Items::new(body, salt) {
        match item {
            Item::Record { record, .. } if record.payload_state() != PayloadState::Damaged => {
                records += 1;
            }
            _ => return false,
        }
    }
    records == header.records
}

/// A stretch of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Item<'a> {
    /// A record whose head proves itself.
    Record {
        /// From the start of the body.
        at: u32,
        record: Proven<'a>,
    },
    /// No record proves itself before the next item.
    Bad {
        /// From the start of the body.
        at: u32,
        bytes: u32,
    },
}

/// The records in a body. After damage it looks for the next one that proves itself.
#[derive(Debug)]
pub(crate) struct Items<'a> {
    body: &'a [u8],
    salt: u64,
    at: usize,
}

impl<'a> Items<'a> {
    pub(crate) fn new(body: &'a [u8], salt: u64) -> Self {
        Self { body, salt, at: 0 }
    }

    fn record_at(&self, at: usize) -> Option<Proven<'a>> {
        Proven::decode(self.body.get(at..)?, self.salt)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.at >= self.body.len() {
            return None;
        }
        let start = self.at;
        let at = u32::try_from(start).ok()?;
        if let Some(record) = self.record_at(start) {
            self.at = start.saturating_add(record.header.bytes()?);
            return Some(Item::Record { at, record });
        }
        while self.at < self.body.len() {
            self.at = self.at.saturating_add(8);
            if self.record_at(self.at).is_some() {
                break;
            }
        }
        let bytes = self.at.min(self.body.len()).saturating_sub(start);
        Some(Item::Bad { at, bytes: u32::try_from(bytes).ok()? })
    }
}

/// The header of a batch, in offsets.
pub(crate) const BODY_AT: u32 = 64;

const _: () = assert!(BODY_AT as usize == BATCH_HEADER);
