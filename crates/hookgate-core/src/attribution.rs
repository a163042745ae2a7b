//! Whose event is it: what a proven request becomes.
//!
//! `Verified → Readable → Decided → Attributed | Quarantined`. Each is made only from the
//! one before, here and nowhere else, so nothing can be stored that was not judged.
//!
//! Between reading and deciding somebody has to ask the registry what it knows of the
//! request's claims ([`Consulted`]); the decision itself is a function ([`rule::decide`]).

pub mod rule;

use std::io::Read;

pub use self::rule::{
    AgentMatch, Circumstances, Conflict, Decision, Ownership, OwnershipMode, Rule,
};
use self::rule::{Lack, decide};
use crate::event::{Answer, Asks, Claim, Facts, Kind};
use crate::json::{self, Unreadable};
use crate::provider::{Hint, Refusal};
use crate::received::{Body, Received, Unproven, Verified};
use crate::tenant::TenantId;
use crate::tool::NOT_AVAILABLE;

/// A proven request whose body could be read. [`read`] is the only maker.
#[derive(Debug)]
pub struct Readable {
    verified: Verified,
    facts: Facts,
}

/// What the registry knows of a request's claims.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consulted {
    /// Whether there is any tenant.
    pub tenants_exist: bool,
    /// Whose each claim is, in the order of the claims. That of a conversation is in
    /// `conversation` as well.
    pub owners: Vec<Option<TenantId>>,
    /// The conversation that the first claim of its kind names.
    pub conversation: Option<Conversation>,
}

/// A conversation that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Whose it is.
    pub tenant: TenantId,
    /// The agent it is known with.
    pub agent_id: Option<String>,
    /// Our phone number it is known with.
    pub phone_number_id: Option<String>,
    /// How it came to be known.
    pub origin: Origin,
}

/// How a conversation came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The operator registered it.
    Registered,
    /// Its first event named something bound.
    Adopted,
}

impl Origin {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Adopted => "adopted",
        }
    }
}

/// A conversation that an event makes known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The provider.
    pub provider: &'static str,
    /// The provider's id of it.
    pub external_id: String,
    /// What is known of it from now on.
    pub conversation: Conversation,
}

/// A request together with the decision on it. [`Readable::decide`] is the only maker.
#[derive(Debug)]
pub struct Decided {
    readable: Readable,
    decision: Decision,
}

/// A proven request that may be acted on. [`Decided::conclude`] is the only maker.
#[derive(Debug)]
pub struct Attributed {
    verified: Verified,
    facts: Facts,
    decision: Decision,
}

/// A request that is stored and acted on by nobody.
#[derive(Debug)]
pub struct Quarantined {
    content: Content,
    cause: Cause,
}

/// What stands in quarantine.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one at a time, mostly behind a box")]
pub enum Content {
    /// A request without proof. Its body is never interpreted.
    Unproven(Unproven),
    /// A proven request that cannot be read.
    Unreadable(Verified),
    /// A proven request, what it says, and the decision on it.
    Read(Verified, Facts, Decision),
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
    /// It must name a call and does not (Vapi).
    #[error("it names no call")]
    NoCall,
    /// Its call is not known and cannot be adopted (Vapi).
    #[error("its call is not known")]
    UnknownCall,
    /// It belongs to nobody.
    #[error("it belongs to no tenant")]
    Unattributed,
    /// What it claims contradicts what is known.
    #[error("{0}")]
    Contradiction(Conflict),
}

impl Cause {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Unreadable(_) => "unreadable",
            Self::NoOrganization => "no_organization",
            Self::NoCall => "no_call",
            Self::UnknownCall => "unknown_call",
            Self::Unattributed => "unattributed",
            Self::Contradiction(_) => "contradiction",
        }
    }

    /// Whether a decision on ownership put it there, so that another can take it out.
    #[must_use]
    pub fn is_of_ownership(name: &str) -> bool {
        ["no_organization", "unknown_call", "unattributed", "contradiction"].contains(&name)
    }
}

/// What the sender of a quarantined event is told, once it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// What its provider takes for a success.
    Success(Answer),
    /// A refusal.
    Refused(Refusal),
}

