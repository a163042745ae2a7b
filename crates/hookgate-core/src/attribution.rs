//! Whose event is it: what a proven request becomes.
//!
//! `Verified → Attributed | Quarantined`. Both are made here and nowhere else, from a
//! [`Verified`] or an [`Unproven`], so nothing can be stored that was not judged.

use std::io::Read;

use crate::event::{Claim, ClaimKind, Facts};
use crate::json::{self, Unreadable};
use crate::provider::Hint;
use crate::received::{Body, Received, Unproven, Verified};

/// A proven request that may be acted on.
#[derive(Debug)]
pub struct Attributed {
    verified: Verified,
    facts: Facts,
    ownership: Ownership,
}

/// The verdict on whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ownership {
    /// A tenant's.
    Owned,
    /// Nobody's that we know: the operator's alone.
    Unattributed,
    /// Its claims name different tenants.
    Contradiction,
}

impl Ownership {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owned => "owned",
            Self::Unattributed => "unattributed",
            Self::Contradiction => "contradiction",
        }
    }
}

/// A request that is stored and acted on by nobody.
#[derive(Debug)]
pub struct Quarantined {
    content: Content,
    cause: Cause,
}

/// What stands in quarantine.
#[derive(Debug)]
pub enum Content {
    /// A request without proof. Its body is never interpreted.
    Unproven(Unproven),
    /// A proven request, and its facts if it could be read.
    Proven(Verified, Option<Facts>),
}

/// Why a request stands in quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// It did not prove its origin, and its source accepts that.
    #[error("not proven")]
    Unproven,
    /// Its body cannot be read.
    #[error("{0}")]
    Unreadable(Unreadable),
    /// It names no organisation (MightyCall).
    #[error("no organization context")]
    NoOrganization,
}

impl Cause {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Unreadable(_) => "unreadable",
            Self::NoOrganization => "no_organization",
        }
    }
}

impl Attributed {
    /// The request.
    #[must_use]
    pub fn received(&self) -> &Received {
        self.verified.received()
    }

    /// The request with its proof.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }

    /// What its body says.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whose it is.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }
}

impl Quarantined {
    /// Keeps a request without proof, where its source accepts that.
    #[must_use]
    pub fn unproven(unproven: Unproven) -> Self {
        Self { content: Content::Unproven(unproven), cause: Cause::Unproven }
    }

    /// What it holds.
    #[must_use]
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Why it is here.
    #[must_use]
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The request.
    #[must_use]
    pub fn received(&self) -> &Received {
        match &self.content {
            Content::Unproven(unproven) => unproven.received(),
            Content::Proven(verified, _) => verified.received(),
        }
    }
}

/// Reads a proven request whose body is in memory, and says whose it is.
///
/// # Errors
///
/// [`Quarantined`]: store it as such and answer by its cause.
pub fn attribute(verified: Verified) -> Result<Attributed, Box<Quarantined>> {
    let facts = match &verified.received().body {
        Body::Whole(body) => json::extract(body, verified.received().source.provider.fields),
        // A large body comes with a reader (`attribute_from`); without one nothing of it
        // can be read.
        Body::Blob(_) => Err(Unreadable::NotJson),
    };
    decide(verified, facts)
}

/// The same for a body in a file, which `body` reads.
///
/// # Errors
///
/// As [`attribute`].
pub fn attribute_from(verified: Verified, body: impl Read) -> Result<Attributed, Box<Quarantined>> {
    let facts = json::extract_from(body, verified.received().source.provider.fields);
    decide(verified, facts)
}

fn decide(
    verified: Verified,
    fields: Result<json::Fields, Unreadable>,
) -> Result<Attributed, Box<Quarantined>> {
    let received = verified.received();
    let facts = match fields {
        Ok(fields) => (received.source.provider.read)(
            &fields,
            &Hint { tool: received.tool, headers: &received.headers },
        ),
        Err(fault) => {
            let content = Content::Proven(verified, None);
            return Err(Box::new(Quarantined { content, cause: Cause::Unreadable(fault) }));
        }
    };
    if received.source.provider.needs_organization && !names_organization(&facts.claims) {
        let content = Content::Proven(verified, Some(facts));
        return Err(Box::new(Quarantined { content, cause: Cause::NoOrganization }));
    }
    Ok(Attributed { verified, facts, ownership: Ownership::Unattributed })
}

fn names_organization(claims: &[Claim]) -> bool {
    let names = |claim: &Claim| {
        let organization = matches!(
            claim.kind,
            ClaimKind::Organization | ClaimKind::Integration | ClaimKind::Account
        );
        organization && claim.external_id.is_some()
    };
    claims.iter().any(names)
}
