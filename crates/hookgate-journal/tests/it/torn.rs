//! Torn writes: the machine stopped in the middle of the last batch.

use std::fs::{self, OpenOptions};

use crate::bench::{Bench, EVENTS};

/// The two batches before the last, the bytes of the last, and where it starts.
struct Scene {
    bench: Bench,
    whole: Vec<u8>,
    /// Where the last batch starts, and where its records end.
    from: usize,
    to: usize,
}

fn scene(last: &[&[u8]]) -> Scene {
    let bench = Bench::new();
    let journal = bench.open_with(small());
    journal.put(b"first");
    let second = journal.put(b"second");
    journal.close();
    drop(journal);
    let from = second.position.offset as usize / 4096 * 4096 + 4096;
    // One batch: everything that waits when the writer comes back.
    let mut at = from + 64;
    write_as_one_batch(&bench, last);
    for payload in last {
        at += (32 + 4 + payload.len()).next_multiple_of(8);
    }
    let whole = fs::read(bench.segment("events", 1)).unwrap();
    assert!(whole[at..].iter().all(|it| *it == 0) && whole[from..at].iter().any(|it| *it != 0));
    Scene { bench, whole, from, to: at }
}

fn small() -> hookgate_journal::Settings {
    hookgate_journal::Settings {
        segment_bytes_first: 32 << 10,
        segment_bytes_max: 32 << 10,
        ..Default::default()
    }
}

fn write_as_one_batch(bench: &Bench, payloads: &[&[u8]]) {
    use std::sync::{Arc, Mutex, mpsc};
    // The first write waits until all are appended; it is a batch of another log.
    let (go, may_go) = mpsc::channel::<()>();
    let may_go = Mutex::new(may_go);
    let faults: hookgate_journal::Faults = Arc::new(move |_| {
        let _ = may_go.lock().unwrap().recv();
        None
    });
    let journal = bench.open_faulty(small(), faults);
    let mut tickets = vec![journal.append(crate::bench::OTHERS, b"", b"").unwrap()];
    while journal.pending().records > 0 && tickets.len() <= payloads.len() {
        let payload = payloads[tickets.len() - 1];
        tickets.push(journal.append(EVENTS, b"head", payload).unwrap());
    }
    drop(go);
    for ticket in &tickets {
        ticket.wait().unwrap();
    }
}

/// Opens the journal with `bytes` as its only segment, and holds it to its promises.
fn check(scene: &Scene, bytes: &[u8], what: &str) {
    let path = scene.bench.segment("events", 1);
    fs::write(&path, bytes).unwrap();
    let _ = fs::remove_dir_all(scene.bench.folder().join("lost"));
    let journal = scene.bench.open_with(small());
    let recovery = &journal.recovery;
    assert_eq!(recovery.corrupt, [], "{what}");
    let texts = journal.texts();
    assert_eq!(texts[..2], ["first", "second"], "{what}");

    let mut padded = bytes.to_vec();
    padded.resize(scene.whole.len(), 0);
    if texts.len() > 2 {
        // Only bytes that nothing depends on may differ: the state of a record, and
        // what is between and behind records.
        assert_eq!(recovery.torn, [], "{what}");
        assert_eq!(texts.len(), 4, "{what}: a batch is there as a whole or not at all");
    } else if padded[scene.from..].iter().all(|it| *it == 0) {
        assert_eq!(recovery.torn, [], "{what}: nothing is there, so nothing is torn");
    } else {
        assert_eq!(recovery.torn.len(), 1, "{what}");
        let torn = &recovery.torn[0];
        assert_eq!((torn.log, torn.segment, torn.offset as usize), (EVENTS, 1, scene.from));
        let moved = fs::read(&torn.moved_to).unwrap();
        assert_eq!(moved.len() as u64, torn.bytes);
        assert_eq!(moved, padded[scene.from..scene.from + moved.len()], "{what}");
        assert!(padded[scene.from + moved.len()..].iter().all(|it| *it == 0), "{what}");
    }
    let appended = journal.put(b"after");
    assert!(appended.seq > 2, "{what}");
    assert_eq!(journal.texts().last().unwrap(), "after", "{what}");
    drop(journal);
    if !bytes.len().is_multiple_of(8) {
        // Opening twice each time would double the time for the same code.
        return;
    }
    let again = scene.bench.open_with(small());
    assert_eq!((&again.recovery.torn[..], &again.recovery.corrupt[..]), (&[][..], &[][..]));
    assert_eq!(again.texts().len(), texts.len() + 1, "{what}");
}

#[test]
fn a_last_batch_cut_zeroed_or_garbled_at_any_byte_costs_only_itself() {
    let scene = scene(&[b"third", b"fourth"]);
    check(&scene, &scene.whole, "whole");
    for at in scene.from..scene.to {
        check(&scene, &scene.whole[..at], &format!("cut at {at}"));
        let mut zeroed = scene.whole.clone();
        zeroed[at..].fill(0);
        check(&scene, &zeroed, &format!("zeroed from {at}"));
        let mut garbled = scene.whole.clone();
        garbled[at] ^= 0x5a;
        check(&scene, &garbled, &format!("garbled at {at}"));
    }
}

#[test]
fn a_last_batch_of_many_sectors_that_arrive_in_any_order_costs_only_itself() {
    let third = [b'x'; 9000];
    let fourth = [b'y'; 3000];
    let scene = scene(&[&third, &fourth]);
    for at in (scene.from..scene.to).step_by(512) {
        let end = (at + 512).min(scene.whole.len());
        check(&scene, &scene.whole[..at], &format!("cut at {at}"));
        let mut hole = scene.whole.clone();
        hole[at..end].fill(0);
        check(&scene, &hole, &format!("sector at {at} missing"));
        let mut only = scene.whole.clone();
        only[scene.from..at].fill(0);
        only[end..].fill(0);
        check(&scene, &only, &format!("only the sector at {at}"));
    }
}

#[test]
fn a_segment_that_was_never_finished_is_set_aside() {
    let bench = Bench::new();
    bench.open().put(b"first");
    // A crash while the second segment was created: no header, some bytes.
    fs::write(bench.segment("events", 2), [vec![0; 5000], vec![1; 100]].concat()).unwrap();
    fs::write(bench.segment("events", 3), vec![0; 8192]).unwrap();
    let journal = bench.open();
    assert_eq!(journal.recovery.torn.len(), 1);
    assert_eq!(bench.files("lost"), ["events-0000000000000002-0.bin"]);
    assert_eq!(bench.segments("events"), 1);
    journal.put(b"second");
    assert_eq!(journal.texts(), ["first", "second"]);
}

#[test]
fn tails_torn_twice_at_the_same_place_are_both_kept() {
    let bench = Bench::new();
    bench.open().put(b"first");
    for _ in 0..2 {
        let file = OpenOptions::new().write(true).open(bench.segment("events", 1)).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"garbage", 8192).unwrap();
        assert_eq!(bench.open().recovery.torn.len(), 1);
    }
    let names = ["events-0000000000000001-8192-2.bin", "events-0000000000000001-8192.bin"];
    assert_eq!(bench.files("lost"), names);
}
