//! Leases: who tries a delivery, for how long, and what came of it.
//!
//! What holds:
//!
//! - **One has it.** A delivery that is leased is leased to nobody else before its lease is
//!   over; only its token settles it.
//! - **State, attempt, next try, breaker and what comes next in its lane are one transaction.**
//! - **Nobody starves.** Of a lease each destination that has something gets its share, those
//!   that wait longest first; one that is down costs no more than a look at its probe time.
//! - **A crash loses nothing.** What was leased is due again when the store is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::sql::{self, Connection, OptionalExtension, Row, Topic, params};
use hookgate_core::delivery::{
    Again, AttemptOutcome, DeliveryState, DestinationSettings, NextState, Settlement, settle,
};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use super::batch::Wanted;
use super::delivery::{Leased, RESPONSE_BYTES_MAX, Settling};
use super::destination::{DestinationId, SealedSecrets};
use super::error::Stop;
use super::lanes::{self, Flow};
use super::{DeliveryId, DeliveryStatus, Registry, RegistryError, columns, overdue};
use crate::random;
use crate::record::EventId;

/// Deliveries that are leased at once at most, and leases that are taken back at once.
const LEASES_MAX: u32 = 1_024;

/// Destinations that have something to lease.
pub(super) const READY: &str = "SELECT n FROM destinations WHERE ready_at <= ?1 \
                                AND disabled IS NULL AND removed = 0 ORDER BY ready_at LIMIT ?2";

/// What a destination has to lease.
pub(super) const DUE: &str = "SELECT n, id, event, seq, replay, tenant, provider, kind, attempts, due FROM deliveries \
     WHERE destination = ?1 AND state = 'pending' AND token IS NULL AND due <= ?2 \
     ORDER BY due, n LIMIT ?3";

/// Leases that are over.
pub(super) const OVER: &str =
    "SELECT n, destination FROM deliveries WHERE token IS NOT NULL AND leased_until <= ?1 LIMIT ?2";

impl Registry {
    /// Leases deliveries that are due to whoever calls, until `until`: he tries them and
    /// settles each with its token. After that time they may be leased to others.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is leased.
    pub async fn lease_deliveries(
        &self,
        now: Timestamp,
        limit: u32,
        until: Timestamp,
    ) -> Result<Vec<Leased>, RegistryError> {
        let change =
            move |connection: &Connection| lease(connection, now, limit.min(LEASES_MAX), until);
        self.enqueue("leasing deliveries", Wanted::WhileWaited, change).await
    }

    /// When there may be something to lease; nothing: not before something else happens.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn next_delivery(&self) -> Result<Option<Timestamp>, RegistryError> {
        let change = |connection: &Connection| {
            // A lease that is over makes something due as well.
            let select = "SELECT min(at) FROM (SELECT min(ready_at) AS at FROM destinations \
                          WHERE ready_at IS NOT NULL AND disabled IS NULL AND removed = 0 \
                          UNION ALL SELECT min(leased_until) FROM deliveries \
                          WHERE token IS NOT NULL) AS times";
            let at: Option<i64> =
                connection.prepare_cached(select)?.query_row([], |row| row.get(0))?;
            Ok(at.map(Timestamp::from_millis))
        };
        self.read("looking for deliveries", change).await
    }

    /// Keeps how attempts ended, in their order, and what follows of each, which it gives back.
    /// It is queued when this is called, and done whether or not anybody waits for it. Leases
    /// that are asked for next go along with it, and find what it makes due. Nothing: the lease
    /// was lost, to another one or with the delivery, and nothing is kept.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: of none anything is kept.
    pub fn settle_deliveries(
        &self,
        settlings: Vec<Settling>,
    ) -> impl Future<Output = Result<Vec<Option<Settlement>>, RegistryError>> + Send + 'static + use<>
    {
        let change = move |connection: &Connection| settle_all(connection, &settlings);
        self.enqueue("keeping the end of attempts", Wanted::Always, change)
    }

    /// Takes back all leases, and says of each destination when it has something to lease.
    /// For who has the store alone. Blocks.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub(crate) fn void_leases(&self, now: Timestamp) -> Result<usize, RegistryError> {
        self.write_now("taking back leases", |connection| {
            let void = "UPDATE deliveries SET token = NULL, leased_until = NULL \
                        WHERE token IS NOT NULL";
            let voided = connection.execute(void, [])?;
            let mut all = connection.prepare("SELECT n FROM destinations WHERE removed = 0")?;
            let all = all.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
            for destination in all {
                lanes::refresh(connection, destination, now)?;
            }
            Ok((voided, Vec::new()))
        })
    }
}

