//! The embedded store: the journal with the exact bytes, SQLite as its index.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hookgate_core::attribution::{Attributed, Quarantined};
use hookgate_core::received::{Blob, Body as ReceivedBody, Unproven};
use hookgate_core::secret::MaskKey;
use hookgate_core::tenant::Scope;
use rusqlite::Connection;
use tokio::sync::watch;
use uuid::Uuid;

use crate::blobs::{BlobWriter, blocking};
use crate::body::Body;
use crate::door::{Entry, Placed, Role};
use crate::error::{OpenError, ReadError, Unavailable};
use crate::filter::{EventFilter, Order, Page, RejectionFilter};
use crate::inner::{Inner, Large};
use crate::layout::EVENTS;
use crate::ledger::{Adopting, Ledger};
use crate::library::{Library, Shown, Stretch};
use crate::limits::{READ_WAIT_MAX, WHOLE_BODY_BYTES_MAX};
use crate::lock;
use crate::opening;
use crate::options::Options;
use crate::prepare::Judged;
use crate::receipt::Receipt;
use crate::record::{Event, EventId, Rejection};
use crate::registry::Registry;
use crate::rejections::Rejections;
use crate::snapshot::{self, Snapshot};
use crate::store::Wake;

/// How long one read may take: searching a word in a hundred million events takes longer,
/// and is better asked with a time or a source beside it.
const READ_MAX: Duration = Duration::from_secs(10);

/// Times that an event is placed anew because the event that it repeats was lost by a
/// failing disk at that moment.
const PLACINGS_MAX: u32 = 3;

/// The embedded store. Clones share it. What its verbs promise stands in `store.rs`.
#[derive(Clone, Debug)]
pub(crate) struct Embedded {
    inner: Arc<Inner>,
}

