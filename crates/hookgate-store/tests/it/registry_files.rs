//! The file of the registry: what is in it, what is not, and older versions of it.

use std::path::Path;

use hookgate_core::event::ClaimKind;
use hookgate_store::{
    ANSWERS_MAX, Answer, BINDINGS_MAX, Begun, CONVERSATIONS_MAX, Erased, ErasureTarget, Options,
    RegistryError, SOURCES_MAX, SourceRow, Store, TENANTS_MAX, TOKENS_MAX, ToolCallState, Written,
    backup, check,
};
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::bench::{Bench, NOON, files, open};
use crate::registry::{NOW, add_tenant, binding, conversation, tenant};
use crate::tool_calls::{new_call, one, write};

/// Which files under a folder hold these bytes.
fn holding(folder: &Path, needle: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files(folder) {
        let bytes = std::fs::read(&file).unwrap_or_default();
        if bytes.windows(needle.len()).any(|it| it == needle) {
            found.push(file.strip_prefix(folder).unwrap().display().to_string());
        }
    }
    found
}

fn fill(folder: &Path, statement: &str, count: u64) {
    let connection = Connection::open(folder.join("registry.sqlite")).unwrap();
    let numbers = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number \
                   WHERE n < ?1)";
    let count = i64::try_from(count).unwrap();
    connection.execute(&format!("{numbers} {statement}"), params![count]).unwrap();
}

#[tokio::test]
async fn no_key_and_no_token_is_in_any_file() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let (_, key) = registry.add_key(&acme, NOW).await.unwrap();
    let (row, token) = registry.add_token("vapi", Some(acme.clone()), NOW).await.unwrap();
    let (_, rotated) =
        registry.rotate_token(&row.id, std::time::Duration::from_hours(1), NOW).await.unwrap();
    let look = |folder: &Path| {
        assert!(!holding(folder, b"acme & Co").is_empty(), "what is no secret is found");
        for secret in [&key, &token, &rotated] {
            // Nor half of it.
            for part in [&secret[secret.len() - 43..][..20], &secret[secret.len() - 22..]] {
                assert_eq!(holding(folder, part.as_bytes()), [""; 0], "{part}");
            }
        }
    };
    look(bench.path());
    let bench = bench.between(look);
    let registry = bench.store.registry();
    assert_eq!(registry.tenant_of_key(key.as_bytes()), Some(acme.clone()));
    for token in [token, rotated] {
        let found = registry.token("vapi", token.as_bytes(), NOW).unwrap();
        assert_eq!(found.tenant, Some(acme.clone()));
    }
}

#[tokio::test]
async fn everything_outlives_a_restart() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    let row = SourceRow {
        name: "acme-vapi".to_owned(),
        provider: "vapi".to_owned(),
        settings: "{}".to_owned(),
        created_at: NOW,
    };
    registry.add_source(row.clone()).await.unwrap();
    let (id, mask) = (bench.store.id(), bench.store.mask_key().hash(b"token"));
    let bench = bench.reopen();
    let registry = bench.store.registry();
    assert_eq!((bench.store.id(), bench.store.mask_key().hash(b"token")), (id, mask));
    assert!(registry.has_tenants() && registry.tenant("acme").is_some());
    assert_eq!(registry.sources().await, [row]);
    let bound = registry.bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    assert!(matches!(bound, Written::Present(_)));
    let known = registry.register_conversation(conversation(&acme, "call-1")).await.unwrap();
    assert!(matches!(known, Written::Present(_)));
}

#[tokio::test]
async fn a_store_of_the_first_version_is_opened_and_keeps_who_it_is() {
    let folder = TempDir::new().unwrap();
    // As it was made before there were tenants.
    let connection = Connection::open(folder.path().join("registry.sqlite")).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
             PRAGMA application_id = 0x484b4752;
             PRAGMA user_version = 1;",
        )
        .unwrap();
    let (key, id) = ([7_u8; 32], [9_u8; 16]);
    connection
        .execute("INSERT INTO meta VALUES ('mask_key', ?1), ('store_id', ?2)", params![key, id])
        .unwrap();
    connection.close().unwrap();

    let store = open(folder.path(), &Options::default());
    let expected = hookgate_core::secret::MaskKey::new(key).hash(b"token");
    assert_eq!(store.mask_key().hash(b"token"), expected);
    let expected = uuid::Builder::from_random_bytes(id).into_uuid();
    assert_eq!(store.id(), expected);
    let acme = add_tenant(store.registry(), "acme").await;
    store.registry().bind(binding(&acme, ClaimKind::Agent, "agent-1")).await.unwrap();
    store.registry().begin_tool_call(new_call(&acme, 1)).await.unwrap();
    store.close();
    drop(store);
    let store = open(folder.path(), &Options::default());
    assert_eq!(store.id(), expected);
    assert!(store.registry().tenant("acme").is_some());
}

