//! `[alerts]`, checked: whether it is looked, how often, and what is told.

use std::time::Duration;

use hookgate_core::alert::{QUIET, REJECTIONS};
use hookgate_dispatch::AlertRules;
use hookgate_store::Options;

use super::raw::RawAlerts;
use super::usage;
use crate::input;

/// How often it is looked, unless set: soon enough for a human, and no load.
const INTERVAL: Duration = Duration::from_mins(1);

/// Longer, and an alert comes too late; shorter, and looking is a load.
const INTERVALS: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_hours(1);

/// A source that speaks less often than once in this is none to be watched.
const QUIET_MAX: Duration = Duration::from_hours(30 * 24);

/// The rules; nothing: nobody looks.
pub(super) fn check(raw: &RawAlerts, store: &Options) -> anyhow::Result<Option<AlertRules>> {
    let span = |name: &str, text: &Option<String>, default| -> anyhow::Result<Duration> {
        let read = |text: &String| input::seconds(name, text).map(Duration::from_secs);
        text.as_ref().map_or(Ok(default), read)
    };
    let interval = span("[alerts] interval", &raw.interval, INTERVAL)?;
    if !INTERVALS.contains(&interval) {
        return Err(usage("[alerts] interval is 1s to 1h".to_owned()));
    }
    let quiet = span("[alerts] silence", &raw.silence, QUIET)?;
    if quiet.is_zero() || quiet > QUIET_MAX {
        return Err(usage("[alerts] silence is 1s to 30d".to_owned()));
    }
    let rejections = raw.rejections.unwrap_or(REJECTIONS);
    if rejections == 0 {
        return Err(usage("[alerts] rejections is 1 at least".to_owned()));
    }
    Ok(raw.enabled.unwrap_or(true).then_some(AlertRules {
        interval,
        rejections,
        quiet,
        disk_warn_percent: store.disk_warn_percent,
        disk_full_percent: store.disk_full_percent,
    }))
}
