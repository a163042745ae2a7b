//! The proof that an event is durable.

use crate::record::EventId;

/// An event is on disk. Only the store makes receipts, and only for what it has synced;
/// the front door cannot answer with a success without one.
#[derive(Clone, Copy, Debug)]
pub struct Receipt {
    id: EventId,
    seq: u64,
    duplicate: bool,
}

impl Receipt {
    pub(crate) fn new(id: EventId, seq: u64, duplicate: bool) -> Self {
        Self { id, seq, duplicate }
    }

    /// The event; for a repetition, the event that it repeats.
    #[must_use]
    pub fn id(&self) -> EventId {
        self.id
    }

    /// Its place in the order of all events.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether the request repeats an event that was stored before.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.duplicate
    }
}
