//! What is stored: events and refused requests.

use std::fmt;
use std::net::IpAddr;

use hookgate_core::attribution::Cause;
use hookgate_core::event::Claim;
use hookgate_core::headers::Headers;
use hookgate_core::received::Token;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use crate::registry::DecisionKind;

/// The id of an event or a refused request: a UUID of version 7, printed `evt_` or `rej_`
/// and 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(pub Uuid);

impl fmt::Display for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "evt_{}", self.0.simple())
    }
}

impl EventId {
    /// The id that `text` names, with or without its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.strip_prefix("evt_").unwrap_or(text)).ok().map(Self)
    }
}

/// The id of the refused request that `text` names, with or without its prefix.
#[must_use]
pub fn parse_rejection_id(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text.strip_prefix("rej_").unwrap_or(text)).ok()
}

/// Whether an event may be acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Proven and accepted.
    Accepted,
    /// Stored, acted on by nobody.
    Quarantined,
}

impl Status {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What was decided on an event after it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaterDecision {
    /// What was decided.
    pub kind: DecisionKind,
    /// Whose it is since.
    pub tenant: Option<String>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// A stored event, without its body.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Its place in the order of all events.
    pub seq: u64,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's word for it; empty if the body was not or could not be read.
    pub event_type: String,
    /// The canonical word for it.
    pub kind: String,
    /// The provider's id of the event.
    pub external_id: Option<String>,
    /// The tenant that owns it.
    pub tenant: Option<String>,
    /// The provider's id of the conversation.
    pub conversation_id: Option<String>,
    /// Whether it may be acted on.
    pub status: Status,
    /// Why it is in quarantine.
    pub cause: Option<String>,
    /// How often it came again.
    pub duplicates: u64,
    /// The event that it repeats with other bytes.
    pub duplicate_of: Option<EventId>,
    /// Whether it was refused first and accepted later.
    pub late: bool,
    /// When it was received.
    pub received_at: Timestamp,
    /// The id of its request.
    pub correlation_id: String,
    /// Who sent it.
    pub peer: IpAddr,
    /// The request's method.
    pub method: String,
    /// Path and query, without URL tokens.
    pub target: String,
    /// `verified`, `unverified` or `mismatch`.
    pub verdict: String,
    /// The scheme that judged it.
    pub scheme: Option<String>,
    /// Why it is not proven.
    pub reason: Option<String>,
    /// The headers that carry a digest, of what is not proven.
    pub signature_headers: Vec<String>,
    /// `owned`, `unattributed` or `contradiction`, as it was judged last.
    pub ownership: String,
    /// How it contradicts.
    pub conflict: Option<String>,
    /// How its conversation was known: `registered`, `adopted`, or `adopting` by it.
    pub standing: Option<String>,
    /// The version of the rules that decided; 0 before there was one.
    pub rule: u32,
    /// Whether the verdict on its ownership decided about the answer.
    pub is_enforced: bool,
    /// The id of the URL token by which it came.
    pub url_token: Option<String>,
    /// The ids that the provider attests, and whose they were when it came.
    pub claims: Vec<Claim>,
    /// What was decided later.
    pub decision: Option<LaterDecision>,
    /// Whether its body is erased, and with it what named anybody.
    pub is_erased: bool,
    /// The headers in order; tokens are hashed.
    pub headers: Headers,
    /// The body's length in bytes.
    pub size: u64,
    /// The body's SHA-256.
    pub sha256: [u8; 32],
}

impl Event {
    /// Whether another verdict on its ownership could change anything: it is in quarantine
    /// for want of an owner, or the operator's alone.
    #[must_use]
    pub fn awaits_an_owner(&self) -> bool {
        match self.status {
            Status::Quarantined => self.cause.as_deref().is_some_and(Cause::is_of_ownership),
            Status::Accepted => self.tenant.is_none(),
        }
    }
}

/// A refused request, without its body.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// Its id, printed with `rej_`.
    pub id: Uuid,
    /// Its place in the order of all refused requests.
    pub seq: u64,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// The id of its request.
    pub correlation_id: String,
    /// Who sent it.
    pub peer: IpAddr,
    /// The request's method.
    pub method: String,
    /// The URL token by which it came.
    pub token: Option<Token>,
    /// Path and query, without URL tokens.
    pub target: String,
    /// The status it was answered with.
    pub status: u16,
    /// `unverified` or `mismatch`.
    pub verdict: String,
    /// The scheme that judged it.
    pub scheme: Option<String>,
    /// Why it was refused.
    pub reason: String,
    /// The headers that carry a digest.
    pub signature_headers: Vec<String>,
    /// The headers in order; tokens are hashed.
    pub headers: Headers,
    /// The body's length in bytes.
    pub size: u64,
    /// The body's SHA-256.
    pub sha256: [u8; 32],
    /// The event that it became when it was judged again.
    pub accepted_as: Option<EventId>,
}
