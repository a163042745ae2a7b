//! What stands in the head of a journal record.
//!
//! A head is one `MessagePack` map with short keys of text; the record's payload is the
//! exact body, empty when the body lies in a file of its own. A reader ignores keys that
//! it does not know and takes a default for those that are missing, so newer software
//! reads older files. The keys never change their meaning:
//!
//! | key | in | value |
//! |---|---|---|
//! | `k` | all | what it is: 1 event, 2 repetition, 3 refused request, 4 settlement |
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
//! | `ow`, `cl` | 1 | ownership, claims |
//! | `y` | 1 | 16 bytes: by which a repetition is recognised |
//! | `o` | 1 2 4 | 16 bytes: the event that it repeats; of a settlement, the event it became |
//! | `of` | 2 | the place of the event that it repeats |
//! | `ss` | 3 | the status it was answered with |

mod parts;

use std::borrow::Cow;

use hookgate_core::event::Claim;
use hookgate_core::time::Timestamp;
use serde::de::{Deserialize, IgnoredAny};
use serde::ser::Serialize;
use uuid::Uuid;

pub(crate) use self::parts::{HeaderList, Octets, Peer};
use crate::record::{Event, EventId, Rejection, Status};

/// What a record is.
pub(crate) const EVENT: u8 = 1;
/// An event came again with the same bytes.
pub(crate) const REPETITION: u8 = 2;
/// A refused request.
pub(crate) const REJECTION: u8 = 3;
/// A refused request became an event.
pub(crate) const SETTLEMENT: u8 = 4;

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

impl EventHead<'_, HeaderList<'_>> {
    /// The event, at its place in the order of all.
    pub(crate) fn into_event(self, seq: u64, duplicates: u64) -> Event {
        Event {
            id: EventId(self.id.uuid()),
            seq,
            source: self.source.into_owned(),
            provider: self.provider.into_owned(),
            event_type: self.event_type.into_owned(),
            kind: self.kind.into_owned(),
            external_id: self.external_id.map(Cow::into_owned),
            tenant: self.tenant.map(Cow::into_owned),
            conversation_id: self.conversation.map(Cow::into_owned),
            status: if self.status == 0 { Status::Accepted } else { Status::Quarantined },
            cause: self.cause.map(Cow::into_owned),
            duplicates,
            duplicate_of: self.original.map(|it| EventId(it.uuid())),
            late: self.late,
            received_at: Timestamp::from_millis(self.at),
            correlation_id: self.correlation_id.into_owned(),
            peer: self.peer.0,
            method: self.method.into_owned(),
            target: self.target.into_owned(),
            verdict: self.verdict.into_owned(),
            scheme: self.scheme.map(Cow::into_owned),
            reason: self.reason.map(Cow::into_owned),
            signature_headers: self.signatures.into_iter().map(Cow::into_owned).collect(),
            ownership: self.ownership.into_owned(),
            claims: self.claims.into_owned(),
            headers: self.headers.0.into_owned(),
            size: self.size,
            sha256: self.sha256.0,
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
