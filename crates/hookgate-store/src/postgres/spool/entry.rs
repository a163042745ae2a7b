//! What stands in a record of the spool: a judged request, or one whose owner is found later.
//!
//! The record's head is one `MessagePack` map; its payload is the exact body, empty when that
//! lies in a file of its own. Unknown keys are ignored, missing ones have a default:
//!
//! | key | value |
//! |---|---|
//! | `v` | the format: 1 |
//! | `e` | the head of the event, as the journal has it (see `head.rs`) |
//! | `df` | whose it is could not be decided: it is, when it is drained |
//! | `dk` | what makes a repetition recognisable, where the provider says so |
//! | `tl` | the tool that its path named |
//! | `ru` | the rule that was in force when it came |
//!
//! The head carries the final id of the event, so an entry that is drained twice is found.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hookgate_core::attribution::{AgentMatch, OwnershipMode, Readable, Rule};
use hookgate_core::received::Received;
use hookgate_core::secret::MaskKey;
use uuid::Uuid;

use crate::head::{self, Unreadable};
use crate::prepare::{self, Judged, Stamp};

/// The format that is written. A newer one is not drained by this version, and not lost.
pub(super) const FORMAT: u8 = 1;

/// A request on its way into the spool.
#[derive(Debug)]
pub(crate) struct NewEntry {
    pub(super) at: i64,
    pub(super) record: Vec<u8>,
}

impl NewEntry {
    /// One whose owner was decided by what the node has in memory. That is checked again
    /// when it is drained.
    #[cfg(test)]
    pub(crate) fn decided(judged: Judged<'_>, id: Uuid, mask_key: &MaskKey) -> Self {
        let received = judged.received();
        let sha256 = received.body.sha256();
        let headers = prepare::masked(received, mask_key);
        let mut event = judged.head(&Stamp { id, sha256, headers: &headers });
        event.key = judged.key(&sha256).map(head::Octets);
        let mut encoded = Vec::with_capacity(1_024);
        head::encode(&event, &mut encoded);
        Self::stored(event.at, &encoded, &Wait::of(judged))
    }

    /// The same for an event that is encoded already.
    pub(crate) fn stored(at: i64, head: &[u8], wait: &Wait) -> Self {
        Self::encode(at, head, (wait, false))
    }

    /// One whose owner cannot be decided by what the node has in memory: stored as it came,
    /// and decided when it is drained.
    pub(crate) fn deferred(readable: &Readable, id: Uuid, mask_key: &MaskKey) -> Self {
        let received = readable.received();
        let sha256 = received.body.sha256();
        let headers = prepare::masked(received, mask_key);
        let event = prepare::undecided(readable, &Stamp { id, sha256, headers: &headers });
        let wait = Wait::new(received, readable.facts().dedupe.clone());
        let mut encoded = Vec::with_capacity(1_024);
        head::encode(&event, &mut encoded);
        Self::encode(event.at, &encoded, (&wait, true))
    }

    fn encode(at: i64, head: &[u8], (wait, is_deferred): (&Wait, bool)) -> Self {
        let record = RecordHead {
            format: FORMAT,
            event: Slice(Cow::Borrowed(head)),
            is_deferred,
            dedupe: wait.dedupe.as_deref().map(Cow::Borrowed),
            tool: wait.tool.as_deref().map(Cow::Borrowed),
            rule: RuleHead::of(wait.rule),
        };
        let mut out = Vec::with_capacity(head.len().saturating_add(256));
        head::encode(&record, &mut out);
        Self { at, record: out }
    }
}

/// What an entry has beside the head of its event.
#[derive(Clone, Debug)]
pub(crate) struct Wait {
    dedupe: Option<String>,
    tool: Option<Arc<str>>,
    rule: Rule,
}

impl Wait {
    /// Of a judged request.
    pub(crate) fn of(judged: Judged<'_>) -> Self {
        Self::new(judged.received(), judged.facts().and_then(|it| it.dedupe.clone()))
    }

    fn new(received: &Received, dedupe: Option<String>) -> Self {
        Self { dedupe, tool: received.tool.clone(), rule: received.source.rule }
    }
}

/// An entry that was read back.
#[derive(Clone)]
pub(crate) struct Entry {
    /// The final id of the event.
    pub(crate) id: Uuid,
    /// When it was received, in milliseconds since 1970.
    pub(crate) at: i64,
    /// The head of the event, encoded; of a deferred one without any decision.
    pub(crate) head: Vec<u8>,
    /// The exact body.
    pub(crate) body: EntryBody,
    /// Whose it is could not be decided when it came.
    pub(crate) is_deferred: bool,
    /// What makes a repetition recognisable, where the provider says so.
    pub(super) dedupe: Option<String>,
    pub(super) tool: Option<String>,
    /// The rule that was in force when it came.
    pub(super) rule: Rule,
}

