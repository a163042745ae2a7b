//! Asking the index about conversations that were adopted.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::query::number_of;
use super::{signed, unsigned};

/// A conversation that an event made known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Adopted {
    /// The place of that event.
    pub(crate) seq: u64,
    pub(crate) provider: String,
    pub(crate) external_id: String,
    pub(crate) tenant: String,
    pub(crate) agent_id: Option<String>,
    pub(crate) phone_number_id: Option<String>,
    /// When it was received, in milliseconds since 1970.
    pub(crate) at: i64,
}

const SELECT: &str = "SELECT seq, p.word, external_id, t.word, agent_id, phone_number_id, at
    FROM conversations JOIN words p ON p.id = provider JOIN words t ON t.id = tenant";

fn adopted_row(row: &Row<'_>) -> Result<Adopted, rusqlite::Error> {
    Ok(Adopted {
        seq: unsigned(row.get(0)?),
        provider: row.get(1)?,
        external_id: row.get(2)?,
        tenant: row.get(3)?,
        agent_id: row.get(4)?,
        phone_number_id: row.get(5)?,
        at: row.get(6)?,
    })
}

/// What is known of a conversation, if it was adopted.
pub(crate) fn adopted(
    connection: &Connection,
    provider: &str,
    external_id: &str,
) -> Result<Option<Adopted>, rusqlite::Error> {
    let mut select =
        connection.prepare_cached(&format!("{SELECT} WHERE external_id = ?1 AND p.word = ?2"))?;
    select.query_row([external_id, provider], adopted_row).optional()
}

/// Adopted conversations before this place, the newest first.
pub(crate) fn adopted_before(
    connection: &Connection,
    (tenant, provider): (Option<&str>, Option<&str>),
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<Adopted>, rusqlite::Error> {
    let mut terms = vec!["seq < ?"];
    let mut values = vec![Value::Integer(before.map_or(i64::MAX, signed))];
    for (term, word) in [("tenant = ?", tenant), ("provider = ?", provider)] {
        let Some(word) = word else { continue };
        let Some(number) = number_of(connection, word)? else { return Ok(Vec::new()) };
        terms.push(term);
        values.push(Value::Integer(number));
    }
    values.push(Value::Integer(limit.into()));
    let sql = format!("{SELECT} WHERE {} ORDER BY seq DESC LIMIT ?", terms.join(" AND "));
    let mut select = connection.prepare_cached(&sql)?;
    select.query_map(params_from_iter(values), adopted_row)?.collect()
}
