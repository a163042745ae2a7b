//! The store: what is accepted goes in by one way, and is read by another.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use hookgate_core::attribution::{Attributed, Quarantined};
use hookgate_core::received::{Blob, Body as ReceivedBody, Unproven};
use hookgate_core::secret::MaskKey;
use hookgate_journal::{Health, Journal, Recovery};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use crate::blobs::{BlobWriter, Blobs, blocking};
use crate::bloom::Key;
use crate::dedupe::{Dedupe, Known};
use crate::door::{Door, Entry, Placed, Question, Role};
use crate::error::{OpenError, ReadError, Unavailable, is_broken};
use crate::filter::{EventFilter, Page, RejectionFilter};
use crate::head;
use crate::index::indexer::{CatchUpError, Indexer, catch_up, oldest_segment};
use crate::index::pool::Pool;
use crate::index::query::{self, Found, Window};
use crate::index::{self, Index, Row, Unusable};
use crate::layout::{self, Layout, UNPROVEN};
use crate::library::{Body, Library, Shelf};
use crate::lock;
use crate::options::Options;
use crate::peers::Peers;
use crate::prepare::{self, Judged, Stamp};
use crate::random::Random;
use crate::receipt::Receipt;
use crate::record::{Event, EventId, Rejection};
use crate::registry;
use crate::rejections::Rejections;
use crate::snapshot::{self, Snapshot};
use crate::space::{self, Space};

/// Called once for each committed batch, with everyone who waits for it.
pub type Wake = Arc<dyn Fn(Vec<Waker>) + Send + Sync>;

/// How long a read waits for the index.
const READ_WAIT_MAX: Duration = Duration::from_secs(2);

/// Reads at once: a dashboard and an export, and never all threads of the runtime.
const READS_MAX: usize = 4;

/// Buffers kept for encoding: one for each thread that could be at it, and some.
const BUFFERS_MAX: usize = 16;

/// Times that an event is placed anew because the event that it repeats was lost by a
/// failing disk at that moment.
const PLACINGS_MAX: u32 = 3;

/// A body that a log takes whole, and what stands around it, in bytes: more goes into a
/// file of its own anyway.
const WHOLE_BODY_BYTES_MAX: u64 = 4 << 20;

/// The embedded store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    options: Options,
    registry: registry::Registry,
    door: Arc<Door>,
    pool: Arc<Pool>,
    library: Library,
    blobs: Arc<Blobs>,
    rejections: Rejections,
    unproven_peers: Mutex<Peers>,
    scratch: Mutex<Scratch>,
    space: Space,
    probe: Mutex<Option<Instant>>,
    /// The highest place that a receipt was given for.
    receipted: AtomicU64,
    repetitions: AtomicU64,
    unproven_dropped: AtomicU64,
    reads: Arc<Semaphore>,
    indexer: Mutex<Option<JoinHandle<()>>>,
    is_closing: AtomicBool,
    was_rebuilt: bool,
    volatile: Option<&'static str>,
    recovered: snapshot::Recovered,
}

/// What making a record needs, kept from one to the next.
#[derive(Debug)]
struct Scratch {
    random: Random,
    buffers: Vec<Vec<u8>>,
}

/// An event whose body lies in a file, ready for a thread that may block.
struct Large {
    head: Vec<u8>,
    row: Row,
    id: Uuid,
    at: i64,
    correlation_id: String,
    key: Option<Key>,
    digest: [u8; 16],
    log: hookgate_journal::LogId,
}

