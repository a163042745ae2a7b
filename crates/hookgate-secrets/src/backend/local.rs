//! Credentials on this machine: variables of the environment, and files.

use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Variables;
use crate::error::BackendError;
use crate::value::{SecretValue, VALUE_BYTES_MAX};

/// Variables of the environment.
pub(crate) struct Env {
    pub(crate) variables: Variables,
}

/// Files under one folder, as Kubernetes and Docker mount secrets.
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
}

impl Env {
    /// The value of a variable. An empty one counts as not set.
    pub(crate) fn ask(&self, name: &str) -> Result<Option<SecretValue>, BackendError> {
        let Some(value) = (self.variables)(name) else { return Ok(None) };
        trimmed(&Zeroizing::new(value.into_bytes()))
    }
}

impl Files {
    /// What stands in a file. Its path is of checked parts, so it stays in the folder;
    /// links are followed, because mounted secrets are links.
    pub(crate) async fn ask(&self, path: &str) -> Result<Option<SecretValue>, BackendError> {
        let path = self.folder.join(path);
        let read = tokio::task::spawn_blocking(move || read(&path)).await;
        match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(bytes) => trimmed(&bytes),
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            Err(error) => Err(BackendError::File(error.kind())),
        }
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ErrorKind::IsADirectory.into());
    }
    let room = VALUE_BYTES_MAX.saturating_add(1);
    // All the room at once: a vector that grows leaves what it held behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(room as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A value without the white space around it, which editors leave; nothing if that is all.
fn trimmed(bytes: &[u8]) -> Result<Option<SecretValue>, BackendError> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(BackendError::TooLarge);
    }
    let value = bytes.trim_ascii();
    Ok((!value.is_empty()).then(|| SecretValue::new(Zeroizing::new(value.to_vec()))))
}
