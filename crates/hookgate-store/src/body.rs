//! The bytes of a stored body: in memory, in a file, or in pieces in PostgreSQL.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;

use crate::postgres::Pieces;

/// The bytes of a stored body.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// Not in memory: it is read piece by piece, on a thread that may block.
    Large(Large),
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Large(large) => large.len(),
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A large body: its exact bytes come by reading, which blocks. What is missing of it is an
/// error, never an early end.
pub struct Large {
    bytes: u64,
    source: Source,
}

enum Source {
    File(File),
    Pieces(Pieces),
}

impl Large {
    pub(crate) fn file(file: File, bytes: u64) -> Self {
        Self { bytes, source: Source::File(file) }
    }

    pub(crate) fn pieces(pieces: Pieces, bytes: u64) -> Self {
        Self { bytes, source: Source::Pieces(pieces) }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Goes on with the byte at `first`. Does not wait for anybody.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn go_to(&mut self, first: u64) -> io::Result<()> {
        match &mut self.source {
            Source::File(file) => file.seek(SeekFrom::Start(first)).map(drop),
            Source::Pieces(pieces) => {
                pieces.go_to(first);
                Ok(())
            }
        }
    }

    /// Begins again with the first byte.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn rewind(&mut self) -> io::Result<()> {
        match &mut self.source {
            Source::File(file) => file.rewind(),
            Source::Pieces(pieces) => {
                pieces.rewind();
                Ok(())
            }
        }
    }
}

impl Read for Large {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.source {
            Source::File(file) => file.read(buffer),
            Source::Pieces(pieces) => pieces.read(buffer),
        }
    }
}

impl fmt::Debug for Large {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Large").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