impl Store {
    /// Opens the store in `folder`, creating it if there is none, and recovers what a
    /// crash left. Blocks while it does.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub fn open(folder: &Path, options: Options, wake: Wake) -> Result<Self, OpenError> {
        let layout = Layout::new(folder);
        registry::check_version(&layout.registry())?;
        layout::create_folder(folder).map_err(|error| OpenError::io("creating", folder, error))?;
        let (journal, recovery) = open_journal(&layout, &options, wake)?;
        let registry = registry::open(&layout.registry())?;
        let blobs = Blobs::open(&layout, options.blobs_in_flight_bytes_max)
            .map_err(|error| OpenError::io("opening", &layout.blobs(), error))?;
        let blobs = Arc::new(blobs);
        let (mut index, was_rebuilt) = open_index(&layout, &journal, |_| {})?;
        let failed = |error| OpenError::database("reading", &layout.index(), error);
        let oldest_unproven = oldest_segment(&journal, UNPROVEN);
        for blob in index.evict(oldest_unproven).map_err(failed)? {
            blobs.discard(blob);
        }
        let dedupe = known_keys(&mut index, options.generation_keys_max).map_err(failed)?;
        let merged = index.merged().map_err(failed)?;
        let orphaned_blobs = if recovery.corrupt.is_empty() && recovery.missing.is_none() {
            remove_orphans(&layout, &index)
                .map_err(|error| OpenError::io("reading", &layout.blobs(), error))?
        } else {
            // A damaged record may have named it.
            0
        };
        let rejections = open_rejections(&layout, &options)?;
        let random =
            Random::new().map_err(|error| OpenError::io("drawing a number for", folder, error))?;

        let pool = Arc::new(Pool::new(layout.index()));
        let library = Library { reader: journal.reader(), layout: layout.clone() };
        let door = Arc::new(Door::new(journal, dedupe, options.index_lag_max));
        let indexer = Indexer {
            door: Arc::clone(&door),
            index,
            path: layout.index(),
            pool: Arc::clone(&pool),
            blobs: Arc::clone(&blobs),
            keys_max: options.generation_keys_max,
            merged,
            oldest_unproven,
            done: door.journal().durable_seq(),
            merging: None,
            is_closing: false,
        };
        let thread = thread::Builder::new().name("index".to_owned()).spawn(move || indexer.run());
        let thread =
            thread.map_err(|error| OpenError::io("starting a thread for", folder, error))?;

        let space = Space::new(folder, options.disk_warn_percent, options.disk_full_percent);
        let inner = Inner {
            registry,
            receipted: AtomicU64::new(door.journal().durable_seq()),
            door,
            pool,
            library,
            blobs,
            rejections,
            unproven_peers: Mutex::new(Peers::new(options.unproven_share)),
            scratch: Mutex::new(Scratch { random, buffers: Vec::new() }),
            space,
            probe: Mutex::new(None),
            repetitions: AtomicU64::new(0),
            unproven_dropped: AtomicU64::new(0),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            indexer: Mutex::new(Some(thread)),
            is_closing: AtomicBool::new(false),
            was_rebuilt,
            volatile: space::volatile(folder),
            recovered: report(&recovery, orphaned_blobs),
            layout,
            options,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether a body of this length may be read now. Asked before it is.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: answer 503 with `Retry-After`.
    pub fn admit(&self, body_bytes: u64) -> Result<(), Unavailable> {
        let inner = &*self.inner;
        if inner.is_closing.load(Ordering::Relaxed) {
            return Err(Unavailable::Closing);
        }
        if inner.space.is_full() {
            return Err(Unavailable::DiskFull);
        }
        let journal = inner.door.journal();
        let health = journal.health();
        if health != Health::Healthy && !inner.is_probe_due() {
            return Err(Unavailable::of_health(health));
        }
        let waiting = journal.pending().bytes.saturating_add(body_bytes.min(WHOLE_BODY_BYTES_MAX));
        let has_room = waiting <= inner.options.pending_bytes_max || body_bytes == 0;
        if !has_room || inner.door.is_behind() || !inner.blobs.has_room(0) {
            return Err(Unavailable::Behind);
        }
        Ok(())
    }

    /// Stores an event that may be acted on. It is on its way to the disk as soon as this
    /// is first polled, whether or not anyone waits for the receipt.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn append(&self, event: &Attributed) -> Result<Receipt, Unavailable> {
        self.store(Judged::Accepted(event)).await
    }

