//! The words of deliveries.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hookgate_core::delivery::{AttemptOutcome, Breaker, DestinationSettings};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use super::erasures::Origin;
use super::{DestinationId, NewRecording, SealedSecrets};
use crate::record::EventId;

/// The longest part of an endpoint's answer that is kept, in bytes: enough to see what it
/// says, and no copy of what it was sent.
pub const RESPONSE_BYTES_MAX: usize = 1_024;

/// The id of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub Uuid);

impl fmt::Display for DeliveryId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "dlv_{}", self.0.simple())
    }
}

impl DeliveryId {
    /// The id that `text` names, with or without its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.strip_prefix("dlv_").unwrap_or(text)).ok().map(Self)
    }
}

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// It is to be tried, for the first time or again.
    Pending,
    /// It arrived.
    Delivered,
    /// It was given up: its endpoint did not take it.
    Failed,
    /// It was given up: it failed here.
    DeadOurs,
    /// It was not tried: its destination was disabled when the event came.
    Skipped,
}

impl DeliveryStatus {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Delivered, Self::Failed, Self::DeadOurs, Self::Skipped];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::DeadOurs => "dead_ours",
            Self::Skipped => "skipped",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// How far whoever has a name has come in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its name.
    pub name: &'static str,
    /// The place that it has been at; 0 in the beginning.
    pub from: u64,
    /// The place that it goes to.
    pub to: u64,
    /// Erasures that were done ([`Registry::erasures_done`](super::Registry::erasures_done))
    /// before the events were read.
    pub erasures: u64,
}

/// What comes of events that were read: all of it is kept with the cursor's move, or nothing.
#[derive(Clone, Debug, Default)]
pub struct Made {
    /// What destinations are to get.
    pub deliveries: Vec<NewDelivery>,
    /// What is to be fetched.
    pub recordings: Vec<NewRecording>,
    /// Events on which was decided, and whose they are now.
    pub owners: Vec<(EventId, Option<TenantId>)>,
}

impl Made {
    /// How much that is.
    #[must_use]
    pub fn len(&self) -> usize {
        let more = self.recordings.len().saturating_add(self.owners.len());
        self.deliveries.len().saturating_add(more)
    }

    /// Whether that is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An event that a destination is to get.
#[derive(Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Who is to get it.
    pub destination: DestinationId,
    /// What.
    pub event: EventId,
    /// The event's place in the journal.
    pub seq: u64,
    /// Whose the event is.
    pub tenant: Option<TenantId>,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of its conversation.
    pub conversation: Option<String>,
    /// Its canonical kind.
    pub kind: String,
    /// When it was received.
    pub received_at: Timestamp,
}

/// How events are delivered again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replaying<'a> {
    /// Names the request, which then makes nothing twice.
    pub request: Option<&'a str>,
    /// Erasures that were done ([`Registry::erasures_done`](super::Registry::erasures_done))
    /// before the events were read.
    pub erasures: u64,
}

/// A delivery as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its place among all, by which pages are cut.
    pub n: u64,
    /// Its id.
    pub id: DeliveryId,
    /// Who gets it.
    pub destination: DestinationId,
    /// What.
    pub event: EventId,
    /// The event's place in the journal; 0 for a test.
    pub seq: u64,
    /// Which replay of the event for this destination it is; 0: the first delivery.
    pub replay: u32,
    /// Whose the event is.
    pub tenant: Option<TenantId>,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of its conversation.
    pub conversation: Option<String>,
    /// Its canonical kind, or [`hookgate_core::delivery::TEST`].
    pub kind: String,
    /// How far it is.
    pub status: DeliveryStatus,
    /// Attempts since it was first due or last retried.
    pub attempts: u32,
    /// When it is tried next; nothing while it waits for one before it.
    pub due: Option<Timestamp>,
    /// Whether it is being tried.
    pub leased: bool,
    /// When its event was received.
    pub received_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it arrived or was given up.
    pub finished_at: Option<Timestamp>,
}

impl NewDelivery {
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            tenant: self.tenant.as_ref(),
            source: &self.source,
            provider: &self.provider,
            conversation: self.conversation.as_deref(),
            received_at: self.received_at,
        }
    }
}

impl Delivery {
    pub(super) fn origin(&self) -> Origin<'_> {
        Origin {
            tenant: self.tenant.as_ref(),
            source: &self.source,
            provider: &self.provider,
            conversation: self.conversation.as_deref(),
            received_at: self.received_at,
        }
    }

    /// The id that its receiver sees, the same with each attempt.
    #[must_use]
    pub fn webhook_id(&self) -> String {
        webhook_id(self.event, self.destination, self.replay)
    }
}

