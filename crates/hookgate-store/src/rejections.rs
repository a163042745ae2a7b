//! Refused requests: a ring of the latest, with their bytes, in a journal of its own, so
//! that nobody who is refused delays who is accepted.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use hookgate_core::received::{Body as ReceivedBody, Unproven};
use hookgate_core::secret::MaskKey;
use hookgate_core::time::Timestamp;
use hookgate_journal::{Journal, Payload, Position, Reader, Record, Ticket};
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::body::Body;
use crate::error::ReadError;
use crate::filter::{Order, Page, RejectionFilter};
use crate::head::{self, REJECTION, RejectionHead, SETTLEMENT, SettlementHead, SlimRejection};
use crate::layout::{self, Layout, REJECTIONS};
use crate::library::file_body;
use crate::lock;
use crate::peers::Peers;
use crate::prepare::{self, Stamp};
use crate::record::{EventId, Rejection};

/// Refused requests after which the list is compared with what the ring still holds.
const TRIM_EVERY: u64 = 64;

/// A refused request in memory.
#[derive(Clone, Debug)]
struct Entry {
    id: Uuid,
    seq: u64,
    place: Place,
    at: i64,
    /// Index into [`List::sources`].
    source: usize,
    accepted_as: Option<EventId>,
    blob: Option<([u8; 16], u64)>,
}

/// Where its record lies.
#[derive(Clone, Debug)]
enum Place {
    At(Position),
    Pending(Ticket),
}

impl Place {
    /// Where, if that is known; `Err` if it was not written.
    fn position(&self) -> Result<Option<Position>, ()> {
        match self {
            Self::At(position) => Ok(Some(*position)),
            Self::Pending(ticket) => match ticket.outcome() {
                None => Ok(None),
                Some(Ok(committed)) => Ok(Some(committed.position)),
                Some(Err(_)) => Err(()),
            },
        }
    }
}

/// The refused requests that the ring holds, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct List {
    entries: VecDeque<Entry>,
    sources: Vec<String>,
    blob_bytes: u64,
}

impl List {
    /// Reads the list out of the journal.
    pub(crate) fn load(reader: &Reader) -> Result<Self, ReadError> {
        let mut list = Self::default();
        let mut by_id: HashMap<Uuid, EventId> = HashMap::new();
        for item in reader.scan_heads(REJECTIONS, None) {
            let record = match item {
                Ok(record) => record,
                Err(error) => match ReadError::journal(error) {
                    // Damaged or overwritten: a ring promises nothing.
                    None | Some(ReadError::Damaged) => continue,
                    Some(error) => return Err(error),
                },
            };
            let Ok(head) = head::decode::<SlimRejection<'_>>(&record.head) else { continue };
            match (head.record, head.event) {
                (REJECTION, _) if record.erased => {}
                (REJECTION, _) => list.push(&head, record.seq, Place::At(record.position)),
                (SETTLEMENT, Some(event)) => {
                    by_id.insert(head.id.uuid(), EventId(event.uuid()));
                }
                _ => {}
            }
        }
        for entry in &mut list.entries {
            entry.accepted_as = by_id.get(&entry.id).copied();
        }
        Ok(list)
    }

    fn push<H>(&mut self, head: &RejectionHead<'_, H>, seq: u64, place: Place) {
        let known = self.sources.iter().position(|it| *it == head.source);
        let source = known.unwrap_or_else(|| {
            self.sources.push(head.source.clone().into_owned());
            self.sources.len().saturating_sub(1)
        });
        let blob = head.blob.map(|it| (it.0, head.size));
        self.blob_bytes = self.blob_bytes.saturating_add(blob.map_or(0, |(_, bytes)| bytes));
        let id = head.id.uuid();
        self.entries.push_back(Entry {
            id,
            seq,
            place,
            at: head.at,
            source,
            accepted_as: None,
            blob,
        });
    }