/// A destination that deliveries are leased of.
struct Ready {
    n: i64,
    id: DestinationId,
    tenant: Option<TenantId>,
    settings: Arc<DestinationSettings>,
    secrets: SealedSecrets,
    flow: Flow,
    /// It has nothing more to lease now.
    is_exhausted: bool,
}

fn lease(
    connection: &Connection,
    now: Timestamp,
    limit: u32,
    until: Timestamp,
) -> Result<Vec<Leased>, Stop> {
    take_back(connection, now)?;
    let mut ready = connection.prepare_cached(READY)?;
    let ready = ready.query_map(params![now.millis(), limit], |row| row.get(0))?;
    let mut destinations = Vec::new();
    for n in ready.collect::<Result<Vec<i64>, _>>()? {
        destinations.push(found(connection, n)?);
    }
    let mut taken = Vec::new();
    let mut room = limit;
    // Each gets its share; what is left goes to those that have more.
    while room > 0 {
        let waiting = destinations.iter().filter(|it| !it.is_exhausted).count();
        let Some(share) = room.checked_div(u32::try_from(waiting).unwrap_or(u32::MAX)) else {
            break;
        };
        for destination in destinations.iter_mut().filter(|it| !it.is_exhausted) {
            let wanted = share.max(1).min(room);
            let got = take(connection, destination, now, until, wanted)?;
            let count = u32::try_from(got.len()).unwrap_or(u32::MAX);
            destination.is_exhausted = count < wanted;
            room = room.saturating_sub(count);
            taken.extend(got);
        }
    }
    for destination in &destinations {
        lanes::refresh(connection, destination.n, now)?;
    }
    Ok(taken)
}

/// Takes back leases that are over.
fn take_back(connection: &Connection, now: Timestamp) -> Result<(), Stop> {
    let mut over = connection.prepare_cached(OVER)?;
    let over = over.query_map(params![now.millis(), LEASES_MAX], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    for (n, destination) in over.collect::<Result<Vec<_>, _>>()? {
        let void = "UPDATE deliveries SET token = NULL, leased_until = NULL WHERE n = ?1";
        connection.prepare_cached(void)?.execute([n])?;
        lanes::refresh(connection, destination, now)?;
    }
    Ok(())
}

fn found(connection: &Connection, n: i64) -> Result<Ready, Stop> {
    let select = format!(
        "SELECT n, id, tenant, settings, sealed, sealed_before, before_until, {} \
         FROM destinations WHERE n = ?1",
        Flow::COLUMNS
    );
    let read = |row: &Row<'_>| {
        Ok(Ready {
            n: row.get("n")?,
            id: DestinationId(Uuid::from_bytes(row.get("id")?)),
            tenant: columns::tenant_if_any(row, "tenant")?,
            settings: Arc::new(settings(row)?),
            secrets: secrets(row)?,
            flow: Flow::read(row)?,
            is_exhausted: false,
        })
    };
    Ok(connection.prepare_cached(&select)?.query_row([n], read)?)
}

pub(super) fn settings(row: &Row<'_>) -> Result<DestinationSettings, sql::Error> {
    let text = row.get_ref("settings")?.as_str()?;
    serde_json::from_str(text).map_err(|_| sql::Error::unreadable("settings"))
}

