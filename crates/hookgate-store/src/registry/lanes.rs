//! Which delivery may be tried next, kept up to date with each change, so that asking for it
//! is cheap however many wait.
//!
//! What holds after each transaction:
//!
//! - **Of a lane one delivery has a due time.** A lane is a conversation at a destination that
//!   wants its events in order; the others wait without one, and get it one after the other.
//! - **`ready_at` is never too late.** No enabled destination has something to lease before
//!   its `ready_at`; it may be too early, and whoever looks then mends it.

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::delivery::{Breaker, PROBE_AFTER_MAX, Rate};
use hookgate_core::time::Timestamp;

use super::columns;
use super::error::Stop;

/// Whether one of a lane has a due time.
pub(super) const ACTIVE: &str = "SELECT 1 FROM deliveries WHERE destination = ?1 AND lane = ?2 \
                                 AND state = 'pending' AND due >= 0 LIMIT 1";

/// The first of a lane that waits.
pub(super) const NEXT_OF_LANE: &str = "SELECT n FROM deliveries WHERE destination = ?1 \
                                       AND lane = ?2 AND state = 'pending' AND due IS NULL \
                                       ORDER BY n LIMIT 1";

/// When the next one of a destination is due.
pub(super) const NEXT_DUE: &str = "SELECT due FROM deliveries WHERE destination = ?1 \
                                   AND state = 'pending' AND token IS NULL AND due IS NOT NULL \
                                   ORDER BY due LIMIT 1";

/// How many of a destination are being tried.
pub(super) const LEASED: &str =
    "SELECT count(*) FROM deliveries WHERE destination = ?1 AND token IS NOT NULL";

/// What decides about leases of a destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    pub(super) concurrency: u32,
    pub(super) rate: Option<Rate>,
    pub(super) breaker: Breaker,
    pub(super) full_at: i64,
}

impl Flow {
    pub(super) const COLUMNS: &str = "concurrency, rate, failures, probes, probe_at, full_at";

    pub(super) fn read(row: &Row<'_>) -> Result<Self, sql::Error> {
        Ok(Self {
            concurrency: row.get("concurrency")?,
            rate: row.get::<_, Option<u32>>("rate")?.map(Rate::per_second),
            breaker: breaker(row)?,
            full_at: row.get("full_at")?,
        })
    }
}

pub(super) fn breaker(row: &Row<'_>) -> Result<Breaker, sql::Error> {
    Ok(Breaker {
        failures: row.get("failures")?,
        probes: row.get("probes")?,
        probe_at: columns::time_if_any(row, "probe_at")?,
    })
}

/// How many deliveries of a destination are being tried.
pub(super) fn leased(connection: &Connection, destination: i64) -> Result<u32, sql::Error> {
    connection.prepare_cached(LEASED)?.query_row([destination], |row| row.get(0))
}

/// The due time of one that joins a lane, or no lane: none if another one comes first.
pub(super) fn due(
    connection: &Connection,
    destination: i64,
    lane: Option<&str>,
    now: Timestamp,
) -> Result<Option<i64>, sql::Error> {
    let Some(lane) = lane else { return Ok(Some(now.millis())) };
    let is_active = connection.prepare_cached(ACTIVE)?.exists(params![destination, lane])?;
    Ok((!is_active).then_some(now.millis()))
}

/// Lets the first of a lane that waits be tried, unless one is already.
pub(super) fn promote(
    connection: &Connection,
    destination: i64,
    lane: &str,
    now: Timestamp,
) -> Result<(), Stop> {
    let Some(due) = due(connection, destination, Some(lane), now)? else { return Ok(()) };
    let mut next = connection.prepare_cached(NEXT_OF_LANE)?;
    let next = next.query_row(params![destination, lane], |row| row.get::<_, i64>(0));
    if let Some(next) = next.optional()? {
        let update = "UPDATE deliveries SET due = ?2 WHERE n = ?1";
        connection.prepare_cached(update)?.execute([next, due])?;
    }
    Ok(())
}

