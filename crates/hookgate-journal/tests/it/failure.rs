//! A disk that fails: nothing is acknowledged that is not there, and the log goes
//! on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, mpsc};

use hookgate_journal::{CommitError, Fault, Faults, Health, LogId, Operation, Settings, Ticket};
use proptest::prelude::*;

use crate::bench::{Bench, EIO, ENOSPC, EROFS, EVENTS, LOGS, OTHERS, Plan, story};

#[test]
fn a_failed_sync_acknowledges_nothing_and_the_log_goes_on_in_a_new_segment() {
    for fault in [Fault::Errno(EIO), Fault::Late(EIO)] {
        let bench = Bench::new();
        let plan = Plan::default();
        let journal = bench.open_faulty(Settings::default(), plan.faults());
        journal.put(b"one");
        plan.fail(Operation::Sync(EVENTS), 1, fault);
        let failed = journal.append(EVENTS, b"", b"two").unwrap();
        assert_eq!(failed.wait(), Err(CommitError::Failed));
        assert_eq!(journal.health(), Health::Failed);
        assert_eq!(journal.durable_seq(), 2, "settled, as failed");
        let third = journal.put(b"three");
        assert_eq!((third.seq, third.position.segment), (3, 2));
        assert_eq!(journal.health(), Health::Healthy);
        let failures: Vec<_> = (0..5).map(|it| journal.has_failed(it)).collect();
        assert_eq!(failures, [false, false, true, false, false]);
        assert_eq!(story(&journal.reader(), EVENTS), ["1 one", "3 three"]);
        assert_eq!(story(&bench.reader(), EVENTS), ["1 one", "3 three"]);
        assert_eq!(journal.statistics().records_failed, 1);
        drop(journal);
        let journal = bench.open();
        assert_eq!((journal.recovery.torn.len(), journal.recovery.corrupt.len()), (0, 0));
        assert_eq!(story(&journal.reader(), EVENTS), ["1 one", "3 three"]);
    }
}

#[test]
fn a_failed_batch_does_not_come_back_after_a_restart() {
    let bench = Bench::new();
    let plan = Plan::default();
    let journal = bench.open_faulty(Settings::default(), plan.faults());
    journal.put(b"one");
    plan.fail(Operation::Sync(EVENTS), 1, Fault::Late(EIO));
    assert!(journal.append(EVENTS, b"", b"two").unwrap().wait().is_err());
    drop(journal);
    // No later segment says where the first one ended: the batch itself is gone.
    let journal = bench.open();
    assert_eq!(story(&journal.reader(), EVENTS), ["1 one"]);
    journal.put(b"three");
    assert_eq!(story(&journal.reader(), EVENTS).len(), 2);
}

#[test]
fn what_waits_when_the_disk_fails_fails_with_it_and_what_comes_later_does_not() {
    let bench = Bench::new();
    let (entered, is_stuck) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let gate = Mutex::new((entered, released, 0));
    let faults: Faults = Arc::new(move |operation| {
        let mut gate = gate.lock().unwrap();
        if operation != Operation::Sync(EVENTS) {
            return None;
        }
        gate.2 += 1;
        gate.0.send(()).unwrap();
        let _ = gate.1.recv();
        (gate.2 == 2).then_some(Fault::Errno(EIO))
    });
    let journal = bench.open_faulty(Settings::default(), faults);
    let first = journal.append(EVENTS, b"", b"one").unwrap();
    is_stuck.recv().unwrap();
    release.send(()).unwrap();
    first.wait().unwrap();
    let second = journal.append(EVENTS, b"", b"two").unwrap();
    is_stuck.recv().unwrap();
    let third = journal.append(EVENTS, b"", b"three").unwrap();
    let other = journal.append(OTHERS, b"", b"four").unwrap();
    drop(release);
    assert_eq!(second.wait(), Err(CommitError::Failed));
    assert!(journal.has_failed(2) && journal.has_failed(3), "known before the tickets say so");
    assert!(!journal.has_failed(4));
    assert_eq!(third.wait(), Err(CommitError::Failed));
    assert_eq!(other.wait().unwrap().seq, 4, "the other log is not concerned");
    assert_eq!(journal.append(EVENTS, b"", b"five").unwrap().wait().unwrap().seq, 5);
    assert_eq!(story(&journal.reader(), EVENTS), ["1 one", "5 five"]);
    assert_eq!(story(&journal.reader(), OTHERS), ["4 four"]);
}

#[test]
fn a_full_or_read_only_disk_says_so_and_recovers_by_itself() {
    let cases = [
        (ENOSPC, CommitError::DiskFull, Health::DiskFull),
        (EROFS, CommitError::ReadOnly, Health::ReadOnly),
        (EIO, CommitError::Failed, Health::Failed),
    ];
    for (errno, error, health) in cases {
        for operation in [Operation::Write(EVENTS), Operation::Create(EVENTS)] {
            let bench = Bench::new();
            let plan = Plan::default();
            let journal = bench.open_faulty(Settings::default(), plan.faults());
            plan.fail_always(operation, Fault::Short(100, errno));
            for _ in 0..5 {
                let ticket = journal.append(EVENTS, b"", b"refused").unwrap();
                assert_eq!(ticket.wait(), Err(error));
                assert_eq!(journal.health(), health);
            }
            assert!(bench.segments("events") <= 1, "no file for each failure");
            plan.heal();
            journal.put(b"one");
            assert_eq!(journal.health(), Health::Healthy);
            assert_eq!(story(&journal.reader(), EVENTS), ["6 one"]);
            drop(journal);
            let journal = bench.open();
            assert_eq!((journal.recovery.torn.len(), journal.recovery.corrupt.len()), (0, 0));
            assert_eq!(story(&journal.reader(), EVENTS), ["6 one"]);
        }
    }
}

