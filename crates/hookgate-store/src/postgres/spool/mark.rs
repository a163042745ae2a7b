//! How far the spool is drained: a small file that is replaced, never changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hookgate_journal::Position;
use sha2::{Digest as _, Sha256};

use super::Place;
use crate::postgres::file;

/// The first bytes of the file, with its format.
const MAGIC: &[u8; 8] = b"HKSPOOL1";

/// Two numbers.
const VALUE_BYTES: usize = 16;

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing was drained yet.
    Nothing,
    /// Everything up to here, inclusive, is in the database.
    Until(Place),
    /// The file is damaged: everything is drained again, which changes nothing.
    Damaged,
}

impl Mark {
    pub(super) fn place(self) -> Option<Place> {
        match self {
            Self::Until(place) => Some(place),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("drained")
}

/// Reads it.
pub(super) fn read(folder: &Path) -> io::Result<Mark> {
    let bytes = match fs::read(path(folder)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Mark::Nothing),
        bytes => bytes?,
    };
    Ok(decode(&bytes).map_or(Mark::Damaged, Mark::Until))
}

fn decode(bytes: &[u8]) -> Option<Place> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (value, sum) = rest.split_first_chunk::<VALUE_BYTES>()?;
    if magic != MAGIC || sum != Sha256::digest(value).as_slice() {
        return None;
    }
    let (seq, position) = value.split_first_chunk::<8>()?;
    let position = u64::from_le_bytes(position.try_into().ok()?);
    Some(Place { seq: u64::from_le_bytes(*seq), position: Position::from_u64(position) })
}

/// Replaces it, durably.
pub(super) fn write(folder: &Path, place: Place) -> io::Result<()> {
    let mut value = [0; VALUE_BYTES];
    let numbers = place.seq.to_le_bytes().into_iter();
    let numbers = numbers.chain(place.position.to_u64().to_le_bytes());
    value.iter_mut().zip(numbers).for_each(|(to, from)| *to = from);
    let bytes = [MAGIC.as_slice(), &value, Sha256::digest(value).as_slice()].concat();
    file::replace(&path(folder), &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_any_other_byte_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), Mark::Nothing);
        let place = Place { seq: 77, position: Position { segment: 3, offset: 4_096 } };
        write(folder.path(), place).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Mark::Until(place));
        let whole = fs::read(path(folder.path())).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(path(folder.path()), &changed).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Mark::Damaged, "byte {at}");
            fs::write(path(folder.path()), &whole[..at]).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Mark::Damaged, "{at} bytes");
        }
        let later = Place { seq: 78, ..place };
        write(folder.path(), later).unwrap();
        assert_eq!(read(folder.path()).unwrap(), Mark::Until(later));
    }
}
