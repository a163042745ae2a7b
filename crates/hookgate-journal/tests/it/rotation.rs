//! Segments: how they grow, and where they come from.

use std::fs;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hookgate_journal::{Fault, Faults, Operation, Payload, Settings};

use crate::bench::{Bench, EIO, EVENTS, Plan, texts};

fn settings() -> Settings {
    Settings {
        segment_bytes_first: 16 << 10,
        segment_bytes_max: 64 << 10,
        calm: std::time::Duration::ZERO,
        ..Settings::default()
    }
}

#[test]
fn segments_double_up_to_their_bound_without_a_prepared_one() {
    let bench = Bench::new();
    let plan = Plan::default();
    plan.fail_always(Operation::Prepare(EVENTS), Fault::Errno(EIO));
    let journal = bench.open_faulty(settings(), plan.faults());
    for _ in 0..50 {
        journal.put(b"text");
    }
    let sizes = (1..=5).map(|it| fs::metadata(bench.segment("events", it)).unwrap().len() >> 10);
    assert_eq!(sizes.collect::<Vec<_>>(), [16, 32, 64, 64, 64]);
    assert_eq!(journal.texts().len(), 50);
    drop(journal);
    assert_eq!(bench.open_with(settings()).texts().len(), 50);
}

#[test]
fn a_prepared_segment_is_taken_and_reads_the_same() {
    let bench = Bench::new();
    let (asked, is_asked) = mpsc::channel();
    let asked = Mutex::new(asked);
    let faults: Faults = Arc::new(move |operation| {
        if operation == Operation::Prepare(EVENTS) {
            asked.lock().unwrap().send(()).unwrap();
        }
        None
    });
    let journal = bench.open_faulty(settings(), faults);
    journal.put(b"one");
    is_asked.recv_timeout(Duration::from_secs(30)).unwrap();
    let next = bench.folder().join("events/next");
    while !next.exists() {
        std::thread::yield_now();
    }
    assert_eq!(fs::metadata(&next).unwrap().len(), 32 << 10);
    drop(journal);
    // Taken over by the next process, too.
    let journal = bench.open_with(settings());
    assert!(next.exists());
    for _ in 0..3 {
        journal.put(b"text");
    }
    assert_eq!(journal.put(b"in the second").position.segment, 2);
    assert_eq!(journal.texts().len(), 5);
    assert_eq!(texts(&bench.reader(), EVENTS).len(), 5);
}

#[test]
fn an_unfinished_or_half_used_prepared_segment_is_not_taken() {
    let bench = Bench::new();
    bench.open_with(settings()).put(b"one");
    let events = bench.folder().join("events");
    fs::write(events.join("next"), vec![1; 32 << 10]).unwrap();
    fs::write(events.join("next.tmp"), vec![0; 100]).unwrap();
    fs::write(events.join("new.tmp"), vec![0; 100]).unwrap();
    let journal = bench.open_with(settings());
    assert_eq!(bench.files("events"), ["0000000000000001.seg"]);
    assert_eq!(journal.texts(), ["one"]);
}

#[test]
fn a_record_larger_than_a_segment_gets_one_that_is_large_enough() {
    let bench = Bench::new();
    let journal = bench.open_with(settings());
    journal.put(b"before");
    let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let committed = journal.put(&large);
    assert_eq!(committed.position.segment, 2);
    assert_eq!(journal.put(b"after").position.segment, 3);
    for reader in [journal.reader(), bench.reader()] {
        let record = reader.read(EVENTS, committed.position).unwrap();
        assert!(record.payload == Payload::Present(large.clone()));
    }
    drop(journal);
    let journal = bench.open_with(settings());
    assert_eq!((journal.recovery.corrupt.len(), journal.recovery.torn.len()), (0, 0));
    assert_eq!(journal.reader().scan(EVENTS, None).count(), 3);
}

#[test]
fn what_gathers_beyond_the_bound_of_a_batch_is_several_batches_in_order() {
    let bench = Bench::new();
    let journal = bench.open_with(Settings { batch_bytes_max: 4 << 10, ..settings() });
    let append = |it: u32| journal.append(EVENTS, b"", format!("{it:1000}").as_bytes()).unwrap();
    let tickets: Vec<_> = (0..100).map(append).collect();
    for ticket in &tickets {
        ticket.wait().unwrap();
    }
    assert!(journal.statistics().batches >= 33);
    let numbers: Vec<u32> = journal.texts().iter().map(|it| it.trim().parse().unwrap()).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}
