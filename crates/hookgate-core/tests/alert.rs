//! Alerts in simulated time: once for each episode, and never back and forth.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use hookgate_core::alert::{
    AlertKind, ELEVENLABS_WITHOUT_SUCCESS, Episode, FAILING_FOR, INTERVAL_MIN, QUIET, REJECTIONS,
    Rhythm, Rise, SPOOL_WAIT, Step, Verdict, WINDOW, auto_disable, destination_disabled,
    destination_failing, disk_filling, source_silent, spool_waiting, step,
};
use hookgate_core::delivery::{Breaker, DestinationSettings, Disabled};
use hookgate_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn start() -> Timestamp {
    Timestamp::parse("2026-11-22T00:00:00Z").unwrap()
}

fn after(hours: u64) -> Timestamp {
    start().plus(Duration::from_hours(hours))
}

/// What was raised and cleared, when verdicts follow each other in these steps of minutes.
fn history(verdicts: &[(u64, Verdict)]) -> Vec<(Timestamp, Step)> {
    let (mut now, mut latest, mut told) = (start(), None, Vec::new());
    for (minutes, verdict) in verdicts {
        now = now.plus(Duration::from_mins(*minutes));
        let follows = step(latest, *verdict, now);
        match follows {
            Step::Raise => latest = Some(Episode { raised_at: now, is_over: false }),
            Step::Clear => latest.as_mut().unwrap().is_over = true,
            Step::Stay => continue,
        }
        told.push((now, follows));
    }
    told
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![Just(Verdict::Raise), Just(Verdict::Hold), Just(Verdict::Clear)]
}

proptest! {
    #[test]
    fn an_alert_is_raised_once_an_episode_and_no_more_often_than_its_interval(
        verdicts in proptest::collection::vec((1_u64..40, verdict()), 0..200),
    ) {
        let told = history(&verdicts);
        for pair in told.windows(2) {
            prop_assert_ne!(pair[0].1, pair[1].1, "raised and cleared in turn");
        }
        let raised: Vec<_> = told.iter().filter(|it| it.1 == Step::Raise).map(|it| it.0).collect();
        for pair in raised.windows(2) {
            prop_assert!(pair[0].age(pair[1]) >= INTERVAL_MIN);
        }
        // What is bad for as long as the interval is told, and what is well then is over.
        let mut to_the_end = verdicts;
        to_the_end.extend([(60, Verdict::Raise), (60, Verdict::Raise)]);
        prop_assert_eq!(history(&to_the_end).last().unwrap().1, Step::Raise);
        to_the_end.push((1, Verdict::Clear));
        prop_assert_eq!(history(&to_the_end).last().unwrap().1, Step::Clear);
    }
}

#[test]
fn a_clock_that_is_set_back_keeps_no_alert_back() {
    let latest = Episode { raised_at: after(100), is_over: true };
    assert_eq!(step(Some(latest), Verdict::Raise, start()), Step::Raise);
}

#[test]
fn a_source_is_silent_against_its_own_rhythm_and_not_while_nobody_listened() {
    let hourly = Rhythm::of((0..20).map(after).collect()).unwrap();
    assert_eq!(hourly.longest, Some(HOUR));
    let said = |now, up| source_silent(Some(&hourly), now, QUIET, up).0;
    assert_eq!(said(after(31), DAY), Verdict::Clear, "a night is no silence");
    assert_eq!(said(after(32), DAY), Verdict::Raise);
    assert_eq!(said(after(32), HOUR / 2), Verdict::Hold, "the gateway just started");
    let weekly = Rhythm::of((0..12).map(|it| after(it * 7 * 24)).collect()).unwrap();
    let end = weekly.last;
    let said = |now| source_silent(Some(&weekly), now, QUIET, 30 * DAY).0;
    assert_eq!(said(end.plus(20 * DAY)), Verdict::Clear);
    assert_eq!(said(end.plus(22 * DAY)), Verdict::Raise);
    let few = Rhythm::of((0..3).map(after).collect()).unwrap();
    assert_eq!(few.longest, None, "too few for a rhythm");
    assert_eq!(source_silent(Some(&few), after(9_999), QUIET, DAY).0, Verdict::Clear);
    assert_eq!(source_silent(None, after(9_999), QUIET, DAY).0, Verdict::Hold);
}

