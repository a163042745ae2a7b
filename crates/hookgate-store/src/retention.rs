//! Retention: what is older than its tenant or its source wants is erased, and segments of
//! which nothing is needed any more go.
//!
//! A day is over when it is over in UTC: what is to be kept for *n* days is erased between
//! *n* and *n* + 1 days after it came. So a tenant has one erasure a day.

use std::collections::BTreeMap;
use std::io;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use crate::dedupe::Known;
use crate::embedded::Embedded;
use crate::erasure::{Eraser, Stop};
use crate::error::{ReadError, Unavailable};
use crate::index::indexer::oldest_segment;
use crate::index::query::Found;
use crate::index::victims::{Whose, before_segment, oldest_needed};
use crate::index::{self, Dropped};
use crate::layout::EVENTS;
use crate::lock;
use crate::registry::later::DroppedKey;
use crate::registry::{ErasureTarget, Registry};

/// Milliseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1000;

/// Events whose rows go at once with their segment.
const DROPPED_AT_ONCE: u32 = 4_096;

/// After how many days what came to each source is erased.
pub(crate) type Retention = BTreeMap<String, u32>;

/// What need not be kept any longer when it was received before this.
fn cutoff(now: Timestamp, days: u32) -> Timestamp {
    let kept = i64::from(days).saturating_mul(DAY);
    let day = now.millis().saturating_sub(kept).div_euclid(DAY);
    Timestamp::from_millis(day.saturating_mul(DAY))
}

