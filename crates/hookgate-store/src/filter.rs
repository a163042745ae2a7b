//! Which events or refused requests a list shows.

use hookgate_core::time::Timestamp;

use crate::record::Status;

/// Which events. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this source.
    pub source: Option<String>,
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this type, the provider's word.
    pub event_type: Option<String>,
    /// Of this kind, the canonical word.
    pub kind: Option<String>,
    /// Of this conversation.
    pub conversation: Option<String>,
    /// In this status.
    pub status: Option<Status>,
    /// Received at this moment or later.
    pub since: Option<Timestamp>,
    /// Received before this moment.
    pub until: Option<Timestamp>,
    /// With this text in the type, an id or the conversation's id.
    pub q: Option<String>,
}

/// Which refused requests.
#[derive(Clone, Debug, Default)]
pub struct RejectionFilter {
    /// Of this source.
    pub source: Option<String>,
    /// Received at this moment or later.
    pub since: Option<Timestamp>,
    /// Received before this moment.
    pub until: Option<Timestamp>,
    /// Those too that were accepted in the meantime.
    pub settled: bool,
}

/// In which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Newest first: what lists show.
    NewestFirst,
    /// Oldest first: what tails and exports read.
    OldestFirst,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// The order.
    pub order: Order,
    /// Start behind this `seq`, in that order.
    pub after: Option<u64>,
    /// At most so many.
    pub limit: usize,
}
