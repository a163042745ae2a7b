//! What is read out of a proven request, and what it decides.

use serde::{Deserialize, Serialize};

use crate::tenant::TenantId;

/// What a provider's body says, read once by [`crate::attribution::read`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The provider's word for what happened.
    pub event_type: String,
    /// The canonical word for it.
    pub kind: Kind,
    /// The provider's id of this event, where it has one.
    pub external_id: Option<String>,
    /// The provider's id of the call, chat, thread or ticket.
    pub conversation_id: Option<String>,
    /// Whether its type belongs to a call, so that one must be named (Vapi).
    pub bears_call: bool,
    /// What makes a repetition of this event recognisable; nothing means: the same bytes.
    pub dedupe: Option<String>,
    /// The ids that the provider attests.
    pub claims: Vec<Claim>,
    /// What the provider is told once the event is durable, unless it asks for more.
    pub answer: Answer,
    /// What it is told instead of a tool call that belongs to nobody, where the provider
    /// takes nothing but a success.
    pub refusal: Option<Answer>,
    /// What it wants besides being stored.
    pub asks: Asks,
}

/// What an event wants besides being stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// Nothing: [`Facts::answer`] is its answer.
    Nothing,
    /// That tools are called.
    Tools,
    /// To be told how to go on, by what its tenant wrote for its type; `Facts::answer` where
    /// nothing was written.
    Guidance,
}

/// The canonical kinds of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A call began.
    CallStarted,
    /// A call is over.
    CallEnded,
    /// A call's analysis is there.
    CallAnalyzed,
    /// A call did not come about.
    CallFailed,
    /// A message came in.
    MessageReceived,
    /// A message went out.
    MessageSent,
    /// A chat began.
    ChatStarted,
    /// A chat is over.
    ChatEnded,
    /// A transcript is there.
    TranscriptReady,
    /// A recording is there.
    RecordingReady,
    /// A ticket was made.
    TicketCreated,
    /// A report is there.
    ReportReady,
    /// A tool was called.
    ToolCalled,
    /// Anything else.
    Other,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::CallStarted,
        Self::CallEnded,
        Self::CallAnalyzed,
        Self::CallFailed,
        Self::MessageReceived,
        Self::MessageSent,
        Self::ChatStarted,
        Self::ChatEnded,
        Self::TranscriptReady,
        Self::RecordingReady,
        Self::TicketCreated,
        Self::ReportReady,
        Self::ToolCalled,
        Self::Other,
    ];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CallStarted => "call.started",
            Self::CallEnded => "call.ended",
            Self::CallAnalyzed => "call.analyzed",
            Self::CallFailed => "call.failed",
            Self::MessageReceived => "message.received",
            Self::MessageSent => "message.sent",
            Self::ChatStarted => "chat.started",
            Self::ChatEnded => "chat.ended",
            Self::TranscriptReady => "transcript.ready",
            Self::RecordingReady => "recording.ready",
            Self::TicketCreated => "ticket.created",
            Self::ReportReady => "report.ready",
            Self::ToolCalled => "tool.called",
            Self::Other => "other",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// An id that the provider attests in a proven request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// What the id names.
    pub kind: ClaimKind,
    /// The id; nothing if something else than a text or whole number stands in its
    /// place. An account key is a credential: of it only a digest is kept.
    pub external_id: Option<String>,
    /// Whose the id is, by the bindings at the time. Attribution fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
}

impl Claim {
    /// A claim that nobody has looked up yet.
    #[must_use]
    pub const fn new(kind: ClaimKind, external_id: Option<String>) -> Self {
        Self { kind, external_id, tenant: None }
    }
}

/// What a claimed id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// An agent, or Vapi's assistant.
    Agent,
    /// One of our phone numbers.
    PhoneNumber,
    /// An integration.
    Integration,
    /// An account at the provider.
    Account,
    /// A Tawk.to property.
    Property,
    /// A call, chat, thread or ticket.
    Conversation,
    /// A tenant by its own id (MightyCall's `org_id`).
    Organization,
}

impl ClaimKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Agent,
        Self::PhoneNumber,
        Self::Integration,
        Self::Account,
        Self::Property,
        Self::Conversation,
        Self::Organization,
    ];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::PhoneNumber => "phone_number",
            Self::Integration => "integration",
            Self::Account => "account",
            Self::Property => "property",
            Self::Conversation => "conversation",
            Self::Organization => "organization",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A body for the provider. Only the front door can send it, and only with the receipt
/// of a stored event in hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, almost always 200.
    pub status: u16,
    /// JSON.
    pub body: std::borrow::Cow<'static, str>,
}

impl Answer {
    /// What most providers are told.
    pub const OK: Self =
        Self { status: 200, body: std::borrow::Cow::Borrowed(r#"{"status":"ok"}"#) };

    /// 200 with this JSON.
    #[must_use]
    pub fn json(value: &serde_json::Value) -> Self {
        Self { status: 200, body: value.to_string().into() }
    }

    /// 200 with this JSON, known beforehand.
    #[must_use]
    pub const fn fixed(body: &'static str) -> Self {
        Self { status: 200, body: std::borrow::Cow::Borrowed(body) }
    }
}
