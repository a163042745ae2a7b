//! A large body, piece by piece.

use std::io::{self, Read};

use hookgate_core::tenant::Scope;
use postgres::Client;
use uuid::Uuid;

use super::pool::Pool;
use crate::error::ReadError;

/// Reads a large body: one piece in memory, each in a transaction of its own, so that a slow
/// reader holds no connection. Whoever opens it has been found to be allowed to.
pub(crate) struct Pieces {
    pool: Pool,
    blob: Uuid,
    /// Its length in bytes.
    size: u64,
    /// The last piece that was read; nothing before the first.
    last: Option<i32>,
    /// What is left of that piece.
    piece: Vec<u8>,
    /// Where in it.
    at: usize,
    /// Bytes of the pieces read so far.
    read: u64,
}

impl Pieces {
    /// The body of this id, if it is there in its full length; nothing if it was erased.
    pub(super) fn open(
        pool: &Pool,
        client: &mut Client,
        blob: Uuid,
        size: u64,
    ) -> Result<Option<Self>, ReadError> {
        let row = client.query_one(
            "SELECT count(*), coalesce(sum(octet_length(bytes)), 0)::bigint FROM blobs WHERE id = $1",
            &[&blob],
        )?;
        let (count, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if count == 0 && size > 0 {
            return Ok(None);
        }
        if u64::try_from(bytes) != Ok(size) {
            return Err(ReadError::Damaged);
        }
        let pool = pool.clone();
        Ok(Some(Self { pool, blob, size, last: None, piece: Vec::new(), at: 0, read: 0 }))
    }

    /// Begins again with the first byte.
    pub(crate) fn rewind(&mut self) {
        (self.last, self.at, self.read) = (None, 0, 0);
        self.piece.clear();
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let (blob, last) = (self.blob, self.last);
        let found = self.pool.read(&Scope::Operator, |client| {
            Ok(client.query_opt(
                "SELECT n, bytes FROM blobs WHERE id = $1 AND ($2::int IS NULL OR n > $2) \
                 ORDER BY n LIMIT 1",
                &[&blob, &last],
            )?)
        });
        let row = found.map_err(|error| match error {
            ReadError::Io(error) => error,
            other => io::Error::other(other),
        })?;
        let Some(row) = row else {
            // Erased since it was opened.
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.last = Some(row.try_get(0).map_err(io::Error::other)?);
        self.piece = row.try_get(1).map_err(io::Error::other)?;
        self.at = 0;
        self.read = self.read.saturating_add(self.piece.len() as u64);
        Ok(())
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.piece.len() {
            if self.read >= self.size {
                return Ok(0);
            }
            self.next_piece()?;
        }
        let mut rest = self.piece.get(self.at..).unwrap_or_default();
        let count = rest.read(buffer)?;
        self.at = self.at.saturating_add(count);
        Ok(count)
    }
}
