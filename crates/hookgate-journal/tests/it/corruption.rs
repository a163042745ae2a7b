//! Damage to what was acknowledged: reported, and everything else still there.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use hookgate_journal::{Corrupt, LogSettings, Payload, ReadError, Settings, check};
use proptest::prelude::*;

use crate::bench::{Bench, EVENTS, LOGS, story};

/// Flips bits at `at`.
fn garble(path: &Path, at: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], at).unwrap();
}

fn small() -> Settings {
    Settings { segment_bytes_first: 64 << 10, segment_bytes_max: 64 << 10, ..Settings::default() }
}

fn put_all(bench: &Bench, texts: &[&str]) -> Vec<u32> {
    let journal = bench.open_with(small());
    texts.iter().map(|it| journal.put(it.as_bytes()).position.offset).collect()
}

#[test]
fn a_garbled_batch_header_in_the_middle_is_reported_and_its_records_are_saved() {
    let bench = Bench::new();
    put_all(&bench, &["one", "two", "three"]);
    garble(&bench.segment("events", 1), 8192 + 20);
    let journal = bench.open();
    let fault = Corrupt { log: EVENTS, segment: 1, offset: 8192, bytes: 4096 };
    assert_eq!(journal.recovery.corrupt, [fault]);
    assert_eq!((journal.recovery.torn.len(), journal.recovery.records), (0, 3));
    let expected = ["1 one", "corrupt", "2 two", "3 three"];
    assert_eq!(story(&journal.reader(), EVENTS), expected);
    assert_eq!(story(&bench.reader(), EVENTS), expected);
    assert_eq!(journal.put(b"four").position.segment, 2, "a damaged segment grows no more");
    assert_eq!(story(&journal.reader(), EVENTS).len(), 5);
    drop(journal);
    let again = bench.open();
    assert_eq!(again.recovery.corrupt.len(), 1, "damage is reported until somebody acts");
    assert_eq!(again.next_seq(), 5);
}