    /// Stores an event that nobody may act on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn quarantine(&self, event: &Quarantined) -> Result<Receipt, Unavailable> {
        self.store(Judged::Quarantined(event)).await
    }

    /// The life of an event in the store.
    async fn store(&self, judged: Judged<'_>) -> Result<Receipt, Unavailable> {
        let stored = self.try_to_store(judged).await;
        if stored.is_err()
            && let ReceivedBody::Blob(blob) = judged.received().body
        {
            self.inner.blobs.discard(blob.id);
        }
        stored
    }

    async fn try_to_store(&self, judged: Judged<'_>) -> Result<Receipt, Unavailable> {
        let inner = &*self.inner;
        inner.gate()?;
        inner.check_share(judged)?;
        let body = &judged.received().body;
        let sha256 = body.sha256();
        for _ in 0..PLACINGS_MAX {
            let (id, placed) = match body {
                ReceivedBody::Whole(payload) => inner.place(judged, sha256, payload)?,
                ReceivedBody::Blob(blob) => self.place_large(judged, blob).await?,
            };
            let Placed { ticket, role } = placed;
            let seq = ticket.seq();
            if let Err(error) = ticket.await {
                if let Role::New(Some(key)) = role {
                    inner.door.forget(&key, seq);
                }
                return Err(error.into());
            }
            inner.receipted.fetch_max(seq, Ordering::AcqRel);
            match role {
                Role::New(_) => return Ok(Receipt::new(EventId(id), seq, false)),
                // The original was still on its way, and got lost: this one is the first.
                Role::Repetition(known) | Role::Variant(known)
                    if inner.door.journal().has_failed(known.seq) => {}
                Role::Repetition(known) => {
                    if let ReceivedBody::Blob(blob) = body {
                        inner.blobs.discard(blob.id);
                    }
                    return Ok(inner.repeated(known));
                }
                Role::Variant(known) => return Ok(inner.repeated(known)),
            }
        }
        Err(Unavailable::Failed)
    }

    /// The same for a body in a file: it is moved to its place first, on a thread that
    /// may block, and nobody who goes away stops that.
    async fn place_large(
        &self,
        judged: Judged<'_>,
        blob: &Blob,
    ) -> Result<(Uuid, Placed), Unavailable> {
        let Large { mut head, row, id, at, correlation_id, key, digest, log } =
            self.inner.large(judged, blob.sha256);
        let (inner, blob) = (Arc::clone(&self.inner), blob.id);
        let placed = blocking(move || {
            inner.blobs.keep(blob)?;
            let entry = Entry {
                log,
                head: &mut head,
                payload: &[],
                row,
                id,
                at,
                correlation_id: &correlation_id,
                key,
                digest,
            };
            Ok(inner.door.place(entry, |question| inner.ask(question)))
        });
        placed.await?.map(|placed| (id, placed))
    }

    /// Keeps a refused request in the ring of rejections, if its peer has not filled its
    /// share. Does not wait for the disk.
    pub fn reject(&self, refused: &Unproven, status: u16) {
        let inner = &*self.inner;
        if inner.space.is_full() || !inner.rejections.admit(refused) {
            if let ReceivedBody::Blob(blob) = refused.received().body {
                inner.blobs.discard(blob.id);
            }
            return;
        }
        let id = lock(&inner.scratch).random.id(refused.received().at);
        inner.rejections.keep(refused, status, (id, &inner.registry.mask_key), &inner.blobs);
    }

    /// Notes that a refused request was judged again and became an event.
    pub fn settle(&self, rejection: Uuid, event: EventId) {
        self.inner.rejections.settle(rejection, event);
    }

    /// Begins a large body. Takes its bytes from the budget of bodies in flight.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the budget is spent, or the disk is full.
    pub async fn begin_blob(&self) -> Result<BlobWriter, Unavailable> {
        self.admit(0)?;
        let id = Uuid::into_bytes(lock(&self.inner.scratch).random.id(crate::rejections::now()));
        BlobWriter::begin(Arc::clone(&self.inner.blobs), id).await
    }

    /// Removes a large body that was finished and is not wanted. One that becomes part of
    /// an event or a refused request must not be given here; one that is forgotten goes a
    /// quarter of an hour later.
    pub fn discard_blob(&self, blob: &Blob) {
        self.inner.blobs.discard_unkept(blob.id);
    }

    /// Reads a large body that was finished, kept or not.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open_blob(&self, blob: &Blob) -> io::Result<fs::File> {
        self.inner.blobs.open_file(blob.id)
    }

    /// A page of events. Waits until the index holds every receipt issued before.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn events(&self, filter: EventFilter, page: Page) -> Result<Vec<Event>, ReadError> {
        self.read(move |library, shelves| library.page(shelves, &filter, page)).await
    }

    /// One event.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, ReadError> {
        self.read(move |library, shelves| match Library::find(shelves, id)? {
            Some(found) => library.event(shelves, found),
            None => Ok(None),
        })
        .await
    }

    /// The exact bytes of an event's body, in pieces. `None` if it was erased.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn body(&self, id: EventId) -> Result<Option<Body>, ReadError> {
        self.read(move |library, shelves| match Library::find(shelves, id)? {
            Some(found) => library.body(found),
            None => Ok(None),
        })
        .await
    }

    /// A page of refused requests.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rejections(
        &self,
        filter: RejectionFilter,
        page: Page,
    ) -> Result<Vec<Rejection>, ReadError> {
        self.read_rejections(move |rejections| rejections.page(&filter, page)).await
    }

    /// One refused request and its bytes.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rejection(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        self.read_rejections(move |rejections| rejections.one(id)).await
    }

    /// The key under which header tokens are hashed.
    #[must_use]
    pub fn mask_key(&self) -> &MaskKey {
        &self.inner.registry.mask_key
    }

    /// The id that the store got when it was made. A backup of it has the same.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.inner.registry.store_id
    }

    /// Follows the place up to which events can be listed. Whoever waits for new events
    /// waits for a change of it.
    #[must_use]
    pub fn listed(&self) -> watch::Receiver<u64> {
        self.inner.door.indexed()
    }

    /// How the store is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let inner = &*self.inner;
        let journal = inner.door.journal();
        let (lag, (keys_in_memory, keys_in_table)) = inner.door.counts();
        let (kept, blob_bytes, dropped) = inner.rejections.counts();
        Snapshot {
            health: journal.health(),
            pending: journal.pending(),
            next_seq: journal.next_seq(),
            journal: journal.statistics(),
            rejections_journal: inner.rejections.journal().statistics(),
            index: snapshot::Index {
                lag,
                lag_max: inner.options.index_lag_max,
                was_rebuilt: inner.was_rebuilt,
            },
            dedupe: snapshot::Dedupe {
                keys_in_memory,
                keys_in_table,
                repetitions: inner.repetitions.load(Ordering::Relaxed),
            },
            unproven: snapshot::Unproven {
                dropped: inner.unproven_dropped.load(Ordering::Relaxed),
            },
            rejections: snapshot::Rejections { kept, blob_bytes, dropped },
            blobs: snapshot::Blobs {
                in_flight_bytes: inner.blobs.in_flight_bytes(),
                in_flight_bytes_max: inner.options.blobs_in_flight_bytes_max,
            },
            disk: inner.space.look(),
            volatile: inner.volatile,
            recovered: inner.recovered,
        }
    }

    /// Finishes what was begun and closes. Blocks.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Reads on a thread that may block, when the index holds every receipt issued before.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Library, &[Shelf<'_>]) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.wait_for_index().await?;
        let done = self.blocking_read(move |inner| {
            inner.pool.read(|connection| {
                // One moment for all that is asked.
                let transaction =
                    connection.unchecked_transaction().map_err(ReadError::database)?;
                read(&inner.library, &[Shelf { connection: &transaction, window: Window::ALL }])
            })
        });
        let done = done.await;
        if matches!(done, Err(ReadError::Behind)) {
            self.inner.door.want_index();
        }
        done
    }

    async fn read_rejections<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Rejections) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        if let Some(ticket) = self.inner.rejections.last_pending() {
            // One that failed is left out of the list.
            let _ =
                tokio::time::timeout(READ_WAIT_MAX, ticket).await.map_err(|_| ReadError::Behind)?;
        }
        self.blocking_read(move |inner| read(&inner.rejections)).await
    }

    async fn blocking_read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Inner) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let inner = Arc::clone(&self.inner);
        let turn = Arc::clone(&inner.reads).acquire_owned().await;
        let reading = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            read(&inner)
        });
        reading.await.unwrap_or_else(|error| Err(ReadError::Io(io::Error::other(error))))
    }

    async fn wait_for_index(&self) -> Result<(), ReadError> {
        let target = self.inner.receipted.load(Ordering::Acquire);
        let mut indexed = self.inner.door.indexed();
        if *indexed.borrow() >= target {
            return Ok(());
        }
        self.inner.door.want_index();
        match tokio::time::timeout(READ_WAIT_MAX, indexed.wait_for(|it| *it >= target)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(ReadError::Behind),
        }
    }
}

