//! Retell's custom functions: what is asked for, and how it is answered.
//!
//! Sources: docs.retellai.com/build/single-multi-prompt/custom-function (read November
//! 2026). The body is `{name, call, args}`, or the arguments alone where the function is
//! set to "Payload: args only" (`args_at_root`). Any 2xx is a success; the model reads the
//! first 15,000 characters of the answer.

mod fit;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::event::Answer;
use crate::tool::schema::{Definition, is_of_source};
use crate::tool::wire::{arguments, at, members, word};
use crate::tool::{Arguments, Asked, Call, Caller, Calls, Form, Order, Reply, canonical};

/// Retell waits for 120 s, but a caller hears silence meanwhile, and hangs up long before.
const PATIENCE: Duration = Duration::from_secs(8);

/// The row's part for tools.
pub(super) const CALLS: Calls =
    Calls { decode, encode, define, policy: None, secret_variable: None, patience: PATIENCE };

fn decode(asked: &Asked<'_>) -> Order {
    let body = Value::Object(members(asked.body));
    let path = asked.tool.map(canonical);
    if path.is_none() || is_full(&body) { full(path, &body) } else { flat(path, body) }
}

/// Whether a body has the form that says who speaks with whom. Its `call` is the
/// platform's; a function may well have an argument that is called `name` or `args`.
fn is_full(body: &Value) -> bool {
    let has_call = body.get("call").is_some_and(Value::is_object);
    let has_name = body.get("name").is_some_and(Value::is_string);
    let has_args = body.get("args").is_some_and(Value::is_object);
    (has_call && (has_name || has_args)) || (has_name && has_args)
}

fn full(path: Option<String>, body: &Value) -> Order {
    let name = word(body.get("name")).map(|it| canonical(&it));
    let number = match at(body, &["call", "direction"]).and_then(Value::as_str) {
        Some("inbound") => Some("from_number"),
        Some("outbound") => Some("to_number"),
        _ => None,
    };
    let caller = Caller {
        agent_id: word(at(body, &["call", "agent_id"])),
        number: number.and_then(|it| word(at(body, &["call", it]))),
    };
    let tool = path.or_else(|| name.clone()).unwrap_or_default();
    let id = id(body, &[Some(&tool), name.as_ref()]);
    order(Call { id, tool, arguments: arguments(body.get("args")) }, caller)
}

/// The arguments alone. What stands beside them a model may have filled in: no number here
/// is attested.
fn flat(path: Option<String>, body: Value) -> Order {
    let mut arguments = match body {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let agent_id = word(arguments.remove("agent_id").as_ref());
    arguments.remove("call_id");
    let tool = path.unwrap_or_default();
    let call = Call { id: None, tool, arguments: Arguments::Read(arguments) };
    order(call, Caller { agent_id, number: None })
}

/// The platform's id of the call: it stands at the end of the transcript only.
fn id(body: &Value, names: &[Option<&String>]) -> Option<String> {
    let said = at(body, &["call", "transcript_with_tool_calls"])?.as_array()?;
    let is_invocation =
        |it: &&Value| it.get("role").and_then(Value::as_str) == Some("tool_call_invocation");
    let last = said.iter().rev().find(is_invocation)?;
    let name = canonical(last.get("name")?.as_str()?);
    if names.contains(&Some(&name)) { word(last.get("tool_call_id")) } else { None }
}

fn order(call: Call, caller: Caller) -> Order {
    Order { form: Form::Object, calls: vec![call], beyond: Vec::new(), caller }
}

fn encode(_: &Order, replies: &[Reply]) -> Answer {
    let unanswered = Reply::not_available();
    Answer::json(&fit::fitted(replies.first().unwrap_or(&unanswered)))
}

/// Fields: retell-typescript-sdk, `LlmCreateParams.CustomTool`; docs.retellai.com, custom
/// function (read November 2026). With `args_at_root` Retell would not say who is calling.
fn define(tool: &Definition, url: &str) -> Value {
    let paths = super::PROVIDER.tool_paths;
    // A tool without a path of its own is known by its name.
    let path = paths.iter().find(|it| it.1 == tool.name).map_or("/webhook/retell", |it| it.0);
    json!({
        "type": "custom",
        "name": tool.name,
        "description": tool.about,
        "url": if is_of_source(url) { url.to_owned() } else { format!("{url}{path}") },
        "method": "POST",
        "args_at_root": false,
        "speak_during_execution": true,
        "speak_after_execution": true,
        "parameters": tool.parameters,
    })
}
