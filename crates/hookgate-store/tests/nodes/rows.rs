//! Whose rows a transaction sees: row level security behind each scope.

use hookgate_core::event::ClaimKind;
use hookgate_store::{DecisionKind, ErasureTarget, EventId, SealedKey};
use postgres::Client;
use serde_json::json;
use uuid::Uuid;

use crate::bench::{Bench, beside};
use crate::deliveries::{add, enqueue, event};
use crate::registry::{NOW, add_tenant, binding, conversation, credential};
use crate::tool_calls::new_call;

/// A bench with something of two tenants, and of nobody, in each table that names tenants.
async fn filled() -> Bench {
    let bench = Bench::new();
    let registry = bench.store.registry();
    for (number, id) in (1_u128..).zip(["acme", "other"]) {
        let tenant = add_tenant(registry, id).await;
        registry.add_key(&tenant, NOW).await.unwrap();
        registry.add_token("vapi", Some(tenant.clone()), NOW).await.unwrap();
        registry.bind(binding(&tenant, ClaimKind::Agent, id)).await.unwrap();
        registry.register_conversation(conversation(&tenant, id)).await.unwrap();
        registry.put_credential(credential(&tenant, "square", b"sealed")).await.unwrap();
        let key = SealedKey { tenant: id.to_owned(), master: [0; 8], wrapped: vec![7; 60] };
        registry.add_data_key(key).await.unwrap();
        registry.set_tool_settings(&tenant, Some("{}".to_owned())).await.unwrap();
        registry.begin_tool_call(new_call(&tenant, number)).await.unwrap();
        let decision = hookgate_store::Decision {
            event: EventId(Uuid::from_u128(number)),
            kind: DecisionKind::Release,
            tenant: Some(tenant.clone()),
            adopts: false,
            at: NOW,
            by: "operator".to_owned(),
            correlation_id: "correlation".to_owned(),
        };
        registry.add_decision(decision, 1).await.unwrap();
        let destination = add(registry, Some(&tenant), number, &json!({})).await;
        enqueue(registry, vec![event(&destination, number.try_into().unwrap())], NOW).await;
        let target = ErasureTarget::Before { at: NOW, tenant: Some(tenant.clone()), source: None };
        registry.add_erasure(target, NOW).await.unwrap();
    }
    let own = SealedKey { tenant: String::new(), master: [0; 8], wrapped: vec![7; 60] };
    registry.add_data_key(own).await.unwrap();
    bench.say(
        "INSERT INTO hookgate.attempts (delivery, at, micros) \
         SELECT n, 1, 1 FROM hookgate.deliveries; \
         INSERT INTO hookgate.events (seq, id, log, received_at, status, verdict, tenant, head) \
         SELECT n, gen_random_uuid(), 0, 1, 0, 1, id, '' FROM hookgate.tenants; \
         INSERT INTO hookgate.adopted (seq, provider, external_id, tenant, at) \
         SELECT n, 'vapi', id || '-call', id, 1 FROM hookgate.tenants; \
         INSERT INTO hookgate.violation_tenants (tenant, seq) SELECT id, n FROM hookgate.tenants; \
         INSERT INTO hookgate.alerts (id, kind, subject, tenant, text, facts, raised_at) \
         SELECT id::bytea, 'kind', id, id, 'text', '{}', 1 FROM hookgate.tenants; \
         INSERT INTO hookgate.recordings (id, event, seq, place, source, provider, kind, state, \
         tenant, received_at, created_at) SELECT id::bytea, '\\x03', n, n, 'vapi', 'vapi', 'mixed', \
         'pending', id, 1, 1 FROM hookgate.tenants; \
         INSERT INTO hookgate.recording_pieces SELECT id, 0, 'sound' FROM hookgate.recordings; \
         INSERT INTO hookgate.folded (n, tenant, provider, external_id, began_at, received_at, \
         events, words_mark, state) \
         SELECT n, id, 'vapi', id || '-call', 1, 1, 1, 0, '{}' FROM hookgate.tenants; \
         INSERT INTO hookgate.folded_again (tenant, provider, external_id) \
         SELECT id, 'vapi', id || '-call' FROM hookgate.tenants; \
         INSERT INTO hookgate.folded_entries (seq, n) SELECT n, n FROM hookgate.folded; \
         INSERT INTO hookgate.folded_numbers (digits, n) SELECT '321', n FROM hookgate.folded; \
         INSERT INTO hookgate.folded_words (n, terms) SELECT n, 'word' FROM hookgate.folded",
    );
    bench
}

/// The tables that name a tenant, and those that do by what they belong to.
fn tables(client: &mut Client) -> Vec<String> {
    let select = "SELECT DISTINCT table_name::text FROM information_schema.columns \
                  JOIN information_schema.tables USING (table_schema, table_name) \
                  WHERE table_schema = 'hookgate' AND table_type = 'BASE TABLE' \
                  AND (column_name = 'tenant' OR table_name IN ('tenants', 'attempts', \
                  'folded_entries', 'folded_numbers', 'folded_words', 'recording_pieces')) \
                  ORDER BY 1";
    client.query(select, &[]).unwrap().iter().map(|it| it.get(0)).collect()
}

fn count(client: &mut Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM hookgate.{table}"), &[]).unwrap().get(0)
}

#[tokio::test]
async fn a_transaction_that_forgot_its_tenant_sees_nothing() {
    let bench = filled().await;
    beside(|| {
        let client = &mut bench.database.connect();
        let tables = tables(client);
        assert!(tables.len() >= 16, "{tables:?}");
        for table in &tables {
            client.batch_execute("BEGIN; SET LOCAL ROLE hookgate_app").unwrap();
            assert_eq!(count(client, table), 0, "{table}, in a session that never had a tenant");
            client.batch_execute("ROLLBACK").unwrap();
        }
        for table in &tables {
            let all = "BEGIN; SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = '*'";
            client.batch_execute(all).unwrap();
            assert!(count(client, table) >= 2, "{table} has rows, so that none seen means much");
            client.batch_execute("COMMIT; BEGIN; SET LOCAL ROLE hookgate_app").unwrap();
            assert_eq!(count(client, table), 0, "{table}, in a session that had a tenant");
            client.batch_execute("ROLLBACK").unwrap();
        }
    });
}

#[tokio::test]
async fn a_tenant_sees_its_own_rows_and_writes_no_others() {
    let bench = filled().await;
    beside(|| {
        let client = &mut bench.database.connect();
        for table in tables(client) {
            let acme = "BEGIN; SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = 'acme'";
            client.batch_execute(acme).unwrap();
            assert_eq!(count(client, &table), 1, "{table}");
            client.batch_execute("ROLLBACK").unwrap();
        }
        let write = "BEGIN; SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = 'acme'; \
                     UPDATE hookgate.tool_settings SET tenant = 'other'";
        let refused = client.batch_execute(write).unwrap_err();
        assert_eq!(refused.code(), Some(&postgres::error::SqlState::INSUFFICIENT_PRIVILEGE));
    });
}

#[tokio::test]
async fn no_table_is_without_row_level_security() {
    let bench = Bench::new();
    beside(|| {
        let select = "SELECT relname::text FROM pg_class WHERE relkind = 'r' \
                      AND relnamespace = 'hookgate'::regnamespace \
                      AND NOT (relrowsecurity AND relforcerowsecurity) ORDER BY 1";
        let open = bench.database.connect().query(select, &[]).unwrap();
        let open: Vec<String> = open.iter().map(|it| it.get(0)).collect();
        assert_eq!(open, ["migrations", "versions"], "these say nothing of anybody");
    });
}
