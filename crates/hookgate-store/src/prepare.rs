//! What is written of a judged request.

use std::borrow::Cow;

use hookgate_core::attribution::rule::RULE_VERSION;
use hookgate_core::attribution::{Attributed, Content, Decision, Ownership, Quarantined, Readable};
use hookgate_core::event::Facts;
use hookgate_core::headers::Headers;
use hookgate_core::received::{Body, Received, Unproven, Verdict};
use hookgate_core::scheme::Proof;
use hookgate_core::secret::MaskKey;
use hookgate_core::source::Source;
use hookgate_core::tenant::TenantId;
use hookgate_journal::LogId;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::bloom::Key;
use crate::head::{self, EVENT, EventHead, HeaderList, Octets, Peer, REJECTION, RejectionHead};
use crate::index::Row;
use crate::layout::{EVENTS, UNPROVEN};
use crate::record::Status;

/// A request that is to be stored as an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Judged<'a> {
    /// It may be acted on.
    Accepted(&'a Attributed),
    /// Nobody may act on it.
    Quarantined(&'a Quarantined),
}

/// What of a request is written beside what it says itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) id: Uuid,
    pub(crate) sha256: [u8; 32],
    pub(crate) headers: &'a Headers,
}

/// What is said of an event whose head was written.
pub(crate) struct Encoded {
    pub(crate) row: Row,
    /// When it was received.
    pub(crate) at: i64,
    /// By which a repetition of it is recognised.
    pub(crate) key: Option<Key>,
}

