//! Alerts: what was raised, about what, and when it was over. Raising one and making its
//! deliveries is one transaction, so that it is told once whatever stops the process.

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::alert::AlertKind;
use hookgate_core::delivery::ALERT_SOURCE;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use super::batch::Wanted;
use super::delivery::NewDelivery;
use super::destination::DestinationId;
use super::error::Stop;
use super::{Registry, RegistryError, columns, deliveries, tenants};
use crate::random;
use crate::record::EventId;

/// Alerts that are remembered; the oldest that are over go. Each is a few hundred bytes, and a
/// subject has one an hour at most.
pub const ALERTS_MAX: u64 = 10_000;

/// The longest text of an alert and the longest facts, in bytes: a sentence or two.
const TEXT_BYTES_MAX: usize = 2_048;

const COLUMNS: &str = "n, id, kind, subject, tenant, text, facts, raised_at, cleared_at";

/// An alert that is to be raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAlert {
    /// What it is about.
    pub kind: AlertKind,
    /// Which of those: the name of a source, the id of a destination, a part of the store.
    pub subject: String,
    /// Whose destination it is about; nobody's: it is the operator's business.
    pub tenant: Option<TenantId>,
    /// What is said.
    pub text: String,
    /// The same for programs, as a JSON object.
    pub facts: String,
    /// When.
    pub at: Timestamp,
}

/// An alert as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its place among all.
    pub n: u64,
    /// Its id, which its deliveries have as their event's.
    pub id: EventId,
    /// What it is about.
    pub kind: AlertKind,
    /// Which of those.
    pub subject: String,
    /// Whose destination it is about.
    pub tenant: Option<TenantId>,
    /// What is said.
    pub text: String,
    /// The same for programs, as a JSON object.
    pub facts: String,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// When it was over; nothing while it is not.
    pub cleared_at: Option<Timestamp>,
}

impl Registry {
    /// Raises an alert and makes its deliveries, or neither. Nothing: the same is raised
    /// already, or its tenant is gone.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: nothing is kept.
    pub async fn raise_alert(
        &self,
        new: NewAlert,
        destinations: Vec<DestinationId>,
    ) -> Result<Option<EventId>, RegistryError> {
        if new.text.len() > TEXT_BYTES_MAX || new.facts.len() > TEXT_BYTES_MAX {
            return Err(RegistryError::Invalid("the text of an alert is too long"));
        }
        let wake = self.shared.deliveries_version.clone();
        let change = move |connection: &Connection| {
            if let Some(tenant) = &new.tenant {
                match tenants::check_alive(connection, tenant) {
                    Ok(()) => {}
                    Err(Stop::Refused(RegistryError::NoSuchTenant)) => return Ok(None),
                    Err(error) => return Err(error),
                }
            }
            let id = EventId(random::id(new.at).map_err(Stop::Random)?);
            let insert = "INSERT INTO alerts (id, kind, subject, tenant, text, facts, raised_at) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                          ON CONFLICT (kind, subject) WHERE cleared_at IS NULL DO NOTHING";
            let inserted = connection.prepare_cached(insert)?.execute(params![
                id.0.as_bytes(),
                new.kind.name(),
                new.subject,
                new.tenant.as_ref().map(TenantId::as_str),
                new.text,
                new.facts,
                new.at.millis(),
            ])?;
            if inserted == 0 {
                return Ok(None);
            }
            for destination in destinations {
                let delivery = NewDelivery {
                    destination,
                    event: id,
                    seq: 0,
                    tenant: new.tenant.clone(),
                    source: ALERT_SOURCE.to_owned(),
                    provider: ALERT_SOURCE.to_owned(),
                    conversation: None,
                    kind: new.kind.name().to_owned(),
                    received_at: new.at,
                };
                deliveries::deliver_alert(connection, &delivery, new.at)?;
            }
            let trim = "DELETE FROM alerts WHERE cleared_at IS NOT NULL \
                        AND n <= (SELECT max(n) FROM alerts) - ?1";
            let kept = i64::try_from(ALERTS_MAX).unwrap_or(i64::MAX);
            connection.prepare_cached(trim)?.execute([kept])?;
            wake.send_modify(|version| *version = version.saturating_add(1));
            Ok(Some(id))
        };
        self.enqueue("raising an alert", Wanted::Always, change).await
    }

    /// Notes that an alert is over. Twice is fine.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn clear_alert(&self, id: EventId, now: Timestamp) -> Result<(), RegistryError> {
        let change = move |connection: &Connection| {
            let update = "UPDATE alerts SET cleared_at = ?2 WHERE id = ?1 AND cleared_at IS NULL";
            connection.prepare_cached(update)?.execute(params![id.0.as_bytes(), now.millis()])?;
            Ok(())
        };
        self.enqueue("noting that an alert is over", Wanted::Always, change).await
    }

    /// Alerts: those that are raised first, of both the newest first.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn alerts(&self, limit: u32) -> Result<Vec<Alert>, RegistryError> {
        let select = format!(
            "SELECT {COLUMNS} FROM alerts \
             ORDER BY CASE WHEN cleared_at IS NULL THEN 0 ELSE 1 END, n DESC LIMIT ?1"
        );
        self.read_alerts("listing alerts", select, i64::from(limit)).await
    }

    /// Those that are raised, and those that were at this moment or later.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn alerts_since(&self, since: Timestamp) -> Result<Vec<Alert>, RegistryError> {
        let select = format!(
            "SELECT {COLUMNS} FROM alerts WHERE cleared_at IS NULL OR raised_at >= ?1 ORDER BY n"
        );
        self.read_alerts("reading alerts", select, since.millis()).await
    }

    /// One alert, if it is within the scope: a tenant's are those about its own destinations.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn alert(&self, scope: &Scope, id: EventId) -> Result<Option<Alert>, RegistryError> {
        let scope = scope.clone();
        self.read("reading an alert", move |connection| {
            let select = format!("SELECT {COLUMNS} FROM alerts WHERE id = ?1");
            let found = connection.prepare_cached(&select)?.query_row([id.0.as_bytes()], alert);
            let covers = |it: &Alert| scope.covers(it.tenant.as_ref().map(TenantId::as_str));
            Ok(found.optional()?.filter(covers))
        })
        .await
    }

    async fn read_alerts(
        &self,
        doing: &'static str,
        select: String,
        value: i64,
    ) -> Result<Vec<Alert>, RegistryError> {
        self.blocking(doing, move |registry| {
            // What was raised before is seen.
            registry.commit_waiting();
            registry.read_now(doing, |connection| {
                let mut statement = connection.prepare_cached(&select)?;
                let rows = statement.query_map([value], alert)?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
        })
        .await
    }
}

fn alert(row: &Row<'_>) -> Result<Alert, sql::Error> {
    let kind: String = row.get("kind")?;
    Ok(Alert {
        n: columns::number(row)?,
        id: EventId(Uuid::from_bytes(row.get("id")?)),
        kind: AlertKind::named(&kind).ok_or_else(|| sql::Error::unreadable("kind"))?,
        subject: row.get("subject")?,
        tenant: columns::tenant_if_any(row, "tenant")?,
        text: row.get("text")?,
        facts: row.get("facts")?,
        raised_at: columns::time(row, "raised_at")?,
        cleared_at: columns::time_if_any(row, "cleared_at")?,
    })
}
