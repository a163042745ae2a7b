//! The tables of another receiver: shown as views, and read where they were left behind.

use hookgate_store::{SeedError, ensure_role, seed_integrations};
use hookgate_testpg::{Cluster, Database};
use postgres::Client;

use crate::connect;

const VIEWS: &str = include_str!("../../src/postgres/migrations/0003_views.sql");

/// What the views are made from, with rows of two tenants.
const TABLES: &str = "
CREATE SCHEMA hookgate;
GRANT USAGE ON SCHEMA hookgate TO hookgate_app;
CREATE TABLE hookgate.blobs (id UUID, n INT, at BIGINT, bytes BYTEA, PRIMARY KEY (id, n));
CREATE TABLE hookgate.events (
    seq BIGINT PRIMARY KEY, log SMALLINT NOT NULL, received_at BIGINT NOT NULL, provider TEXT,
    type TEXT, status SMALLINT, tenant TEXT, external_id TEXT, erased BOOLEAN DEFAULT false,
    payload BYTEA, blob UUID);
CREATE TABLE hookgate.bindings (
    n BIGINT PRIMARY KEY, tenant TEXT NOT NULL, provider TEXT NOT NULL, kind TEXT NOT NULL,
    external_id TEXT NOT NULL, created_at BIGINT NOT NULL);
INSERT INTO hookgate.blobs VALUES
    ('00000000-0000-0000-0000-000000000001', 1, 0, 'ig\"}'),
    ('00000000-0000-0000-0000-000000000001', 0, 0, '{\"b\":\"b');
INSERT INTO hookgate.events VALUES
    (1, 0, 1500, 'mightycall', 'call.completed', 0, 'ada', 'e1', false, '{\"n\":1}', NULL),
    (2, 0, 2000, 'mightycall', 'sms.received', 0, 'ben', 'e2', false, 'not json', NULL),
    (3, 0, 2000, 'mightycall', 'call.completed', 0, 'ada', 'e3', false, NULL,
        '00000000-0000-0000-0000-000000000001'),
    (4, 0, 2000, 'mightycall', 'call.completed', 0, 'ada', 'e4', false, '\\x7b2261223a22ff227d', NULL),
    (5, 0, 2000, 'mightycall', 'call.completed', 0, 'ada', 'e5', false, '{\"a\":\"\\\\u0000\"}', NULL),
    (6, 0, 2000, 'mightycall', 'call.completed', 1, NULL, 'quarantined', false, '{}', NULL),
    (7, 1, 2000, 'mightycall', NULL, 1, NULL, 'unproven', false, '{}', NULL),
    (8, 0, 2000, 'mightycall', 'call.completed', 0, 'ada', 'erased', true, NULL, NULL),
    (9, 0, 2000, 'vapi', 'status-update', 0, 'ada', 'other', false, '{}', NULL);
INSERT INTO hookgate.bindings VALUES
    (1, 'ada', 'mightycall', 'integration', 'i-1', 0), (2, 'ben', 'mightycall', 'integration', 'i-2', 0),
    (3, 'ada', 'vapi', 'agent', 'a-1', 0);
";

fn with_views(database: &Database<'_>) -> Client {
    let mut client = connect(&database.url()).unwrap();
    ensure_role(&mut client).unwrap();
    client.batch_execute(TABLES).unwrap();
    client.batch_execute(VIEWS).unwrap();
    client
}

/// What the role of transactions sees for a tenant.
fn seen(client: &mut Client, tenant: Option<&str>, select: &str) -> String {
    let mut inside = client.transaction().unwrap();
    inside.batch_execute("SET LOCAL ROLE hookgate_app").unwrap();
    if let Some(tenant) = tenant {
        inside.batch_execute(&format!("SET LOCAL hookgate.tenant = '{tenant}'")).unwrap();
    }
    let rows = inside.query(select, &[]).unwrap();
    rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>().join("; ")
}

const EVENTS: &str = "SELECT concat_ws(' ', external_event_id, org_id, event_type, \
    coalesce(payload::text, 'null'), extract(epoch FROM received_at)::numeric(9, 1)) \
    FROM hookgate.mightycall_raw_events ORDER BY external_event_id";

const INTEGRATIONS: &str = "SELECT concat_ws(' ', id, org_id, provider, \
    coalesce(encrypted_credentials, '-'), metadata) FROM hookgate.org_integrations ORDER BY id";

