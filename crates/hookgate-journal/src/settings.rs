//! What a journal is told when it is opened: its logs, and its bounds.

use std::time::Duration;

use crate::record::Position;

/// Logs in one journal. Each costs a folder and a slot in every batch; the
/// gateway has two.
pub const LOGS_MAX: usize = 8;

/// The first segment of a log, in bytes: a new installation should not take
/// 64 MiB before its first event.
pub const SEGMENT_BYTES_FIRST: u64 = 1 << 20;

/// A segment, in bytes, unless one record needs more: about twenty thousand
/// webhooks, read and checked in well under a second.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Waiting for the disk, in bytes: about a second of the highest load, after which
/// refusing is more honest than queueing.
pub const PENDING_BYTES_MAX: u64 = 64 << 20;

/// One batch, in bytes: large enough to hide the cost of a sync, small enough that
/// the first of a batch does not wait long for the last.
pub const BATCH_BYTES_MAX: u64 = 8 << 20;

/// One record, head and payload together, in bytes: far above what the gateway
/// puts into the journal (bodies over 1 MiB have their own files), far below what
/// a 32-bit offset in a segment can address.
pub const RECORD_BYTES_MAX: u64 = 256 << 20;

/// The head of one record, in bytes: headers of a request and what was found out
/// about it. It bounds what a search behind damage spends on an imitated record.
pub const HEAD_BYTES_MAX: u32 = 256 << 10;

/// How long a [`Sync::Lazy`] log may stay unsynced.
pub(crate) const LAZY_SYNC: Duration = Duration::from_secs(1);

/// The smallest segment, in bytes: the header and one batch.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 8 << 10;

/// A log of a journal: its index in the logs given to [`Journal::open`].
///
/// [`Journal::open`]: crate::Journal::open
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(u8);

impl LogId {
    /// The log at `index`.
    #[must_use]
    pub const fn new(index: u8) -> Self {
        Self(index)
    }

    /// The index in the logs given at open.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// One log of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The name, which is also that of its folder: lower-case letters, digits and
    /// `-`, at most 32. `lost` is taken.
    pub name: &'static str,
    /// What is kept.
    pub retention: Retention,
    /// When a record is acknowledged.
    pub sync: Sync,
}

/// What a log keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Everything, until [`Journal::drop_before`] is called.
    ///
    /// [`Journal::drop_before`]: crate::Journal::drop_before
    Keep,
    /// The newest: whole segments are dropped, oldest first, when either bound is
    /// would be passed. The newest segment is never dropped, so one large batch may
    /// stand above the bound.
    Ring {
        /// Of all segment files together.
        bytes_max: u64,
        /// Of all segments together.
        records_max: u64,
    },
}

/// When a record is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// When it is on disk.
    Durable,
    /// When it is handed to the operating system, which syncs it about a second
    /// later at most: a crash of the process loses nothing, one of the machine may.
    Lazy,
}

/// The bounds of a journal, and what its owner already knows about it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first segment of a log; each next one is twice as large.
    pub segment_bytes_first: u64,
    /// The largest segment, unless one batch needs more.
    pub segment_bytes_max: u64,
    /// What may wait for the disk before [`AppendError::Full`].
    ///
    /// [`AppendError::Full`]: crate::AppendError::Full
    pub pending_bytes_max: u64,
    /// One batch, unless one record is larger.
    pub batch_bytes_max: u64,
    /// How long the writer waits, after a batch of several records, for as many or a
    /// few more to come. Zero: not at all. A record that follows a lone one never waits.
    pub gather: Duration,
    /// A segment that is a quarter full sooner than this is under load, and no next one is
    /// prepared: zeroing it would write everything twice while the disk is busy, and a
    /// fresh file will do.
    pub calm: Duration,
    /// The highest sequence number that the caller has seen committed, from its
    /// own index. When the journal ends before it, that is reported as corruption
    /// and not as a torn tail, and numbering goes on above it.
    pub known_durable: Option<u64>,
    /// Verify these logs in full from the segment of this position on. Without it,
    /// the last two segments of each log.
    pub verify_from: Vec<(LogId, Position)>,
}

/// A segment of 64 MiB that is a quarter full sooner takes more than 8 MiB a second.
const FILLS_CALMLY: Duration = Duration::from_secs(2);

impl Default for Settings {
    fn default() -> Self {
        Self {
            segment_bytes_first: SEGMENT_BYTES_FIRST,
            segment_bytes_max: SEGMENT_BYTES_MAX,
            pending_bytes_max: PENDING_BYTES_MAX,
            batch_bytes_max: BATCH_BYTES_MAX,
            gather: Duration::ZERO,
            calm: FILLS_CALMLY,
            known_durable: None,
            verify_from: Vec::new(),
        }
    }
}

/// Says what is wrong with `logs`, if anything.
pub(crate) fn fault_in(logs: &[LogSettings]) -> Option<&'static str> {
    if logs.is_empty() {
        return Some("a journal needs at least one log");
    }
    if logs.len() > LOGS_MAX {
        return Some("a journal has at most eight logs");
    }
    let well_formed = |name: &str| {
        (1..=32).contains(&name.len())
            && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
    };
    if !logs.iter().all(|it| well_formed(it.name)) {
        return Some("a log's name is 1 to 32 lower-case letters, digits and `-`");
    }
    if logs.iter().any(|it| it.name == "lost" || it.name == "lock") {
        return Some("`lost` and `lock` are not names of logs");
    }
    let mut names: Vec<_> = logs.iter().map(|it| it.name).collect();
    names.sort_unstable();
    names.dedup();
    (names.len() != logs.len()).then_some("two logs have the same name")
}
