//! The store itself.

use std::path::Path;
use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;
use hookgate_core::attribution::{Attributed, Quarantined};
use hookgate_core::received::{Blob, Unproven};
use hookgate_core::secret::MaskKey;
use uuid::Uuid;

use crate::filter::{EventFilter, Page, RejectionFilter};
use crate::receipt::Receipt;
use crate::record::{Event, EventId, Rejection};

/// Called once for each committed batch, with everyone who waits for it.
pub type Wake = Arc<dyn Fn(Vec<Waker>) + Send + Sync>;

/// How a store is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {}

/// Why a store cannot be opened. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes to the folder.
    #[error("another process uses this store folder: stop it, or choose another folder with --store")]
    Locked,
}

/// Why a request cannot be stored now. The sender is told to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The disk has no room.
    #[error("the disk is full")]
    DiskFull,
    /// More waits to be written or indexed than may wait.
    #[error("the store is behind")]
    Behind,
    /// The disk refuses to take it.
    #[error("the store cannot be written to")]
    Failed,
    /// The store is being closed.
    #[error("the store is closing")]
    Closing,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The index did not catch up within two seconds.
    #[error("the index is behind")]
    Behind,
    /// A record is damaged.
    #[error("the record is damaged")]
    Damaged,
    /// Reading failed.
    #[error("reading the store failed")]
    Io(#[source] std::io::Error),
}

/// The state of the store at a moment, for readiness, metrics and `doctor`.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {}

/// The embedded store. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {}

/// A large body on its way to a file of its own. Dropped before it is kept, it is gone.
#[derive(Debug)]
pub struct BlobWriter {}

impl Store {
    /// Opens the store in `folder`, creating it if there is none, and recovers what a
    /// crash left. Blocks while it does.
    ///
    /// # Errors
    ///
    /// An [`OpenError`], whose sentence says what to do.
    pub fn open(folder: &Path, options: Options, wake: Wake) -> Result<Self, OpenError> {
        let _ = (folder, options, wake);
        todo!()
    }

    /// Whether a body of this length may be read now. Asked before it is.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: answer 503 with `Retry-After`.
    pub fn admit(&self, body_bytes: u64) -> Result<(), Unavailable> {
        let _ = body_bytes;
        todo!()
    }

    /// Stores an event that may be acted on. It is on its way to the disk as soon as this
    /// is first polled, whether or not anyone waits for the receipt.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn append(&self, event: &Attributed) -> Result<Receipt, Unavailable> {
        let _ = event;
        todo!()
    }

    /// Stores an event that nobody may act on.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: nothing was stored.
    pub async fn quarantine(&self, event: &Quarantined) -> Result<Receipt, Unavailable> {
        let _ = event;
        todo!()
    }

    /// Keeps a refused request in the ring of rejections, if its peer has not filled its
    /// share. Does not wait for the disk.
    pub fn reject(&self, refused: &Unproven, status: u16) {
        let _ = (refused, status);
        todo!()
    }

    /// Notes that a refused request was judged again and became an event.
    pub fn settle(&self, rejection: Uuid, event: EventId) {
        let _ = (rejection, event);
        todo!()
    }

    /// Begins a large body. Takes its bytes from the budget of bodies in flight.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the budget is spent, or the disk is full.
    pub async fn begin_blob(&self) -> Result<BlobWriter, Unavailable> {
        todo!()
    }

    /// Reads a large body that was finished, kept or not.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn open_blob(&self, blob: &Blob) -> std::io::Result<std::fs::File> {
        let _ = blob;
        todo!()
    }

    /// A page of events. Waits until the index holds every receipt issued before.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn events(&self, filter: EventFilter, page: Page) -> Result<Vec<Event>, ReadError> {
        let _ = (filter, page);
        todo!()
    }

    /// One event.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn event(&self, id: EventId) -> Result<Option<Event>, ReadError> {
        let _ = id;
        todo!()
    }

    /// The exact bytes of an event's body, in pieces. `None` if it was erased.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn body(&self, id: EventId) -> Result<Option<Body>, ReadError> {
        let _ = id;
        todo!()
    }

    /// A page of refused requests.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rejections(&self, filter: RejectionFilter, page: Page) -> Result<Vec<Rejection>, ReadError> {
        let _ = (filter, page);
        todo!()
    }

    /// One refused request and its bytes.
    ///
    /// # Errors
    ///
    /// A [`ReadError`].
    pub async fn rejection(&self, id: Uuid) -> Result<Option<(Rejection, Body)>, ReadError> {
        let _ = id;
        todo!()
    }

    /// The key under which header tokens are hashed.
    #[must_use]
    pub fn mask_key(&self) -> &MaskKey {
        todo!()
    }

    /// How the store is.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        todo!()
    }

    /// Finishes what was begun and closes. Blocks.
    pub fn close(&self) {
        todo!()
    }
}

/// The bytes of a stored body.
#[derive(Debug)]
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// In a file.
    File(std::fs::File, u64),
}

impl BlobWriter {
    /// Takes the next bytes.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the disk is full or failing.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), Unavailable> {
        let _ = chunk;
        todo!()
    }

    /// Syncs the file. It is kept only once an event that holds it is appended.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: the disk is full or failing.
    pub async fn finish(self) -> Result<Blob, Unavailable> {
        todo!()
    }
}
