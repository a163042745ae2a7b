//! Asking the index.

use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_journal::{LogId, Position};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

pub(crate) use super::adopted::adopted;
use super::schema::SPAN_BITS;
use super::{log_number, log_of, signed, unsigned};
use crate::bloom::Key;
use crate::filter::{EventFilter, Order, Page};
use crate::record::{EventId, LaterDecision, Status};
use crate::registry::DecisionKind;

/// An event as the index knows it: where the rest of it lies, and what is true of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    pub(crate) id: [u8; 16],
    pub(crate) log: LogId,
    pub(crate) position: Position,
    pub(crate) is_quarantined: bool,
    pub(crate) tenant: Option<String>,
}

impl Found {
    /// Whether somebody confined to this scope may know of it. A tenant sees what was
    /// accepted and is its own.
    pub(crate) fn is_within(&self, scope: &Scope) -> bool {
        match scope {
            Scope::Operator => true,
            Scope::Tenant(_) => !self.is_quarantined && scope.covers(self.tenant.as_deref()),
        }
    }
}

/// Of `events`, under this name.
const COLUMNS: &str = "events.seq, events.id, log, place, status, \
                       (SELECT word FROM words WHERE words.id = events.tenant)";

fn found(row: &Row<'_>) -> Result<Found, rusqlite::Error> {
    Ok(Found {
        seq: unsigned(row.get(0)?),
        id: row.get(1)?,
        log: log_of(row.get(2)?),
        position: position(row.get(3)?),
        is_quarantined: row.get::<_, i64>(4)? == 1,
        tenant: row.get(5)?,
    })
}

pub(super) fn position(place: i64) -> Position {
    Position::from_u64(unsigned(place))
}

/// A page of events.
pub(crate) fn page(
    connection: &Connection,
    filter: &EventFilter,
    page: Page,
) -> Result<Vec<Found>, rusqlite::Error> {
    select(connection, filter, page, Terms::default())
}

/// A page of contradictions; with a tenant in the filter, those that name it.
pub(crate) fn violations(
    connection: &Connection,
    filter: &EventFilter,
    page: Page,
) -> Result<Vec<Found>, rusqlite::Error> {
    // Literal, so that the partial index fits.
    let mut terms = Terms { sql: vec!["verdict = 2"], ..Terms::default() };
    if let Some(tenant) = &filter.tenant {
        let Some(number) = number_of(connection, tenant)? else { return Ok(Vec::new()) };
        terms.add(
            "events.seq IN (SELECT seq FROM violation_tenants AS it WHERE it.tenant = ?)",
            Value::Integer(number),
        );
    }
    let filter = EventFilter { tenant: None, ..filter.clone() };
    select(connection, &filter, page, terms)
}

/// A page of what the filter and the terms let pass.
fn select(
    connection: &Connection,
    filter: &EventFilter,
    page: Page,
    mut terms: Terms,
) -> Result<Vec<Found>, rusqlite::Error> {
    let Some((mut first, mut last)) = places(connection, filter)? else {
        return Ok(Vec::new());
    };
    match (page.order, page.after) {
        (Order::NewestFirst, Some(0)) => return Ok(Vec::new()),
        (Order::NewestFirst, Some(after)) => last = last.min(after.saturating_sub(1)),
        (Order::OldestFirst, Some(after)) => first = first.max(after.saturating_add(1)),
        (_, None) => {}
    }
    terms.add("events.seq >= ?", Value::Integer(signed(first)));
    terms.add("events.seq <= ?", Value::Integer(signed(last)));
    if !terms.add_filter(connection, filter)? {
        return Ok(Vec::new());
    }
    let order = match page.order {
        Order::NewestFirst => "DESC",
        Order::OldestFirst => "ASC",
    };
    let limit = Value::Integer(i64::try_from(page.limit).unwrap_or(i64::MAX));
    terms.values.push(limit);
    let sql = format!(
        "SELECT {COLUMNS} FROM events WHERE {} ORDER BY events.seq {order} LIMIT ?",
        terms.sql.join(" AND ")
    );
    let mut select = connection.prepare_cached(&sql)?;
    select.query_map(params_from_iter(terms.values), found)?.collect()
}

/// The places, first and last, between which all lie that were received between `since`
/// and `until`; nothing if there are none.
fn places(
    connection: &Connection,
    filter: &EventFilter,
) -> Result<Option<(u64, u64)>, rusqlite::Error> {
    if filter.since.is_none() && filter.until.is_none() {
        return Ok(Some((0, u64::MAX)));
    }
    let mut select = connection.prepare_cached(
        "SELECT min(span), max(span) FROM spans WHERE last_at >= ?1 AND first_at < ?2",
    )?;
    let since = filter.since.map_or(i64::MIN, Timestamp::millis);
    let until = filter.until.map_or(i64::MAX, Timestamp::millis);
    let spans: (Option<i64>, Option<i64>) =
        select.query_row([since, until], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(first), Some(last)) = spans else { return Ok(None) };
    let after = unsigned(last).saturating_add(1) << SPAN_BITS;
    Ok(Some((unsigned(first) << SPAN_BITS, after.saturating_sub(1))))
}

/// The terms of a query, all of which must hold.
#[derive(Debug, Default)]
struct Terms {
    sql: Vec<&'static str>,
    values: Vec<Value>,
}

impl Terms {
    fn add(&mut self, sql: &'static str, value: Value) {
        self.sql.push(sql);
        self.values.push(value);
    }

