//! Deliveries behind a breaker that stays open: their schedule goes on without them.
//!
//! While a breaker is open one delivery at a time is tried, so that of many most are never.
//! Each of them has as long as its schedule takes, as if it had been tried: when probes have
//! failed for that long, what was due for that long is given up, with an entry in its history
//! that says why.

use std::time::Duration;

use crate::sql::{Connection, params};
use hookgate_core::delivery::Breaker;
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::{DeliveryStatus, lanes};

/// Deliveries given up with one failed probe: there is one in a minute, and what is due
/// elsewhere waits for the transaction.
const GIVEN_UP_AT_ONCE: u32 = 512;

/// Why, in the history of a delivery.
const REASON: &str = "breaker_open";

/// What was due before a moment and is not tried. A test is due before everything, and is none.
pub(super) const OVERDUE: &str = "SELECT n, lane, due FROM deliveries WHERE destination = ?1 \
     AND state = 'pending' AND token IS NULL AND due IS NOT NULL AND due > 0 AND due < ?2 \
     ORDER BY due LIMIT ?3";

/// Gives up what has been due for as long as the schedule takes. Called when a probe has failed.
pub(super) fn give_up(
    connection: &Connection,
    destination: i64,
    breaker: &Breaker,
    schedule: &[Duration],
    now: Timestamp,
) -> Result<(), Stop> {
    let whole = schedule.iter().fold(Duration::ZERO, |sum, it| sum.saturating_add(*it));
    // What is tried once, a test, says nothing of the schedule.
    if schedule.is_empty() || !breaker.has_failed_for(whole) {
        return Ok(());
    }
    let whole = i64::try_from(whole.as_millis()).unwrap_or(i64::MAX);
    let before = now.millis().saturating_sub(whole);
    let mut overdue = connection.prepare_cached(OVERDUE)?;
    let overdue = overdue.query_map(params![destination, before, GIVEN_UP_AT_ONCE], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, i64>(2)?))
    })?;
    for (n, lane, due) in overdue.collect::<Result<Vec<_>, _>>()? {
        let update = "UPDATE deliveries SET state = ?2, due = NULL, finished_at = ?3 WHERE n = ?1";
        let failed = DeliveryStatus::Failed.name();
        connection.prepare_cached(update)?.execute(params![n, failed, now.millis()])?;
        let note = "INSERT INTO attempts (delivery, at, error, micros) VALUES (?1, ?2, ?3, 0)";
        connection.prepare_cached(note)?.execute(params![n, now.millis(), REASON])?;
        if let Some(lane) = lane {
            lanes::promote(connection, destination, &lane, now)?;
            // The next one waited behind it, and its time went by as well.
            let inherit = "UPDATE deliveries SET due = CASE WHEN created_at > ?3 THEN created_at \
                           ELSE ?3 END WHERE destination = ?1 AND lane = ?2 \
                           AND state = 'pending' AND token IS NULL AND due IS NOT NULL";
            connection.prepare_cached(inherit)?.execute(params![destination, lane, due])?;
        }
    }
    Ok(())
}
