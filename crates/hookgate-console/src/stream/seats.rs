//! How many streams there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hookgate_core::tenant::{Scope, TenantId};

/// How many streams there may be in all: each reads the store some times a second while
/// events come, and holds about a megabyte while its reader is slow.
const STREAMS_MAX: usize = 64;

/// How many of them one reader may have (the operator, or a tenant with all of its keys):
/// a dashboard and some developers, and room for those that broke off unnoticed.
const STREAMS_OF_ONE_MAX: usize = 24;

/// The open streams, by whose they are; nobody's are the operator's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seats(Arc<Mutex<HashMap<Option<TenantId>, usize>>>);

/// One open stream in the count.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Seats,
    of: Option<TenantId>,
}

impl Seats {
    /// A seat, if there is one left.
    pub(crate) fn take(&self, scope: &Scope) -> Option<Seat> {
        let of = scope.tenant().cloned();
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let own = taken.entry(of.clone()).or_default();
        if all >= STREAMS_MAX || *own >= STREAMS_OF_ONE_MAX {
            return None;
        }
        *own = own.saturating_add(1);
        Some(Seat { seats: self.clone(), of })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.of) {
            *own = own.saturating_sub(1);
        }
        taken.retain(|_, own| *own > 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_has_a_bound_and_all_together_have_one() {
        let seats = Seats::default();
        let tenant = |name: &str| Scope::Tenant(TenantId::parse(name).unwrap());
        let take =
            |scope: &Scope| -> Vec<Seat> { std::iter::from_fn(|| seats.take(scope)).collect() };
        let of_operator = take(&Scope::Operator);
        let of_a = take(&tenant("a"));
        assert_eq!((of_operator.len(), of_a.len()), (STREAMS_OF_ONE_MAX, STREAMS_OF_ONE_MAX));
        let of_b = take(&tenant("b"));
        assert_eq!(of_b.len(), STREAMS_MAX - 2 * STREAMS_OF_ONE_MAX);
        assert!(seats.take(&tenant("c")).is_none());
        drop(of_a);
        assert!(seats.take(&tenant("c")).is_some() && seats.take(&tenant("a")).is_some());
        drop((of_operator, of_b));
        assert!(seats.0.lock().unwrap().is_empty(), "nothing is kept of who left");
    }
}
