//! Where everything lies in the folder of a store.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hookgate_journal::{LogId, LogSettings, Retention, Settings, Sync};

use crate::error::OpenError;
use crate::options::{Options, Ring};

/// The log of everything that is kept.
pub(crate) const EVENTS: LogId = LogId::new(0);
/// The ring of accepted requests without proof.
pub(crate) const UNPROVEN: LogId = LogId::new(1);
/// Both, in the order of their numbers.
pub(crate) const LOGS: [LogId; 2] = [EVENTS, UNPROVEN];
/// The ring of refused requests, in a journal of its own.
pub(crate) const REJECTIONS: LogId = LogId::new(0);

/// Files with an id each: those that are whole, by the last two digits of their ids, and in
/// `tmp` those that are not, or belong to nothing yet.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
}

impl Shelf {
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn file(&self, id: [u8; 16]) -> PathBuf {
        let name = hex::encode(id);
        // The last two digits: the first of a time-ordered id are all alike.
        let digits = name.get(30..).unwrap_or_default();
        self.root.join(digits).join(&name)
    }

    pub(crate) fn unkept(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn unkept_file(&self, id: [u8; 16]) -> PathBuf {
        self.unkept().join(hex::encode(id))
    }

    /// Removes files of these ids, whole or not, durably; gives their bytes.
    pub(crate) fn remove(&self, ids: impl Iterator<Item = [u8; 16]>) -> io::Result<u64> {
        let mut bytes = 0_u64;
        let mut folders = HashSet::new();
        for id in ids {
            remove(&self.unkept_file(id))?;
            let path = self.file(id);
            bytes = bytes.saturating_add(fs::metadata(&path).map_or(0, |it| it.len()));
            remove(&path)?;
            folders.extend(path.parent().map(Path::to_owned));
        }
        for folder in folders.iter().filter(|it| it.is_dir()) {
            sync_folder(folder)?;
        }
        Ok(bytes)
    }
}

/// The folder of a store.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The folder of a store that must be there: whoever looks into one makes none.
    pub(crate) fn existing(root: &Path) -> Result<Self, OpenError> {
        let layout = Self::new(root);
        if layout.journal().is_dir() { Ok(layout) } else { Err(OpenError::NoStore(layout.root)) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The journal of events.
    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// The journal of refused requests.
    pub(crate) fn rejections(&self) -> PathBuf {
        self.root.join("rejections")
    }

    /// Large bodies of refused requests.
    pub(crate) fn rejected_blobs(&self) -> PathBuf {
        self.root.join("rejections").join("blobs")
    }

    pub(crate) fn rejected_blob(&self, id: [u8; 16]) -> PathBuf {
        self.rejected_blobs().join(hex::encode(id))
    }

    /// Large bodies of events.
    pub(crate) fn bodies(&self) -> Shelf {
        Shelf { root: self.root.join("blobs") }
    }

    /// Recordings.
    pub(crate) fn recordings(&self) -> Shelf {
        Shelf { root: self.root.join("recordings") }
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.bodies().root
    }

    pub(crate) fn blob(&self, id: [u8; 16]) -> PathBuf {
        self.bodies().file(id)
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.root.join("index.sqlite")
    }

    /// Says that a copy into this folder is not finished, and of which store it is.
    pub(crate) fn copying(&self) -> PathBuf {
        self.root.join("copying")
    }

    /// What events tell of conversations.
    pub(crate) fn conversations(&self) -> PathBuf {
        self.root.join("conversations.sqlite")
    }

    pub(crate) fn registry(&self) -> PathBuf {
        self.root.join("registry.sqlite")
    }
}

/// The logs of the journal of events.
pub(crate) fn event_logs(unproven: Ring) -> [LogSettings; 2] {
    [
        LogSettings { name: "events", retention: Retention::Keep, sync: Sync::Durable },
        LogSettings { name: "unproven", retention: ring(unproven), sync: Sync::Durable },
    ]
}

/// The log of the journal of refused requests.
pub(crate) fn rejection_logs(rejections: Ring) -> [LogSettings; 1] {
    [LogSettings { name: "refused", retention: ring(rejections), sync: Sync::Lazy }]
}

fn ring(bound: Ring) -> Retention {
    Retention::Ring { bytes_max: bound.bytes_max, records_max: bound.records_max }
}

/// The bounds of the journal of events.
pub(crate) fn event_settings(options: &Options, known_durable: Option<u64>) -> Settings {
    let segment_bytes_max = options.segment_bytes_max;
    Settings {
        segment_bytes_first: Settings::default().segment_bytes_first.min(segment_bytes_max),
        segment_bytes_max,
        pending_bytes_max: options.pending_bytes_max,
        gather: options.gather,
        known_durable,
        ..Settings::default()
    }
}

/// The bounds of the journal of refused requests: a ring of sixteen segments, so that
/// what is overwritten at once is little.
pub(crate) fn rejection_settings(options: &Options) -> Settings {
    let segment_bytes_max =
        (options.rejections.bytes_max / 16).clamp(64 << 10, options.segment_bytes_max);
    Settings {
        segment_bytes_first: Settings::default().segment_bytes_first.min(segment_bytes_max),
        segment_bytes_max,
        // Refused requests never push accepted ones out of memory.
        pending_bytes_max: 16 << 20,
        gather: Duration::ZERO,
        ..Settings::default()
    }
}

/// Creates a folder, and those above it, that only its owner reads.
pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Creates an empty file that only its owner reads, unless there is one. SQLite gives
/// its side files the same permissions.
pub(crate) fn create_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path).map(drop)
}

/// Makes what was created, renamed or removed in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes a file that may not be there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a database and its side files.
pub(crate) fn remove_database(path: &Path) -> io::Result<()> {
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        remove(Path::new(&name))?;
    }
    Ok(())
}