pub(super) fn secrets(row: &Row<'_>) -> Result<SealedSecrets, sql::Error> {
    let before: Option<Vec<u8>> = row.get("sealed_before")?;
    let until = columns::time_if_any(row, "before_until")?;
    Ok(SealedSecrets { now: row.get("sealed")?, before: before.zip(until) })
}

/// Leases some of a destination's deliveries.
fn take(
    connection: &Connection,
    ready: &mut Ready,
    now: Timestamp,
    until: Timestamp,
    wanted: u32,
) -> Result<Vec<Leased>, Stop> {
    let flow = ready.flow;
    let leased = lanes::leased(connection, ready.n)?;
    let room = flow.breaker.room(now, leased, flow.concurrency).min(wanted);
    if room == 0 {
        return Ok(Vec::new());
    }
    let mut due = connection.prepare_cached(DUE)?;
    let due = due.query_map(params![ready.n, now.millis(), room], |row| {
        Ok((row.get::<_, i64>("n")?, leased_of(row, ready)?))
    })?;
    let mut due = due.collect::<Result<Vec<_>, _>>()?;
    if let Some(rate) = flow.rate {
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        let (granted, full_at) = rate.grant(flow.full_at, now, count);
        due.truncate(usize::try_from(granted).unwrap_or(usize::MAX));
        ready.flow.full_at = full_at;
        let update = "UPDATE destinations SET full_at = ?2 WHERE n = ?1";
        connection.prepare_cached(update)?.execute([ready.n, full_at])?;
    }
    let mut taken = Vec::with_capacity(due.len());
    for (n, mut leased) in due {
        leased.token = token()?;
        let update = "UPDATE deliveries SET token = ?2, leased_until = ?3 WHERE n = ?1";
        connection.prepare_cached(update)?.execute([n, leased.token, until.millis()])?;
        taken.push(leased);
    }
    Ok(taken)
}

/// A delivery that is about to be leased; its token comes later.
fn leased_of(row: &Row<'_>, ready: &Ready) -> Result<Leased, sql::Error> {
    Ok(Leased {
        delivery: DeliveryId(Uuid::from_bytes(row.get("id")?)),
        token: 0,
        destination: ready.id,
        destination_tenant: ready.tenant.clone(),
        settings: Arc::clone(&ready.settings),
        secrets: ready.secrets.clone(),
        breaker: ready.flow.breaker,
        event: EventId(Uuid::from_bytes(row.get("event")?)),
        seq: columns::whole(row, "seq")?,
        replay: row.get("replay")?,
        tenant: columns::tenant_if_any(row, "tenant")?,
        provider: row.get("provider")?,
        kind: row.get("kind")?,
        attempts: row.get("attempts")?,
        due: columns::time(row, "due")?,
    })
}

/// What nobody else has: who lost a lease cannot settle the next one.
fn token() -> Result<i64, Stop> {
    let mut bytes = [0; 8];
    random::fill(&mut bytes).map_err(Stop::Random)?;
    Ok(i64::from_le_bytes(bytes))
}

fn settle_all(
    connection: &Connection,
    settlings: &[Settling],
) -> Result<Vec<Option<Settlement>>, Stop> {
    let mut settled = Vec::with_capacity(settlings.len());
    let mut destinations = BTreeMap::new();
    for settling in settlings {
        let one = settle_one(connection, settling)?;
        if let Some((destination, _)) = one {
            destinations.insert(destination, settling.now);
        }
        settled.push(one.map(|(_, settlement)| settlement));
    }
    for (destination, now) in destinations {
        if lanes::refresh(connection, destination, now)?.is_some_and(|it| it <= now) {
            // Who looked before saw nothing: there was no room, or another one came first.
            connection.announce(Topic::Deliveries);
        }
    }
    Ok(settled)
}

