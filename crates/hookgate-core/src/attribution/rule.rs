//! Whose an event is, as a function of its claims, what the registry says of them, and
//! the source's rule. Nothing else decides it.
//!
//! What holds:
//!
//! - **Every party names the same tenant, or nobody acts.** Parties are the URL token, the
//!   source's own tenant and each bound claim. Two tenants are a contradiction.
//! - **An unknown id is no proof.** An id that is bound to nobody never makes an owner. An
//!   unbound number is no obstacle; an unbound agent is one on a call that is known, unless
//!   the call was registered or adopted with just that agent.
//! - **There is no default tenant.**

use super::{Adoption, Consulted, Origin};
use crate::event::{Claim, ClaimKind, Facts};
use crate::provider::Provider;
use crate::source::Source;
use crate::tenant::TenantId;

/// The version of these rules, stored with each decision.
pub const RULE_VERSION: u32 = 1;

/// When the verdict on ownership decides about the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnershipMode {
    /// As soon as there is a tenant.
    #[default]
    Auto,
    /// Never: it is recorded.
    Observe,
    /// Always.
    Enforce,
}

impl OwnershipMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Observe, Self::Enforce];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Observe => "observe",
            Self::Enforce => "enforce",
        }
    }
}

/// Which agents may speak for a known call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentMatch {
    /// The call's own, and others of its tenant: calls are handed over.
    #[default]
    SameTenant,
    /// The call's own alone.
    Exact,
}

/// How ownership is judged at one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// When the verdict decides about the answer.
    pub mode: OwnershipMode,
    /// Whether the first event of a conversation may make it known.
    pub adopt: bool,
    /// Which agents may speak for a known call.
    pub agent_match: AgentMatch,
    /// Whether an organisation's id in the body names a tenant (`MightyCall`).
    pub trust_body_org: bool,
    /// Whether ids among the arguments of a tool call count (Retell's "args only").
    pub flat_agent_id: bool,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            mode: OwnershipMode::Auto,
            adopt: true,
            agent_match: AgentMatch::SameTenant,
            trust_body_org: true,
            flat_agent_id: true,
        }
    }
}

/// The verdict on whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ownership {
    /// A tenant's.
    Owned,
    /// Nobody's that we know: the operator's alone.
    Unattributed,
    /// Its claims contradict what is known.
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

/// How claims contradict each other, or what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Conflict {
    /// A text must stand where a claim has something else.
    #[error("an id is not a text")]
    WrongType,
    /// The ids, the URL token and the source belong to different tenants.
    #[error("its ids belong to different tenants")]
    Tenants,
    /// It names two conversations.
    #[error("it names two conversations")]
    Conversations,
    /// The call is known with another agent, or the agent is not of the call's tenant.
    #[error("its agent is not the call's")]
    Agent,
    /// The call is known with an agent, and the event names none.
    #[error("it names no agent, and the call has one")]
    NoAgent,
    /// The call is known with another phone number.
    #[error("its phone number is not the call's")]
    PhoneNumber,
}

impl Conflict {
    /// Every conflict.
    pub const ALL: [Self; 6] = [
        Self::WrongType,
        Self::Tenants,
        Self::Conversations,
        Self::Agent,
        Self::NoAgent,
        Self::PhoneNumber,
    ];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::WrongType => "wrong_type",
            Self::Tenants => "different_tenants",
            Self::Conversations => "two_conversations",
            Self::Agent => "agent_mismatch",
            Self::NoAgent => "agent_missing",
            Self::PhoneNumber => "phone_number_mismatch",
        }
    }

    /// The conflict of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The sentence that the log is watched for.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Agent | Self::NoAgent => "Assistant ID mismatch",
            Self::WrongType | Self::Tenants | Self::Conversations | Self::PhoneNumber => {
                "Security violation: Invalid call ownership"
            }
        }
    }
}

/// How an event's conversation is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Since before.
    Known(Origin),
    /// By this event.
    Adopting,
}

impl Standing {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known(Origin::Registered) => "registered",
            Self::Known(Origin::Adopted) => "adopted",
            Self::Adopting => "adopting",
        }
    }
}

/// What lacks, where a verdict alone does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// An event of its type must name a call.
    Call,
    /// The call is not known, and cannot be adopted.
    KnownCall,
    /// No organisation.
    Organization,
}

/// The decision on whose event it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub(super) ownership: Ownership,
    pub(super) tenant: Option<TenantId>,
    pub(super) conflict: Option<Conflict>,
    pub(super) standing: Option<Standing>,
    pub(super) adoption: Option<Adoption>,
    pub(super) lack: Option<Lack>,
    pub(super) enforced: bool,
}

