//! Bodies in memory while they are sent: no more than a budget holds, however many attempts
//! there are and however large the bodies.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use hookgate_core::tenant::Scope;
use hookgate_store::{Body, Event, ReadError, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What all of them may come to, in KiB. One that is larger than this waits until it is alone.
const KIB_MAX: u32 = 256 * 1024;

/// A body is in memory twice while it is masked or written anew.
const COPIES: u64 = 2;

/// The budget.
#[derive(Debug)]
pub(crate) struct Bodies {
    room: Arc<Semaphore>,
}

/// A body, and its part of the budget.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl Bodies {
    pub(crate) fn new() -> Self {
        let room = usize::try_from(KIB_MAX).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(room)) }
    }

    /// The body of an event, as soon as there is room for it; nothing if it is erased, or
    /// there is no such event within the scope.
    pub(crate) async fn read(
        &self,
        store: &Store,
        scope: &Scope,
        event: &Event,
    ) -> Result<Option<Held>, ReadError> {
        let kib = event.size.saturating_mul(COPIES).div_ceil(1024);
        let kib = u32::try_from(kib).unwrap_or(KIB_MAX).clamp(1, KIB_MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await;
        // Nobody closes it.
        let room = room.map_err(|error| ReadError::Io(io::Error::other(error)))?;
        let Some(body) = store.body(scope, event.id).await? else { return Ok(None) };
        let bytes = match body {
            Body::Whole(bytes) => bytes,
            Body::Large(mut large) => {
                let read = move || {
                    let mut bytes = Vec::with_capacity(usize::try_from(large.len()).unwrap_or(0));
                    large.read_to_end(&mut bytes).map(|_| bytes)
                };
                let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other);
                read.and_then(|it| it).map_err(ReadError::Io)?.into()
            }
        };
        Ok(Some(Held { bytes, _room: room }))
    }
}
