//! What stands in the head of a journal record.
//!
//! A head is one `MessagePack` map with short keys of text; the record's payload is the
//! exact body, empty when the body lies in a file of its own. A reader ignores keys that
//! it does not know and takes a default for those that are missing, so newer software
//! reads older files. The keys never change their meaning:
//!
//! | key | in | value |
//! |---|---|---|
//! | `k` | all | what it is: 1 event, 2 repetition, 3 refused request, 4 settlement, 5 nothing |
//! | `id` | all | 16 bytes: the id; of a settlement, the refused request's |
//! | `at` | all | when it was received, in milliseconds since 1970 |
//! | `s`, `p` | 1 3 | source, provider |
//! | `ci`, `pr`, `m`, `u` | 1 3 | correlation id, peer (4 or 16 bytes), method, target |
//! | `vd`, `sc`, `rs` | 1 3 | verdict, scheme, reason |
//! | `sg` | 1 3 | names of the headers with a digest, of what is not proven |
//! | `h` | 1 3 | headers: `[name, value]`, a token `[name, prefix, hash]` |
//! | `n`, `d` | 1 3 | the body's length and SHA-256 |
//! | `b` | 1 3 | 16 bytes: the file of a large body |
//! | `t`, `kd`, `x`, `tn`, `c` | 1 | type, kind, external id, tenant, conversation |
//! | `st`, `co` | 1 | status (0 accepted, 1 quarantined), cause |
//! | `lt` | 1 | it was refused first |
//! | `ow`, `cl` | 1 | ownership, claims: maps of `kind`, `external_id` and, bound, `tenant` |
//! | `cf`, `sd` | 1 | the conflict of a contradiction; `registered`, `adopted` or `adopting`: how its conversation is known |
//! | `rv`, `ef` | 1 | the version of the rules that decided; whether the verdict decided about the answer |
//! | `bc` | 1 | its type must name a call |
//! | `tk`, `tt` | 1 3 | the id of the URL token, its tenant |
//! | `ts` | 1 | the source's tenant |
//! | `y` | 1 | 16 bytes: by which a repetition is recognised |
//! | `o` | 1 2 4 | 16 bytes: the event that it repeats; of a settlement, the event it became |
//! | `of` | 2 | the place of the event that it repeats |
//! | `ss` | 3 | the status it was answered with |

mod parts;

use std::borrow::Cow;

use hookgate_core::attribution::Ownership;
use hookgate_core::attribution::rule::Standing;
use hookgate_core::event::{Claim, ClaimKind};
use hookgate_core::received::Token;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use serde::de::{Deserialize, IgnoredAny};
use serde::ser::Serialize;
use uuid::Uuid;

pub(crate) use self::parts::{HeaderList, Octets, Peer};
use crate::record::{Event, EventId, LaterDecision, Rejection, Status};
use crate::registry::DecisionKind;

/// What a record is.
pub(crate) const EVENT: u8 = 1;
/// An event came again with the same bytes.
pub(crate) const REPETITION: u8 = 2;
/// A refused request.
pub(crate) const REJECTION: u8 = 3;
/// A refused request became an event.
pub(crate) const SETTLEMENT: u8 = 4;

/// Nothing: it only holds the last place that another store gave, in a copy of that store.
pub(crate) const NOTHING: u8 = 5;