#[tokio::test]
async fn a_backup_of_a_store_that_is_in_use_has_the_registry() {
    let bench = Bench::new();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    let (_, key) = bench.store.registry().add_key(&acme, NOW).await.unwrap();
    let target = TempDir::new().unwrap();
    let copy = target.path().join("copy");
    backup(bench.path(), &copy, |_| {}).unwrap();
    assert!(check(&copy, |_| {}).unwrap().is_clean());
    let copied = open(&copy, &Options::default());
    assert_eq!(copied.registry().tenant_of_key(key.as_bytes()), Some(acme));
}

#[tokio::test]
async fn a_closed_store_takes_no_change() {
    let bench = Bench::new();
    let registry = bench.store.registry().clone();
    let acme = add_tenant(&registry, "acme").await;
    bench.store.close();
    let refused = registry.add_key(&acme, NOW).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Unavailable { .. }), "{refused:?}");
    let refused = registry.register_conversation(conversation(&acme, "c")).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Unavailable { .. }), "{refused:?}");
}

#[tokio::test]
async fn what_is_erased_is_in_no_file_afterwards() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    let other = add_tenant(registry, "other").await;
    for number in 0..40 {
        let id = format!("canary-agent-{number}");
        registry.bind(binding(&acme, ClaimKind::Agent, &id)).await.unwrap();
        let id = format!("canary-call-{number}");
        registry.register_conversation(conversation(&acme, &id)).await.unwrap();
        let id = format!("kept-{number}");
        registry.bind(binding(&other, ClaimKind::Agent, &id)).await.unwrap();
    }
    assert!(!holding(bench.path(), b"canary-call-7").is_empty(), "it is found before");
    let target = ErasureTarget::Tenant(tenant("acme"));
    let erasure = registry.add_erasure(target, NOW).await.unwrap().into_inner();
    registry.finish_erasure(&erasure.id, Erased::default(), NOW).unwrap();
    for canary in [&b"canary-"[..], b"acme & Co"] {
        assert_eq!(holding(bench.path(), canary), [""; 0]);
    }
    assert!(!holding(bench.path(), b"kept-39").is_empty());
}

