//! The archive of recordings: which of an event are to be fetched, and the loop that has them
//! fetched. One fetch is in `fetch.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hookgate_core::canonical::Recording;
use hookgate_core::digest::sha256;
use hookgate_core::time::Timestamp;
use hookgate_store::{Event, NewRecording, RegistryError};
use tokio::task::JoinSet;

use crate::dispatcher::{Shared, failed};
use crate::document::canonical_event;
use crate::fetch::{self, DEADLINE};
use crate::reader::owner;

/// The largest recording unless set otherwise, in bytes: four hours at 128 kbit/s, and two of
/// telephone sound in two channels without compression.
pub const BYTES_MAX: u64 = 256 << 20;

/// Recordings that are fetched at once: they are large, and events must not wait for them.
const FETCHES_MAX: usize = 4;

/// How long a fetch has its recording for itself: until its deadline, and some time to keep it.
const LEASE: Duration = Duration::from_secs(DEADLINE.as_secs() + 60);

/// The longest wait until it is looked whether something has become due: a clock may be set.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest.
const LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Which recordings are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archiving {
    /// Those of sources that are not named.
    pub by_default: bool,
    /// Those of these sources, or not.
    pub sources: BTreeMap<String, bool>,
    /// The largest, in bytes.
    pub bytes_max: u64,
}

impl Default for Archiving {
    fn default() -> Self {
        Self { by_default: false, sources: BTreeMap::new(), bytes_max: BYTES_MAX }
    }
}

impl Archiving {
    /// Whether the recordings of any source are kept.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.by_default || self.sources.values().any(|it| *it)
    }

    pub(crate) fn wants(&self, source: &str) -> bool {
        self.sources.get(source).copied().unwrap_or(self.by_default)
    }
}

/// The recordings that an event names.
pub(crate) fn recordings(event: &Event, body: Option<&[u8]>) -> Vec<NewRecording> {
    let new = |(place, it): (u32, Recording)| NewRecording {
        event: event.id,
        seq: event.seq,
        place,
        tenant: owner(event),
        source: event.source.clone(),
        provider: event.provider.clone(),
        conversation: event.conversation_id.clone(),
        kind: it.kind.name(),
        digest: it.url.map(|url| sha256(url.as_bytes())),
        received_at: event.received_at,
    };
    named(event, body).into_iter().map(new).collect()
}

/// The recordings that an event names, by their places.
pub(crate) fn named(event: &Event, body: Option<&[u8]>) -> Vec<(u32, Recording)> {
    let all = canonical_event(event, body).and_then(|it| it.recordings).unwrap_or_default();
    (0..).zip(all).collect()
}

/// Has recordings fetched that are due. Never ends by itself.
pub(crate) async fn fetch_all(shared: Arc<Shared>) {
    let registry = shared.settings.store.registry();
    let mut changed = registry.recordings_changed();
    let mut fetches = JoinSet::new();
    loop {
        while let Some(ended) = fetches.try_join_next() {
            note(&shared, ended);
        }
        changed.borrow_and_update();
        let is_full = fetches.len() >= FETCHES_MAX;
        let pause = match begin(&shared, &mut fetches).await {
            Ok(Some(at)) if !is_full => at.ahead(shared.now()).clamp(LOOK_PAUSE, LOOK_INTERVAL),
            Ok(_) => LOOK_INTERVAL,
            Err(error) => {
                failed(&error, "recordings cannot be leased");
                LOOK_INTERVAL
            }
        };
        tokio::select! {
            Some(ended) = fetches.join_next() => note(&shared, ended),
            _ = changed.changed(), if !is_full => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn note(shared: &Shared, ended: Result<(), tokio::task::JoinError>) {
    if ended.is_err_and(|it| it.is_panic()) {
        // Its lease runs out, and it is tried again.
        shared.settings.metrics.panics.inc();
        tracing::error!("fetching a recording ended in a panic");
    }
}

/// Begins to fetch what is due, as far as there is room; says when the next is due.
async fn begin(
    shared: &Arc<Shared>,
    fetches: &mut JoinSet<()>,
) -> Result<Option<Timestamp>, RegistryError> {
    let registry = shared.settings.store.registry();
    let (now, next) = (shared.now(), registry.next_recording().await?);
    let free = u32::try_from(FETCHES_MAX.saturating_sub(fetches.len())).unwrap_or(0);
    if free == 0 || next.is_none_or(|it| it > now) {
        return Ok(next);
    }
    for leased in registry.lease_recordings(now, free, now.plus(LEASE)).await? {
        fetches.spawn(fetch::run(Arc::clone(shared), leased));
    }
    registry.next_recording().await
}
