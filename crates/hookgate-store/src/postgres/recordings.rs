//! Recordings: into pieces in the database, from the file of the node that fetched one.
//!
//! What holds:
//!
//! - **Pieces are of one attempt.** Each is written in a transaction that holds the row of the
//!   recording and finds its own token there: who lost the lease, or whose recording was erased,
//!   writes nothing more. The first piece of an attempt takes away what another one left.
//! - **What is fetched is whole**: the row says so after the last piece.
//! - **Pieces without a row that wants them are nobody's**, and each erasure removes them before
//!   it is done, so many at a time that nobody waits for it.
//! - **The lease goes on while pieces are written**, however long that takes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookgate_core::received::Blob;
use hookgate_core::sound::Sound;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use postgres::Client;
use uuid::Uuid;

use super::large::PIECE_BYTES;
use super::pieces::{Of, Pieces};
use super::pool::Pool;
use super::query::{self, unsigned};
use super::{Inner, Node};
use crate::blobs::{BlobWriter, Blobs};
use crate::body::{Body, Large};
use crate::erasure::Stop;
use crate::error::{ReadError, Unavailable};
use crate::layout::Layout;
use crate::lock;
use crate::options::RECORDINGS_IN_FLIGHT_BYTES_MAX;
use crate::record::EventId;
use crate::recordings::{page_of, unreadable};
use crate::registry::{
    LeasedRecording, Recording, RecordingFilter, RecordingId, RecordingState, RegistryError, Rows,
};
use crate::sql::may_block;

/// How long a lease goes on with each piece.
const LEASE: Duration = Duration::from_mins(2);

/// How long a piece is tried: a server that was restarted or replaced is there again by then,
/// and a link that was used may have ended. Less than [`LEASE`].
const PATIENCE: Duration = Duration::from_mins(1);

/// The wait after a piece could not be written.
const PAUSE: Duration = Duration::from_millis(500);

/// Pieces removed in one transaction: the server takes about a second for a gigabyte.
const REMOVED_AT_ONCE: i64 = 64;

/// The recordings that want their pieces.
const WANTING: &str = "SELECT FROM recordings WHERE (state = 'fetched' OR token IS NOT NULL)";

/// What a node has of recordings that it fetches.
#[derive(Debug)]
pub(super) struct Recordings {
    files: Arc<Blobs>,
    /// One piece at a time: so there is one connection more for it, and no more.
    turn: Mutex<()>,
    is_closing: AtomicBool,
}

impl Recordings {
    /// Makes the folder, and removes what was unfinished.
    pub(super) fn open(layout: &Layout) -> io::Result<Self> {
        let files = Arc::new(Blobs::of_recordings(layout, RECORDINGS_IN_FLIGHT_BYTES_MAX)?);
        Ok(Self { files, turn: Mutex::default(), is_closing: AtomicBool::new(false) })
    }

