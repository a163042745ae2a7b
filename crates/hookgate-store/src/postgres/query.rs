//! Asking PostgreSQL for events: which, in SQL, and what a row says.

use std::fmt::Write as _;

use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use postgres::types::ToSql;
use postgres::{Client, Row};
use uuid::Uuid;

use super::spans;
use super::statement::storable;
use crate::error::ReadError;
use crate::filter::{EventFilter, Order, Page};
use crate::head::{self, EventHead, HeaderList, Since};
use crate::library::{Shown, event_of};
use crate::record::{Event, EventId, LaterDecision, Status};
use crate::registry::DecisionKind;

/// What is needed of a row of `events`, under this name, to show the event.
pub(super) const COLUMNS: &str = "events.seq, events.id, events.log, events.status, \
     events.tenant, events.duplicates, events.decided_kind, events.decided_tenant, \
     events.decided_at, events.decided_by, events.erased, events.head";

/// A number that PostgreSQL has as one with a sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// An event as its row has it.
pub(super) struct Found {
    pub(super) seq: u64,
    pub(super) id: Uuid,
    pub(super) is_unproven: bool,
    pub(super) is_quarantined: bool,
    pub(super) tenant: Option<String>,
    duplicates: u64,
    decision: Option<LaterDecision>,
    pub(super) is_erased: bool,
    head: Vec<u8>,
}

impl Found {
    /// What [`COLUMNS`] say.
    pub(super) fn read(row: &Row) -> Result<Self, ReadError> {
        let kind: Option<&str> = row.try_get(6)?;
        let decision = match kind {
            None => None,
            Some(kind) => Some(LaterDecision {
                kind: DecisionKind::named(kind).ok_or(ReadError::Damaged)?,
                tenant: row.try_get(7)?,
                at: Timestamp::from_millis(row.try_get::<_, Option<i64>>(8)?.unwrap_or_default()),
                by: row.try_get::<_, Option<String>>(9)?.unwrap_or_default(),
            }),
        };
        Ok(Self {
            seq: unsigned(row.try_get(0)?),
            id: row.try_get(1)?,
            is_unproven: row.try_get::<_, i16>(2)? == 1,
            is_quarantined: row.try_get::<_, i16>(3)? == 1,
            tenant: row.try_get(4)?,
            duplicates: unsigned(row.try_get(5)?),
            decision,
            is_erased: row.try_get(10)?,
            head: row.try_get(11)?,
        })
    }

    /// Whether somebody confined to this scope may know of it.
    pub(super) fn is_within(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Operator => true,
            Scope::Tenant(_) => !self.is_quarantined && scope.covers(self.tenant.as_deref()),
        }
    }

    /// Its head.
    pub(super) fn head(&self) -> Result<EventHead<'_>, ReadError> {
        let head: EventHead<'_, HeaderList<'_>> =
            head::decode(&self.head).map_err(|_| ReadError::Damaged)?;
        if head.record != head::EVENT || head.id.uuid() != self.id {
            return Err(ReadError::Damaged);
        }
        Ok(head)
    }

    /// The event, without what is another's.
    pub(super) fn event(&self, scope: &Scope) -> Result<Event, ReadError> {
        let since = Since {
            seq: self.seq,
            duplicates: self.duplicates,
            is_quarantined: self.is_quarantined,
            tenant: self.tenant.clone(),
            decision: self.decision.clone(),
            is_erased: self.is_erased,
        };
        Ok(event_of(self.head()?, since, scope))
    }
}

/// The event of an id.
pub(super) fn by_id(client: &mut Client, id: EventId) -> Result<Option<Found>, ReadError> {
    let select = format!("SELECT {COLUMNS} FROM events WHERE id = $1");
    client.query_opt(&select, &[&id.0])?.map(|row| Found::read(&row)).transpose()
}

/// A page of what the filter lets pass.
pub(super) fn page(
    client: &mut Client,
    shown: Shown,
    filter: &EventFilter,
    page: Page,
) -> Result<Vec<Found>, ReadError> {
    let Some(places) = spans::places(client, filter.since, filter.until)? else {
        return Ok(Vec::new());
    };
    let Some(select) = select(shown, filter, page, places) else { return Ok(Vec::new()) };
    let rows = client.query(&select.sql, &select.values())?;
    rows.iter().map(Found::read).collect()
}

