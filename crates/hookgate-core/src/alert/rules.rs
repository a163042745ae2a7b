//! The other rules, each with what raises it and what ends it. Between the two lies a stretch
//! in which nothing changes, so that a subject at the edge does not go back and forth.

use std::time::Duration;

use super::{Rhythm, Verdict};
use crate::delivery::{Breaker, Disabled};
use crate::time::Timestamp;

/// Failures in a row that are worth telling when they last.
pub const FAILING_FAILURES: u32 = 5;

/// How long they have to last. An open breaker (20 in a row) is told at once.
pub const FAILING_FOR: Duration = Duration::from_mins(15);

/// Failures in a row from which on ElevenLabs may be close: half of the ten after which it
/// turns a webhook off.
pub const ELEVENLABS_FAILURES: u64 = 5;

/// How long the last success lies behind then: ElevenLabs waits for seven days, and three are
/// left, a weekend among them.
pub const ELEVENLABS_WITHOUT_SUCCESS: Duration = Duration::from_hours(4 * 24);

/// So many per cent below its mark a disk has room again.
pub const DISK_BAND: u8 = 2;

/// How long events wait in a spool before that is told: a database that is only started anew is
/// back by then.
pub const SPOOL_WAIT: Duration = Duration::from_mins(1);

/// Whether a source is silent; for how long, if so. `up` says how long requests could come: who
/// was not there heard nothing.
#[must_use]
pub fn source_silent(
    rhythm: Option<&Rhythm>,
    now: Timestamp,
    quiet: Duration,
    up: Duration,
) -> (Verdict, Duration) {
    let Some(rhythm) = rhythm else { return (Verdict::Hold, Duration::ZERO) };
    let Some(silence) = rhythm.silence(now, quiet) else {
        return (Verdict::Clear, rhythm.last.age(now));
    };
    let listened = rhythm.longest.unwrap_or(quiet).min(quiet);
    let verdict = if up > listened { Verdict::Raise } else { Verdict::Hold };
    (verdict, silence)
}

/// Whether a destination fails. `lasts` says for how long it has had [`FAILING_FAILURES`].
#[must_use]
pub fn destination_failing(breaker: &Breaker, is_disabled: bool, lasts: Duration) -> Verdict {
    if is_disabled || breaker.failures == 0 {
        Verdict::Clear
    } else if breaker.is_open() || breaker.failures >= FAILING_FAILURES && lasts >= FAILING_FOR {
        Verdict::Raise
    } else {
        Verdict::Hold
    }
}

/// Whether a destination was disabled by what its endpoint answered. Who did it by hand knows.
#[must_use]
pub const fn destination_disabled(disabled: Option<Disabled>) -> Verdict {
    match disabled {
        Some(Disabled::Gone) => Verdict::Raise,
        Some(Disabled::ByHand) | None => Verdict::Clear,
    }
}

/// Whether ElevenLabs is about to turn a webhook off, after so many answers in a row that were
/// no success. `succeeded_at` is the last success; nothing: there was none.
#[must_use]
pub fn auto_disable(failures: u64, succeeded_at: Option<Timestamp>, now: Timestamp) -> Verdict {
    if failures == 0 {
        return Verdict::Clear;
    }
    let is_long = succeeded_at.is_none_or(|it| it.age(now) >= ELEVENLABS_WITHOUT_SUCCESS);
    if failures >= ELEVENLABS_FAILURES && is_long { Verdict::Raise } else { Verdict::Hold }
}

/// Whether a disk is past this mark, in per cent.
#[must_use]
pub const fn disk_filling(used_percent: u8, mark: u8) -> Verdict {
    if used_percent >= mark {
        Verdict::Raise
    } else if used_percent.saturating_add(DISK_BAND) <= mark {
        Verdict::Clear
    } else {
        Verdict::Hold
    }
}

/// Whether the store takes what is written.
#[must_use]
pub const fn store_failing(is_healthy: bool) -> Verdict {
    if is_healthy { Verdict::Clear } else { Verdict::Raise }
}

/// Whether events wait in a spool because the database is away. `oldest` says how long the
/// oldest of them does; nothing: it is empty.
#[must_use]
pub fn spool_waiting(oldest: Option<Duration>) -> Verdict {
    match oldest {
        None => Verdict::Clear,
        Some(it) if it >= SPOOL_WAIT => Verdict::Raise,
        Some(_) => Verdict::Hold,
    }
}

/// A time span as people say it.
#[must_use]
pub fn span(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 1440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
