//! Appending: what a ticket promises, and what it never costs.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use hookgate_journal::{
    AppendError, CommitError, Fault, Faults, HEAD_BYTES_MAX, Health, Journal, LogId, LogSettings,
    Operation, Payload, Retention, Settings, Sync, Ticket, wake_inline,
};

use crate::bench::{Bench, EIO, EVENTS, LOGS, OTHERS, Plan, texts};

/// Long enough for any machine, short enough to fail while somebody watches.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn many_threads_append_and_each_finds_its_record_in_the_order_of_the_sequence() {
    let bench = Bench::new();
    let journal = bench.open_with(Settings {
        segment_bytes_first: 64 << 10,
        segment_bytes_max: 256 << 10,
        ..Settings::default()
    });
    let committed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (journal, committed) = (&journal, &committed);
            scope.spawn(move || {
                let log = if thread % 2 == 0 { EVENTS } else { OTHERS };
                let mut last = 0;
                for index in 0..200_usize {
                    let payload = vec![thread; index * 7];
                    let ticket = journal.append(log, &[thread], &payload).unwrap();
                    assert!(ticket.seq() > last, "a thread's own records keep their order");
                    last = ticket.seq();
                    if index % 3 == 0 {
                        ticket.wait().unwrap();
                    }
                    committed.lock().unwrap().push((log, ticket, thread, payload));
                }
            });
        }
    });
    let reader = journal.reader();
    let mut seqs = Vec::new();
    for (log, ticket, thread, payload) in committed.into_inner().unwrap() {
        let done = ticket.wait().unwrap();
        let record = reader.read(log, done.position).unwrap();
        assert_eq!((record.seq, record.position), (ticket.seq(), done.position));
        assert_eq!(record.head, [thread]);
        assert_eq!(record.payload, Payload::Present(payload));
        seqs.push(done.seq);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=800).collect::<Vec<_>>(), "each number once, none left out");
    assert_eq!((journal.durable_seq(), journal.next_seq()), (800, 801));
    for log in [EVENTS, OTHERS] {
        let records: Vec<_> = reader.scan(log, None).map(Result::unwrap).collect();
        assert_eq!(records.len(), 400);
        assert!(records.is_sorted_by(|a, b| a.seq < b.seq && a.position < b.position));
    }
}

#[test]
fn a_lone_append_commits_without_company() {
    let bench = Bench::new();
    // Had it to wait for others, the test would take an hour.
    let journal =
        bench.open_with(Settings { gather: Duration::from_hours(1), ..Settings::default() });
    for text in ["one", "two", "three"] {
        journal.put(text.as_bytes());
    }
    assert_eq!(journal.texts(), ["one", "two", "three"]);
    assert_eq!(journal.statistics().batches, 3);
}

#[test]
fn company_waits_for_company_until_the_journal_closes() {
    let bench = Bench::new();
    let (faults, is_stuck, release) = stuck_disk();
    let settings = Settings { gather: Duration::from_hours(1), ..Settings::default() };
    let journal = bench.open_faulty(settings, faults);
    let first = journal.append(EVENTS, b"", b"one").unwrap();
    is_stuck.recv().unwrap();
    let company =
        ["two", "three"].map(|text| journal.append(EVENTS, b"", text.as_bytes()).unwrap());
    drop(release);
    first.wait().unwrap();
    for it in company {
        it.wait().unwrap();
    }

    // Two came together, so three are waited for, and they are one batch.
    let more =
        ["four", "five", "six"].map(|text| journal.append(EVENTS, b"", text.as_bytes()).unwrap());
    for it in more {
        it.wait().unwrap();
    }
    assert_eq!(journal.statistics().batches, 3);

    let last = journal.append(EVENTS, b"", b"seven").unwrap();
    journal.close();
    last.wait().unwrap();
}

/// A disk whose first sync gets stuck: says so, and waits for the word.
fn stuck_disk() -> (Faults, Receiver<()>, Sender<()>) {
    let (entered, is_stuck) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let gate = Mutex::new((entered, released));
    let faults: Faults = Arc::new(move |operation| {
        if matches!(operation, Operation::Sync(_)) {
            let gate = gate.lock().unwrap();
            let _ = gate.0.send(());
            // Once the sender is gone, the disk works.
            let _ = gate.1.recv();
        }
        None
    });
    (faults, is_stuck, release)
}

