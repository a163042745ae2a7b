//! A large body or a recording, piece by piece.

use std::io::{self, Read};

use hookgate_core::tenant::Scope;
use postgres::Client;
use postgres::types::ToSql;
use uuid::Uuid;

use super::pool::Pool;
use super::query::unsigned;
use crate::error::ReadError;

/// Which pieces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Of {
    /// Those of the body of this id.
    Body(Uuid),
    /// Those of the recording of this id.
    Recording(Uuid),
}

impl Of {
    /// Their table, and what has the id there.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Body(_) => ("blobs", "id"),
            Self::Recording(_) => ("recording_pieces", "recording"),
        }
    }

    /// The first piece behind one, or the first.
    pub(crate) fn piece_after(
        self,
        client: &mut Client,
        last: Option<i32>,
    ) -> Result<Option<(i32, Vec<u8>)>, ReadError> {
        let (table, key) = self.place();
        let select = format!(
            "SELECT n, bytes FROM {table} WHERE {key} = $1 AND ($2::int IS NULL OR n > $2) \
             ORDER BY n LIMIT 1"
        );
        let row = self.with(|id| client.query_opt(&select, &[id, &last]))?;
        row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
    }

    /// Gives the id as it is there.
    fn with<T>(self, ask: impl FnOnce(&(dyn ToSql + Sync)) -> T) -> T {
        match self {
            Self::Body(id) => ask(&id),
            Self::Recording(id) => ask(&id.as_bytes().as_slice()),
        }
    }
}

/// Reads a large body: one piece in memory, each in a transaction of its own, so that a slow
/// reader holds no connection. Whoever opens it has been found to be allowed to.
pub(crate) struct Pieces {
    pool: Pool,
    of: Of,
    /// Its length in bytes.
    size: u64,
    /// The last piece that was read; nothing before the first.
    last: Option<i32>,
    /// What is left of that piece.
    piece: Vec<u8>,
    /// Where in it.
    at: usize,
    /// Where in the whole that piece ends.
    read: u64,
    /// The byte to go on with, if that is not the next one.
    first: u64,
}

impl Pieces {
    /// What is there in its full length; nothing if it was erased.
    pub(super) fn open(
        pool: &Pool,
        client: &mut Client,
        of: Of,
        size: u64,
    ) -> Result<Option<Self>, ReadError> {
        let (table, key) = of.place();
        let select = format!(
            "SELECT count(*), coalesce(sum(octet_length(bytes)), 0)::bigint FROM {table} \
             WHERE {key} = $1"
        );
        let row = of.with(|id| client.query_one(&select, &[id]))?;
        let (count, bytes): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        if count == 0 && size > 0 {
            return Ok(None);
        }
        if u64::try_from(bytes) != Ok(size) {
            return Err(ReadError::Damaged);
        }
        let pool = pool.clone();
        Ok(Some(Self { pool, of, size, last: None, piece: Vec::new(), at: 0, read: 0, first: 0 }))
    }

    /// Begins again with the first byte.
    pub(crate) fn rewind(&mut self) {
        self.go_to(0);
    }

    /// Goes on with the byte at `first`. Asks nobody: who reads is where it may block.
    pub(crate) fn go_to(&mut self, first: u64) {
        (self.last, self.at, self.read, self.first) = (None, 0, 0, first);
        self.piece.clear();
    }

    /// Passes what is before the first byte, of which no more is read than its own piece.
    fn pass(&mut self) -> io::Result<()> {
        let (of, (table, key)) = (self.of, self.of.place());
        let select =
            format!("SELECT n, octet_length(bytes) FROM {table} WHERE {key} = $1 ORDER BY n");
        let rows = self.ask(|client| Ok(of.with(|id| client.query(&select, &[id]))?))?;
        let mut end = 0_u64;
        let mut last = None;
        for row in rows {
            let length: i32 = row.try_get(1).map_err(io::Error::other)?;
            let next = end.saturating_add(unsigned(length.into()));
            if next > self.first {
                break;
            }
            (last, end) = (Some(row.try_get(0).map_err(io::Error::other)?), next);
        }
        let rest = self.first.saturating_sub(end);
        (self.last, self.read) = (last, end);
        if rest > 0 && end < self.size {
            self.next_piece()?;
            self.at = usize::try_from(rest).unwrap_or(usize::MAX);
        }
        self.first = 0;
        Ok(())
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let (of, last) = (self.of, self.last);
        let Some((number, piece)) = self.ask(|client| of.piece_after(client, last))? else {
            // Erased since it was opened.
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        (self.last, self.piece) = (Some(number), piece);
        self.at = 0;
        self.read = self.read.saturating_add(self.piece.len() as u64);
        Ok(())
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut Client) -> Result<T, ReadError>) -> io::Result<T> {
        self.pool.read(&Scope::Operator, ask).map_err(|error| match error {
            ReadError::Io(error) => error,
            other => io::Error::other(other),
        })
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.first > 0 {
            self.pass()?;
        }
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