impl Inner {
    /// Whether the disk takes anything. One that does not is tried now and then.
    fn gate(&self) -> Result<(), Unavailable> {
        if self.space.is_full() {
            return Err(Unavailable::DiskFull);
        }
        let health = self.door.journal().health();
        if health == Health::Healthy {
            return Ok(());
        }
        let mut probe = lock(&self.probe);
        if probe.is_some_and(|it| it.elapsed() < self.options.probe_interval) {
            return Err(Unavailable::of_health(health));
        }
        *probe = Some(Instant::now());
        Ok(())
    }

    fn is_probe_due(&self) -> bool {
        lock(&self.probe).is_none_or(|it| it.elapsed() >= self.options.probe_interval)
    }

    /// Whether the peer of a request without proof has something left of its share.
    fn check_share(&self, judged: Judged<'_>) -> Result<(), Unavailable> {
        let Some(unproven) = judged.unproven() else { return Ok(()) };
        let received = unproven.received();
        if lock(&self.unproven_peers).take(received.peer, received.body.len(), Instant::now()) {
            return Ok(());
        }
        self.unproven_dropped.fetch_add(1, Ordering::Relaxed);
        Err(Unavailable::Behind)
    }

    /// Encodes an event and gives it its place.
    fn place(
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
        let headers = prepare::masked(received, &self.registry.mask_key);
        let mut event = judged.head(&Stamp { id, sha256, headers: &headers });
        let key = judged.key(&sha256);
        event.key = key.map(head::Octets);
        encoded.clear();
        head::encode(&event, &mut encoded);
        let entry = Entry {
            log: judged.log(),
            head: &mut encoded,
            payload,
            row: Row::new(&event),
            id,
            at: event.at,
            correlation_id: &received.correlation_id,
            key,
            digest: first_half(sha256),
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
    fn large(&self, judged: Judged<'_>, sha256: [u8; 32]) -> Large {
        let received = judged.received();
        let id = lock(&self.scratch).random.id(received.at);
        let headers = prepare::masked(received, &self.registry.mask_key);
        let mut event = judged.head(&Stamp { id, sha256, headers: &headers });
        let key = judged.key(&sha256);
        event.key = key.map(head::Octets);
        let mut encoded = Vec::new();
        head::encode(&event, &mut encoded);
        Large {
            row: Row::new(&event),
            head: encoded,
            id,
            at: event.at,
            correlation_id: received.correlation_id.clone(),
            key,
            digest: first_half(sha256),
            log: judged.log(),
        }
    }

    /// Asks the table about an old key.
    fn ask(&self, question: Question) -> Result<Option<Known>, Unavailable> {
        let read = self.pool.read(|connection| {
            let found = match question {
                Question::Key(key) => query::by_key(connection, &key),
                Question::Seq(seq) => query::by_seq(connection, seq),
            };
            found.map_err(ReadError::database)?.map(|found| self.known(found)).transpose()
        });
        read.map_err(|error| {
            tracing::warn!(error = %error, "an old key could not be looked up");
            self.door.want_index();
            Unavailable::Behind
        })
    }

    fn known(&self, found: Found) -> Result<Known, ReadError> {
        let digest = match self.library.digest(found) {
            Ok(digest) => digest.map(first_half),
            // Nothing to compare with: whatever comes is kept.
            Err(ReadError::Damaged) => None,
            Err(error) => return Err(error),
        };
        Ok(Known { seq: found.seq, id: Uuid::from_bytes(found.id), digest })
    }

    fn repeated(&self, known: Known) -> Receipt {
        self.repetitions.fetch_add(1, Ordering::Relaxed);
        Receipt::new(EventId(known.id), known.seq, true)
    }

    fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        // What waits is committed, so that the indexer can finish.
        self.door.journal().close();
        self.door.close();
        if let Some(thread) = lock(&self.indexer).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the index ended in a panic");
        }
        self.rejections.journal().close();
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

/// Opens the journal of events, and takes the lock of the folder with it.
pub(crate) fn open_journal(
    layout: &Layout,
    options: &Options,
    wake: Wake,
) -> Result<(Journal, Recovery), OpenError> {
    let known_durable = index::open_reader(&layout.index())
        .ok()
        .and_then(|connection| index::progress_of(&connection).ok())
        .and_then(|progress| progress.iter().map(|it| it.seq).max())
        .filter(|it| *it > 0);
    let logs = layout::event_logs(options.unproven);
    let settings = layout::event_settings(options, known_durable);
    let opened = match &options.faults.0 {
        None => Journal::open(&layout.journal(), &logs, settings, wake),
        Some(faults) => {
            Journal::open_with_faults(&layout.journal(), &logs, settings, wake, Arc::clone(faults))
        }
    };
    let (journal, recovery) = opened.map_err(OpenError::journal)?;
    for torn in &recovery.torn {
        let moved_to = torn.moved_to.display();
        tracing::warn!(bytes = torn.bytes, %moved_to, "the journal ended in a write that never finished; it was set aside");
    }
    for corrupt in &recovery.corrupt {
        tracing::error!(
            segment = corrupt.segment,
            offset = corrupt.offset,
            bytes = corrupt.bytes,
            "a part of the journal is damaged: check the disk, and restore what is missed from a backup"
        );
    }
    if let Some(missing) = &recovery.missing {
        tracing::error!(
            first_seq = missing.start(),
            last_seq = missing.end(),
            "records are missing from the journal: restore them from a backup"
        );
    }
    Ok((journal, recovery))
}

/// Opens the index and brings it up to the journal; makes it anew where it cannot be
/// used. Says whether it did.
pub(crate) fn open_index(
    layout: &Layout,
    journal: &Journal,
    mut note: impl FnMut(u64),
) -> Result<(Index, bool), OpenError> {
    let path = layout.index();
    let reader = journal.reader();
    let reason = match Index::open(&path) {
        Ok(mut index) => match catch_up(&mut index, &reader, &mut note) {
            Ok(()) => return Ok((index, false)),
            Err(CatchUpError::Index(error)) if !is_broken(&error) => {
                return Err(OpenError::database("writing", &path, error));
            }
            Err(CatchUpError::Journal(error)) => return Err(unreadable(layout, error)),
            Err(error @ (CatchUpError::Ahead | CatchUpError::Index(_))) => Some(error.to_string()),
        },
        Err(Unusable::Absent) => None,
        Err(Unusable::Database(error)) if !is_broken(&error) => {
            return Err(OpenError::database("opening", &path, error));
        }
        Err(error) => Some(error.to_string()),
    };
    let is_new = journal.next_seq() <= 1;
    if let Some(reason) = &reason {
        tracing::warn!(reason, "the index cannot be used and is made anew from the journal");
    } else if !is_new {
        tracing::info!("there is no index; it is made from the journal");
    }
    let failed = |error| match error {
        Unusable::Database(error) => OpenError::database("creating", &path, error),
        other => OpenError::io("creating", &path, io::Error::other(other)),
    };
    let mut index = Index::create(&path).map_err(failed)?;
    match catch_up(&mut index, &reader, note) {
        Ok(()) => Ok((index, !is_new)),
        Err(CatchUpError::Index(error)) => Err(OpenError::database("writing", &path, error)),
        Err(CatchUpError::Journal(error)) => Err(unreadable(layout, error)),
        Err(error @ CatchUpError::Ahead) => {
            Err(OpenError::io("reading", &path, io::Error::other(error)))
        }
    }
}

fn unreadable(layout: &Layout, error: hookgate_journal::ReadError) -> OpenError {
    OpenError::io("reading", &layout.journal(), io::Error::other(error))
}

/// What is known of repetitions, from the index.
fn known_keys(index: &mut Index, keys_max: usize) -> Result<Dedupe, rusqlite::Error> {
    index.merge_from_events(keys_max, 0)?;
    let (bloom, count) = index.bloom()?;
    let mut dedupe = Dedupe::new(keys_max, bloom, count);
    for (key, seq, id) in index.young_keys()? {
        dedupe.insert(key, Known { seq, id: Uuid::from_bytes(id), digest: None });
    }
    Ok(dedupe)
}

fn open_rejections(layout: &Layout, options: &Options) -> Result<Rejections, OpenError> {
    let folder = layout.rejections();
    let logs = layout::rejection_logs(options.rejections);
    let settings = layout::rejection_settings(options);
    let (journal, _) = Journal::open(&folder, &logs, settings, hookgate_journal::wake_inline())
        .map_err(OpenError::journal)?;
    let peers = Peers::new(options.rejections_share);
    Rejections::open(journal, layout, peers, options.rejections.bytes_max / 2)
        .map_err(|error| OpenError::io("reading", &folder, error))
}

/// Removes large bodies that no record names: a crash came between moving them to their
/// place and writing the record, so nobody was told that they are stored.
fn remove_orphans(layout: &Layout, index: &Index) -> io::Result<u64> {
    let mut removed = 0_u64;
    for shelf in fs::read_dir(layout.blobs())? {
        let shelf = shelf?;
        if shelf.file_name() == "tmp" || !shelf.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(shelf.path())? {
            let file = file?;
            let id = file
                .file_name()
                .to_str()
                .and_then(|it| <[u8; 16]>::try_from(hex::decode(it).ok()?).ok());
            let Some(id) = id else { continue };
            if !index.names_blob(id).map_err(io::Error::other)? {
                layout::remove(&file.path())?;
                removed = removed.saturating_add(1);
            }
        }
    }
    if removed > 0 {
        tracing::info!(removed, "large bodies of requests that were never accepted were removed");
    }
    Ok(removed)
}

fn report(recovery: &Recovery, orphaned_blobs: u64) -> snapshot::Recovered {
    snapshot::Recovered {
        torn: recovery.torn.len() as u64,
        corrupt: recovery.corrupt.len() as u64,
        missing: recovery
            .missing
            .as_ref()
            .map_or(0, |it| it.end().saturating_sub(*it.start()).saturating_add(1)),
        orphaned_blobs,
    }
}