/// The body of an entry.
#[derive(Clone)]
pub(crate) enum EntryBody {
    /// Its bytes.
    Whole(Bytes),
    /// It lies in a file of its own; see `Spool::open_body`.
    File {
        /// The name of the file.
        id: [u8; 16],
        /// Its length.
        bytes: u64,
    },
}

impl fmt::Debug for Entry {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Entry");
        out.field("id", &self.id).field("is_deferred", &self.is_deferred).finish_non_exhaustive()
    }
}

impl fmt::Debug for EntryBody {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(bytes) => write!(out, "({} bytes)", bytes.len()),
            Self::File { bytes, .. } => write!(out, "({bytes} bytes in a file)"),
        }
    }
}

impl Entry {
    /// Reads a record.
    pub(super) fn decode(record: &[u8], payload: Vec<u8>) -> Result<Self, NotAnEntry> {
        let head: RecordHead<'_> = head::decode(record)?;
        if head.format != FORMAT {
            return Err(NotAnEntry::Format(head.format));
        }
        let encoded = head.event.0.into_owned();
        let event: head::SlimHead<'_> = head::decode(&encoded)?;
        let (id, at) = (event.id.uuid(), event.at);
        let body = match event.blob {
            Some(blob) => EntryBody::File { id: blob.0, bytes: event.size },
            None => EntryBody::Whole(payload.into()),
        };
        Ok(Self {
            id,
            at,
            body,
            is_deferred: head.is_deferred,
            dedupe: head.dedupe.map(Cow::into_owned),
            tool: head.tool.map(Cow::into_owned),
            rule: head.rule.rule().ok_or(NotAnEntry::Rule)?,
            head: encoded,
        })
    }
}

/// What of a record counting needs.
pub(super) struct Sketch {
    pub(super) at: i64,
    /// The file of its body, and its length.
    pub(super) blob: Option<([u8; 16], u64)>,
}

impl Sketch {
    pub(super) fn decode(record: &[u8]) -> Result<Self, NotAnEntry> {
        let head: RecordHead<'_> = head::decode(record)?;
        let event: head::SlimHead<'_> = head::decode(&head.event.0)?;
        Ok(Self { at: event.at, blob: event.blob.map(|it| (it.0, event.size)) })
    }
}

/// Why a record that proves itself is no entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAnEntry {
    #[error("a newer version of hookgate wrote it (format {0}): install that version again")]
    Format(u8),
    #[error("the rule in it is not known")]
    Rule,
    #[error(transparent)]
    Head(#[from] Unreadable),
}

/// The head of a record.
#[derive(serde::Serialize, serde::Deserialize)]
struct RecordHead<'a> {
    #[serde(rename = "v")]
    format: u8,
    #[serde(rename = "e", borrow)]
    event: Slice<'a>,
    #[serde(rename = "df", default)]
    is_deferred: bool,
    #[serde(rename = "dk", default, borrow, skip_serializing_if = "Option::is_none")]
    dedupe: Option<Cow<'a, str>>,
    #[serde(rename = "tl", default, borrow, skip_serializing_if = "Option::is_none")]
    tool: Option<Cow<'a, str>>,
    #[serde(rename = "ru", default)]
    rule: RuleHead,
}

/// Bytes that are borrowed where they can be.
struct Slice<'a>(Cow<'a, [u8]>);

impl serde::Serialize for Slice<'_> {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_bytes(&self.0)
    }
}

impl<'a, 'de: 'a> serde::Deserialize<'de> for Slice<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let bytes = <&'de [u8]>::deserialize(reader)?;
        Ok(Self(Cow::Borrowed(bytes)))
    }
}

/// A rule, by the names that configuration uses.
#[derive(serde::Serialize, serde::Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
#[serde(default)]
struct RuleHead {
    #[serde(rename = "m")]
    mode: String,
    #[serde(rename = "a")]
    adopt: bool,
    #[serde(rename = "x")]
    is_agent_exact: bool,
    #[serde(rename = "o")]
    trust_body_org: bool,
    #[serde(rename = "f")]
    flat_agent_id: bool,
}

impl Default for RuleHead {
    fn default() -> Self {
        Self::of(Rule::default())
    }
}

impl RuleHead {
    fn of(rule: Rule) -> Self {
        Self {
            mode: rule.mode.name().to_owned(),
            adopt: rule.adopt,
            is_agent_exact: rule.agent_match == AgentMatch::Exact,
            trust_body_org: rule.trust_body_org,
            flat_agent_id: rule.flat_agent_id,
        }
    }

    fn rule(&self) -> Option<Rule> {
        let mode = OwnershipMode::ALL.into_iter().find(|it| it.name() == self.mode)?;
        let agent_match =
            if self.is_agent_exact { AgentMatch::Exact } else { AgentMatch::SameTenant };
        Some(Rule {
            mode,
            adopt: self.adopt,
            agent_match,
            trust_body_org: self.trust_body_org,
            flat_agent_id: self.flat_agent_id,
        })
    }
}
