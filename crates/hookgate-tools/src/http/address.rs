//! Where a request goes: the tenant's URL with values in its path and query.
//!
//! A value is one component, percent-encoded: it is no host, no segment more or less, no
//! parameter of another name.

use std::fmt::Write as _;

use hookgate_core::tool::settings::HttpTool;
use hookgate_core::tool::template::{self, Piece, as_text, is_of, lookup, pieces};
use hookgate_egress::Url;
use serde_json::{Map, Value};

use super::Unusable;

/// The longest URL, in bytes. Servers take 8 KiB for a request's line and headers.
const URL_BYTES_MAX: usize = 4096;

/// The arguments that a URL does not name, for its query. Where the tool says what its
/// arguments are, a model's inventions stay out.
pub(super) fn left_over(tool: &HttpTool, arguments: &Map<String, Value>) -> Vec<(String, String)> {
    let mut named = Vec::new();
    for path in template::placeholders(&tool.url) {
        match path.split_once('.') {
            Some(("arguments", path)) => named.push(path.split('.').next().unwrap_or_default()),
            None if path == "arguments" => return Vec::new(),
            _ => {}
        }
    }
    let declared = tool.parameters.get("properties").and_then(Value::as_object);
    let is_left = |(name, value): &(&String, &Value)| {
        !value.is_null()
            && !named.contains(&name.as_str())
            && declared.is_none_or(|it| it.contains_key(*name))
    };
    let left = arguments.iter().filter(is_left);
    left.map(|(name, value)| (name.clone(), as_text(value).into_owned())).collect()
}

/// Fills in a URL and puts `rest` behind its query. A parameter that the URL has stays what
/// the tenant made it.
pub(super) fn fill(
    template: &str,
    context: &Value,
    rest: &[(String, String)],
) -> Result<Url, Unusable> {
    let sketch = sketch(template)?;
    let mut filled = String::with_capacity(template.len());
    let mut is_query = false;
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => {
                filled.push_str(text);
                is_query |= text.contains(['?', '#']);
            }
            Piece::Placeholder(it) => {
                if !is_of(context, it.path) {
                    return Err(Unusable::Configuration("its URL names something unknown"));
                }
                let value = lookup(context, it.path).map(as_text).unwrap_or_default();
                let value = if value.is_empty() { it.default.unwrap_or_default() } else { &value };
                // `DELETE /orders/` may mean all of them.
                if value.is_empty() && !is_query {
                    return Err(Unusable::Arguments);
                }
                encode(value, &mut filled);
            }
        }
        if filled.len() > URL_BYTES_MAX {
            return Err(Unusable::Arguments);
        }
    }
    if has_dots(&filled) {
        return Err(Unusable::Arguments);
    }
    let mut url = Url::parse(&filled).map_err(|_| Unusable::Arguments)?;
    url.set_fragment(None);
    if form(&url) != form(&sketch) {
        return Err(Unusable::Arguments);
    }
    let is_new = |(name, _): &&(String, String)| sketch.query_pairs().all(|(it, _)| it != *name);
    let rest: Vec<_> = rest.iter().filter(is_new).collect();
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    if url.as_str().len() > URL_BYTES_MAX {
        return Err(Unusable::Arguments);
    }
    Ok(url)
}

/// The URL with a letter for each value, checked.
fn sketch(template: &str) -> Result<Url, Unusable> {
    let unusable = |cause| Err(Unusable::Configuration(cause));
    let mut sketch = String::with_capacity(template.len());
    for piece in pieces(template) {
        match piece {
            // A parser reads `\` as `/`, and leaves line breaks out.
            Piece::Text(text) if text.contains(['\\', '\t', '\n', '\r']) => {
                return unusable("its URL has a character that belongs into none");
            }
            Piece::Text(text) => sketch.push_str(text),
            Piece::Placeholder(_) if !has_authority(&sketch) => {
                return unusable("its URL has a placeholder before its path");
            }
            Piece::Placeholder(_) if is_half_escaped(&sketch) => {
                return unusable("its URL has a `%` before a placeholder");
            }
            Piece::Placeholder(_) => sketch.push('x'),
        }
    }
    if has_dots(&sketch) {
        return unusable("its URL has `.` or `..` for a segment");
    }
    Url::parse(&sketch).or_else(|_| unusable("its URL is none"))
}

/// Whether scheme, host and port are complete.
fn has_authority(start: &str) -> bool {
    start.split_once("://").is_some_and(|(_, rest)| rest.contains(['/', '?', '#']))
}

/// Whether what follows could be read as the rest of a percent-encoded byte.
fn is_half_escaped(start: &str) -> bool {
    start.bytes().rev().take(2).any(|it| it == b'%')
}

/// Whether a segment of the path means this or the one above.
fn has_dots(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let is_dots =
        |it: &str| matches!(it.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    path.split('/').skip(1).any(is_dots)
}

/// What no value may change.
fn form(url: &Url) -> (&str, Option<&str>, Option<u16>, usize, Vec<String>) {
    let segments = url.path_segments().map_or(0, Iterator::count);
    let parameters = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    (url.scheme(), url.host_str(), url.port(), segments, parameters)
}

/// Writes a text so that it is one component: all but RFC 3986's unreserved characters is
/// percent-encoded.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte.into());
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}