/// A statement with its values.
#[derive(Default)]
pub(super) struct Select {
    pub(super) sql: String,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Select {
    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(AsRef::as_ref).collect()
    }

    /// Adds a term, which ends where its value comes.
    fn term(&mut self, term: &str, value: impl ToSql + Sync + 'static) {
        self.values.push(Box::new(value));
        let _ = write!(self.sql, " AND {term} ${}", self.values.len());
    }

    fn number(&mut self, value: impl ToSql + Sync + 'static) -> usize {
        self.values.push(Box::new(value));
        self.values.len()
    }
}

/// The statement of a page, between two places; nothing if nothing can match.
pub(super) fn select(
    shown: Shown,
    filter: &EventFilter,
    page: Page,
    (mut first, mut last): (u64, u64),
) -> Option<Select> {
    match (page.order, page.after) {
        (Order::NewestFirst, Some(0)) => return None,
        (Order::NewestFirst, Some(after)) => last = last.min(after.saturating_sub(1)),
        (Order::OldestFirst, Some(after)) => first = first.max(after.saturating_add(1)),
        (_, None) => {}
    }
    let mut select = Select {
        sql: format!("SELECT {COLUMNS} FROM events WHERE TRUE"),
        values: Vec::with_capacity(8),
    };
    select.term("events.seq >=", signed(first));
    select.term("events.seq <=", signed(last));
    match shown {
        Shown::Events => {
            if let Some(tenant) = &filter.tenant {
                select.term("events.tenant =", storable(tenant).into_owned());
            }
        }
        Shown::Violations => {
            // Literal, so that the partial index fits.
            select.sql.push_str(" AND events.verdict = 2");
            if let Some(tenant) = &filter.tenant {
                let number = select.number(storable(tenant).into_owned());
                let _ = write!(
                    select.sql,
                    " AND events.seq IN (SELECT it.seq FROM violation_tenants it \
                     WHERE it.tenant = ${number})"
                );
            }
        }
    }
    let texts = [
        ("events.provider =", &filter.provider),
        ("events.source =", &filter.source),
        ("events.type =", &filter.event_type),
        ("events.kind =", &filter.kind),
        ("events.conversation =", &filter.conversation),
    ];
    for (term, text) in texts {
        if let Some(text) = text {
            select.term(term, storable(text).into_owned());
        }
    }
    match filter.status {
        // Literal, so that the partial index fits.
        Some(Status::Quarantined) => select.sql.push_str(" AND events.status = 1"),
        Some(Status::Accepted) => select.sql.push_str(" AND events.status = 0"),
        None => {}
    }
    if let Some(since) = filter.since {
        select.term("events.received_at >=", since.millis());
    }
    if let Some(until) = filter.until {
        select.term("events.received_at <", until.millis());
    }
    if let Some(text) = filter.q.as_deref().filter(|it| !it.is_empty()) {
        search(&mut select, text);
    }
    let order = match page.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    let limit = select.number(i64::try_from(page.limit).unwrap_or(i64::MAX));
    let _ = write!(select.sql, " ORDER BY events.seq {order} LIMIT ${limit}");
    Some(select)
}

/// With this text in the type, an id or the conversation's id. Only letters of ASCII are
/// alike in both sizes, as in the embedded store.
fn search(select: &mut Select, text: &str) {
    let lower = storable(text).to_ascii_lowercase();
    // A whole id, with its dashes or without; or a piece of one.
    let id = match EventId::parse(text) {
        Some(id) => id.0.simple().to_string(),
        None => lower.strip_prefix("evt_").unwrap_or(&lower).to_owned(),
    };
    let (id, lower) = (select.number(id), select.number(lower));
    let _ = write!(select.sql, " AND (strpos(replace(events.id::text, '-', ''), ${id}) > 0");
    for column in ["conversation", "external_id", "type"] {
        let _ =
            write!(select.sql, " OR strpos(lower(events.{column} COLLATE \"C\"), ${lower}) > 0");
    }
    select.sql.push(')');
}