impl<'a> Judged<'a> {
    pub(crate) fn received(self) -> &'a Received {
        match self {
            Self::Accepted(event) => event.received(),
            Self::Quarantined(event) => event.received(),
        }
    }

    /// The log that it goes to.
    pub(crate) fn log(self) -> LogId {
        if self.unproven().is_some() { UNPROVEN } else { EVENTS }
    }

    pub(crate) fn unproven(self) -> Option<&'a Unproven> {
        match self {
            Self::Quarantined(event) => match event.content() {
                Content::Unproven(unproven) => Some(unproven),
                Content::Unreadable(_) | Content::Read(..) => None,
            },
            Self::Accepted(_) => None,
        }
    }

    /// What was read of it.
    pub(crate) fn facts(self) -> Option<&'a Facts> {
        match self {
            Self::Accepted(event) => Some(event.facts()),
            Self::Quarantined(event) => match event.content() {
                Content::Unproven(_) | Content::Unreadable(_) => None,
                Content::Read(_, facts, _) => Some(facts),
            },
        }
    }

    /// The decision on whose it is, as far as one was made.
    pub(crate) fn decision(self) -> Option<&'a Decision> {
        match self {
            Self::Accepted(event) => Some(event.decision()),
            Self::Quarantined(event) => match event.content() {
                Content::Unproven(_) | Content::Unreadable(_) => None,
                Content::Read(_, _, decision) => Some(decision),
            },
        }
    }

    /// Whose it is.
    pub(crate) fn tenant(self) -> Option<&'a str> {
        self.decision().and_then(Decision::tenant).map(TenantId::as_str)
    }

    /// The scheme that proved or judged it.
    fn scheme(self) -> Option<&'static str> {
        match self {
            Self::Accepted(event) => Some(event.verified().proof().scheme),
            Self::Quarantined(event) => match event.content() {
                Content::Unproven(unproven) => unproven.scheme(),
                Content::Unreadable(verified) | Content::Read(verified, ..) => {
                    Some(verified.proof().scheme)
                }
            },
        }
    }

    /// By which a repetition of it is recognised: only what was accepted can be repeated.
    pub(crate) fn key(self, sha256: &[u8; 32]) -> Option<Key> {
        let Self::Accepted(event) = self else { return None };
        let received = event.received();
        let likeness = Likeness {
            source: &received.source.name,
            tenant: event.decision().tenant().map(TenantId::as_str),
            dedupe: event.facts().dedupe.as_deref(),
            tool: received.tool.as_deref(),
            query: received.query(),
            sha256,
        };
        likeness.key()
    }

    /// Writes its head into a buffer.
    pub(crate) fn encode(
        self,
        id: Uuid,
        sha256: [u8; 32],
        mask: &MaskKey,
        into: &mut Vec<u8>,
    ) -> Encoded {
        let headers = masked(self.received(), mask);
        let mut event = self.head(&Stamp { id, sha256, headers: &headers });
        let key = self.key(&sha256);
        event.key = key.map(Octets);
        head::encode(&event, into);
        Encoded { row: Row::new(&event), at: event.at, key }
    }

    /// Its head, but for the key.
    pub(crate) fn head(self, stamp: &Stamp<'a>) -> EventHead<'a> {
        let received = self.received();
        let unproven = self.unproven();
        let facts = self.facts();
        let (status, cause) = match self {
            Self::Accepted(_) => (Status::Accepted, None),
            Self::Quarantined(event) => (Status::Quarantined, Some(event.cause().name())),
        };
        let decision = self.decision();
        let ownership = decision.map_or(Ownership::Unattributed, Decision::ownership);
        let text = |text: &'a String| Cow::Borrowed(text.as_str());
        let tenant = |id: Option<&'a TenantId>| id.map(|it| Cow::Borrowed(it.as_str()));
        EventHead {
            record: EVENT,
            id: stamp.id.into(),
            at: received.at.millis(),
            source: text(&received.source.name),
            provider: received.source.provider.name.into(),
            event_type: facts.map_or(Cow::Borrowed(""), |it| text(&it.event_type)),
            kind: facts.map_or("other", |it| it.kind.name()).into(),
            status: u8::from(status == Status::Quarantined),
            external_id: facts.and_then(|it| it.external_id.as_ref()).map(text),
            tenant: tenant(decision.and_then(Decision::tenant)),
            conversation: facts.and_then(|it| it.conversation_id.as_ref()).map(text),
            cause: cause.map(Cow::Borrowed),
            late: received.late,
            correlation_id: text(&received.correlation_id),
            peer: Peer(received.peer),
            method: text(&received.method),
            target: text(&received.target),
            verdict: unproven.map_or(Verdict::Verified, Unproven::verdict).name().into(),
            scheme: self.scheme().map(Cow::Borrowed),
            reason: unproven.map(|it| Cow::Owned(it.reason().to_string())),
            signatures: unproven.map(|it| signatures(&it.received().source)).unwrap_or_default(),
            ownership: ownership.name().into(),
            claims: facts.map_or(Cow::Borrowed(&[]), |it| Cow::Borrowed(it.claims.as_slice())),
            conflict: decision.and_then(Decision::conflict).map(|it| it.name().into()),
            standing: decision.and_then(Decision::standing).map(|it| it.name().into()),
            rule: decision.map_or(0, |_| RULE_VERSION),
            is_enforced: decision.is_some_and(Decision::is_enforced),
            bears_call: facts.is_some_and(|it| it.bears_call),
            url_token: received.token.as_ref().map(|it| text(&it.id)),
            token_tenant: received.token.as_ref().and_then(|it| tenant(it.tenant.as_ref())),
            source_tenant: tenant(received.source.tenant.as_ref()),
            size: received.body.len(),
            sha256: Octets(stamp.sha256),
            blob: blob_of(&received.body),
            key: None,
            of: 0,
            headers: HeaderList(Cow::Borrowed(stamp.headers)),
            original: None,
        }
    }
}

/// What makes two accepted events the same.
#[derive(Clone, Copy)]
pub(crate) struct Likeness<'a> {
    pub(crate) source: &'a str,
    pub(crate) tenant: Option<&'a str>,
    /// What the provider says of it.
    pub(crate) dedupe: Option<&'a str>,
    /// The tool that the path named.
    pub(crate) tool: Option<&'a str>,
    pub(crate) query: &'a str,
    pub(crate) sha256: &'a [u8; 32],
}

impl Likeness<'_> {
    /// By which a repetition is recognised.
    pub(crate) fn key(self) -> Option<Key> {
        let mut digest = Sha256::new();
        let mut part = |text: &[u8]| {
            // With its length, so that no two lists of parts are the same bytes.
            digest.update((text.len() as u64).to_le_bytes());
            digest.update(text);
        };
        part(self.source.as_bytes());
        part(self.tenant.unwrap_or_default().as_bytes());
        part(Verdict::Verified.name().as_bytes());
        if let Some(key) = self.dedupe {
            part(b"key");
            part(key.as_bytes());
        } else {
            part(b"body");
            // The same arguments for two tools are two calls.
            part(self.tool.unwrap_or_default().as_bytes());
            // A tool may be told its arguments in the query, mostly without any body.
            if self.tool.is_some() && !self.query.is_empty() {
                part(self.query.as_bytes());
            }
            part(self.sha256);
        }
        let digest: [u8; 32] = digest.finalize().into();
        digest.first_chunk().copied()
    }
}

