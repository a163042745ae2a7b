//! What the tests share: a folder that goes away, short ways to append and read,
//! and disks that fail on command.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hookgate_journal::{
    Committed, Fault, Faults, Journal, LogId, LogSettings, Operation, Payload, ReadError, Reader,
    Recovery, Retention, Settings, Sync, wake_inline,
};
use tempfile::TempDir;

pub(crate) const EVENTS: LogId = LogId::new(0);
pub(crate) const OTHERS: LogId = LogId::new(1);

pub(crate) const LOGS: [LogSettings; 2] = [
    LogSettings { name: "events", retention: Retention::Keep, sync: Sync::Durable },
    LogSettings { name: "others", retention: Retention::Keep, sync: Sync::Durable },
];

pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;
pub(crate) const EIO: i32 = 5;

/// A folder with a journal of two durable logs, reopened as often as a test likes.
pub(crate) struct Bench {
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        // In memory where that is possible: what a sync is worth is not seen from here,
        // and thousands of them are slow beside a busy build.
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self { folder: folder.unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn open(&self) -> Open {
        self.open_with(Settings::default())
    }

    pub(crate) fn open_with(&self, settings: Settings) -> Open {
        Open::new(Journal::open(self.folder(), &LOGS, settings, wake_inline()).unwrap())
    }

    pub(crate) fn open_logs(&self, logs: &[LogSettings], settings: Settings) -> Open {
        Open::new(Journal::open(self.folder(), logs, settings, wake_inline()).unwrap())
    }

    pub(crate) fn open_faulty(&self, settings: Settings, faults: Faults) -> Open {
        let opened =
            Journal::open_with_faults(self.folder(), &LOGS, settings, wake_inline(), faults);
        Open::new(opened.unwrap())
    }

    /// A reader as another process has it.
    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.folder(), &LOGS).unwrap()
    }

    pub(crate) fn segment(&self, log: &str, number: u64) -> PathBuf {
        self.folder().join(log).join(format!("{number:016x}.seg"))
    }

    /// The names of the files in a sub-folder, sorted; none when there is no folder.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder().join(folder)) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// How many segment files a log has.
    pub(crate) fn segments(&self, log: &str) -> usize {
        self.files(log).iter().filter(|it| it.strip_suffix(".seg").is_some()).count()
    }
}

/// An open journal, and what opening said.
pub(crate) struct Open {
    journal: Journal,
    pub(crate) recovery: Recovery,
}

impl Open {
    fn new((journal, recovery): (Journal, Recovery)) -> Self {
        Self { journal, recovery }
    }

    /// Appends to the events and waits for the commit.
    pub(crate) fn put(&self, payload: &[u8]) -> Committed {
        self.put_in(EVENTS, payload)
    }

    pub(crate) fn put_in(&self, log: LogId, payload: &[u8]) -> Committed {
        self.journal.append(log, b"head", payload).unwrap().wait().unwrap()
    }

    /// The payloads of the events, as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        texts(&self.journal.reader(), EVENTS)
    }
}

impl Deref for Open {
    type Target = Journal;

    fn deref(&self) -> &Journal {
        &self.journal
    }
}

/// A log on one line an item: `1 text`, `2 erased`, `corrupt`, `gone`.
pub(crate) fn story(reader: &Reader, log: LogId) -> Vec<String> {
    reader
        .scan(log, None)
        .map(|it| match it {
            Ok(record) => match record.payload {
                Payload::Present(bytes) => {
                    format!("{} {}", record.seq, String::from_utf8_lossy(&bytes))
                }
                Payload::Erased => format!("{} erased", record.seq),
            },
            Err(ReadError::Corrupt { .. }) => "corrupt".to_owned(),
            Err(ReadError::Gone { .. }) => "gone".to_owned(),
            Err(error) => format!("error: {error}"),
        })
        .collect()
}

/// The payloads of a log that has nothing wrong with it.
pub(crate) fn texts(reader: &Reader, log: LogId) -> Vec<String> {
    reader
        .scan(log, None)
        .map(|it| match it.unwrap().payload {
            Payload::Present(bytes) => String::from_utf8(bytes).unwrap(),
            Payload::Erased => "erased".to_owned(),
        })
        .collect()
}

/// Fails operations by a plan: each kind is counted from 1, and the plan says which
/// of them fail, and how.
#[derive(Clone, Default)]
pub(crate) struct Plan {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    counts: BTreeMap<String, usize>,
    faults: Vec<(Operation, usize, Fault)>,
    always: Vec<(Operation, Fault)>,
    seen: Vec<Operation>,
}

impl Plan {
    /// From now on, the `nth` of this operation fails.
    pub(crate) fn fail(&self, operation: Operation, nth: usize, fault: Fault) {
        let mut inner = self.inner.lock().unwrap();
        let so_far = inner.counts.get(&format!("{operation:?}")).copied().unwrap_or(0);
        inner.faults.push((operation, so_far + nth, fault));
    }

    /// From now on, every one of this operation fails.
    pub(crate) fn fail_always(&self, operation: Operation, fault: Fault) {
        self.inner.lock().unwrap().always.push((operation, fault));
    }

    /// From now on, nothing fails.
    pub(crate) fn heal(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.faults.clear();
        inner.always.clear();
    }

    /// How often this was done.
    pub(crate) fn count(&self, operation: Operation) -> usize {
        self.inner.lock().unwrap().seen.iter().filter(|it| **it == operation).count()
    }

    pub(crate) fn faults(&self) -> Faults {
        let plan = self.clone();
        Arc::new(move |operation| {
            let mut inner = plan.inner.lock().unwrap();
            inner.seen.push(operation);
            let count = inner.counts.entry(format!("{operation:?}")).or_default();
            *count += 1;
            let count = *count;
            let nth = inner.faults.iter().find(|(it, nth, _)| *it == operation && *nth == count);
            let always = inner.always.iter().find(|(it, _)| *it == operation);
            nth.map(|(_, _, fault)| *fault).or(always.map(|(_, fault)| *fault))
        })
    }
}
