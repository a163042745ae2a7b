//! Tool calls: what a platform may ask for, and what it is told.
//!
//! A platform's request is decoded into an [`Order`] of [`Call`]s (each provider's row has
//! the function), each call gets a [`Reply`], and the row's other function makes the
//! platform's answer of them. In between stands somebody who acts; nothing here does.

pub mod catalog;
pub mod masked;
pub mod schema;
pub mod settings;
pub mod template;
pub(crate) mod wire;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::event::Answer;

/// The tools that come with Hookgate.
pub use self::catalog::{Argument, Shape, Tool, named};

/// Calls of one request that are carried out. Vapi bundles the calls of one turn of a
/// model; nobody needs more in one breath.
pub const CALLS_MAX: usize = 16;

/// What a caller hears if nothing else can be said.
pub const NOT_NOW: &str = "I am sorry, I cannot do that right now.";

/// The answer to a call that nobody carries out, where one JSON object is wanted.
pub const NOT_AVAILABLE: Answer = Answer::fixed(
    r#"{"ok":false,"status":"not_available","message":"I am sorry, I cannot do that right now."}"#,
);

/// How a provider asks for tools and is answered.
#[derive(Debug)]
pub struct Calls {
    /// What a request asks for. Its body was read before, so that it is a JSON object
    /// without duplicate keys, or empty.
    pub decode: fn(&Asked<'_>) -> Order,
    /// The answer: one reply for each of [`Order::calls`], in order. A call without one is
    /// told [`NOT_NOW`].
    pub encode: fn(&Order, &[Reply]) -> Answer,
    /// A tool as the platform's own interface wants it, and the URL that
    /// [`schema::for_platform`] was given.
    pub define: fn(&schema::Definition, &str) -> Value,
    /// The name of the policy by which a request on the path of a tool proves its origin;
    /// nothing where it does so as an event does.
    pub policy: Option<&'static str>,
    /// The environment variable with the secret of such a request; without one the source's
    /// own secrets count.
    pub secret_variable: Option<&'static str>,
    /// How long the platform's caller may be kept waiting.
    pub patience: Duration,
}

/// A proven request that asks for tools.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The tool that its path names.
    pub tool: Option<&'a str>,
    /// The query of its URL, as sent.
    pub query: &'a str,
    /// Its body.
    pub body: &'a [u8],
}

/// What a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// How the platform wants to be answered.
    pub form: Form,
    /// The calls to carry out, in order; at most [`CALLS_MAX`].
    pub calls: Vec<Call>,
    /// Calls beyond that. Nobody carries them out, but each is told so, since a platform
    /// waits for an answer to each.
    pub beyond: Vec<Call>,
    /// Who speaks with whom.
    pub caller: Caller,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object for one call.
    Object,
    /// A list of results, found by the ids of their calls.
    Results,
    /// One result, as Vapi's older messages want it.
    Result,
}

/// One call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The platform's id of the call.
    pub id: Option<String>,
    /// The name as it was sent, with `_` for each `.`.
    pub tool: String,
    /// The arguments. A model filled them in: nothing in them is attested.
    pub arguments: Arguments,
}

/// The arguments of a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Arguments {
    /// By name.
    Read(Map<String, Value>),
    /// They are no JSON object.
    Unreadable,
}

/// What the platform attests about the call under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The agent or assistant that speaks.
    pub agent_id: Option<String>,
    /// The number of the person it speaks with, in the form the platform sent.
    pub number: Option<String>,
}

/// What came of a call: for an agent to say, and for a program to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Whether the call did what it was to do.
    pub ok: bool,
    /// One word for it.
    pub status: String,
    /// One sentence or two that an agent can say.
    pub message: String,
    /// What a program may want besides.
    pub data: Map<String, Value>,
}

impl Reply {
    /// A success.
    #[must_use]
    pub fn done(status: &str, message: impl Into<String>) -> Self {
        Self { ok: true, status: status.to_owned(), message: message.into(), data: Map::new() }
    }

    /// The refusal where nobody carries tools out: what [`NOT_AVAILABLE`] says.
    #[must_use]
    pub fn not_available() -> Self {
        Self::sorry("not_available", NOT_NOW)
    }

    /// A refusal or a failure, in words for the caller.
    #[must_use]
    pub fn sorry(status: &str, message: impl Into<String>) -> Self {
        Self { ok: false, ..Self::done(status, message) }
    }

    /// The same with something for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }

    /// `{"ok":…,"status":…,"message":…}` and the data beside.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object = Map::new();
        object.insert("ok".to_owned(), self.ok.into());
        object.insert("status".to_owned(), self.status.as_str().into());
        object.insert("message".to_owned(), self.message.as_str().into());
        for (name, value) in &self.data {
            object.entry(name.clone()).or_insert_with(|| value.clone());
        }
        Value::Object(object)
    }

    /// What [`Self::to_json`] made.
    #[must_use]
    pub fn from_json(value: Value) -> Option<Self> {
        let Value::Object(mut object) = value else { return None };
        let ok = object.remove("ok")?.as_bool()?;
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let status = text(object.remove("status"))?;
        let message = text(object.remove("message"))?;
        Some(Self { ok, status, message, data: object })
    }
}

impl std::fmt::Debug for Asked<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Asked")
            .field("tool", &self.tool)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A tool's name with `_` for each `.`: platforms allow no dots, people write them.
#[must_use]
pub fn canonical(name: &str) -> String {
    name.trim().replace('.', "_")
}
