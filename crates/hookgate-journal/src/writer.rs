//! The writer thread: takes a batch, commits it, says so, again.

use std::fs::File;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::gather::Gathering;
use crate::journal::Wake;
use crate::log::LogWriter;
use crate::prepare::Request;
use crate::queue::{Batch, Queue, Work};
use crate::reader::Reader;
use crate::settings::{LogId, Settings};
use crate::statistics::Counters;
use crate::ticket::{CommitError, Outcome};

/// The thread that owns the disk side of a journal.
pub(crate) struct Writer {
    pub(crate) queue: Arc<Queue>,
    pub(crate) logs: Vec<LogWriter>,
    pub(crate) wake: Wake,
    pub(crate) settings: Settings,
    pub(crate) counters: Arc<Counters>,
    /// Of the journal's own readers: closes what a ring drops.
    pub(crate) reader: Reader,
    pub(crate) prepare: Sender<Request>,
    /// Held as long as this thread may write.
    pub(crate) _lock: Arc<File>,
}

impl Writer {
    /// Works until the queue is closed and empty. Should it panic (a bug, or `wake`
    /// did), the journal closes and every ticket gets an answer.
    pub(crate) fn run(mut self) {
        let queue = Arc::clone(&self.queue);
        let result = panic::catch_unwind(AssertUnwindSafe(|| self.work()));
        queue.close(result.is_err());
    }

    fn work(&mut self) {
        let mut gathering = Gathering::default();
        loop {
            if let Some((records, time)) = gathering.target(self.settings.gather) {
                self.queue.gather(records, time);
            }
            match self.queue.take(self.patience()) {
                Work::Batch(batch) => {
                    gathering.note(batch.pending.records);
                    self.commit(batch);
                }
                Work::Nothing => gathering.note(0),
                Work::Closed => break,
            }
            self.sync_due();
        }
        for log in &mut self.logs {
            log.sync_lazy();
        }
    }

    /// One batch, from the queue to its tickets.
    fn commit(&mut self, mut batch: Batch) {
        let started = Instant::now();
        let outcomes = self.write(&mut batch);
        let failed: u64 = batch
            .parts
            .iter()
            .filter(|it| it.doomed.is_some())
            .map(|it| u64::from(it.records))
            .sum();
        self.counters.count_failed(failed);
        let written = batch.pending.records.saturating_sub(failed);
        if written > 0 {
            self.counters.count_batch(written, batch.pending.bytes, started.elapsed());
        }
        self.queue.retire(&mut batch);
        let wakers = batch.settle(outcomes);
        if !wakers.is_empty() {
            (self.wake)(wakers);
        }
        self.tidy();
    }

    /// Writes the part of each log; a log that fails fails only its own records.
    fn write(&mut self, batch: &mut Batch) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(self.logs.len());
        for (index, log) in self.logs.iter_mut().enumerate() {
            let outcome = match batch.parts.get_mut(index) {
                Some(part) if part.records > 0 => match part.doomed {
                    Some(cause) => Err(cause),
                    None => log.commit(part),
                },
                _ => Err(CommitError::Closed),
            };
            if let Err(cause) = outcome
                && batch.parts.get(index).is_some_and(|it| it.records > 0 && it.doomed.is_none())
            {
                self.queue.fail(batch, index, cause);
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// After a batch, off the path of its tickets: files are closed, segments asked
    /// for.
    fn tidy(&mut self) {
        for (index, log) in (0..).zip(&mut self.logs) {
            let id = LogId::new(index);
            for dropped in log.take_dropped() {
                self.reader.forget(id, dropped);
            }
            if let Some(size) = log.wants_prepared() {
                // Without a preparer the writer makes its own segments.
                let _ = self.prepare.send(Request { log: id, size });
            }
        }
    }

    fn sync_due(&mut self) {
        let now = Instant::now();
        for log in &mut self.logs {
            if log.sync_due().is_some_and(|it| it <= now) {
                log.sync_lazy();
            }
        }
    }

    /// Until the next lazy log wants to be synced.
    fn patience(&self) -> Option<Duration> {
        let due = self.logs.iter().filter_map(LogWriter::sync_due).min()?;
        Some(due.saturating_duration_since(Instant::now()))
    }
}