impl Decision {
    /// The verdict.
    #[must_use]
    pub fn ownership(&self) -> Ownership {
        self.ownership
    }

    /// Whose it is.
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Why it contradicts.
    #[must_use]
    pub fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// How its conversation is known.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// The conversation that it makes known.
    #[must_use]
    pub fn adoption(&self) -> Option<&Adoption> {
        self.adoption.as_ref()
    }

    /// Whether the verdict decides about the answer.
    #[must_use]
    pub fn is_enforced(&self) -> bool {
        self.enforced
    }

    /// The same where an owner is nobody: it is not there any more.
    #[must_use]
    pub fn disowned(self) -> Self {
        if self.ownership != Ownership::Owned {
            return self;
        }
        let standing = self.standing.filter(|it| *it != Standing::Adopting);
        let ownership = Ownership::Unattributed;
        Self { ownership, tenant: None, standing, adoption: None, ..self }
    }
}

/// What decides besides the body.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The provider.
    pub provider: &'static Provider,
    /// The source's rule.
    pub rule: Rule,
    /// The tenant of the source.
    pub source: Option<&'a TenantId>,
    /// The tenant of the URL token by which it came.
    pub token: Option<&'a TenantId>,
}

impl<'a> Circumstances<'a> {
    /// Those of a request to `source`.
    #[must_use]
    pub fn of(source: &'a Source, token: Option<&'a TenantId>) -> Self {
        Self { provider: source.provider, rule: source.rule, source: source.tenant.as_ref(), token }
    }
}

/// Decides whose an event is.
#[must_use]
pub fn decide(facts: &Facts, consulted: &Consulted, at: Circumstances<'_>) -> Decision {
    let enforced = match at.rule.mode {
        OwnershipMode::Auto => consulted.tenants_exist,
        OwnershipMode::Observe => false,
        OwnershipMode::Enforce => true,
    };
    let judged = Judging { facts, consulted, at, enforced };
    let mut decision = judged.decide();
    decision.standing = match (&decision.adoption, &consulted.conversation) {
        (Some(_), _) => Some(Standing::Adopting),
        (None, Some(known)) => Some(Standing::Known(known.origin)),
        (None, None) => None,
    };
    decision
}

struct Judging<'a> {
    facts: &'a Facts,
    consulted: &'a Consulted,
    at: Circumstances<'a>,
    enforced: bool,
}

impl<'a> Judging<'a> {
    fn decide(&self) -> Decision {
        let Facts { claims, bears_call, conversation_id, .. } = self.facts;
        if claims.iter().any(|it| it.external_id.is_none()) {
            if self.lacks_organization() {
                return self.nobody(Some(Lack::Organization));
            }
            return self.contradiction(Conflict::WrongType);
        }
        if self.enforced && *bears_call && conversation_id.is_none() {
            return self.nobody(Some(Lack::Call));
        }
        let tenant = match self.tenant() {
            Ok(tenant) => tenant,
            Err(conflict) => return self.contradiction(conflict),
        };
        if let Some(conflict) = self.conversation_conflict() {
            return self.contradiction(conflict);
        }
        if self.lacks_organization() {
            return self.nobody(Some(Lack::Organization));
        }
        let Some(tenant) = tenant.filter(|_| !self.names_unknown_organization()) else {
            let lack = self.must_know_call().then_some(Lack::KnownCall);
            return self.nobody(lack);
        };
        let unknown = self.of(ClaimKind::Conversation).next().filter(|_| self.is_unknown());
        let adoption = match unknown {
            Some((claim, _)) if self.at.rule.adopt => self.adoption(claim, tenant),
            Some(_) if self.must_know_call() => return self.nobody(Some(Lack::KnownCall)),
            _ => None,
        };
        Decision {
            ownership: Ownership::Owned,
            tenant: Some(tenant.clone()),
            adoption,
            ..self.nobody(None)
        }
    }

