//! ElevenLabs' server tools: what is asked for, and how it is answered.
//!
//! Sources: elevenlabs py 2.78.0 `webhook_tool_api_schema_config_input.py`;
//! elevenlabs.io/docs/eleven-agents, server tools and dynamic variables (read November
//! 2026). There is no envelope: the operator writes the URL, its query and the body, and
//! has the platform fill in `system__caller_id` and its like. Requests are not signed, so a
//! secret in a header proves them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::event::Answer;
use crate::tool::schema::{Definition, is_of_source};
use crate::tool::wire::{members, parameters, word};
use crate::tool::{Arguments, Asked, Call, Caller, Calls, Form, Order, Reply, canonical};

/// ElevenLabs waits for 20 s unless set otherwise, but a caller hears silence meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);

/// The row's part for tools.
pub(super) const CALLS: Calls = Calls {
    decode,
    encode,
    define,
    policy: Some("tool.secret"),
    secret_variable: Some("ELEVENLABS_TOOL_SECRET"),
    patience: PATIENCE,
};

/// What the platform's variables begin with.
const SYSTEM: &str = "system__";

/// What the platform knows of a conversation, by the names that operators give it.
const ABOUT_THE_CONVERSATION: [&str; 10] = [
    "agent_id",
    "agentId",
    "conversation_id",
    "conversationId",
    "caller_id",
    "callerId",
    "called_number",
    "calledNumber",
    "call_sid",
    "callSid",
];

/// What the platform is asked to fill in beside the model's arguments.
const FILLED_IN: [&str; 3] = ["system__agent_id", "system__conversation_id", "system__caller_id"];

fn decode(asked: &Asked<'_>) -> Order {
    let tool = asked.tool.map(canonical).unwrap_or_default();
    let order = |arguments, caller| {
        let call = Call { id: None, tool, arguments };
        Order { form: Form::Object, calls: vec![call], beyond: Vec::new(), caller }
    };
    let Some(mut given) = parameters(asked.query) else {
        return order(Arguments::Unreadable, Caller::default());
    };
    given.extend(members(asked.body));
    let caller = Caller {
        agent_id: known(&given, &["system__agent_id", "agent_id", "agentId"]),
        // A model may fill in any other name; this one the operator has the platform fill.
        number: known(&given, &["system__caller_id"]),
    };
    given.retain(|name, _| {
        !name.starts_with(SYSTEM) && !ABOUT_THE_CONVERSATION.contains(&name.as_str())
    });
    order(Arguments::Read(given), caller)
}

fn known(given: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| word(given.get(*name)))
}

/// The conversation that the query of a request names.
pub(super) fn conversation(query: &str) -> Option<String> {
    known(&parameters(query)?, &["system__conversation_id", "conversation_id", "conversationId"])
}

fn encode(_: &Order, replies: &[Reply]) -> Answer {
    let unanswered = Reply::not_available();
    Answer::json(&replies.first().unwrap_or(&unanswered).to_json())
}

/// Fields: elevenlabs py 2.78.0, `WebhookToolConfigInput` (the `tool_config` of
/// `POST /v1/convai/tools`), `LiteralJsonSchemaProperty` and `ConvAiSecretLocator` (read
/// November 2026). What stands in capitals is for the reader to fill in: `{…}` in a URL
/// would be a parameter to ElevenLabs.
fn define(tool: &Definition, url: &str) -> Value {
    let path = if is_of_source(url) { "" } else { "/in/elevenlabs/URL_TOKEN" };
    let mut schema = tool.parameters.clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for variable in FILLED_IN {
            let filled = json!({ "type": "string", "dynamic_variable": variable });
            properties.insert(variable.to_owned(), filled);
        }
    }
    json!({
        "type": "webhook",
        "name": tool.name,
        "description": tool.about,
        "response_timeout_secs": 20,
        "api_schema": {
            "url": format!("{url}{path}/tools/{}", tool.name),
            "method": "POST",
            "content_type": "application/json",
            "request_headers": {
                "X-Hookgate-Tool-Secret": { "secret_id": "ID_OF_THE_SECRET_IN_ELEVENLABS" },
            },
            "request_body_schema": schema,
        },
    })
}
