//! Conversations that events made known, where these are in the same database as the registry:
//! in PostgreSQL.

use hookgate_core::attribution::{Conversation, Origin};

use crate::registry::columns;
use crate::sql::{Connection, EVENTS_LOCK, Error, OptionalExtension, Row};

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

#[cfg(test)]
mod tests {
    use hookgate_core::event::{Claim, ClaimKind};
    use hookgate_core::tenant::TenantId;
    use hookgate_core::time::Timestamp;
    use hookgate_testpg::Cluster;
    use tokio::sync::watch;

    use crate::ledger::Ledger;
    use crate::postgres::PgSettings;
    use crate::registry::{Binding, Registry};

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn node(settings: &PgSettings) -> (Registry, Ledger) {
        let registry = Registry::open_postgres(settings).unwrap();
        let ledger = Ledger::new(&registry, watch::Sender::new(0).subscribe());
        (registry, ledger)
    }

    fn claim(kind: ClaimKind, id: &str) -> Vec<Claim> {
        vec![Claim::new(kind, Some(id.to_owned()))]
    }

    #[test]
    fn what_another_node_adopted_or_bound_is_known_here() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let database = Cluster::shared().database();
        let settings = PgSettings::parse(&database.url()).unwrap();
        let ((here, _), (there, ledger)) = (node(&settings), node(&settings));
        let acme = TenantId::parse("acme").unwrap();
        runtime.block_on(here.add_tenant(acme.clone(), "Acme".to_owned(), NOW)).unwrap();
        let _listener = there.listen(&settings).unwrap();
        let begun = std::time::Instant::now();
        let until = |is_so: &dyn Fn() -> bool| {
            while !is_so() {
                assert!(begun.elapsed().as_secs() < 20, "it is not heard");
                std::thread::yield_now();
            }
        };
        until(&|| there.tenant("acme").is_some());

        let call = claim(ClaimKind::Conversation, "call-1");
        let ask = |claims: &[Claim]| runtime.block_on(ledger.consult("vapi", claims)).unwrap();
        assert_eq!(ask(&call).conversation, None);
        let adopt = "INSERT INTO hookgate.adopted (seq, provider, external_id, tenant, at) \
                     VALUES (1, 'vapi', 'call-1', 'acme', 1)";
        database.connect().batch_execute(adopt).unwrap();
        assert_eq!(ledger.consult_cached("vapi", &call), None, "that nobody has it is asked anew");
        assert_eq!(ask(&call).conversation.map(|it| it.tenant), Some(acme.clone()));
        assert!(ledger.consult_cached("vapi", &call).is_some());

        let agent = claim(ClaimKind::Agent, "agent-1");
        assert_eq!(ask(&agent).owners, [None]);
        let binding = Binding {
            tenant: acme.clone(),
            provider: "vapi".to_owned(),
            kind: ClaimKind::Agent,
            external_id: "agent-1".to_owned(),
            created_at: NOW,
        };
        runtime.block_on(here.bind(binding)).unwrap();
        until(&|| ask(&agent).owners == [Some(acme.clone())]);
        runtime.block_on(here.unbind("vapi", ClaimKind::Agent, "agent-1")).unwrap();
        until(&|| ask(&agent).owners == [None]);
    }
}
