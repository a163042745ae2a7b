//! The words of the record of tool calls.

use std::fmt;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use uuid::Uuid;

use crate::record::EventId;

/// The longest arguments of a call as they are kept, in bytes: what a model says is shorter.
pub const ARGUMENTS_BYTES_MAX: usize = 64 << 10;

/// The longest reply as it is kept, in bytes: an agent hears less.
pub const REPLY_BYTES_MAX: usize = 64 << 10;

/// The id of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolCallId(pub Uuid);

impl fmt::Display for ToolCallId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "call_{}", self.0.simple())
    }
}

impl ToolCallId {
    /// The id that `text` names, with or without its prefix.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text.strip_prefix("call_").unwrap_or(text)).ok().map(Self)
    }
}

/// How far a tool call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToolCallState {
    /// It is being carried out.
    Started,
    /// It did what it was to do.
    Succeeded,
    /// It was not to be done.
    Refused,
    /// It was tried, and for sure not done.
    Failed,
    /// Nobody knows whether it was done.
    Unknown,
}

impl ToolCallState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Started, Self::Succeeded, Self::Refused, Self::Failed, Self::Unknown];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A tool call that is about to be carried out.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToolCall {
    /// Its id, which nobody has.
    pub id: ToolCallId,
    /// The event that it came with.
    pub event: EventId,
    /// Its place in its request.
    pub position: u32,
    /// Whose it is.
    pub tenant: TenantId,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of the conversation.
    pub conversation: Option<String>,
    /// The provider's id of the agent.
    pub agent: Option<String>,
    /// The provider's id of the call.
    pub call_id: Option<String>,
    /// What was asked for.
    pub tool: String,
    /// With what: JSON, masked.
    pub arguments: String,
    /// What a write is known by; nothing: it writes nothing.
    pub effect: Option<[u8; 32]>,
    /// When.
    pub started_at: Timestamp,
}

/// A tool call as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// Its place among all, by which pages are cut.
    pub n: u64,
    /// Its id.
    pub id: ToolCallId,
    /// The event that it came with.
    pub event: EventId,
    /// Its place in its request.
    pub position: u32,
    /// Whose it is.
    pub tenant: String,
    /// The source that it came to.
    pub source: String,
    /// The provider.
    pub provider: String,
    /// The provider's id of the conversation.
    pub conversation: Option<String>,
    /// The provider's id of the agent.
    pub agent: Option<String>,
    /// The provider's id of the call.
    pub call_id: Option<String>,
    /// What was asked for.
    pub tool: String,
    /// With what: JSON, masked.
    pub arguments: String,
    /// What a write is known by; nothing: it writes nothing, or repeats what another did.
    pub effect: Option<[u8; 32]>,
    /// Which attempt at its effect it is, from 1 on; 0: it has none.
    pub generation: u32,
    /// How far it is.
    pub state: ToolCallState,
    /// The reply's word; empty while there is none.
    pub status: String,
    /// The reply: JSON.
    pub reply: Option<String>,
    /// The call that did already what this one asks for.
    pub repeats: Option<ToolCallId>,
    /// Whether it ended after the platform had its answer.
    pub late: bool,
    /// Where its time went.
    pub times: ToolTimes,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

/// Where the time of a tool call went, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolTimes {
    /// Until its event was stored.
    pub store_us: u64,
    /// Keeping the record of it, but for what passed while it was carried out.
    pub record_us: u64,
    /// Carrying it out.
    pub connector_us: u64,
    /// All of it.
    pub total_us: u64,
}

/// How a tool call begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It is to be carried out.
    Fresh {
        /// Which attempt at its effect it is; 0 for what writes nothing.
        generation: u32,
    },
    /// This one did the same, or may have, or is about to. The new one is kept as its
    /// repetition.
    Earlier(Box<ToolCall>),
}

/// How a tool call ended.
#[derive(Clone, PartialEq, Eq)]
pub struct FinishedToolCall {
    /// Which one.
    pub id: ToolCallId,
    /// How.
    pub state: ToolCallState,
    /// The reply's word.
    pub status: String,
    /// The reply: JSON.
    pub reply: String,
    /// Whether the platform had its answer already.
    pub late: bool,
    /// Where the time went.
    pub times: ToolTimes,
    /// When.
    pub finished_at: Timestamp,
}

/// Which tool calls a list shows. Everything that is given must hold.
#[derive(Clone, Debug, Default)]
pub struct ToolCallFilter {
    /// Of this tenant.
    pub tenant: Option<String>,
    /// Of this tool.
    pub tool: Option<String>,
    /// In this state.
    pub state: Option<ToolCallState>,
    /// Of this provider.
    pub provider: Option<String>,
    /// Of this source.
    pub source: Option<String>,
    /// Of this conversation.
    pub conversation: Option<String>,
    /// Begun at this moment or later.
    pub since: Option<Timestamp>,
    /// Begun before this moment.
    pub until: Option<Timestamp>,
}

impl fmt::Debug for NewToolCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("NewToolCall");
        out.field("id", &self.id).field("event", &self.event).field("tenant", &self.tenant);
        out.field("tool", &self.tool).finish_non_exhaustive()
    }
}

impl fmt::Debug for ToolCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("ToolCall");
        out.field("n", &self.n).field("id", &self.id).field("event", &self.event);
        out.field("tenant", &self.tenant).field("tool", &self.tool);
        out.field("generation", &self.generation).field("state", &self.state);
        out.field("repeats", &self.repeats).finish_non_exhaustive()
    }
}

impl fmt::Debug for FinishedToolCall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("FinishedToolCall");
        out.field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}