#[test]
fn appending_never_waits_for_a_stuck_disk_and_is_refused_when_too_much_waits() {
    let bench = Bench::new();
    let (faults, is_stuck, release) = stuck_disk();
    let settings = Settings { pending_bytes_max: 64 << 10, ..Settings::default() };
    let journal = bench.open_faulty(settings, faults);
    let first = journal.append(EVENTS, b"", b"first").unwrap();
    is_stuck.recv_timeout(PATIENCE).unwrap();

    let mut waiting = vec![first];
    let refusal = loop {
        match journal.append(EVENTS, b"", &[7; 1000]) {
            Ok(ticket) => waiting.push(ticket),
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refusal, AppendError::Full);
    assert_eq!(waiting.len(), 64, "63 KiB and the first");
    assert_eq!(journal.pending().records, 64);
    assert!(journal.pending().bytes <= 64 << 10);
    assert!(waiting.iter().all(|it| it.outcome().is_none()), "nothing is acknowledged early");
    assert_eq!(journal.durable_seq(), 0);

    drop(release);
    for ticket in &waiting {
        ticket.wait().unwrap();
    }
    assert_eq!(journal.pending().records, 0);
    journal.put(b"again");
    assert_eq!(journal.statistics().batches, 3, "what gathered was one batch");
}

struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn poll(ticket: &mut Ticket, waker: &Waker) -> Poll<Result<u64, CommitError>> {
    let outcome = Pin::new(ticket).poll(&mut Context::from_waker(waker));
    outcome.map(|it| it.map(|committed| committed.seq))
}

#[test]
fn one_wake_up_call_carries_the_wakers_of_the_whole_batch() {
    let bench = Bench::new();
    let (faults, is_stuck, release) = stuck_disk();
    let (calls, called) = mpsc::channel();
    let wake: hookgate_journal::Wake = Arc::new(move |wakers: Vec<Waker>| {
        calls.send(wakers.len()).unwrap();
        wakers.into_iter().for_each(Waker::wake);
    });
    let opened =
        Journal::open_with_faults(bench.folder(), &LOGS, Settings::default(), wake, faults);
    let journal = opened.unwrap().0;
    let mut first = journal.append(EVENTS, b"", b"first").unwrap();
    is_stuck.recv_timeout(PATIENCE).unwrap();

    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let append = |_| journal.append(EVENTS, b"", b"more").unwrap();
    let mut tickets: Vec<_> = (0..10).map(append).collect();
    assert_eq!(poll(&mut first, &waker), Poll::Pending);
    for ticket in &mut tickets {
        assert_eq!(poll(ticket, &waker), Poll::Pending);
        assert_eq!(poll(ticket, &waker), Poll::Pending, "polled twice, woken once");
    }
    let mut clone = tickets[0].clone();
    drop(release);
    assert_eq!(called.recv_timeout(PATIENCE), Ok(1));
    assert_eq!(called.recv_timeout(PATIENCE), Ok(10));
    for (ticket, seq) in tickets.iter_mut().zip(2..) {
        assert_eq!(poll(ticket, &waker), Poll::Ready(Ok(seq)));
    }
    assert_eq!(poll(&mut clone, &waker), Poll::Ready(Ok(2)));
    journal.close();
    assert_eq!(count.0.load(Ordering::SeqCst), 11);
}

#[test]
fn closing_commits_what_waits_and_then_refuses() {
    let bench = Bench::new();
    let journal = bench.open();
    let append = |it: u32| journal.append(EVENTS, b"", it.to_string().as_bytes()).unwrap();
    let tickets: Vec<_> = (0..100).map(append).collect();
    journal.close();
    assert!(tickets.iter().all(|it| it.outcome().is_some_and(|it| it.is_ok())));
    assert_eq!(journal.append(EVENTS, b"", b"").unwrap_err(), AppendError::Closed);
    journal.close();
    assert_eq!(texts(&bench.reader(), EVENTS).len(), 100);
}

#[test]
fn what_never_fits_is_refused_for_good() {
    let bench = Bench::new();
    let journal = bench.open_with(Settings { pending_bytes_max: 1 << 20, ..Settings::default() });
    let refusal = |head: usize, payload: usize, log| {
        journal.append(log, &vec![0; head], &vec![0; payload]).err()
    };
    assert_eq!(refusal(0, 1 << 20, EVENTS), Some(AppendError::TooLarge));
    assert_eq!(refusal(HEAD_BYTES_MAX as usize + 1, 0, EVENTS), Some(AppendError::TooLarge));
    assert_eq!(refusal(0, 0, LogId::new(2)), Some(AppendError::NoSuchLog));
    assert_eq!(refusal(HEAD_BYTES_MAX as usize, 0, EVENTS), None);
    assert_eq!(journal.next_seq(), 2, "a refused record takes no number");
}

#[test]
fn a_lazy_log_is_acknowledged_without_a_sync_and_synced_when_closed() {
    let bench = Bench::new();
    let logs = [LogSettings { name: "events", retention: Retention::Keep, sync: Sync::Lazy }];
    let plan = Plan::default();
    let opened = Journal::open_with_faults(
        bench.folder(),
        &logs,
        Settings::default(),
        wake_inline(),
        plan.faults(),
    );
    let journal = opened.unwrap().0;
    let ticket = journal.append(EVENTS, b"", b"text").unwrap();
    ticket.wait().unwrap();
    assert_eq!(plan.count(Operation::Sync(EVENTS)), 0);
    assert_eq!(texts(&journal.reader(), EVENTS), ["text"]);
    journal.close();
    assert_eq!(plan.count(Operation::Sync(EVENTS)), 1);
}

#[test]
fn a_lazy_log_is_synced_unasked_and_goes_on_in_a_new_segment_when_that_fails() {
    let bench = Bench::new();
    let logs = [LogSettings { name: "events", retention: Retention::Keep, sync: Sync::Lazy }];
    let (synced, is_synced) = mpsc::channel();
    let synced = Mutex::new(synced);
    let faults: Faults = Arc::new(move |operation| {
        let is_sync = operation == Operation::Sync(EVENTS);
        if is_sync {
            synced.lock().unwrap().send(()).unwrap();
        }
        is_sync.then_some(Fault::Errno(EIO))
    });
    let opened = Journal::open_with_faults(
        bench.folder(),
        &logs,
        Settings::default(),
        wake_inline(),
        faults,
    );
    let journal = opened.unwrap().0;
    let put = |text: &[u8]| journal.append(EVENTS, b"", text).unwrap().wait().unwrap();
    assert_eq!(put(b"one").position.segment, 1);
    is_synced.recv_timeout(PATIENCE).unwrap();
    assert_eq!(put(b"two").position.segment, 2);
    assert_eq!(texts(&journal.reader(), EVENTS), ["one", "two"]);
}

#[test]
fn a_waker_may_hold_the_last_handle_of_the_journal() {
    let bench = Bench::new();
    let (done, is_done) = mpsc::channel();
    let holder: Arc<Mutex<Option<Journal>>> = Arc::default();
    let held = Arc::clone(&holder);
    let wake: hookgate_journal::Wake = Arc::new(move |_| {
        drop(held.lock().unwrap().take());
        done.send(()).unwrap();
    });
    let (journal, _) = Journal::open(bench.folder(), &LOGS, Settings::default(), wake).unwrap();
    let mut slot = holder.lock().unwrap();
    let mut ticket = journal.append(EVENTS, b"", b"text").unwrap();
    let is_pending = poll(&mut ticket, Waker::noop()).is_pending();
    *slot = Some(journal);
    drop(slot);
    if is_pending {
        is_done.recv_timeout(PATIENCE).unwrap();
    }
    ticket.wait().unwrap();
}

#[test]
fn a_wake_that_panics_leaves_no_ticket_without_an_answer() {
    let bench = Bench::new();
    let (faults, is_stuck, release) = stuck_disk();
    let wake: hookgate_journal::Wake =
        Arc::new(|_| std::panic::resume_unwind(Box::new("a bug of the caller")));
    let opened =
        Journal::open_with_faults(bench.folder(), &LOGS, Settings::default(), wake, faults);
    let journal = opened.unwrap().0;
    let mut first = journal.append(EVENTS, b"", b"first").unwrap();
    assert!(poll(&mut first, Waker::noop()).is_pending());
    is_stuck.recv_timeout(PATIENCE).unwrap();
    let second = journal.append(EVENTS, b"", b"second").unwrap();
    drop(release);
    assert_eq!(first.wait().map(|it| it.seq), Ok(1));
    assert_eq!(second.wait(), Err(CommitError::Closed));
    assert_eq!(journal.append(EVENTS, b"", b"").unwrap_err(), AppendError::Closed);
}

#[test]
fn statistics_count_batches_records_and_space() {
    let bench = Bench::new();
    let journal = bench.open();
    journal.put(b"one");
    journal.put(b"two");
    let statistics = journal.statistics();
    assert_eq!((statistics.batches, statistics.records, statistics.records_failed), (2, 2, 0));
    assert_eq!(statistics.batch_records.counts.iter().sum::<u64>(), 2);
    assert_eq!(statistics.batch_records.counts[0], 2, "two batches of one record");
    assert_eq!(statistics.commit_micros.counts.iter().sum::<u64>(), 2);
    assert_eq!(statistics.commit_micros.counts.len(), statistics.commit_micros.bounds.len() + 1);
    assert_eq!((statistics.logs[0].segments, statistics.logs[0].bytes_on_disk), (1, 1 << 20));
    assert_eq!((statistics.logs[1].name, statistics.logs[1].segments), ("others", 0));
    assert_eq!(journal.health(), Health::Healthy);
}
