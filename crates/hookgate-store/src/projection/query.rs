//! Asking for conversations.

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::write::{state_of, wanted_digits};
use super::{Folded, FoldedFilter, words};
use crate::index::{signed, unsigned};
use crate::sql::{Connection, Error, Row, Value, params_from_iter};

const COLUMNS: &str = "n, tenant, provider, external_id, events, received_at, state";

fn folded(row: &Row<'_>) -> Result<(u64, Folded), Error> {
    let tenant: String = row.get(1)?;
    let state: String = row.get(6)?;
    let it = Folded {
        tenant: TenantId::parse(&tenant).ok(),
        provider: row.get(2)?,
        external_id: row.get(3)?,
        events: unsigned(row.get(4)?),
        received_at: Timestamp::from_millis(row.get(5)?),
        state: state_of(&state)?,
    };
    Ok((unsigned(row.get(0)?), it))
}

/// Conversations before this place, the newest first.
pub(super) fn page(
    connection: &Connection,
    filter: &FoldedFilter,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, Folded)>, Error> {
    let mut terms = vec!["n < ?"];
    let mut values = vec![Value::Integer(before.map_or(i64::MAX, signed))];
    let texts = [
        ("tenant = ?", filter.tenant.as_ref().map(TenantId::as_str)),
        ("provider = ?", filter.provider.as_deref()),
        ("channel = ?", filter.channel.as_deref()),
    ];
    for (term, text) in texts {
        let Some(text) = text else { continue };
        terms.push(term);
        values.push(Value::Text(text.to_owned()));
    }
    let either = [
        ("(status = ? OR phase = ?)", &filter.status),
        ("(agent_id = ? OR agent_name = ?)", &filter.agent),
    ];
    for (term, text) in either {
        let Some(text) = text else { continue };
        terms.push(term);
        values.extend([Value::Text(text.clone()), Value::Text(text.clone())]);
    }
    for (term, at) in [("began_at >= ?", filter.since), ("began_at < ?", filter.until)] {
        let Some(at) = at else { continue };
        terms.push(term);
        values.push(Value::Integer(at.millis()));
    }
    if let Some(number) = &filter.number {
        let Some(digits) = wanted_digits(number) else { return Ok(Vec::new()) };
        // The character behind the digits: everything that begins with these.
        terms.push(
            "n IN (SELECT folded_numbers.n FROM folded_numbers WHERE digits >= ? AND digits < ?)",
        );
        values.extend([Value::Text(digits.clone()), Value::Text(format!("{digits}:"))]);
    }
    if let Some(q) = &filter.q {
        let Some(wanted) = words::wanted(connection, q) else { return Ok(Vec::new()) };
        terms.push(words::condition(connection));
        values.push(Value::Text(wanted));
    }
    values.push(Value::Integer(limit.into()));
    let sql = format!(
        "SELECT {COLUMNS} FROM folded WHERE {} ORDER BY n DESC LIMIT ?",
        terms.join(" AND ")
    );
    let mut select = connection.prepare_cached(&sql)?;
    select.query_map(params_from_iter(values), folded)?.collect()
}

/// What is told of a conversation, for each tenant that has events of it.
pub(super) fn one(
    connection: &Connection,
    provider: &str,
    external_id: &str,
) -> Result<Vec<Folded>, Error> {
    let sql =
        format!("SELECT {COLUMNS} FROM folded WHERE external_id = ?1 AND provider = ?2 ORDER BY n");
    let mut select = connection.prepare_cached(&sql)?;
    let found = select.query_map([external_id, provider], folded)?;
    found.map(|it| it.map(|(_, it)| it)).collect()
}
