//! Folding, wherever events and conversations are kept.
//!
//! - Accepted events alone; each as its tenant may read it.
//! - What is released or attributed anew is found in the list of decisions: the conversations
//!   that it leaves and enters are folded again, of all their events.
//! - What cannot be read is left out; it holds up no other.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use hookgate_core::canonical::CanonicalEvent;
use hookgate_core::tenant::{Scope, TenantId};

use super::write::{DECISIONS, Draft, EVENTS, Key, Tables};
use crate::body::Body;
use crate::error::{ReadError, Unavailable};
use crate::filter::{EventFilter, Order, Page};
use crate::record::{Event, EventId, Status};
use crate::registry::{NumberedDecision, RegistryError};
use crate::sql;

/// Events that are folded in one transaction.
const EVENTS_MAX: usize = 256;

/// Bytes of bodies after which a transaction ends: what their conversations take in memory is
/// some times as much.
const BODIES_BYTES_MAX: u64 = 8 << 20;

/// The largest body that is read, in bytes. One over 1 MiB has a recording in it, mostly, and
/// beside it a transcript; a whole call as base64 is larger than this and has none.
const BODY_BYTES_MAX: u64 = 4 << 20;

/// Decisions that are read at once.
pub(crate) const DECISIONS_MAX: u32 = 64;

