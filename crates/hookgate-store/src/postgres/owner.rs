//! Whose events a spool has: the id of the store, in a file of its folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::file;
use crate::error::OpenError;

/// Makes the spool in this folder the store's. One that has events of another stays as it is.
pub(super) fn claim(folder: &Path, store: Uuid, entries: u64) -> Result<(), OpenError> {
    let path = path(folder);
    let text = store.to_string();
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() == text => return Ok(()),
        Ok(_) if entries > 0 => {
            return Err(OpenError::OtherSpool { path: folder.to_owned(), entries });
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(OpenError::io("reading", &path, error)),
    }
    file::replace(&path, format!("{text}\n").as_bytes())
        .map_err(|error| OpenError::io("writing", &path, error))
}

/// Whose events the spool in this folder has, if that is known.
pub(super) fn of(folder: &Path) -> Option<Uuid> {
    fs::read_to_string(path(folder)).ok()?.trim().parse().ok()
}

fn path(folder: &Path) -> PathBuf {
    folder.join("store")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_with_events_of_another_store_is_refused_and_an_empty_one_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        claim(folder.path(), one, 0).unwrap();
        claim(folder.path(), one, 7).unwrap();
        let refused = claim(folder.path(), other, 7).unwrap_err();
        assert!(matches!(refused, OpenError::OtherSpool { entries: 7, .. }), "{refused:?}");
        claim(folder.path(), one, 7).unwrap();
        claim(folder.path(), other, 0).unwrap();
        claim(folder.path(), one, 1).unwrap_err();
    }
}
