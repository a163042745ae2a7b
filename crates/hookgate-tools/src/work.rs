//! What a connector is given, and what it gives back.

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_core::tool::settings::Settings;
use hookgate_core::tool::{Call, Caller, Reply};
use hookgate_store::ToolCallState;
use serde_json::{Map, Value};

use crate::budget::Budget;

/// One call to carry out. Everything in it was proven, attributed and allowed, but for the
/// arguments: those a model wrote.
#[derive(Clone, Copy)]
pub(crate) struct Work<'a> {
    /// Whose it is.
    pub(crate) tenant: &'a TenantId,
    /// The platform that calls.
    pub(crate) provider: &'static str,
    /// The platform's id of the conversation.
    pub(crate) conversation: Option<&'a str>,
    /// The call.
    pub(crate) call: &'a Call,
    /// Its arguments.
    pub(crate) arguments: &'a Map<String, Value>,
    /// Who speaks with whom, as the platform attests.
    pub(crate) caller: &'a Caller,
    /// What the tenant lets its agents do.
    pub(crate) settings: &'a Settings,
    /// The time there is.
    pub(crate) budget: &'a Budget,
    /// What time it was when the call came.
    pub(crate) now: Timestamp,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// It is done.
    Done(Reply),
    /// It was turned down for a reason that the caller can understand. Nothing was changed.
    Refused(Reply),
    /// It failed, and certainly nothing was changed.
    Failed(Reply),
    /// It failed, and nobody knows whether something was changed.
    Unknown(Reply),
}

impl End {
    /// What is answered.
    pub(crate) fn reply(&self) -> &Reply {
        match self {
            Self::Done(reply)
            | Self::Refused(reply)
            | Self::Failed(reply)
            | Self::Unknown(reply) => reply,
        }
    }

    /// How it is recorded.
    pub(crate) fn state(&self) -> ToolCallState {
        match self {
            Self::Done(_) => ToolCallState::Succeeded,
            Self::Refused(_) => ToolCallState::Refused,
            Self::Failed(_) => ToolCallState::Failed,
            Self::Unknown(_) => ToolCallState::Unknown,
        }
    }
}