    /// The tenant that all parties name, if any does.
    fn tenant(&self) -> Result<Option<&'a TenantId>, Conflict> {
        let conversation = self.consulted.conversation.as_ref().map(|it| &it.tenant);
        let bound = self.owned().filter_map(|(_, owner)| owner);
        let mut parties = bound.chain(conversation).chain(self.at.token).chain(self.at.source);
        let Some(tenant) = parties.next() else { return Ok(None) };
        if parties.all(|it| it == tenant) { Ok(Some(tenant)) } else { Err(Conflict::Tenants) }
    }

    /// What of the event contradicts its conversation.
    fn conversation_conflict(&self) -> Option<Conflict> {
        let mut named = self.of(ClaimKind::Conversation);
        let first = named.next();
        if named.any(|(claim, _)| Some(claim) != first.map(|(claim, _)| claim)) {
            return Some(Conflict::Conversations);
        }
        let known = self.consulted.conversation.as_ref()?;
        let mut agents = self.of(ClaimKind::Agent).peekable();
        let recorded = known.agent_id.as_deref();
        if agents.peek().is_none() && recorded.is_some() {
            return Some(Conflict::NoAgent);
        }
        if agents.any(|(claim, owner)| !self.may_speak(id(claim), owner, recorded)) {
            return Some(Conflict::Agent);
        }
        let number = known.phone_number_id.as_deref()?;
        let is_other = |(claim, _): (&Claim, _)| id(claim) != number;
        self.of(ClaimKind::PhoneNumber).any(is_other).then_some(Conflict::PhoneNumber)
    }

    /// Whether an agent may speak for the known call, whose own agent is `recorded`.
    fn may_speak(&self, agent: &str, owner: Option<&TenantId>, recorded: Option<&str>) -> bool {
        match (recorded, owner) {
            (Some(recorded), _) if recorded == agent => true,
            (Some(_), owner) => {
                owner.is_some() && self.at.rule.agent_match == AgentMatch::SameTenant
            }
            (None, Some(_)) => true,
            // As when it had come first: somebody else must vouch for it.
            (None, None) => {
                let vouches = |(_, owner): (&Claim, Option<&TenantId>)| owner.is_some();
                self.at.token.is_some()
                    || self.at.source.is_some()
                    || self.of(ClaimKind::PhoneNumber).any(vouches)
            }
        }
    }

    fn adoption(&self, claim: &Claim, tenant: &TenantId) -> Option<Adoption> {
        let first = |kind| self.of(kind).next().map(|(claim, _)| id(claim).to_owned());
        Some(Adoption {
            provider: self.at.provider.name,
            external_id: claim.external_id.clone()?,
            conversation: super::Conversation {
                tenant: tenant.clone(),
                agent_id: first(ClaimKind::Agent),
                phone_number_id: first(ClaimKind::PhoneNumber),
                origin: Origin::Adopted,
            },
        })
    }

    fn is_unknown(&self) -> bool {
        self.consulted.conversation.is_none()
    }

    fn must_know_call(&self) -> bool {
        self.enforced
            && self.facts.bears_call
            && self.is_unknown()
            && self.at.provider.unknown_call.is_some()
    }

    fn lacks_organization(&self) -> bool {
        if !self.at.provider.needs_organization {
            return false;
        }
        let is_organization = |(claim, owner): (&Claim, Option<&TenantId>)| match claim.kind {
            ClaimKind::Organization => claim.external_id.is_some(),
            // Without tenants all accounts are the operator's own.
            ClaimKind::Account => owner.is_some() || !self.consulted.tenants_exist,
            _ => owner.is_some(),
        };
        let is_named = self.owned().any(is_organization);
        let unknown = self.enforced && self.names_unknown_organization();
        unknown || !(is_named || self.at.token.is_some() || self.at.source.is_some())
    }

    fn names_unknown_organization(&self) -> bool {
        self.of(ClaimKind::Organization).any(|(_, owner)| owner.is_none())
    }

    /// The claims that count, with their owners.
    fn owned(&self) -> impl Iterator<Item = (&'a Claim, Option<&'a TenantId>)> {
        let owners = self.consulted.owners.iter().map(Option::as_ref);
        let claims = self.facts.claims.iter().zip(owners.chain(std::iter::repeat(None)));
        let trusted = self.at.rule.trust_body_org;
        claims.filter(move |(claim, _)| trusted || claim.kind != ClaimKind::Organization)
    }

    fn of(&self, kind: ClaimKind) -> impl Iterator<Item = (&'a Claim, Option<&'a TenantId>)> {
        self.owned().filter(move |(claim, _)| claim.kind == kind)
    }

    fn nobody(&self, lack: Option<Lack>) -> Decision {
        Decision {
            ownership: Ownership::Unattributed,
            tenant: None,
            conflict: None,
            standing: None,
            adoption: None,
            lack,
            enforced: self.enforced,
        }
    }

    fn contradiction(&self, conflict: Conflict) -> Decision {
        let ownership = Ownership::Contradiction;
        Decision { ownership, conflict: Some(conflict), ..self.nobody(None) }
    }
}

fn id(claim: &Claim) -> &str {
    claim.external_id.as_deref().unwrap_or_default()
}
