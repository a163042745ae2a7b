//! What the front door counts.
//!
//! Families are looked up once a source, when the gate is made: a request touches plain
//! atomics. Label values come from configuration and from the enum below, never from a
//! request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Labels<const N: usize> = [(&'static str, String); N];

/// The bounds of the histogram, in seconds: from a fast disk's sync to a sender's
/// patience.
const SECONDS: [f64; 12] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5, 10.0];

/// The statuses that the front door answers with.
const STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503, 204, 202];

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Proven and stored.
    Accepted,
    /// Proven, and stored before.
    Duplicate,
    /// Proven and put into quarantine.
    Quarantined,
    /// Not proven, and kept apart, because the source accepts that.
    Unproven,
    /// Not proven and refused.
    Refused,
    /// A handshake that is no event.
    Handshake,
    /// Turned away for its method, encoding, transport or framing.
    Misdirected,
    /// Too large.
    TooLarge,
    /// Too slow, or broken off.
    Incomplete,
    /// Over a limit.
    Limited,
    /// Not stored, because the store could not.
    Unavailable,
    /// Our own fault.
    Failed,
}

impl Outcome {
    const ALL: [Self; 12] = [
        Self::Accepted,
        Self::Duplicate,
        Self::Quarantined,
        Self::Unproven,
        Self::Refused,
        Self::Handshake,
        Self::Misdirected,
        Self::TooLarge,
        Self::Incomplete,
        Self::Limited,
        Self::Unavailable,
        Self::Failed,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Quarantined => "quarantined",
            Self::Unproven => "unproven",
            Self::Refused => "refused",
            Self::Handshake => "handshake",
            Self::Misdirected => "misdirected",
            Self::TooLarge => "too_large",
            Self::Incomplete => "incomplete",
            Self::Limited => "limited",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}

/// What a source answered since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests that proved nothing and were refused.
    pub refused: u64,
    /// Answers that were a success.
    pub successes: u64,
    /// Answers since the last success that were none.
    pub failures_in_row: u64,
}

/// The same while it is counted.
#[derive(Debug, Default)]
struct Counting {
    refused: AtomicU64,
    successes: AtomicU64,
    failures_in_row: AtomicU64,
}

/// The counters of the front door. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: Family<Labels<2>, Counter>,
    bodies: Family<Labels<1>, Counter>,
    acknowledgement: Family<Labels<1>, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels<1>, Gauge>,
    violations: Family<Labels<1>, Counter>,
    tallies: Arc<Mutex<HashMap<String, Arc<Counting>>>>,
    answers: Vec<(u16, Counter)>,
    other_answers: Counter,
    pub(crate) unknown: Counter,
    pub(crate) connections: Gauge,
    pub(crate) refused_connections: Counter,
    pub(crate) panics: Counter,
}

/// The counters of one source, found beforehand.
#[derive(Clone, Debug)]
pub(crate) struct SourceMetrics {
    outcomes: [Counter; Outcome::ALL.len()],
    pub(crate) body_bytes: Counter,
    pub(crate) acknowledgement: Histogram,
    pub(crate) in_flight: Gauge,
    pub(crate) violations: Counter,
    tally: Arc<Counting>,
}

impl Metrics {
    /// Registers the counters, all of them under `hookgate_ingress_`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let answers = Family::<Labels<1>, Counter>::default();
        let status = |status: &str| answers.get_or_create_owned(&[("status", status.to_owned())]);
        let metrics = Self {
            requests: Family::default(),
            bodies: Family::default(),
            acknowledgement: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            in_flight: Family::default(),
            violations: Family::default(),
            tallies: Arc::default(),
            answers: STATUSES.iter().map(|it| (*it, status(&it.to_string()))).collect(),
            other_answers: status("other"),
            unknown: Counter::default(),
            connections: Gauge::default(),
            refused_connections: Counter::default(),
            panics: Counter::default(),
        };
        let registry = registry.sub_registry_with_prefix("hookgate_ingress");
        registry.register("requests", "Requests by what became of them", metrics.requests.clone());
        registry.register("answers", "Answers of the front door by status", answers);
        registry.register("body_bytes", "Bytes of bodies that were read", metrics.bodies.clone());
        registry.register(
            "acknowledgement_seconds",
            "From a request's head to the receipt of its event",
            metrics.acknowledgement.clone(),
        );
        registry.register("in_flight", "Requests in flight", metrics.in_flight.clone());
        registry.register(
            "violations",
            "Proven requests that contradict ownership",
            metrics.violations.clone(),
        );
        let unknown = "Requests to a source that does not exist";
        registry.register("unknown_sources", unknown, metrics.unknown.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "refused_connections",
            "Connections that were closed at once, because there were too many",
            metrics.refused_connections.clone(),
        );
        registry.register("panics", "Requests that ended in a panic", metrics.panics.clone());
        metrics
    }

    pub(crate) fn of(&self, source: &str) -> SourceMetrics {
        let label = || ("source", source.to_owned());
        let outcome = |it: Outcome| {
            self.requests.get_or_create_owned(&[label(), ("outcome", it.name().to_owned())])
        };
        SourceMetrics {
            outcomes: Outcome::ALL.map(outcome),
            body_bytes: self.bodies.get_or_create_owned(&[label()]),
            acknowledgement: self.acknowledgement.get_or_create_owned(&[label()]),
            in_flight: self.in_flight.get_or_create_owned(&[label()]),
            violations: self.violations.get_or_create_owned(&[label()]),
            tally: {
                let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(tallies.entry(source.to_owned()).or_default())
            },
        }
    }

    /// What a source answered since the process started.
    #[must_use]
    pub fn tally(&self, source: &str) -> Tally {
        let tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        tallies.get(source).map_or_else(Tally::default, |it| Tally {
            refused: read(&it.refused),
            successes: read(&it.successes),
            failures_in_row: read(&it.failures_in_row),
        })
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let counter = self.answers.iter().find(|(it, _)| *it == status.as_u16());
        counter.map_or(&self.other_answers, |(_, counter)| counter).inc();
    }
}

impl SourceMetrics {
    /// Counts an answer.
    pub(crate) fn answered(&self, status: StatusCode, outcome: Outcome) {
        self.counter(outcome).inc();
        let tally = &self.tally;
        if outcome == Outcome::Refused {
            tally.refused.fetch_add(1, Ordering::Relaxed);
        }
        if status.is_success() {
            tally.successes.fetch_add(1, Ordering::Relaxed);
            // Mostly it is nothing already, and then no other core is disturbed.
            if tally.failures_in_row.load(Ordering::Relaxed) > 0 {
                tally.failures_in_row.store(0, Ordering::Relaxed);
            }
        } else {
            tally.failures_in_row.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counter(&self, outcome: Outcome) -> &Counter {
        let [first, ..] = &self.outcomes;
        self.outcomes.get(outcome as usize).unwrap_or(first)
    }
}
