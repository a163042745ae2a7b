//! Whether more is counted than usual: the last windows against those of a day.

use std::collections::VecDeque;
use std::time::Duration;

use super::Verdict;
use crate::time::Timestamp;

/// How long a window is: long enough that a handful of retries is one, short enough to be told
/// soon.
pub const WINDOW: Duration = Duration::from_mins(10);

/// Windows that are what is usual: those of a day, so that mornings are part of it.
const WINDOWS: i64 = 144;

/// The latest windows: the one that runs and the one before, so that none is just begun.
const LATEST: i64 = 2;

/// Rejections in the latest windows from which on there may be an alert, unless set: fewer are
/// somebody who tries.
pub const REJECTIONS: u64 = 20;

/// So many times what is usual is a rise.
const RISE: u64 = 4;

/// Less than so many times what is usual is none any more.
const CALM: u64 = 2;

/// What was counted in each window of a day.
#[derive(Clone, Debug, Default)]
pub struct Rise {
    windows: VecDeque<(i64, u64)>,
}

impl Rise {
    /// Notes that so many were counted by now.
    pub fn note(&mut self, count: u64, now: Timestamp) {
        let at = window(now);
        // What lies ahead was counted before the clock was set back.
        while self.windows.back().is_some_and(|(it, _)| *it > at) {
            self.windows.pop_back();
        }
        match self.windows.back_mut() {
            Some((it, counted)) if *it == at => *counted = counted.saturating_add(count),
            _ if count > 0 => self.windows.push_back((at, count)),
            _ => {}
        }
        let first = at.saturating_sub(WINDOWS.saturating_add(LATEST));
        while self.windows.front().is_some_and(|(it, _)| *it <= first) {
            self.windows.pop_front();
        }
    }

    /// What the latest windows have.
    #[must_use]
    pub fn latest(&self, now: Timestamp) -> u64 {
        let from = window(now).saturating_sub(LATEST);
        self.sum(|it| it > from)
    }

    /// What as many windows usually have.
    #[must_use]
    pub fn usual(&self, now: Timestamp) -> u64 {
        let from = window(now).saturating_sub(LATEST);
        let before = self.sum(|it| it <= from).saturating_mul(LATEST.unsigned_abs());
        before.checked_div(WINDOWS.unsigned_abs()).unwrap_or(0)
    }

    /// Whether that is a rise, from `least` on.
    #[must_use]
    pub fn verdict(&self, now: Timestamp, least: u64) -> Verdict {
        let (latest, usual) = (self.latest(now), self.usual(now));
        let least = least.max(1);
        if latest >= least && latest >= usual.saturating_mul(RISE) {
            Verdict::Raise
        } else if latest < least.div_ceil(2) || latest < usual.saturating_mul(CALM) {
            Verdict::Clear
        } else {
            Verdict::Hold
        }
    }

    fn sum(&self, counts: impl Fn(i64) -> bool) -> u64 {
        let counted = self.windows.iter().filter(|(it, _)| counts(*it));
        counted.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }
}

/// The number of the window that a moment is in.
fn window(at: Timestamp) -> i64 {
    let millis = i64::try_from(WINDOW.as_millis()).unwrap_or(i64::MAX);
    at.millis().checked_div(millis).unwrap_or(0)
}