#[test]
fn a_garbled_payload_costs_one_record_and_its_head_is_still_readable() {
    let bench = Bench::new();
    let offsets = put_all(&bench, &["one", "two", "three"]);
    garble(&bench.segment("events", 1), u64::from(offsets[1]) + 32 + 4);
    let journal = bench.open();
    assert_eq!(journal.recovery.corrupt.len(), 1);
    assert_eq!(story(&journal.reader(), EVENTS), ["1 one", "corrupt", "3 three"]);
    let heads: Vec<_> = journal.reader().scan_heads(EVENTS, None).map(Result::unwrap).collect();
    assert_eq!(heads.iter().map(|it| it.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((heads[1].payload_bytes, heads[1].erased), (3, false));
    let error = journal.reader().read(EVENTS, heads[1].position).unwrap_err();
    assert!(matches!(error, ReadError::Corrupt { .. }), "{error}");
}

#[test]
fn a_whole_block_of_zeros_in_the_middle_is_corruption_and_not_the_end() {
    let bench = Bench::new();
    put_all(&bench, &["one", "two", "three", "four"]);
    let file = OpenOptions::new().write(true).open(bench.segment("events", 1)).unwrap();
    file.write_all_at(&[0; 8192], 8192).unwrap();
    assert_eq!(story(&bench.reader(), EVENTS), ["1 one", "corrupt", "4 four"]);
    let journal = bench.open();
    let fault = Corrupt { log: EVENTS, segment: 1, offset: 8192, bytes: 8192 };
    assert_eq!(journal.recovery.corrupt, [fault]);
    assert_eq!(story(&journal.reader(), EVENTS), ["1 one", "corrupt", "4 four"]);
}

#[test]
fn a_garbled_segment_header_costs_nothing_but_a_report() {
    let bench = Bench::new();
    put_all(&bench, &["one", "two"]);
    garble(&bench.segment("events", 1), 100);
    let journal = bench.open();
    let fault = Corrupt { log: EVENTS, segment: 1, offset: 0, bytes: 4096 };
    assert_eq!(journal.recovery.corrupt, [fault]);
    assert_eq!(journal.put(b"three").position.segment, 2);
    assert_eq!(story(&journal.reader(), EVENTS), ["1 one", "2 two", "3 three"]);
    assert_eq!(story(&bench.reader(), EVENTS), ["1 one", "2 two", "3 three"]);
}

#[test]
fn a_bad_tail_that_the_index_knows_is_corruption_and_not_torn() {
    for (at, what) in [(8192 + 20, "batch header"), (8192 + 64 + 32 + 4, "payload")] {
        let bench = Bench::new();
        put_all(&bench, &["one", "two"]);
        garble(&bench.segment("events", 1), at);
        let known = Settings { known_durable: Some(2), ..Settings::default() };
        let journal = bench.open_with(known);
        assert_eq!(journal.recovery.torn, [], "{what}");
        assert_eq!(journal.recovery.corrupt.len(), 1, "{what}");
        assert_eq!(journal.next_seq(), 3, "{what}");
        journal.put(b"three");
        let story = story(&journal.reader(), EVENTS);
        assert_eq!(story.first().unwrap(), "1 one", "{what}");
        assert_eq!(story.last().unwrap(), "3 three", "{what}");
        assert!(story.contains(&"corrupt".to_owned()), "{what}");
    }
}

#[test]
fn records_that_the_index_knows_and_nobody_has_are_named_and_their_numbers_not_used_again() {
    let bench = Bench::new();
    put_all(&bench, &["one", "two"]);
    let known = Settings { known_durable: Some(9), ..Settings::default() };
    let journal = bench.open_with(known);
    assert_eq!(journal.recovery.missing, Some(3..=9));
    assert_eq!(journal.put(b"ten").seq, 10);
}

#[test]
fn without_the_index_the_same_tail_is_torn() {
    let bench = Bench::new();
    put_all(&bench, &["one", "two"]);
    garble(&bench.segment("events", 1), 8192 + 20);
    let known = Settings { known_durable: Some(1), ..Settings::default() };
    let journal = bench.open_with(known);
    assert_eq!((journal.recovery.torn.len(), journal.recovery.corrupt.len()), (1, 0));
    assert_eq!(journal.recovery.missing, None);
}

#[test]
fn a_payload_that_imitates_a_batch_is_never_taken_for_one() {
    let bench = Bench::new();
    // What a sender who has seen the source could send: a batch, made for the place
    // where its own payload will lie, under every guess at the salt but the right one.
    let other = Bench::new();
    put_all(&other, &["one", "two", "forged"]);
    let forged = fs::read(other.segment("events", 1)).unwrap();
    let journal = bench.open();
    journal.put(b"one");
    let mut payload = vec![0; 12288 - (8192 + 64 + 32 + 4)];
    payload.extend_from_slice(&forged[12288..16384]);
    payload.extend_from_slice(&[1; 100]);
    journal.put(&payload);
    journal.put(b"three");
    drop(journal);
    garble(&bench.segment("events", 1), 8192 + 20);
    garble(&bench.segment("events", 1), 8192 + 64 + 2);
    assert_eq!(story(&bench.reader(), EVENTS), ["1 one", "corrupt", "3 three"]);
}

#[test]
fn the_check_reads_everything_and_says_what_is_bad() {
    let bench = Bench::new();
    let settings = Settings {
        segment_bytes_first: 8 << 10,
        segment_bytes_max: 8 << 10,
        ..Settings::default()
    };
    let journal = bench.open_with(settings.clone());
    for text in ["one", "two", "three", "four", "five"] {
        journal.put(text.as_bytes());
    }
    let mut seen = Vec::new();
    let report = check(bench.folder(), &LOGS, |it| seen.push((it.segment, it.bytes_done))).unwrap();
    assert_eq!((report.segments, report.records, report.corrupt.len()), (5, 5, 0));
    assert_eq!(seen.last(), Some(&(5, 5 * 8192)));
    garble(&bench.segment("events", 1), 4096 + 64 + 32 + 4);
    drop(journal);
    let journal = bench.open_with(settings.clone());
    assert_eq!(journal.recovery.corrupt, [], "an old segment is trusted when opening");
    drop(journal);
    let from = vec![(EVENTS, hookgate_journal::Position { segment: 1, offset: 0 })];
    let journal = bench.open_with(Settings { verify_from: from, ..settings });
    assert_eq!(journal.recovery.corrupt.len(), 1, "unless the caller asks");
    let report = check(bench.folder(), &LOGS, |_| ()).unwrap();
    assert_eq!((report.records, report.corrupt.len()), (4, 1));
    assert_eq!(report.unfinished, []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_bytes_as_a_segment_never_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..20_000),
        keep in 0_usize..24_576,
        valid_first in any::<bool>(),
    ) {
        let bench = Bench::new();
        let path = bench.segment("events", 1);
        if valid_first {
            put_all(&bench, &["one", "two", "three", "four"]);
            let mut bytes = fs::read(&path).unwrap();
            let end = (keep + noise.len()).min(bytes.len());
            bytes[keep..end].copy_from_slice(&noise[..end - keep]);
            fs::write(&path, bytes).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &noise).unwrap();
        }
        story(&bench.reader(), EVENTS);
        check(bench.folder(), &LOGS, |_| ()).unwrap();
        let journal = bench.open_with(small());
        let appended = journal.put(b"after");
        let record = journal.reader().read(EVENTS, appended.position).unwrap();
        prop_assert_eq!(record.payload, Payload::Present(b"after".to_vec()));
        let story = story(&journal.reader(), EVENTS);
        prop_assert!(story.last().unwrap().ends_with(" after"), "{:?}", story);
    }
}

#[test]
fn a_log_added_later_starts_empty() {
    let bench = Bench::new();
    bench.open_logs(&LOGS[..1], Settings::default()).put(b"one");
    let more: [LogSettings; 2] = LOGS;
    let journal = bench.open_logs(&more, Settings::default());
    assert_eq!(journal.put_in(crate::bench::OTHERS, b"two").seq, 2);
    assert_eq!(journal.texts(), ["one"]);
}
