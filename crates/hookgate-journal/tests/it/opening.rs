//! Opening: locks, versions, and what must survive it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use hookgate_journal::{
    Journal, LogSettings, OpenError, Reader, Recovery, Retention, Settings, Sync, wake_inline,
};

use crate::bench::{Bench, EVENTS, LOGS, OTHERS, story};

fn open_error(bench: &Bench, logs: &[LogSettings]) -> OpenError {
    Journal::open(bench.folder(), logs, Settings::default(), wake_inline()).unwrap_err()
}

#[test]
fn an_empty_journal_opens_and_reads_as_empty() {
    let bench = Bench::new();
    for _ in 0..3 {
        let journal = bench.open();
        assert_eq!(journal.recovery, Recovery { next_seq: 1, ..Recovery::default() });
        assert_eq!((journal.durable_seq(), journal.next_seq()), (0, 1));
        assert_eq!(journal.texts().len(), 0);
        assert_eq!(story(&bench.reader(), OTHERS).len(), 0);
    }
    assert_eq!(bench.files("events").len(), 0, "nothing is written before there is anything");
}

#[test]
fn a_journal_reopened_many_times_goes_on_where_it_ended() {
    let bench = Bench::new();
    for round in 1..=20_u64 {
        let journal = bench.open();
        assert_eq!(journal.next_seq(), 2 * round - 1);
        assert_eq!(journal.put(format!("{round}").as_bytes()).seq, 2 * round - 1);
        assert_eq!(journal.put_in(OTHERS, b"other").seq, 2 * round);
    }
    let journal = bench.open();
    assert_eq!(journal.recovery.records, 40);
    assert_eq!(journal.texts(), (1..=20).map(|it| it.to_string()).collect::<Vec<_>>());
    assert_eq!(bench.segments("events"), 1);
}

#[test]
fn a_second_writer_is_refused_in_a_sentence_and_readers_are_not() {
    let bench = Bench::new();
    let journal = bench.open();
    journal.put(b"one");
    let error = open_error(&bench, &LOGS);
    assert!(matches!(error, OpenError::Locked(_)), "{error}");
    assert!(error.to_string().starts_with("another process is writing the journal in /"));
    assert_eq!(story(&bench.reader(), EVENTS), ["1 one"]);
    drop(journal);
    bench.open();
}

#[test]
fn a_newer_format_is_refused_and_nothing_is_changed() {
    let bench = Bench::new();
    bench.open().put(b"one");
    let path = bench.segment("events", 1);
    let mut bytes = fs::read(&path).unwrap();
    // The first 16 bytes keep their meaning in every version.
    bytes[8] = 2;
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    // A tail that this version would take for torn.
    bytes[8192..8200].fill(7);
    fs::write(&path, &bytes).unwrap();
    let error = open_error(&bench, &LOGS);
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    assert!(error.to_string().contains("use a newer version"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(bench.files("lost").len(), 0);
    assert!(story(&bench.reader(), EVENTS)[0].starts_with("error: the segment has format 2"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named_read_only() {
    let bench = Bench::new();
    bench.open().put(b"one");
    let mode = |bits| {
        let lock = bench.folder().join("lock");
        fs::set_permissions(lock, fs::Permissions::from_mode(bits)).unwrap();
    };
    mode(0o400);
    let opened = Journal::open(bench.folder(), &LOGS, Settings::default(), wake_inline());
    mode(0o600);
    match opened {
        Err(error) => assert!(matches!(error, OpenError::ReadOnly(_)), "{error}"),
        // The superuser may do anything; then it has to work.
        Ok((journal, _)) => assert_eq!(story(&journal.reader(), EVENTS), ["1 one"]),
    }
    assert_eq!(story(&bench.reader(), EVENTS), ["1 one"], "readers never need to write");
}

#[test]
fn logs_that_cannot_be_are_refused() {
    let bench = Bench::new();
    let log = |name| LogSettings { name, retention: Retention::Keep, sync: Sync::Durable };
    let nine = ["a", "b", "c", "d", "e", "f", "g", "h", "i"].map(log);
    let bad: [&[LogSettings]; 6] =
        [&[], &nine, &[log("a"), log("a")], &[log("../a")], &[log("lost")], &[log("")]];
    for logs in bad {
        assert!(matches!(open_error(&bench, logs), OpenError::Logs(_)));
        assert!(Reader::open(bench.folder(), logs).is_err());
    }
}

#[test]
fn everything_written_is_for_its_owner_only() {
    let bench = Bench::new();
    let journal = bench.open();
    journal.put(b"one");
    let mode = |path: &str| fs::metadata(bench.folder().join(path)).unwrap().mode() & 0o777;
    assert_eq!(mode("events"), 0o700);
    assert_eq!(mode("events/0000000000000001.seg"), 0o600);
    assert_eq!(mode("lock"), 0o600);
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let bench = Bench::new();
    bench.open().put(b"one");
    for name in ["notes.txt", "1.seg", "000000000000000G.seg", "0000000000000000.seg"] {
        fs::write(bench.folder().join("events").join(name), "x").unwrap();
    }
    let journal = bench.open();
    journal.put(b"two");
    assert_eq!(journal.texts(), ["one", "two"]);
    assert_eq!(bench.files("events").len(), 5);
}