/// A delivery that is to be tried now, by whoever has its token.
#[derive(Clone, PartialEq)]
pub struct Leased {
    /// Its id.
    pub delivery: DeliveryId,
    /// What settles it.
    pub token: i64,
    /// Who gets it.
    pub destination: DestinationId,
    /// Whose destination it is; nobody's: the operator's.
    pub destination_tenant: Option<TenantId>,
    /// How.
    pub settings: Arc<DestinationSettings>,
    /// What signs it.
    pub secrets: SealedSecrets,
    /// The destination's breaker when it was leased.
    pub breaker: Breaker,
    /// What.
    pub event: EventId,
    /// The event's place in the journal; 0 for a test.
    pub seq: u64,
    /// Which replay it is; 0: the first delivery.
    pub replay: u32,
    /// Whose the event is.
    pub tenant: Option<TenantId>,
    /// The provider.
    pub provider: String,
    /// Its canonical kind, or [`hookgate_core::delivery::TEST`].
    pub kind: String,
    /// Attempts that were made before.
    pub attempts: u32,
    /// When it was due.
    pub due: Timestamp,
}

impl Leased {
    /// The id that its receiver sees, the same with each attempt.
    #[must_use]
    pub fn webhook_id(&self) -> String {
        webhook_id(self.event, self.destination, self.replay)
    }
}

/// Of event and destination, and of the replay if it is one. Without a full stop, which parts
/// the text that is signed.
fn webhook_id(event: EventId, destination: DestinationId, replay: u32) -> String {
    let id = format!("{event}_{destination}");
    if replay == 0 { id } else { format!("{id}_r{replay}") }
}

/// How an attempt at a leased delivery ended.
#[derive(Clone)]
pub struct Settling {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// What it was leased with.
    pub token: i64,
    /// How it ended.
    pub outcome: AttemptOutcome,
    /// When it began.
    pub began_at: Timestamp,
    /// When it ended.
    pub now: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// The beginning of what the endpoint said; cut at [`RESPONSE_BYTES_MAX`].
    pub response: Option<String>,
    /// The waits between attempts; none for what is tried once.
    pub schedule: Arc<[Duration]>,
    /// Of 0 to 1: moves the wait.
    pub random: f64,
}

/// An attempt as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its place among all.
    pub n: u64,
    /// When it began.
    pub at: Timestamp,
    /// The endpoint's status, if it answered.
    pub status: Option<u16>,
    /// Why it failed, in a word, if there was no answer.
    pub error: Option<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// The beginning of what the endpoint said.
    pub response: Option<String>,
}

/// Which deliveries a list shows. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Of events of this tenant.
    pub tenant: Option<String>,
    /// To this destination.
    pub destination: Option<DestinationId>,
    /// Of this event.
    pub event: Option<EventId>,
    /// That are so far.
    pub status: Option<DeliveryStatus>,
    /// Of events of this kind.
    pub kind: Option<String>,
    /// Made at this moment or later.
    pub since: Option<Timestamp>,
    /// Made before this moment.
    pub until: Option<Timestamp>,
}

/// What became of the wish to try a delivery again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retried {
    /// It is due now.
    Queued,
    /// It arrived already.
    Delivered,
}

/// How many deliveries there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// That are to be tried.
    pub pending: u64,
    /// Of those, being tried.
    pub leased: u64,
    /// Given up because of their endpoint.
    pub failed: u64,
    /// Given up because of us.
    pub dead_ours: u64,
    /// Not tried because their destination was disabled.
    pub skipped: u64,
    /// Due for long although nothing stands in their way.
    pub stuck: u64,
    /// When the one was due that waits longest for its attempt.
    pub oldest_due: Option<Timestamp>,
    /// Destinations whose breaker is open.
    pub open_breakers: u64,
    /// Destinations that are disabled.
    pub disabled: u64,
}

impl fmt::Debug for NewDelivery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("NewDelivery");
        out.field("destination", &self.destination).field("event", &self.event);
        out.field("seq", &self.seq).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Delivery");
        out.field("n", &self.n).field("id", &self.id).field("destination", &self.destination);
        out.field("event", &self.event).field("replay", &self.replay).field("kind", &self.kind);
        out.field("status", &self.status).field("attempts", &self.attempts);
        out.field("due", &self.due).field("leased", &self.leased).finish_non_exhaustive()
    }
}

impl fmt::Debug for Leased {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Leased");
        out.field("delivery", &self.delivery).field("destination", &self.destination);
        out.field("event", &self.event).field("replay", &self.replay).field("kind", &self.kind);
        out.field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

impl fmt::Debug for Settling {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Settling");
        out.field("delivery", &self.delivery).field("outcome", &self.outcome);
        out.finish_non_exhaustive()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Attempt");
        out.field("at", &self.at).field("status", &self.status).field("error", &self.error);
        out.finish_non_exhaustive()
    }
}
