//! Reading events: the index says where, the journal says what.

use std::fs::File;
use std::io;

use bytes::Bytes;
use hookgate_journal::{Payload, Reader, Record};
use rusqlite::Connection;

use crate::error::ReadError;
use crate::filter::{EventFilter, Order, Page};
use crate::head::{self, EventHead};
use crate::index::query::{self, Found};
use crate::layout::Layout;
use crate::record::{Event, EventId};

/// The most that one page holds: what is in memory at once, with all headers.
const PAGE_MAX: usize = 10_000;

/// The bytes of a stored body.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// In a file.
    File(File, u64),
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::File(_, bytes) => *bytes,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads events.
#[derive(Clone, Debug)]
pub(crate) struct Library {
    pub(crate) reader: Reader,
    pub(crate) layout: Layout,
}

impl Library {
    /// A page of events off `shelves`: indexes, each of another part of the journal.
    pub(crate) fn page(
        &self,
        shelves: &[&Connection],
        filter: &EventFilter,
        mut page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        let limit = page.limit.min(PAGE_MAX);
        let mut events = Vec::new();
        // What was overwritten between the index and the journal leaves room for more.
        while events.len() < limit {
            page.limit = limit.saturating_sub(events.len());
            let found = look_up(shelves, filter, page)?;
            let Some(last) = found.last() else { break };
            page.after = Some(last.seq);
            let is_end = found.len() < page.limit;
            for found in found {
                match self.event(shelves, found) {
                    Ok(event) => events.extend(event),
                    // One that is damaged does not hide the others.
                    Err(ReadError::Damaged) => {
                        tracing::warn!(
                            event.seq = found.seq,
                            "an event is damaged and left out of a list"
                        );
                    }
                    Err(error) => return Err(error),
                }
            }
            if is_end {
                break;
            }
        }
        Ok(events)
    }

    /// The place of an event.
    pub(crate) fn find(shelves: &[&Connection], id: EventId) -> Result<Option<Found>, ReadError> {
        for shelf in shelves {
            let found = query::by_id(shelf, id).map_err(ReadError::database)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The event at a place; nothing if it was overwritten since.
    pub(crate) fn event(
        &self,
        shelves: &[&Connection],
        found: Found,
    ) -> Result<Option<Event>, ReadError> {
        let Some(record) = self.record(found)? else { return Ok(None) };
        let head = head_of(&record, found)?;
        let mut duplicates = 0_u64;
        for shelf in shelves {
            let count = query::duplicates(shelf, found.seq).map_err(ReadError::database)?;
            duplicates = duplicates.saturating_add(count);
        }
        Ok(Some(head.into_event(found.seq, duplicates)))
    }

    /// The digest of an event's body.
    pub(crate) fn digest(&self, found: Found) -> Result<Option<[u8; 32]>, ReadError> {
        let Some(record) = self.record(found)? else { return Ok(None) };
        Ok(Some(head_of(&record, found)?.sha256.0))
    }

    /// The body of an event; nothing if it was erased or overwritten.
    pub(crate) fn body(&self, found: Found) -> Result<Option<Body>, ReadError> {
        let Some(record) = self.record(found)? else { return Ok(None) };
        let head = head_of(&record, found)?;
        if let Some(blob) = head.blob {
            return file_body(File::open(self.layout.blob(blob.0)), head.size);
        }
        match record.payload {
            Payload::Present(bytes) => Ok(Some(Body::Whole(bytes.into()))),
            Payload::Erased => Ok(None),
        }
    }

    fn record(&self, found: Found) -> Result<Option<Record>, ReadError> {
        match self.reader.read(found.log, found.position) {
            Ok(record) if record.seq == found.seq => Ok(Some(record)),
            Ok(_) => Err(ReadError::Damaged),
            Err(error) => ReadError::journal(error).map_or(Ok(None), Err),
        }
    }
}

/// Looks on all shelves, and takes what comes first in the order of the page.
fn look_up(
    shelves: &[&Connection],
    filter: &EventFilter,
    page: Page,
) -> Result<Vec<Found>, ReadError> {
    let mut all = Vec::new();
    for shelf in shelves {
        all.extend(query::page(shelf, filter, page).map_err(ReadError::database)?);
    }
    match page.order {
        Order::NewestFirst => all.sort_unstable_by_key(|it| std::cmp::Reverse(it.seq)),
        Order::OldestFirst => all.sort_unstable_by_key(|it| it.seq),
    }
    all.truncate(page.limit);
    Ok(all)
}

/// The head of a record that the index led to.
fn head_of(record: &Record, found: Found) -> Result<EventHead<'_>, ReadError> {
    let head: EventHead<'_> = head::decode(&record.head).map_err(|_| ReadError::Damaged)?;
    if head.record != head::EVENT || head.id.0 != found.id {
        return Err(ReadError::Damaged);
    }
    Ok(head)
}

/// The body in a file that was opened; a file that is not there was erased.
pub(crate) fn file_body(file: io::Result<File>, bytes: u64) -> Result<Option<Body>, ReadError> {
    let file = match file {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(ReadError::Io)?,
    };
    let length = file.metadata().map_err(ReadError::Io)?.len();
    if length == bytes { Ok(Some(Body::File(file, bytes))) } else { Err(ReadError::Damaged) }
}
