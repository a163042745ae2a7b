//! A message for people: a webhook of Discord's
//! (github.com/discord/discord-api-docs, resources/webhook, read in November 2026).

use hookgate_egress::Url;
use http::{HeaderMap, header};
use serde_json::json;

use super::http::JSON;
use super::text::{cut_chars, plain, text};
use super::{Rendered, Subject};

/// The longest `content`, in characters.
const CONTENT_CHARS_MAX: usize = 2_000;

/// What Discord's Markdown reads.
const MARKUP: [char; 14] = ['\\', '*', '_', '~', '`', '|', '>', '<', '[', ']', '(', ')', '#', '-'];

/// The text, which mentions nobody whatever stands in it.
#[must_use]
pub fn message(subject: &Subject<'_>, mut url: Url, template: Option<&str>) -> Rendered {
    let text = cut_chars(&text(subject, template, escape), CONTENT_CHARS_MAX);
    let body = json!({ "content": text, "allowed_mentions": { "parse": [] } });
    // Without it a message that is not kept is answered with a success.
    if !url.query_pairs().any(|(name, _)| name == "wait") {
        url.query_pairs_mut().append_pair("wait", "true");
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON);
    Rendered { url, headers, body: body.to_string().into() }
}

/// A value that is text and nothing else, so that nobody's words become a link.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for it in plain(value).chars() {
        if MARKUP.contains(&it) {
            escaped.push('\\');
        }
        escaped.push(it);
    }
    escaped
}
