//! Large bodies: from a file of the node into pieces in the database.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Duration;

use postgres::{Client, Error};
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::body::{Body, Large};
use crate::error::ReadError;
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

/// Reads a body back, into a file that goes with whoever has it. Nothing if it is not there.
pub(super) fn fetch(
    client: &mut Client,
    id: Uuid,
    bytes: u64,
    folder: &std::path::Path,
) -> Result<Option<Body>, ReadError> {
    let failed = |error: Error| ReadError::Io(io::Error::other(error));
    let mut file = unnamed(folder).map_err(ReadError::Io)?;
    let mut length = 0_u64;
    for number in 0_i32.. {
        let sql = "SELECT bytes FROM blobs WHERE id = $1 AND n = $2";
        let row =
            transact(client, |client| client.query_opt(sql, &[&id, &number])).map_err(failed)?;
        let Some(row) = row else { break };
        let piece: &[u8] = row.try_get(0).map_err(failed)?;
        file.write_all(piece).map_err(ReadError::Io)?;
        length = length.saturating_add(piece.len() as u64);
    }
    if length == 0 {
        return Ok(None);
    }
    if length != bytes {
        return Err(ReadError::Damaged);
    }
    file.seek(SeekFrom::Start(0)).map_err(ReadError::Io)?;
    Ok(Some(Body::Large(Large::file(file, bytes))))
}

/// A file without a name.
fn unnamed(folder: &std::path::Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let name = crate::random::id(now())?;
    let path = folder.join(format!("read-{name}"));
    let file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    std::fs::remove_file(path)?;
    Ok(file)
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

/// Removes what the ring of requests without proof has no room for, the oldest first.
pub(super) fn trim_unproven(client: &mut Client, ring: Ring) -> Result<u64, Error> {
    let (records, bytes) = (signed(ring.records_max), signed(ring.bytes_max));
    transact(client, |client| {
        client.execute(
            "WITH sized AS (
                 SELECT seq, row_number() OVER newest AS n, sum(octet_length(head)
                     + coalesce(octet_length(payload), 0) + coalesce((SELECT sum(octet_length(
                     piece.bytes)) FROM blobs AS piece WHERE piece.id = events.blob), 0))
                     OVER newest AS bytes
                 FROM events WHERE log = 1 WINDOW newest AS (ORDER BY seq DESC)
             ), gone AS (
                 DELETE FROM events WHERE log = 1 AND seq <= (
                     SELECT max(seq) FROM sized WHERE n > $1::bigint OR bytes > $2::bigint
                 ) RETURNING blob
             )
             DELETE FROM blobs WHERE id IN (SELECT blob FROM gone WHERE blob IS NOT NULL)
                 AND NOT EXISTS (SELECT 1 FROM rejections WHERE rejections.blob = blobs.id)",
            &[&records, &bytes],
        )
    })
}

/// Removes what the ring of refused requests has no room for, the oldest first.
pub(super) fn trim_rejections(client: &mut Client, ring: Ring) -> Result<u64, Error> {
    let (records, bytes) = (signed(ring.records_max), signed(ring.bytes_max));
    transact(client, |client| {
        client.execute(
            "WITH sized AS (
                 SELECT seq, row_number() OVER newest AS n, sum(octet_length(head)
                     + coalesce(octet_length(payload), 0) + coalesce((SELECT sum(octet_length(
                     piece.bytes)) FROM blobs AS piece WHERE piece.id = rejections.blob), 0))
                     OVER newest AS bytes
                 FROM rejections WINDOW newest AS (ORDER BY seq DESC)
             ), gone AS (
                 DELETE FROM rejections WHERE seq <= (
                     SELECT max(seq) FROM sized WHERE n > $1::bigint OR bytes > $2::bigint
                 ) RETURNING blob
             )
             DELETE FROM blobs WHERE id IN (SELECT blob FROM gone WHERE blob IS NOT NULL)
                 AND NOT EXISTS (SELECT 1 FROM events WHERE events.blob = blobs.id)",
            &[&records, &bytes],
        )
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
