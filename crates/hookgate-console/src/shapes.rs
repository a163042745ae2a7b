//! The shapes of answers that are made elsewhere, for the OpenAPI document: events and
//! refused requests, as the store shows them, and what a supervisor is told. A test holds
//! them against real answers.

#![expect(dead_code, reason = "they describe, and are never made")]

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Exact bytes.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
pub(crate) struct Bytes(String);

/// Server-sent events.
#[derive(ToSchema)]
#[schema(value_type = String)]
pub(crate) struct Stream(String);

/// That the process answers.
#[derive(ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: String,
}

/// Whether a webhook could be stored.
#[derive(ToSchema)]
pub(crate) struct Readiness {
    /// `ready` or `not ready`.
    status: String,
    /// `ok`, `disk full`, `behind`, `failed` or `closing`; `spooling` or `draining` where events
    /// wait on the node's disk for a database that is away, or was.
    store: String,
    /// While it is spooling: `unreachable`, `slow`, `read_only`, `failing_over` or `other_store`.
    why: Option<String>,
    #[schema(format = DateTime)]
    time: String,
}

/// An event as lists show it: without headers and payload.
#[derive(ToSchema)]
pub(crate) struct EventSummary {
    id: String,
    /// Its place in the order of all events.
    seq: u64,
    source: String,
    provider: String,
    /// The provider's word for what happened; empty if it was not read.
    r#type: String,
    /// The canonical word for it.
    kind: String,
    /// The provider's id of the event.
    #[schema(required)]
    external_id: Option<String>,
    /// The tenant that owns it.
    #[schema(required)]
    tenant: Option<String>,
    /// The provider's id of the call, chat, thread or ticket.
    #[schema(required)]
    conversation_id: Option<String>,
    #[schema(inline)]
    status: Status,
    /// Why it was put in quarantine.
    #[schema(required)]
    cause: Option<String>,
    /// How often it came again.
    duplicates: u64,
    /// The event that it repeats with other bytes.
    #[schema(required)]
    duplicate_of: Option<String>,
    /// Whether it was refused first and accepted later.
    late: bool,
    #[schema(format = DateTime)]
    received_at: String,
    correlation_id: String,
    /// Who sent it.
    peer: String,
    method: String,
    /// Path and query, without URL tokens.
    target: String,
    verification: Verification,
    attribution: Attribution,
    /// What was decided later.
    #[schema(required)]
    decision: Option<Decision>,
    /// Whether its body was erased.
    erased: bool,
    /// The body's length in bytes.
    size: u64,
    /// The body's SHA-256.
    sha256: String,
}

/// An event, whole.
#[derive(ToSchema)]
pub(crate) struct Event {
    #[serde(flatten)]
    summary: EventSummary,
    /// Name and value, in order; tokens are hashed.
    headers: Vec<Vec<String>>,
    /// The body, its credentials masked; null when it is not proven, cannot be read or is
    /// over 1 MiB.
    #[schema(required)]
    payload: Option<Map<String, Value>>,
    /// What the body says, in the shape that holds for all providers
    /// (`/api/v1/schemas/canonical-event`); null where the payload is.
    #[schema(required)]
    canonical: Option<Map<String, Value>>,
    /// The tool calls that came with it, in the order of the request.
    tool_calls: Vec<crate::tool_calls::Shown>,
    /// The recordings that are kept of it, or are to be.
    recordings: Vec<crate::recordings::Shown>,
}

#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Status {
    Accepted,
    Quarantined,
}

/// The verdict on a request's proof.
#[derive(ToSchema)]
struct Verification {
    /// `verified`, `unverified` or `mismatch`.
    verdict: String,
    /// The scheme that judged it.
    #[schema(required)]
    scheme: Option<String>,
    /// Why it is not proven.
    #[schema(required)]
    reason: Option<String>,
}

/// The verdict on whose an event is.
#[derive(ToSchema)]
struct Attribution {
    /// `owned`, `unattributed` or `contradiction`.
    verdict: String,
    /// How it contradicts.
    #[schema(required)]
    reason: Option<String>,
    /// How its conversation was known: `registered`, `adopted`, or `adopting` by this
    /// event.
    #[schema(required)]
    conversation: Option<String>,
    /// The version of the rules that decided; 0 before there was one.
    rule: u32,
    claims: Vec<Claim>,
}

/// An id that the provider attests.
#[derive(ToSchema)]
pub(crate) struct Claim {
    /// `agent`, `phone_number`, `integration`, `account`, `property`, `conversation` or
    /// `organization`.
    kind: String,
    /// The id; null if no text stood in its place, and to a tenant for what is another's.
    #[schema(required)]
    external_id: Option<String>,
    /// Whose it was then; null for nobody, and to a tenant for another.
    #[schema(required)]
    tenant: Option<String>,
}

/// What was decided about an event later.
#[derive(ToSchema)]
struct Decision {
    /// `release` or `reattribute`.
    kind: String,
    /// The tenant that it was given to.
    #[schema(required)]
    tenant: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    /// Who decided.
    by: String,
}

/// A refused request as lists show it: without headers.
#[derive(ToSchema)]
pub(crate) struct RejectionSummary {
    id: String,
    /// Its place in the order of all refused requests.
    seq: u64,
    source: String,
    provider: String,
    #[schema(format = DateTime)]
    received_at: String,
    correlation_id: String,
    /// Who sent it.
    peer: String,
    method: String,
    /// Path and query, without URL tokens.
    target: String,
    /// The status it was answered with.
    status: u16,
    verification: Verification,
    /// The body's length in bytes.
    size: u64,
    /// The body's SHA-256.
    sha256: String,
    /// The event that it became when it was judged again.
    #[schema(required)]
    accepted_as: Option<String>,
}

/// A refused request, with what is wrong about it.
#[derive(ToSchema)]
pub(crate) struct Rejection {
    #[serde(flatten)]
    summary: RejectionSummary,
    /// Name and value, in order; tokens are hashed.
    headers: Vec<Vec<String>>,
    /// Null: what is not proven is not interpreted.
    #[schema(required)]
    payload: Option<Map<String, Value>>,
    diagnosis: Diagnosis,
}

/// Why a request is refused under the present secrets.
#[derive(ToSchema)]
struct Diagnosis {
    reason: String,
    /// Common mistakes that explain it.
    mistakes: Vec<String>,
}
