//! Follows the journal, and what was decided on its events later, and makes deliveries of
//! what destinations want and recordings of what sources want kept. Two cursors, each kept in
//! the transaction of what was made up to it: nothing is left out, and nothing comes about twice.
//!
//! Which events:
//!
//! - Accepted ones alone. A tenant's destinations get the tenant's, the operator's get all.
//! - What a destination was there for: an event that was received before it was made is not
//!   passed on, but for one that was accepted late.
//! - Not what repeats another one, even with other bytes: it is in the journal, linked.
//! - **What is released or attributed anew** is found in the list of decisions, and passed on
//!   as if it had come then. A destination that had it already does not get it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use hookgate_store::{
    Decision, Destination, Event, EventFilter, Made, NewDelivery, Order, Page, ReadError,
    RegistryError, Rows, Status,
};
use tokio::sync::watch;

use crate::archive;
use crate::dispatcher::{Shared, failed};
use crate::document::{READ_BYTES_MAX, matches};

/// Events that are read at once.
const EVENTS_MAX: usize = 256;

/// Decisions that are read at once.
const DECISIONS_MAX: u32 = 64;

/// Deliveries and recordings that are made in one transaction, unless one event makes more.
const MADE_MAX: usize = 1_024;

/// How far a cursor may lie behind what was read and wanted by nobody. A start reads so much
/// again, and nobody waits for a disk each time that an event is nobody's concern.
const BEHIND_MAX: u64 = 4_096;

/// How often decisions are looked for: nothing tells of them, and events come too often for a
/// question each time.
const POLL: Duration = Duration::from_secs(1);

/// How long what is stored gathers after something was made of events: what comes alone is
/// made at once, and a stream of events waits for few syncs of the disk.
const GATHERING: Duration = Duration::from_millis(20);

/// How long nothing is read after something failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a decision may take from the registry into the index.
const DECIDED_PAUSE: Duration = Duration::from_millis(20);

/// How often that is waited for. Then its event is left out, so that no other waits for ever.
const DECIDED_PAUSES_MAX: u32 = 1_500;

/// The cursor in the journal.
const EVENTS: &str = "deliveries";

/// The cursor in the list of decisions.
const DECISIONS: &str = "deliveries.decisions";