/// A head that is not written as this module writes it.
#[derive(Debug, thiserror::Error)]
#[error("the head of the record cannot be read")]
pub(crate) struct Unreadable(#[source] rmp_serde::decode::Error);

/// The head of an event, with its headers as an `H`.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct EventHead<'a, H = HeaderList<'a>> {
    #[serde(rename = "k")]
    pub(crate) record: u8,
    #[serde(rename = "id")]
    pub(crate) id: Octets<16>,
    #[serde(rename = "at")]
    pub(crate) at: i64,
    #[serde(rename = "s", borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    pub(crate) provider: Cow<'a, str>,
    #[serde(rename = "t", borrow)]
    pub(crate) event_type: Cow<'a, str>,
    #[serde(rename = "kd", borrow)]
    pub(crate) kind: Cow<'a, str>,
    #[serde(rename = "st", skip_serializing_if = "is_zero")]
    pub(crate) status: u8,
    #[serde(rename = "x", skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<Cow<'a, str>>,
    #[serde(rename = "tn", skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<Cow<'a, str>>,
    #[serde(rename = "c", skip_serializing_if = "Option::is_none")]
    pub(crate) conversation: Option<Cow<'a, str>>,
    #[serde(rename = "co", skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<Cow<'a, str>>,
    #[serde(rename = "lt", skip_serializing_if = "is_false")]
    pub(crate) late: bool,
    #[serde(rename = "ci", borrow)]
    pub(crate) correlation_id: Cow<'a, str>,
    #[serde(rename = "pr")]
    pub(crate) peer: Peer,
    #[serde(rename = "m", borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(rename = "u", borrow)]
    pub(crate) target: Cow<'a, str>,
    #[serde(rename = "vd", borrow)]
    pub(crate) verdict: Cow<'a, str>,
    #[serde(rename = "sc", skip_serializing_if = "Option::is_none")]
    pub(crate) scheme: Option<Cow<'a, str>>,
    #[serde(rename = "rs", skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Cow<'a, str>>,
    #[serde(rename = "sg", skip_serializing_if = "Vec::is_empty")]
    pub(crate) signatures: Vec<Cow<'a, str>>,
    #[serde(rename = "ow", borrow)]
    pub(crate) ownership: Cow<'a, str>,
    #[serde(rename = "cl")]
    pub(crate) claims: Cow<'a, [Claim]>,
    #[serde(rename = "cf", skip_serializing_if = "Option::is_none")]
    pub(crate) conflict: Option<Cow<'a, str>>,
    #[serde(rename = "sd", skip_serializing_if = "Option::is_none")]
    pub(crate) standing: Option<Cow<'a, str>>,
    #[serde(rename = "rv", skip_serializing_if = "is_zero_u32")]
    pub(crate) rule: u32,
    #[serde(rename = "ef", skip_serializing_if = "is_false")]
    pub(crate) is_enforced: bool,
    #[serde(rename = "bc", skip_serializing_if = "is_false")]
    pub(crate) bears_call: bool,
    #[serde(rename = "tk", skip_serializing_if = "Option::is_none")]
    pub(crate) url_token: Option<Cow<'a, str>>,
    #[serde(rename = "tt", skip_serializing_if = "Option::is_none")]
    pub(crate) token_tenant: Option<Cow<'a, str>>,
    #[serde(rename = "ts", skip_serializing_if = "Option::is_none")]
    pub(crate) source_tenant: Option<Cow<'a, str>>,
    #[serde(rename = "n")]
    pub(crate) size: u64,
    #[serde(rename = "d")]
    pub(crate) sha256: Octets<32>,
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<Octets<16>>,
    #[serde(rename = "y", skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<Octets<16>>,
    /// The place of the original: in repetitions alone.
    #[serde(rename = "of", skip_serializing_if = "is_zero_u64")]
    pub(crate) of: u64,
    #[serde(rename = "h")]
    pub(crate) headers: H,
    /// Last, and always there: see [`link`].
    #[serde(rename = "o")]
    pub(crate) original: Option<Octets<16>>,
}

/// All that the index needs of it.
pub(crate) type SlimHead<'a> = EventHead<'a, IgnoredAny>;

