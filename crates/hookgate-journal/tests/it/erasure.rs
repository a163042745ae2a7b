//! Erasing a payload: the bytes go, the head stays, the neighbours are untouched.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use hookgate_journal::{LogId, Payload, Position, check};

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
