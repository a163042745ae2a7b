//! What is shown of events and refused requests: the JSON of the API.
//!
//! Credentials inside bodies are masked, tokens in headers are hashes already, and a digest
//! is shown whole only where it proved something: of a refused request it might be one
//! that somebody wants to try.

use hookgate_core::canonical::{About, CanonicalEvent, canonical_unsourced, canonical_value};
use hookgate_core::event::{Claim, Kind};
use hookgate_core::headers::Value as Header;
use hookgate_core::provider::Provider;
use hookgate_core::tenant::TenantId;
use hookgate_core::{mask, provider};
use serde_json::{Map, Value, json};

use crate::record::{Event, LaterDecision, Rejection};

/// The largest body that is shown, in bytes.
const PAYLOAD_BYTES_MAX: u64 = 1 << 20;

impl Event {
    /// The event as lists show it: without headers and payload.
    #[must_use]
    pub fn summary(&self) -> Value {
        json!({
            "id": self.id.to_string(),
            "seq": self.seq,
            "source": self.source,
            "provider": self.provider,
            "type": self.event_type,
            "kind": self.kind,
            "external_id": self.external_id,
            "tenant": self.tenant,
            "conversation_id": self.conversation_id,
            "status": self.status.name(),
            "cause": self.cause,
            "duplicates": self.duplicates,
            "duplicate_of": self.duplicate_of.map(|it| it.to_string()),
            "late": self.late,
            "received_at": self.received_at.to_string(),
            "correlation_id": self.correlation_id,
            "peer": self.peer.to_string(),
            "method": self.method,
            "target": self.target,
            "verification": {
                "verdict": self.verdict,
                "scheme": self.scheme,
                "reason": self.reason,
            },
            "attribution": {
                "verdict": self.ownership,
                "reason": self.conflict,
                "conversation": self.standing,
                "rule": self.rule,
                "claims": self.claims.iter().map(claim).collect::<Vec<_>>(),
            },
            "decision": self.decision.as_ref().map(decision),
            "erased": self.is_erased,
            "size": self.size,
            "sha256": hex::encode(self.sha256),
        })
    }

    /// All of the event. `body` is its exact bytes, if they are at hand: they are shown
    /// when they can be read and are of 1 MiB at most.
    #[must_use]
    pub fn detail(&self, body: Option<&[u8]>) -> Value {
        let is_verified = self.verdict == "verified";
        let headers = headers(&self.headers, &self.signature_headers, is_verified);
        let body = body.filter(|_| self.is_readable()).and_then(parsed);
        let canonical = body.as_ref().and_then(|it| self.canonical(it));
        let payload = body.map(|mut it| {
            mask::credentials(&mut it);
            it
        });
        extended(
            self.summary(),
            [
                ("headers", headers),
                ("payload", payload.unwrap_or(Value::Null)),
                ("canonical", canonical.unwrap_or(Value::Null)),
            ],
        )
    }

    /// What a body says, in the shape that holds for all providers.
    fn canonical(&self, body: &Value) -> Option<Value> {
        let canonical = self
            .read_by(|provider, about| canonical_value(provider, &self.source, Some(body), about));
        serde_json::to_value(canonical?).ok()
    }

    /// The same to be folded; without a body, what is known besides it.
    pub(crate) fn canonical_event(&self, body: Option<&Value>) -> Option<CanonicalEvent> {
        self.read_by(|provider, about| canonical_unsourced(provider, &self.source, body, about))
    }

    fn read_by(
        &self,
        read: impl FnOnce(&Provider, &About<'_>) -> CanonicalEvent,
    ) -> Option<CanonicalEvent> {
        let provider = provider::named(&self.provider)?;
        let id = self.id.to_string();
        let about = About {
            event_id: Some(&id),
            event_type: &self.event_type,
            kind: Kind::named(&self.kind).unwrap_or(Kind::Other),
            external_id: self.external_id.as_deref(),
            conversation_id: self.conversation_id.as_deref(),
            received_at: self.received_at,
        };
        Some(read(provider, &about))
    }

    /// Unproven bytes are never interpreted, and what was not readable once is not read
    /// another way now.
    pub(crate) fn is_readable(&self) -> bool {
        self.verdict == "verified" && self.cause.as_deref() != Some("unreadable")
    }
}

impl Rejection {
    /// The refused request as lists show it: without headers.
    #[must_use]
    pub fn summary(&self) -> Value {
        json!({
            "id": format!("rej_{}", self.id.simple()),
            "seq": self.seq,
            "source": self.source,
            "provider": self.provider,
            "received_at": self.received_at.to_string(),
            "correlation_id": self.correlation_id,
            "peer": self.peer.to_string(),
            "method": self.method,
            "target": self.target,
            "status": self.status,
            "verification": {
                "verdict": self.verdict,
                "scheme": self.scheme,
                "reason": self.reason,
            },
            "size": self.size,
            "sha256": hex::encode(self.sha256),
            "accepted_as": self.accepted_as.map(|it| it.to_string()),
        })
    }

    /// All of it but its bytes, which nobody interprets.
    #[must_use]
    pub fn detail(&self) -> Value {
        let headers = headers(&self.headers, &self.signature_headers, false);
        extended(self.summary(), [("headers", headers), ("payload", Value::Null)])
    }
}

fn extended<const N: usize>(summary: Value, more: [(&str, Value); N]) -> Value {
    let Value::Object(mut fields) = summary else { return summary };
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(fields)
}

fn claim(claim: &Claim) -> Value {
    let tenant = claim.tenant.as_ref().map(TenantId::as_str);
    json!({ "kind": claim.kind.name(), "external_id": claim.external_id, "tenant": tenant })
}

fn decision(decision: &LaterDecision) -> Value {
    json!({
        "kind": decision.kind.name(),
        "tenant": decision.tenant,
        "at": decision.at.to_string(),
        "by": decision.by,
    })
}

fn headers(
    headers: &hookgate_core::headers::Headers,
    signatures: &[String],
    is_verified: bool,
) -> Value {
    let show = |(name, value): (&http::HeaderName, &Header)| {
        let value = match value {
            Header::Plain(bytes) => {
                let text = String::from_utf8_lossy(bytes);
                let is_digest = signatures.iter().any(|it| it == name.as_str())
                    || name.as_str().contains("signature");
                if is_digest && !is_verified && !text.is_empty() {
                    mask::digest(&text)
                } else {
                    text.into_owned()
                }
            }
            Header::Hashed { prefix, hash } => {
                let prefix = String::from_utf8_lossy(prefix);
                format!("{prefix}sha256:{}", mask::digest(&hex::encode(hash)))
            }
        };
        json!([name.as_str(), value])
    };
    Value::Array(headers.iter().map(show).collect())
}

/// The body as JSON, if it is JSON and small enough to be shown.
fn parsed(body: &[u8]) -> Option<Value> {
    if body.len() as u64 > PAYLOAD_BYTES_MAX {
        return None;
    }
    let fields: Map<String, Value> = serde_json::from_slice(body).ok()?;
    Some(Value::Object(fields))
}
