//! Vapi's tool calls: what is asked for, and how it is answered.
//!
//! Sources: docs.vapi.ai/tools/custom-tools and /server-url/events (docs repository at
//! eabfa53, 2026-08-20), Vapi's OpenAPI document. Several calls may stand in one message,
//! in three shapes. The answer is always 200, texts only, without line breaks, found by the
//! ids of the calls.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::event::Answer;
use crate::tool::schema::{Definition, is_of_source};
use crate::tool::wire::{arguments, at, json_line, members, one_line, word};
use crate::tool::{Asked, CALLS_MAX, Call, Caller, Calls, Form, NOT_NOW, Order, Reply, canonical};

/// Vapi waits for 20 s unless set otherwise, but a caller hears silence meanwhile.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a call is told that is one too many.
const TOO_MANY: &str = "I am sorry, that was too much at once. Please ask again for the rest.";

/// The row's part for tools.
pub(super) const CALLS: Calls =
    Calls { decode, encode, define, policy: None, secret_variable: None, patience: PATIENCE };

fn decode(asked: &Asked<'_>) -> Order {
    let body = Value::Object(members(asked.body));
    let message = body.get("message").filter(|it| it.is_object()).unwrap_or(&body);
    let number = |path| word(at(message, path));
    let caller = Caller {
        agent_id: word(at(message, &["call", "assistantId"])),
        number: number(&["call", "customer", "number"]).or_else(|| number(&["customer", "number"])),
    };
    if let Some(function) = message.get("functionCall") {
        let calls = vec![call(function)];
        return Order { form: Form::Result, calls, beyond: Vec::new(), caller };
    }
    let mut calls = listed(message);
    let beyond = calls.split_off(CALLS_MAX.min(calls.len()));
    Order { form: Form::Results, calls, beyond, caller }
}

/// The calls of the first list that has any. Public receivers know `toolCalls` too.
fn listed(message: &Value) -> Vec<Call> {
    let list = |name: &str| message.get(name).and_then(Value::as_array);
    let plain = |name: &str| list(name).map(|it| it.iter().map(call).collect::<Vec<_>>());
    let inner = |it: &Value| {
        let mut inner = call(it.get("toolCall")?);
        if inner.tool.is_empty() {
            // Vapi's own examples name the tool beside the call.
            inner.tool = call(it).tool;
        }
        Some(inner)
    };
    let wrapped =
        || list("toolWithToolCallList").map(|it| it.iter().filter_map(inner).collect::<Vec<_>>());
    let filled = |it: &Vec<Call>| !it.is_empty();
    let found = plain("toolCallList").filter(filled).or_else(|| wrapped().filter(filled));
    found.or_else(|| plain("toolCalls")).unwrap_or_default()
}

/// A call: `{id, name, arguments}`, `{id, name, parameters}`, or either inside `function`.
fn call(value: &Value) -> Call {
    let function = value.get("function").filter(|it| it.is_object()).unwrap_or(value);
    let name = word(function.get("name")).unwrap_or_default();
    let given = function.get("arguments").or_else(|| function.get("parameters"));
    Call { id: word(value.get("id")), tool: canonical(&name), arguments: arguments(given) }
}

fn encode(order: &Order, replies: &[Reply]) -> Answer {
    if order.form == Form::Result {
        let text = replies.first().map_or_else(|| NOT_NOW.to_owned(), text);
        return Answer::json(&json!({ "result": text }));
    }
    let unanswered = Reply::not_available();
    let replies = replies.iter().chain(std::iter::repeat(&unanswered));
    let carried =
        order.calls.iter().zip(replies).map(|(call, reply)| {
            result(call, if reply.ok { "result" } else { "error" }, text(reply))
        });
    let beyond = order.beyond.iter().map(|call| result(call, "error", TOO_MANY.to_owned()));
    Answer::json(&json!({ "results": carried.chain(beyond).collect::<Vec<_>>() }))
}

fn result(call: &Call, word: &str, text: String) -> Value {
    let mut result = Map::new();
    result.insert("name".to_owned(), call.tool.as_str().into());
    result.extend(call.id.as_ref().map(|id| ("toolCallId".to_owned(), id.as_str().into())));
    result.insert(word.to_owned(), text.into());
    Value::Object(result)
}

/// What a model reads: of a success everything, of a failure the sentence to say.
fn text(reply: &Reply) -> String {
    if reply.ok { json_line(reply) } else { one_line(&reply.message) }
}

/// Fields: Vapi's OpenAPI document, `CreateFunctionToolDTO` (read November 2026).
fn define(tool: &Definition, url: &str) -> Value {
    let path = if is_of_source(url) { "" } else { "/webhook/vapi" };
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.about,
            "parameters": tool.parameters,
        },
        "server": { "url": format!("{url}{path}") },
    })
}
