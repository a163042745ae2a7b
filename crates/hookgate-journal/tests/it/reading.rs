//! Reading, beside the writer and from other processes.

use hookgate_journal::{Position, ReadError, Reader, Settings};

use crate::bench::{Bench, EVENTS, LOGS, OTHERS, story};

fn small_segments() -> Settings {
    Settings { segment_bytes_first: 8 << 10, segment_bytes_max: 8 << 10, ..Settings::default() }
}

#[test]
fn a_reader_of_another_process_sees_what_is_committed_while_the_writer_lives() {
    let bench = Bench::new();
    let journal = bench.open_with(small_segments());
    let reader = bench.reader();
    let mut scan = reader.scan(EVENTS, None);
    assert!(scan.next().is_none());
    for index in 1..=20_u64 {
        let committed = journal.put(index.to_string().as_bytes());
        assert_eq!(reader.read(EVENTS, committed.position).unwrap().seq, index);
        let record = scan.next().unwrap().unwrap();
        assert_eq!((record.seq, record.position), (index, committed.position));
        assert!(scan.next().is_none(), "a scan goes on where it ended");
    }
    assert_eq!(bench.segments("events"), 20);
}

#[test]
fn a_live_scan_follows_the_log_over_segments() {
    let bench = Bench::new();
    let journal = bench.open_with(small_segments());
    let mut scan = journal.reader().scan(EVENTS, None);
    let mut heads = journal.reader().scan_heads(EVENTS, None);
    for index in 1..=20_u64 {
        assert!(scan.next().is_none() && heads.next().is_none());
        journal.put(b"text");
        assert_eq!(scan.next().unwrap().unwrap().seq, index);
        assert_eq!(heads.next().unwrap().unwrap().seq, index);
    }
}

#[test]
fn readers_never_see_half_a_record_however_fast_the_writer_is() {
    let bench = Bench::new();
    let journal = bench.open_with(Settings {
        segment_bytes_first: 32 << 10,
        segment_bytes_max: 32 << 10,
        ..Settings::default()
    });
    let outside = bench.reader();
    let inside = journal.reader();
    std::thread::scope(|scope| {
        let following = [outside, inside].map(|reader| {
            scope.spawn(move || {
                let mut scan = reader.scan(EVENTS, None);
                let mut seen = 0;
                while seen < 300 {
                    if let Some(record) = scan.next() {
                        seen += 1;
                        assert_eq!(record.unwrap().seq, seen);
                    } else {
                        std::thread::yield_now();
                    }
                }
            })
        });
        for _ in 0..100 {
            let append = |bytes: usize| journal.append(EVENTS, b"h", &vec![b'x'; bytes]).unwrap();
            let tickets = [10, 5000, 900].map(append);
            for ticket in tickets {
                ticket.wait().unwrap();
            }
        }
        for thread in following {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_scan_starts_at_any_record_and_includes_it() {
    let bench = Bench::new();
    let journal = bench.open_with(small_segments());
    let tickets: Vec<_> =
        (0..50).map(|_| journal.append(EVENTS, b"h", &[b'x'; 300]).unwrap()).collect();
    let positions: Vec<Position> = tickets.iter().map(|it| it.wait().unwrap().position).collect();
    for reader in [journal.reader(), bench.reader()] {
        for (index, position) in positions.iter().enumerate() {
            let read: Vec<_> =
                reader.scan(EVENTS, Some(*position)).map(|it| it.unwrap().position).collect();
            assert_eq!(read, positions[index..]);
        }
    }
    assert_eq!(journal.reader().scan(OTHERS, None).count(), 0);
}

#[test]
fn a_position_without_a_record_is_an_error_and_not_somebody_elses_record() {
    let bench = Bench::new();
    let journal = bench.open();
    let Position { segment, offset } = journal.put(b"text").position;
    for reader in [journal.reader(), bench.reader()] {
        for offset in [0, 64, offset + 8, offset + 4096, u32::MAX] {
            let error = reader.read(EVENTS, Position { segment, offset }).unwrap_err();
            assert!(matches!(error, ReadError::Corrupt { .. }), "{offset}: {error}");
        }
        let error = reader.read(EVENTS, Position { segment: 9, offset }).unwrap_err();
        assert!(matches!(error, ReadError::Gone { segment: 9, .. }), "{error}");
    }
}

#[test]
fn more_segments_than_files_are_held_open_are_read_as_well() {
    let bench = Bench::new();
    let journal = bench.open_with(small_segments());
    let positions: Vec<_> = (0..80).map(|_| journal.put(b"text").position).collect();
    let reader = journal.reader();
    for position in positions.iter().chain(positions.iter().rev()) {
        assert_eq!(reader.read(EVENTS, *position).unwrap().position, *position);
    }
    assert_eq!(story(&bench.reader(), EVENTS).len(), 80);
}

#[test]
fn a_position_packs_into_a_number_in_the_same_order() {
    let positions = [(1, 4160), (1, u32::MAX), (2, 0), (1 << 31, 7)];
    let positions = positions.map(|(segment, offset)| Position { segment, offset });
    assert!(positions.map(Position::to_u64).is_sorted());
    for position in positions {
        assert_eq!(Position::from_u64(position.to_u64()), position);
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_it() {
    let bench = Bench::new();
    let error = Reader::open(&bench.folder().join("nowhere"), &LOGS).unwrap_err();
    assert!(error.to_string().ends_with("nowhere"), "{error}");
}
