//! Large bodies of the spool, a file each.
//!
//! A file is moved here, durably, before the record that names it is appended, and removed
//! after it was noted that the entry is drained. What no entry names is left by a crash.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::layout;

/// The folder with the large bodies.
#[derive(Clone, Debug)]
pub(super) struct Bodies {
    folder: PathBuf,
}

/// A body that the spool has taken over. Dropped before it is part of an entry, it is gone.
#[derive(Debug)]
pub(crate) struct KeptBody {
    bodies: Bodies,
    id: [u8; 16],
    bytes: u64,
    is_kept: bool,
}

impl Bodies {
    /// Makes the folder, and removes what is not `wanted`.
    pub(super) fn open(folder: &Path, wanted: &[[u8; 16]]) -> io::Result<Self> {
        let bodies = Self { folder: folder.join("bodies") };
        layout::create_folder(&bodies.folder)?;
        let wanted: HashSet<PathBuf> = wanted.iter().map(|it| bodies.path(*it)).collect();
        for file in fs::read_dir(&bodies.folder)? {
            let path = file?.path();
            if !wanted.contains(&path) {
                layout::remove(&path)?;
            }
        }
        Ok(bodies)
    }

    fn path(&self, id: [u8; 16]) -> PathBuf {
        self.folder.join(hex::encode(id))
    }

    pub(super) fn keep(&self, id: [u8; 16], file: &Path) -> io::Result<KeptBody> {
        let bytes = fs::metadata(file)?.len();
        match fs::rename(file, self.path(id)) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                fs::copy(file, self.path(id))?;
                File::open(self.path(id))?.sync_all()?;
                fs::remove_file(file)?;
            }
            moved => moved?,
        }
        let kept = KeptBody { bodies: self.clone(), id, bytes, is_kept: false };
        layout::sync_folder(&self.folder)?;
        Ok(kept)
    }

    pub(super) fn open_file(&self, id: [u8; 16]) -> io::Result<File> {
        File::open(self.path(id))
    }

    /// Removes a body that nothing names any more.
    pub(super) fn remove(&self, id: [u8; 16]) {
        if let Err(error) = layout::remove(&self.path(id)) {
            tracing::warn!(error = %error, "a large body that was drained cannot be removed");
        }
    }
}

impl KeptBody {
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// It is part of an entry.
    pub(super) fn keep(mut self) -> [u8; 16] {
        self.is_kept = true;
        self.id
    }
}

impl Drop for KeptBody {
    fn drop(&mut self) {
        if !self.is_kept {
            self.bodies.remove(self.id);
        }
    }
}
