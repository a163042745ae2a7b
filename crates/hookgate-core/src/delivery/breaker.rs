//! The breaker of a destination: when so much failed in a row that only one delivery at a time
//! is tried, to see whether the endpoint is back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Failures in a row that open a breaker.
pub const FAILURES_MAX: u32 = 20;

/// How long after it opened the first probe is made.
pub const PROBE_AFTER: Duration = Duration::from_secs(5);

/// The longest time between two probes; each failed one doubles it. So long everything may wait
/// for an endpoint that is back, and one request a minute burdens nobody.
pub const PROBE_AFTER_MAX: Duration = Duration::from_mins(1);

/// A destination's breaker. It is stored with its destination, so that a restart does not
/// close it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Failures since the last success.
    pub failures: u32,
    /// Failed probes since it opened.
    pub probes: u32,
    /// When the next probe may be made; nothing: it is closed.
    pub probe_at: Option<Timestamp>,
}

impl Breaker {
    /// A breaker that lets everything through.
    pub const CLOSED: Self = Self { failures: 0, probes: 0, probe_at: None };

    /// Whether deliveries wait for a probe.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.probe_at.is_some()
    }

    /// Whether probes have failed for so long. Counted by probes and not by a clock: while the
    /// gateway does not run, no endpoint fails.
    #[must_use]
    pub fn has_failed_for(&self, time: Duration) -> bool {
        self.is_open() && PROBE_AFTER_MAX.saturating_mul(self.probes) >= time
    }

    /// How many more deliveries may be tried now, while `leased` are, of which `concurrency`
    /// may be.
    #[must_use]
    pub fn room(&self, now: Timestamp, leased: u32, concurrency: u32) -> u32 {
        match self.probe_at {
            None => concurrency.saturating_sub(leased),
            Some(at) => u32::from(leased == 0 && is_reached(at, now)),
        }
    }

    /// What it is after a success.
    #[must_use]
    pub const fn after_success(self) -> Self {
        Self::CLOSED
    }

    /// What it is after a failure.
    #[must_use]
    pub fn after_failure(self, now: Timestamp) -> Self {
        let failures = self.failures.saturating_add(1);
        match self.probe_at {
            None if failures < FAILURES_MAX => Self { failures, ..self },
            None => Self { failures, probes: 0, probe_at: Some(after(now, 0)) },
            // What was under way when it opened is no probe.
            Some(at) if !is_reached(at, now) => Self { failures, ..self },
            Some(_) => {
                let probes = self.probes.saturating_add(1);
                Self { failures, probes, probe_at: Some(after(now, probes)) }
            }
        }
    }
}

/// Whether it is time. A probe that lies further ahead than any is put was put before the
/// clock was set back.
fn is_reached(at: Timestamp, now: Timestamp) -> bool {
    let ahead = at.ahead(now);
    ahead.is_zero() || ahead > PROBE_AFTER_MAX
}

/// When the next probe is made, after so many that failed.
fn after(now: Timestamp, probes: u32) -> Timestamp {
    let doubled = PROBE_AFTER.saturating_mul(2_u32.saturating_pow(probes));
    now.plus(doubled.min(PROBE_AFTER_MAX))
}
