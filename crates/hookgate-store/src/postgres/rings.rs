//! Refused requests, kept in a table that is trimmed. A thread writes them, behind a queue of
//! its own, so that nobody who is refused delays who is accepted. While the database is away
//! they wait in memory, as far as there is room: what has no room is dropped, and counted.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookgate_core::received::{Body as ReceivedBody, Unproven};
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use postgres::Client;
use postgres::error::SqlState;
use postgres::types::ToSql;
use tokio::sync::watch;
use uuid::Uuid;

use super::large::UploadError;
use super::outage::{PROBE_PAUSE_MAX, PROBE_PAUSE_MIN};
use super::pieces::{Of, Pieces};
use super::pool::Pool;
use super::{Inner, Node, large};
use crate::body::{Body, Large};
use crate::error::{ReadError, passes};
use crate::filter::{Order, Page, RejectionFilter};
use crate::head::{self, RejectionHead};
use crate::limits::READ_WAIT_MAX;
use crate::lock;
use crate::peers::Peers;
use crate::prepare::{self, Stamp};
use crate::record::{EventId, Rejection};

/// What may wait to be written, in bytes: refused requests never push accepted ones out of
/// memory.
const WAITING_BYTES_MAX: u64 = 16 << 20;

/// Requests that may wait: all are written in one transaction.
const WAITING_MAX: u64 = 16_384;

/// What the large bodies of those may have, in bytes: two of the largest, in files of the node.
const WAITING_FILES_BYTES_MAX: u64 = 256 << 20;

/// Times that a write is tried that the database refuses.
const REFUSALS_MAX: u32 = 3;

/// The ring is trimmed when this part of it is new.
const TRIM_PARTS: u64 = 64;

/// Pages hold so many at most: what is in memory at once, with all headers.
const PAGE_MAX: usize = 10_000;

/// A refused request, ready to be written.
#[derive(Debug)]
struct Refused {
    id: Uuid,
    at: i64,
    source: String,
    head: Vec<u8>,
    payload: Bytes,
    /// A large body, and its bytes.
    blob: Option<([u8; 16], u64)>,
}

#[derive(Debug)]
enum Job {
    Keep(Refused),
    Settle(Uuid, EventId),
}

impl Job {
    fn load(&self) -> Load {
        let Self::Keep(it) = self else { return Load { jobs: 1, ..Load::default() } };
        Load {
            jobs: 1,
            bytes: (it.head.len() as u64).saturating_add(it.payload.len() as u64),
            file_bytes: it.blob.map_or(0, |(_, bytes)| bytes),
        }
    }
}

/// What jobs take.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    jobs: u64,
    bytes: u64,
    file_bytes: u64,
}

impl Load {
    fn and(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_add(other.jobs),
            bytes: self.bytes.saturating_add(other.bytes),
            file_bytes: self.file_bytes.saturating_add(other.file_bytes),
        }
    }

    fn is_too_much(self) -> bool {
        self.jobs > WAITING_MAX
            || self.bytes > WAITING_BYTES_MAX
            || self.file_bytes > WAITING_FILES_BYTES_MAX
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Job>,
    /// Of all that is not done.
    load: Load,
    /// The number of the last job.
    last: u64,
    is_closing: bool,
}