#[test]
fn rejections_rise_against_what_is_usual_and_calm_down() {
    let mut rise = Rise::default();
    let mut now = start();
    assert_eq!(rise.verdict(now, REJECTIONS), Verdict::Clear);
    rise.note(REJECTIONS - 1, now);
    assert_eq!(rise.verdict(now, REJECTIONS), Verdict::Hold);
    rise.note(1, now);
    assert_eq!(rise.verdict(now, REJECTIONS), Verdict::Raise);
    now = now.plus(2 * WINDOW);
    assert_eq!(rise.verdict(now, REJECTIONS), Verdict::Clear, "nothing came for two windows");
    // Thirty in each window, day and night: that is how it is.
    for _ in 0..200 {
        now = now.plus(WINDOW);
        rise.note(30, now);
    }
    assert_eq!(rise.usual(now), 60);
    assert_eq!(rise.verdict(now, REJECTIONS), Verdict::Clear);
    rise.note(200, now);
    assert_eq!(rise.verdict(now, REJECTIONS), Verdict::Raise);
    assert_eq!(rise.verdict(now.plus(2 * DAY), REJECTIONS), Verdict::Clear);
    // A clock that is set back counts what comes.
    rise.note(REJECTIONS, start());
    assert_eq!(rise.verdict(start(), REJECTIONS), Verdict::Raise);
}

#[test]
fn a_destination_fails_when_its_breaker_opens_or_failures_last() {
    let failing = |failures, probe_at, lasts| {
        destination_failing(&Breaker { failures, probes: 0, probe_at }, false, lasts)
    };
    assert_eq!(failing(0, None, DAY), Verdict::Clear);
    assert_eq!(failing(4, None, DAY), Verdict::Hold);
    assert_eq!(failing(5, None, Duration::ZERO), Verdict::Hold);
    assert_eq!(failing(5, None, FAILING_FOR), Verdict::Raise);
    assert_eq!(failing(20, Some(start()), Duration::ZERO), Verdict::Raise);
    let open = Breaker { failures: 20, probes: 0, probe_at: Some(start()) };
    assert_eq!(destination_failing(&open, true, DAY), Verdict::Clear, "nothing is tried");
    assert_eq!(destination_disabled(Some(Disabled::Gone)), Verdict::Raise);
    assert_eq!(destination_disabled(Some(Disabled::ByHand)), Verdict::Clear);
    assert_eq!(destination_disabled(None), Verdict::Clear);
}

#[test]
fn elevenlabs_is_close_when_failures_last_for_days_or_nothing_ever_worked() {
    let now = start().plus(ELEVENLABS_WITHOUT_SUCCESS);
    assert_eq!(auto_disable(5, Some(start()), now), Verdict::Raise);
    assert_eq!(auto_disable(5, Some(start().plus(HOUR)), now), Verdict::Hold);
    assert_eq!(auto_disable(4, Some(start()), now), Verdict::Hold);
    assert_eq!(auto_disable(5, None, now), Verdict::Raise);
    assert_eq!(auto_disable(0, Some(now), now), Verdict::Clear);
}

#[test]
fn a_disk_at_its_mark_does_not_go_back_and_forth() {
    let said = [79, 80, 79, 78, 79, 80].map(|it| disk_filling(it, 80));
    let (raise, hold, clear) = (Verdict::Raise, Verdict::Hold, Verdict::Clear);
    assert_eq!(said, [hold, raise, hold, clear, hold, raise]);
}

#[test]
fn a_spool_is_told_of_once_events_wait_in_it_for_a_while() {
    let second = Duration::from_secs(1);
    let said = [None, Some(second), Some(SPOOL_WAIT), Some(HOUR)].map(spool_waiting);
    let (raise, hold, clear) = (Verdict::Raise, Verdict::Hold, Verdict::Clear);
    assert_eq!(said, [clear, hold, raise, raise]);
}

#[test]
fn alerts_come_to_whoever_asks_for_them_by_name() {
    let wanting = |events: &[&str]| {
        let url = "https://example.com/";
        let read = json!({"kind": "http", "url": url, "events": events, "providers": ["vapi"]});
        DestinationSettings::read(read)
    };
    let wants = |events: &[&str], kind| wanting(events).unwrap().wants_alert(kind);
    assert!(!wants(&["*"], AlertKind::DiskFilling), "all events are no alerts");
    assert!(!wants(&["call.*"], AlertKind::DiskFilling));
    assert!(wants(&["alert.*"], AlertKind::DiskFilling));
    assert!(wants(&["*", "alert.disk_filling"], AlertKind::DiskFilling));
    assert!(!wants(&["*", "alert.disk_filling"], AlertKind::StoreFailing));
    assert!(!wanting(&["alert.*"]).unwrap().wants("call.ended", "vapi"), "and no events");
    assert!(wanting(&["alert.rain"]).is_err());
    for kind in AlertKind::ALL {
        assert_eq!(AlertKind::named(kind.name()), Some(kind));
    }
}
