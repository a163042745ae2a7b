//! Decisions on stored events that came later: releases and re-attributions. Only added to;
//! the latest on an event counts.

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use super::{Registry, RegistryError, columns};
use crate::record::EventId;

/// A decision on a stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The event.
    pub event: EventId,
    /// What was decided.
    pub kind: DecisionKind,
    /// Whose the event is from then on.
    pub tenant: Option<TenantId>,
    /// Whether the event makes its conversation known since then.
    pub adopts: bool,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The id of the request that decided it.
    pub correlation_id: String,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionKind {
    /// It was let out of quarantine.
    Release,
    /// Its claims were judged again.
    Reattribute,
}

impl DecisionKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Release, Self::Reattribute];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Reattribute => "reattribute",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A decision as it stands among all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumberedDecision {
    /// Its place among all decisions.
    pub n: u64,
    /// The place of its event.
    pub seq: u64,
    /// The decision.
    pub decision: Decision,
}

const COLUMNS: &str = "n, event, seq, kind, tenant, adopts, at, by, correlation_id";

impl Registry {
    /// Adds a decision on the event that has this place; gives its place among all
    /// decisions.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn add_decision(&self, decision: Decision, seq: u64) -> Result<u64, RegistryError> {
        let doing = "adding a decision";
        self.blocking(doing, move |registry| registry.add_decision_now(&decision, seq)).await
    }

    /// The same on a thread that may block.
    pub(crate) fn add_decision_now(
        &self,
        decision: &Decision,
        seq: u64,
    ) -> Result<u64, RegistryError> {
        self.write_now("adding a decision", |connection| {
            let n = connection.query_row(
                "INSERT INTO decisions (event, seq, kind, tenant, adopts, at, by, correlation_id) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) RETURNING n",
                params![
                    decision.event.0.as_bytes(),
                    i64::try_from(seq).unwrap_or(i64::MAX),
                    decision.kind.name(),
                    decision.tenant.as_ref().map(TenantId::as_str),
                    decision.adopts,
                    decision.at.millis(),
                    decision.by,
                    decision.correlation_id
                ],
                columns::number,
            )?;
            Ok((n, Vec::new()))
        })
    }

    /// The latest decision on an event.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn decision(&self, event: EventId) -> Result<Option<Decision>, RegistryError> {
        self.blocking("reading a decision", move |registry| registry.decision_now(event)).await
    }

    /// The same on a thread that may block.
    pub(crate) fn decision_now(&self, event: EventId) -> Result<Option<Decision>, RegistryError> {
        self.read_now("reading a decision", |connection| {
            let select =
                format!("SELECT {COLUMNS} FROM decisions WHERE event = ?1 ORDER BY n DESC LIMIT 1");
            let mut statement = connection.prepare_cached(&select)?;
            let found = statement.query_row([event.0.as_bytes()], numbered).optional()?;
            Ok(found.map(|it| it.decision))
        })
    }

    /// Decisions behind the one at this place, in order. Blocks.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub fn decisions_after(
        &self,
        n: u64,
        limit: u32,
    ) -> Result<Vec<NumberedDecision>, RegistryError> {
        self.read_now("reading decisions", |connection| Ok(after(connection, n, limit)?))
    }
}

pub(super) fn after(
    connection: &Connection,
    n: u64,
    limit: u32,
) -> Result<Vec<NumberedDecision>, sql::Error> {
    let select = format!("SELECT {COLUMNS} FROM decisions WHERE n > ?1 ORDER BY n LIMIT ?2");
    let mut statement = connection.prepare_cached(&select)?;
    let rows =
        statement.query_map(params![i64::try_from(n).unwrap_or(i64::MAX), limit], numbered)?;
    rows.collect()
}

fn numbered(row: &Row<'_>) -> Result<NumberedDecision, sql::Error> {
    let kind = DecisionKind::named(row.get_ref("kind")?.as_str()?);
    Ok(NumberedDecision {
        n: columns::number(row)?,
        seq: columns::whole(row, "seq")?,
        decision: Decision {
            event: EventId(Uuid::from_bytes(row.get("event")?)),
            kind: kind.ok_or_else(|| sql::Error::unreadable("kind"))?,
            tenant: columns::tenant_if_any(row, "tenant")?,
            adopts: row.get("adopts")?,
            at: columns::time(row, "at")?,
            by: row.get("by")?,
            correlation_id: row.get("correlation_id")?,
        },
    })
}
