//! Reading deliveries: lists, one, its attempts, and how many there are.

use std::time::Duration;

use crate::sql::{self, Connection, Row, Value, params, params_from_iter};
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use super::delivery::{
    Attempt, Delivery, DeliveryCounts, DeliveryFilter, DeliveryId, DeliveryStatus,
};
use super::destination::DestinationId;
use super::{Registry, RegistryError, columns};
use crate::record::EventId;

/// How long a delivery is due before it counts as stuck, although nothing stands in its way.
const STUCK_AFTER: Duration = Duration::from_mins(10);

const COLUMNS: &str = "deliveries.n AS n, deliveries.id AS id, destinations.id AS destination, \
                       event, seq, replay, deliveries.tenant AS tenant, source, provider, \
                       conversation, kind, state, attempts, due, token IS NOT NULL AS leased, \
                       received_at, deliveries.created_at AS created_at, finished_at";

impl Registry {
    /// A page of deliveries, the newest first: those before the one at this place. A tenant
    /// sees those to its own destinations.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn deliveries(
        &self,
        scope: &Scope,
        filter: DeliveryFilter,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, RegistryError> {
        let mut wanted = Wanting::of(scope);
        wanted.add_filter(filter);
        wanted.page(before, limit);
        self.read_deliveries(wanted).await
    }

    /// One delivery.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn delivery(
        &self,
        scope: &Scope,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, RegistryError> {
        Ok(self.read_deliveries(Wanting::one(scope, id)).await?.pop())
    }

    /// The attempts at a delivery, the oldest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn attempts_of(
        &self,
        scope: &Scope,
        id: DeliveryId,
    ) -> Result<Vec<Attempt>, RegistryError> {
        let Some(delivery) = self.delivery(scope, id).await? else { return Ok(Vec::new()) };
        self.read("reading attempts", move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT n, at, status, error, micros, response FROM attempts \
                 WHERE delivery = ?1 ORDER BY n",
            )?;
            let n = i64::try_from(delivery.n).unwrap_or(i64::MAX);
            Ok(select.query_map([n], attempt)?.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// How many deliveries a filter finds that were given up or skipped, and whose destination
    /// is enabled.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn count_given_up(
        &self,
        scope: &Scope,
        filter: DeliveryFilter,
    ) -> Result<u64, RegistryError> {
        let mut wanted = Wanting::of(scope);
        wanted.add_filter(filter);
        wanted.given_up();
        let doing = "counting deliveries";
        self.blocking(doing, move |registry| {
            registry.read_as(&wanted.scope, doing, |connection| Ok(wanted.count(connection)?))
        })
        .await
    }

    /// How many deliveries there are that did not arrive.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn delivery_counts(&self, now: Timestamp) -> Result<DeliveryCounts, RegistryError> {
        self.read("counting deliveries", move |connection| Ok(counts(connection, now)?)).await
    }

    async fn read_deliveries(&self, wanted: Wanting) -> Result<Vec<Delivery>, RegistryError> {
        let doing = "reading deliveries";
        self.blocking(doing, move |registry| {
            // What was queued before is seen.
            registry.commit_waiting();
            registry.read_as(&wanted.scope, doing, |connection| Ok(wanted.read(connection)?))
        })
        .await
    }
}

fn counts(connection: &Connection, now: Timestamp) -> Result<DeliveryCounts, sql::Error> {
    let of = |status: DeliveryStatus| {
        // As text, so that the index of what did not arrive is used.
        let select = format!("SELECT count(*) FROM deliveries WHERE state = '{}'", status.name());
        number(connection, &select)
    };
    let stuck = now.millis().saturating_sub(i64::try_from(STUCK_AFTER.as_millis()).unwrap_or(0));
    let stuck_select = "SELECT count(*) FROM destinations CROSS JOIN deliveries \
                        ON deliveries.destination = destinations.n \
                        AND deliveries.state = 'pending' AND deliveries.token IS NULL \
                        AND deliveries.due IS NOT NULL AND deliveries.due < ?1 \
                        WHERE destinations.ready_at <= ?1 AND destinations.disabled IS NULL \
                        AND destinations.removed = 0";
    let stuck: i64 =
        connection.prepare_cached(stuck_select)?.query_row(params![stuck], |row| row.get(0))?;
    // Of each destination the index has the first; what is due of one that is disabled does
    // not wait for an attempt.
    let oldest = "SELECT min((SELECT min(due) FROM deliveries WHERE destination = destinations.n \
                  AND state = 'pending' AND token IS NULL AND due > 0)) FROM destinations \
                  WHERE disabled IS NULL AND removed = 0";
    let oldest: Option<i64> = connection.prepare_cached(oldest)?.query_row([], |row| row.get(0))?;
    Ok(DeliveryCounts {
        pending: of(DeliveryStatus::Pending)?,
        leased: number(connection, "SELECT count(*) FROM deliveries WHERE token IS NOT NULL")?,
        failed: of(DeliveryStatus::Failed)?,
        dead_ours: of(DeliveryStatus::DeadOurs)?,
        skipped: of(DeliveryStatus::Skipped)?,
        stuck: u64::try_from(stuck).unwrap_or(0),
        oldest_due: oldest.map(Timestamp::from_millis).filter(|it| *it <= now),
        open_breakers: number(
            connection,
            "SELECT count(*) FROM destinations WHERE probe_at IS NOT NULL \
             AND disabled IS NULL AND removed = 0",
        )?,
        disabled: number(
            connection,
            "SELECT count(*) FROM destinations WHERE disabled IS NOT NULL AND removed = 0",
        )?,
    })
}

