//! What the journal counts about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::view::LogView;

/// Upper bounds of the commit histogram, in microseconds, from a fast sync to a
/// disk that is in trouble.
const COMMIT_MICROS: [u64; 14] = [
    100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200, 102_400, 409_600, 1_638_400,
    6_553_600,
];

/// Upper bounds of the batch histogram, in records.
const BATCH_RECORDS: [u64; 12] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 4_096];

/// How often a quantity fell between bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// The inclusive upper bound of each bucket but the last.
    pub bounds: &'static [u64],
    /// One more than `bounds`: the last counts what is above every bound. Not
    /// cumulative.
    pub counts: Vec<u64>,
    /// The sum of everything counted.
    pub sum: u64,
}

/// One log, in [`Statistics`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogStatistics {
    /// The name given at open.
    pub name: &'static str,
    /// Segment files.
    pub segments: u64,
    /// Their lengths together.
    pub bytes_on_disk: u64,
    /// The number of the oldest, or zero when there is none.
    pub oldest_segment: u64,
}

/// What a journal did since it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Batches committed.
    pub batches: u64,
    /// Records committed.
    pub records: u64,
    /// Bytes of heads and payloads committed, with their headers and padding.
    pub bytes: u64,
    /// Records failed.
    pub records_failed: u64,
    /// How long each commit took, in microseconds.
    pub commit_micros: Histogram,
    /// How many records each batch had.
    pub batch_records: Histogram,
    /// Each log, in the order given at open.
    pub logs: Vec<LogStatistics>,
}

/// The counters behind [`Statistics`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    batches: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    records_failed: AtomicU64,
    commit_micros: Buckets<15>,
    batch_records: Buckets<13>,
}

impl Counters {
    pub(crate) fn count_batch(&self, records: u64, bytes: u64, took: Duration) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.commit_micros
            .count(&COMMIT_MICROS, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.batch_records.count(&BATCH_RECORDS, records);
    }

    pub(crate) fn count_failed(&self, records: u64) {
        self.records_failed.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn snapshot<'a>(&self, logs: impl Iterator<Item = &'a LogView>) -> Statistics {
        Statistics {
            batches: self.batches.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            records_failed: self.records_failed.load(Ordering::Relaxed),
            commit_micros: self.commit_micros.snapshot(&COMMIT_MICROS),
            batch_records: self.batch_records.snapshot(&BATCH_RECORDS),
            logs: logs.map(statistics_of).collect(),
        }
    }
}

fn statistics_of(log: &LogView) -> LogStatistics {
    let segments = log.segments();
    LogStatistics {
        name: log.name,
        segments: segments.len() as u64,
        bytes_on_disk: segments.iter().map(|(_, it)| u64::from(it.size)).sum(),
        oldest_segment: segments.first().map_or(0, |(number, _)| *number),
    }
}

/// The counts of a histogram with `N - 1` bounds.
#[derive(Debug)]
struct Buckets<const N: usize> {
    counts: [AtomicU64; N],
    sum: AtomicU64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; N], sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Buckets<N> {
    fn count(&self, bounds: &[u64], value: u64) {
        let bucket = bounds.partition_point(|it| *it < value);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    fn snapshot(&self, bounds: &'static [u64]) -> Histogram {
        Histogram {
            bounds,
            counts: self.counts.iter().map(|it| it.load(Ordering::Relaxed)).collect(),
            sum: self.sum.load(Ordering::Relaxed),
        }
    }
}
