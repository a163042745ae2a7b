//! What is made of an endpoint's answer: something to say, and something for programs.
//!
//! It is the tenant's own endpoint, so its words are said as they are, short and in one
//! paragraph. What cannot be read is never passed on.

use hookgate_core::tool::Reply;
use hookgate_core::tool::settings::HttpTool;
use hookgate_core::tool::template::{as_text, render};
use hookgate_egress::Answer;
use serde_json::{Map, Value};

use super::credentials::Hidden;
use crate::work::End;

/// The longest message of a success, in characters: about a minute of speech.
const MESSAGE_CHARS_MAX: usize = 1000;

/// The longest message of a refusal, in characters.
const REFUSAL_CHARS_MAX: usize = 500;

/// The longest word for what happened, in bytes.
const STATUS_BYTES_MAX: usize = 64;

const DONE: &str = "That is done.";
const FOUND: &str = "Here is what I found.";
const SORRY: &str = "Sorry, that is not possible.";

/// The tenant must mend something before this works.
pub(super) fn not_configured() -> End {
    End::Failed(Reply::sorry("not_configured", "Sorry, that is not set up here yet."))
}

/// The arguments cannot be used.
pub(super) fn invalid() -> End {
    let message = "Sorry, something in that was not right. Could you say it again?";
    End::Refused(Reply::sorry("invalid_argument", message))
}

/// The endpoint is not there, or not well. Nothing was changed.
pub(super) fn unavailable() -> End {
    let message = "Sorry, I cannot do that right now. Please try again later.";
    End::Failed(Reply::sorry("unavailable", message))
}

/// Something may have been changed.
pub(super) fn unknown() -> End {
    let message = "Sorry, I could not confirm whether that went through.";
    End::Unknown(Reply::sorry("unknown", message))
}

/// What a success of the endpoint says.
pub(super) fn made_of(tool: &HttpTool, context: &Value, answer: &Answer, hidden: &Hidden) -> End {
    let Some(response) = read(answer) else { return plain(tool) };
    let response = hidden.clean_json(response);
    if let Some(template) = &tool.answer {
        let mut context = context.clone();
        if let Value::Object(context) = &mut context {
            context.insert("response".to_owned(), response);
        }
        return match render(template, &context) {
            Value::Object(mut rendered) => {
                if let Some(Value::Object(data)) = rendered.remove("data") {
                    data.into_iter().for_each(|(name, it)| {
                        rendered.entry(name).or_insert(it);
                    });
                }
                end(tool, rendered)
            }
            other => said(tool, &as_text(&other)),
        };
    }
    match response {
        Value::Object(object) => end(tool, object),
        Value::Array(list) => done(tool, Reply::done("done", "").with("result", list)),
        Value::Null => done(tool, Reply::done("done", "")),
        other => said(tool, &as_text(&other)),
    }
}

/// What a refusal of the endpoint says, if it says so in the form that is meant for people.
pub(super) fn refused(answer: &Answer, hidden: &Hidden) -> End {
    let message = match read(answer) {
        Some(Value::Object(object)) => match object.get("message") {
            Some(Value::String(text)) => spoken(&hidden.clean(text), REFUSAL_CHARS_MAX),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let message = if message.is_empty() { SORRY.to_owned() } else { message };
    End::Refused(Reply::sorry("refused", message))
}

/// The body: JSON, else a text; null if there is none. Nothing if it is neither, or goes on.
fn read(answer: &Answer) -> Option<Value> {
    if answer.is_cut {
        return None;
    }
    let text = std::str::from_utf8(&answer.body).ok()?.trim();
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(_) if text.is_empty() => Some(Value::Null),
        // Broken JSON, or a page for a browser.
        Err(_) if text.starts_with(['{', '[', '<']) => None,
        Err(_) => Some(text.into()),
    }
}

/// `{"ok"?,"status"?,"message"?}` with anything beside.
fn end(tool: &HttpTool, mut object: Map<String, Value>) -> End {
    let is_no = |it: Value| it == Value::Bool(false) || it.as_str() == Some("false");
    let ok = !object.remove("ok").is_some_and(is_no);
    let fits = |it: &String| {
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'-' | b'.');
        !it.is_empty() && it.len() <= STATUS_BYTES_MAX && it.bytes().all(is_plain)
    };
    let status = object.remove("status").and_then(|it| Some(it.as_str()?.to_owned()));
    let status = status.filter(fits);
    let message = object.remove("message");
    let message = message.and_then(|it| Some(spoken(it.as_str()?, MESSAGE_CHARS_MAX)));
    let message = message.unwrap_or_default();
    if ok {
        let status = status.unwrap_or_else(|| "done".to_owned());
        return done(tool, Reply { ok, status, message, data: object });
    }
    let status = status.unwrap_or_else(|| "refused".to_owned());
    let message = if message.is_empty() { SORRY.to_owned() } else { message };
    End::Refused(Reply { ok, status, message, data: object })
}

/// A text that is all there is.
fn said(tool: &HttpTool, text: &str) -> End {
    if text.chars().count() > MESSAGE_CHARS_MAX {
        return plain(tool);
    }
    done(tool, Reply::done("done", spoken(text, MESSAGE_CHARS_MAX)))
}

/// A success, with something to say.
fn done(tool: &HttpTool, mut reply: Reply) -> End {
    if reply.message.is_empty() {
        let message = if tool.writes || reply.data.is_empty() { DONE } else { FOUND };
        message.clone_into(&mut reply.message);
    }
    End::Done(reply)
}

/// A success that cannot be read. What was written is written; what was to be found was not.
fn plain(tool: &HttpTool) -> End {
    if tool.writes { done(tool, Reply::done("done", "")) } else { unavailable() }
}

/// A text as one paragraph that is not too long.
fn spoken(text: &str, chars_max: usize) -> String {
    let is_gap = |it: char| it.is_whitespace() || it.is_control();
    let words: Vec<_> = text.split(is_gap).filter(|it| !it.is_empty()).collect();
    let text = words.join(" ");
    if text.chars().nth(chars_max).is_none() {
        return text;
    }
    let kept = text.chars().take(chars_max.saturating_sub(1));
    kept.chain(std::iter::once('…')).collect()
}
