//! Times as people say them.

use hookgate_core::time::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::bench::now;
use crate::square::phone::Phone;
use crate::square::time::{NotAMoment, read_date, read_moment, spoken, written};
use crate::square::words;

fn new_york() -> TimeZone {
    TimeZone::get("America/New_York").unwrap()
}

fn read(text: &str) -> Result<String, NotAMoment> {
    read_moment(text, &new_york(), now()).map(|it| written(it, &new_york()))
}

#[test]
fn a_moment_is_read_in_the_ways_that_models_write_it() {
    for text in [
        "2026-12-01T15:00",
        "2026-12-01T15:00:00",
        "2026-12-01T15:00:00.000",
        " 2026-12-01 15:00 ",
        "2026-12-01T20:00:00Z",
        "2026-12-01T20:00:00.000Z",
        "2026-12-01T15:00-05:00",
        "2026-12-01T15:00:00-05:00[America/New_York]",
        "2026-12-01 20:00Z",
        "2026-12-01 3:00 PM",
        "2026-12-01 3:00 p.m.",
        "2026-12-01 03:00PM",
        "2026-12-01 3pm",
        "2026-12-01T3 PM",
        "2026-12-01 at 3pm",
        "2026-12-01, 3 pm",
    ] {
        assert_eq!(read(text).as_deref(), Ok("2026-12-01T15:00:00-05:00"), "{text}");
    }
    for (text, expected) in [
        ("tomorrow 15:00", "2026-11-24T15:00:00-05:00"),
        ("Tomorrow at 3 PM", "2026-11-24T15:00:00-05:00"),
        ("today 4pm", "2026-11-23T16:00:00-05:00"),
        ("today noon", "2026-11-23T12:00:00-05:00"),
        ("2026-12-01 12 am", "2026-12-01T00:00:00-05:00"),
        ("2026-12-01 12:30 pm", "2026-12-01T12:30:00-05:00"),
        ("2026-12-01 midnight", "2026-12-01T00:00:00-05:00"),
    ] {
        assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_moment_is_not_guessed() {
    for text in [
        "",
        "soon",
        "3pm",
        "2026-12-01 3",
        "2026-12-01 25:00",
        "2026-12-01 13pm",
        "2026-12-01 0pm",
        "2026-13-01T15:00",
        "2026-02-30 15:00",
        "2026-12-01 3:5:7:9pm",
        "12/01/2026 3pm",
        "next Tuesday 3pm",
        "T15:00",
        "2026-12-01T15:00+99:00",
        "2026-12-01 1٣:00",
        &"9".repeat(10_000),
    ] {
        assert_eq!(read(text), Err(NotAMoment::Unreadable), "{text:.40}");
    }
    for text in ["2026-12-01", "today", "tomorrow"] {
        assert_eq!(read(text), Err(NotAMoment::NoTime), "{text}");
    }
}

#[test]
fn an_hour_that_the_clocks_skip_is_refused_and_one_they_show_twice_is_the_first() {
    assert_eq!(read("2027-03-14T02:30"), Err(NotAMoment::Skipped));
    assert_eq!(read("2027-03-14 2:30 AM"), Err(NotAMoment::Skipped));
    assert_eq!(read("2027-03-14T03:00").as_deref(), Ok("2027-03-14T03:00:00-04:00"));
    assert_eq!(read("2027-11-07T01:30").as_deref(), Ok("2027-11-07T01:30:00-04:00"));
    assert_eq!(read("2027-11-07T01:30-05:00").as_deref(), Ok("2027-11-07T01:30:00-05:00"));
}

#[test]
fn a_day_is_the_shops() {
    let date = |text: &str, now: &str| {
        let now = Timestamp::parse(now).unwrap();
        read_date(text, &new_york(), now).map(|it| it.to_string())
    };
    // It is the 23rd in New York still.
    assert_eq!(date("today", "2026-11-24T03:00:00Z").as_deref(), Some("2026-11-23"));
    assert_eq!(date("TOMORROW", "2026-11-24T03:00:00Z").as_deref(), Some("2026-11-24"));
    assert_eq!(date("2026-12-01T02:00:00Z", "2026-11-24T03:00:00Z").as_deref(), Some("2026-11-30"));
    assert_eq!(date("2026-12-01T02:00", "2026-11-24T03:00:00Z").as_deref(), Some("2026-12-01"));
    assert_eq!(date("some day", "2026-11-24T03:00:00Z"), None);
}

#[test]
fn a_moment_is_said_as_people_say_it() {
    let said = |text: &str| spoken(Timestamp::parse(text).unwrap(), &new_york(), now());
    assert_eq!(said("2026-12-01T20:00:00Z"), "Tuesday, December 1 at 3:00 PM");
    assert_eq!(said("2026-12-31T05:05:00Z"), "Thursday, December 31 at 12:05 AM");
    assert_eq!(said("2027-01-01T04:00:00Z"), "Thursday, December 31 at 11:00 PM");
    assert_eq!(said("2027-07-04T14:30:00Z"), "Sunday, July 4, 2027 at 10:30 AM");
}

#[test]
fn a_number_has_one_form() {
    let phone = |text: &str| Phone::read(text).map(|it| it.as_str().to_owned());
    for text in [
        "+12125550123",
        "2125550123",
        "(212) 555-0123",
        "1 212 555 0123",
        "212.555.0123",
        "tel:+1-212-555-0123",
        "sip:+12125550123@host",
        "0012125550123",
        "+1 212 555 0123 ext 7",
    ] {
        assert_eq!(phone(text).as_deref(), Some("+12125550123"), "{text}");
    }
    assert_eq!(phone("+49 30 1234567").as_deref(), Some("+49301234567"));
    for text in [
        "",
        "anonymous",
        "Restricted",
        "12345678",
        "+",
        "555-0123",
        "1+2125550123",
        "+1234567890123456",
        "2125550123; DROP",
        "unknown",
    ] {
        let read = phone(text);
        assert!(read.is_none() || text.contains(';'), "{text}: {read:?}");
    }
    assert_eq!(format!("{:?}", Phone::read("+12125550123")), "Some(Phone)");
}

#[test]
fn durations_prices_and_lists_are_said_as_people_say_them() {
    assert_eq!(words::duration(30), "30 minutes");
    assert_eq!(words::duration(60), "1 hour");
    assert_eq!(words::duration(150), "2 hours and 30 minutes");
    assert_eq!(words::price(3500, "USD"), "$35");
    assert_eq!(words::price(3505, "USD"), "$35.05");
    assert_eq!(words::price(3500, "CAD"), "35 CAD");
    let items = ["A", "B", "C"].map(str::to_owned);
    assert_eq!(words::listed(&items, "or"), "A, B, or C");
    assert_eq!(words::listed(&items[..2], "and"), "A and B");
    assert_eq!(words::short(&"é".repeat(100)).chars().count(), 81);
}

proptest! {
    #[test]
    fn no_text_is_too_odd_to_be_read(text in any::<String>(), zone in 0..3_usize) {
        let zones = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe"];
        let zone = TimeZone::get(zones[zone]).unwrap();
        let _ = (read_moment(&text, &zone, now()), read_date(&text, &zone, now()));
        let _ = Phone::read(&text);
    }

    #[test]
    fn nearly_a_moment_is_no_panic(text in "(today|tomorrow|-?[0-9]{1,5}-[0-9]{1,2}-[0-9]{1,2})[ T,]?(at )?[0-9:]{0,9} ?([ap]\\.?m\\.?)?(Z|[+-][0-9]{2}:?[0-9]{2})?") {
        let _ = read_moment(&text, &new_york(), now());
    }

    #[test]
    fn what_is_written_is_read_again(seconds in -60_000_000_000_i64..200_000_000_000) {
        let moment = Timestamp::from_millis(seconds * 1000);
        let text = written(moment, &new_york());
        prop_assert_eq!(read_moment(&text, &new_york(), now()), Ok(moment));
        prop_assert!(!spoken(moment, &new_york(), now()).is_empty());
    }

    #[test]
    fn extreme_moments_can_be_said(millis in any::<i64>()) {
        let moment = Timestamp::from_millis(millis);
        prop_assert!(!spoken(moment, &new_york(), moment).is_empty());
        prop_assert!(!written(moment, &new_york()).is_empty());
    }
}
