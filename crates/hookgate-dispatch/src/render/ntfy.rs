//! A message for people: a topic of ntfy's (docs.ntfy.sh/publish, read in November 2026).

use hookgate_egress::Url;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::text::{cut_bytes, plain, text, title};
use super::{Rendered, Subject};

/// The longest message, in bytes. What is longer becomes an attachment, or is refused.
const MESSAGE_BYTES_MAX: usize = 4_096;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const TITLE: HeaderName = HeaderName::from_static("title");

/// The text as the body; the title is one of ours, in ASCII as headers are.
#[must_use]
pub fn message(subject: &Subject<'_>, url: Url, template: Option<&str>) -> Rendered {
    let text = cut_bytes(&text(subject, template, plain), MESSAGE_BYTES_MAX);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, PLAIN);
    headers.insert(TITLE, HeaderValue::from_static(title(&subject.event.kind)));
    Rendered { url, headers, body: text.into() }
}