    /// Nothing is tried again from now on.
    pub(super) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
    }

    /// Does something until it is done, for a while.
    fn patiently<T>(
        &self,
        mut work: impl FnMut() -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        let began = Instant::now();
        loop {
            let done = work();
            let is_over = began.elapsed() >= PATIENCE || self.is_closing.load(Ordering::Acquire);
            if done.is_ok() || is_over {
                return done;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Node {
    pub(crate) async fn begin_recording(
        &self,
        leased: &LeasedRecording,
    ) -> Result<Option<BlobWriter>, Unavailable> {
        self.admit(0)?;
        match self.registry().holds_recording(leased).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(_) => return Err(Unavailable::Failed),
        }
        let files = Arc::clone(&self.inner.recordings.files);
        BlobWriter::begin(files, leased.id.0.into_bytes()).await.map(Some)
    }

    pub(crate) async fn keep_recording(
        &self,
        leased: &LeasedRecording,
        blob: Blob,
        sound: Sound,
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        let (inner, leased) = (Arc::clone(&self.inner), leased.clone());
        let keeping = tokio::task::spawn_blocking(move || {
            let kept = may_block(|| inner.keep_recording(&leased, (&blob, sound), now));
            inner.recordings.files.discard_unkept(blob.id);
            kept
        });
        keeping.await.unwrap_or_else(|error| Err(failed(io::Error::other(error))))
    }

    pub(crate) async fn recordings(
        &self,
        scope: &Scope,
        filter: RecordingFilter,
        page: Rows,
    ) -> Result<Vec<Recording>, ReadError> {
        let (registry, within) = (self.registry().clone(), scope.clone());
        let read = move |client: &mut Client| {
            may_block(|| {
                page_of(&registry, &within, &filter, page, |events| {
                    shown_of(client, &within, events)
                })
            })
        };
        self.pool().reading(scope, read).await
    }

    pub(crate) async fn recording(
        &self,
        scope: &Scope,
        id: RecordingId,
    ) -> Result<Option<Recording>, ReadError> {
        let (registry, within) = (self.registry().clone(), scope.clone());
        let read = move |client: &mut Client| {
            let found = may_block(|| registry.recording(id)).map_err(unreadable)?;
            let Some(found) = found else { return Ok(None) };
            let events = shown_of(client, &within, &[found.event])?;
            Ok(Some(found).filter(|it| events.contains(&it.event)))
        };
        self.pool().reading(scope, read).await
    }

    pub(crate) async fn recorded(&self, recording: &Recording) -> Result<Option<Body>, ReadError> {
        if recording.state != RecordingState::Fetched {
            return Ok(None);
        }
        let (pool, id, size) =
            (self.pool().clone(), recording.id.0, recording.size.unwrap_or_default());
        let open = move |client: &mut Client| {
            let pieces = Pieces::open(&pool, client, Of::Recording(id), size)?;
            Ok(pieces.map(|it| Body::Large(Large::pieces(it, size))))
        };
        // Whoever has it was allowed to read it; whose it is now says its event, not its row.
        self.pool().reading(&Scope::Operator, open).await
    }
}

impl Inner {
    /// Puts a recording into the database and notes that it is there. False: the lease was lost,
    /// or it was erased.
    fn keep_recording(
        &self,
        leased: &LeasedRecording,
        (blob, sound): (&Blob, Sound),
        now: Timestamp,
    ) -> Result<bool, RegistryError> {
        let (recordings, began) = (&self.recordings, Instant::now());
        let mut file = recordings.files.open_file(blob.id).map_err(failed)?;
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let mut bytes = 0_u64;
        for number in 0_i32.. {
            read_piece(&mut file, &mut piece).map_err(failed)?;
            if piece.is_empty() {
                break;
            }
            let is_kept = recordings.patiently(|| {
                let _turn = lock(&recordings.turn);
                let until = now.plus(began.elapsed()).plus(LEASE);
                let put = |client: &mut Client| put(client, leased, until, (number, &piece));
                self.pool.write(put).map_err(unkept)
            })?;
            if !is_kept {
                return Ok(false);
            }
            bytes = bytes.saturating_add(piece.len() as u64);
        }
        if bytes != blob.bytes {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        }
        recordings.patiently(|| {
            let now = now.plus(began.elapsed());
            self.registry.keep_recording(leased, (blob, sound), now, || Ok(()))
        })
    }
}

fn read_piece(file: &mut File, piece: &mut Vec<u8>) -> io::Result<()> {
    piece.clear();
    file.take(PIECE_BYTES as u64).read_to_end(piece).map(drop)
}

fn failed(source: io::Error) -> RegistryError {
    RegistryError::Unavailable { doing: "keeping a recording", source }
}

fn unkept(error: ReadError) -> RegistryError {
    failed(match error {
        ReadError::Io(error) => error,
        other => io::Error::other(other),
    })
}

/// Writes one piece, unless the lease is lost. Doing it twice is fine.
fn put(
    client: &mut Client,
    leased: &LeasedRecording,
    until: Timestamp,
    (number, bytes): (i32, &[u8]),
) -> Result<bool, ReadError> {
    let id = leased.id.0.as_bytes().as_slice();
    // Until this is committed nobody else leases it, and nobody erases it.
    let hold = "UPDATE recordings SET leased_until = greatest(leased_until, $3) \
                WHERE id = $1 AND token = $2";
    if client.execute(hold, &[&id, &leased.token, &until.millis()])? == 0 {
        return Ok(false);
    }
    if number == 0 {
        client.execute("DELETE FROM recording_pieces WHERE recording = $1", &[&id])?;
    }
    // After a commit whose outcome nobody knows it may be there.
    let insert = "INSERT INTO recording_pieces (recording, n, bytes) VALUES ($1, $2, $3) \
                  ON CONFLICT (recording, n) DO UPDATE SET bytes = excluded.bytes";
    client.execute(insert, &[&id, &number, &bytes])?;
    Ok(true)
}

/// Which of these events are within the scope and may be acted on.
fn shown_of(
    client: &mut Client,
    scope: &Scope,
    events: &[EventId],
) -> Result<HashSet<EventId>, ReadError> {
    let ids: Vec<Uuid> = events.iter().map(|it| it.0).collect();
    let select = format!("SELECT {} FROM events WHERE id = ANY($1)", query::COLUMNS);
    let mut shown = HashSet::with_capacity(events.len());
    for row in client.query(&select, &[&ids])? {
        let found = query::Found::read(&row)?;
        if found.is_within(scope) && !found.is_quarantined {
            shown.insert(EventId(found.id));
        }
    }
    Ok(shown)
}

/// Removes the rows of recordings that events name. Their pieces are nobody's then.
pub(super) fn erase_of(client: &mut Client, events: &[Uuid]) -> Result<(), ReadError> {
    let delete = "DELETE FROM recordings WHERE event IN \
                  (SELECT uuid_send(it) FROM unnest($1::uuid[]) AS it)";
    client.execute(delete, &[&events])?;
    Ok(())
}

/// Removes pieces that no recording wants; gives their bytes.
pub(super) fn remove_orphans(pool: &Pool, is_stopping: &AtomicBool) -> Result<u64, Stop> {
    // One look at the index for each recording, not for each piece.
    let all = format!(
        "WITH RECURSIVE every (id) AS (
             (SELECT recording FROM recording_pieces ORDER BY recording LIMIT 1)
             UNION ALL SELECT (SELECT recording FROM recording_pieces
                 WHERE recording > every.id ORDER BY recording LIMIT 1)
             FROM every WHERE every.id IS NOT NULL
         ) SELECT id FROM every WHERE id IS NOT NULL
             AND NOT EXISTS ({WANTING} AND recordings.id = every.id)"
    );
    let orphans = pool.read(&Scope::Operator, |client| {
        let rows = client.query(&all, &[])?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<Vec<Vec<u8>>, ReadError>>()
    })?;
    // Pieces that come after this statement saw the row are of a lease that it did not see, and
    // are not removed by it.
    let remove = format!(
        "WITH gone AS (DELETE FROM recording_pieces WHERE recording = $1 AND n IN
             (SELECT n FROM recording_pieces WHERE recording = $1 ORDER BY n LIMIT $2)
             AND NOT EXISTS ({WANTING} AND id = $1) RETURNING octet_length(bytes) AS bytes)
         SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM gone"
    );
    let mut removed = 0_u64;
    for id in orphans {
        loop {
            if is_stopping.load(Ordering::Relaxed) {
                return Err(Stop::Closing);
            }
            let (count, bytes): (i64, i64) = pool.write(|client| {
                let row = client.query_one(&remove, &[&id, &REMOVED_AT_ONCE])?;
                Ok::<_, ReadError>((row.try_get(0)?, row.try_get(1)?))
            })?;
            removed = removed.saturating_add(unsigned(bytes));
            if count < REMOVED_AT_ONCE {
                break;
            }
        }
    }
    Ok(removed)
}
