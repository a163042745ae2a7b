//! Decisions on stored events that come later: an operator lets one out of quarantine, or
//! has the claims of one judged again by today's bindings.
//!
//! What holds:
//!
//! - **The journal is not touched.** A decision is added to the registry; the index takes it
//!   in, and again whenever it is made anew. The latest counts.
//! - **No body is read again.** What was read of an event when it came stands in its head.
//! - **What proved nothing is never let out.**

use std::sync::Arc;
use std::time::Duration;

use hookgate_core::attribution::rule::{Decision as Verdict, decide};
use hookgate_core::attribution::{Circumstances, Rule};
use hookgate_core::event::{Answer, Asks, Claim, Facts, Kind};
use hookgate_core::provider::{self, Provider};
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use rusqlite::Connection;

use crate::embedded::Embedded;
use crate::error::{ReadError, Unavailable};
use crate::head::EventHead;
use crate::inner::Inner;
use crate::layout::UNPROVEN;
use crate::ledger::{Adopting, Ledger};
use crate::library::Library;
use crate::lock;
use crate::record::{Event, EventId, Status};
use crate::registry::{Decision, DecisionKind, RegistryError};

/// How long a decision waits to be in the index. It is made by then: later it shows.
const INDEX_WAIT_MAX: Duration = Duration::from_secs(10);

/// Times that an event is judged anew because its conversation became known meanwhile.
const JUDGINGS_MAX: usize = 8;

/// Why nothing was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// There is no such event, or it is erased.
    #[error("there is no such event")]
    NotFound,
    /// It is accepted, and somebody's; or ownership is not what keeps it in quarantine.
    #[error("there is nothing to decide")]
    NotQuarantined,
    /// It did not prove its origin.
    #[error("the event is not proven")]
    Unproven,
    /// There is no such tenant, or it is being erased.
    #[error("there is no such tenant")]
    NoSuchTenant,
    /// The store cannot do it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Who decides, and when.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    by: String,
    correlation_id: String,
    at: Timestamp,
}

/// What is decided.
pub(crate) struct Wish {
    kind: DecisionKind,
    tenant: Option<TenantId>,
    adopting: Option<Adopting>,
}

/// What was read of an event when it came.
pub(crate) struct Case {
    event: Event,
    provider: &'static Provider,
    facts: Facts,
    token: Option<TenantId>,
    source: Option<TenantId>,
}

/// What judging an event again comes to.
pub(crate) enum Judged {
    /// Nothing is to be written down: the event, with the verdict of now.
    AsItIs(Box<Event>),
    /// It becomes somebody's.
    Anew(Wish),
}