#[test]
fn the_views_have_the_names_and_columns_of_the_tables_they_stand_for() {
    let database = Cluster::shared().database();
    let mut client = with_views(&database);
    assert_eq!(
        seen(&mut client, Some("*"), EVENTS),
        "e1 ada call.completed {\"n\": 1} 1.5; e2 ben sms.received null 2.0; \
         e3 ada call.completed {\"b\": \"big\"} 2.0; e4 ada call.completed null 2.0; \
         e5 ada call.completed null 2.0"
    );
    assert_eq!(
        seen(&mut client, Some("*"), INTEGRATIONS),
        "i-1 ada mightycall - {}; i-2 ben mightycall - {}"
    );
    let mut types = |view: &str| {
        let statement = "SELECT string_agg(attname || ' ' || format_type(atttypid, NULL), ', ' \
             ORDER BY attnum) FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0";
        client.query_one(statement, &[&view]).unwrap().get::<_, String>(0)
    };
    assert_eq!(
        types("hookgate.mightycall_raw_events"),
        "external_event_id text, org_id text, event_type text, payload jsonb, \
         received_at timestamp with time zone"
    );
    assert_eq!(
        types("hookgate.org_integrations"),
        "id text, org_id text, provider text, encrypted_credentials text, metadata jsonb"
    );
}

#[test]
fn a_view_shows_one_tenant_its_own_and_nothing_where_no_tenant_is_set() {
    let database = Cluster::shared().database();
    let mut client = with_views(&database);
    assert_eq!(seen(&mut client, Some("ben"), EVENTS), "e2 ben sms.received null 2.0");
    assert_eq!(seen(&mut client, Some("ben"), INTEGRATIONS), "i-2 ben mightycall - {}");
    for nobody in [None, Some(""), Some("%"), Some("nobody")] {
        assert_eq!(seen(&mut client, nobody, EVENTS), "");
        assert_eq!(seen(&mut client, nobody, INTEGRATIONS), "");
    }
    // Also for a superuser, whom row level security does not stop.
    assert!(client.query(EVENTS, &[]).unwrap().is_empty());
}

#[test]
fn integrations_that_another_receiver_left_are_read_whole_or_not_at_all() {
    let database = Cluster::shared().database();
    let mut client = connect(&database.url()).unwrap();
    assert_eq!(seed_integrations(&mut client).unwrap(), None);

    client.batch_execute("CREATE TABLE public.org_integrations (id TEXT, provider TEXT)").unwrap();
    assert!(matches!(seed_integrations(&mut client), Err(SeedError::OtherShape)));
    client
        .batch_execute(
            "DROP TABLE public.org_integrations;
             CREATE TABLE public.org_integrations (
                 id UUID PRIMARY KEY, org_id UUID, provider TEXT NOT NULL,
                 encrypted_credentials TEXT, metadata JSONB, UNIQUE (org_id, provider));
             INSERT INTO public.org_integrations VALUES
                 ('00000000-0000-0000-0000-00000000000b', 'aaaaaaaa-0000-0000-0000-000000000002',
                  'mightycall', 'sealed', '{}'),
                 ('00000000-0000-0000-0000-00000000000a', 'aaaaaaaa-0000-0000-0000-000000000001',
                  'MightyCall', NULL, NULL),
                 ('00000000-0000-0000-0000-00000000000c', NULL, 'mightycall', NULL, NULL),
                 ('00000000-0000-0000-0000-00000000000d', 'aaaaaaaa-0000-0000-0000-000000000001',
                  'hubspot', NULL, NULL)",
        )
        .unwrap();
    let found = seed_integrations(&mut client).unwrap().unwrap();
    let rows: Vec<_> = found.rows.iter().map(|it| format!("{} {}", it.id, it.org_id)).collect();
    assert_eq!(
        rows,
        [
            "00000000-0000-0000-0000-00000000000a aaaaaaaa-0000-0000-0000-000000000001",
            "00000000-0000-0000-0000-00000000000b aaaaaaaa-0000-0000-0000-000000000002"
        ]
    );
    assert_eq!(found.left_out, 2);

    // A user whom a policy shows a part of it is told so, and gets no part.
    let name = format!("reader_of_{}", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {name} LOGIN; GRANT SELECT ON public.org_integrations TO {name};
             ALTER TABLE public.org_integrations ENABLE ROW LEVEL SECURITY"
        ))
        .unwrap();
    let mut reader = connect(&database.url().replace("postgres@", &format!("{name}@"))).unwrap();
    assert!(matches!(seed_integrations(&mut reader), Err(SeedError::Hidden)));
    drop(reader);
    client.batch_execute(&format!("DROP OWNED BY {name}; DROP ROLE {name}")).unwrap();
}