/// The head of a proven request that is readable, and whose owner was not decided.
pub(crate) fn undecided<'a>(readable: &'a Readable, stamp: &Stamp<'a>) -> EventHead<'a> {
    let received = readable.received();
    let facts = readable.facts();
    let text = |text: &'a String| Cow::Borrowed(text.as_str());
    let tenant = |id: Option<&'a TenantId>| id.map(|it| Cow::Borrowed(it.as_str()));
    EventHead {
        record: EVENT,
        id: stamp.id.into(),
        at: received.at.millis(),
        source: text(&received.source.name),
        provider: received.source.provider.name.into(),
        event_type: text(&facts.event_type),
        kind: facts.kind.name().into(),
        external_id: facts.external_id.as_ref().map(text),
        conversation: facts.conversation_id.as_ref().map(text),
        late: received.late,
        correlation_id: text(&received.correlation_id),
        peer: Peer(received.peer),
        method: text(&received.method),
        target: text(&received.target),
        verdict: Verdict::Verified.name().into(),
        scheme: Some(Cow::Borrowed(readable.verified().proof().scheme)),
        ownership: Ownership::Unattributed.name().into(),
        claims: Cow::Borrowed(facts.claims.as_slice()),
        bears_call: facts.bears_call,
        url_token: received.token.as_ref().map(|it| text(&it.id)),
        token_tenant: received.token.as_ref().and_then(|it| tenant(it.tenant.as_ref())),
        source_tenant: tenant(received.source.tenant.as_ref()),
        size: received.body.len(),
        sha256: Octets(stamp.sha256),
        blob: blob_of(&received.body),
        headers: HeaderList(Cow::Borrowed(stamp.headers)),
        ..EventHead::default()
    }
}

/// The head of a refused request.
pub(crate) fn rejection<'a>(
    refused: &'a Unproven,
    status: u16,
    stamp: &Stamp<'a>,
) -> RejectionHead<'a> {
    let received = refused.received();
    let text = |text: &'a String| Cow::Borrowed(text.as_str());
    RejectionHead {
        record: REJECTION,
        id: stamp.id.into(),
        at: received.at.millis(),
        source: text(&received.source.name),
        provider: received.source.provider.name.into(),
        correlation_id: text(&received.correlation_id),
        peer: Peer(received.peer),
        method: text(&received.method),
        url_token: received.token.as_ref().map(|it| it.id.as_str().into()),
        token_tenant: received
            .token
            .as_ref()
            .and_then(|it| it.tenant.as_ref())
            .map(|it| it.as_str().into()),
        target: text(&received.target),
        status,
        verdict: refused.verdict().name().into(),
        scheme: refused.scheme().map(Cow::Borrowed),
        reason: refused.reason().to_string().into(),
        signatures: signatures(&received.source),
        size: received.body.len(),
        sha256: Octets(stamp.sha256),
        blob: blob_of(&received.body),
        headers: HeaderList(Cow::Borrowed(stamp.headers)),
        event: None,
    }
}

/// The headers as they may be stored.
pub(crate) fn masked(received: &Received, key: &MaskKey) -> Headers {
    received.headers.masked(key, &received.source.token_headers)
}

/// The headers in which a source's digests stand.
fn signatures(source: &Source) -> Vec<Cow<'_, str>> {
    let mut names: Vec<Cow<'_, str>> = Vec::new();
    for scheme in source.policy.schemes() {
        let Proof::Mac(mac) = &scheme.proof else { continue };
        let name = mac.header.as_str();
        if !names.iter().any(|it| it == name) {
            names.push(name.into());
        }
    }
    names
}

fn blob_of(body: &Body) -> Option<Octets<16>> {
    match body {
        Body::Whole(_) => None,
        Body::Blob(blob) => Some(Octets(blob.id)),
    }
}
