//! When a delivery is tried again.

use std::time::Duration;

/// The waits after the first attempt, which is made at once. Those that the Standard Webhooks
/// specification 1.0.0 proposes: ten attempts within 75.6 hours.
pub const DEFAULT: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];

/// Waits that a schedule may have.
pub const WAITS_MAX: usize = 32;

/// The longest wait of a schedule.
pub const WAIT_MAX: Duration = Duration::from_hours(7 * 24);

/// How far a wait is moved at most, in thousandths of it: what failed together does not come
/// back together.
const JITTER: u64 = 100;

/// The wait before attempt `attempts + 1`, moved by up to a tenth: to the front for a
/// `random` of 0, to the back for 1. Nothing: it was the last one.
#[must_use]
pub fn wait(schedule: &[Duration], attempts: u32, random: f64) -> Option<Duration> {
    let Some(made) = attempts.checked_sub(1) else { return Some(Duration::ZERO) };
    let wait = schedule.get(usize::try_from(made).ok()?)?;
    Some(jittered(*wait, random))
}

/// Attempts that are made at most.
#[must_use]
pub fn attempts_max(schedule: &[Duration]) -> u32 {
    u32::try_from(schedule.len()).unwrap_or(u32::MAX).saturating_add(1)
}

fn jittered(wait: Duration, random: f64) -> Duration {
    let wait = u64::try_from(wait.min(WAIT_MAX).as_millis()).unwrap_or(u64::MAX);
    let per_mille = thousandths(random).saturating_mul(JITTER).saturating_mul(2) / 1_000;
    let factor = 1_000_u64.saturating_sub(JITTER).saturating_add(per_mille);
    Duration::from_millis(wait.saturating_mul(factor) / 1_000)
}

/// A number of 0 to 1 in thousandths.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it was brought between 0 and 1000, and what is no number becomes 0"
)]
fn thousandths(random: f64) -> u64 {
    (random.clamp(0.0, 1.0) * 1_000.0) as u64
}
