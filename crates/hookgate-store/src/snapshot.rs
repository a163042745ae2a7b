//! The state of the store at a moment.

use hookgate_core::time::Timestamp;
use hookgate_journal::{Health, Pending, Statistics};

use crate::projection::Folding;
use crate::space::Disk;

/// The state of the store at a moment, for readiness, metrics and `doctor`.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Whether the disk takes what is written.
    pub health: Health,
    /// What waits for the disk.
    pub pending: Pending,
    /// The place that the next record gets.
    pub next_seq: u64,
    /// What the journal of events did since the start: commits, their time and size, and
    /// its logs `events` and `unproven`.
    pub journal: Statistics,
    /// The same of the journal of refused requests.
    pub rejections_journal: Statistics,
    /// The index.
    pub index: Index,
    /// The conversations.
    pub conversations: Folding,
    /// What is known of repetitions.
    pub dedupe: Dedupe,
    /// Accepted requests without proof.
    pub unproven: Unproven,
    /// Refused requests.
    pub rejections: Rejections,
    /// Large bodies.
    pub blobs: Blobs,
    /// The disk.
    pub disk: Disk,
    /// The kind of file system, if what is written there goes with the machine or the
    /// container: warn at start.
    pub volatile: Option<&'static str>,
    /// What opening found.
    pub recovered: Recovered,
    /// The spool of a node, if it has one.
    pub spool: Option<SpoolState>,
}

/// The spool of a node, and whether it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolState {
    /// `ok`, `spooling` or `draining`.
    pub state: &'static str,
    /// While it is spooling: `unreachable`, `slow`, `read_only`, `failing_over` or
    /// `other_store`.
    pub why: Option<&'static str>,
    /// Entries that wait to be drained.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What it may hold.
    pub bytes_max: u64,
    /// When the oldest of them was received.
    pub oldest_at: Option<Timestamp>,
    /// Stretches of damage that were met.
    pub damaged: u64,
    /// How often the database went away since the start.
    pub outages: u64,
    /// The kind of file system, if what is written there goes with the machine.
    pub volatile: Option<&'static str>,
}

/// The index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// Records that are not in it yet.
    pub lag: u64,
    /// So many, and nothing more is accepted.
    pub lag_max: u64,
    /// Whether it was made anew when the store was opened.
    pub was_rebuilt: bool,
}

/// What is known of repetitions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dedupe {
    /// Keys in memory.
    pub keys_in_memory: u64,
    /// Keys in the table.
    pub keys_in_table: u64,
    /// Requests since the start that repeated an event.
    pub repetitions: u64,
}

/// Accepted requests without proof.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unproven {
    /// Turned away since the start, because their peer had used its share.
    pub dropped: u64,
}

/// Refused requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections {
    /// In the ring.
    pub kept: u64,
    /// Bytes of their large bodies.
    pub blob_bytes: u64,
    /// Not kept since the start, because their peer had used its share or the ring took
    /// no more.
    pub dropped: u64,
}

/// Large bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blobs {
    /// Bytes that are not part of an event yet.
    pub in_flight_bytes: u64,
    /// What they may be.
    pub in_flight_bytes_max: u64,
}

/// What opening found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Tails that were never acknowledged, set aside in `journal/lost/`.
    pub torn: u64,
    /// Places where acknowledged bytes are bad: restore from a backup what is missed.
    pub corrupt: u64,
    /// Records that the index knows and the journal has not.
    pub missing: u64,
    /// Large bodies that no record names and that were removed.
    pub orphaned_blobs: u64,
}
