//! How a store is opened: its bounds, each with its reason.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Accepted requests without proof, in bytes: weeks of a small installation that has not
/// set its secrets yet, and nothing that fills a disk.
pub const UNPROVEN_BYTES_MAX: u64 = 256 << 20;

/// Accepted requests without proof: small ones must not crowd the index.
pub const UNPROVEN_RECORDS_MAX: u64 = 100_000;

/// Refused requests, in bytes: a weekend of a busy source whose secret is wrong.
pub const REJECTIONS_BYTES_MAX: u64 = 512 << 20;

/// Refused requests: each costs about 100 bytes of memory while it is kept.
pub const REJECTIONS_RECORDS_MAX: u64 = 20_000;

/// Bodies in files of their own that are not part of an event yet, in bytes on disk:
/// eight of the largest at once.
pub const BLOBS_IN_FLIGHT_BYTES_MAX: u64 = 1 << 30;

/// Recordings that are on their way, in bytes: as many as are fetched at once, each an hour
/// of stereo. Apart from bodies, so that fetching takes nothing from receiving.
pub const RECORDINGS_IN_FLIGHT_BYTES_MAX: u64 = 1 << 30;

/// Records that may wait for the index: about a second of the highest load. Beyond,
/// lists would show the past.
pub const INDEX_LAG_MAX: u64 = 65_536;

/// What the spool of a node may hold, in bytes: hours of a busy one.
pub const SPOOL_BYTES_MAX: u64 = 4 << 30;

/// Keys of one generation of the repetition table: what fills 2^17 buckets of a hash
/// table, 8 MiB, without letting it grow to twice the size.
pub const GENERATION_KEYS_MAX: usize = 114_688;

/// The disk is reported as filling up from here on, in per cent.
pub const DISK_WARN_PERCENT: u8 = 80;

/// Nothing more is accepted from here on, in per cent: the index, the system's logs and
/// whoever frees space need the rest.
pub const DISK_FULL_PERCENT: u8 = 95;

/// How often a disk that refused is tried again.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(250);

/// How long a commit waits for company under load. It saves a sync, which costs a busy
/// machine more than this adds to an answer; without load nothing waits.
pub const GATHER: Duration = Duration::from_millis(2);

/// A bound on what is kept, the oldest overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ring {
    /// In bytes on disk.
    pub bytes_max: u64,
    /// In records.
    pub records_max: u64,
}

/// What one peer may take of a ring: so much at once, and as much again in every
/// `refill`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Records.
    pub records: u32,
    /// Bytes of bodies.
    pub bytes: u64,
    /// The time in which a used-up share is whole again.
    pub refill: Duration,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is kept of accepted requests without proof.
    pub unproven: Ring,
    /// What one peer may store without proof.
    pub unproven_share: Share,
    /// What is kept of refused requests.
    pub rejections: Ring,
    /// What one peer may take of them.
    pub rejections_share: Share,
    /// The largest segment file of the journal, in bytes.
    pub segment_bytes_max: u64,
    /// What may wait for the disk, in bytes.
    pub pending_bytes_max: u64,
    /// How long a commit waits for company when it has some already.
    pub gather: Duration,
    /// Bodies in files of their own that are not part of an event yet, in bytes.
    pub blobs_in_flight_bytes_max: u64,
    /// Records that may wait for the index.
    pub index_lag_max: u64,
    /// Keys of one generation of the repetition table.
    pub generation_keys_max: usize,
    /// From here on the disk is reported as filling up, in per cent.
    pub disk_warn_percent: u8,
    /// From here on nothing is accepted, in per cent.
    pub disk_full_percent: u8,
    /// How often a disk that refused is tried again.
    pub probe_interval: Duration,
    /// What the spool of a node may hold, in bytes.
    pub spool_bytes_max: u64,
    /// What seals the configuration that a node with a spool keeps, to begin with it while its
    /// database is away; nothing: it keeps none.
    pub node_seal: Option<NodeSeal>,
    /// How long opening waits for a database that is away, where there is nothing to begin with.
    pub start_wait: Duration,
    /// Whether erasures and retention are carried out as long as the store is open.
    pub housekeeping: bool,
    /// Where tests let the disk fail.
    #[doc(hidden)]
    pub faults: Faults,
    /// Where tests stop an erasure.
    #[doc(hidden)]
    pub erasing: Hook,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            unproven: Ring { bytes_max: UNPROVEN_BYTES_MAX, records_max: UNPROVEN_RECORDS_MAX },
            // A developer's burst passes; one peer alone needs a quarter of an hour to
            // overwrite the ring.
            unproven_share: Share {
                records: 2_000,
                bytes: UNPROVEN_BYTES_MAX / 4,
                refill: Duration::from_secs(20),
            },
            rejections: Ring {
                bytes_max: REJECTIONS_BYTES_MAX,
                records_max: REJECTIONS_RECORDS_MAX,
            },
            // Half of the ring at once: a provider whose secret is wrong sends from few
            // addresses, and no single peer overwrites what the others sent within a day.
            rejections_share: Share {
                records: 10_000,
                bytes: REJECTIONS_BYTES_MAX / 2,
                refill: Duration::from_hours(24),
            },
            segment_bytes_max: hookgate_journal::SEGMENT_BYTES_MAX,
            pending_bytes_max: hookgate_journal::PENDING_BYTES_MAX,
            gather: GATHER,
            blobs_in_flight_bytes_max: BLOBS_IN_FLIGHT_BYTES_MAX,
            index_lag_max: INDEX_LAG_MAX,
            generation_keys_max: GENERATION_KEYS_MAX,
            disk_warn_percent: DISK_WARN_PERCENT,
            disk_full_percent: DISK_FULL_PERCENT,
            probe_interval: PROBE_INTERVAL,
            spool_bytes_max: SPOOL_BYTES_MAX,
            node_seal: None,
            start_wait: Duration::ZERO,
            housekeeping: true,
            faults: Faults::default(),
            erasing: Hook::default(),
        }
    }
}

/// How long `hookgate serve` waits for a database that is away when it starts: longer than a
/// restart of PostgreSQL or a fail-over takes, shorter than what deploys wait for a program.
pub const START_WAIT: Duration = Duration::from_secs(30);

/// Seals what a node keeps on its own disk, each value for a label, and opens it.
#[derive(Clone)]
pub struct NodeSeal {
    /// Seals bytes for a label.
    pub seal: Arc<SealNode>,
    /// Opens what was sealed for the same label; nothing if it does not.
    pub open: Arc<OpenNode>,
}

/// Seals.
pub type SealNode = dyn Fn(&str, &[u8]) -> io::Result<Vec<u8>> + Send + Sync;

/// Opens.
pub type OpenNode = dyn Fn(&str, &[u8]) -> Option<Vec<u8>> + Send + Sync;

impl fmt::Debug for NodeSeal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("NodeSeal")
    }
}

/// Faults that a test puts under the journal of events.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Faults(pub Option<hookgate_journal::Faults>);

impl fmt::Debug for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "Faults" } else { "none" })
    }
}

/// Called after each piece of an erasure with the events that are erased by then.
#[doc(hidden)]
#[derive(Clone, Default)]
pub struct Hook(pub Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl fmt::Debug for Hook {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.is_some() { "Hook" } else { "none" })
    }
}
