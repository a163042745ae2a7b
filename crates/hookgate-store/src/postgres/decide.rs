//! Decisions on stored events that come later.
//!
//! One transaction writes a decision down, changes the row of its event and, if it makes a
//! conversation known, adopts that. It holds the locks of the registry and of events, in
//! this order as everybody: no tenant goes and no event comes meanwhile.

use hookgate_core::attribution::Rule;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use postgres::Client;
use postgres::types::ToSql;

use super::Node;
use super::query::{self, COLUMNS, Found, signed};
use super::statement::storable;
use crate::decide::{Author, Case, DecideError, Judged, Read, Wish, is_held, unavailable};
use crate::error::{ReadError, Unavailable};
use crate::index::Adoption;
use crate::record::{Event, EventId};
use crate::registry::Decision;
use crate::sql::{EVENTS_LOCK, REGISTRY_LOCK};

/// Why a decision is not made.
pub(super) struct Refused(DecideError);

impl From<ReadError> for Refused {
    fn from(error: ReadError) -> Self {
        Self(unavailable(&error))
    }
}

impl From<postgres::Error> for Refused {
    fn from(error: postgres::Error) -> Self {
        ReadError::from(error).into()
    }
}

impl From<DecideError> for Refused {
    fn from(error: DecideError) -> Self {
        Self(error)
    }
}

impl From<Refused> for DecideError {
    fn from(Refused(error): Refused) -> Self {
        error
    }
}