impl Embedded {
    /// Opens the store in `folder`, creating it if there is none, and recovers what a
    /// crash left. Blocks while it does.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub(crate) fn open(folder: &Path, options: Options, wake: Wake) -> Result<Self, OpenError> {
        Ok(Self { inner: Arc::new(opening::open(folder, options, wake)?) })
    }

    /// Whether a body of this length may be read now. Asked before it is.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: answer 503 with `Retry-After`.
    pub(crate) fn admit(&self, body_bytes: u64) -> Result<(), Unavailable> {
        let inner = &*self.inner;
        if inner.is_closing.load(Ordering::Relaxed) {
            return Err(Unavailable::Closing);
        }
        if inner.space.is_full() {
            return Err(Unavailable::DiskFull);
        }
        if let Some(failed) = inner.last_of(EVENTS).failed
            && !inner.is_due(&inner.last_of(EVENTS))
        {
            return Err(failed);
        }
        let waiting = inner.door.journal().pending().bytes;
        let has_room = if body_bytes > WHOLE_BODY_BYTES_MAX {
            inner.blobs.has_room(body_bytes)
        } else {
            waiting.saturating_add(body_bytes) <= inner.options.pending_bytes_max
        };
        if !has_room || inner.door.is_behind() {
            return Err(Unavailable::Behind);
        }
        Ok(())
    }

    /// Stores an event that may be acted on, and with it that it makes its conversation
    /// known. It is on its way to the disk as soon as this is first polled, whether or not
    /// anyone waits for the receipt.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub(crate) async fn append(
        &self,
        event: &Attributed,
        adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        self.store(Judged::Accepted(event), adopting).await
    }

    /// Stores an event that nobody may act on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub(crate) async fn quarantine(&self, event: &Quarantined) -> Result<Receipt, Unavailable> {
        self.store(Judged::Quarantined(event), None).await
    }

    /// The life of an event in the store.
    async fn store(
        &self,
        judged: Judged<'_>,
        adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        let stored = self.try_to_store(judged, adopting).await;
        if stored.is_err()
            && let ReceivedBody::Blob(blob) = judged.received().body
        {
            self.inner.blobs.discard(blob.id);
        }
        stored
    }

    async fn try_to_store(
        &self,
        judged: Judged<'_>,
        mut adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        let inner = &*self.inner;
        inner.gate(judged.log())?;
        inner.unproven.take(judged.unproven())?;
        let body = &judged.received().body;
        let sha256 = body.sha256();
        for _ in 0..PLACINGS_MAX {
            let (id, placed) = match body {
                ReceivedBody::Whole(payload) => {
                    let (id, placed) = inner.place(judged, sha256, payload)?;
                    placed.keep(&mut adopting);
                    (id, placed)
                }
                ReceivedBody::Blob(blob) => {
                    let (id, placed, left) =
                        self.place_large(judged, blob, adopting.take()).await?;
                    adopting = left;
                    (id, placed)
                }
            };
            let Placed { ticket, role } = placed;
            let seq = ticket.seq();
            let outcome = ticket.await.map_err(Unavailable::from);
            inner.note(judged.log(), outcome.err());
            if let Err(cause) = outcome {
                if let Role::New(Some(key)) = role {
                    inner.door.forget(&key, seq);
                }
                return Err(cause);
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
    /// may block, and nobody who goes away stops that. Gives an adoption back that the event
    /// does not carry.
    async fn place_large(
        &self,
        judged: Judged<'_>,
        blob: &Blob,
        mut adopting: Option<Adopting>,
    ) -> Result<(Uuid, Placed, Option<Adopting>), Unavailable> {
        let Large { mut head, row, id, at, correlation_id, key, digest, log, tenant } =
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
                tenant: tenant.as_deref(),
            };
            let placed = inner.door.place(entry, |question| inner.ask(question));
            Ok(placed.map(|placed| {
                placed.keep(&mut adopting);
                (placed, adopting)
            }))
        });
        placed.await?.map(|(placed, left)| (id, placed, left))
    }

    /// Keeps a refused request in the ring of rejections, if its peer has not filled its
    /// share. Does not wait for the disk.
    pub(crate) fn reject(&self, refused: &Unproven, status: u16) {
        let inner = &*self.inner;
        if inner.space.is_full() || !inner.rejections.admit(refused) {
            if let ReceivedBody::Blob(blob) = refused.received().body {
                inner.blobs.discard(blob.id);
            }
            return;
        }
        let id = lock(&inner.scratch).random.id(refused.received().at);
        inner.rejections.keep(refused, status, (id, inner.registry.mask_key()), &inner.blobs);
    }

    /// Notes that a refused request was judged again and became an event.
    pub(crate) fn settle(&self, rejection: Uuid, event: EventId) {
        self.inner.rejections.settle(rejection, event);
    }

    /// Begins a large body. Takes its bytes from the budget of bodies in flight.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the budget is spent, or the disk is full.
    pub(crate) async fn begin_blob(&self) -> Result<BlobWriter, Unavailable> {
        self.admit(0)?;
        let id = Uuid::into_bytes(lock(&self.inner.scratch).random.id(crate::rejections::now()));
        BlobWriter::begin(Arc::clone(&self.inner.blobs), id).await
    }

    /// Removes a large body that was finished and is not wanted. One that becomes part of
    /// an event or a refused request must not be given here; one that is forgotten goes a
    /// quarter of an hour later.
    pub(crate) fn discard_blob(&self, blob: &Blob) {
        self.inner.blobs.discard_unkept(blob.id);
    }

    /// Reads a large body that was finished, kept or not.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub(crate) fn open_blob(&self, blob: &Blob) -> io::Result<fs::File> {
        self.inner.blobs.open_file(blob.id)
    }

    /// A page of events. Waits until the index holds every receipt issued before. A tenant
    /// sees what was accepted and is its own.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn events(
        &self,
        scope: &Scope,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        self.list(scope, Shown::Events, filter, page).await
    }

    /// The events behind `after`, oldest first, as far as they can be listed now: it waits
    /// for nothing. Who follows [`Self::listed`] reads what comes so. A tenant sees what
    /// was accepted and is its own.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn stretch(
        &self,
        scope: &Scope,
        filter: EventFilter,
        after: u64,
        limit: usize,
    ) -> Result<Stretch, ReadError> {
        let scope = scope.clone();
        let page = Page { order: Order::OldestFirst, after: Some(after), limit };
        self.read_now(move |library, shelves| {
            library.stretch(shelves, (&scope, Shown::Events), &filter, page)
        })
        .await
    }

    pub(crate) async fn list(
        &self,
        scope: &Scope,
        shown: Shown,
        filter: EventFilter,
        page: Page,
    ) -> Result<Vec<Event>, ReadError> {
        let scope = scope.clone();
        self.read(move |library, shelves| library.page(shelves, (&scope, shown), &filter, page))
            .await
    }

    /// One event; nothing if there is none within the scope.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn event(
        &self,
        scope: &Scope,
        id: EventId,
    ) -> Result<Option<Event>, ReadError> {
        let scope = scope.clone();
        self.read(move |library, shelves| match Library::find(shelves, &scope, id)? {
            Some(found) => library.event(shelves, &scope, found),
            None => Ok(None),
        })
        .await
    }

    /// The exact bytes of an event's body, in pieces. `None` if it was erased, or there is
    /// no such event within the scope.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn body(&self, scope: &Scope, id: EventId) -> Result<Option<Body>, ReadError> {
        let scope = scope.clone();
        self.read(move |library, shelves| match Library::find(shelves, &scope, id)? {
            Some(found) => library.body(&found),
            None => Ok(None),
        })
        .await
    }

    /// A page of refused requests.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub(crate) async fn rejections(
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
    pub(crate) async fn rejection(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        self.read_rejections(move |rejections| rejections.one(id)).await
    }

    /// Tenants, keys, bindings, sources: what was configured over the API.
    #[must_use]
    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Whose the ids are that requests name.
    #[must_use]
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    /// The key under which header tokens are hashed.
    #[must_use]
    pub(crate) fn mask_key(&self) -> &MaskKey {
        self.inner.registry.mask_key()
    }

    /// The id that the store got when it was made. A backup of it has the same.
    #[must_use]
    pub(crate) fn id(&self) -> Uuid {
        self.inner.registry.store_id()
    }

    /// Follows the place up to which events can be listed. Whoever waits for new events
    /// waits for a change of it.
    #[must_use]
    pub(crate) fn listed(&self) -> watch::Receiver<u64> {
        self.inner.door.indexed()
    }

    /// How the store is.
    #[must_use]
    pub(crate) fn snapshot(&self) -> Snapshot {
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
            conversations: self.folding(),
            dedupe: snapshot::Dedupe {
                keys_in_memory,
                keys_in_table,
                repetitions: inner.repetitions.load(Ordering::Relaxed),
            },
            unproven: snapshot::Unproven { dropped: inner.unproven.dropped() },
            rejections: snapshot::Rejections { kept, blob_bytes, dropped },
            blobs: snapshot::Blobs {
                in_flight_bytes: inner.blobs.in_flight_bytes(),
                in_flight_bytes_max: inner.options.blobs_in_flight_bytes_max,
            },
            disk: inner.space.look(),
            volatile: inner.volatile,
            recovered: inner.recovered,
            spool: None,
        }
    }

    /// Finishes what was begun and closes. Blocks.
    pub(crate) fn close(&self) {
        self.inner.close();
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Reads on a thread that may block, when the index holds every receipt issued before.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Library, &[&Connection]) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.wait_for_index().await?;
        let done = self.read_now(read).await;
        if matches!(done, Err(ReadError::Behind)) {
            self.inner.door.want_index();
        }
        done
    }

    /// The same with what the index holds now.
    async fn read_now<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Library, &[&Connection]) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        self.blocking_read(move |inner| {
            inner.pool.read(Some(READ_MAX), |connection| {
                // One moment for all that is asked.
                let transaction =
                    connection.unchecked_transaction().map_err(ReadError::database)?;
                read(&inner.library, &[&*transaction])
            })
        })
        .await
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

    pub(crate) async fn blocking_read<T: Send + 'static>(
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

    pub(crate) async fn wait_for_index(&self) -> Result<(), ReadError> {
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
