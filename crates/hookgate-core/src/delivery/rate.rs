//! How many deliveries a destination gets in a second.
//!
//! A bucket of tokens, kept as one number: the moment at which it will be full again, in
//! microseconds. Its size and its refill together make the rate, so that no second, wherever
//! it begins, has more than that. (A bucket of the size of the rate would let twice as many
//! through.)

use crate::time::Timestamp;

/// Parts of the rate that may go out at once: whoever looks ten times a second keeps up.
const BURST_PART: u32 = 10;

const SECOND: i64 = 1_000_000;

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many may go at once.
    burst: i64,
    /// Microseconds from one to the next.
    interval: i64,
}

impl Rate {
    /// So many a second; 0 counts as 1.
    #[must_use]
    pub fn per_second(rate: u32) -> Self {
        let rate = rate.max(1);
        let burst = rate.div_ceil(BURST_PART);
        // `burst` at the beginning of a second, and `refill - 1` more before its end.
        let refill = i64::from(rate.saturating_sub(burst).saturating_add(1));
        let interval = SECOND.saturating_add(refill).saturating_sub(1).checked_div(refill);
        Self { burst: i64::from(burst), interval: interval.unwrap_or(SECOND) }
    }

    /// How many of `wanted` may go now, and what is to be kept of the bucket afterwards.
    /// `full_at` is what was kept before; 0 in the beginning.
    #[must_use]
    pub fn grant(self, full_at: i64, now: Timestamp, wanted: u32) -> (u32, i64) {
        let (now, full_at) = self.place(full_at, now);
        let free = self.size().saturating_sub(full_at.saturating_sub(now));
        let tokens = free.checked_div(self.interval).unwrap_or(0);
        let granted = u32::try_from(tokens).unwrap_or(0).min(wanted);
        (granted, full_at.saturating_add(self.interval.saturating_mul(i64::from(granted))))
    }

    /// When one may go, if none may now.
    #[must_use]
    pub fn next(self, full_at: i64, now: Timestamp) -> Timestamp {
        let (now, full_at) = self.place(full_at, now);
        let one = full_at.saturating_sub(self.size()).saturating_add(self.interval);
        let micros = one.max(now).saturating_add(999);
        Timestamp::from_millis(micros.checked_div(1_000).unwrap_or(0))
    }

    /// How long it takes to be filled.
    fn size(self) -> i64 {
        self.burst.saturating_mul(self.interval)
    }

    /// The time in microseconds, and when the bucket is full: never before now, and never
    /// later than an empty one, which it would be after the clock was set back.
    fn place(self, full_at: i64, now: Timestamp) -> (i64, i64) {
        let now = now.millis().saturating_mul(1_000);
        (now, full_at.clamp(now, now.saturating_add(self.size())))
    }
}
