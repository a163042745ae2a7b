//! The way of an event on a node with a spool: into the database's queue, or into the spool.

use std::sync::Arc;

use bytes::Bytes;
use hookgate_core::attribution::Readable;
use hookgate_core::received::Body;
use tokio::runtime::Handle;

use super::Inner;
use super::Node;
use super::outage::{Route, Why};
use super::queue::{Entry, Ticket};
use super::spool::{Appending, KeptBody, NewEntry};
use super::spooling::{Passed, Spooling};
use crate::error::Unavailable;
use crate::lock;
use crate::receipt::Receipt;
use crate::snapshot::SpoolState;

/// The way of one event.
pub(super) struct Way {
    pub(super) inner: Arc<Inner>,
    pub(super) spooling: Arc<Spooling>,
}

/// Where an event is.
enum Taken {
    /// It waits for the database.
    Queued,
    /// It is on its way into the spool, or not.
    Spooled(Result<(Box<Entry>, Appending), Unavailable>),
}

impl Way {
    /// Until it is on a disk, here or there.
    pub(super) async fn store(self, entry: Entry, ticket: Ticket) -> Result<Receipt, Unavailable> {
        let spooling = Arc::clone(&self.spooling);
        let taken = match entry.row.blob {
            None => self.whole(entry).await?,
            Some(blob) => {
                let runtime = Handle::current();
                // It goes on when nobody waits any more.
                let put = tokio::task::spawn_blocking(move || self.large(entry, blob, &runtime));
                put.await.unwrap_or(Err(Unavailable::Failed))?
            }
        };
        match taken {
            Taken::Queued => ticket.await,
            Taken::Spooled(spooled) => {
                let (mut entry, appending) = spooled?;
                appending.await?;
                let adopting = entry.adopting.take();
                Ok(spooling.receipt(entry.id, adopting))
            }
        }
    }

    async fn whole(&self, mut entry: Entry) -> Result<Taken, Unavailable> {
        loop {
            match self.spooling.pass(entry, &self.inner.desk.queue) {
                Passed::Queued(queued) => return queued.map(|()| Taken::Queued),
                Passed::Spool(entry) => {
                    let put = self.spooling.put(&entry, None);
                    self.spooling.arrived();
                    return Ok(Taken::Spooled(put.map(|it| (Box::new(entry), it))));
                }
                Passed::Hold(held) => {
                    entry = held;
                    self.spooling.moved().await;
                }
            }
        }
    }

    /// The same with a large body: into the database first, if it is there. Blocks.
    fn large(
        &self,
        mut entry: Entry,
        blob: [u8; 16],
        runtime: &Handle,
    ) -> Result<Taken, Unavailable> {
        let mut is_uploaded = false;
        loop {
            if !is_uploaded && self.spooling.is_live() {
                is_uploaded = self.inner.upload(blob).is_ok();
                if !is_uploaded {
                    self.lose();
                }
            }
            match self.spooling.pass_large(entry, &self.inner.desk.queue, is_uploaded) {
                Passed::Queued(queued) => {
                    if queued.is_err() {
                        self.inner.desk.blobs.discard(blob);
                    }
                    return queued.map(|()| Taken::Queued);
                }
                Passed::Spool(entry) => {
                    let kept = keep(&self.inner, &self.spooling, blob);
                    let put = kept.and_then(|kept| self.spooling.put(&entry, Some(kept)));
                    self.spooling.arrived();
                    return Ok(Taken::Spooled(put.map(|it| (Box::new(entry), it))));
                }
                Passed::Hold(held) => {
                    entry = held;
                    // It went live a moment ago: the body goes there first.
                    if !self.spooling.is_live() {
                        runtime.block_on(self.spooling.moved());
                    }
                }
            }
        }
    }

    fn lose(&self) {
        self.spooling.lose(Why::Unreachable);
        self.inner.desk.queue.nudge();
    }
}

/// Lets the spool take the file of a large body over. Blocks.
fn keep(inner: &Inner, spooling: &Spooling, blob: [u8; 16]) -> Result<KeptBody, Unavailable> {
    let kept = inner.desk.blobs.give_away(blob, |path| spooling.spool.keep_body(blob, path));
    kept.map_err(|error| {
        tracing::error!(error = %error, "a large body cannot be put into the spool");
        inner.desk.blobs.discard(blob);
        Unavailable::of_io(&error)
    })
}

impl Node {
    /// Whether events go into the spool now.
    pub(crate) fn is_spooling(&self) -> bool {
        self.inner.desk.spooling.as_ref().is_some_and(|it| !it.is_live())
    }

    /// The registry could not be asked: the database counts as away. False: there is no
    /// spool for that.
    pub(crate) fn lose(&self) -> bool {
        let Some(spooling) = &self.inner.desk.spooling else { return false };
        spooling.lose(Why::Unreachable);
        self.inner.desk.queue.nudge();
        true
    }

    /// How the spool is, if there is one.
    pub(crate) fn spool(&self) -> Option<SpoolState> {
        self.inner.desk.spooling.as_ref().map(|it| it.state())
    }

    /// Puts a request into the spool whose owner cannot be told now. Nothing: the database is
    /// back, and can be asked.
    pub(crate) async fn defer(&self, readable: &Readable) -> Result<Option<Receipt>, Unavailable> {
        let inner = &self.inner;
        let Some(spooling) = &inner.desk.spooling else { return Err(Unavailable::Failed) };
        let received = readable.received();
        let id = lock(&inner.random).id(received.at);
        let entry = NewEntry::deferred(readable, id, inner.registry.mask_key());
        loop {
            match spooling.route() {
                Route::Direct => return Ok(None),
                Route::Hold => spooling.moved().await,
                Route::Spool => break,
            }
        }
        let appending = match &received.body {
            Body::Whole(bytes) => {
                let appending = spooling.append(&entry, bytes, None);
                spooling.arrived();
                appending?
            }
            Body::Blob(blob) => {
                let (inner, spooling, blob) = (Arc::clone(inner), Arc::clone(spooling), blob.id);
                let put = tokio::task::spawn_blocking(move || {
                    let kept = keep(&inner, &spooling, blob);
                    let put = kept.and_then(|it| spooling.append(&entry, &Bytes::new(), Some(it)));
                    spooling.arrived();
                    put
                });
                put.await.unwrap_or(Err(Unavailable::Failed))?
            }
        };
        appending.await?;
        Ok(Some(spooling.receipt(id, None)))
    }
}
