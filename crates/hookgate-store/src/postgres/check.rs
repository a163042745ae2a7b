//! The full check of a store in PostgreSQL: every body against its digest, every row against
//! its head, and whether each large body belongs to something.

use std::time::Duration;

use postgres::Client;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::PgSettings;
use super::migrations::{MIGRATIONS, version};
use super::pieces::Of;
use super::pool::lost;
use super::query::unsigned;
use crate::error::{OpenError, ReadError};
use crate::head::{self, EventHead, HeaderList};
use crate::maintenance::{MaintenanceError, Progress, Report};
use crate::registry::RecordingId;
use crate::sql::blocking;

/// How long one question may take: some look at every row of a large table.
const ANSWER_MAX: Duration = Duration::from_hours(1);

/// Events read at once: of the largest bodies that stand in rows, half a gigabyte.
const READ_AT_ONCE: i64 = 256;

/// Connects, and checks the store that is there as [`check`] does. Its tables are those of this
/// version, or it is refused: nothing is migrated.
///
/// # Errors
///
/// A [`MaintenanceError`], whose text says what to do.
pub fn check_database(
    settings: &PgSettings,
    progress: impl FnMut(Progress) + Send,
) -> Result<Report, MaintenanceError> {
    let settings = settings.clone().answering_within(ANSWER_MAX);
    blocking(move || {
        let place = settings.to_string();
        let mut client = settings.connect("check").map_err(Box::new)?;
        let known = MIGRATIONS.len() as u64;
        match version(&mut client)? {
            None | Some(0) => return Err(MaintenanceError::NoStore(place)),
            Some(found) if found > known => {
                let path = place.into();
                return Err(OpenError::NewerFormat { path, found, known }.into());
            }
            Some(found) if found < known => {
                return Err(MaintenanceError::Older { place, found, known });
            }
            Some(_) => {}
        }
        check(&mut client, progress)
    })
}

/// Reads every event and every large body, and compares every digest. Changes nothing, and
/// may run beside nodes. `client` is a connection whose role is in `hookgate_app`.
///
/// # Errors
///
/// A [`MaintenanceError`] when something cannot be *read*; what is bad is in the [`Report`].
pub fn check(
    client: &mut Client,
    mut progress: impl FnMut(Progress),
) -> Result<Report, MaintenanceError> {
    let failed = |error: ReadError| {
        let source = match error {
            ReadError::Io(error) => error,
            other => std::io::Error::other(other),
        };
        MaintenanceError::Postgres { source }
    };
    let mut report = Report::default();
    let mut after = -1_i64;
    let total = one(client, "SELECT count(*) FROM events").map_err(failed)?;
    // Each piece is a transaction of its own: a long one would keep the server from making
    // the place of old rows free.
    while let Some(last) = events(client, after, &mut report).map_err(failed)? {
        after = last;
        progress(Progress { stage: "events", done: report.events, total });
    }
    let twice = "SELECT count(*) FROM (SELECT FROM events WHERE dedupe IS NOT NULL \
                 GROUP BY dedupe HAVING count(*) > 1) AS it";
    let twice = one(client, twice).map_err(failed)?;
    report.misindex(twice, || format!("{twice} keys stand for more than one event"));
    let orphans = "SELECT coalesce(sum(octet_length(bytes)), 0)::bigint FROM blobs WHERE NOT EXISTS \
                   (SELECT FROM events WHERE events.blob = blobs.id) AND NOT EXISTS \
                   (SELECT FROM rejections WHERE rejections.blob = blobs.id)";
    // Of requests that are on their way, or never arrived whole.
    report.unfinished = one(client, orphans).map_err(failed)?;
    let mut after = -1_i64;
    for done in 1_u64.. {
        let last = recording(client, after, &mut report).map_err(failed)?;
        let Some(last) = last else { break };
        after = last;
        progress(Progress { stage: "recordings", done, total: 0 });
    }
    let orphans = "SELECT coalesce(sum(octet_length(bytes)), 0)::bigint FROM recording_pieces \
                   WHERE NOT EXISTS (SELECT FROM recordings \
                   WHERE recordings.id = recording_pieces.recording AND state = 'fetched')";
    let unfinished = one(client, orphans).map_err(failed)?;
    report.unfinished = report.unfinished.saturating_add(unfinished);
    Ok(report)
}

/// Runs a statement as the operator, at one moment.
fn transact<T>(
    client: &mut Client,
    work: impl FnOnce(&mut Client) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    client
        .batch_execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL search_path = hookgate, pg_temp; \
             SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = '*'",
        )
        .map_err(|error| lost(&error))?;
    let done = work(client);
    let ended = client.batch_execute("ROLLBACK");
    let value = done?;
    ended.map_err(|error| lost(&error))?;
    Ok(value)
}

