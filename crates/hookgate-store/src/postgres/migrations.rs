//! The tables in PostgreSQL, and how those of an older version become those of this one.
//!
//! A migration is a file of statements that is never changed once it was released, only added
//! to. Nodes of the version before may run while one is applied: what it takes away, a later
//! release takes away (expand, then contract).
//!
//! What holds:
//!
//! - **One node migrates**, whoever else starts meanwhile waits for it.
//! - **A migration is there whole or not at all.**
//! - **Tables of a newer version are not touched**, nor opened.

use postgres::error::SqlState;
use postgres::{Client, Transaction};

use super::role::{ensure_role, ensure_within};
use crate::error::OpenError;

/// The migrations, in order; each brings the tables to the version that is its place.
pub(crate) const MIGRATIONS: &[(&str, &str)] = &[
    ("registry", include_str!("migrations/0001_registry.sql")),
    ("events", include_str!("migrations/0002_events.sql")),
    ("views", include_str!("migrations/0003_views.sql")),
    ("reading", include_str!("migrations/0004_reading.sql")),
    ("alerts", include_str!("migrations/0005_alerts.sql")),
    ("recordings", include_str!("migrations/0006_recordings.sql")),
    ("conversations", include_str!("migrations/0007_conversations.sql")),
    ("recording_pieces", include_str!("migrations/0008_recording_pieces.sql")),
];

/// The lock of whoever migrates: for the session, since a migration is several transactions.
/// (The letters `HKGM`.)
const LOCK: i64 = 0x484b_474d;

/// Brings the tables to this version. A login that may make no tables will do when they are
/// there already.
///
/// # Errors
///
/// An [`OpenError`]: nothing, or whole migrations, were applied.
pub(crate) fn migrate(client: &mut Client) -> Result<(), OpenError> {
    migrate_to(client, MIGRATIONS)
}

fn migrate_to(client: &mut Client, migrations: &[(&str, &str)]) -> Result<(), OpenError> {
    let known = migrations.len() as u64;
    if version(client)? == Some(known) {
        return Ok(());
    }
    // Whoever migrates before may take its time. The connection has no other use after this.
    client
        .batch_execute(&format!(
            "SET statement_timeout = 0; SET client_min_messages = warning; \
             SELECT pg_advisory_lock({LOCK})"
        ))
        .map_err(OpenError::postgres)?;
    let done = apply(client, migrations);
    let unlocked = client.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})"));
    done?;
    unlocked.map_err(OpenError::postgres)
}

fn apply(client: &mut Client, migrations: &[(&str, &str)]) -> Result<(), OpenError> {
    let found = known_version(client, migrations)?;
    ensure_role(client).map_err(OpenError::postgres)?;
    let mut transaction = client.transaction().map_err(OpenError::postgres)?;
    make_schema(&mut transaction)?;
    transaction
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS hookgate.migrations (version BIGINT PRIMARY KEY, \
             name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now())",
        )
        .and_then(|()| transaction.commit())
        .map_err(OpenError::postgres)?;
    let missing = (1_u64..).zip(migrations).filter(|(version, _)| *version > found);
    for (version, (name, statements)) in missing {
        let mut transaction = client.transaction().map_err(OpenError::postgres)?;
        let done = transaction
            .batch_execute(&format!("SET LOCAL search_path = hookgate; {statements}"))
            .and_then(|()| {
                let insert = "INSERT INTO hookgate.migrations (version, name) VALUES ($1, $2)";
                let version = i64::try_from(version).unwrap_or(i64::MAX);
                transaction.execute(insert, &[&version, name])
            })
            .and_then(|_| transaction.commit());
        done.map_err(OpenError::postgres)?;
    }
    Ok(())
}

fn known_version(client: &mut Client, migrations: &[(&str, &str)]) -> Result<u64, OpenError> {
    let found = version(client)?.unwrap_or(0);
    let known = migrations.len() as u64;
    if found > known {
        let path = "the schema hookgate in PostgreSQL".into();
        return Err(OpenError::NewerFormat { path, found, known });
    }
    Ok(found)
}