#[tokio::test]
async fn there_is_a_bound_to_everything_that_is_in_memory_or_grows() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path(), &Options::default());
    let acme = add_tenant(store.registry(), "acme").await;
    store.close();
    drop(store);
    fill(
        folder.path(),
        "INSERT INTO tenants (id, name, created_at) SELECT 't' || n, 'T', 0 FROM number",
        TENANTS_MAX - 1,
    );
    fill(
        folder.path(),
        "INSERT INTO sources (name, provider, settings, created_at) \
         SELECT 's' || n, 'vapi', '{}', 0 FROM number",
        SOURCES_MAX,
    );
    fill(
        folder.path(),
        "INSERT INTO url_tokens (id, source, digest, hint, created_at) \
         SELECT 'tok_' || n, 'vapi', CAST(printf('%032d', n) AS BLOB), 'hint', 0 FROM number",
        TOKENS_MAX,
    );
    let connection = Connection::open(folder.path().join("registry.sqlite")).unwrap();
    for (what, max) in [("bindings", BINDINGS_MAX), ("conversations", CONVERSATIONS_MAX)] {
        let full = "UPDATE counts SET n = ?2 WHERE what = ?1";
        connection.execute(full, params![what, i64::try_from(max).unwrap()]).unwrap();
    }
    connection.close().unwrap();
    let store: Store = open(folder.path(), &Options::default());
    let registry = store.registry();
    let row = SourceRow {
        name: "one-more".to_owned(),
        provider: "vapi".to_owned(),
        settings: "{}".to_owned(),
        created_at: NOW,
    };
    for (refused, expected) in [
        (registry.add_tenant(tenant("one-more"), "T".to_owned(), NOW).await.map(drop), TENANTS_MAX),
        (registry.add_source(row).await.map(drop), SOURCES_MAX),
        (registry.add_token("vapi", None, NOW).await.map(drop), TOKENS_MAX),
        (registry.bind(binding(&acme, ClaimKind::Agent, "x")).await.map(drop), BINDINGS_MAX),
        (
            registry.register_conversation(conversation(&acme, "x")).await.map(drop),
            CONVERSATIONS_MAX,
        ),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused, RegistryError::TooMany { max, .. } if max == expected),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn what_is_counted_is_what_is_there() {
    let bench = Bench::new();
    let registry = bench.store.registry();
    let acme = add_tenant(registry, "acme").await;
    for number in 0..5 {
        let id = format!("id-{number}");
        registry.bind(binding(&acme, ClaimKind::Agent, &id)).await.unwrap();
        registry.register_conversation(conversation(&acme, &id)).await.unwrap();
    }
    registry.unbind("vapi", ClaimKind::Agent, "id-3").await.unwrap();
    let counts = || {
        let connection = Connection::open(bench.path().join("registry.sqlite")).unwrap();
        let mut statement = connection.prepare("SELECT n FROM counts ORDER BY what").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap()
    };
    assert_eq!(counts(), [4, 5]);
    let target = ErasureTarget::Tenant(acme);
    registry.add_erasure(target, NOW).await.unwrap();
    assert_eq!(counts(), [0, 0]);
}

#[tokio::test]
async fn the_oldest_answers_go_when_there_are_too_many() {
    let bench = Bench::new().between(|folder| {
        let connection = rusqlite::Connection::open(folder.join("registry.sqlite")).unwrap();
        let fill = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number \
                    WHERE n < ?1) INSERT INTO answers (key, request, status, sealed, at) \
                    SELECT CAST(n AS BLOB), zeroblob(32), 200, zeroblob(8), ?2 FROM number";
        let count = i64::try_from(ANSWERS_MAX).unwrap();
        connection.execute(fill, rusqlite::params![count, NOON]).unwrap();
    });
    let answer = Answer { status: 200, sealed: Vec::new() };
    bench.store.registry().keep_answer("op", "k", [0; 32], answer, NOW).await.unwrap();
    let connection = rusqlite::Connection::open(bench.path().join("registry.sqlite")).unwrap();
    let kept = "SELECT count(*), min(n) FROM answers";
    let (count, oldest): (u64, i64) = connection
        .query_row(kept, [], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))
        .unwrap();
    assert_eq!((count, oldest), (ANSWERS_MAX, 2));
}

#[tokio::test]
async fn who_opens_the_registry_beside_a_gateway_changes_no_call() {
    let bench = Bench::new();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    bench.store.registry().begin_tool_call(write(&acme, 1, 1)).await.unwrap();
    drop(hookgate_store::open_registry(bench.path()).unwrap());
    let kept = one(bench.store.registry(), write(&acme, 1, 1).id).await;
    assert_eq!(kept.state, ToolCallState::Started);
}

#[tokio::test]
async fn a_registry_of_before_there_were_tool_calls_keeps_what_it_has() {
    let bench = Bench::new();
    let acme = add_tenant(bench.store.registry(), "acme").await;
    let bench = bench.between(|folder| {
        let connection = Connection::open(folder.join("registry.sqlite")).unwrap();
        connection
            .execute_batch(
                "DROP TABLE tool_calls; DROP TABLE tool_settings; DROP TABLE attempts; \
                 DROP TABLE deliveries; DROP TABLE destinations; DROP TABLE cursors; \
                 DROP TABLE alerts; DROP TABLE recordings; \
                 PRAGMA user_version = 2;",
            )
            .unwrap();
    });
    let registry = bench.store.registry();
    assert!(registry.tenant("acme").is_some());
    let begun = registry.begin_tool_call(write(&acme, 1, 1)).await.unwrap();
    assert_eq!(begun, Begun::Fresh { generation: 1 });
    registry.set_tool_settings(&acme, Some("{}".to_owned())).await.unwrap();
}
