//! What is counted of deliveries and of recordings. Destinations are no labels: there may be thousands, and
//! their names are their tenants'.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hookgate_core::delivery::AttemptOutcome;
use hookgate_core::time::Timestamp;
use hookgate_store::{DeliveryCounts, RecordingCounts};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The bounds of the histogram, in seconds: from a neighbour to the longest deadline.
const SECONDS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// The word for an attempt that could not even be made.
const OURS: &str = "ours";

type Label = [(&'static str, &'static str); 1];

/// The counters. Clones share them.
#[derive(Clone, Debug)]
pub struct DeliveryMetrics {
    attempts: Family<Label, Counter>,
    seconds: Histogram,
    pub(crate) enqueued: Counter,
    pub(crate) disabled: Counter,
    pub(crate) leases_lost: Counter,
    pub(crate) panics: Counter,
    pub(crate) in_flight: Gauge,
    pending: Gauge,
    failed: Gauge,
    dead_ours: Gauge,
    skipped: Gauge,
    stuck: Gauge,
    open_breakers: Gauge,
    disabled_now: Gauge,
    pub(crate) behind: Gauge,
    oldest_seconds: Gauge<f64, AtomicU64>,
    fetches: Family<Label, Counter>,
    pub(crate) fetched_bytes: Counter,
    recordings_pending: Gauge,
    recordings_failed: Gauge,
}

impl DeliveryMetrics {
    /// Registers the counters.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            attempts: Family::default(),
            seconds: Histogram::new(SECONDS),
            enqueued: Counter::default(),
            disabled: Counter::default(),
            leases_lost: Counter::default(),
            panics: Counter::default(),
            in_flight: Gauge::default(),
            pending: Gauge::default(),
            failed: Gauge::default(),
            dead_ours: Gauge::default(),
            skipped: Gauge::default(),
            stuck: Gauge::default(),
            open_breakers: Gauge::default(),
            disabled_now: Gauge::default(),
            behind: Gauge::default(),
            oldest_seconds: Gauge::default(),
            fetches: Family::default(),
            fetched_bytes: Counter::default(),
            recordings_pending: Gauge::default(),
            recordings_failed: Gauge::default(),
        };
        let it = &metrics;
        registry.register(
            "hookgate_delivery_attempts",
            "Attempts to deliver by how they ended; `ours` failed here, and no endpoint has a part in it",
            it.attempts.clone(),
        );
        registry.register(
            "hookgate_delivery_attempt_seconds",
            "Time from the start of an attempt to the end of the endpoint's answer",
            it.seconds.clone(),
        );
        let counters = [
            ("hookgate_deliveries_enqueued", "Deliveries that came about", &it.enqueued),
            (
                "hookgate_destination_disablings",
                "Destinations that were disabled by what their endpoint answered",
                &it.disabled,
            ),
            (
                "hookgate_delivery_leases_lost",
                "Attempts that ended after their lease: they may have been made twice",
                &it.leases_lost,
            ),
            ("hookgate_delivery_panics", "Attempts that ended in a panic", &it.panics),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            ("hookgate_deliveries_in_flight", "Attempts under way", &it.in_flight),
            ("hookgate_deliveries_pending", "Deliveries that have not arrived yet", &it.pending),
            (
                "hookgate_deliveries_failed",
                "Deliveries that were given up because their endpoint did not take them",
                &it.failed,
            ),
            (
                "hookgate_deliveries_dead_ours",
                "Deliveries that were given up because something failed here",
                &it.dead_ours,
            ),
            (
                "hookgate_deliveries_stuck",
                "Deliveries that are due for long although nothing stands in their way: there should be none",
                &it.stuck,
            ),
            (
                "hookgate_deliveries_skipped",
                "Deliveries that were not tried because their destination was disabled",
                &it.skipped,
            ),
            (
                "hookgate_delivery_breakers_open",
                "Destinations that failed so often that one delivery at a time is tried",
                &it.open_breakers,
            ),
            ("hookgate_destinations_disabled", "Destinations that are disabled", &it.disabled_now),
            (
                "hookgate_delivery_events_behind",
                "Places in the journal between the latest event and the last that was looked at",
                &it.behind,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "hookgate_delivery_oldest_due_seconds",
            "How long the delivery waits that should have been tried first",
            it.oldest_seconds.clone(),
        );
        metrics.register_recordings(registry);
        metrics
    }

    fn register_recordings(&self, registry: &mut Registry) {
        let it = self;
        registry.register(
            "hookgate_recording_fetches",
            "Attempts to fetch a recording by how they ended: `fetched`, `failed` (it is tried again, or given up), `postponed` (there was no room here) or `gone` (it was erased)",
            it.fetches.clone(),
        );
        registry.register(
            "hookgate_recording_bytes",
            "Bytes of recordings that were fetched and kept",
            it.fetched_bytes.clone(),
        );
        registry.register(
            "hookgate_recordings_pending",
            "Recordings that are to be fetched",
            it.recordings_pending.clone(),
        );
        registry.register(
            "hookgate_recordings_failed",
            "Recordings that were given up",
            it.recordings_failed.clone(),
        );
    }

    /// Notes what waits.
    pub(crate) fn waiting(&self, counts: &DeliveryCounts, now: Timestamp) {
        let gauges = [
            (&self.pending, counts.pending),
            (&self.failed, counts.failed),
            (&self.dead_ours, counts.dead_ours),
            (&self.skipped, counts.skipped),
            (&self.stuck, counts.stuck),
            (&self.open_breakers, counts.open_breakers),
            (&self.disabled_now, counts.disabled),
        ];
        for (gauge, count) in gauges {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let waits = counts.oldest_due.map_or(Duration::ZERO, |it| it.age(now));
        self.oldest_seconds.set(waits.as_secs_f64());
    }

    /// Notes which recordings are not here.
    pub(crate) fn recordings(&self, counts: RecordingCounts) {
        self.recordings_pending.set(i64::try_from(counts.pending).unwrap_or(i64::MAX));
        self.recordings_failed.set(i64::try_from(counts.failed).unwrap_or(i64::MAX));
    }

    /// Counts an attempt to fetch a recording.
    pub(crate) fn fetched(&self, outcome: &'static str) {
        self.fetches.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts an attempt that has ended.
    pub(crate) fn attempted(&self, outcome: &AttemptOutcome, took: Duration) {
        self.attempts.get_or_create(&[("outcome", word(outcome))]).inc();
        if !matches!(outcome, AttemptOutcome::Ours { .. }) {
            self.seconds.observe(took.as_secs_f64());
        }
    }
}

/// The word for how an attempt ended.
pub(crate) const fn word(outcome: &AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Delivered { .. } => "delivered",
        AttemptOutcome::Refused { .. } => "refused",
        AttemptOutcome::Gone => "gone",
        AttemptOutcome::Broken { .. } => "broken",
        AttemptOutcome::Ours { .. } => OURS,
    }
}
