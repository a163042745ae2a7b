//! The words of recordings.

use std::fmt;

use hookgate_core::sound::Sound;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use crate::record::EventId;

/// The id of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId(pub Uuid);

impl fmt::Display for RecordingId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "rec_{}", self.0.simple())
    }
}

impl RecordingId {
    /// The id that `text` names, with or without its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.strip_prefix("rec_").unwrap_or(text)).ok().map(Self)
    }
}

/// How far a recording is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordingState {
    /// It is to be fetched, for the first time or again.
    Pending,
    /// It is here.
    Fetched,
    /// It was given up.
    Failed,
}

impl RecordingState {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Fetched, Self::Failed];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fetched => "fetched",
            Self::Failed => "failed",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A recording that an event names.
#[derive(Clone, PartialEq, Eq)]
pub struct NewRecording {
    /// The event.
    pub event: EventId,
    /// The event's place in the journal.
    pub seq: u64,
    /// Its place among the recordings of its event.
    pub place: u32,
    /// Whose the event is.
    pub tenant: Option<TenantId>,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of its conversation.
    pub conversation: Option<String>,
    /// What is to be heard, in the canonical event's word.
    pub kind: &'static str,
    /// The SHA-256 of the link, which may open it for everybody; nothing for one that stands
    /// in the body.
    pub digest: Option<[u8; 32]>,
    /// When the event was received.
    pub received_at: Timestamp,
}

/// A recording as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Recording {
    /// Its place among all, by which pages are cut.
    pub n: u64,
    /// Its id.
    pub id: RecordingId,
    /// The event that named it first.
    pub event: EventId,
    /// Whose it is.
    pub tenant: Option<TenantId>,
    /// The source that its event came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of its conversation.
    pub conversation: Option<String>,
    /// What is to be heard.
    pub kind: String,
    /// How far it is.
    pub state: RecordingState,
    /// Why the latest attempt failed.
    pub reason: Option<String>,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it is tried next.
    pub due: Option<Timestamp>,
    /// Its length in bytes, if it is here.
    pub size: Option<u64>,
    /// Its SHA-256, if it is here.
    pub sha256: Option<[u8; 32]>,
    /// Its format, if it is here.
    pub sound: Option<Sound>,
    /// When its event was received.
    pub received_at: Timestamp,
    /// When it was fetched or given up.
    pub finished_at: Option<Timestamp>,
}

/// A recording that is to be fetched now, by whoever has its token.
#[derive(Clone, PartialEq, Eq)]
pub struct LeasedRecording {
    /// Its id.
    pub id: RecordingId,
    /// What settles it.
    pub token: i64,
    /// The event that names it.
    pub event: EventId,
    /// Its place among the recordings of its event.
    pub place: u32,
    /// The SHA-256 of the link; nothing for one that stands in the body.
    pub digest: Option<[u8; 32]>,
    /// Attempts that failed before.
    pub attempts: u32,
}

/// How an attempt ended that gave no recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfetched {
    /// It failed; it is tried again then, or given up.
    Failed {
        /// A sentence that a person understands.
        reason: &'static str,
        /// When it is tried again.
        again: Option<Timestamp>,
    },
    /// Something stood in the way here. It does not count as an attempt.
    Postponed {
        /// When it is tried again.
        until: Timestamp,
    },
    /// Its event is not there any more, or not to be acted on.
    Gone,
}

/// Which recordings a list shows. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct RecordingFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this event.
    pub event: Option<EventId>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Of the conversation with this id at its provider.
    pub conversation: Option<String>,
    /// That are so far.
    pub state: Option<RecordingState>,
}

/// How many recordings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordingCounts {
    /// That are to be fetched.
    pub pending: u64,
    /// That were given up.
    pub failed: u64,
}

impl fmt::Debug for NewRecording {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("NewRecording");
        out.field("event", &self.event).field("place", &self.place).finish_non_exhaustive()
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("Recording");
        out.field("n", &self.n).field("id", &self.id).field("event", &self.event);
        out.field("state", &self.state).field("attempts", &self.attempts);
        out.field("due", &self.due).field("size", &self.size).finish_non_exhaustive()
    }
}

impl fmt::Debug for LeasedRecording {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("LeasedRecording");
        out.field("id", &self.id).field("event", &self.event).field("place", &self.place);
        out.field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
