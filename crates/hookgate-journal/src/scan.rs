//! Reading a log from front to back, batch by batch.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::format::{BLOCK, Proven};
use crate::reader::{self, ReadError, Reader};
use crate::record::{Head, Position, Record};
use crate::segment::Segment;
use crate::settings::LogId;
use crate::walk::{BODY_AT, Bound, Item, Items, Region, Walk};

/// The records of a log in order; see [`Reader::scan`].
#[derive(Debug)]
pub struct Scan {
    cursor: Cursor,
    found: VecDeque<Result<Record, ReadError>>,
}

/// The heads of a log in order; see [`Reader::scan_heads`].
#[derive(Debug)]
pub struct HeadScan {
    cursor: Cursor,
    found: VecDeque<Result<Head, ReadError>>,
}

impl Scan {
    pub(crate) fn new(reader: Reader, log: LogId, from: Option<Position>) -> Self {
        Self { cursor: Cursor::new(reader, log, from), found: VecDeque::new() }
    }
}

impl Iterator for Scan {
    type Item = Result<Record, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() {
            let log = self.cursor.log;
            let more = self.cursor.advance(&mut self.found, |position, proven| {
                let bytes = u64::from(proven.header.payload_bytes);
                reader::record_of(log, position, proven).map_err(|_| ReadError::Corrupt {
                    log,
                    position,
                    bytes,
                })
            });
            if !more {
                return None;
            }
        }
        self.found.pop_front()
    }
}

impl HeadScan {
    pub(crate) fn new(reader: Reader, log: LogId, from: Option<Position>) -> Self {
        Self { cursor: Cursor::new(reader, log, from), found: VecDeque::new() }
    }
}

impl Iterator for HeadScan {
    type Item = Result<Head, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() {
            let log = self.cursor.log;
            let head_of = |position, proven: Proven<'_>| Ok(reader::head_of(log, position, proven));
            if !self.cursor.advance(&mut self.found, head_of) {
                return None;
            }
        }
        self.found.pop_front()
    }
}

/// A place in a log.
#[derive(Debug)]
struct Cursor {
    reader: Reader,
    log: LogId,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Before everything.
    Start,
    /// Before the record at this position, which may have been dropped.
    Before(Position),
    /// In a segment.
    In(Inside),
    /// The log cannot be read on.
    Stuck,
}

/// A place in a segment.
#[derive(Clone, Debug)]
struct Inside {
    segment: Arc<Segment>,
    bound: Bound,
    /// Where the next batch starts.
    at: u32,
    /// Records before this offset were not asked for.
    skip: u32,
}

impl Cursor {
    fn new(reader: Reader, log: LogId, from: Option<Position>) -> Self {
        Self { reader, log, place: from.map_or(Place::Start, Place::Before) }
    }

