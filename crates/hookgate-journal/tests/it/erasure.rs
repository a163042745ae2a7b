//! Erasing a payload: the bytes go, the head stays, the neighbours are untouched.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use hookgate_journal::{LogId, Payload, Position, Settings, check};

use crate::bench::{Bench, EVENTS, LOGS, story, texts};

#[test]
fn an_erased_payload_is_nowhere_on_disk_and_its_head_still_proves_itself() {
    let bench = Bench::new();
    let journal = bench.open();
    journal.put(b"before");
    for secret in ["short secret".to_owned(), "long secret ".repeat(2000)] {
        let committed = journal.put(secret.as_bytes());
        journal.put(b"after");
        journal.erase(EVENTS, committed.position).unwrap();
        let record = journal.reader().read(EVENTS, committed.position).unwrap();
        assert_eq!((record.head.as_slice(), record.payload), (&b"head"[..], Payload::Erased));
    }
    let bytes = fs::read(bench.segment("events", 1)).unwrap();
    assert!(!bytes.windows(6).any(|it| it == b"secret"));
    let expected = ["1 before", "2 erased", "3 after", "4 erased", "5 after"];
    assert_eq!(story(&journal.reader(), EVENTS), expected);
    assert_eq!(story(&bench.reader(), EVENTS), expected);
    drop(journal);
    let journal = bench.open();
    assert_eq!(journal.recovery.corrupt, []);
    assert_eq!(story(&journal.reader(), EVENTS), expected);
    let report = check(bench.folder(), &LOGS, |_| ()).unwrap();
    assert_eq!((report.records, report.erased, report.corrupt.len()), (5, 2, 0));
}

#[test]
fn erasing_the_last_record_of_all_does_not_make_it_torn() {
    let bench = Bench::new();
    let journal = bench.open();
    let committed = journal.put(&[7; 10_000]);
    journal.erase(EVENTS, committed.position).unwrap();
    journal.erase(EVENTS, committed.position).unwrap();
    drop(journal);
    let journal = bench.open();
    assert_eq!((journal.recovery.torn.len(), journal.recovery.corrupt.len()), (0, 0));
    journal.put(b"after");
    assert_eq!(texts(&journal.reader(), EVENTS), ["erased", "after"]);
}

#[test]
fn a_payload_zeroed_without_its_mark_counts_as_erased() {
    let bench = Bench::new();
    let journal = bench.open();
    let committed = journal.put(b"secret");
    let file = fs::OpenOptions::new().write(true).open(bench.segment("events", 1)).unwrap();
    file.write_all_at(&[0; 6], u64::from(committed.position.offset) + 32 + 4).unwrap();
    assert_eq!(story(&journal.reader(), EVENTS), ["1 erased"]);
}

#[test]
fn erasing_where_no_record_is_changes_nothing() {
    let bench = Bench::new();
    let journal = bench.open();
    let Position { segment, offset } = journal.put(b"text").position;
    let kind =
        |log, segment, offset| journal.erase(log, Position { segment, offset }).unwrap_err().kind();
    assert_eq!(kind(EVENTS, segment, offset + 4096), ErrorKind::InvalidInput);
    assert_eq!(kind(EVENTS, segment + 1, offset), ErrorKind::InvalidInput);
    assert_eq!(kind(LogId::new(7), segment, offset), ErrorKind::InvalidInput);
    assert_eq!(kind(EVENTS, segment, offset + 8), ErrorKind::InvalidData);
    assert_eq!(journal.texts(), ["text"]);
}

#[test]
fn many_payloads_of_many_segments_are_erased_at_once_and_counted_once() {
    let bench = Bench::new();
    let small = Settings {
        segment_bytes_first: 64 << 10,
        segment_bytes_max: 64 << 10,
        ..Settings::default()
    };
    let journal = bench.open_with(small);
    let all: Vec<Position> =
        (0..40_u8).map(|it| journal.put(&[it.max(1); 5_000]).position).collect();
    assert!(bench.segments("events") > 2);
    let half: Vec<Position> = all.iter().copied().step_by(2).collect();
    let erased = journal.erase_all(EVENTS, &half).unwrap();
    assert_eq!((erased.records, erased.bytes, erased.damaged.len()), (20, 100_000, 0));
    let again = journal.erase_all(EVENTS, &all).unwrap();
    assert_eq!((again.records, again.bytes), (20, 100_000));
    assert!(journal.texts().iter().all(|it| it == "erased"));
    assert!(journal.erase_all(EVENTS, &[]).unwrap().damaged.is_empty());
    let report = check(bench.folder(), &LOGS, |_| ()).unwrap();
    assert_eq!((report.erased, report.corrupt.len()), (40, 0));
}

#[test]
fn a_damaged_record_is_named_and_keeps_no_other_from_being_erased() {
    let bench = Bench::new();
    let journal = bench.open();
    let all = ["one", "two", "three"].map(|it| journal.put(it.as_bytes()).position);
    let file = fs::OpenOptions::new().write(true).open(bench.segment("events", 1)).unwrap();
    file.write_all_at(b"!", u64::from(all[1].offset) + 9).unwrap();
    let erased = journal.erase_all(EVENTS, &all).unwrap();
    assert_eq!((erased.records, erased.damaged.as_slice()), (2, &all[1..2]));
    let bytes = fs::read(bench.segment("events", 1)).unwrap();
    for (text, stays) in [(&b"one"[..], false), (b"two", true), (b"three", false)] {
        assert_eq!(bytes.windows(text.len()).any(|it| it == text), stays, "{text:?}");
    }
}