#[test]
fn one_failing_log_does_not_hide_behind_a_healthy_one() {
    let bench = Bench::new();
    let plan = Plan::default();
    let journal = bench.open_faulty(Settings::default(), plan.faults());
    plan.fail_always(Operation::Write(EVENTS), Fault::Errno(ENOSPC));
    assert!(journal.append(EVENTS, b"", b"").unwrap().wait().is_err());
    journal.put_in(OTHERS, b"fine");
    assert_eq!(journal.health(), Health::DiskFull);
}

/// A step of a random story.
#[derive(Clone, Debug)]
enum Step {
    Append {
        log: bool,
        bytes: usize,
    },
    /// Wait until nothing waits.
    Settle,
    /// The `nth` operation from now on fails.
    Fail {
        operation: Operation,
        nth: usize,
        fault: Fault,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let log = any::<bool>().prop_map(log_of);
    let operation = (0..4, log).prop_map(|(kind, log)| match kind {
        0 => Operation::Create(log),
        1 => Operation::Write(log),
        2 => Operation::Sync(log),
        _ => Operation::Invalidate(log),
    });
    let errno = prop_oneof![Just(ENOSPC), Just(EIO), Just(EROFS)];
    let fault = prop_oneof![
        errno.clone().prop_map(Fault::Errno),
        errno.clone().prop_map(Fault::Late),
        (0_usize..9000, errno).prop_map(|(bytes, errno)| Fault::Short(bytes, errno)),
    ];
    prop_oneof![
        6 => (any::<bool>(), 0_usize..3000).prop_map(|(log, bytes)| Step::Append { log, bytes }),
        2 => Just(Step::Settle),
        2 => (operation, 1_usize..3, fault)
            .prop_map(|(operation, nth, fault)| Step::Fail { operation, nth, fault }),
    ]
}

fn log_of(is_second: bool) -> LogId {
    if is_second { OTHERS } else { EVENTS }
}

/// Plays the steps; gives each ticket with its log.
fn play(bench: &Bench, steps: &[Step]) -> Vec<(LogId, Ticket)> {
    let plan = Plan::default();
    let settings = Settings {
        segment_bytes_first: 16 << 10,
        segment_bytes_max: 16 << 10,
        batch_bytes_max: 8 << 10,
        ..Settings::default()
    };
    let journal = bench.open_faulty(settings, plan.faults());
    let mut tickets: Vec<(LogId, Ticket)> = Vec::new();
    for step in steps {
        match step {
            Step::Append { log, bytes } => {
                let log = log_of(*log);
                let ticket = journal.append(log, b"", &vec![b'.'; *bytes]).unwrap();
                tickets.push((log, ticket));
            }
            Step::Settle => {
                for (_, ticket) in &tickets {
                    let _ = ticket.wait();
                }
            }
            Step::Fail { operation, nth, fault } => plan.fail(*operation, *nth, *fault),
        }
    }
    journal.close();
    for (_, ticket) in &tickets {
        let outcome = ticket.outcome().unwrap();
        assert_eq!(journal.has_failed(ticket.seq()), outcome.is_err(), "{}", ticket.seq());
    }
    for log in [EVENTS, OTHERS] {
        // What this process reads is exactly what it acknowledged.
        let acknowledged: Vec<_> = tickets
            .iter()
            .filter(|(it, ticket)| *it == log && ticket.outcome().unwrap().is_ok())
            .map(|(_, ticket)| ticket.seq())
            .collect();
        let read: Vec<_> = journal.reader().scan(log, None).map(|it| it.unwrap().seq).collect();
        assert_eq!(read, acknowledged);
    }
    tickets
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn acknowledged_is_exactly_once_and_unacknowledged_at_most_once_under_any_faults(
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        let bench = Bench::new();
        let tickets = play(&bench, &steps);
        let journal = bench.open();
        prop_assert_eq!(&journal.recovery.corrupt, &[]);
        let mut found: BTreeMap<u64, (LogId, usize)> = BTreeMap::new();
        for (log, _) in (0..).map(LogId::new).zip(&LOGS) {
            let mut last = 0;
            for record in journal.reader().scan(log, None) {
                let record = record.unwrap();
                prop_assert!(record.seq > last, "in order");
                last = record.seq;
                found.entry(record.seq).or_insert((log, 0)).1 += 1;
            }
        }
        for (log, ticket) in &tickets {
            let count = match found.remove(&ticket.seq()) {
                Some((in_log, count)) => {
                    prop_assert_eq!(in_log, *log);
                    count
                }
                None => 0,
            };
            if let Ok(committed) = ticket.outcome().unwrap() {
                prop_assert_eq!(count, 1, "acknowledged: {}", ticket.seq());
                let record = journal.reader().read(*log, committed.position).unwrap();
                prop_assert_eq!(record.seq, committed.seq);
            } else {
                prop_assert!(count <= 1, "failed: {}", ticket.seq());
            }
        }
        prop_assert!(found.is_empty(), "nothing that was never appended");
    }
}
