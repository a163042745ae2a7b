//! What a tenant may have of the gateway, so that the flood of one does not fail another.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use hookgate_core::tenant::TenantId;
use hookgate_store::Quota;

/// Seconds of its rate that a tenant may use at once: providers send in bursts, as when
/// many calls end with the hour.
const BURST_SECONDS: f64 = 5.0;

/// The use that all tenants make of their quotas.
#[derive(Debug)]
pub(crate) struct Quotas {
    /// What a tenant may have that has no quota of its own. Nothing in it: as much as there
    /// is.
    default: Quota,
    /// As many as there are tenants.
    used: Mutex<HashMap<TenantId, Arc<Use>>>,
}

#[derive(Debug, Default)]
struct Use {
    in_flight: AtomicU32,
    buckets: Mutex<[Bucket; 2]>,
}

/// What is left of a rate: filled as time goes by, up to what may be used at once.
#[derive(Debug, Default)]
struct Bucket {
    used: f64,
    at: Option<Instant>,
}

/// A place among a tenant's requests. Dropped when the request is done.
#[derive(Debug)]
pub(crate) struct Place(Option<Arc<Use>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(used) = &self.0 {
            used.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Quotas {
    pub(crate) fn new(default: Quota) -> Self {
        Self { default, used: Mutex::default() }
    }

    /// Takes an event of so many bytes from the tenant's quota, if it has something left.
    pub(crate) fn take(&self, tenant: &TenantId, quota: &Quota, bytes: u64) -> Option<Place> {
        let events = quota.events_per_second.or(self.default.events_per_second);
        let volume = quota.bytes_per_second.or(self.default.bytes_per_second);
        let in_flight = quota.in_flight.or(self.default.in_flight);
        if events.is_none() && volume.is_none() && in_flight.is_none() {
            return Some(Place(None));
        }
        let used = {
            let mut all = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get(tenant) {
                Some(used) => Arc::clone(used),
                None => Arc::clone(all.entry(tenant.clone()).or_default()),
            }
        };
        let before = used.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = Place(Some(Arc::clone(&used)));
        if in_flight.is_some_and(|it| before >= it) {
            return None;
        }
        let mut buckets = used.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let [of_events, of_bytes] = &mut *buckets;
        let rate = |it: u64| f64::from(u32::try_from(it).unwrap_or(u32::MAX));
        let wanted =
            [(of_events, events.map(f64::from), 1.0), (of_bytes, volume.map(rate), rate(bytes))];
        let has_room = wanted
            .into_iter()
            .all(|(bucket, rate, amount)| rate.is_none_or(|rate| bucket.take(rate, amount, now)));
        has_room.then_some(place)
    }
}

impl Bucket {
    /// Takes an amount. One that is more than all that may be used at once is let through
    /// when nothing else was used, so that it is late and not lost.
    fn take(&mut self, rate: f64, amount: f64, now: Instant) -> bool {
        let passed = self.at.map_or(0.0, |at| now.saturating_duration_since(at).as_secs_f64());
        let used = (self.used - passed * rate).max(0.0);
        self.at = Some(now);
        let fits = used <= 0.0 || used + amount <= rate * BURST_SECONDS;
        self.used = if fits { used + amount } else { used };
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tenant(id: &str) -> TenantId {
        TenantId::parse(id).unwrap()
    }

    #[test]
    fn one_tenants_flood_leaves_the_others_share_alone() {
        let quotas = Quotas::new(Quota { events_per_second: Some(10), ..Quota::default() });
        let none = Quota::default();
        let (a, b) = (tenant("a"), tenant("b"));
        let taken = (0..1_000).filter(|_| quotas.take(&a, &none, 1).is_some()).count();
        assert!((50..60).contains(&taken), "{taken} of a burst of 50");
        assert!(quotas.take(&b, &none, 1).is_some());
    }

    #[test]
    fn a_quota_of_its_own_goes_before_the_default() {
        let quotas = Quotas::new(Quota { in_flight: Some(1), ..Quota::default() });
        let own = Quota { in_flight: Some(2), ..Quota::default() };
        let a = tenant("a");
        let places = [quotas.take(&a, &own, 1), quotas.take(&a, &own, 1)];
        assert!(places.iter().all(Option::is_some));
        assert!(quotas.take(&a, &own, 1).is_none());
        drop(places);
        assert!(quotas.take(&a, &Quota::default(), 1).is_some());
    }

    #[test]
    fn a_rate_fills_up_again_and_a_large_event_is_not_lost() {
        let (mut bucket, now) = (Bucket::default(), Instant::now());
        assert!(bucket.take(10.0, 1_000.0, now), "nothing was used before it");
        assert!(!bucket.take(10.0, 1.0, now));
        assert!(bucket.take(10.0, 1.0, now + Duration::from_secs(96)));
    }
}
