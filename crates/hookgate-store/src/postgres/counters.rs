//! What the writer did since the node was opened, as a journal counts it.

use std::time::Duration;

use hookgate_journal::{Histogram, Pending, Statistics};

/// Bounds of the time of a commit, in microseconds.
const MICROS: &[u64] =
    &[500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 512_000, 2_000_000];

/// Bounds of the records in a batch.
const RECORDS: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// The counters.
#[derive(Clone, Debug)]
pub(super) struct Counters(Statistics);

impl Default for Counters {
    fn default() -> Self {
        let none = |bounds: &'static [u64]| Histogram {
            bounds,
            counts: vec![0; bounds.len().saturating_add(1)],
            sum: 0,
        };
        Self(Statistics {
            batches: 0,
            records: 0,
            bytes: 0,
            records_failed: 0,
            commit_micros: none(MICROS),
            batch_records: none(RECORDS),
            logs: Vec::new(),
        })
    }
}

impl Counters {
    /// A batch was committed.
    pub(super) fn count(&mut self, batch: Pending, took: Duration) {
        let all = &mut self.0;
        all.batches = all.batches.saturating_add(1);
        all.records = all.records.saturating_add(batch.records);
        all.bytes = all.bytes.saturating_add(batch.bytes);
        note(&mut all.commit_micros, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        note(&mut all.batch_records, batch.records);
    }

    /// Events were not stored.
    pub(super) fn count_failed(&mut self, records: u64) {
        self.0.records_failed = self.0.records_failed.saturating_add(records);
    }

    pub(super) fn statistics(&self) -> Statistics {
        self.0.clone()
    }
}

fn note(histogram: &mut Histogram, value: u64) {
    let at = histogram.bounds.partition_point(|bound| *bound < value);
    if let Some(count) = histogram.counts.get_mut(at) {
        *count = count.saturating_add(1);
    }
    histogram.sum = histogram.sum.saturating_add(value);
}
