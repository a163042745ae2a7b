//! A ring: bounded, the oldest goes first, and readers notice.

use hookgate_journal::{LogId, LogSettings, ReadError, Retention, Settings, Sync};

use crate::bench::{Bench, story};

const RING: LogId = LogId::new(0);

fn ring(bytes_max: u64, records_max: u64) -> [LogSettings; 1] {
    let retention = Retention::Ring { bytes_max, records_max };
    [LogSettings { name: "events", retention, sync: Sync::Lazy }]
}

#[test]
fn a_ring_stays_within_its_bytes_and_keeps_the_newest() {
    let bench = Bench::new();
    let journal = bench.open_logs(&ring(64 << 10, u64::MAX), Settings::default());
    for index in 1..=100 {
        journal.put(index.to_string().as_bytes());
        assert!(journal.statistics().logs[0].bytes_on_disk <= 64 << 10);
    }
    let story = story(&journal.reader(), RING);
    assert_eq!(story.last().unwrap(), "100 100");
    assert!((9..=16).contains(&story.len()), "{} of at most 12 blocks", story.len());
    assert!(bench.segments("events") <= 5);
}

#[test]
fn a_ring_stays_within_its_records_also_after_it_was_opened_again() {
    let bench = Bench::new();
    let logs = ring(1 << 20, 20);
    let mut seq = 0;
    for _ in 0..5 {
        let journal = bench.open_logs(&logs, Settings::default());
        for _ in 0..13 {
            seq = journal.put(b"text").seq;
            let kept = story(&journal.reader(), RING).len();
            assert!(kept <= 20, "{kept}");
            assert!(kept as u64 >= seq.min(15), "{kept} of {seq}: the newest are kept");
        }
    }
    assert_eq!(seq, 65);
}

#[test]
fn a_reader_survives_a_segment_that_was_dropped_under_it() {
    let bench = Bench::new();
    let logs = ring(1 << 20, 8);
    let journal = bench.open_logs(&logs, Settings::default());
    let first = journal.put(b"1").position;
    let readers = [journal.reader(), bench.reader()];
    let mut scans = readers.clone().map(|it| it.scan(RING, None));
    for scan in &mut scans {
        assert_eq!(scan.next().unwrap().unwrap().seq, 1);
    }
    for index in 2..=40 {
        journal.put(index.to_string().as_bytes());
    }
    for reader in &readers {
        let error = reader.read(RING, first).unwrap_err();
        assert!(matches!(error, ReadError::Gone { segment: 1, .. }), "{error}");
        let mut from = reader.scan(RING, Some(first));
        assert!(matches!(from.next(), Some(Err(ReadError::Gone { .. }))));
        assert!(from.all(|it| it.is_ok()));
    }
    for scan in scans {
        let items: Vec<_> = scan.collect();
        let gone = items.iter().filter(|it| matches!(it, Err(ReadError::Gone { .. }))).count();
        assert_eq!(gone, 1, "told once");
        assert_eq!(items.last().unwrap().as_ref().unwrap().seq, 40);
    }
    journal.erase(RING, first).unwrap();
}

#[test]
fn segments_of_a_log_that_keeps_everything_go_when_the_owner_says_so() {
    let bench = Bench::new();
    let settings = Settings {
        segment_bytes_first: 8 << 10,
        segment_bytes_max: 8 << 10,
        ..Settings::default()
    };
    let journal = bench.open_with(settings.clone());
    let positions: Vec<_> = (0..5).map(|_| journal.put(b"text").position).collect();
    assert_eq!(journal.drop_before(RING, positions[3].segment).unwrap(), 3);
    assert_eq!(story(&journal.reader(), RING), ["4 text", "5 text"]);
    assert_eq!(journal.drop_before(RING, u64::MAX).unwrap(), 1, "never the newest");
    drop(journal);
    let journal = bench.open_with(settings);
    assert_eq!(journal.next_seq(), 6);
    assert_eq!(story(&journal.reader(), RING), ["5 text"]);
}