    /// Forgets what the ring dropped, what failed, and the oldest large bodies beyond
    /// `blob_bytes_max`. Gives the large bodies that go with them.
    fn trim(&mut self, oldest_segment: u64, blob_bytes_max: u64) -> Vec<[u8; 16]> {
        let mut gone = Vec::new();
        let mut excess = self.blob_bytes.saturating_sub(blob_bytes_max);
        let mut freed = 0_u64;
        self.entries.retain(|entry| {
            let bytes = entry.blob.map_or(0, |(_, bytes)| bytes);
            let stays = match entry.place.position() {
                Err(()) => false,
                Ok(position) => {
                    position.is_none_or(|it| it.segment >= oldest_segment)
                        && (bytes == 0 || excess == 0)
                }
            };
            if !stays && let Some((id, _)) = entry.blob {
                gone.push(id);
                excess = excess.saturating_sub(bytes);
                freed = freed.saturating_add(bytes);
            }
            stays
        });
        self.blob_bytes = self.blob_bytes.saturating_sub(freed);
        gone
    }

    /// Those on a page, with nothing read yet.
    fn select(&self, filter: &RejectionFilter, page: Page) -> Vec<Entry> {
        let source =
            filter.source.as_ref().map(|it| self.sources.iter().position(|known| known == it));
        let matches = |entry: &&Entry| {
            source.is_none_or(|it| it == Some(entry.source))
                && filter.since.is_none_or(|it| entry.at >= it.millis())
                && filter.until.is_none_or(|it| entry.at < it.millis())
                && (filter.settled || entry.accepted_as.is_none())
        };
        let limit = page.limit;
        match page.order {
            Order::NewestFirst => {
                let before = page.after.unwrap_or(u64::MAX);
                let older = self.entries.iter().rev().filter(|it| it.seq < before);
                older.filter(matches).take(limit).cloned().collect()
            }
            Order::OldestFirst => {
                let newer =
                    self.entries.iter().filter(|it| page.after.is_none_or(|after| it.seq > after));
                newer.filter(matches).take(limit).cloned().collect()
            }
        }
    }

    fn find(&self, id: Uuid) -> Option<&Entry> {
        self.entries.iter().find(|it| it.id == id)
    }

