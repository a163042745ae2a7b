//! Reading events: the index says where, the journal says what.

use std::fs::File;
use std::io;

use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::headers::Headers;
use hookgate_core::tenant::Scope;
use hookgate_journal::{Payload, Reader, Record};
use rusqlite::Connection;

use crate::body::{Body, Large};
use crate::error::ReadError;
use crate::filter::{EventFilter, Order, Page};
use crate::head::{self, EventHead, Octets, Since};
use crate::index::query::{self, Found};
use crate::layout::Layout;
use crate::record::{Event, EventId, Status};

/// The most that one page holds: what is in memory at once, with all headers.
const PAGE_MAX: usize = 10_000;

/// A piece of the order of all events.
#[derive(Debug, Default)]
pub struct Stretch {
    /// Those that can be read.
    pub events: Vec<Event>,
    /// How many of them cannot: their records were overwritten or are damaged.
    pub unreadable: u64,
}

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Events. A tenant sees what was accepted and is its own.
    Events,
    /// Contradictions. A tenant sees those that name it.
    Violations,
}

impl Shown {
    /// The filter for somebody confined to this scope; nothing if nothing can match.
    pub(crate) fn within(self, scope: &Scope, filter: &EventFilter) -> Option<EventFilter> {
        let mut filter = filter.clone();
        let Some(tenant) = scope.tenant() else { return Some(filter) };
        let tenant = tenant.as_str();
        if filter.tenant.as_ref().is_some_and(|it| it != tenant) {
            return None;
        }
        filter.tenant = Some(tenant.to_owned());
        if self == Self::Events {
            if filter.status == Some(Status::Quarantined) {
                return None;
            }
            filter.status = Some(Status::Accepted);
        }
        Some(filter)
    }

    /// The event as somebody confined to this scope may see it here: whoever is named by a
    /// contradiction learns nothing else of it.
    pub(crate) fn of(self, scope: &Scope, mut event: Event) -> Event {
        if self == Self::Violations && scope.tenant().is_some() {
            event.external_id = None;
            event.conversation_id = None;
            event.tenant = event.tenant.filter(|it| scope.covers(Some(it)));
            event.decision = None;
            event.url_token = None;
            event.target = event.target.split('?').next().unwrap_or_default().to_owned();
            event.headers = Headers::default();
        }
        event
    }

    /// Whether somebody confined to this scope may see what was found.
    fn shows(self, scope: &Scope, found: &Found) -> bool {
        match self {
            Self::Events => found.is_within(scope),
            // Whom it names is in the index alone.
            Self::Violations => true,
        }
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
        view: (&Scope, Shown),
        filter: &EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        Ok(self.stretch(shelves, view, filter, page)?.events)
    }

    /// The same, with the number of those that were left out.
    pub(crate) fn stretch(
        &self,
        shelves: &[&Connection],
        (scope, shown): (&Scope, Shown),
        filter: &EventFilter,
        page: Page,
    ) -> Result<Stretch, ReadError> {
        let Some(filter) = shown.within(scope, filter) else { return Ok(Stretch::default()) };
        let look = |page| {
            let found = look_up(shelves, shown, &filter, page)?;
            let places =
                found.into_iter().map(|it| (it.seq, Some(it).filter(|it| shown.shows(scope, it))));
            Ok(places.collect())
        };
        fill(page, look, |found| {
            Ok(self.event(shelves, scope, found)?.map(|event| shown.of(scope, event)))
        })
    }

    /// The place of an event that is within the scope.
    pub(crate) fn find(
        shelves: &[&Connection],
        scope: &Scope,
        id: EventId,
    ) -> Result<Option<Found>, ReadError> {
        for shelf in shelves {
            let found = query::by_id(shelf, id).map_err(ReadError::database)?;
            if let Some(found) = found {
                return Ok(Some(found).filter(|it| it.is_within(scope)));
            }
        }
        Ok(None)
    }

    /// The event at a place; nothing if it was overwritten since. What is another's in it is
    /// left out.
    pub(crate) fn event(
        &self,
        shelves: &[&Connection],
        scope: &Scope,
        found: Found,
    ) -> Result<Option<Event>, ReadError> {
        let Some(record) = self.record(&found)? else { return Ok(None) };
        let head = head_of(&record, &found)?;
        let mut since = Since {
            seq: found.seq,
            is_quarantined: found.is_quarantined,
            is_erased: record.payload == Payload::Erased,
            tenant: found.tenant,
            ..Since::default()
        };
        for shelf in shelves {
            let count = query::duplicates(shelf, since.seq).map_err(ReadError::database)?;
            since.duplicates = since.duplicates.saturating_add(count);
            let decision = query::decided(shelf, since.seq).map_err(ReadError::database)?;
            since.decision = since.decision.or(decision);
        }
        Ok(Some(event_of(head, since, scope)))
    }

    /// What was stored of an event, and its body; nothing if it was erased or overwritten.
    /// What became of it after is not asked, but for whose it is.
    pub(crate) fn stored(
        &self,
        scope: &Scope,
        mut found: Found,
    ) -> Result<Option<(Event, Body)>, ReadError> {
        let Some(record) = self.record(&found)? else { return Ok(None) };
        let head = head_of(&record, &found)?;
        let (blob, size) = (head.blob, head.size);
        let since = Since {
            seq: found.seq,
            is_quarantined: found.is_quarantined,
            tenant: found.tenant.take(),
            ..Since::default()
        };
        let event = event_of(head, since, scope);
        let body = self.body_of(record.payload, blob, size)?;
        Ok(body.map(|body| (event, body)))
    }

