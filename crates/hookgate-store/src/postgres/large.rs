//! Large bodies: from a file of the node into pieces in the database.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use postgres::{Client, Error};
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::options::Ring;
use crate::rejections::now;

/// The bytes of a piece.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// How long pieces may be there without an event or a refused request that has them: longer
/// than anybody takes to commit one.
const ORPHAN_MAX: Duration = Duration::from_hours(1);

/// How a transaction of these begins.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL search_path = hookgate, pg_temp; \
    SET LOCAL ROLE hookgate_app; SET LOCAL hookgate.tenant = '*'";

/// Why a body could not be put into the database.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    /// The file cannot be read.
    #[error("the file of a large body cannot be read")]
    File(#[source] io::Error),
    /// The database takes it not.
    #[error("PostgreSQL does not take a large body")]
    Database(#[source] Error),
}

/// Runs a transaction, as the operator.
pub(super) fn transact<T>(
    client: &mut Client,
    work: impl FnOnce(&mut Client) -> Result<T, Error>,
) -> Result<T, Error> {
    client.batch_execute(BEGIN)?;
    let done = work(client);
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    match (done, client.batch_execute(end)) {
        (Ok(value), Ok(())) => Ok(value),
        (Ok(_), Err(error)) | (Err(error), _) => Err(error),
    }
}

/// Puts a body into the database, a piece a transaction. Doing it twice is fine. A body that
/// is there already, of a refused request, only becomes young again.
pub(super) fn upload(client: &mut Client, blobs: &Blobs, id: [u8; 16]) -> Result<(), UploadError> {
    let blob = Uuid::from_bytes(id);
    let mut file = match blobs.open_file(id) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let touched = transact(client, |client| {
                let sql = "UPDATE blobs SET at = $2 WHERE id = $1";
                client.execute(sql, &[&blob, &now().millis()])
            });
            return match touched.map_err(UploadError::Database)? {
                0 => Err(UploadError::File(error)),
                _ => Ok(()),
            };
        }
        file => file.map_err(UploadError::File)?,
    };
    upload_file(client, &mut file, id)
}

/// The same for a file that somebody else has.
pub(super) fn upload_file(
    client: &mut Client,
    file: &mut File,
    id: [u8; 16],
) -> Result<(), UploadError> {
    let blob = Uuid::from_bytes(id);
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    for number in 0_i32.. {
        piece.clear();
        let part = (&mut *file).take(PIECE_BYTES as u64).read_to_end(&mut piece);
        if part.map_err(UploadError::File)? == 0 {
            break;
        }
        let put = |client: &mut Client| {
            client.execute(
                "INSERT INTO blobs (id, n, at, bytes) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id, n) DO UPDATE SET at = excluded.at, bytes = excluded.bytes",
                &[&blob, &number, &now().millis(), &piece],
            )
        };
        transact(client, put).map_err(UploadError::Database)?;
    }
    Ok(())
}

/// Removes pieces that belong to nothing and are old enough to stay so.
pub(super) fn remove_orphans(client: &mut Client) -> Result<u64, Error> {
    let old = i64::try_from(ORPHAN_MAX.as_millis()).unwrap_or(i64::MAX);
    let before = now().millis().saturating_sub(old);
    transact(client, |client| {
        client.execute(
            "DELETE FROM blobs WHERE id IN (
                 SELECT it.id FROM blobs AS it WHERE NOT EXISTS
                     (SELECT 1 FROM events WHERE events.blob = it.id)
                 AND NOT EXISTS (SELECT 1 FROM rejections WHERE rejections.blob = it.id)
                 GROUP BY it.id HAVING max(it.at) < $1
             )",
            &[&before],
        )
    })
}

/// A table that is a ring: which rows of it are, and who else may have their bodies.
pub(super) struct Trimmed {
    table: &'static str,
    rows: &'static str,
    other: &'static str,
}

/// Events without proof.
pub(super) const UNPROVEN: Trimmed =
    Trimmed { table: "events", rows: "log = 1", other: "rejections" };

/// Refused requests.
pub(super) const REFUSED: Trimmed = Trimmed { table: "rejections", rows: "true", other: "events" };

/// Removes what a ring has no room for, the oldest first.
pub(super) fn trim(client: &mut Client, from: &Trimmed, ring: Ring) -> Result<u64, Error> {
    let Trimmed { table, rows, other } = from;
    let sql = format!(
        "WITH sized AS (
             SELECT seq, row_number() OVER newest AS n, sum(octet_length(head)
                 + coalesce(octet_length(payload), 0) + coalesce((SELECT sum(octet_length(
                 piece.bytes)) FROM blobs AS piece WHERE piece.id = it.blob), 0))
                 OVER newest AS bytes
             FROM {table} AS it WHERE {rows} WINDOW newest AS (ORDER BY seq DESC)
         ), gone AS (
             DELETE FROM {table} WHERE {rows} AND seq <= (
                 SELECT max(seq) FROM sized WHERE n > $1::bigint OR bytes > $2::bigint
             ) RETURNING blob
         )
         DELETE FROM blobs WHERE id IN (SELECT blob FROM gone WHERE blob IS NOT NULL)
             AND NOT EXISTS (SELECT 1 FROM {other} AS it WHERE it.blob = blobs.id)"
    );
    let (records, bytes) = (signed(ring.records_max), signed(ring.bytes_max));
    transact(client, |client| client.execute(&sql, &[&records, &bytes]))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