fn one(client: &mut Client, sql: &str) -> Result<u64, ReadError> {
    transact(client, |client| Ok(unsigned(client.query_one(sql, &[])?.try_get(0)?)))
}

/// Checks some events; gives the last place, or nothing behind the last.
fn events(client: &mut Client, after: i64, report: &mut Report) -> Result<Option<i64>, ReadError> {
    transact(client, |client| {
        let rows = client.query(
            "SELECT seq, id, received_at, source, erased, head, payload, blob FROM events \
             WHERE seq > $1 ORDER BY seq LIMIT $2",
            &[&after, &READ_AT_ONCE],
        )?;
        let mut last = None;
        for row in &rows {
            let seq: i64 = row.try_get(0)?;
            last = Some(seq);
            report.events = report.events.saturating_add(1);
            report.records = report.records.saturating_add(1);
            let encoded: &[u8] = row.try_get(5)?;
            report.bytes = report.bytes.saturating_add(encoded.len() as u64);
            let Ok(head) = head::decode::<EventHead<'_, HeaderList<'_>>>(encoded) else {
                report.corrupt(|| format!("the head of event {seq} cannot be understood"));
                continue;
            };
            let (id, at): (Uuid, i64) = (row.try_get(1)?, row.try_get(2)?);
            let source: Option<&str> = row.try_get(3)?;
            let is_of_head =
                source.is_some_and(|it| it == super::statement::storable(&head.source));
            if head.id.uuid() != id || head.at != at || !is_of_head {
                report.misindex(1, || format!("the row of event {seq} is not what its head says"));
            }
            let (payload, blob): (Option<&[u8]>, Option<Uuid>) = (row.try_get(6)?, row.try_get(7)?);
            if row.try_get(4)? {
                if payload.is_some() || blob.is_some() {
                    report.corrupt(|| format!("event {seq} is erased and has its body"));
                }
                continue;
            }
            let expected = (head.size, head.sha256.0);
            match (payload, blob) {
                (Some(payload), None) => {
                    report.bytes = report.bytes.saturating_add(payload.len() as u64);
                    let found = (payload.len() as u64, Sha256::digest(payload).into());
                    if found != expected {
                        report.corrupt(|| format!("the body of event {seq} is not what came"));
                    }
                }
                (None, Some(blob)) => {
                    report.blobs = report.blobs.saturating_add(1);
                    let found = large(client, Of::Body(blob))?;
                    report.bytes = report.bytes.saturating_add(found.0);
                    if found != expected {
                        report.bad_blob(|| {
                            format!("the large body of event {seq} is missing, or not what came")
                        });
                    }
                }
                _ => report.corrupt(|| format!("event {seq} has no body, or two")),
            }
        }
        Ok(last)
    })
}

/// Checks the first recording behind a place; gives its place, or nothing behind the last.
fn recording(
    client: &mut Client,
    after: i64,
    report: &mut Report,
) -> Result<Option<i64>, ReadError> {
    transact(client, |client| {
        let select = "SELECT n, id, size, sha256 FROM recordings WHERE n > $1 \
                      AND state = 'fetched' ORDER BY n LIMIT 1";
        let Some(row) = client.query_opt(select, &[&after])? else { return Ok(None) };
        let (id, size): (Vec<u8>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        let sha256: Option<&[u8]> = row.try_get(3)?;
        let id = Uuid::from_slice(&id).unwrap_or_default();
        let (bytes, digest) = large(client, Of::Recording(id))?;
        report.blobs = report.blobs.saturating_add(1);
        report.bytes = report.bytes.saturating_add(bytes);
        if size.map(unsigned) != Some(bytes) || sha256 != Some(digest.as_slice()) {
            let id = RecordingId(id);
            report.bad_blob(|| format!("recording {id} is missing, or not what came"));
        }
        Ok(Some(row.try_get(0)?))
    })
}

/// Length and digest of a large body or a recording, one piece in memory.
fn large(client: &mut Client, of: Of) -> Result<(u64, [u8; 32]), ReadError> {
    let (mut digest, mut bytes, mut last) = (Sha256::new(), 0_u64, None);
    while let Some((number, piece)) = of.piece_after(client, last)? {
        last = Some(number);
        bytes = bytes.saturating_add(piece.len() as u64);
        digest.update(&piece);
    }
    Ok((bytes, digest.finalize().into()))
}