/// The queue of the ring, and what is known of it.
#[derive(Debug)]
pub(super) struct Ring {
    state: Mutex<State>,
    work: Condvar,
    /// The number of the last job that is done.
    done: watch::Sender<u64>,
    /// What waits could not be written.
    is_away: AtomicBool,
    peers: Mutex<Peers>,
    pub(super) kept: AtomicU64,
    pub(super) blob_bytes: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Ring {
    pub(super) fn new(peers: Peers) -> Self {
        Self {
            state: Mutex::default(),
            work: Condvar::new(),
            done: watch::Sender::new(0),
            is_away: AtomicBool::new(false),
            peers: Mutex::new(peers),
            kept: AtomicU64::new(0),
            blob_bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Lets a job wait, unless too much does.
    fn push(&self, job: Job) -> Result<(), Job> {
        let mut state = lock(&self.state);
        let load = state.load.and(job.load());
        if state.is_closing || load.is_too_much() {
            return Err(job);
        }
        state.load = load;
        state.last = state.last.saturating_add(1);
        state.waiting.push(job);
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Waits for jobs; nothing when there will be none.
    fn take(&self) -> Option<(Vec<Job>, u64)> {
        let mut state = lock(&self.state);
        while state.waiting.is_empty() {
            if state.is_closing {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some((std::mem::take(&mut state.waiting), state.last))
    }

    /// What was taken, up to this number, is written or given up.
    fn finish(&self, last: u64) {
        let mut state = lock(&self.state);
        state.load = state.waiting.iter().map(Job::load).fold(Load::default(), Load::and);
        drop(state);
        self.done.send_replace(last);
    }

    /// Rests before jobs are tried again; says whether there is no time for that any more.
    fn rest(&self, pause: Duration) -> bool {
        let state = lock(&self.state);
        let resting = self.work.wait_timeout_while(state, pause, |it| !it.is_closing);
        let (state, _) = resting.unwrap_or_else(PoisonError::into_inner);
        state.is_closing
    }

    pub(super) fn close(&self) {
        lock(&self.state).is_closing = true;
        self.work.notify_all();
    }
}

impl Node {
    pub(crate) fn reject(&self, refused: &Unproven, status: u16) {
        let inner = &*self.inner;
        let received = refused.received();
        let admitted =
            lock(&inner.ring.peers).take(received.peer, received.body.len(), Instant::now());
        let id = lock(&inner.random).id(received.at);
        let headers = prepare::masked(received, inner.registry.mask_key());
        let stamp = Stamp { id, sha256: received.body.sha256(), headers: &headers };
        let event = prepare::rejection(refused, status, &stamp);
        let mut encoded = Vec::with_capacity(1_024);
        head::encode(&event, &mut encoded);
        let (payload, blob) = match &received.body {
            ReceivedBody::Whole(bytes) => (bytes.clone(), None),
            ReceivedBody::Blob(blob) => (Bytes::new(), Some((blob.id, blob.bytes))),
        };
        let source = received.source.name.clone();
        let job = Refused { id, at: event.at, source, head: encoded, payload, blob };
        let waits = admitted && inner.ring.push(Job::Keep(job)).is_ok();
        if !waits {
            inner.ring.dropped.fetch_add(1, Ordering::Relaxed);
        }
        match blob {
            // It may wait for long, and has a bound of its own.
            Some((blob, _)) if waits => inner.desk.blobs.claim(blob),
            Some((blob, _)) => inner.desk.blobs.discard(blob),
            None => {}
        }
    }

    pub(crate) fn settle(&self, rejection: Uuid, event: EventId) {
        if self.inner.ring.push(Job::Settle(rejection, event)).is_err() {
            // Judged once more, it is recognised as a repetition.
            tracing::warn!("a settled rejection could not be noted");
        }
    }

    pub(crate) async fn rejections(
        &self,
        filter: RejectionFilter,
        page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        self.read_ring(move |client| read_page(client, &filter, page)).await
    }

    pub(crate) async fn rejection(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        let pool = self.pool().clone();
        self.read_ring(move |client| read_one(client, &pool, id)).await
    }

    /// Reads when everything is written that was refused before.
    async fn read_ring<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Client) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let ring = &self.inner.ring;
        let target = lock(&ring.state).last;
        let mut done = ring.done.subscribe();
        let waiting = async { done.wait_for(|it| *it >= target).await.is_ok() };
        if !tokio::time::timeout(READ_WAIT_MAX, waiting).await.unwrap_or(false) {
            return Err(if ring.is_away.load(Ordering::Relaxed) {
                ReadError::Io(io::ErrorKind::NotConnected.into())
            } else {
                ReadError::Behind
            });
        }
        self.pool().reading(&Scope::Operator, read).await
    }
}

fn read_page(
    client: &mut Client,
    filter: &RejectionFilter,
    page: Page,
) -> Result<Vec<Rejection>, ReadError> {
    let (compare, order, start) = match page.order {
        Order::NewestFirst => ("<", "DESC", page.after.unwrap_or(u64::MAX)),
        Order::OldestFirst => (">", "ASC", page.after.unwrap_or(0)),
    };
    let sql = format!(
        "SELECT seq, accepted_as, head FROM rejections
         WHERE seq {compare} $1 AND ($2::text IS NULL OR source = $2)
             AND received_at >= $3 AND received_at < $4 AND ($5 OR accepted_as IS NULL)
         ORDER BY seq {order} LIMIT $6"
    );
    let start = i64::try_from(start).unwrap_or(i64::MAX);
    let since = filter.since.map_or(i64::MIN, Timestamp::millis);
    let until = filter.until.map_or(i64::MAX, Timestamp::millis);
    let limit = i64::try_from(page.limit.min(PAGE_MAX)).unwrap_or(i64::MAX);
    let values: [&(dyn ToSql + Sync); 6] =
        [&start, &filter.source, &since, &until, &filter.settled, &limit];
    let mut rejections = Vec::new();
    for row in client.query(&sql, &values)? {
        // One that is damaged does not hide the others.
        if let Ok(rejection) = rejection_of(&row) {
            rejections.push(rejection);
        }
    }
    Ok(rejections)
}

fn read_one(
    client: &mut Client,
    pool: &Pool,
    id: Uuid,
) -> Result<Option<(Rejection, Body)>, ReadError> {
    let sql = "SELECT seq, accepted_as, head, payload, blob FROM rejections WHERE id = $1";
    let Some(row) = client.query_opt(sql, &[&id])? else { return Ok(None) };
    let rejection = rejection_of(&row)?;
    let payload: Option<Vec<u8>> = row.try_get(3)?;
    let blob: Option<Uuid> = row.try_get(4)?;
    let body = match (blob, payload) {
        (Some(blob), _) => Pieces::open(pool, client, Of::Body(blob), rejection.size)?
            .map(|it| Body::Large(Large::pieces(it, rejection.size))),
        (None, payload) => payload.map(|it| Body::Whole(it.into())),
    };
    Ok(body.map(|body| (rejection, body)))
}

/// The refused request in a row of `seq`, `accepted_as` and `head`.
fn rejection_of(row: &postgres::Row) -> Result<Rejection, ReadError> {
    let seq: i64 = row.try_get(0)?;
    let accepted_as: Option<Uuid> = row.try_get(1)?;
    let encoded: &[u8] = row.try_get(2)?;
    let head: RejectionHead<'_> = head::decode(encoded).map_err(|_| ReadError::Damaged)?;
    Ok(head.into_rejection(u64::try_from(seq).unwrap_or(0), accepted_as.map(EventId)))
}

/// The thread: writes what was refused, until the queue is closed and empty.
pub(super) fn run(inner: &Inner) {
    let mut client: Option<Client> = None;
    let bound = inner.options.rejections;
    let (mut records, mut bytes) = (bound.records_max, 0_u64);
    while let Some((mut jobs, last)) = inner.ring.take() {
        let is_written = keep(inner, &mut client, &mut jobs);
        let mut refused = 0_u64;
        for job in &jobs {
            let Job::Keep(Refused { blob, .. }) = job else { continue };
            refused = refused.saturating_add(1);
            bytes = bytes.saturating_add(job.load().bytes);
            if let Some((blob, size)) = blob {
                bytes = bytes.saturating_add(*size);
                inner.desk.blobs.discard(*blob);
            }
        }
        if !is_written {
            inner.ring.dropped.fetch_add(refused, Ordering::Relaxed);
            tracing::warn!(requests = refused, "refused requests were not kept");
            inner.ring.finish(last);
            continue;
        }
        records = records.saturating_add(refused);
        let is_due =
            records > bound.records_max / TRIM_PARTS || bytes > bound.bytes_max / TRIM_PARTS;
        if let Some(open) = client.as_mut().filter(|_| is_due) {
            match trim(inner, open) {
                Ok(()) => (records, bytes) = (0, 0),
                Err(error) => {
                    let code = error.code().map(SqlState::code);
                    tracing::warn!(code, "the ring of refused requests could not be trimmed");
                    client = None;
                }
            }
        } else {
            inner.ring.kept.fetch_add(refused, Ordering::Relaxed);
        }
        inner.ring.finish(last);
    }
}

/// Writes jobs, however long the database is away. False: it takes them not, or there is no
/// time any more.
fn keep(inner: &Inner, slot: &mut Option<Client>, jobs: &mut Vec<Job>) -> bool {
    let ring = &inner.ring;
    let (mut refusals, mut pause) = (0, PROBE_PAUSE_MIN);
    loop {
        let cause = match try_to_write(inner, slot, jobs) {
            Ok(()) => {
                if ring.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("refused requests are written again");
                }
                return true;
            }
            Err(Fault::Away(cause)) => cause,
            Err(Fault::Refused(cause)) => {
                refusals += 1;
                cause
            }
        };
        *slot = None;
        if !ring.is_away.swap(true, Ordering::Relaxed) {
            tracing::warn!(cause, "refused requests cannot be written now: they wait");
        }
        if refusals >= REFUSALS_MAX || ring.rest(pause) {
            return false;
        }
        pause = pause.saturating_mul(2).min(PROBE_PAUSE_MAX);
    }
}

/// Why jobs are not written.
enum Fault {
    /// The database is away.
    Away(String),
    /// It does not take them.
    Refused(String),
}

impl From<postgres::Error> for Fault {
    fn from(error: postgres::Error) -> Self {
        // What PostgreSQL says of an error may quote what was sent; its code does not.
        let code = error.code().map(|it| it.code().to_owned());
        let cause = code.unwrap_or_else(|| "the connection is lost".to_owned());
        if passes(&error) { Self::Away(cause) } else { Self::Refused(cause) }
    }
}

fn try_to_write(
    inner: &Inner,
    slot: &mut Option<Client>,
    jobs: &mut Vec<Job>,
) -> Result<(), Fault> {
    let client = match slot {
        Some(open) if !open.is_closed() => open,
        _ => slot.insert((inner.connect)().map_err(|error| Fault::Away(error.to_string()))?),
    };
    upload(inner, client, jobs)?;
    Ok(write(client, jobs)?)
}

/// Puts large bodies into the database; their files stay until all is written. What has no file
/// any more is dropped.
fn upload(inner: &Inner, client: &mut Client, jobs: &mut Vec<Job>) -> Result<(), postgres::Error> {
    let mut at = 0;
    while let Some(job) = jobs.get(at) {
        let uploaded = match job {
            Job::Keep(Refused { blob: Some((blob, _)), .. }) => {
                large::upload(client, &inner.desk.blobs, *blob)
            }
            _ => Ok(()),
        };
        match uploaded {
            Ok(()) => at += 1,
            Err(UploadError::Database(error)) => return Err(error),
            Err(UploadError::File(error)) => {
                tracing::warn!(error = %error, "the body of a refused request cannot be read");
                inner.ring.dropped.fetch_add(1, Ordering::Relaxed);
                jobs.remove(at);
            }
        }
    }
    Ok(())
}

/// Writes jobs. Doing it twice is fine.
fn write(client: &mut Client, jobs: &[Job]) -> Result<(), postgres::Error> {
    let kept: Vec<&Refused> = jobs
        .iter()
        .filter_map(|it| match it {
            Job::Keep(refused) => Some(refused),
            Job::Settle(..) => None,
        })
        .collect();
    let settled: Vec<(Uuid, Uuid)> = jobs
        .iter()
        .filter_map(|it| match it {
            Job::Settle(rejection, event) => Some((*rejection, event.0)),
            Job::Keep(_) => None,
        })
        .collect();
    let ids: Vec<Uuid> = kept.iter().map(|it| it.id).collect();
    let times: Vec<i64> = kept.iter().map(|it| it.at).collect();
    let sources: Vec<&str> = kept.iter().map(|it| it.source.as_str()).collect();
    let heads: Vec<&[u8]> = kept.iter().map(|it| it.head.as_slice()).collect();
    let payloads: Vec<Option<&[u8]>> =
        kept.iter().map(|it| it.blob.is_none().then_some(&*it.payload)).collect();
    let blobs: Vec<Option<Uuid>> =
        kept.iter().map(|it| it.blob.map(|(blob, _)| Uuid::from_bytes(blob))).collect();
    let rejections: Vec<Uuid> = settled.iter().map(|it| it.0).collect();
    let events: Vec<Uuid> = settled.iter().map(|it| it.1).collect();
    large::transact(client, |client| {
        if !ids.is_empty() {
            client.execute(
                "INSERT INTO rejections (id, received_at, source, head, payload, blob)
                 SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::bytea[],
                     $5::bytea[], $6::uuid[])
                 ON CONFLICT (id) DO NOTHING",
                &[&ids, &times, &sources, &heads, &payloads, &blobs],
            )?;
        }
        if !rejections.is_empty() {
            client.execute(
                "UPDATE rejections SET accepted_as = it.event
                 FROM unnest($1::uuid[], $2::uuid[]) AS it (id, event) WHERE rejections.id = it.id",
                &[&rejections, &events],
            )?;
        }
        Ok(())
    })
}

fn trim(inner: &Inner, client: &mut Client) -> Result<(), postgres::Error> {
    large::trim(client, &large::REFUSED, inner.options.rejections)?;
    let row = large::transact(client, |client| {
        client.query_one(
            "SELECT count(*), coalesce((SELECT sum(octet_length(bytes)) FROM blobs
                 WHERE id IN (SELECT blob FROM rejections WHERE blob IS NOT NULL)), 0)::bigint
             FROM rejections",
            &[],
        )
    })?;
    let number = |at: usize| row.try_get(at).map(|it: i64| u64::try_from(it).unwrap_or(0));
    inner.ring.kept.store(number(0)?, Ordering::Relaxed);
    inner.ring.blob_bytes.store(number(1)?, Ordering::Relaxed);
    Ok(())
}