/// The head of a refused request, with its headers as an `H`.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(crate) struct RejectionHead<'a, H = HeaderList<'a>> {
    #[serde(rename = "k")]
    pub(crate) record: u8,
    #[serde(rename = "id")]
    pub(crate) id: Octets<16>,
    #[serde(rename = "at")]
    pub(crate) at: i64,
    #[serde(rename = "s", borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    pub(crate) provider: Cow<'a, str>,
    #[serde(rename = "ci", borrow)]
    pub(crate) correlation_id: Cow<'a, str>,
    #[serde(rename = "pr")]
    pub(crate) peer: Peer,
    #[serde(rename = "m", borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(rename = "u", borrow)]
    pub(crate) target: Cow<'a, str>,
    #[serde(rename = "ss")]
    pub(crate) status: u16,
    #[serde(rename = "vd", borrow)]
    pub(crate) verdict: Cow<'a, str>,
    #[serde(rename = "sc", skip_serializing_if = "Option::is_none")]
    pub(crate) scheme: Option<Cow<'a, str>>,
    #[serde(rename = "rs", borrow)]
    pub(crate) reason: Cow<'a, str>,
    #[serde(rename = "sg", skip_serializing_if = "Vec::is_empty")]
    pub(crate) signatures: Vec<Cow<'a, str>>,
    #[serde(rename = "tk", skip_serializing_if = "Option::is_none")]
    pub(crate) url_token: Option<Cow<'a, str>>,
    #[serde(rename = "tt", skip_serializing_if = "Option::is_none")]
    pub(crate) token_tenant: Option<Cow<'a, str>>,
    #[serde(rename = "n")]
    pub(crate) size: u64,
    #[serde(rename = "d")]
    pub(crate) sha256: Octets<32>,
    #[serde(rename = "b", skip_serializing_if = "Option::is_none")]
    pub(crate) blob: Option<Octets<16>>,
    #[serde(rename = "h")]
    pub(crate) headers: H,
    /// The event that it became: in settlements alone.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<Octets<16>>,
}

/// All that the list of refused requests needs of it.
pub(crate) type SlimRejection<'a> = RejectionHead<'a, IgnoredAny>;

/// The head of an exact repetition.
#[derive(serde::Serialize)]
pub(crate) struct RepetitionHead<'a> {
    #[serde(rename = "k")]
    pub(crate) record: u8,
    #[serde(rename = "id")]
    pub(crate) id: Octets<16>,
    #[serde(rename = "at")]
    pub(crate) at: i64,
    #[serde(rename = "ci")]
    pub(crate) correlation_id: &'a str,
    #[serde(rename = "of")]
    pub(crate) of: u64,
    #[serde(rename = "o")]
    pub(crate) original: Octets<16>,
}

/// The head of nothing.
#[derive(serde::Serialize)]
pub(crate) struct NothingHead {
    #[serde(rename = "k")]
    pub(crate) record: u8,
}

/// The head of a settlement.
#[derive(serde::Serialize)]
pub(crate) struct SettlementHead {
    #[serde(rename = "k")]
    pub(crate) record: u8,
    #[serde(rename = "id")]
    pub(crate) id: Octets<16>,
    #[serde(rename = "at")]
    pub(crate) at: i64,
    #[serde(rename = "o")]
    pub(crate) event: Octets<16>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(value: &u8) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero_u32(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero_u64(value: &u64) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// Writes a head behind what is in `out`.
pub(crate) fn encode(head: &impl Serialize, out: &mut Vec<u8>) {
    let mut writer = rmp_serde::Serializer::new(out).with_struct_map();
    // Writing into memory cannot fail, and every value above has a form in MessagePack.
    if let Err(error) = head.serialize(&mut writer) {
        debug_assert!(false, "a head was not encoded: {error}");
    }
}

/// Reads a head.
pub(crate) fn decode<'a, T: Deserialize<'a>>(head: &'a [u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(head).map_err(Unreadable)
}

/// Links the encoded head of an event to the event that it repeats with other bytes:
/// which one that is, is known last, under the lock. Its last value is nil, one byte.
pub(crate) fn link(head: &mut Vec<u8>, original: Uuid) {
    /// `MessagePack`: bytes, their count in one byte.
    const BIN_8: u8 = 0xc4;
    head.pop();
    head.extend_from_slice(&[BIN_8, 16]);
    head.extend_from_slice(original.as_bytes());
}

/// What became of an event after its head was written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Since {
    /// Its place in the order of all.
    pub(crate) seq: u64,
    /// How often it came again.
    pub(crate) duplicates: u64,
    /// Whether it may be acted on now.
    pub(crate) is_quarantined: bool,
    /// Whose it is now.
    pub(crate) tenant: Option<String>,
    /// What was decided last.
    pub(crate) decision: Option<LaterDecision>,
    /// It was erased: what names anybody is not shown any more.
    pub(crate) is_erased: bool,
}

impl<H> EventHead<'_, H> {
    /// Whether the event makes its conversation known.
    pub(crate) fn is_adopting(&self) -> bool {
        self.standing.as_deref() == Some(Standing::Adopting.name())
    }

