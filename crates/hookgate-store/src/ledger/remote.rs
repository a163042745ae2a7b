//! Conversations that events made known, where these are in the same database as the registry:
//! in PostgreSQL.

use hookgate_core::attribution::{Conversation, Origin};

use crate::registry::columns;
use crate::sql::{Connection, Error, OptionalExtension, Row};

/// The lock of whoever appends events (the letters `hkge`): adoptions are appended with them.
const EVENTS_LOCK: i64 = 0x686b_6765;

/// What is known of a conversation that was adopted. Nothing where adoptions are elsewhere.
pub(super) fn adopted(
    connection: &Connection,
    provider: &str,
    external_id: &str,
) -> Result<Option<Conversation>, Error> {
    if connection.as_sqlite().is_some() {
        return Ok(None);
    }
    let select = "SELECT tenant, agent_id, phone_number_id FROM adopted \
                  WHERE external_id = ?1 AND provider = ?2";
    let read = |row: &Row<'_>| {
        Ok(Conversation {
            tenant: columns::tenant(row, "tenant")?,
            agent_id: row.get("agent_id")?,
            phone_number_id: row.get("phone_number_id")?,
            origin: Origin::Adopted,
        })
    };
    connection.prepare_cached(select)?.query_row([external_id, provider], read).optional()
}

/// The same, and so until the transaction ends: no node adopts anything meanwhile.
pub(super) fn adopted_for_good(
    connection: &Connection,
    provider: &str,
    external_id: &str,
) -> Result<Option<Conversation>, Error> {
    if connection.as_sqlite().is_some() {
        return Ok(None);
    }
    let wait = format!("SELECT pg_advisory_xact_lock({EVENTS_LOCK}) IS NULL");
    connection.prepare_cached(&wait)?.exists([])?;
    adopted(connection, provider, external_id)
}
