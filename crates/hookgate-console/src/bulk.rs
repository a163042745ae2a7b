//! Replaying and retrying many: how fast one caller may, so that what is live does not stand
//! behind a flood of what was.
//!
//! A batch is paid for afterwards: the next one of the same caller begins when as much time has
//! passed as the deliveries of the one before take at the rate. Batches of one caller come one
//! after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hookgate_core::tenant::{Scope, TenantId};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

/// Deliveries a second, unless set: less than a small machine delivers, so that the queue of
/// what is due stays short.
pub const BULK_PER_SECOND: u32 = 500;

/// The least that can be set: a batch is no larger than what waits are short for.
pub const BULK_PER_SECOND_MIN: u32 = 10;

/// Deliveries of a batch: they are made in one transaction.
const BATCH_MAX: u32 = 1_000;

/// How long the next batch waits at most: less than clients wait for an answer.
const WAIT_SECONDS_MAX: u32 = 10;

/// When the next batch of a caller may begin.
type Next = Arc<tokio::sync::Mutex<Instant>>;

/// Deliveries that one batch may have, so that the next waits for ten seconds at most.
pub(crate) fn batch(per_second: u32) -> u32 {
    per_second.max(1).saturating_mul(WAIT_SECONDS_MAX).min(BATCH_MAX)
}

/// Who has a turn. There is an entry for each tenant that ever had one.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<Option<TenantId>, Next>>);

/// A turn: nobody else of the same caller has one.
pub(crate) struct Turn {
    next: OwnedMutexGuard<Instant>,
    per_second: u32,
}

impl Turns {
    /// Waits for a turn.
    pub(crate) async fn take(&self, scope: &Scope, per_second: u32) -> Turn {
        let next = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let of_caller = turns.entry(scope.tenant().cloned());
            Arc::clone(of_caller.or_insert_with(|| Arc::new(Instant::now().into())))
        };
        let next = next.lock_owned().await;
        tokio::time::sleep_until(*next).await;
        Turn { next, per_second }
    }
}

impl Turn {
    /// Ends it, after so many deliveries.
    pub(crate) fn paid(mut self, deliveries: u64) {
        let micros = deliveries.saturating_mul(1_000_000) / u64::from(self.per_second.max(1));
        let (now, wait) = (Instant::now(), Duration::from_micros(micros));
        *self.next = now.checked_add(wait).unwrap_or(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_caller_waits_as_long_as_its_batch_takes_and_nobody_else_does() {
        let turns = Turns::default();
        let tenant = |id: &str| Scope::Tenant(TenantId::parse(id).unwrap());
        let began = Instant::now();
        turns.take(&Scope::Operator, 500).await.paid(1_000);
        turns.take(&tenant("ada"), 500).await.paid(100);
        assert_eq!(began.elapsed(), Duration::ZERO);
        turns.take(&tenant("bob"), 500).await.paid(0);
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(turns.take(&tenant("ada"), 500).await);
        assert_eq!(began.elapsed(), Duration::from_millis(200));
        turns.take(&Scope::Operator, 500).await.paid(5);
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
