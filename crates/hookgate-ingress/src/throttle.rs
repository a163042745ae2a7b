//! Keeps a repeated log line from filling the log.

use std::sync::atomic::{AtomicU64, Ordering};

use hookgate_core::time::Timestamp;

/// Lets so many lines through in each window of time.
#[derive(Debug)]
pub(crate) struct Throttle {
    window_millis: u64,
    lines_max: u32,
    /// The number of the window, and how many lines came in it (lower 32 bits).
    state: AtomicU64,
}

impl Throttle {
    pub(crate) const fn new(lines_max: u32, window_millis: u64) -> Self {
        Self { window_millis, lines_max, state: AtomicU64::new(0) }
    }

    /// Whether the line may be written; if so, how many were left out in the window
    /// before.
    pub(crate) fn pass(&self, now: Timestamp) -> Option<u32> {
        let millis = u64::try_from(now.millis()).unwrap_or(0);
        let window = (millis / self.window_millis.max(1)) & u64::from(u32::MAX);
        let step = |state: u64| match (state >> 32, state & u64::from(u32::MAX)) {
            (current, count) if current == window => {
                Some((current << 32) | (count + 1).min(u64::from(u32::MAX)))
            }
            _ => Some((window << 32) | 1),
        };
        let before = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .unwrap_or_else(|state| state);
        let count = u32::try_from(before & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        if before >> 32 != window {
            return Some(count.saturating_sub(self.lines_max));
        }
        (count < self.lines_max).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lets_its_lines_through_and_the_next_one_says_how_many_it_did_not() {
        let throttle = Throttle::new(2, 1000);
        let at = |millis| throttle.pass(Timestamp::from_millis(millis));
        assert_eq!([at(5000), at(5001), at(5002), at(5999)], [Some(0), Some(0), None, None]);
        assert_eq!([at(6000), at(6001), at(6002)], [Some(2), Some(0), None]);
    }
}
