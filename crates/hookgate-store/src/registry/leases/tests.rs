//! That a lease costs the same however much waits: counted in steps of the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::*;
use crate::lock;
use crate::registry::lanes::{ACTIVE, LEASED, NEXT_DUE, NEXT_OF_LANE};
use crate::registry::overdue::OVERDUE;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Destinations, of which the first has its breaker open, with so many deliveries that wait
/// for each.
fn fill(connection: &Connection, destinations: i64, deliveries: i64) {
    let settings = r#"{"kind":"http","url":"https://hooks.example/"}"#;
    let numbers = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number \
                   WHERE n < ?1)";
    let probe = NOW.plus(Duration::from_mins(1)).millis();
    let insert = format!(
        "{numbers} INSERT INTO destinations (id, settings, concurrency, ordered, sealed, \
         ready_at, probe_at, failures, created_at, updated_at) \
         SELECT randomblob(16), ?2, 64, n % 2, x'00', 0, iif(n = 1, {probe}, NULL), 20, 0, 0 \
         FROM number"
    );
    connection.execute(&insert, params![destinations, settings]).unwrap();
    let insert = format!(
        "{numbers} INSERT INTO deliveries (id, destination, event, seq, replay, source, \
         provider, conversation, kind, lane, state, due, received_at, created_at) \
         SELECT randomblob(16), d.n, randomblob(16), number.n, 0, 'vapi', 'vapi', 'one', \
         'call.ended', iif(d.ordered, 'vapi:one', NULL), 'pending', \
         iif(d.ordered AND number.n > 1, NULL, 0), 0, 0 FROM number, destinations AS d"
    );
    connection.execute(&insert, [deliveries]).unwrap();
}

/// Steps that leasing and settling some takes.
fn steps(destinations: i64, deliveries: i64) -> u64 {
    let folder = tempfile::TempDir::new().unwrap();
    let registry = crate::registry::open(&folder.path().join("registry.sqlite")).unwrap();
    let mut writer = lock(&registry.shared.writer);
    fill(writer.as_sqlite().unwrap(), destinations, deliveries);
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let count = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    };
    // Whoever leases first mends what is not said exactly yet.
    let until = NOW.plus(Duration::from_secs(30));
    lease(&writer, NOW, 1, until).unwrap();
    writer.as_sqlite_mut().unwrap().progress_handler(1, Some(count)).unwrap();
    let leased = lease(&writer, NOW, 64, until).unwrap();
    assert_eq!(leased.len(), 64);
    for one in leased {
        let settling = Settling {
            delivery: one.delivery,
            token: one.token,
            outcome: AttemptOutcome::Delivered { status: 200 },
            began_at: NOW,
            now: NOW,
            took: Duration::ZERO,
            response: None,
            schedule: Arc::from([]),
            random: 0.5,
        };
        settle_one(&writer, &settling).unwrap().expect("the lease is not lost");
    }
    writer.as_sqlite_mut().unwrap().progress_handler::<fn() -> bool>(0, None).unwrap();
    steps.load(Ordering::Relaxed)
}

#[test]
fn a_lease_among_a_hundred_thousand_costs_what_one_among_a_thousand_does() {
    let few = steps(10, 100);
    let many = steps(10, 10_000);
    assert!(many < few * 3 / 2, "{many} steps against {few}");
    assert!(few < 64 * 1_000, "{few} steps for 64 deliveries");
}

#[test]
fn no_statement_of_a_lease_reads_a_whole_table() {
    let folder = tempfile::TempDir::new().unwrap();
    let registry = crate::registry::open(&folder.path().join("registry.sqlite")).unwrap();
    let writer = lock(&registry.shared.writer);
    let writer = writer.as_sqlite().unwrap();
    fill(writer, 10, 100);
    for select in [READY, DUE, OVER, ACTIVE, LEASED, NEXT_DUE, NEXT_OF_LANE, OVERDUE] {
        let mut plan = writer.prepare(&format!("EXPLAIN QUERY PLAN {select}")).unwrap();
        let count = plan.parameter_count();
        let values = std::iter::repeat_n(rusqlite::types::Value::Null, count);
        let lines = plan.query_map(rusqlite::params_from_iter(values), |row| row.get("detail"));
        let lines: Vec<String> = lines.unwrap().collect::<Result<_, _>>().unwrap();
        let is_search = |it: &String| it.starts_with("SEARCH") && it.contains("INDEX");
        assert!(lines.iter().all(is_search), "{select}: {lines:?}");
    }
}