/// Makes the schema if it is not there.
fn make_schema(transaction: &mut Transaction<'_>) -> Result<(), OpenError> {
    let who = "SELECT quote_ident(current_user), quote_ident(current_database())";
    let who = transaction.query_one(who, &[]).map_err(OpenError::postgres)?;
    let made = transaction.batch_execute("CREATE SCHEMA IF NOT EXISTS hookgate");
    made.map_err(|source| match source.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            OpenError::NoSchema { login: who.get(0), database: who.get(1), source }
        }
        _ => OpenError::postgres(source),
    })
}

/// Whether a node could begin with this database: does what the first one does, but for the
/// tables, and takes it back.
///
/// # Errors
///
/// An [`OpenError`], whose text says what to do.
pub fn rehearse(client: &mut Client) -> Result<(), OpenError> {
    let found = known_version(client, MIGRATIONS)?;
    let mut transaction = client.transaction().map_err(OpenError::postgres)?;
    ensure_within(&mut transaction).map_err(OpenError::postgres)?;
    // Who finds the tables as they are to be makes none.
    if found < MIGRATIONS.len() as u64 {
        make_schema(&mut transaction)?;
    }
    transaction.rollback().map_err(OpenError::postgres)
}

/// The version of the tables; nothing if there are none.
///
/// # Errors
///
/// An [`OpenError`] when the database cannot be asked.
pub(crate) fn version(client: &mut Client) -> Result<Option<u64>, OpenError> {
    let exists = "SELECT to_regclass('hookgate.migrations') IS NOT NULL";
    let exists: bool = client.query_one(exists, &[]).map_err(OpenError::postgres)?.get(0);
    if !exists {
        return Ok(None);
    }
    let select = "SELECT coalesce(max(version), 0) FROM hookgate.migrations";
    let version: i64 = client.query_one(select, &[]).map_err(OpenError::postgres)?.get(0);
    Ok(Some(u64::try_from(version).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use hookgate_testpg::Cluster;

    use super::*;

    /// Rows of each migration, put in when it was the last one, and a question that finds them.
    const SAMPLES: &[(&str, &str)] = &[
        (
            "INSERT INTO hookgate.tenants (id, name, created_at) VALUES ('acme', 'Acme', 1);
             INSERT INTO hookgate.bindings (tenant, provider, kind, external_id, created_at)
             VALUES ('acme', 'vapi', 'agent', 'agent-1', 1);
             INSERT INTO hookgate.destinations
             (id, tenant, settings, concurrency, ordered, sealed, created_at, updated_at)
             VALUES ('\\x01', 'acme', '{}', 1, 0, '', 1, 1);
             INSERT INTO hookgate.deliveries (id, destination, event, seq, replay, source,
             provider, kind, state, received_at, created_at)
             SELECT '\\x02', n, '\\x03', 1, 0, 'vapi', 'vapi', 'call.ended', 'pending', 1, 1
             FROM hookgate.destinations",
            "SELECT (SELECT n FROM hookgate.counts WHERE what = 'bindings')
             + (SELECT count(*) FROM hookgate.deliveries WHERE state = 'pending')
             + (SELECT count(*) FROM hookgate.tenants WHERE id = 'acme' AND erasing = 0)",
        ),
        (
            "INSERT INTO hookgate.events (seq, id, log, received_at, status, verdict, head)
             VALUES (1, gen_random_uuid(), 0, 1, 0, 0, '');
             INSERT INTO hookgate.blobs VALUES (gen_random_uuid(), 0, 1, '');
             INSERT INTO hookgate.repetitions VALUES (2, gen_random_uuid(), 1, 1, 'c')",
            "SELECT (SELECT count(*) FROM hookgate.events WHERE seq = 1)
             + (SELECT count(*) FROM hookgate.blobs) + (SELECT count(*) FROM hookgate.repetitions)",
        ),
        (
            "INSERT INTO hookgate.events
             (seq, id, log, received_at, provider, status, verdict, tenant, head, payload)
             SELECT n, gen_random_uuid(), 0, 1, 'mightycall', 0, 1, 'acme', '', '{}'
             FROM generate_series(11, 13) AS n",
            "SELECT count(*) FROM set_config('hookgate.tenant', 'acme', false),
             hookgate.mightycall_raw_events WHERE payload = '{}'",
        ),
        (
            "INSERT INTO hookgate.spans VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3)",
            "SELECT count(*) FROM hookgate.spans",
        ),
        (
            "INSERT INTO hookgate.alerts (id, kind, subject, text, facts, raised_at)
             SELECT decode(to_hex(n), 'hex'), 'k', n, 't', '{}', 1 FROM generate_series(16, 18) AS n",
            "SELECT count(*) FROM hookgate.alerts WHERE cleared_at IS NULL",
        ),
        (
            "INSERT INTO hookgate.recordings
             (id, event, seq, place, source, provider, kind, state, received_at, created_at)
             SELECT decode(to_hex(n), 'hex'), '\\x03', 1, n, 'vapi', 'vapi', 'mixed', 'pending', 1, 1
             FROM generate_series(16, 18) AS n",
            "SELECT count(*) FROM hookgate.recordings WHERE state = 'pending' AND attempts = 0",
        ),
        (
            "INSERT INTO hookgate.folded (n, tenant, provider, external_id, began_at,
             received_at, events, words_mark, state)
             VALUES (1, 'acme', 'vapi', 'call', 1, 1, 1, 0, '{}');
             INSERT INTO hookgate.folded_entries (seq, n) VALUES (1, 1);
             INSERT INTO hookgate.folded_words (n, terms) VALUES (1, 'word')",
            "SELECT (SELECT count(*) FROM hookgate.folded WHERE tenant = 'acme')
             + (SELECT count(*) FROM hookgate.folded_entries)
             + (SELECT count(*) FROM hookgate.folded_with('word'))",
        ),
        (
            "INSERT INTO hookgate.recording_pieces
             SELECT decode(to_hex(n), 'hex'), 0, 'sound' FROM generate_series(16, 18) AS n",
            "SELECT count(*) FROM hookgate.recording_pieces",
        ),
    ];

    fn finds(client: &mut Client, question: &str) -> i64 {
        client.query_one(question, &[]).unwrap().get(0)
    }

    #[test]
    fn what_is_in_the_tables_outlives_every_migration() {
        assert_eq!(SAMPLES.len(), MIGRATIONS.len(), "each migration has its sample");
        for from in 1..=MIGRATIONS.len() {
            let database = Cluster::shared().database();
            let mut client = database.connect();
            for (version, (sample, _)) in (1..=from).zip(SAMPLES) {
                migrate_to(&mut client, MIGRATIONS.get(..version).unwrap()).unwrap();
                client.batch_execute(sample).unwrap();
            }
            migrate(&mut client).unwrap();
            migrate(&mut client).unwrap();
            for (_, question) in SAMPLES.iter().take(from) {
                assert_eq!(finds(&mut client, question), 3, "from {from}: {question}");
            }
        }
    }

    #[test]
    fn tables_of_a_newer_version_are_refused() {
        let database = Cluster::shared().database();
        let mut client = database.connect();
        migrate(&mut client).unwrap();
        client.batch_execute("INSERT INTO hookgate.migrations VALUES (99, 'later')").unwrap();
        let refused = migrate(&mut client).unwrap_err();
        assert!(matches!(refused, OpenError::NewerFormat { found: 99, .. }), "{refused:?}");
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let database = Cluster::shared().database();
        let mut client = database.connect();
        let broken =
            [("fine", "CREATE TABLE one (n INT)"), ("broken", "CREATE TABLE two (n INT); x")];
        migrate_to(&mut client, &broken).unwrap_err();
        assert_eq!(version(&mut client).unwrap(), Some(1));
        let two = "SELECT count(*) FROM pg_class WHERE relname = 'two'";
        assert_eq!(finds(&mut client, two), 0);
        let mended = [("fine", ""), ("mended", "CREATE TABLE two (n INT)")];
        migrate_to(&mut client, &mended).unwrap();
        assert_eq!(finds(&mut client, two), 1);
    }
}
