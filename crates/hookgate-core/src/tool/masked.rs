//! A call's arguments as they may be shown: what says something about a person is masked,
//! and so is what nobody asked for, since a model may put anything there.

use serde_json::{Map, Value};

use super::catalog::{Argument, Shape, Tool};
use super::settings::HttpTool;

/// What stands in the place of a value.
const MASK: &str = "•••";

/// Arguments that are shown of one call. No tool has as many.
const ARGUMENTS_MAX: usize = 64;

/// The longest text that is shown, in characters. Ids and names of services are shorter.
const TEXT_CHARS_MAX: usize = 200;

/// The longest name of an argument that is shown, in characters.
const NAME_CHARS_MAX: usize = 64;

/// Digits of a telephone number that are shown.
const DIGITS_SHOWN: usize = 2;

/// The fewest digits of which any are shown.
const DIGITS_MIN: usize = 6;

/// The tool that is called.
#[derive(Clone, Copy, Debug)]
pub enum Called<'a> {
    /// One that comes with Hookgate.
    Ours(&'static Tool),
    /// A tenant's own.
    Own(&'a HttpTool),
    /// None that is known: all its arguments are masked.
    Unknown,
}

/// The arguments as they may be stored for people and shown to them.
#[must_use]
pub fn masked(called: Called<'_>, arguments: &Map<String, Value>) -> Value {
    let shown = arguments.iter().take(ARGUMENTS_MAX).map(|(name, value)| {
        let value = match called {
            Called::Ours(tool) => ours(tool, name, value),
            Called::Own(tool) => own(tool, name, value),
            Called::Unknown => mask(value),
        };
        (name.chars().take(NAME_CHARS_MAX).collect(), value)
    });
    Value::Object(shown.collect())
}

fn ours(tool: &Tool, name: &str, value: &Value) -> Value {
    match argument(tool, name) {
        Some(Argument { shape: Shape::Phone, .. }) => phone(value),
        Some(argument) if !argument.is_personal => plain(value),
        _ => mask(value),
    }
}

/// The argument of this name, or known by it.
fn argument<'a>(tool: &'a Tool, name: &str) -> Option<&'a Argument> {
    tool.arguments.iter().find(|it| it.name == name || it.aliases.contains(&name))
}

fn own(tool: &HttpTool, name: &str, value: &Value) -> Value {
    let properties = tool.parameters.get("properties");
    let is_known = properties.is_some_and(|it| it.get(name).is_some());
    let is_personal = tool.personal.iter().any(|it| it == name);
    if is_known && !is_personal { plain(value) } else { mask(value) }
}

/// A value as it is, if it is a plain one: nobody knows what stands inside another.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) => MASK.into(),
        Value::String(text) if text.chars().count() > TEXT_CHARS_MAX => {
            let start: String = text.chars().take(TEXT_CHARS_MAX).collect();
            format!("{start}…").into()
        }
        _ => value.clone(),
    }
}

/// That there is a value, and not which.
fn mask(value: &Value) -> Value {
    if value.is_null() { Value::Null } else { MASK.into() }
}

/// The last digits, so that an operator can tell two callers apart.
fn phone(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return mask(value),
    };
    let digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
    if digits.len() < DIGITS_MIN {
        return mask(value);
    }
    let hidden = digits.len().saturating_sub(DIGITS_SHOWN);
    let shown: String = digits.into_iter().skip(hidden).collect();
    format!("…{shown}").into()
}
