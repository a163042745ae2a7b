//! The way in: an event is made ready, and waits for the writer to commit it.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use hookgate_core::attribution::{Attributed, Quarantined};
use hookgate_core::received::{Blob, Body};
use uuid::Uuid;

use super::large;
use super::queue::{Entry, Ticket, promise};
use super::spool::Wait;
use super::way::Way;
use super::{Inner, Node};
use crate::blobs::BlobWriter;
use crate::error::Unavailable;
use crate::ledger::Adopting;
use crate::limits::WHOLE_BODY_BYTES_MAX;
use crate::lock;
use crate::prepare::{Encoded, Judged};
use crate::receipt::Receipt;

/// Large bodies that are put into the database at once: each takes a connection.
pub(super) const UPLOADS_MAX: usize = 2;

impl Node {
    pub(crate) fn admit(&self, body_bytes: u64) -> Result<(), Unavailable> {
        let inner = &*self.inner;
        inner.desk.gate()?;
        if let Some(spooling) = &inner.desk.spooling
            && !spooling.is_live()
        {
            inner.desk.queue.has_room(0)?;
            spooling.admit(body_bytes)?;
            let fits = body_bytes <= WHOLE_BODY_BYTES_MAX || inner.desk.blobs.has_room(body_bytes);
            return if fits { Ok(()) } else { Err(Unavailable::Behind) };
        }
        if body_bytes <= WHOLE_BODY_BYTES_MAX {
            return inner.desk.queue.has_room(body_bytes);
        }
        inner.desk.queue.has_room(0)?;
        if inner.space.is_full() {
            return Err(Unavailable::DiskFull);
        }
        if inner.desk.blobs.has_room(body_bytes) { Ok(()) } else { Err(Unavailable::Behind) }
    }

    pub(crate) async fn append(
        &self,
        event: &Attributed,
        adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        self.store(Judged::Accepted(event), adopting).await
    }

    pub(crate) async fn quarantine(&self, event: &Quarantined) -> Result<Receipt, Unavailable> {
        self.store(Judged::Quarantined(event), None).await
    }

    /// The life of an event on this node.
    async fn store(
        &self,
        judged: Judged<'_>,
        adopting: Option<Adopting>,
    ) -> Result<Receipt, Unavailable> {
        let inner = &self.inner;
        let body = &judged.received().body;
        let ready = inner.desk.gate().and_then(|()| inner.unproven.take(judged.unproven()));
        if let (Err(cause), Body::Blob(blob)) = (ready, body) {
            inner.desk.blobs.discard(blob.id);
            return Err(cause);
        }
        ready?;
        let (mut entry, ticket) = inner.entry(judged, adopting);
        if let Some(spooling) = &inner.desk.spooling {
            entry.wait = Some(Box::new(Wait::of(judged)));
            let way = Way { inner: Arc::clone(inner), spooling: Arc::clone(spooling) };
            return way.store(entry, ticket).await;
        }
        match body {
            Body::Whole(_) => inner.desk.queue.push(entry)?,
            Body::Blob(blob) => {
                let (inner, blob) = (Arc::clone(inner), blob.id);
                // It goes on when nobody waits any more.
                let put = tokio::task::spawn_blocking(move || inner.push_large(entry, blob));
                put.await.unwrap_or(Err(Unavailable::Failed))?;
            }
        }
        ticket.await
    }

    pub(crate) async fn begin_blob(&self) -> Result<BlobWriter, Unavailable> {
        self.admit(0)?;
        if self.inner.space.is_full() {
            return Err(Unavailable::DiskFull);
        }
        let id = Uuid::into_bytes(lock(&self.inner.random).id(crate::rejections::now()));
        BlobWriter::begin(Arc::clone(&self.inner.desk.blobs), id).await
    }

    pub(crate) fn discard_blob(&self, blob: &Blob) {
        self.inner.desk.blobs.discard_unkept(blob.id);
    }

    pub(crate) fn open_blob(&self, blob: &Blob) -> io::Result<fs::File> {
        self.inner.desk.blobs.open_file(blob.id)
    }
}

impl Inner {
    /// Makes an event ready.
    fn entry(&self, judged: Judged<'_>, adopting: Option<Adopting>) -> (Entry, Ticket) {
        let received = judged.received();
        let id = lock(&self.random).id(received.at);
        let sha256 = received.body.sha256();
        let mut head = Vec::with_capacity(1_024);
        let Encoded { row, at, .. } =
            judged.encode(id, sha256, self.registry.mask_key(), &mut head);
        let payload = match &received.body {
            Body::Whole(bytes) => bytes.clone(),
            Body::Blob(_) => Bytes::new(),
        };
        let (answer, ticket) = promise();
        let entry = Entry {
            id,
            log: judged.log(),
            at,
            row,
            head,
            payload,
            correlation_id: received.correlation_id.clone(),
            digest: sha256.first_chunk().copied().unwrap_or_default(),
            adopting,
            may_be_there: false,
            wait: None,
            answer,
        };
        (entry, ticket)
    }

    /// Puts a large body into the database, outside of the lock, and then lets its event
    /// wait. The file goes when the event is answered. Blocks.
    fn push_large(&self, entry: Entry, blob: [u8; 16]) -> Result<(), Unavailable> {
        let uploaded = self.upload(blob);
        let pushed = uploaded.and_then(|()| self.desk.queue.push(entry));
        pushed.inspect_err(|_| self.desk.blobs.discard(blob))
    }

    /// The same for any large body. A connection that was lost is made once more.
    pub(super) fn upload(&self, blob: [u8; 16]) -> Result<(), Unavailable> {
        let failed = |error: &dyn std::error::Error| {
            tracing::warn!(error = %error, "a large body could not be put into PostgreSQL");
            Unavailable::Failed
        };
        let turn = self.upload_turn.fetch_add(1, Ordering::Relaxed) % UPLOADS_MAX;
        let Some(slot) = self.uploads.get(turn) else { return Err(Unavailable::Failed) };
        let mut slot = lock(slot);
        loop {
            let was_used = slot.is_some();
            let mut client = match slot.take() {
                Some(client) => client,
                None => (self.connect)().map_err(|error| failed(&error))?,
            };
            match large::upload(&mut client, &self.desk.blobs, blob) {
                Ok(()) => {
                    *slot = Some(client);
                    return Ok(());
                }
                Err(large::UploadError::Database(_)) if was_used => {}
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}
