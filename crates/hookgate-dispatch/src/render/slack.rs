//! A message for people: an incoming webhook of Slack's.

use hookgate_egress::Url;
use http::{HeaderMap, header};
use serde_json::json;

use super::http::JSON;
use super::text::{cut_chars, plain, text};
use super::{Rendered, Subject};

/// The longest text, in characters: what Slack's documentation of `chat.postMessage` advises
/// (it cuts at 40,000).
const TEXT_CHARS_MAX: usize = 4_000;

/// The text, in which a value can neither mention anybody nor make a link.
#[must_use]
pub fn message(subject: &Subject<'_>, url: Url, template: Option<&str>) -> Rendered {
    let text = cut(&text(subject, template, escape));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, JSON);
    Rendered { url, headers, body: json!({ "text": text }).to_string().into() }
}

/// The three characters that Slack's markup (`mrkdwn`) reads: mentions and links stand in
/// `<>`.
fn escape(value: &str) -> String {
    plain(value).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The text, not too long, and not cut within `&amp;`.
fn cut(text: &str) -> String {
    let cut = cut_chars(text, TEXT_CHARS_MAX);
    if cut.len() == text.len() {
        return cut;
    }
    let halved = cut.rfind('&').filter(|at| {
        let rest = cut.get(*at..).unwrap_or_default();
        rest.len() < "&amp;".len().saturating_add('…'.len_utf8()) && !rest.contains(';')
    });
    match halved.and_then(|at| cut.get(..at)) {
        Some(whole) => format!("{whole}…"),
        None => cut,
    }
}