/// Why it stopped for a moment.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// An event cannot be read.
    #[error("reading events failed")]
    Reading(#[from] ReadError),
    /// The registry does not answer.
    #[error("the registry failed")]
    Registry(#[from] RegistryError),
    /// A decision is kept, and the index does not show it yet.
    #[error("the index does not show a decision")]
    Behind,
}

/// How far it is with one cursor.
struct Cursor {
    name: &'static str,
    /// As it is kept.
    kept: u64,
    /// What was read.
    read: u64,
}

struct Reader {
    shared: Arc<Shared>,
    listed: watch::Receiver<u64>,
    changed: watch::Receiver<u64>,
    destinations: Vec<Destination>,
    events: Cursor,
    decisions: Cursor,
    /// When decisions were looked for last.
    looked: Option<Instant>,
    /// How often the decision that comes next was waited for.
    pauses: u32,
    /// Erasures that were done before what is at hand was read.
    erasures: u64,
    /// Whether something was made since it was last asked.
    has_made: bool,
}

/// Follows for ever.
pub(crate) async fn follow(shared: Arc<Shared>) {
    let mut asked = shared.asked.subscribe();
    let mut reader = loop {
        match Reader::new(&shared).await {
            Ok(reader) => break reader,
            Err(error) => failed(&error, "the cursors of deliveries cannot be read"),
        }
        tokio::time::sleep(PAUSE).await;
    };
    let mut answered = 0;
    loop {
        let question = *asked.borrow_and_update();
        if let Err(error) = reader.catch_up(question != answered).await {
            if let Failed::Behind = error {
                tokio::time::sleep(DECIDED_PAUSE).await;
                continue;
            }
            failed(&error, "deliveries cannot be made of events");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        if question != answered {
            answered = question;
            // Only then: whoever hears it looks for deliveries, which is not free, and those
            // that were made say so themselves.
            shared.read.send_replace(question);
        }
        if std::mem::take(&mut reader.has_made) {
            tokio::select! {
                _ = asked.changed() => continue,
                () = tokio::time::sleep(GATHERING) => {}
            }
        }
        tokio::select! {
            _ = reader.listed.changed() => {}
            _ = asked.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

impl Reader {
    async fn new(shared: &Arc<Shared>) -> Result<Self, Failed> {
        let store = &shared.settings.store;
        let registry = store.registry();
        let mut changed = registry.destinations_changed();
        changed.mark_changed();
        Ok(Self {
            shared: Arc::clone(shared),
            listed: store.listed(),
            changed,
            destinations: Vec::new(),
            events: Cursor::new(EVENTS, registry.cursor(EVENTS).await?),
            decisions: Cursor::new(DECISIONS, registry.cursor(DECISIONS).await?),
            looked: None,
            pauses: 0,
            erasures: 0,
            has_made: false,
        })
    }

    /// Reads the events that there are and, from time to time, the decisions; all of both, with
    /// every receipt that was issued before, if it is asked for.
    async fn catch_up(&mut self, is_asked: bool) -> Result<(), Failed> {
        if is_asked {
            // A read waits for the index; what it finds is read below.
            let after = Some(self.events.read);
            let page = Page { order: Order::OldestFirst, after, limit: 1 };
            let store = &self.shared.settings.store;
            store.events(&Scope::Operator, EventFilter::default(), page).await?;
        }
        while self.read_events().await? {}
        if is_asked || self.looked.is_none_or(|it| it.elapsed() >= POLL) {
            let now = Instant::now();
            while self.read_decisions().await? {}
            self.looked = Some(now);
        }
        Ok(())
    }

    /// Reads a page of events; says whether there may be more.
    async fn read_events(&mut self) -> Result<bool, Failed> {
        let end = *self.listed.borrow_and_update();
        let behind = end.saturating_sub(self.events.read);
        let metrics = &self.shared.settings.metrics;
        metrics.behind.set(i64::try_from(behind).unwrap_or(i64::MAX));
        if behind == 0 {
            return Ok(false);
        }
        // After `end` is known: a destination that is made later was made after its events.
        self.look_up_destinations().await?;
        if self.destinations.is_empty() && !self.shared.settings.archiving.is_on() {
            self.enqueue(Which::Events, end, Made::default()).await?;
            return Ok(false);
        }
        let filter = EventFilter { status: Some(Status::Accepted), ..EventFilter::default() };
        let page =
            Page { order: Order::OldestFirst, after: Some(self.events.read), limit: EVENTS_MAX };
        let store = &self.shared.settings.store;
        self.erasures = store.registry().erasures_done().await?;
        let events = store.events(&Scope::Operator, filter, page).await?;
        // What came while the page was read may be wanted by who came as well.
        self.look_up_destinations().await?;
        let is_last = events.len() < EVENTS_MAX;
        let mut wanted = Made::default();
        let mut last = self.events.read;
        for event in &events {
            last = event.seq;
            self.wanted(event, None, &mut wanted).await?;
            if wanted.len() >= MADE_MAX {
                let wanted = std::mem::take(&mut wanted);
                if !self.enqueue(Which::Events, last, wanted).await? {
                    return Ok(true);
                }
            }
        }
        // Behind the last there are others up to the end, which nobody may act on.
        let to = if is_last { last.max(end) } else { last };
        self.enqueue(Which::Events, to, wanted).await?;
        Ok(true)
    }

    /// Reads a page of decisions; says whether there may be more.
    async fn read_decisions(&mut self) -> Result<bool, Failed> {
        let registry = self.shared.settings.store.registry().clone();
        self.erasures = registry.erasures_done().await?;
        let behind = self.decisions.read;
        let reading =
            tokio::task::spawn_blocking(move || registry.decisions_after(behind, DECISIONS_MAX));
        let decisions = reading
            .await
            .map_err(|error| Failed::Reading(ReadError::Io(std::io::Error::other(error))))??;
        if decisions.is_empty() {
            return Ok(false);
        }
        self.look_up_destinations().await?;
        let mut wanted = Made::default();
        let mut read = behind;
        let mut is_behind = false;
        for decided in decisions {
            match self.decided(&decided.decision).await {
                Ok(Some(event)) => {
                    wanted.owners.push((event.id, owner(&event)));
                    self.wanted(&event, Some(decided.decision.at), &mut wanted).await?;
                }
                Ok(None) => {}
                Err(Failed::Behind) if self.pauses < DECIDED_PAUSES_MAX => {
                    self.pauses = self.pauses.saturating_add(1);
                    is_behind = true;
                    break;
                }
                Err(Failed::Behind) => {
                    tracing::error!(
                        event.id = %decided.decision.event,
                        "a decision does not come into the index: its event is not delivered"
                    );
                }
                Err(error) => return Err(error),
            }
            self.pauses = 0;
            read = decided.n;
        }
        if read > behind {
            self.enqueue(Which::Decisions, read, wanted).await?;
        }
        if is_behind { Err(Failed::Behind) } else { Ok(true) }
    }

    /// The event of a decision, if it may be acted on.
    async fn decided(&self, decision: &Decision) -> Result<Option<Event>, Failed> {
        let store = &self.shared.settings.store;
        let event = match store.event(&Scope::Operator, decision.event).await {
            Ok(Some(event)) if !event.is_erased => event,
            // One that is damaged does not stop the others.
            Ok(_) | Err(ReadError::Damaged) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // A decision is in the registry first. Read too early, its event is nobody's still.
        let latest = store.registry().decision(decision.event).await?;
        let shows = |it: &Decision| {
            event.decision.as_ref().is_some_and(|shown| {
                shown.kind == it.kind
                    && shown.at == it.at
                    && shown.by == it.by
                    && shown.tenant.as_deref() == it.tenant.as_ref().map(TenantId::as_str)
            })
        };
        if !latest.as_ref().is_some_and(shows) {
            return Err(Failed::Behind);
        }
        Ok(Some(event).filter(|it| it.status == Status::Accepted))
    }

    async fn look_up_destinations(&mut self) -> Result<(), Failed> {
        if self.changed.has_changed().unwrap_or(false) {
            self.changed.borrow_and_update();
            let registry = self.shared.settings.store.registry();
            let looked_up = registry.destinations(&Scope::Operator, Rows::ALL).await;
            if looked_up.is_err() {
                self.changed.mark_changed();
            }
            self.destinations = looked_up?;
        }
        Ok(())
    }

    /// Adds the deliveries and the recordings of one event, which was released at this moment
    /// if it was.
    async fn wanted(
        &self,
        event: &Event,
        released: Option<Timestamp>,
        made: &mut Made,
    ) -> Result<(), Failed> {
        if event.is_erased || event.duplicate_of.is_some() {
            return Ok(());
        }
        let came = released.unwrap_or(event.received_at);
        let wanting: Vec<_> = self
            .destinations
            .iter()
            .filter(|it| {
                let tenant = it.tenant.as_ref().map(TenantId::as_str);
                let is_its = tenant.is_none() || tenant == event.tenant.as_deref();
                let is_new = came >= it.created_at || event.late && released.is_none();
                is_its && is_new && it.settings.wants(&event.kind, &event.provider)
            })
            .collect();
        let is_archived = self.shared.settings.archiving.wants(&event.source);
        let asks = is_archived || wanting.iter().any(|it| !it.settings.filter.is_empty());
        let held = if asks && event.size <= READ_BYTES_MAX {
            let store = &self.shared.settings.store;
            match self.shared.bodies.read(store, &Scope::Operator, event).await {
                Ok(held) => held,
                // What it says is not known, and nothing else is held up by it.
                Err(ReadError::Damaged) => None,
                Err(error) => return Err(error.into()),
            }
        } else {
            None
        };
        let body = held.as_ref().map(|it| &*it.bytes);
        let deliveries = wanting.into_iter().filter(|it| matches(&it.settings, event, body));
        made.deliveries.extend(deliveries.map(|it| delivery(it, event)));
        if is_archived {
            made.recordings.extend(archive::recordings(event, body));
        }
        Ok(())
    }

    /// Keeps what was made and how far it was read for it. `false`: it did neither, and what is
    /// behind the cursor is to be read anew.
    async fn enqueue(&mut self, which: Which, to: u64, made: Made) -> Result<bool, Failed> {
        let registry = self.shared.settings.store.registry();
        let cursor = match which {
            Which::Events => &mut self.events,
            Which::Decisions => &mut self.decisions,
        };
        let is_far = to.saturating_sub(cursor.kept) >= BEHIND_MAX;
        if made.is_empty() && !is_far && matches!(which, Which::Events) {
            cursor.read = to;
            return Ok(true);
        }
        let count = u64::try_from(made.deliveries.len()).unwrap_or(u64::MAX);
        let now = self.shared.now();
        let moved = hookgate_store::Cursor {
            name: cursor.name,
            from: cursor.kept,
            to,
            erasures: self.erasures,
        };
        self.has_made |= !made.is_empty();
        let is_kept = registry.keep_made(moved, made, now).await?;
        if is_kept {
            cursor.kept = to;
            cursor.read = to;
            self.shared.settings.metrics.enqueued.inc_by(count);
        } else {
            // Somebody else moved it, so that what they read need not be read again; or
            // something was erased, and all is read again.
            cursor.kept = registry.cursor(cursor.name).await?;
            cursor.read = cursor.kept;
        }
        Ok(is_kept)
    }
}

#[derive(Clone, Copy)]
enum Which {
    Events,
    Decisions,
}

impl Cursor {
    const fn new(name: &'static str, at: u64) -> Self {
        Self { name, kept: at, read: at }
    }
}

/// Whose an event is.
pub(crate) fn owner(event: &Event) -> Option<TenantId> {
    event.tenant.as_deref().and_then(|it| TenantId::parse(it).ok())
}

fn delivery(destination: &Destination, event: &Event) -> NewDelivery {
    NewDelivery {
        destination: destination.id,
        event: event.id,
        seq: event.seq,
        tenant: owner(event),
        source: event.source.clone(),
        provider: event.provider.clone(),
        conversation: event.conversation_id.clone(),
        kind: event.kind.clone(),
        received_at: event.received_at,
    }
}