    /// The first claim of a kind.
    pub(crate) fn claimed(&self, kind: ClaimKind) -> Option<&str> {
        let claim = self.claims.iter().find(|it| it.kind == kind);
        claim.and_then(|it| it.external_id.as_deref())
    }

    /// Without what names anybody: of an erased event.
    fn unnamed(self) -> Self {
        let claims = self.claims.iter().map(|it| Claim::new(it.kind, None)).collect();
        let path = self.target.split('?').next().unwrap_or_default().to_owned();
        Self {
            external_id: None,
            conversation: None,
            claims: Cow::Owned(claims),
            target: path.into(),
            ..self
        }
    }
}

impl EventHead<'_, HeaderList<'_>> {
    /// What stays of it once the event is erased: what proves that it came, and nothing that
    /// names anybody.
    pub(crate) fn skeleton(self) -> Self {
        Self {
            headers: HeaderList::default(),
            tenant: None,
            token_tenant: None,
            source_tenant: None,
            blob: None,
            ..self.unnamed()
        }
    }

    /// The event, with what became of it.
    pub(crate) fn into_event(self, since: Since) -> Event {
        let head = if since.is_erased {
            Self { headers: HeaderList::default(), ..self.unnamed() }
        } else {
            self
        };
        // What a later judgement found shows; a release leaves the verdict as it was.
        let is_judged_again =
            since.decision.as_ref().is_some_and(|it| it.kind == DecisionKind::Reattribute);
        let (ownership, conflict) = if is_judged_again {
            (Ownership::Owned.name().to_owned(), None)
        } else {
            (head.ownership.into_owned(), head.conflict)
        };
        Event {
            id: EventId(head.id.uuid()),
            seq: since.seq,
            source: head.source.into_owned(),
            provider: head.provider.into_owned(),
            event_type: head.event_type.into_owned(),
            kind: head.kind.into_owned(),
            external_id: head.external_id.map(Cow::into_owned),
            tenant: since.tenant,
            conversation_id: head.conversation.map(Cow::into_owned),
            status: if since.is_quarantined { Status::Quarantined } else { Status::Accepted },
            cause: head.cause.map(Cow::into_owned),
            duplicates: since.duplicates,
            duplicate_of: head.original.map(|it| EventId(it.uuid())),
            late: head.late,
            received_at: Timestamp::from_millis(head.at),
            correlation_id: head.correlation_id.into_owned(),
            peer: head.peer.0,
            method: head.method.into_owned(),
            target: head.target.into_owned(),
            verdict: head.verdict.into_owned(),
            scheme: head.scheme.map(Cow::into_owned),
            reason: head.reason.map(Cow::into_owned),
            signature_headers: head.signatures.into_iter().map(Cow::into_owned).collect(),
            ownership,
            conflict: conflict.map(Cow::into_owned),
            standing: head.standing.map(Cow::into_owned),
            rule: head.rule,
            is_enforced: head.is_enforced,
            url_token: head.url_token.map(Cow::into_owned),
            claims: head.claims.into_owned(),
            decision: since.decision,
            is_erased: since.is_erased,
            headers: head.headers.0.into_owned(),
            size: head.size,
            sha256: head.sha256.0,
        }
    }
}

impl RejectionHead<'_, HeaderList<'_>> {
    /// The refused request, at its place.
    pub(crate) fn into_rejection(self, seq: u64, accepted_as: Option<EventId>) -> Rejection {
        Rejection {
            id: self.id.uuid(),
            seq,
            source: self.source.into_owned(),
            provider: self.provider.into_owned(),
            received_at: Timestamp::from_millis(self.at),
            correlation_id: self.correlation_id.into_owned(),
            peer: self.peer.0,
            method: self.method.into_owned(),
            token: self.url_token.map(|id| Token {
                id: id.into_owned(),
                tenant: self.token_tenant.and_then(|it| TenantId::parse(&it).ok()),
            }),
            target: self.target.into_owned(),
            status: self.status,
            verdict: self.verdict.into_owned(),
            scheme: self.scheme.map(Cow::into_owned),
            reason: self.reason.into_owned(),
            signature_headers: self.signatures.into_iter().map(Cow::into_owned).collect(),
            headers: self.headers.0.into_owned(),
            size: self.size,
            sha256: self.sha256.0,
            accepted_as,
        }
    }
}

#[cfg(test)]
mod tests;