    /// Adds those of a filter; false when nothing can match.
    fn add_filter(
        &mut self,
        connection: &Connection,
        filter: &EventFilter,
    ) -> Result<bool, rusqlite::Error> {
        let words = [
            ("provider = ?", &filter.provider),
            ("source = ?", &filter.source),
            // A conversation has fewer events than its tenant: that index is the better one.
            (
                if filter.conversation.is_some() { "+tenant = ?" } else { "tenant = ?" },
                &filter.tenant,
            ),
            ("type = ?", &filter.event_type),
            ("kind = ?", &filter.kind),
        ];
        for (sql, word) in words {
            let Some(word) = word else { continue };
            let Some(number) = number_of(connection, word)? else { return Ok(false) };
            self.add(sql, Value::Integer(number));
        }
        if let Some(conversation) = &filter.conversation {
            self.add("conversation = ?", Value::Text(conversation.clone()));
        }
        match filter.status {
            // Literal, so that the partial index fits.
            Some(Status::Quarantined) => self.sql.push("status = 1"),
            Some(Status::Accepted) => self.sql.push("status = 0"),
            None => {}
        }
        if let Some(since) = filter.since {
            self.add("received_at >= ?", Value::Integer(since.millis()));
        }
        if let Some(until) = filter.until {
            self.add("received_at < ?", Value::Integer(until.millis()));
        }
        if let Some(text) = filter.q.as_deref().filter(|it| !it.is_empty()) {
            self.add_search(text);
        }
        Ok(true)
    }

    fn add_search(&mut self, text: &str) {
        let lower = text.to_ascii_lowercase();
        // A whole id, with its dashes or without; or a piece of one.
        let id = match EventId::parse(text) {
            Some(id) => id.0.simple().to_string(),
            None => lower.strip_prefix("evt_").unwrap_or(&lower).to_owned(),
        };
        self.sql.push(
            "(instr(lower(hex(events.id)), ?) > 0 OR instr(lower(conversation), ?) > 0
              OR instr(lower(external_id), ?) > 0
              OR type IN (SELECT id FROM words WHERE instr(lower(word), ?) > 0))",
        );
        self.values.extend([id, lower.clone(), lower.clone(), lower].map(Value::Text));
    }
}

pub(super) fn number_of(
    connection: &Connection,
    word: &str,
) -> Result<Option<i64>, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT id FROM words WHERE word = ?1")?;
    select.query_row([word], |row| row.get(0)).optional()
}

/// The event of an id. An id begins with the time of its event, so the spans lead to the
/// few thousand places it can stand at, and no tree of ids is kept on the way of a request.
pub(crate) fn by_id(
    connection: &Connection,
    id: EventId,
) -> Result<Option<Found>, rusqlite::Error> {
    let Some(at) = time_of(id) else { return Ok(None) };
    // The signs keep SQLite from making an index of all events, just for this.
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM spans CROSS JOIN events
         WHERE first_at <= ?1 AND last_at >= ?1
         AND events.seq BETWEEN span << {SPAN_BITS} AND ((span + 1) << {SPAN_BITS}) - 1
         AND +received_at = ?1 AND +events.id = ?2"
    ))?;
    select.query_row(rusqlite::params![at, id.0.as_bytes()], found).optional()
}

/// When the event of an id was received, in milliseconds since 1970; nothing if it is no
/// id of an event.
fn time_of(id: EventId) -> Option<i64> {
    let (seconds, nanos) = id.0.get_timestamp()?.to_unix();
    let millis = seconds.checked_mul(1000)?.checked_add(u64::from(nanos / 1_000_000))?;
    i64::try_from(millis).ok()
}

/// The event at a place.
pub(crate) fn by_seq(connection: &Connection, seq: u64) -> Result<Option<Found>, rusqlite::Error> {
    let mut select = connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM events WHERE events.seq = ?1"))?;
    select.query_row([signed(seq)], found).optional()
}

/// How often the event at a place came again.
pub(crate) fn duplicates(connection: &Connection, seq: u64) -> Result<u64, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT count FROM duplicates WHERE seq = ?1")?;
    Ok(select.query_row([signed(seq)], |row| row.get(0)).optional()?.map_or(0, unsigned))
}

/// The event that a key stands for, as the table knows it.
pub(crate) fn by_key(connection: &Connection, key: &Key) -> Result<Option<Found>, rusqlite::Error> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM events WHERE events.seq = (SELECT seq FROM dedupe WHERE key = ?1)"
    ))?;
    select.query_row([key], found).optional()
}

/// How many events of a log stand in the index, up to a place.
pub(crate) fn count(
    connection: &Connection,
    log: LogId,
    last: u64,
) -> Result<u64, rusqlite::Error> {
    let sql = "SELECT count(*) FROM events WHERE log = ?1 AND seq <= ?2";
    let count: i64 =
        connection.query_row(sql, [log_number(log), signed(last)], |row| row.get(0))?;
    Ok(unsigned(count))
}

/// What was decided last of the event at a place.
pub(crate) fn decided(
    connection: &Connection,
    seq: u64,
) -> Result<Option<LaterDecision>, rusqlite::Error> {
    let mut select =
        connection.prepare_cached("SELECT kind, tenant, at, by FROM decided WHERE seq = ?1")?;
    let read = |row: &Row<'_>| {
        let kind = DecisionKind::named(row.get_ref(0)?.as_str()?);
        Ok(LaterDecision {
            kind: kind.ok_or(rusqlite::Error::InvalidQuery)?,
            tenant: row.get(1)?,
            at: Timestamp::from_millis(row.get(2)?),
            by: row.get(3)?,
        })
    };
    select.query_row([signed(seq)], read).optional()
}

#[cfg(test)]
mod tests;