    /// Reads the next stretch into `found`; false at the end. An error that is not
    /// about the bytes themselves is the last item.
    fn advance<T>(
        &mut self,
        found: &mut VecDeque<Result<T, ReadError>>,
        make: impl FnMut(Position, Proven<'_>) -> Result<T, ReadError>,
    ) -> bool {
        match self.step(found, make) {
            Ok(more) => more,
            Err(error) => {
                self.place = Place::Stuck;
                found.push_back(Err(error));
                true
            }
        }
    }

    fn step<T>(
        &mut self,
        found: &mut VecDeque<Result<T, ReadError>>,
        make: impl FnMut(Position, Proven<'_>) -> Result<T, ReadError>,
    ) -> Result<bool, ReadError> {
        match &self.place {
            Place::Start => self.enter(None, found),
            Place::Before(position) => {
                let position = *position;
                self.enter_at(position, found)
            }
            Place::In(inside) => {
                let inside = inside.clone();
                self.read_on(inside, found, make)
            }
            Place::Stuck => Ok(false),
        }
    }

    /// Goes to the first segment behind `after`, which is where the cursor has read
    /// to; false when there is none.
    fn enter<T>(
        &mut self,
        after: Option<Position>,
        found: &mut VecDeque<Result<T, ReadError>>,
    ) -> Result<bool, ReadError> {
        let mut number = after.map_or(0, |it| it.segment.saturating_add(1));
        let segment = loop {
            let Some(next) = self.reader.at_or_after(self.log, number)? else { return Ok(false) };
            match self.reader.segment(self.log, next) {
                // Dropped since it was listed: the oldest is a later one now.
                Err(ReadError::Gone { .. }) => number = next.saturating_add(1),
                segment => break segment?,
            }
        };
        let before = segment.header.as_ref().map(|it| it.previous_end);
        if let Some(before) = before
            && after.is_some_and(|after| before > after)
        {
            found.push_back(Err(ReadError::Gone { log: self.log, segment: before.segment }));
        }
        let bound = self.reader.bound(self.log, segment.number)?;
        self.place = Place::In(Inside { segment, bound, at: BLOCK, skip: 0 });
        Ok(true)
    }

    /// Goes to the batch with the record at `position`.
    fn enter_at<T>(
        &mut self,
        position: Position,
        found: &mut VecDeque<Result<T, ReadError>>,
    ) -> Result<bool, ReadError> {
        match self.reader.segment(self.log, position.segment) {
            Err(gone @ ReadError::Gone { .. }) => {
                found.push_back(Err(gone));
                self.place = Place::Start;
            }
            segment => {
                let segment = segment?;
                let at = batch_around(&segment, position.offset).map_err(|it| {
                    self.reader.io("reading the segment", self.log, position.segment, it)
                })?;
                let bound = self.reader.bound(self.log, segment.number)?;
                self.place = Place::In(Inside { segment, bound, at, skip: position.offset });
            }
        }
        Ok(true)
    }

    /// Reads one region of a segment, or goes to the next segment.
    fn read_on<T>(
        &mut self,
        mut inside: Inside,
        found: &mut VecDeque<Result<T, ReadError>>,
        mut make: impl FnMut(Position, Proven<'_>) -> Result<T, ReadError>,
    ) -> Result<bool, ReadError> {
        let segment = Arc::clone(&inside.segment);
        let number = segment.number;
        let io = |it: io::Error| self.reader.io("reading the segment", self.log, number, it);
        let mut walk = Walk::new(&segment, inside.at, inside.bound);
        let Some(region) = walk.next().map_err(io)? else {
            return self.leave(inside, found);
        };
        let body_at = match region {
            Region::Batch(header) => header.position.offset.saturating_add(BODY_AT),
            Region::Bad { at, bytes } => {
                let position = Position { segment: number, offset: at };
                found.push_back(Err(ReadError::Corrupt {
                    log: self.log,
                    position,
                    bytes: bytes.into(),
                }));
                at
            }
        };
        let was_reported = matches!(region, Region::Bad { .. });
        for item in Items::new(walk.body(), segment.salt) {
            match item {
                Item::Record { at, record } => {
                    let offset = body_at.saturating_add(at);
                    if offset >= inside.skip {
                        found.push_back(make(Position { segment: number, offset }, record));
                    }
                }
                Item::Bad { at, bytes } if !was_reported => {
                    let position = Position { segment: number, offset: body_at.saturating_add(at) };
                    found.push_back(Err(ReadError::Corrupt {
                        log: self.log,
                        position,
                        bytes: bytes.into(),
                    }));
                }
                Item::Bad { .. } => {}
            }
        }
        inside.at = walk.at();
        self.place = Place::In(inside);
        Ok(true)
    }

    /// At the end of a segment as far as its bound told: reads on when that has
    /// moved, and else goes to the next segment, if there is any.
    ///
    /// The end is always asked for *before* the bytes are looked at: what is written
    /// meanwhile is never taken for damage, and never passed over.
    fn leave<T>(
        &mut self,
        mut inside: Inside,
        found: &mut VecDeque<Result<T, ReadError>>,
    ) -> Result<bool, ReadError> {
        let number = inside.segment.number;
        let next = self.reader.at_or_after(self.log, number.saturating_add(1))?;
        let bound = self.reader.bound(self.log, number)?;
        if let Bound::Known(end) = bound
            && end > inside.at
            && bound != inside.bound
        {
            inside.bound = bound;
            self.place = Place::In(inside);
            return Ok(true);
        }
        let after = Position { segment: number, offset: inside.at };
        if next.is_some() { self.enter(Some(after), found) } else { Ok(false) }
    }
}

/// Where the batch starts in which `offset` lies, or the block of `offset` when none
/// proves itself around it.
fn batch_around(segment: &Segment, offset: u32) -> io::Result<u32> {
    let size = segment.size()?;
    let floor = offset - offset % BLOCK;
    let mut at = floor;
    while at >= BLOCK {
        if let Ok(header) = segment.batch_at(at, size)? {
            return Ok(if header.end().is_some_and(|it| it > offset) { at } else { floor });
        }
        at = at.saturating_sub(BLOCK);
    }
    Ok(floor.max(BLOCK))
}