/// Settles one; gives its destination too, whose next lease is to be looked for.
fn settle_one(
    connection: &Connection,
    settling: &Settling,
) -> Result<Option<(i64, Settlement)>, Stop> {
    let now = settling.now;
    let mut select = connection.prepare_cached(
        "SELECT n, destination, attempts, lane FROM deliveries WHERE id = ?1 AND token = ?2",
    )?;
    let id = settling.delivery.0.as_bytes();
    let found = select.query_row(params![id, settling.token], |row| {
        let (n, destination): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((n, destination, row.get::<_, u32>(2)?, row.get::<_, Option<String>>(3)?))
    });
    let Some((n, destination, attempts, lane)) = found.optional()? else { return Ok(None) };
    let breaker = "SELECT failures, probes, probe_at FROM destinations WHERE n = ?1";
    let breaker = connection.prepare_cached(breaker)?.query_row([destination], lanes::breaker)?;
    let again = Again { schedule: &settling.schedule, random: settling.random };
    let state = DeliveryState { attempts };
    let settled = settle(&state, &breaker, &settling.outcome, now, &again);
    let (status, due) = match settled.state {
        NextState::Pending { due } => (DeliveryStatus::Pending, Some(due)),
        NextState::Delivered => (DeliveryStatus::Delivered, None),
        NextState::Failed => (DeliveryStatus::Failed, None),
        NextState::DeadOurs => (DeliveryStatus::DeadOurs, None),
    };
    let finished_at = due.is_none().then_some(now.millis());
    let due = due.map(Timestamp::millis);
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, attempts = ?3, due = ?4, finished_at = ?5, \
             token = NULL, leased_until = NULL WHERE n = ?1",
        )?
        .execute(params![n, status.name(), settled.attempts, due, finished_at])?;
    note_attempt(connection, n, settling)?;
    if settled.breaker != breaker {
        let probe_at = settled.breaker.probe_at.map(Timestamp::millis);
        let update = "UPDATE destinations SET failures = ?2, probes = ?3, probe_at = ?4 \
                      WHERE n = ?1";
        let values =
            params![destination, settled.breaker.failures, settled.breaker.probes, probe_at];
        connection.prepare_cached(update)?.execute(values)?;
    }
    if let Some(disabled) = settled.disables {
        let update = "UPDATE destinations SET disabled = ?2, disabled_at = ?3 \
                      WHERE n = ?1 AND disabled IS NULL";
        connection.prepare_cached(update)?.execute(params![
            destination,
            disabled.name(),
            now.millis()
        ])?;
    }
    if let Some(lane) = lane.filter(|_| due.is_none()) {
        lanes::promote(connection, destination, &lane, now)?;
    }
    overdue::give_up(connection, destination, &settled.breaker, &settling.schedule, now)?;
    Ok(Some((destination, settled)))
}

fn note_attempt(connection: &Connection, delivery: i64, settling: &Settling) -> Result<(), Stop> {
    let (status, error) = match &settling.outcome {
        AttemptOutcome::Delivered { status } | AttemptOutcome::Refused { status, .. } => {
            (Some(*status), None)
        }
        AttemptOutcome::Gone => (Some(410), None),
        AttemptOutcome::Broken { reason } | AttemptOutcome::Ours { reason, .. } => {
            (None, Some(*reason))
        }
    };
    let response = settling.response.as_deref();
    let response = response.map(|it| it.get(..it.floor_char_boundary(RESPONSE_BYTES_MAX)));
    let micros = i64::try_from(settling.took.as_micros()).unwrap_or(i64::MAX);
    let insert = "INSERT INTO attempts (delivery, at, status, error, micros, response) \
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    connection.prepare_cached(insert)?.execute(params![
        delivery,
        settling.began_at.millis(),
        status,
        error,
        micros,
        response.flatten()
    ])?;
    Ok(())
}

#[cfg(test)]
mod tests;
