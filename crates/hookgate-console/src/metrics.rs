//! What the store counts about itself, for Prometheus. A metric is a row: its name, its
//! help text, and where it is read from a [`Snapshot`].

use std::fmt;

use hookgate_store::{Health, Histogram, LogStatistics, Snapshot, Statistics, Store};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// Adds what the store counts to a registry without a prefix.
pub fn register_store(registry: &mut Registry, store: Store) {
    registry.register_collector(Box::new(StoreMetrics(store)));
}

#[derive(Debug)]
struct StoreMetrics(Store);

/// A number: its name, what it tells, its unit.
struct Number {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    value: Reading,
}

/// How a number is read.
enum Reading {
    /// It only grows while the process runs.
    Counter(fn(&Snapshot) -> u64),
    /// It rises and falls.
    Gauge(fn(&Snapshot) -> u64),
    /// A part of a whole, from 0 to 1.
    Ratio(fn(&Snapshot) -> f64),
}

use Reading::{Counter, Gauge, Ratio};

/// Every number. A counter gets `_total` behind its name, and the unit in front of that.
const NUMBERS: &[Number] = &[
    Number {
        name: "hookgate_store_healthy",
        help: "1 while the disk takes what is written, else 0.",
        unit: None,
        value: Gauge(|it| u64::from(it.health == Health::Healthy)),
    },
    Number {
        name: "hookgate_store_next_seq",
        help: "The place that the next record gets.",
        unit: None,
        value: Gauge(|it| it.next_seq),
    },
    Number {
        name: "hookgate_queue_records",
        help: "Records that wait for the disk.",
        unit: None,
        value: Gauge(|it| it.pending.records),
    },
    Number {
        name: "hookgate_queue",
        help: "Bytes that wait for the disk.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.pending.bytes),
    },
    Number {
        name: "hookgate_journal_batches",
        help: "Batches committed since the start.",
        unit: None,
        value: Counter(|it| it.journal.batches),
    },
    Number {
        name: "hookgate_journal_records",
        help: "Records committed since the start.",
        unit: None,
        value: Counter(|it| it.journal.records),
    },
    Number {
        name: "hookgate_journal_records_failed",
        help: "Records since the start that the disk did not take; their senders were told.",
        unit: None,
        value: Counter(|it| it.journal.records_failed),
    },
    Number {
        name: "hookgate_journal_written",
        help: "Bytes committed since the start.",
        unit: Some(Unit::Bytes),
        value: Counter(|it| it.journal.bytes),
    },
    Number {
        name: "hookgate_journal_size",
        help: "Bytes of all segment files of the journal on disk.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| on_disk(&it.journal)),
    },
    Number {
        name: "hookgate_journal_segments",
        help: "Segment files of the journal.",
        unit: None,
        value: Gauge(|it| sum(&it.journal, |log| log.segments)),
    },
    Number {
        name: "hookgate_index_lag_records",
        help: "Records that the index does not hold yet.",
        unit: None,
        value: Gauge(|it| it.index.lag),
    },
    Number {
        name: "hookgate_conversations",
        help: "Conversations that events tell of.",
        unit: None,
        value: Gauge(|it| it.conversations.conversations),
    },
    Number {
        name: "hookgate_conversations_lag_records",
        help: "Records that the conversations do not hold yet.",
        unit: None,
        value: Gauge(|it| it.conversations.behind),
    },
    Number {
        name: "hookgate_index_lag_records_max",
        help: "The lag of the index from which on nothing is accepted.",
        unit: None,
        value: Gauge(|it| it.index.lag_max),
    },
    Number {
        name: "hookgate_dedupe_keys_in_memory",
        help: "Keys in memory by which repetitions are recognised.",
        unit: None,
        value: Gauge(|it| it.dedupe.keys_in_memory),
    },
    Number {
        name: "hookgate_dedupe_keys_in_table",
        help: "Keys on disk by which repetitions are recognised.",
        unit: None,
        value: Gauge(|it| it.dedupe.keys_in_table),
    },
    Number {
        name: "hookgate_repetitions",
        help: "Requests since the start that repeated an event.",
        unit: None,
        value: Counter(|it| it.dedupe.repetitions),
    },
    Number {
        name: "hookgate_unproven_dropped",
        help: "Requests without proof since the start that were not kept.",
        unit: None,
        value: Counter(|it| it.unproven.dropped),
    },
    Number {
        name: "hookgate_rejections_kept",
        help: "Refused requests in the ring.",
        unit: None,
        value: Gauge(|it| it.rejections.kept),
    },
    Number {
        name: "hookgate_rejections_dropped",
        help: "Refused requests since the start that were not kept.",
        unit: None,
        value: Counter(|it| it.rejections.dropped),
    },
    Number {
        name: "hookgate_rejections_size",
        help: "Bytes of the ring of refused requests on disk, large bodies included.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| on_disk(&it.rejections_journal).saturating_add(it.rejections.blob_bytes)),
    },
    Number {
        name: "hookgate_blobs_in_flight",
        help: "Bytes of large bodies that are not part of an event yet.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.blobs.in_flight_bytes),
    },
    Number {
        name: "hookgate_blobs_in_flight_max",
        help: "How many bytes of large bodies may be part of no event yet.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.blobs.in_flight_bytes_max),
    },
    Number {
        name: "hookgate_disk_size",
        help: "The size of the disk that the store lies on.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.disk.total_bytes),
    },
    Number {
        name: "hookgate_disk_free",
        help: "What may still be written to the disk that the store lies on.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.disk.free_bytes),
    },
    Number {
        name: "hookgate_disk_used_ratio",
        help: "The used part of the disk that the store lies on.",
        unit: None,
        value: Ratio(|it| f64::from(it.disk.used_percent) / 100.0),
    },
    Number {
        name: "hookgate_recovered_corrupt",
        help: "Places that opening the store found damaged: restore from a backup.",
        unit: None,
        value: Gauge(|it| it.recovered.corrupt),
    },
    Number {
        name: "hookgate_recovered_missing",
        help: "Records that opening the store found in the index but not in the journal.",
        unit: None,
        value: Gauge(|it| it.recovered.missing),
    },
];