    /// Something of an event's head; nothing if it was overwritten since.
    pub(crate) fn head<T>(
        &self,
        found: &Found,
        read: impl FnOnce(EventHead<'_>) -> T,
    ) -> Result<Option<T>, ReadError> {
        let Some(record) = self.record(found)? else { return Ok(None) };
        Ok(Some(read(head_of(&record, found)?)))
    }

    /// The digest of an event's body.
    pub(crate) fn digest(&self, found: &Found) -> Result<Option<[u8; 32]>, ReadError> {
        let Some(record) = self.record(found)? else { return Ok(None) };
        Ok(Some(head_of(&record, found)?.sha256.0))
    }

    /// The body of an event; nothing if it was erased or overwritten.
    pub(crate) fn body(&self, found: &Found) -> Result<Option<Body>, ReadError> {
        let Some(record) = self.record(found)? else { return Ok(None) };
        let head = head_of(&record, found)?;
        let (blob, size) = (head.blob, head.size);
        self.body_of(record.payload, blob, size)
    }

    fn body_of(
        &self,
        payload: Payload,
        blob: Option<Octets<16>>,
        size: u64,
    ) -> Result<Option<Body>, ReadError> {
        match (payload, blob) {
            (Payload::Erased, _) => Ok(None),
            (Payload::Present(_), Some(blob)) => {
                file_body(File::open(self.layout.blob(blob.0)), size)
            }
            (Payload::Present(bytes), None) => Ok(Some(Body::Whole(bytes.into()))),
        }
    }

    fn record(&self, found: &Found) -> Result<Option<Record>, ReadError> {
        match self.reader.read(found.log, found.position) {
            Ok(record) if record.seq == found.seq => Ok(Some(record)),
            Ok(_) => Err(ReadError::Damaged),
            Err(error) => ReadError::journal(error).map_or(Ok(None), Err),
        }
    }
}

/// Fills a page: `look` gives the places of one, nothing for what is hidden there, and `read`
/// what is at a place, nothing if it was overwritten since. What cannot be read leaves room
/// for more.
pub(crate) fn fill<T>(
    mut page: Page,
    mut look: impl FnMut(Page) -> Result<Vec<(u64, Option<T>)>, ReadError>,
    mut read: impl FnMut(T) -> Result<Option<Event>, ReadError>,
) -> Result<Stretch, ReadError> {
    let limit = page.limit.min(PAGE_MAX);
    let mut stretch = Stretch::default();
    while stretch.events.len() < limit {
        page.limit = limit.saturating_sub(stretch.events.len());
        let found = look(page)?;
        let Some((last, _)) = found.last() else { break };
        page.after = Some(*last);
        let is_end = found.len() < page.limit;
        for (seq, place) in found {
            let Some(place) = place else { continue };
            match read(place) {
                Ok(Some(event)) => stretch.events.push(event),
                Ok(None) => stretch.unreadable = stretch.unreadable.saturating_add(1),
                // One that is damaged does not hide the others.
                Err(ReadError::Damaged) => {
                    stretch.unreadable = stretch.unreadable.saturating_add(1);
                    tracing::warn!(event.seq = seq, "an event is damaged and left out of a list");
                }
                Err(error) => return Err(error),
            }
        }
        if is_end {
            break;
        }
    }
    Ok(stretch)
}

/// The event of a head with what became of it, as somebody confined to this scope may see
/// it: what is another's in it is left out.
pub(crate) fn event_of(head: EventHead<'_>, since: Since, scope: &Scope) -> Event {
    let mut event = head.into_event(since);
    // A contradiction is shown by the names of both sides, which its list hides.
    if event.status == Status::Accepted {
        hide_others(&mut event, scope);
    }
    event
}

/// Looks on all shelves, and takes what comes first in the order of the page.
fn look_up(
    shelves: &[&Connection],
    shown: Shown,
    filter: &EventFilter,
    page: Page,
) -> Result<Vec<Found>, ReadError> {
    let mut all = Vec::new();
    for shelf in shelves {
        let found = match shown {
            Shown::Events => query::page(shelf, filter, page),
            Shown::Violations => query::violations(shelf, filter, page),
        };
        all.extend(found.map_err(ReadError::database)?);
    }
    match page.order {
        Order::NewestFirst => all.sort_unstable_by_key(|it| std::cmp::Reverse(it.seq)),
        Order::OldestFirst => all.sort_unstable_by_key(|it| it.seq),
    }
    all.truncate(page.limit);
    Ok(all)
}

/// Takes out of an event of a tenant's own what is another's. There is something only in
/// one that the operator released.
fn hide_others(event: &mut Event, scope: &Scope) {
    let Scope::Tenant(tenant) = scope else { return };
    for claim in &mut event.claims {
        if claim.tenant.as_ref().is_none_or(|it| it == tenant) {
            continue;
        }
        let is_conversation = claim.kind == ClaimKind::Conversation;
        if is_conversation && claim.external_id == event.conversation_id {
            event.conversation_id = None;
        }
        *claim = Claim::new(claim.kind, None);
    }
}

/// The head of a record that the index led to.
fn head_of<'a>(record: &'a Record, found: &Found) -> Result<EventHead<'a>, ReadError> {
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
    if length == bytes {
        Ok(Some(Body::Large(Large::file(file, bytes))))
    } else {
        Err(ReadError::Damaged)
    }
}