impl Embedded {
    /// Lets an event out of quarantine; from then on it is the tenant's, or without one the
    /// operator's alone. Its verdicts stay, and nothing acts on it by itself.
    ///
    /// # Errors
    ///
    /// A [`DecideError`].
    #[expect(clippy::too_many_arguments, reason = "what, to whom, and who says so when")]
    pub(crate) async fn release(
        &self,
        id: EventId,
        tenant: Option<TenantId>,
        by: &str,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Event, DecideError> {
        self.wait_for_index().await.map_err(|error| unavailable(&error))?;
        let author = Author::new(by, correlation_id, now);
        let wish = Wish::release(tenant);
        self.deciding(move |inner| settle(inner, id, (wish, author), is_held)).await
    }

    /// Judges the claims of a stored event again, by `rule` and what the registry says now.
    /// Only what ownership keeps in quarantine, or what is accepted and nobody's, can become
    /// somebody's; where it does not, nothing is written down. The event comes back with
    /// the verdict of now.
    ///
    /// # Errors
    ///
    /// A [`DecideError`].
    #[expect(clippy::too_many_arguments, reason = "what, by which rule, and who says so when")]
    pub(crate) async fn reattribute(
        &self,
        id: EventId,
        rule: &Rule,
        by: &str,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Event, DecideError> {
        self.wait_for_index().await.map_err(|error| unavailable(&error))?;
        let case = self.deciding(move |inner| Case::of(look(inner, id)?)).await?;
        let is_owner = |it: &str| self.inner().is_owner(it);
        match case.judge(self.ledger(), *rule, is_owner).await? {
            Judged::AsItIs(event) => Ok(*event),
            Judged::Anew(wish) => {
                let author = Author::new(by, correlation_id, now);
                self.deciding(move |inner| {
                    settle(inner, id, (wish, author), Event::awaits_an_owner)
                })
                .await
            }
        }
    }

    /// Runs what blocks where it may. It goes on when nobody waits any more.
    async fn deciding<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, DecideError> + Send + 'static,
    ) -> Result<T, DecideError> {
        let inner = Arc::clone(self.inner());
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or(Err(DecideError::Unavailable(Unavailable::Failed)))
    }
}

impl Author {
    pub(crate) fn new(by: &str, correlation_id: &str, at: Timestamp) -> Self {
        Self { by: by.to_owned(), correlation_id: correlation_id.to_owned(), at }
    }
}

/// Whether an event can be let out.
pub(crate) fn is_held(event: &Event) -> bool {
    event.status == Status::Quarantined
}

impl Wish {
    /// That an event is let out.
    pub(crate) fn release(tenant: Option<TenantId>) -> Self {
        Self { kind: DecisionKind::Release, tenant, adopting: None }
    }

    /// Whose the event becomes.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// As it is written down, and the adoption that comes with it. `is_owner` says who there
    /// is now.
    pub(crate) fn decision(
        self,
        event: EventId,
        author: Author,
        is_owner: impl FnOnce(&TenantId) -> bool,
    ) -> Result<(Decision, Option<Adopting>), DecideError> {
        if self.tenant.as_ref().is_some_and(|it| !is_owner(it)) {
            return Err(DecideError::NoSuchTenant);
        }
        let decision = Decision {
            event,
            kind: self.kind,
            tenant: self.tenant,
            adopts: self.adopting.is_some(),
            at: author.at,
            by: author.by,
            correlation_id: author.correlation_id,
        };
        Ok((decision, self.adopting))
    }
}

impl Case {
    /// What is needed to judge an event again that can become somebody's.
    pub(crate) fn of((event, read): (Event, Read)) -> Result<Self, DecideError> {
        if !event.awaits_an_owner() {
            return Err(DecideError::NotQuarantined);
        }
        let provider = provider::named(&event.provider).ok_or(DecideError::NotQuarantined)?;
        let Read { facts, token, source } = read;
        Ok(Self { event, provider, facts, token, source })
    }

    /// Judges it by a rule and what the registry says now.
    pub(crate) async fn judge(
        self,
        ledger: &Ledger,
        rule: Rule,
        is_owner: impl Fn(&str) -> bool,
    ) -> Result<Judged, DecideError> {
        for _ in 0..JUDGINGS_MAX {
            let verdict = self.verdict(ledger, rule, &is_owner).await?;
            let Some(tenant) = verdict.tenant().cloned() else {
                let mut event = self.event;
                verdict.ownership().name().clone_into(&mut event.ownership);
                event.conflict = verdict.conflict().map(|it| it.name().to_owned());
                return Ok(Judged::AsItIs(Box::new(event)));
            };
            let adopting = match verdict.adoption().map(|it| ledger.adopt(it)) {
                None => None,
                Some(Ok(adopting)) => Some(adopting),
                Some(Err(_)) => continue,
            };
            let (kind, tenant) = (DecisionKind::Reattribute, Some(tenant));
            return Ok(Judged::Anew(Wish { kind, tenant, adopting }));
        }
        Err(Unavailable::Behind.into())
    }

