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
use crate::ledger::Adopting;
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
struct Author {
    by: String,
    correlation_id: String,
    at: Timestamp,
}

/// What is decided.
struct Wish {
    kind: DecisionKind,
    tenant: Option<TenantId>,
    adopting: Option<Adopting>,
}

/// What was read of an event when it came.
struct Case {
    event: Event,
    provider: &'static Provider,
    facts: Facts,
    token: Option<TenantId>,
    source: Option<TenantId>,
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
        let wish = Wish { kind: DecisionKind::Release, tenant, adopting: None };
        let is_open = |event: &Event| event.status == Status::Quarantined;
        self.deciding(move |inner| settle(inner, id, (wish, author), is_open)).await
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
        let case = self.deciding(move |inner| case(inner, id)).await?;
        for _ in 0..JUDGINGS_MAX {
            let verdict = self.judge(&case, *rule).await?;
            let Some(tenant) = verdict.tenant().cloned() else {
                let Case { mut event, .. } = case;
                verdict.ownership().name().clone_into(&mut event.ownership);
                event.conflict = verdict.conflict().map(|it| it.name().to_owned());
                return Ok(event);
            };
            let adopting = match verdict.adoption().map(|it| self.ledger().adopt(it)) {
                None => None,
                Some(Ok(adopting)) => Some(adopting),
                Some(Err(_)) => continue,
            };
            let wish = Wish { kind: DecisionKind::Reattribute, tenant: Some(tenant), adopting };
            let author = Author::new(by, correlation_id, now);
            return self
                .deciding(move |inner| settle(inner, id, (wish, author), Event::awaits_an_owner))
                .await;
        }
        Err(Unavailable::Behind.into())
    }

    async fn judge(&self, case: &Case, rule: Rule) -> Result<Verdict, DecideError> {
        let Case { provider, facts, token, source, .. } = case;
        let consulted = self.ledger().consult(provider.name, &facts.claims).await?;
        let at = Circumstances { provider, rule, source: source.as_ref(), token: token.as_ref() };
        let verdict = decide(facts, &consulted, at);
        let is_there = |it: &TenantId| self.inner().is_owner(it.as_str());
        if verdict.tenant().is_none_or(is_there) { Ok(verdict) } else { Ok(verdict.disowned()) }
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
    fn new(by: &str, correlation_id: &str, at: Timestamp) -> Self {
        Self { by: by.to_owned(), correlation_id: correlation_id.to_owned(), at }
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
    if wish.tenant.as_ref().is_some_and(|it| !inner.is_owner(it.as_str())) {
        return Err(DecideError::NoSuchTenant);
    }
    let decision = Decision {
        event: id,
        kind: wish.kind,
        tenant: wish.tenant,
        adopts: wish.adopting.is_some(),
        at: author.at,
        by: author.by,
        correlation_id: author.correlation_id,
    };
    inner.registry.add_decision_now(&decision, event.seq).map_err(|error| registry(&error))?;
    if let Some(adopting) = wish.adopting {
        adopting.keep(event.seq);
    }
    let reader = inner.library.reader.clone();
    inner.door.have(INDEX_WAIT_MAX, move |index, later| index.decide(later, &reader))?;
    Ok(look(inner, id)?.0)
}

/// The event as it is now, and what is needed to judge it again.
fn case(inner: &Inner, id: EventId) -> Result<Case, DecideError> {
    let (event, facts) = look(inner, id)?;
    if !event.awaits_an_owner() {
        return Err(DecideError::NotQuarantined);
    }
    let provider = provider::named(&event.provider).ok_or(DecideError::NotQuarantined)?;
    let Read { facts, token, source } = facts;
    Ok(Case { event, provider, facts, token, source })
}

/// What a head says of the body and the way that an event came.
struct Read {
    facts: Facts,
    token: Option<TenantId>,
    source: Option<TenantId>,
}

impl Read {
    fn of<H>(head: &EventHead<'_, H>) -> Self {
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

fn unavailable(error: &ReadError) -> DecideError {
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
