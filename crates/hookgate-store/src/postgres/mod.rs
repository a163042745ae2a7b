//! The store in PostgreSQL: the journal is a table, several nodes share it.
//!
//! One file a concern, each with the verbs of [`Node`] that belong to it.

#![expect(
    clippy::unused_self,
    clippy::unused_async,
    clippy::too_many_arguments,
    reason = "the verbs are there, and what they do is not"
)]

mod append;
mod connect;
mod conversations;
mod decide;
mod erase;
mod fault;
mod read;
mod rings;
mod role;
mod tls;
mod url;
mod wire;

use std::fmt;
use std::io;
use std::sync::Arc;

use hookgate_core::secret::MaskKey;
use tokio::sync::watch;
use uuid::Uuid;

use self::connect::PORT_OF_POOLERS;
pub use self::fault::{ConnectError, ConnectFault};
pub use self::role::{APP_ROLE, RoleError, ensure_role};
pub use self::url::{PgSettings, PgUrlError, is_url};
use crate::ledger::Ledger;
use crate::registry::Registry;
use crate::snapshot::Snapshot;

/// A node of a store in PostgreSQL. Clones share it. What its verbs promise stands in
/// `store.rs`.
#[derive(Clone)]
pub(crate) struct Node {
    inner: Arc<Inner>,
}

/// What all clones share.
struct Inner {
    registry: Registry,
    ledger: Ledger,
    /// Up to where events can be listed.
    listed: watch::Sender<u64>,
    /// Changes whenever an erasure has come further.
    erasing: watch::Sender<u64>,
    snapshot: Snapshot,
}

impl Node {
    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    pub(crate) fn mask_key(&self) -> &MaskKey {
        self.inner.registry.mask_key()
    }

    pub(crate) fn id(&self) -> Uuid {
        self.inner.registry.store_id()
    }

    pub(crate) fn listed(&self) -> watch::Receiver<u64> {
        self.inner.listed.subscribe()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.inner.snapshot.clone()
    }

    pub(crate) fn close(&self) {
        self.inner.registry.close();
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Node").finish_non_exhaustive()
    }
}

fn absent() -> io::Error {
    io::Error::other("this build cannot speak to PostgreSQL yet")
}
