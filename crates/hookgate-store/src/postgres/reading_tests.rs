//! That every list is found by an index, and that a forgotten scope shows nothing.

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_testpg::{Cluster, Database};
use postgres::Client;

use super::conversations;
use super::migrations::migrate;
use super::query::select;
use super::spans;
use super::victims;
use crate::filter::{EventFilter, Order, Page};
use crate::index::victims::Whose;
use crate::library::Shown;
use crate::record::Status;
use crate::registry::ConversationFilter;

/// Rows of a table that is too long to be read from end to end.
const ROWS: i64 = 100_000;

fn tables() -> (Database<'static>, Client) {
    let database = Cluster::shared().database();
    let mut client = database.connect();
    migrate(&mut client).unwrap();
    client.batch_execute("SET search_path = hookgate").unwrap();
    (database, client)
}

fn filled() -> (Database<'static>, Client) {
    let (database, mut client) = tables();
    client
        .batch_execute(&format!(
            "INSERT INTO events (seq, id, log, received_at, source, provider, type, kind, status,
                verdict, tenant, conversation, external_id, head, payload)
             SELECT n, gen_random_uuid(), 0, n * 1000, 'source-' || n % 3, 'vapi', 'status', 'other',
                CASE WHEN n % 100 = 0 THEN 1 ELSE 0 END, CASE WHEN n % 500 = 0 THEN 2 ELSE 1 END,
                CASE WHEN n % 2 = 0 THEN 'tenant-' || n % 50 END, 'call-' || n / 10, 'x-' || n,
                '\\x80', 'body' FROM generate_series(1, {ROWS}) AS n;
             INSERT INTO adopted SELECT n, 'vapi', 'call-' || n, 'tenant-' || n % 50, NULL, NULL, n
                FROM generate_series(1, {ROWS}) AS n;
             INSERT INTO violation_tenants SELECT 'tenant-' || n % 50, n FROM events AS it (n)
                WHERE verdict = 2;
             ANALYZE"
        ))
        .unwrap();
    while spans::note(&mut client).unwrap() {}
    (database, client)
}

fn as_app(client: &mut Client, tenant: &str) {
    let begin = format!(
        "ROLLBACK; BEGIN; SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = '{tenant}'"
    );
    client.batch_execute(&begin).unwrap();
}

fn plan(client: &mut Client, sql: &str, values: &[&(dyn postgres::types::ToSql + Sync)]) -> String {
    let rows = client.query(&format!("EXPLAIN {sql}"), values).unwrap();
    rows.iter().map(|it| it.get::<_, String>(0) + "\n").collect()
}

#[test]
fn no_list_reads_a_table_from_end_to_end() {
    let (_database, mut client) = filled();
    let text = |it: &str| Some(it.to_owned());
    let at = |it: i64| Some(Timestamp::from_millis(it * 1000));
    let any = EventFilter::default();
    let filters = [
        any.clone(),
        EventFilter { tenant: text("tenant-4"), status: Some(Status::Accepted), ..any.clone() },
        EventFilter { conversation: text("call-77"), tenant: text("tenant-4"), ..any.clone() },
        EventFilter { status: Some(Status::Quarantined), ..any.clone() },
        EventFilter { source: text("source-1"), provider: text("vapi"), ..any.clone() },
        EventFilter { event_type: text("status"), kind: text("other"), ..any.clone() },
        EventFilter { q: text("call-77"), ..any.clone() },
        EventFilter { since: at(500), until: at(900), ..any },
    ];
    for scope in ["*", "tenant-4"] {
        as_app(&mut client, scope);
        for filter in &filters {
            for shown in [Shown::Events, Shown::Violations] {
                for order in [Order::NewestFirst, Order::OldestFirst] {
                    let page = Page { order, after: Some(60_000), limit: 50 };
                    let places = spans::places(&mut client, filter.since, filter.until);
                    let places = places.unwrap().unwrap();
                    let select = select(shown, filter, page, places).unwrap();
                    let plan = plan(&mut client, &select.sql, &select.values());
                    assert!(!plan.contains("Seq Scan on events"), "{filter:?}\n{plan}");
                }
            }
        }
    }
    as_app(&mut client, "*");
    for whose in [Whose::Tenant("t"), Whose::Source("s"), Whose::Conversation("vapi", "c")] {
        let (word, other) = ("tenant-4", matches!(whose, Whose::Conversation(..)).then_some("c"));
        let plan = plan(
            &mut client,
            &victims::select(whose),
            &[&word, &other, &i64::MAX, &0_i64, &i64::MAX, &512_i64],
        );
        assert!(!plan.contains("Seq Scan on events"), "{whose:?}\n{plan}");
    }
    for tenant in [None, Some(TenantId::parse("tenant-4").unwrap())] {
        let filter = ConversationFilter { tenant, provider: None };
        let (sql, words) = conversations::select(&filter);
        let mut values: Vec<&(dyn postgres::types::ToSql + Sync)> = vec![&60_000_i64, &50_i64];
        values.extend(words.iter().map(|it| it as &(dyn postgres::types::ToSql + Sync)));
        let plan = plan(&mut client, &sql, &values);
        assert!(!plan.contains("Seq Scan on adopted"), "{filter:?}\n{plan}");
    }
}

#[test]
fn an_old_day_is_found_between_its_places() {
    let (_database, mut client) = filled();
    as_app(&mut client, "*");
    let at = |it: i64| Some(Timestamp::from_millis(it * 1000));
    let (first, last) = spans::places(&mut client, at(9_000), at(9_001)).unwrap().unwrap();
    assert!(first <= 9_000 && last >= 9_000 && last - first < 8_192, "{first}..{last}");
    let (first, last) = spans::places(&mut client, at(ROWS - 1), None).unwrap().unwrap();
    assert!(first <= 99_999 && last >= 100_000, "{first}..{last}");
    assert_eq!(spans::places(&mut client, at(ROWS + 5), None).unwrap(), None);
}

#[test]
fn without_a_scope_nothing_is_seen_and_a_tenant_sees_what_is_its_own() {
    let (_database, mut client) = filled();
    let count = |client: &mut Client, table: &str| -> i64 {
        client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).unwrap().get(0)
    };
    client.batch_execute("BEGIN; SET LOCAL ROLE hookgate_app").unwrap();
    for table in ["events", "adopted", "violation_tenants", "blobs", "rejections", "repetitions"] {
        assert_eq!(count(&mut client, table), 0, "{table}");
    }
    as_app(&mut client, "tenant-4");
    let foreign = "events WHERE tenant IS DISTINCT FROM 'tenant-4' AND verdict <> 2";
    assert_eq!(count(&mut client, foreign), 0);
    assert_eq!(count(&mut client, "events WHERE tenant = 'tenant-4'"), ROWS / 50);
    as_app(&mut client, "*");
    assert_eq!(count(&mut client, "events"), ROWS);
}