/// What is to be erased for its age: of each tenant and of each source. `has_victims` says
/// whether there are events; where nothing is to be erased of a source, `expire` takes what
/// of it was refused.
pub(crate) fn targets(
    registry: &Registry,
    (sources, now): (&Retention, Timestamp),
    has_victims: impl Fn(Whose<'_>, Timestamp) -> Result<bool, Stop>,
    expire: impl Fn(&str, Timestamp) -> Result<(), Stop>,
) -> Result<Vec<ErasureTarget>, Stop> {
    let mut targets = Vec::new();
    for (tenant, days) in tenants(registry) {
        let at = cutoff(now, days);
        let has_victims = has_victims(Whose::Tenant(tenant.as_str()), at)?;
        let target = ErasureTarget::Before { at, tenant: Some(tenant), source: None };
        if has_victims || has_rows(registry, &target)? {
            targets.push(target);
        }
    }
    for (source, days) in sources {
        let at = cutoff(now, *days);
        let target = ErasureTarget::Before { at, tenant: None, source: Some(source.clone()) };
        if has_victims(Whose::Source(source), at)? || has_rows(registry, &target)? {
            targets.push(target);
        } else {
            expire(source, at)?;
        }
    }
    Ok(targets)
}

/// Whether a tool call, a delivery or a recording is too old: one that began just after
/// midnight is so a day after its event.
fn has_rows(registry: &Registry, target: &ErasureTarget) -> Result<bool, Stop> {
    let has = registry.has_tool_calls(target).map_err(Stop::Registry)?;
    let has = has || registry.has_deliveries(target).map_err(Stop::Registry)?;
    Ok(has || registry.has_recordings(target).map_err(Stop::Registry)?)
}

/// Tenants whose events are not kept for ever.
fn tenants(registry: &Registry) -> Vec<(TenantId, u32)> {
    let memory = registry.shared().memory();
    let tenants = memory.tenants.values().filter(|it| !it.erasing);
    tenants.filter_map(|it| Some((it.id.clone(), it.retention_days?))).collect()
}

/// Why a sweep was not made, for who asked for it.
pub(crate) fn unswept(error: Stop) -> Unavailable {
    match error {
        Stop::Closing => Unavailable::Closing,
        Stop::Index(error) => error,
        Stop::Elsewhere | Stop::Read(ReadError::Behind) => Unavailable::Behind,
        error => {
            tracing::error!(error = %error, "what is too old could not be erased");
            Unavailable::Failed
        }
    }
}

impl Eraser {
    /// Erases what is too old; gives how many events that were.
    pub(crate) fn sweep(&self, sources: &Retention, now: Timestamp) -> Result<u64, Stop> {
        // What has its place is in the index.
        self.change(|_| Ok(()))?;
        let targets = targets(
            &self.registry,
            (sources, now),
            |whose, at| self.has_victims(whose, at),
            // The ring of refused requests has no index.
            |source, at| self.rejections.expire(source, at).map_err(Stop::Io),
        )?;
        let _turn = lock(&self.turn);
        let mut erasures = Vec::with_capacity(targets.len());
        for target in targets {
            let erasure = self.registry.add_erasure_now(&target, now).map_err(Stop::Registry)?;
            erasures.push(erasure.into_inner());
        }
        let events = self.finish(&erasures)?;
        if !sources.is_empty() || !tenants(&self.registry).is_empty() {
            self.drop_segments()?;
        }
        Ok(events)
    }

    /// Drops the segments at the front of the log of which nothing is needed. The keys of
    /// their events are kept: what comes again is still recognised.
    fn drop_segments(&self) -> Result<(), Stop> {
        let needed = self.read(|connection| {
            let progress = index::progress_of(connection)?;
            // The index follows the journal from there.
            let followed = progress.first().and_then(|it| it.position).map(|it| it.segment);
            let needed = oldest_needed(connection)?;
            Ok(needed.into_iter().chain(followed).min())
        })?;
        let Some(needed) = needed else { return Ok(()) };
        let journal = self.door.journal();
        if needed <= oldest_segment(journal, EVENTS) {
            return Ok(());
        }
        loop {
            let batch =
                self.read(|connection| before_segment(connection, needed, DROPPED_AT_ONCE))?;
            if batch.is_empty() {
                break;
            }
            let keys: Result<Vec<_>, Stop> =
                batch.iter().filter_map(|it| self.dropped_key(it).transpose()).collect();
            self.registry.keep_keys(&keys?).map_err(Stop::Registry)?;
            self.change(move |index| index.drop_events(&batch))?;
        }
        let dropped = journal.drop_before(EVENTS, needed).map_err(|error| match error {
            hookgate_journal::ReadError::Io { source, .. } => Stop::Io(source),
            other => Stop::Io(io::Error::other(other)),
        })?;
        tracing::info!(segments = dropped, "segments of which everything was erased are gone");
        Ok(())
    }

    fn dropped_key(&self, dropped: &Dropped) -> Result<Option<DroppedKey>, Stop> {
        let Some(key) = dropped.key else { return Ok(None) };
        let found = Found {
            seq: dropped.seq,
            id: dropped.id,
            log: EVENTS,
            position: dropped.position,
            is_quarantined: false,
            tenant: None,
        };
        let digest = match self.library.digest(&found) {
            Ok(digest) => digest.and_then(|it| it.first_chunk().copied()),
            // Without one nothing is the same: whatever comes is kept.
            Err(ReadError::Damaged) => None,
            Err(error) => return Err(Stop::Read(error)),
        };
        let known = Known { seq: dropped.seq, id: Uuid::from_bytes(dropped.id), digest };
        Ok(Some(DroppedKey { key, known }))
    }
}

impl Embedded {
    /// Says after how many days what came to each source is erased. A source that is not
    /// named keeps everything.
    pub(crate) fn set_retention(&self, sources: impl IntoIterator<Item = (String, u32)>) {
        self.inner().keeper.set_retention(sources.into_iter().collect());
    }

    /// Erases what is too old at `now`, and gives how many events that were. This is done
    /// at every start and every hour, too.
    ///
    /// # Errors
    ///
    /// [`Unavailable`]: what is left is erased another time.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<u64, Unavailable> {
        let inner = std::sync::Arc::clone(self.inner());
        let sweeping = tokio::task::spawn_blocking(move || inner.keeper.sweep(now));
        let swept = sweeping.await.unwrap_or(Err(Stop::Closing));
        swept.map_err(unswept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_days_is_kept_for_whole_days() {
        let noon = 20_000 * DAY + DAY / 2;
        let cut = |days| cutoff(Timestamp::from_millis(noon), days).millis();
        assert_eq!((cut(0), cut(1), cut(30)), (20_000 * DAY, 19_999 * DAY, 19_970 * DAY));
        assert_eq!(cutoff(Timestamp::from_millis(-1), 0).millis(), -DAY);
    }
}
