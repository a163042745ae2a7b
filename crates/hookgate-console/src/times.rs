//! Durations as answers show them.

/// Microseconds as milliseconds. More than an hour is not told apart.
pub(crate) fn milliseconds(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0
}