/// Why it stopped for a moment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FoldError {
    /// The conversations cannot be written.
    #[error("the conversations cannot be written")]
    Database(#[from] sql::Error),
    /// Events cannot be read.
    #[error("events cannot be read")]
    Reading(#[from] ReadError),
    /// Decisions cannot be read.
    #[error("decisions cannot be read")]
    Registry(#[from] RegistryError),
    /// The index does not take in what was decided.
    #[error("the index does not take in what was decided: {0}")]
    Index(#[from] Unavailable),
}

/// What an event has for its conversation.
pub(crate) struct Said {
    pub(crate) key: Key,
    seq: u64,
    received_at: i64,
    bytes: u64,
    event: CanonicalEvent,
}

impl Said {
    /// What an event says; nothing if it is of no conversation, or its provider is not known.
    pub(crate) fn of(event: Event, body: Body) -> Result<Option<Self>, ReadError> {
        let Some(external_id) = event.conversation_id.clone() else { return Ok(None) };
        let bytes = body.len();
        let body = if event.is_readable() && bytes <= BODY_BYTES_MAX {
            serde_json::from_slice(&whole(body)?).ok()
        } else {
            None
        };
        let canonical = event.canonical_event(body.as_ref());
        let (seq, received_at) = (event.seq, event.received_at.millis());
        let key =
            Key { tenant: event.tenant.unwrap_or_default(), provider: event.provider, external_id };
        Ok(canonical.map(|event| Self { key, seq, received_at, bytes, event }))
    }
}

/// Who may read an event that is this tenant's; nothing if that is no tenant's id.
pub(crate) fn reader(tenant: Option<&str>) -> Option<Scope> {
    match tenant {
        None => Some(Scope::Operator),
        Some(tenant) => TenantId::parse(tenant).ok().map(Scope::Tenant),
    }
}

/// Where events are read.
pub(crate) trait Events {
    /// An event that was found.
    type Found;

    /// A page of them.
    fn page(&self, filter: &EventFilter, page: Page) -> Result<Vec<Self::Found>, ReadError>;

    /// One that may be acted on.
    fn accepted(&self, id: EventId) -> Result<Option<Self::Found>, ReadError>;

    /// The place and the id of one.
    fn place(found: &Self::Found) -> (u64, [u8; 16]);

    /// What it says, as its tenant may read it; nothing if it is erased, of no conversation, or
    /// cannot be read.
    fn said(&self, found: &Self::Found) -> Result<Option<Said>, ReadError>;
}

/// Takes in a batch of events, of those up to `end`; gives how far it is then.
pub(crate) fn events<E: Events>(
    tables: &Tables<'_>,
    events: &E,
    end: u64,
) -> Result<u64, FoldError> {
    let after = tables.cursor(EVENTS)?;
    let filter = EventFilter { status: Some(Status::Accepted), ..EventFilter::default() };
    let page = Page { order: Order::OldestFirst, after: Some(after), limit: EVENTS_MAX };
    let mut drafts: BTreeMap<Key, Draft> = BTreeMap::new();
    let (mut through, mut bytes, mut last) = (after, 0_u64, None);
    let found = events.page(&filter, page)?;
    let mut is_all = found.len() < EVENTS_MAX;
    for found in &found {
        if bytes >= BODIES_BYTES_MAX {
            is_all = false;
            break;
        }
        let (seq, id) = E::place(found);
        (through, last) = (seq, Some((seq, id)));
        let Some(said) = events.said(found)? else { continue };
        bytes = bytes.saturating_add(said.bytes);
        let draft = match drafts.entry(said.key.clone()) {
            Entry::Occupied(it) => it.into_mut(),
            Entry::Vacant(it) => it.insert(tables.load(&said.key)?),
        };
        draft.add(&said);
    }
    if is_all {
        // Behind the last there are others up to the end, which nobody may act on. The
        // cursor stays at one that is stored: a place whose record failed is given again.
        through = last_stored(events, through, end)?;
    }
    if through > after {
        for (key, draft) in &drafts {
            tables.store(key, draft)?;
        }
        if let Some((seq, id)) = last {
            tables.set_meta("last", &format!("{seq} {}", hex::encode(id)))?;
        }
        tables.set_cursor(EVENTS, through)?;
    }
    Ok(if is_all { end.max(through) } else { through })
}

/// Takes in decisions that the events show by now.
pub(crate) fn decisions<E: Events>(
    tables: &Tables<'_>,
    events: &E,
    decisions: &[NumberedDecision],
) -> Result<(), FoldError> {
    let Some(last) = decisions.last().map(|it| it.n) else { return Ok(()) };
    let through = tables.cursor(EVENTS)?;
    let mut touched = BTreeSet::new();
    for decided in decisions.iter().filter(|it| it.seq <= through) {
        touched.extend(tables.key_of(decided.seq)?);
        // The conversation that it belongs into as it is now.
        if let Some(found) = events.accepted(decided.decision.event)? {
            touched.extend(events.said(&found)?.map(|it| it.key));
        }
    }
    fold_again(tables, events, &touched)?;
    Ok(tables.set_cursor(DECISIONS, last)?)
}

/// Folds conversations again, of those of their events that are behind the cursor and can be
/// read.
pub(crate) fn fold_again<E: Events>(
    tables: &Tables<'_>,
    events: &E,
    keys: &BTreeSet<Key>,
) -> Result<(), FoldError> {
    let through = tables.cursor(EVENTS)?;
    // All go before one comes: an event may change from one to the other.
    for key in keys {
        tables.remove(key)?;
    }
    for key in keys {
        let draft = again(events, key, through)?;
        if !draft.added.is_empty() {
            tables.store(key, &draft)?;
        }
    }
    Ok(())
}

fn again<E: Events>(events: &E, key: &Key, through: u64) -> Result<Draft, ReadError> {
    let filter = EventFilter {
        provider: Some(key.provider.clone()),
        conversation: Some(key.external_id.clone()),
        tenant: Some(key.tenant.clone()).filter(|it| !it.is_empty()),
        status: Some(Status::Accepted),
        ..EventFilter::default()
    };
    let mut draft = Draft::default();
    let mut page = Page { order: Order::OldestFirst, after: None, limit: EVENTS_MAX };
    loop {
        let found = events.page(&filter, page)?;
        let is_last = found.len() < EVENTS_MAX;
        for found in &found {
            let (seq, _) = E::place(found);
            if seq > through {
                return Ok(draft);
            }
            page.after = Some(seq);
            if let Some(said) = events.said(found)?.filter(|it| it.key == *key) {
                draft.add(&said);
            }
        }
        if is_last {
            return Ok(draft);
        }
    }
}

impl Draft {
    fn add(&mut self, said: &Said) {
        if self.n.is_none() && self.added.is_empty() {
            self.received_at = said.received_at;
        }
        self.added.push(said.seq);
        self.state.fold(said.seq, &said.event);
    }
}

/// The last event that is stored between these places; the first of them if there is none.
fn last_stored<E: Events>(events: &E, first: u64, end: u64) -> Result<u64, ReadError> {
    let after = Some(end.saturating_add(1));
    let page = Page { order: Order::NewestFirst, after, limit: 1 };
    let found = events.page(&EventFilter::default(), page)?;
    Ok(found.first().map_or(first, |it| E::place(it).0.max(first)))
}

fn whole(body: Body) -> Result<Vec<u8>, ReadError> {
    match body {
        Body::Whole(bytes) => Ok(bytes.to_vec()),
        Body::Large(mut large) => {
            let mut bytes = Vec::new();
            large.read_to_end(&mut bytes).map_err(ReadError::Io)?;
            Ok(bytes)
        }
    }
}