/// Puts what waits for a destination into lanes, or takes it out of them.
pub(super) fn rearrange(
    connection: &Connection,
    destination: i64,
    ordered: bool,
    now: Timestamp,
) -> Result<(), Stop> {
    if !ordered {
        let update = "UPDATE deliveries SET lane = NULL, due = coalesce(due, ?2) \
                      WHERE destination = ?1 AND state = 'pending' AND lane IS NOT NULL";
        connection.execute(update, [destination, now.millis()])?;
        return Ok(());
    }
    // What is being tried stays so, and its lane goes on when it ends.
    let update = "UPDATE deliveries SET lane = provider || ':' || conversation, \
                  due = CASE WHEN token IS NULL THEN NULL ELSE due END WHERE destination = ?1 \
                  AND state = 'pending' AND conversation IS NOT NULL";
    connection.execute(update, [destination])?;
    let mut lanes = connection.prepare(
        "SELECT DISTINCT lane FROM deliveries WHERE destination = ?1 AND state = 'pending' \
         AND lane IS NOT NULL",
    )?;
    let lanes = lanes.query_map([destination], |row| row.get(0))?;
    for lane in lanes.collect::<Result<Vec<String>, _>>()? {
        promote(connection, destination, &lane, now)?;
    }
    Ok(())
}

/// The lane of a conversation's events.
pub(super) fn lane(provider: &str, conversation: &str) -> String {
    format!("{provider}:{conversation}")
}

/// Notes that a destination has something that is due then. While its breaker is open nothing
/// comes before the next probe: who looked for it would find nothing.
pub(super) fn ready(connection: &Connection, destination: i64, at: i64) -> Result<(), Stop> {
    let select = "SELECT ready_at, probe_at FROM destinations WHERE n = ?1";
    let found = connection.prepare_cached(select)?.query_row([destination], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    });
    let Some((before, probe_at)) = found.optional()? else { return Ok(()) };
    let ahead = |it: &i64| Timestamp::from_millis(*it).ahead(Timestamp::from_millis(at));
    // Further ahead than any is put: the clock was set back.
    let probe_at = probe_at.filter(|it| ahead(it) <= PROBE_AFTER_MAX);
    let at = probe_at.map_or(at, |it| it.max(at));
    if before.is_none_or(|before| before > at) {
        let update = "UPDATE destinations SET ready_at = ?2 WHERE n = ?1";
        connection.prepare_cached(update)?.execute([destination, at])?;
    }
    Ok(())
}

/// Says anew when a destination has something to lease. Behind those that wait already, if
/// that is now. Gives when.
pub(super) fn refresh(
    connection: &Connection,
    destination: i64,
    now: Timestamp,
) -> Result<Option<Timestamp>, Stop> {
    let select = format!("SELECT {} FROM destinations WHERE n = ?1", Flow::COLUMNS);
    let flow = connection.prepare_cached(&select)?.query_row([destination], Flow::read);
    let Some(flow) = flow.optional()? else { return Ok(None) };
    let mut next = connection.prepare_cached(NEXT_DUE)?;
    let next = next.query_row([destination], |row| row.get(0)).optional()?;
    let ready_at = match next {
        None => None,
        Some(due) => {
            let leased = leased(connection, destination)?;
            ready_at(&flow, Timestamp::from_millis(due), leased, now)
        }
    };
    let update =
        "UPDATE destinations SET ready_at = ?2 WHERE n = ?1 AND ready_at IS DISTINCT FROM ?2";
    let millis = ready_at.map(Timestamp::millis);
    connection.prepare_cached(update)?.execute(params![destination, millis])?;
    Ok(ready_at)
}

/// When one that is due then can be leased; nothing: not before another one is settled.
fn ready_at(flow: &Flow, due: Timestamp, leased: u32, now: Timestamp) -> Option<Timestamp> {
    let mut at = due.max(now);
    match flow.breaker.probe_at {
        None if leased >= flow.concurrency => return None,
        Some(_) if leased > 0 => return None,
        // Further ahead than any is put: the clock was set back.
        Some(probe) if probe.ahead(now) <= PROBE_AFTER_MAX => at = at.max(probe),
        None | Some(_) => {}
    }
    if let Some(rate) = flow.rate {
        at = at.max(rate.next(flow.full_at, now));
    }
    Some(at)
}
