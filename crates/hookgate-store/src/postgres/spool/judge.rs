//! Deciding whose an entry is when it is drained: what was deferred, and what was decided
//! from memory that may have been behind.
//!
//! The body is not read again: what it said stands in the head.

use std::borrow::Cow;

use hookgate_core::attribution::rule::{Decision, RULE_VERSION, decide};
use hookgate_core::attribution::{Adoption, Circumstances, Consulted};
use hookgate_core::event::Claim;
use hookgate_core::provider;
use hookgate_core::tenant::TenantId;

use super::entry::Entry;
use crate::decide::Read;
use crate::head::{self, EventHead, Unreadable};
use crate::prepare::Likeness;

/// An entry with today's decision.
#[derive(Debug)]
pub(crate) struct Rejudged {
    /// The head to be stored.
    pub(crate) head: Vec<u8>,
    /// The conversation that it makes known.
    pub(crate) adoption: Option<Adoption>,
}

/// What has to be asked about an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The provider.
    pub(crate) provider: String,
    /// The ids that it claims.
    pub(crate) claims: Vec<Claim>,
}

impl Entry {
    /// What the registry has to be asked; nothing when there is nothing to decide, because
    /// the request is not proven or could not be read. Then its head is stored as it is.
    pub(crate) fn question(&self) -> Result<Option<Question>, Unreadable> {
        let head: EventHead<'_> = head::decode(&self.head)?;
        if !is_open(&head) {
            return Ok(None);
        }
        let claims = head.claims.iter();
        let claims = claims.map(|it| Claim::new(it.kind, it.external_id.clone())).collect();
        Ok(Some(Question { provider: head.provider.into_owned(), claims }))
    }

    /// Decides whose it is by what the registry says of its claims now. `is_owner` says
    /// whether a tenant is there and not being erased.
    ///
    /// Nothing when there is nothing to decide.
    pub(crate) fn judge(
        &self,
        consulted: &Consulted,
        is_owner: impl Fn(&TenantId) -> bool,
    ) -> Result<Option<Rejudged>, Unreadable> {
        let mut head: EventHead<'_> = head::decode(&self.head)?;
        if !is_open(&head) {
            return Ok(None);
        }
        let Some(provider) = provider::named(&head.provider) else { return Ok(None) };
        let read = Read::of(&head);
        let at = Circumstances {
            provider,
            rule: self.rule,
            source: read.source.as_ref(),
            token: read.token.as_ref(),
        };
        let mut decision = decide(&read.facts, consulted, at);
        if decision.tenant().is_some_and(|it| !is_owner(it)) {
            decision = decision.disowned();
        }
        let mut claims = read.facts.claims;
        for (claim, owner) in claims.iter_mut().zip(&consulted.owners) {
            claim.tenant.clone_from(owner);
        }
        head.claims = Cow::Owned(claims);
        Ok(Some(self.conclude(head, &decision)))
    }

    fn conclude(&self, mut head: EventHead<'_>, decision: &Decision) -> Rejudged {
        let cause = decision.cause();
        let tenant = decision.tenant().cloned();
        let key = cause.is_none().then(|| {
            let query = head.target.split_once('?').map_or("", |(_, query)| query);
            let likeness = Likeness {
                source: &head.source,
                tenant: tenant.as_ref().map(TenantId::as_str),
                dedupe: self.dedupe.as_deref(),
                tool: self.tool.as_deref(),
                query,
                sha256: &head.sha256.0,
            };
            likeness.key()
        });
        let key = key.flatten();
        head.status = u8::from(cause.is_some());
        head.cause = cause.map(|it| it.name().into());
        head.tenant = tenant.as_ref().map(|it| Cow::Owned(it.as_str().to_owned()));
        head.ownership = decision.ownership().name().into();
        head.conflict = decision.conflict().map(|it| it.name().into());
        head.standing = decision.standing().map(|it| it.name().into());
        head.rule = RULE_VERSION;
        head.is_enforced = decision.is_enforced();
        head.key = key.map(head::Octets);
        let mut encoded = Vec::with_capacity(self.head.len());
        head::encode(&head, &mut encoded);
        Rejudged { head: encoded, adoption: decision.adoption().cloned() }
    }
}

/// Whether ownership is a question at all: it is proven, and it could be read.
fn is_open<H>(head: &EventHead<'_, H>) -> bool {
    let is_read = head.cause.as_deref() != Some("unreadable");
    head.verdict == hookgate_core::received::Verdict::Verified.name() && is_read
}