    /// A page, read through `reader`.
    pub(crate) fn page(
        list: &Mutex<Self>,
        shelf: &RejectionShelf,
        filter: &RejectionFilter,
        mut page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        let limit = page.limit;
        let mut rejections = Vec::new();
        while rejections.len() < limit {
            page.limit = limit.saturating_sub(rejections.len());
            let entries = lock(list).select(filter, page);
            let Some(end) = entries.last() else { break };
            page.after = Some(end.seq);
            for entry in &entries {
                match shelf.read(entry) {
                    Ok(found) => rejections.extend(found.map(|(rejection, _)| rejection)),
                    Err(ReadError::Damaged) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(rejections)
    }

    /// One, with its body.
    pub(crate) fn one(
        list: &Mutex<Self>,
        shelf: &RejectionShelf,
        id: Uuid,
    ) -> Result<Option<(Rejection, Body)>, ReadError> {
        let Some(entry) = lock(list).find(id).cloned() else { return Ok(None) };
        let Some((rejection, payload)) = shelf.read(&entry)? else { return Ok(None) };
        if let Some((blob, bytes)) = entry.blob {
            let body = file_body(File::open(shelf.layout.rejected_blob(blob)), bytes)?;
            return Ok(body.map(|body| (rejection, body)));
        }
        Ok(Some((rejection, Body::Whole(payload.into()))))
    }
}

/// Reads refused requests.
#[derive(Clone, Debug)]
pub(crate) struct RejectionShelf {
    pub(crate) reader: Reader,
    pub(crate) layout: Layout,
}

impl RejectionShelf {
    fn read(&self, entry: &Entry) -> Result<Option<(Rejection, Vec<u8>)>, ReadError> {
        let Ok(Some(position)) = entry.place.position() else { return Ok(None) };
        let record: Record = match self.reader.read(REJECTIONS, position) {
            Ok(record) => record,
            Err(error) => return ReadError::journal(error).map_or(Ok(None), Err),
        };
        let head: RejectionHead<'_> = head::decode(&record.head).map_err(|_| ReadError::Damaged)?;
        if head.id.uuid() != entry.id {
            return Err(ReadError::Damaged);
        }
        let rejection = head.into_rejection(entry.seq, entry.accepted_as);
        let Payload::Present(payload) = record.payload else { return Ok(None) };
        Ok(Some((rejection, payload)))
    }
}

/// The ring, open for writing.
#[derive(Debug)]
pub(crate) struct Rejections {
    journal: Journal,
    shelf: RejectionShelf,
    list: Mutex<List>,
    peers: Mutex<Peers>,
    blob_bytes_max: u64,
    stored: AtomicU64,
    dropped: AtomicU64,
}

impl Rejections {
    /// Reads what the ring holds, and removes large bodies that belong to nothing.
    pub(crate) fn open(
        journal: Journal,
        layout: &Layout,
        peers: Peers,
        blob_bytes_max: u64,
    ) -> Result<Self, io::Error> {
        let shelf = RejectionShelf { reader: journal.reader(), layout: layout.clone() };
        let list = List::load(&shelf.reader).map_err(io::Error::other)?;
        let known: Vec<String> =
            list.entries.iter().filter_map(|it| it.blob).map(|(id, _)| hex::encode(id)).collect();
        for entry in fs::read_dir(layout.rejected_blobs())? {
            let entry = entry?;
            if !known.iter().any(|it| entry.file_name() == it.as_str()) {
                layout::remove(&entry.path())?;
            }
        }
        Ok(Self {
            journal,
            shelf,
            list: Mutex::new(list),
            peers: Mutex::new(peers),
            blob_bytes_max,
            stored: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Whether the peer of a refused request has something left of its share.
    pub(crate) fn admit(&self, refused: &Unproven) -> bool {
        let received = refused.received();
        let admitted = lock(&self.peers).take(received.peer, received.body.len(), Instant::now());
        if !admitted {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Keeps a refused request.
    pub(crate) fn keep(
        &self,
        refused: &Unproven,
        status: u16,
        (id, mask_key): (Uuid, &MaskKey),
        blobs: &Blobs,
    ) {
        let received = refused.received();
        let headers = prepare::masked(received, mask_key);
        let stamp = Stamp { id, sha256: received.body.sha256(), headers: &headers };
        let head = prepare::rejection(refused, status, &stamp);
        let payload = match &received.body {
            ReceivedBody::Whole(bytes) => bytes.as_ref(),
            ReceivedBody::Blob(blob) => {
                if let Err(error) = blobs.reject(blob.id) {
                    tracing::warn!(error = %error, "the large body of a refused request could not be kept");
                    self.dropped.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                &[]
            }
        };
        let mut encoded = Vec::with_capacity(1024);
        head::encode(&head, &mut encoded);
        // Under the lock of the list, so that the list has the order of the journal.
        let mut list = lock(&self.list);
        let Ok(ticket) = self.journal.append(REJECTIONS, &encoded, payload) else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            if let ReceivedBody::Blob(blob) = &received.body {
                self.remove_blobs(&[blob.id]);
            }
            return;
        };
        list.push(&head, ticket.seq(), Place::Pending(ticket));
        let stored = self.stored.fetch_add(1, Ordering::Relaxed);
        if stored.is_multiple_of(TRIM_EVERY) || list.blob_bytes > self.blob_bytes_max {
            self.trim(&mut list);
        }
    }

    fn trim(&self, list: &mut List) {
        let oldest = self.journal.statistics().logs.first().map_or(0, |it| it.oldest_segment);
        let gone = list.trim(oldest, self.blob_bytes_max);
        self.remove_blobs(&gone);
    }

    fn remove_blobs(&self, blobs: &[[u8; 16]]) {
        for id in blobs {
            if let Err(error) = layout::remove(&self.shelf.layout.rejected_blob(*id)) {
                tracing::warn!(error = %error, "the large body of a refused request could not be removed");
            }
        }
    }

    /// Notes that a refused request became an event.
    pub(crate) fn settle(&self, rejection: Uuid, event: EventId) {
        let settlement = SettlementHead {
            record: SETTLEMENT,
            id: rejection.into(),
            at: now().millis(),
            event: event.0.into(),
        };
        let mut encoded = Vec::with_capacity(96);
        head::encode(&settlement, &mut encoded);
        let mut list = lock(&self.list);
        let Some(entry) = list.entries.iter_mut().find(|it| it.id == rejection) else { return };
        entry.accepted_as = Some(event);
        if let Err(error) = self.journal.append(REJECTIONS, &encoded, &[]) {
            // Judged once more after a restart, it is recognised as a repetition.
            tracing::warn!(error = %error, "a settled rejection could not be noted");
        }
    }

    /// Erases those that became one of these events: the ring has their bytes as well.
    pub(crate) fn erase_of(&self, events: &HashSet<EventId>) -> io::Result<()> {
        self.erase(|entry, _| entry.accepted_as.is_some_and(|it| events.contains(&it)))
    }

    /// Erases what came to a source before a moment.
    pub(crate) fn expire(&self, source: &str, before: Timestamp) -> io::Result<()> {
        self.erase(|entry, sources| {
            entry.at < before.millis() && sources.get(entry.source).is_some_and(|it| it == source)
        })
    }

    /// Erases bodies, and takes the requests off the list. What fails stays on it.
    fn erase(&self, which: impl Fn(&Entry, &[String]) -> bool) -> io::Result<()> {
        let entries: Vec<Entry> = {
            let list = lock(&self.list);
            list.entries.iter().filter(|it| which(it, &list.sources)).cloned().collect()
        };
        if entries.is_empty() {
            return Ok(());
        }
        let mut positions = Vec::with_capacity(entries.len());
        for entry in &entries {
            if let Place::Pending(ticket) = &entry.place {
                // One that failed has no bytes.
                let _ = ticket.wait();
            }
            positions.extend(entry.place.position().ok().flatten());
        }
        self.journal.erase_all(REJECTIONS, &positions)?;
        for (blob, _) in entries.iter().filter_map(|it| it.blob) {
            layout::remove(&self.shelf.layout.rejected_blob(blob))?;
        }
        let gone: HashSet<u64> = entries.iter().map(|it| it.seq).collect();
        let mut list = lock(&self.list);
        list.entries.retain(|it| !gone.contains(&it.seq));
        let bytes = entries.iter().filter_map(|it| it.blob).map(|(_, bytes)| bytes).sum();
        list.blob_bytes = list.blob_bytes.saturating_sub(bytes);
        Ok(())
    }

    /// The last that is on its way.
    pub(crate) fn last_pending(&self) -> Option<Ticket> {
        match &lock(&self.list).entries.back()?.place {
            Place::Pending(ticket) => Some(ticket.clone()),
            Place::At(_) => None,
        }
    }

    pub(crate) fn page(
        &self,
        filter: &RejectionFilter,
        page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        self.trim(&mut lock(&self.list));
        List::page(&self.list, &self.shelf, filter, page)
    }

    pub(crate) fn one(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        List::one(&self.list, &self.shelf, id)
    }

    /// How many are kept, how many large bytes with them, and how many were dropped.
    pub(crate) fn counts(&self) -> (u64, u64, u64) {
        let mut list = lock(&self.list);
        self.trim(&mut list);
        (list.entries.len() as u64, list.blob_bytes, self.dropped.load(Ordering::Relaxed))
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// The time of the machine.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
