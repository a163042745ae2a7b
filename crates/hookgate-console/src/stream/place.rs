//! Places in the order of all events: what a client goes on from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hookgate_core::tenant::Scope;
use hookgate_core::time::Timestamp;
use hookgate_store::{EventFilter, EventId, Order, Page, Store};
use uuid::Uuid;

use crate::Shared;
use crate::problem::Problem;
use crate::query::bad;

/// Marks a cursor of the stream, as a letter marks those of each list.
const TAG: [u8; 2] = *b"fa";

/// So much of the store's id stands in a cursor, in bytes: it is told from a place of
/// another store, where the same number is another event.
const STORE_BYTES: usize = 4;

/// How the ids of events begin.
const EVENT: &str = "evt_";

/// What is said of a place that leads nowhere.
const WANTED: &str = "`now`, `start`, an `id` that this store's stream gave, the id of an event, or a time such as \
     2026-11-22T08:00:00Z";

/// Where a stream begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// With what comes next.
    Now,
    /// With the oldest event.
    Start,
    /// Behind this number of the store whose id begins so.
    After { store: [u8; STORE_BYTES], seq: u64 },
    /// Behind this event.
    Behind(EventId),
    /// With what was received then or later.
    From(Timestamp),
}

impl Place {
    /// Reads the value of the parameter or header `name`.
    pub(super) fn read(name: &'static str, text: &str) -> Result<Self, Problem> {
        let time = || Timestamp::parse(&text.replace(' ', "+")).map(Self::From);
        let place = match text {
            "now" => Some(Self::Now),
            "start" => Some(Self::Start),
            _ if text.starts_with(EVENT) => EventId::parse(text).map(Self::Behind),
            _ => parse(text).or_else(time),
        };
        place.ok_or_else(|| bad(name, WANTED))
    }

    /// The number behind which the stream begins.
    pub(super) async fn find(self, shared: &Shared, scope: &Scope) -> Result<u64, Problem> {
        let store = &shared.console.store;
        // While the database is away no stream begins, and no place is judged.
        let newest = newest(store).await?;
        match self {
            Self::Now => Ok(newest),
            Self::Start => Ok(0),
            Self::After { store: id, seq } => {
                let next = store.snapshot().next_seq;
                let is_here = id == begin(store.id()) && (seq <= newest || seq < next);
                if is_here { Ok(seq) } else { Err(bad("since", WANTED)) }
            }
            Self::Behind(id) => {
                let event = store.event(scope, id).await.map_err(Problem::reading)?;
                event.map(|it| it.seq).ok_or_else(|| bad("since", WANTED))
            }
            Self::From(at) => {
                let filter = EventFilter { since: Some(at), ..EventFilter::default() };
                let page = Page { order: Order::OldestFirst, after: None, limit: 1 };
                let found = store.events(scope, filter, page).await.map_err(Problem::reading)?;
                Ok(found.first().map_or(newest, |it| it.seq.saturating_sub(1)))
            }
        }
    }
}

/// The place of the newest event: one that the journal will not give to another.
pub(super) async fn newest(store: &Store) -> Result<u64, Problem> {
    let page = Page { order: Order::NewestFirst, after: None, limit: 1 };
    let found = store.events(&Scope::Operator, EventFilter::default(), page).await;
    Ok(found.map_err(Problem::reading)?.first().map_or(0, |it| it.seq))
}

/// The place behind `seq` as a client gets it.
pub(super) fn print(store: Uuid, seq: u64) -> String {
    let seq = seq.to_be_bytes();
    URL_SAFE_NO_PAD.encode([&TAG[..], &begin(store), &seq].concat())
}

fn parse(text: &str) -> Option<Place> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (store, seq) = bytes.strip_prefix(&TAG)?.split_first_chunk::<STORE_BYTES>()?;
    Some(Place::After { store: *store, seq: u64::from_be_bytes(seq.try_into().ok()?) })
}

fn begin(store: Uuid) -> [u8; STORE_BYTES] {
    store.into_bytes().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_printed_and_nothing_else_is() {
        let store = Uuid::from_u128(0x0102_0304 << 96);
        let text = print(store, 7);
        let read = Place::read("since", &text).unwrap();
        let Place::After { store, seq } = read else { panic!("{read:?}") };
        assert_eq!((store, seq), ([1, 2, 3, 4], 7));
        for bad in ["", "x", "NOW", "evt_", "evt_x", "ZWE", &text[1..], &format!("{text}AA")] {
            assert!(Place::read("since", bad).is_err(), "{bad:?}");
        }
    }
}