/// What is told of a spool, where there is one.
const SPOOL: &[Number] = &[
    Number {
        name: "hookgate_spool_state",
        help: "Where events go: 0 to the database, 1 into the spool, 2 into it while it is emptied.",
        unit: None,
        value: Gauge(|it| match it.spool.as_ref().map_or("ok", |it| it.state) {
            "spooling" => 1,
            "draining" => 2,
            _ => 0,
        }),
    },
    Number {
        name: "hookgate_spool_entries",
        help: "Events in the spool.",
        unit: None,
        value: Gauge(|it| it.spool.as_ref().map_or(0, |it| it.entries)),
    },
    Number {
        name: "hookgate_spool_size",
        help: "Bytes of the events in the spool.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.spool.as_ref().map_or(0, |it| it.bytes)),
    },
    Number {
        name: "hookgate_spool_size_max",
        help: "How many bytes the spool may hold; beyond, requests are answered 503.",
        unit: Some(Unit::Bytes),
        value: Gauge(|it| it.spool.as_ref().map_or(0, |it| it.bytes_max)),
    },
    Number {
        name: "hookgate_spool_oldest_received",
        help: "When the oldest event in the spool was received, in seconds since 1970; 0 if there is none.",
        unit: Some(Unit::Seconds),
        value: Gauge(|it| {
            let oldest = it.spool.as_ref().and_then(|it| it.oldest_at);
            oldest.and_then(|it| u64::try_from(it.millis() / 1_000).ok()).unwrap_or(0)
        }),
    },
    Number {
        name: "hookgate_spool_damaged",
        help: "Stretches of damage that were met in the spool since the start.",
        unit: None,
        value: Gauge(|it| it.spool.as_ref().map_or(0, |it| it.damaged)),
    },
    Number {
        name: "hookgate_outages",
        help: "How often the database went away since the start.",
        unit: None,
        value: Counter(|it| it.spool.as_ref().map_or(0, |it| it.outages)),
    },
];

impl Collector for StoreMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let now = self.0.snapshot();
        let spool = now.spool.as_ref().map_or(&[][..], |_| SPOOL);
        for number in NUMBERS.iter().chain(spool) {
            let metric: Box<dyn EncodeMetric> = match number.value {
                Counter(read) => Box::new(ConstCounter::new(read(&now))),
                Gauge(read) => Box::new(ConstGauge::new(read(&now))),
                Ratio(read) => Box::new(ConstGauge::new(read(&now))),
            };
            let (unit, kind) = (number.unit.as_ref(), metric.metric_type());
            metric.encode(encoder.encode_descriptor(number.name, number.help, unit, kind)?)?;
        }
        let name = "hookgate_journal_commit";
        let help = "How long a commit took, from the first byte written to the sync.";
        let kind = MetricType::Histogram;
        let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), kind)?;
        encode_histogram(metric, &now.journal.commit_micros, 1e6)?;

        let name = "hookgate_journal_batch_records";
        let help = "How many records shared a commit.";
        let metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        encode_histogram(metric, &now.journal.batch_records, 1.0)
    }
}

/// Prints a histogram in another unit: so many of its own make one of that.
#[expect(clippy::cast_precision_loss, reason = "a float holds counts to 2^53 exactly")]
fn encode_histogram(
    mut encoder: MetricEncoder<'_>,
    from: &Histogram,
    per_unit: f64,
) -> fmt::Result {
    let bounds = from.bounds.iter().map(|it| *it as f64 / per_unit).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(from.counts.iter().copied()).collect();
    let count = from.counts.iter().sum();
    encoder.encode_histogram::<NoLabelSet>(from.sum as f64 / per_unit, count, &buckets, None)
}

fn on_disk(journal: &Statistics) -> u64 {
    sum(journal, |log| log.bytes_on_disk)
}

fn sum(journal: &Statistics, read: impl Fn(&LogStatistics) -> u64) -> u64 {
    journal.logs.iter().map(read).sum()
}