/// What a proven request is told whose body cannot be read.
const UNREADABLE: Refusal = Refusal { status: 400, body: r#"{"error":"Invalid JSON payload"}"# };

/// What a proven request is told that names no organisation.
const NO_ORGANIZATION: Refusal =
    Refusal { status: 400, body: r#"{"error":"No organization context"}"# };

/// Reads a proven request whose body is in memory.
///
/// # Errors
///
/// [`Quarantined`]: store it as such and answer by [`Quarantined::told`].
pub fn read(verified: Verified) -> Result<Readable, Box<Quarantined>> {
    let fields = match &verified.received().body {
        // A tool without arguments may be called without a body.
        Body::Whole(body) if body.is_empty() && verified.received().tool.is_some() => {
            Ok(json::Fields::default())
        }
        Body::Whole(body) => json::extract(body, verified.received().source.provider.fields),
        // A large body comes with a reader (`read_from`); without one nothing of it can be
        // read.
        Body::Blob(_) => Err(Unreadable::NotJson),
    };
    readable(verified, fields)
}

/// The same for a body in a file, which `body` reads.
///
/// # Errors
///
/// As [`read`].
pub fn read_from(verified: Verified, body: impl Read) -> Result<Readable, Box<Quarantined>> {
    let fields = json::extract_from(body, verified.received().source.provider.fields);
    readable(verified, fields)
}

fn readable(
    verified: Verified,
    fields: Result<json::Fields, Unreadable>,
) -> Result<Readable, Box<Quarantined>> {
    let received = verified.received();
    let source = &received.source;
    let facts = match fields {
        Ok(fields) => (source.provider.read)(
            &fields,
            &Hint {
                tool: received.tool.as_deref(),
                query: received.query(),
                headers: &received.headers,
                flat_claims: source.rule.flat_agent_id && received.token.is_none(),
            },
        ),
        Err(fault) => {
            let (content, cause) = (Content::Unreadable(verified), Cause::Unreadable(fault));
            return Err(Box::new(Quarantined { content, cause }));
        }
    };
    Ok(Readable { verified, facts })
}

impl Readable {
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

    /// What must be asked about.
    #[must_use]
    pub fn claims(&self) -> &[Claim] {
        &self.facts.claims
    }

    /// Whether it wants more than to be stored.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.facts.asks != Asks::Nothing
    }

    /// Decides whose it is, by what the registry says of its claims.
    #[must_use]
    pub fn decide(mut self, consulted: &Consulted) -> Decided {
        let received = self.verified.received();
        let token = received.token.as_ref().and_then(|it| it.tenant.as_ref());
        let circumstances = Circumstances::of(&received.source, token);
        let decision = decide(&self.facts, consulted, circumstances);
        for (claim, owner) in self.facts.claims.iter_mut().zip(&consulted.owners) {
            claim.tenant.clone_from(owner);
        }
        Decided { readable: self, decision }
    }
}

impl Decided {
    /// The decision.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// The request without the decision: what it rests on has changed meanwhile.
    #[must_use]
    pub fn undecided(self) -> Readable {
        self.readable
    }

    /// The same as nobody's: the tenant that everything names is not there, or is being
    /// erased.
    #[must_use]
    pub fn disowned(self) -> Self {
        Self { decision: self.decision.disowned(), ..self }
    }

    /// What becomes of it.
    ///
    /// # Errors
    ///
    /// [`Quarantined`]: store it as such and answer by [`Quarantined::told`].
    pub fn conclude(self) -> Result<Attributed, Box<Quarantined>> {
        let Self { readable: Readable { verified, facts }, decision } = self;
        match decision.cause() {
            None => Ok(Attributed { verified, facts, decision }),
            Some(cause) => {
                let content = Content::Read(verified, facts, decision);
                Err(Box::new(Quarantined { content, cause }))
            }
        }
    }
}

impl Decision {
    /// Why what was decided so stands in quarantine; nothing: it may be acted on.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match (self.conflict, self.lack, self.ownership) {
            (Some(conflict), ..) => Some(Cause::Contradiction(conflict)),
            (_, Some(Lack::Call), _) => Some(Cause::NoCall),
            (_, Some(Lack::KnownCall), _) => Some(Cause::UnknownCall),
            (_, Some(Lack::Organization), _) => Some(Cause::NoOrganization),
            (_, _, Ownership::Unattributed) if self.enforced => Some(Cause::Unattributed),
            _ => None,
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

    /// Whose it is, and why.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
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
            Content::Unreadable(verified) | Content::Read(verified, ..) => verified.received(),
        }
    }

    /// What its sender is told.
    #[must_use]
    pub fn told(&self) -> Told {
        let provider = self.received().source.provider;
        let (facts, enforced) = match &self.content {
            // What its provider takes for a success, but of a tool never that it did anything.
            Content::Unproven(unproven) if unproven.received().tool.is_some() => {
                return Told::Success(NOT_AVAILABLE);
            }
            Content::Unproven(_) => return Told::Success(Answer::fixed(provider.unread)),
            Content::Unreadable(_) => return Told::Refused(UNREADABLE),
            Content::Read(_, facts, decision) => (facts, decision.enforced),
        };
        let as_usual = || Told::Success(facts.answer.clone());
        match self.cause {
            Cause::NoOrganization => Told::Refused(NO_ORGANIZATION),
            Cause::NoCall => provider.missing_call.map_or_else(as_usual, Told::Refused),
            _ if !enforced => as_usual(),
            // A tool acts, so nobody's call of one is never told that it was done.
            _ if facts.kind == Kind::ToolCalled => match &facts.refusal {
                Some(refusal) => Told::Success(refusal.clone()),
                None => Told::Refused(Refusal::UNAUTHORIZED),
            },
            Cause::UnknownCall => provider.unknown_call.map_or_else(as_usual, Told::Refused),
            Cause::Contradiction(_) => Told::Refused(Refusal::UNAUTHORIZED),
            Cause::Unattributed | Cause::Unproven | Cause::Unreadable(_) => as_usual(),
        }
    }
}