impl Node {
    #[expect(clippy::too_many_arguments, reason = "as the verb in store.rs")]
    pub(crate) async fn release(
        &self,
        id: EventId,
        tenant: Option<TenantId>,
        by: &str,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Event, DecideError> {
        let author = Author::new(by, correlation_id, now);
        self.decide(id, (Wish::release(tenant), author), is_held).await
    }

    #[expect(clippy::too_many_arguments, reason = "as the verb in store.rs")]
    pub(crate) async fn reattribute(
        &self,
        id: EventId,
        rule: &Rule,
        by: &str,
        correlation_id: &str,
        now: Timestamp,
    ) -> Result<Event, DecideError> {
        let look = move |client: &mut Client| Ok(look(query::by_id(client, id)?));
        let looked = self.pool().reading(&Scope::Operator, look).await;
        let case = Case::of(looked.map_err(|error| unavailable(&error))??)?;
        match case.judge(self.ledger(), *rule, |it| self.is_owner(it)).await? {
            Judged::AsItIs(event) => Ok(*event),
            Judged::Anew(wish) => {
                let author = Author::new(by, correlation_id, now);
                self.decide(id, (wish, author), Event::awaits_an_owner).await
            }
        }
    }

    /// Decides, if there is still something to decide. It goes on when nobody waits any more.
    async fn decide(
        &self,
        id: EventId,
        wish: (Wish, Author),
        is_open: fn(&Event) -> bool,
    ) -> Result<Event, DecideError> {
        if wish.0.tenant().is_some_and(|it| !self.is_owner(it.as_str())) {
            return Err(DecideError::NoSuchTenant);
        }
        let pool = self.pool().clone();
        let settling = tokio::task::spawn_blocking(move || {
            let done = pool.write(|client| settle(client, id, wish, is_open));
            let (event, adopting) = done.map_err(DecideError::from)?;
            if let Some(adopting) = adopting {
                adopting.keep(event.seq);
            }
            Ok(event)
        });
        settling.await.unwrap_or(Err(DecideError::Unavailable(Unavailable::Failed)))
    }
}

/// The event, if something can be decided of it, and what is needed to judge it again.
fn look(found: Option<Found>) -> Result<(Event, Read), DecideError> {
    let found = found.ok_or(DecideError::NotFound)?;
    if found.is_unproven {
        return Err(DecideError::Unproven);
    }
    let damaged = |error: ReadError| unavailable(&error);
    let event = found.event(&Scope::Operator).map_err(damaged)?;
    if event.is_erased {
        return Err(DecideError::NotFound);
    }
    let read = Read::of(&found.head().map_err(damaged)?);
    Ok((event, read))
}

fn settle(
    client: &mut Client,
    id: EventId,
    (wish, author): (Wish, Author),
    is_open: fn(&Event) -> bool,
) -> Result<(Event, Option<crate::ledger::Adopting>), Refused> {
    lock_all(client)?;
    let found = locked(client, id)?;
    let (event, _) = look(found)?;
    if !is_open(&event) {
        return Err(DecideError::NotQuarantined.into());
    }
    let mut owner = None;
    if let Some(tenant) = wish.tenant() {
        let select = "SELECT 1 FROM tenants WHERE id = $1 AND erasing = 0";
        owner = client.query_opt(select, &[&tenant.as_str()])?;
    }
    let (decision, adopting) = wish.decision(id, author, |_| owner.is_some())?;
    write(client, &decision, event.seq)?;
    if let (Some(_), Some(tenant)) = (&adopting, &decision.tenant) {
        adopt(client, id, tenant)?;
    }
    let found = locked(client, id)?.ok_or(DecideError::NotFound)?;
    Ok((found.event(&Scope::Operator)?, adopting))
}

/// Takes the locks, in the order of everybody.
pub(super) fn lock_all(client: &mut Client) -> Result<(), postgres::Error> {
    client.batch_execute(&format!(
        "SELECT pg_advisory_xact_lock({REGISTRY_LOCK}); SELECT pg_advisory_xact_lock({EVENTS_LOCK})"
    ))
}

fn locked(client: &mut Client, id: EventId) -> Result<Option<Found>, Refused> {
    let select = format!("SELECT {COLUMNS} FROM events WHERE id = $1 FOR UPDATE");
    let row = client.query_opt(&select, &[&id.0])?;
    Ok(row.map(|row| Found::read(&row)).transpose()?)
}

/// Writes the decision down, and what it changes.
fn write(client: &mut Client, decision: &Decision, seq: u64) -> Result<(), postgres::Error> {
    let tenant = decision.tenant.as_ref().map(TenantId::as_str);
    let (event, kind) = (decision.event.0, decision.kind.name());
    let (seq, at, adopts) = (signed(seq), decision.at.millis(), i64::from(decision.adopts));
    let (by, correlation_id) = (storable(&decision.by), storable(&decision.correlation_id));
    let bytes: &[u8] = event.as_bytes();
    let values: [&(dyn ToSql + Sync); 8] =
        [&bytes, &seq, &kind, &tenant, &adopts, &at, &by, &correlation_id];
    client.execute(
        "INSERT INTO decisions (event, seq, kind, tenant, adopts, at, \"by\", correlation_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &values,
    )?;
    client.execute(
        "UPDATE events SET status = 0, tenant = $2, decided_kind = $3, decided_tenant = $2, \
         decided_at = $4, decided_by = $5 WHERE seq = $1",
        &[&seq, &tenant, &kind, &at, &by],
    )?;
    Ok(())
}

/// Makes the conversation known that the event begins. What another node adopted or registered
/// meanwhile for somebody else wins: whoever decided is told to come back, and judges anew.
fn adopt(client: &mut Client, id: EventId, tenant: &TenantId) -> Result<(), Refused> {
    let Some(found) = query::by_id(client, id)? else { return Ok(()) };
    let head = found.head()?;
    let Some(adoption) = Adoption::of(&head, tenant.as_str()) else { return Ok(()) };
    let external_id = storable(&adoption.external_id);
    let (agent, number) = (
        adoption.agent_id.as_deref().map(storable),
        adoption.phone_number_id.as_deref().map(storable),
    );
    let (seq, provider) = (signed(found.seq), storable(&head.provider));
    client.execute(
        "INSERT INTO adopted (seq, provider, external_id, tenant, agent_id, phone_number_id, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (external_id, provider) DO NOTHING",
        &[&seq, &provider, &external_id, &tenant.as_str(), &agent, &number, &head.at],
    )?;
    let others = client.query_opt(
        "SELECT FROM adopted WHERE external_id = $1 AND provider = $2 AND tenant <> $3 UNION ALL \
         SELECT FROM conversations WHERE external_id = $1 AND provider = $2 AND tenant <> $3 LIMIT 1",
        &[&external_id, &provider, &tenant.as_str()],
    )?;
    if others.is_some() {
        return Err(DecideError::Unavailable(Unavailable::Behind).into());
    }
    // Other nodes may have in memory that it is nobody's.
    client.batch_execute(
        "INSERT INTO versions (topic, n) VALUES ('ledger', 1) \
         ON CONFLICT (topic) DO UPDATE SET n = versions.n + 1; NOTIFY hookgate, 'ledger'",
    )?;
    Ok(())
}
