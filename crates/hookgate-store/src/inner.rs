//! What all clones of a store share, and what it does for each event.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use hookgate_journal::LogId;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::blobs::Blobs;
use crate::bloom::Key;
use crate::dedupe::Known;
use crate::door::{Door, Entry, Placed, Question};
use crate::erasure::Eraser;
use crate::error::{ReadError, Unavailable};
use crate::index::Row;
use crate::index::pool::Pool;
use crate::index::query::{self, Found};
use crate::keeper::Keeper;
use crate::layout::Layout;
use crate::ledger::Ledger;
use crate::library::Library;
use crate::lock;
use crate::options::Options;
use crate::peers::Shares;
use crate::prepare::{Encoded, Judged};
use crate::projection::Fold;
use crate::random::Random;
use crate::receipt::Receipt;
use crate::record::EventId;
use crate::registry::Registry;
use crate::rejections::Rejections;
use crate::snapshot;
use crate::space::Space;

/// Buffers kept for encoding: one for each thread that could be at it, and some.
const BUFFERS_MAX: usize = 16;

pub(crate) struct Inner {
    pub(crate) layout: Layout,
    pub(crate) options: Options,
    pub(crate) registry: Registry,
    pub(crate) ledger: Ledger,
    pub(crate) door: Arc<Door>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) library: Library,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) recordings: Arc<Blobs>,
    pub(crate) rejections: Arc<Rejections>,
    pub(crate) keeper: Keeper<Eraser>,
    pub(crate) fold: Arc<Fold>,
    /// One decision after the other.
    pub(crate) deciding: Arc<Mutex<()>>,
    pub(crate) unproven: Shares,
    pub(crate) scratch: Mutex<Scratch>,
    pub(crate) space: Space,
    /// What became of the last record of each log: the journal's own health is that of
    /// the worst, and the ring of unproven requests must not stop the others.
    pub(crate) last: [Mutex<Last>; 2],
    /// The highest place that a receipt was given for.
    pub(crate) receipted: AtomicU64,
    pub(crate) repetitions: AtomicU64,
    pub(crate) reads: Arc<Semaphore>,
    pub(crate) indexer: Mutex<Option<JoinHandle<()>>>,
    pub(crate) folder: Mutex<Option<JoinHandle<()>>>,
    pub(crate) is_closing: AtomicBool,
    pub(crate) was_rebuilt: bool,
    pub(crate) volatile: Option<&'static str>,
    pub(crate) recovered: snapshot::Recovered,
}

/// What became of the last record of a log.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Last {
    pub(crate) failed: Option<Unavailable>,
    /// When it was last tried although it had failed.
    pub(crate) tried: Option<Instant>,
}

/// What making a record needs, kept from one to the next.
#[derive(Debug)]
pub(crate) struct Scratch {
    pub(crate) random: Random,
    pub(crate) buffers: Vec<Vec<u8>>,
}

/// An event whose body lies in a file, ready for a thread that may block.
pub(crate) struct Large {
    pub(crate) head: Vec<u8>,
    pub(crate) row: Row,
    pub(crate) id: Uuid,
    pub(crate) at: i64,
    pub(crate) correlation_id: String,
    pub(crate) key: Option<Key>,
    pub(crate) digest: [u8; 16],
    pub(crate) log: LogId,
    pub(crate) tenant: Option<String>,
}

impl Inner {
    /// Whether a log takes anything. One that did not is tried now and then.
    pub(crate) fn gate(&self, log: LogId) -> Result<(), Unavailable> {
        if self.space.is_full() {
            return Err(Unavailable::DiskFull);
        }
        let Some(last) = self.last.get(log.index()) else { return Ok(()) };
        let mut last = lock(last);
        match last.failed {
            Some(failed) if !self.is_due(&last) => return Err(failed),
            Some(_) => last.tried = Some(Instant::now()),
            None => {}
        }
        Ok(())
    }

    /// Whether data may belong to this tenant: it is there and is not being erased.
    pub(crate) fn is_owner(&self, tenant: &str) -> bool {
        self.registry.shared().memory().owner(tenant).is_some()
    }

    pub(crate) fn last_of(&self, log: LogId) -> Last {
        self.last.get(log.index()).map(|it| *lock(it)).unwrap_or_default()
    }

    pub(crate) fn is_due(&self, last: &Last) -> bool {
        last.tried.is_none_or(|it| it.elapsed() >= self.options.probe_interval)
    }

