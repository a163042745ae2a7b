//! `[delivery]`, checked: when a delivery is tried again, and how many are under way.

use std::time::Duration;

use hookgate_console::{BULK_PER_SECOND, BULK_PER_SECOND_MIN};
use hookgate_core::delivery::schedule;
use hookgate_dispatch::IN_FLIGHT_MAX;

use super::raw::RawDelivery;
use super::usage;
use crate::input;

/// More connections at once than one process has files for.
const IN_FLIGHT: std::ops::RangeInclusive<usize> = 1..=4_096;

/// What deliveries go by.
pub(crate) struct DeliveryConfig {
    /// The waits after the first attempt.
    pub(crate) schedule: Vec<Duration>,
    /// Attempts under way at once.
    pub(crate) in_flight: usize,
    /// Deliveries that are replayed or tried again in bulk, a second.
    pub(crate) bulk_per_second: u32,
}

impl DeliveryConfig {
    pub(super) fn check(raw: &RawDelivery) -> anyhow::Result<Self> {
        let schedule = match &raw.retry {
            None => schedule::DEFAULT.to_vec(),
            Some(waits) => {
                if waits.len() > schedule::WAITS_MAX {
                    let max = schedule::WAITS_MAX;
                    return Err(usage(format!("[delivery] retry has {max} waits at most")));
                }
                waits.iter().map(|it| wait(it)).collect::<anyhow::Result<_>>()?
            }
        };
        let in_flight = raw.in_flight.unwrap_or(IN_FLIGHT_MAX);
        if !IN_FLIGHT.contains(&in_flight) {
            let (least, most) = (IN_FLIGHT.start(), IN_FLIGHT.end());
            return Err(usage(format!("[delivery] in_flight must be {least} to {most}")));
        }
        let bulk_per_second = raw.bulk_per_second.unwrap_or(BULK_PER_SECOND);
        if bulk_per_second < BULK_PER_SECOND_MIN {
            let least = BULK_PER_SECOND_MIN;
            return Err(usage(format!("[delivery] bulk_per_second must be {least} at least")));
        }
        Ok(Self { schedule, in_flight, bulk_per_second })
    }
}

fn wait(text: &str) -> anyhow::Result<Duration> {
    let wait = Duration::from_secs(input::seconds("[delivery] retry", text)?);
    if wait.is_zero() || wait > schedule::WAIT_MAX {
        return Err(usage(format!("[delivery] retry {text}: a wait is 1s to 7d")));
    }
    Ok(wait)
}
