//! How a node begins: with its database, or with what it wrote down when that was there last;
//! and what it makes up for when the database comes.

use std::thread;
use std::time::{Duration, Instant};

use super::cached::{CacheFile, Snapshot};
use super::large;
use super::migrations::migrate;
use super::outage::{PROBE_PAUSE_MAX, PROBE_PAUSE_MIN};
use super::url::PgSettings;
use crate::error::OpenError;
use crate::registry::Registry;
use crate::rejections::now;

/// With what a node begins.
pub(super) struct Beginning {
    pub(super) registry: Registry,
    /// The last place that was given; nothing if the database was not seen.
    pub(super) last_seq: Option<u64>,
}

/// Begins with the database; else with what is in the file, if it is any good; else waits.
pub(super) fn begin(
    settings: &PgSettings,
    cache: Option<&CacheFile>,
    patience: Duration,
) -> Result<Beginning, OpenError> {
    let began = Instant::now();
    let mut pause = PROBE_PAUSE_MIN;
    let mut is_first = true;
    loop {
        let cause = match meet(settings) {
            Err(error) if error.may_pass() => error,
            done => return done,
        };
        if is_first && let Some(snapshot) = cache.and_then(CacheFile::read) {
            return Ok(remember(settings, snapshot, &cause));
        }
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() {
            if patience.is_zero() {
                return Err(cause);
            }
            return Err(OpenError::Away { waited: patience, source: Box::new(cause) });
        }
        if is_first {
            tracing::warn!(
                seconds = patience.as_secs(),
                cause = reason(&cause),
                "PostgreSQL is away, and nothing that this node could serve with is on its disk: \
                 waiting for it"
            );
        }
        is_first = false;
        thread::sleep(pause.min(left));
        pause = pause.saturating_mul(2).min(PROBE_PAUSE_MAX);
    }
}

/// Begins with the database.
fn meet(settings: &PgSettings) -> Result<Beginning, OpenError> {
    let registry = Registry::open_postgres(settings)?;
    let last_seq = Some(first_look(settings)?);
    Ok(Beginning { registry, last_seq })
}

/// Begins with what was written down.
fn remember(settings: &PgSettings, snapshot: Snapshot, cause: &OpenError) -> Beginning {
    tracing::warn!(
        cause = reason(cause),
        age_seconds = snapshot.age(now()).as_secs(),
        "PostgreSQL is away: this node serves with what it knew of it last"
    );
    settings.guard.close();
    Beginning { registry: Registry::remember(settings, snapshot), last_seq: None }
}

/// What is done when the database is there for the first time: what a start would have done.
/// Gives the last place in it. From then on everybody connects.
pub(super) fn arrive(settings: &PgSettings) -> Result<u64, OpenError> {
    let mut client = settings.connect_first("arrival").map_err(OpenError::postgres)?;
    migrate(&mut client)?;
    drop(client);
    settings.guard.open();
    first_look(settings)
}

/// The last place that was given; removes large bodies that nobody has, too.
fn first_look(settings: &PgSettings) -> Result<u64, OpenError> {
    let mut client = settings.connect("events").map_err(OpenError::postgres)?;
    let row = large::transact(&mut client, |client| {
        client.query_opt("SELECT n FROM versions WHERE topic = 'events'", &[])
    });
    let row = row.map_err(OpenError::postgres)?;
    let last: i64 = row.map_or(Ok(0), |it| it.try_get(0)).map_err(OpenError::postgres)?;
    let orphans = large::remove_orphans(&mut client).map_err(OpenError::postgres)?;
    if orphans > 0 {
        tracing::info!(
            pieces = orphans,
            "large bodies of requests that were never accepted were removed"
        );
    }
    Ok(u64::try_from(last).unwrap_or(0))
}

/// Why a database is away, for a log.
fn reason(error: &OpenError) -> String {
    let OpenError::Postgres(cause) = error else { return error.to_string() };
    cause.to_string()
}