fn number(connection: &Connection, select: &str) -> Result<u64, sql::Error> {
    let count: i64 = connection.prepare_cached(select)?.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// What is read, as SQL.
pub(super) struct Wanting {
    scope: Scope,
    text: String,
    end: String,
    values: Vec<Value>,
}

impl Wanting {
    /// Whatever a scope covers.
    pub(super) fn of(scope: &Scope) -> Self {
        let text = "WHERE destinations.removed = 0".to_owned();
        let mut wanted =
            Self { scope: scope.clone(), text, end: String::new(), values: Vec::new() };
        if let Some(tenant) = scope.tenant() {
            // Both: by the first it is found, the second decides.
            let tenant = || Value::Text(tenant.to_string());
            wanted.add("deliveries.tenant = ?", tenant());
            wanted.add("destinations.tenant = ?", tenant());
        }
        wanted
    }

    /// One delivery.
    pub(super) fn one(scope: &Scope, id: DeliveryId) -> Self {
        let mut wanted = Self::of(scope);
        wanted.add("deliveries.id = ?", Value::Blob(id.0.as_bytes().to_vec()));
        wanted
    }

    fn add(&mut self, condition: &str, value: Value) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.values.push(value);
    }

    pub(super) fn add_filter(&mut self, filter: DeliveryFilter) {
        let destination = filter.destination.map(|it| Value::Blob(it.0.as_bytes().to_vec()));
        let values = [
            ("deliveries.tenant = ?", filter.tenant.map(Value::Text)),
            ("deliveries.destination = (SELECT n FROM destinations WHERE id = ?)", destination),
            ("event = ?", filter.event.map(|it| Value::Blob(it.0.as_bytes().to_vec()))),
            ("kind = ?", filter.kind.map(Value::Text)),
            ("deliveries.created_at >= ?", filter.since.map(|it| Value::Integer(it.millis()))),
            ("deliveries.created_at < ?", filter.until.map(|it| Value::Integer(it.millis()))),
        ];
        for (condition, value) in values {
            if let Some(value) = value {
                self.add(condition, value);
            }
        }
        if let Some(status) = filter.status {
            self.text.push_str(" AND state = '");
            self.text.push_str(status.name());
            self.text.push('\'');
        }
    }

    /// Only what was given up or skipped, of destinations that are enabled.
    pub(super) fn given_up(&mut self) {
        self.text.push_str(
            " AND state IN ('failed', 'dead_ours', 'skipped') AND state <> 'delivered' \
             AND destinations.disabled IS NULL",
        );
    }

    /// The newest first.
    pub(super) fn page(&mut self, before: Option<u64>, limit: u32) {
        let whole = |it: u64| Value::Integer(i64::try_from(it).unwrap_or(i64::MAX));
        if let Some(before) = before {
            self.add("deliveries.n < ?", whole(before));
        }
        " ORDER BY deliveries.n DESC LIMIT ?".clone_into(&mut self.end);
        self.values.push(whole(u64::from(limit)));
    }

    fn count(&self, connection: &Connection) -> Result<u64, sql::Error> {
        let select = format!(
            "SELECT count(*) FROM deliveries CROSS JOIN destinations \
             ON destinations.n = deliveries.destination {}",
            self.text
        );
        let mut statement = connection.prepare_cached(&select)?;
        let count: i64 = statement.query_row(params_from_iter(&self.values), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) fn read(&self, connection: &Connection) -> Result<Vec<Delivery>, sql::Error> {
        // Deliveries lead: the newest first is the order in which they are.
        let select = format!(
            "SELECT {COLUMNS} FROM deliveries CROSS JOIN destinations \
             ON destinations.n = deliveries.destination {}{}",
            self.text, self.end
        );
        let mut statement = connection.prepare_cached(&select)?;
        statement.query_map(params_from_iter(&self.values), row)?.collect()
    }
}

fn row(row: &Row<'_>) -> Result<Delivery, sql::Error> {
    let status = DeliveryStatus::named(row.get_ref("state")?.as_str()?);
    Ok(Delivery {
        n: columns::number(row)?,
        id: DeliveryId(Uuid::from_bytes(row.get("id")?)),
        destination: DestinationId(Uuid::from_bytes(row.get("destination")?)),
        event: EventId(Uuid::from_bytes(row.get("event")?)),
        seq: columns::whole(row, "seq")?,
        replay: row.get("replay")?,
        tenant: columns::tenant_if_any(row, "tenant")?,
        source: row.get("source")?,
        provider: row.get("provider")?,
        conversation: row.get("conversation")?,
        kind: row.get("kind")?,
        status: status.ok_or_else(|| sql::Error::unreadable("state"))?,
        attempts: row.get("attempts")?,
        due: columns::time_if_any(row, "due")?,
        leased: row.get("leased")?,
        received_at: columns::time(row, "received_at")?,
        created_at: columns::time(row, "created_at")?,
        finished_at: columns::time_if_any(row, "finished_at")?,
    })
}

fn attempt(row: &Row<'_>) -> Result<Attempt, sql::Error> {
    Ok(Attempt {
        n: columns::number(row)?,
        at: columns::time(row, "at")?,
        status: row.get("status")?,
        error: row.get("error")?,
        micros: columns::whole(row, "micros")?,
        response: row.get("response")?,
    })
}
