//! When a secret store is asked, and what is said while it is away.
//!
//! - A value is fresh for minutes, an absent one for seconds: somebody is waiting for it to
//!   be there.
//! - When the store fails, what it said last stands in, up to a bounded age, and the failure
//!   is remembered for some seconds: nobody waits for a dead store twice.
//! - Those who want the same at once are one request; it is made by the first of them, and
//!   by the next if that one gives up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hookgate_core::tenant::TenantId;

use crate::backend::Clock;
use crate::error::SecretsError;
use crate::value::SecretValue;

/// What is remembered, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long a value is fresh.
    pub(crate) fresh: Duration,
    /// How long "there is none" is.
    pub(crate) absent: Duration,
    /// How old what stands in for a failing store may be.
    pub(crate) stale_max: Duration,
    /// How long a failing store is not asked again for the same.
    pub(crate) failed: Duration,
}

/// Whose value, under which name in the store. The tenant is part of it: that a name is
/// theirs alone is checked when the store is asked, not when a value is remembered.
type Key = (TenantId, String);

/// Values and failures of one store.
pub(crate) struct Cache {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    slots_max: usize,
    times: Times,
    clock: Clock,
}

struct Slot {
    state: Mutex<State>,
    /// Held by who asks the store.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct State {
    said: Option<(Option<SecretValue>, Instant)>,
    failed: Option<(SecretsError, Instant)>,
    used: Instant,
}

/// What is known without asking.
enum Known {
    /// This.
    Answer(Result<Option<SecretValue>, SecretsError>),
    /// Nothing that may be used.
    Nothing,
}

impl Cache {
    pub(crate) fn new(slots_max: usize, times: Times, clock: Clock) -> Self {
        Self { slots: Mutex::new(HashMap::new()), slots_max, times, clock }
    }

    /// The value under `key`: from memory while it is fresh, else as `ask` says.
    ///
    /// # Errors
    ///
    /// That of `ask`, if nothing may stand in for it.
    pub(crate) async fn get(
        &self,
        key: Key,
        ask: impl AsyncFnOnce() -> Result<Option<SecretValue>, SecretsError>,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let slot = self.slot(&key);
        if let Known::Answer(answer) = self.known(&slot) {
            return answer;
        }
        let asking = if let Ok(asking) = slot.asking.try_lock() {
            asking
        } else {
            // One who waits for a failing store is enough.
            if let Known::Answer(stand_in) = self.while_failing(&slot) {
                return stand_in;
            }
            slot.asking.lock().await
        };
        // Somebody else may have asked before us.
        if let Known::Answer(answer) = self.known(&slot) {
            return answer;
        }
        let said = ask().await;
        let answer = self.note(&slot, said, &key);
        drop(asking);
        answer
    }

    /// Forgets all of a tenant.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        lock(&self.slots).retain(|(of, _), _| of != tenant);
    }

    fn slot(&self, key: &Key) -> Arc<Slot> {
        let now = (self.clock)();
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(key) {
            lock(&slot.state).used = now;
            return Arc::clone(slot);
        }
        if slots.len() >= self.slots_max {
            self.make_room(&mut slots, now);
        }
        let state = State { said: None, failed: None, used: now };
        let slot = Arc::new(Slot { state: Mutex::new(state), asking: tokio::sync::Mutex::new(()) });
        slots.insert(key.clone(), Arc::clone(&slot));
        slot
    }

    /// Forgets what nothing can use any more; if that is nothing, what was not used for the
    /// longest time.
    fn make_room(&self, slots: &mut HashMap<Key, Arc<Slot>>, now: Instant) {
        slots.retain(|_, slot| {
            let state = lock(&slot.state);
            state.said.as_ref().is_some_and(|(_, at)| age(*at, now) < self.times.stale_max)
        });
        if slots.len() < self.slots_max {
            return;
        }
        let oldest = slots.iter().min_by_key(|(_, slot)| lock(&slot.state).used);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            slots.remove(&key);
        }
    }

    fn known(&self, slot: &Slot) -> Known {
        let now = (self.clock)();
        let state = lock(&slot.state).clone();
        if let Some((said, at)) = &state.said {
            let fresh = if said.is_some() { self.times.fresh } else { self.times.absent };
            if age(*at, now) < fresh {
                return Known::Answer(Ok(said.clone()));
            }
        }
        match &state.failed {
            Some((error, at)) if age(*at, now) < self.times.failed => {
                match self.stand_in(&state, now) {
                    Known::Nothing => Known::Answer(Err(error.clone())),
                    stand_in @ Known::Answer(_) => stand_in,
                }
            }
            _ => Known::Nothing,
        }
    }

    /// What stands in while a store that failed is asked again.
    fn while_failing(&self, slot: &Slot) -> Known {
        let state = lock(&slot.state);
        if state.failed.is_some() { self.stand_in(&state, (self.clock)()) } else { Known::Nothing }
    }

    /// What was said last, if it may still be used.
    fn stand_in(&self, state: &State, now: Instant) -> Known {
        match &state.said {
            Some((said, at)) if age(*at, now) < self.times.stale_max => {
                Known::Answer(Ok(said.clone()))
            }
            _ => Known::Nothing,
        }
    }

    fn note(
        &self,
        slot: &Slot,
        said: Result<Option<SecretValue>, SecretsError>,
        (tenant, name): &Key,
    ) -> Result<Option<SecretValue>, SecretsError> {
        let now = (self.clock)();
        let mut state = lock(&slot.state);
        let error = match said {
            Ok(said) => {
                state.said = Some((said.clone(), now));
                state.failed = None;
                return Ok(said);
            }
            Err(error) => error,
        };
        if !error.is_passing() {
            state.said = None;
            return Err(error);
        }
        state.failed = Some((error.clone(), now));
        let Known::Answer(stand_in) = self.stand_in(&state, now) else { return Err(error) };
        let age = state.said.as_ref().map_or(0, |(_, at)| age(*at, now).as_secs());
        tracing::warn!(
            tenant.id = %tenant,
            secret.name = %name,
            error = chain(&error),
            age_seconds = age,
            "a secret store gave no answer: what it said before stands in"
        );
        stand_in
    }
}

fn age(at: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(at)
}

/// An error and all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Locks, also after a panic elsewhere: what is locked here is whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
