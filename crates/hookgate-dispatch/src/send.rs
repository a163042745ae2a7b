//! Sends one message and says how that ended, in words that hold nothing of the URL, of the
//! secrets or of what was sent.

use std::time::Duration;

use hookgate_core::delivery::{AttemptOutcome, DestinationKind};
use hookgate_core::mask::visible;
use hookgate_core::time::Timestamp;
use hookgate_egress::{Answer, Call, Egress, EgressError, Reach};
use http::{Method, StatusCode, header};

use crate::render::Rendered;
use crate::retry_after;

/// What is read of an answer, in bytes. Nobody needs more of a page that says "no".
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What is kept of an answer for people, in characters.
const EXCERPT_CHARS_MAX: usize = 512;

/// An attempt that was made.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) outcome: AttemptOutcome,
    /// The beginning of the answer's body; nothing if there is none.
    pub(crate) excerpt: Option<String>,
}

impl Sent {
    /// Nothing was sent.
    pub(crate) const fn not(outcome: AttemptOutcome) -> Self {
        Self { outcome, excerpt: None }
    }
}

/// Sends a message to a destination of this kind.
pub(crate) async fn send(
    egress: &Egress,
    kind: DestinationKind,
    rendered: Rendered,
    deadline: Duration,
    now: Timestamp,
) -> Sent {
    let call = Call {
        method: Method::POST,
        url: rendered.url,
        headers: rendered.headers,
        body: rendered.body,
        deadline,
        answer_bytes_max: ANSWER_BYTES_MAX,
        reach: Reach::Public,
    };
    match egress.send(call).await {
        Ok(answer) => {
            Sent { outcome: answered(kind, &answer, now), excerpt: excerpt(&answer.body) }
        }
        Err(error) => Sent::not(unanswered(&error)),
    }
}

/// What an answer means. A redirect is a refusal: where it leads, nobody has agreed to.
fn answered(kind: DestinationKind, answer: &Answer, now: Timestamp) -> AttemptOutcome {
    let status = answer.status.as_u16();
    match answer.status {
        it if it.is_success() => AttemptOutcome::Delivered { status },
        StatusCode::GONE => AttemptOutcome::Gone,
        // Both say so of a webhook that was removed.
        StatusCode::NOT_FOUND
            if matches!(kind, DestinationKind::Slack | DestinationKind::Discord) =>
        {
            AttemptOutcome::Gone
        }
        it => {
            let may_pass = it.is_server_error()
                || matches!(it, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
            let asked = answer.headers.get(header::RETRY_AFTER).filter(|_| may_pass);
            let asked = asked.and_then(|it| it.to_str().ok());
            let retry_after = asked.and_then(|it| retry_after::read(it, now));
            AttemptOutcome::Refused { status, retry_after }
        }
    }
}

/// What the want of an answer means, as a fixed word.
fn unanswered(error: &EgressError) -> AttemptOutcome {
    let reason = match error {
        EgressError::TimedOut => "timed_out",
        EgressError::Broken => "connection_broke",
        EgressError::Connect(std::io::ErrorKind::ConnectionRefused) => "connection_refused",
        EgressError::Connect(_) => "cannot_connect",
        EgressError::Unresolved => "name_unresolved",
        EgressError::Certificate => "certificate_untrusted",
        EgressError::Tls => "tls_failed",
        EgressError::Refused(_) => "address_not_allowed",
        EgressError::PlainHttp => "https_required",
        EgressError::Scheme | EgressError::Host => "url_unusable",
        EgressError::Header(_) => {
            return AttemptOutcome::Ours { reason: "header_unusable", may_pass: false };
        }
    };
    AttemptOutcome::Broken { reason }
}

/// The beginning of a body, with everything visible that is in it.
fn excerpt(body: &[u8]) -> Option<String> {
    // A character has four bytes at most.
    let beginning = body.get(..EXCERPT_CHARS_MAX.saturating_mul(4)).unwrap_or(body);
    let text = String::from_utf8_lossy(beginning);
    let text: String = visible(text.trim()).chars().take(EXCERPT_CHARS_MAX).collect();
    Some(text).filter(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[track_caller]
    fn means(kind: DestinationKind, status: u16) -> AttemptOutcome {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer { status, headers, body: Bytes::new(), is_cut: false };
        answered(kind, &answer, NOW)
    }

    #[test]
    fn only_2xx_is_a_delivery_and_only_410_is_an_end() {
        let http = DestinationKind::Http;
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(means(http, status), AttemptOutcome::Delivered { status });
        }
        for status in [301, 302, 307, 308, 304, 400, 401, 403, 404, 409, 422] {
            assert_eq!(means(http, status), AttemptOutcome::Refused { status, retry_after: None });
        }
        for status in [408, 429, 500, 502, 503, 504, 599] {
            let retry_after = Some(Duration::from_secs(7));
            assert_eq!(means(http, status), AttemptOutcome::Refused { status, retry_after });
        }
        assert_eq!(means(http, 410), AttemptOutcome::Gone);
    }

    #[test]
    fn a_removed_webhook_of_slack_or_discord_is_an_end() {
        for kind in [DestinationKind::Slack, DestinationKind::Discord] {
            assert_eq!(means(kind, 404), AttemptOutcome::Gone);
        }
        let refused = AttemptOutcome::Refused { status: 404, retry_after: None };
        assert_eq!(means(DestinationKind::Ntfy, 404), refused);
    }

    #[test]
    fn an_excerpt_is_short_and_visible() {
        assert_eq!(excerpt(b""), None);
        assert_eq!(excerpt(b" \r\n "), None);
        assert_eq!(excerpt(b"no\x1b[31m\0 \xff").as_deref(), Some("no\\u{1b}[31m\\u{0} \u{fffd}"));
        let long = excerpt(&"🦀".repeat(100_000).into_bytes()).unwrap();
        assert_eq!(long, "🦀".repeat(EXCERPT_CHARS_MAX));
    }
}