    async fn verdict(
        &self,
        ledger: &Ledger,
        rule: Rule,
        is_owner: &impl Fn(&str) -> bool,
    ) -> Result<Verdict, DecideError> {
        let Self { provider, facts, token, source, .. } = self;
        let consulted = ledger.consult(provider.name, &facts.claims).await?;
        let at = Circumstances { provider, rule, source: source.as_ref(), token: token.as_ref() };
        let verdict = decide(facts, &consulted, at);
        let is_there = |it: &TenantId| is_owner(it.as_str());
        if verdict.tenant().is_none_or(is_there) { Ok(verdict) } else { Ok(verdict.disowned()) }
    }
}

/// Decides, if there is still something to decide. One after the other.
fn settle(
    inner: &Inner,
    id: EventId,
    (wish, author): (Wish, Author),
    is_open: impl FnOnce(&Event) -> bool,
) -> Result<Event, DecideError> {
    let _one = lock(&inner.deciding);
    let (event, _) = look(inner, id)?;
    if !is_open(&event) {
        return Err(DecideError::NotQuarantined);
    }
    let is_owner = |it: &TenantId| inner.is_owner(it.as_str());
    let (decision, adopting) = wish.decision(id, author, is_owner)?;
    inner.registry.add_decision_now(&decision, event.seq).map_err(|error| registry(&error))?;
    if let Some(adopting) = adopting {
        adopting.keep(event.seq);
    }
    let reader = inner.library.reader.clone();
    inner.door.have(INDEX_WAIT_MAX, move |index, later| index.decide(later, &reader))?;
    Ok(look(inner, id)?.0)
}

/// What a head says of the body and the way that an event came.
pub(crate) struct Read {
    pub(crate) facts: Facts,
    pub(crate) token: Option<TenantId>,
    pub(crate) source: Option<TenantId>,
}

impl Read {
    pub(crate) fn of<H>(head: &EventHead<'_, H>) -> Self {
        let tenant = |text: Option<&str>| text.and_then(|it| TenantId::parse(it).ok());
        let claims = head.claims.iter();
        let facts = Facts {
            event_type: head.event_type.clone().into_owned(),
            kind: Kind::named(&head.kind).unwrap_or(Kind::Other),
            external_id: head.external_id.as_deref().map(str::to_owned),
            conversation_id: head.conversation.as_deref().map(str::to_owned),
            bears_call: head.bears_call,
            dedupe: None,
            claims: claims.map(|it| Claim::new(it.kind, it.external_id.clone())).collect(),
            // Nobody is answered.
            answer: Answer::OK,
            refusal: None,
            asks: Asks::Nothing,
        };
        Self {
            facts,
            token: tenant(head.token_tenant.as_deref()),
            source: tenant(head.source_tenant.as_deref()),
        }
    }
}

/// Looks an event up of which something can be decided.
fn look(inner: &Inner, id: EventId) -> Result<(Event, Read), DecideError> {
    let read = |connection: &Connection| {
        let Some(found) = Library::find(&[connection], &Scope::Operator, id)? else {
            return Ok(Err(DecideError::NotFound));
        };
        if found.log == UNPROVEN {
            return Ok(Err(DecideError::Unproven));
        }
        let Some(read) = inner.library.head(&found, |head| Read::of(&head))? else {
            return Ok(Err(DecideError::NotFound));
        };
        let event = inner.library.event(&[connection], &Scope::Operator, found)?;
        let event = event.filter(|it| !it.is_erased);
        Ok(event.map(|event| (event, read)).ok_or(DecideError::NotFound))
    };
    inner.pool.read(None, read).map_err(|error| unavailable(&error))?
}

pub(crate) fn unavailable(error: &ReadError) -> DecideError {
    DecideError::Unavailable(match error {
        ReadError::Behind => Unavailable::Behind,
        ReadError::Damaged | ReadError::Io(_) => {
            tracing::error!(error = %error, "an event that is decided on cannot be read");
            Unavailable::Failed
        }
    })
}

fn registry(error: &RegistryError) -> DecideError {
    tracing::error!(error = %error, "a decision cannot be written down");
    DecideError::Unavailable(Unavailable::Failed)
}
