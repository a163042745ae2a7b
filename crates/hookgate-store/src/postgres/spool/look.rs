//! What is in the folder of a spool, for the doctor: read without a lock, and without changing
//! anything. A node may be writing to it meanwhile.

use std::fs;
use std::io;
use std::path::Path;

use hookgate_core::time::Timestamp;
use hookgate_journal::{ReadError as Damage, Reader};

use super::entry::Sketch;
use super::{LOG, LOG_SETTINGS, cost, mark};
use crate::error::{OpenError, ReadError};

/// What is in the folder of a spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpoolContents {
    /// Events that wait to be drained.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them was received.
    pub oldest_at: Option<Timestamp>,
    /// Stretches of damage.
    pub damaged: u64,
    /// Events that the database did not take, kept in the folder `refused/`.
    pub refused: u64,
}

/// The spool's folder in the node's, if nobody says otherwise.
pub const SPOOL_FOLDER: &str = "spool";

/// Looks into the folder of a spool. One that is not there is empty. Blocks.
///
/// # Errors
///
/// [`ReadError`]: it cannot be read.
pub fn look_at_spool(folder: &Path) -> Result<SpoolContents, ReadError> {
    let mut found = SpoolContents::default();
    match fs::read_dir(folder.join("refused")) {
        Ok(files) => {
            let heads = files
                .flatten()
                .filter(|it| it.path().extension().is_some_and(|extension| extension == "head"));
            found.refused = heads.count() as u64;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ReadError::Io(error)),
    }
    if !folder.join(LOG_SETTINGS.name).exists() {
        return Ok(found);
    }
    let done = mark::read(folder).map_err(ReadError::Io)?.place().map_or(0, |it| it.seq);
    let failed = |error| ReadError::journal(error).unwrap_or(ReadError::Damaged);
    let reader = Reader::open(folder, &[LOG_SETTINGS]).map_err(failed)?;
    for item in reader.scan_heads(LOG, None) {
        let record = match item {
            Ok(record) if record.seq <= done => continue,
            Ok(record) => record,
            Err(Damage::Gone { .. }) => continue,
            Err(Damage::Corrupt { .. }) => {
                found.damaged = found.damaged.saturating_add(1);
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let Ok(sketch) = Sketch::decode(&record.head) else {
            found.damaged = found.damaged.saturating_add(1);
            continue;
        };
        let body = sketch.blob.map_or(record.payload_bytes.into(), |(_, bytes)| bytes);
        found.entries = found.entries.saturating_add(1);
        found.bytes = found.bytes.saturating_add(cost(record.head.len() as u64, body));
        found.oldest_at.get_or_insert(Timestamp::from_millis(sketch.at));
    }
    Ok(found)
}

/// What waits in the folder where a node has its spool unless told otherwise: nobody drains it
/// while the spool is off.
///
/// # Errors
///
/// [`OpenError::SpoolLeft`], or that it cannot be read.
pub fn look_for_left_spool(node_folder: &Path) -> Result<(), OpenError> {
    let path = node_folder.join(SPOOL_FOLDER);
    match look_at_spool(&path) {
        Ok(SpoolContents { entries: 0, .. }) => Ok(()),
        Ok(SpoolContents { entries, .. }) => Err(OpenError::SpoolLeft { path, entries }),
        Err(error) => Err(OpenError::io("reading", &path, io::Error::other(error))),
    }
}
