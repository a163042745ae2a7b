//! A source's own rhythm, and whether it has gone silent against it.

use std::time::Duration;

use crate::time::Timestamp;

/// A source is silent when nothing came for so many times its longest pause.
pub const PAUSES: u32 = 3;

/// No source is silent within this: nights are quiet.
pub const QUIET: Duration = Duration::from_hours(12);

/// How many events make a rhythm.
pub const RHYTHM_EVENTS_MIN: usize = 10;

/// How many of the latest events are looked at: weeks of a small source, and a read that
/// disturbs nobody.
pub const RHYTHM_EVENTS_MAX: usize = 1_000;

/// How the latest events of a source came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// When the last one came.
    pub last: Timestamp,
    /// The longest pause between two of them; nothing: they are too few for a rhythm.
    pub longest: Option<Duration>,
    /// How many they are.
    pub events: usize,
}

impl Rhythm {
    /// The rhythm of events that came at these times, in any order; nothing: none came.
    #[must_use]
    pub fn of(mut times: Vec<Timestamp>) -> Option<Self> {
        times.sort_unstable();
        let last = *times.last()?;
        let pauses = times.windows(2).filter_map(|pair| match pair {
            [earlier, later] => Some(earlier.age(*later)),
            _ => None,
        });
        let longest = pauses.max().filter(|_| times.len() >= RHYTHM_EVENTS_MIN);
        Some(Self { last, longest, events: times.len() })
    }

    /// For how long it is silent, if that is longer than its rhythm allows, and than `quiet`.
    #[must_use]
    pub fn silence(&self, now: Timestamp, quiet: Duration) -> Option<Duration> {
        let silence = self.last.age(now);
        let allowed = self.longest?.saturating_mul(PAUSES).max(quiet);
        (silence > allowed).then_some(silence)
    }
}
