//! What the transcripts of several providers have in common.

use serde_json::Value;

use super::reader::{filled, word};
use super::shape::{Role, Tool, Turn};
use crate::mask;

/// A turn of a tool: who was called, and its arguments or its result.
pub(crate) fn tool_turn(
    name: Option<&Value>,
    call_id: Option<&Value>,
    said: Option<&Value>,
) -> Turn {
    let tool = tool(name, call_id);
    let text = said.and_then(tool_text);
    Turn { role: Role::Tool, tool: Some(tool), text, ..Turn::default() }
}

/// A tool by its name and the id of its call.
pub(crate) fn tool(name: Option<&Value>, call_id: Option<&Value>) -> Tool {
    Tool { name: name.and_then(word), call_id: call_id.and_then(word) }
}

/// What a tool is given or gives. Most of it is JSON, often as a text, and may hold
/// credentials.
fn tool_text(value: &Value) -> Option<String> {
    let mut value = match value {
        Value::Null => return None,
        Value::String(text) => match serde_json::from_str(text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => inner,
            _ => return filled(text),
        },
        other => other.clone(),
    };
    mask::credentials(&mut value);
    Some(value.to_string())
}

/// The words before a colon with which a transcript in one text says who speaks, as Retell
/// (`Agent: …`, `User: …`) and Vapi (`AI: …`, `User: …`) write it.
const SPEAKERS: [(&str, Role); 6] = [
    ("Agent: ", Role::Agent),
    ("AI: ", Role::Agent),
    ("Assistant: ", Role::Agent),
    ("Bot: ", Role::Agent),
    ("User: ", Role::User),
    ("Customer: ", Role::User),
];

/// The turns of a transcript in one text. A line without a speaker goes on with the turn
/// before it; a text that names none is one turn.
pub(crate) fn spoken(text: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for line in text.lines() {
        let named = SPEAKERS.iter().find_map(|(it, role)| Some((*role, line.strip_prefix(it)?)));
        match (named, turns.last_mut()) {
            (Some((role, said)), _) => turns.push(turn(role, said)),
            (None, Some(last)) => {
                let said = last.text.get_or_insert_default();
                said.push('\n');
                said.push_str(line);
            }
            (None, None) => turns.push(turn(Role::Unknown, line)),
        }
    }
    for turn in &mut turns {
        turn.text = turn.text.as_deref().map(str::trim).and_then(filled);
    }
    turns.retain(|it| it.text.is_some());
    turns
}

fn turn(role: Role, said: &str) -> Turn {
    Turn { role, text: Some(said.to_owned()), ..Turn::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(Role, &str)]) {
        let turns = spoken(text);
        let turns: Vec<(Role, &str)> =
            turns.iter().map(|it| (it.role, it.text.as_deref().unwrap_or_default())).collect();
        assert_eq!(turns, expected);
    }

    #[test]
    fn a_transcript_in_one_text_is_divided_by_its_speakers() {
        check(
            "Agent: Hi\nUser: Yes,\nplease: now\n\nAI: Done.\n",
            &[(Role::Agent, "Hi"), (Role::User, "Yes,\nplease: now"), (Role::Agent, "Done.")],
        );
        check("Hello", &[(Role::Unknown, "Hello")]);
        check("Hello\nAgent: Hi", &[(Role::Unknown, "Hello"), (Role::Agent, "Hi")]);
        check(" \n\n", &[]);
        check("User: \nAgent: ", &[]);
    }

    #[test]
    fn credentials_in_what_a_tool_is_given_are_masked() {
        let text = |it: Value| tool_text(&it);
        let given = serde_json::json!(r#"{"token":"canary","id":1}"#);
        assert_eq!(text(given).as_deref(), Some(r#"{"id":1,"token":"***"}"#));
        let given = serde_json::json!({"password": "canary"});
        assert_eq!(text(given).as_deref(), Some(r#"{"password":"***"}"#));
        assert_eq!(text(serde_json::json!("62°, cloudy")).as_deref(), Some("62°, cloudy"));
        assert_eq!(text(serde_json::json!("12")).as_deref(), Some("12"));
        assert_eq!(text(Value::Null), None);
    }
}
