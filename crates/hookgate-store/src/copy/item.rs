//! What is copied of a log: events and their repetitions, with what is true of them now.

use uuid::Uuid;

/// What stands at a place.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) seq: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Event(Box<Stored>),
    Again(Again),
}

/// An event.
#[derive(Debug)]
pub(super) struct Stored {
    /// It is in the ring of requests without proof.
    pub(super) is_unproven: bool,
    pub(super) id: Uuid,
    pub(super) sha256: [u8; 32],
    pub(super) size: u64,
    /// Exactly as it is stored.
    pub(super) head: Vec<u8>,
    pub(super) body: Kept,
    pub(super) now: Now,
}

/// Where the body of an event is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Here.
    Whole(Vec<u8>),
    /// With the large bodies.
    Large([u8; 16]),
    Erased,
    /// Nobody asked for it.
    Unread,
}

/// What is true of an event now.
#[derive(Debug, Default)]
pub(super) struct Now {
    pub(super) status: i16,
    pub(super) verdict: i16,
    pub(super) tenant: Option<String>,
    /// How often it came again.
    pub(super) duplicates: i64,
    /// Repetitions that are counted and have no place of their own any more.
    pub(super) uncounted: i64,
    /// What was decided last: kind, tenant, when, by whom.
    pub(super) decided: Option<(String, Option<String>, i64, String)>,
}

/// An event came again with the same bytes.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) id: Uuid,
    pub(super) of: u64,
    pub(super) at: i64,
    pub(super) correlation_id: String,
    /// The id of the event.
    pub(super) original: Uuid,
}

impl Item {
    /// About how many bytes it has in memory.
    pub(super) fn bytes(&self) -> usize {
        match &self.what {
            What::Event(event) => {
                let body = if let Kept::Whole(bytes) = &event.body { bytes.len() } else { 0 };
                event.head.len().saturating_add(body)
            }
            What::Again(_) => 100,
        }
    }
}