    /// Notes what became of a record.
    pub(crate) fn note(&self, log: LogId, failed: Option<Unavailable>) {
        let Some(last) = self.last.get(log.index()) else { return };
        let mut last = lock(last);
        if last.failed != failed {
            if let Some(cause) = failed {
                tracing::error!(cause = %cause, "the journal cannot be written");
            } else {
                tracing::info!("the journal can be written again");
            }
        }
        *last = Last { failed, tried: failed.and(last.tried) };
    }

    /// Encodes an event and gives it its place.
    pub(crate) fn place(
        &self,
        judged: Judged<'_>,
        sha256: [u8; 32],
        payload: &[u8],
    ) -> Result<(Uuid, Placed), Unavailable> {
        let received = judged.received();
        let (id, mut encoded) = {
            let mut scratch = lock(&self.scratch);
            (scratch.random.id(received.at), scratch.buffers.pop().unwrap_or_default())
        };
        encoded.clear();
        let Encoded { row, at, key } =
            judged.encode(id, sha256, self.registry.mask_key(), &mut encoded);
        let entry = Entry {
            log: judged.log(),
            head: &mut encoded,
            payload,
            row,
            id,
            at,
            correlation_id: &received.correlation_id,
            key,
            digest: first_half(sha256),
            tenant: judged.tenant(),
        };
        let placed = self.door.place(entry, |question| self.ask(question));
        let mut scratch = lock(&self.scratch);
        if scratch.buffers.len() < BUFFERS_MAX {
            scratch.buffers.push(encoded);
        }
        drop(scratch);
        placed.map(|placed| (id, placed))
    }

    /// Encodes an event whose body lies in a file.
    pub(crate) fn large(&self, judged: Judged<'_>, sha256: [u8; 32]) -> Large {
        let received = judged.received();
        let id = lock(&self.scratch).random.id(received.at);
        let mut head = Vec::new();
        let Encoded { row, at, key } =
            judged.encode(id, sha256, self.registry.mask_key(), &mut head);
        Large {
            row,
            head,
            id,
            at,
            correlation_id: received.correlation_id.clone(),
            key,
            digest: first_half(sha256),
            log: judged.log(),
            tenant: judged.tenant().map(str::to_owned),
        }
    }

    /// Asks the table about an old key, and then the registry: it has those of events whose
    /// segments are gone.
    pub(crate) fn ask(&self, question: Question) -> Result<Option<Known>, Unavailable> {
        let read = self.pool.read(None, |connection| {
            let found = match question {
                Question::Key(key) => query::by_key(connection, &key),
                Question::Seq(seq) => query::by_seq(connection, seq),
            };
            if let Some(found) = found.map_err(ReadError::database)? {
                return self.known(&found).map(Some);
            }
            let dropped = match question {
                Question::Key(key) => self.registry.dropped_by_key(&key),
                Question::Seq(seq) => self.registry.dropped_by_seq(seq),
            };
            dropped.map_err(ReadError::database)
        });
        read.map_err(|error| {
            tracing::warn!(error = %error, "an old key could not be looked up");
            self.door.want_index();
            Unavailable::Behind
        })
    }

    pub(crate) fn known(&self, found: &Found) -> Result<Known, ReadError> {
        let digest = match self.library.digest(found) {
            Ok(digest) => digest.map(first_half),
            // Nothing to compare with: whatever comes is kept.
            Err(ReadError::Damaged) => None,
            Err(error) => return Err(error),
        };
        Ok(Known { seq: found.seq, id: Uuid::from_bytes(found.id), digest })
    }

    pub(crate) fn repeated(&self, known: Known) -> Receipt {
        self.repetitions.fetch_add(1, Ordering::Relaxed);
        Receipt::new(EventId(known.id), known.seq, true)
    }

    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        self.keeper.stop();
        self.fold.projection.stop();
        // What waits is committed, so that the indexer can finish.
        self.door.journal().close();
        self.door.close();
        if let Some(thread) = lock(&self.indexer).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the index ended in a panic");
        }
        if let Some(thread) = lock(&self.folder).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the conversations ended in a panic");
        }
        self.keeper.join();
        self.fold.projection.close();
        self.rejections.journal().close();
        self.registry.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Store").field("folder", &self.layout.root()).finish_non_exhaustive()
    }
}

fn first_half(digest: [u8; 32]) -> [u8; 16] {
    digest.first_chunk().copied().unwrap_or_default()
}
