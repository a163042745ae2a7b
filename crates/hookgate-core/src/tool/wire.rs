//! What the platforms' forms of tool calls have in common.

use serde_json::{Map, Value};

use super::{Arguments, Reply};
use crate::json;

/// The members of a body that was read before: nothing for an empty one.
pub(crate) fn members(body: &[u8]) -> Map<String, Value> {
    serde_json::from_slice(body).unwrap_or_default()
}

/// The arguments that stand here: an object, or the text of one.
pub(crate) fn arguments(value: Option<&Value>) -> Arguments {
    match value {
        None | Some(Value::Null) => Arguments::Read(Map::new()),
        Some(Value::Object(members)) => Arguments::Read(members.clone()),
        Some(Value::String(text)) if text.trim().is_empty() => Arguments::Read(Map::new()),
        // A text was no part of the body's strict walk, so it gets one of its own.
        Some(Value::String(text)) if json::extract(text.as_bytes(), &[]).is_ok() => {
            serde_json::from_str(text).map_or(Arguments::Unreadable, Arguments::Read)
        }
        Some(_) => Arguments::Unreadable,
    }
}

/// The text or number that stands here, as text; nothing for an empty one.
pub(crate) fn word(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What stands at this path.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// A query's parameters by name, decoded: `+` is a blank. Nothing if one is named twice,
/// since two programs could take different ones.
pub(crate) fn parameters(query: &str) -> Option<Map<String, Value>> {
    let mut parameters = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if parameters.insert(name.into_owned(), value.into_owned().into()).is_some() {
            return None;
        }
    }
    Some(parameters)
}

/// A text without line breaks and control characters.
pub(crate) fn one_line(text: &str) -> String {
    let is_break = |it: char| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}');
    text.chars().map(|it| if is_break(it) { ' ' } else { it }).collect()
}

/// A reply's JSON on one line, with no line break inside its texts either.
pub(crate) fn json_line(reply: &Reply) -> String {
    one_line(&flat(reply.to_json()).to_string())
}

fn flat(value: Value) -> Value {
    match value {
        Value::String(text) => one_line(&text).into(),
        Value::Array(items) => items.into_iter().map(flat).collect(),
        Value::Object(members) => {
            members.into_iter().map(|(name, it)| (one_line(&name), flat(it))).collect()
        }
        plain => plain,
    }
}
