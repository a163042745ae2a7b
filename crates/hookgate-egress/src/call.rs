//! What is sent, and what comes back.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;

/// Who said where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The operator, in the configuration: the address policy does not apply.
    Anywhere,
    /// A tenant, or somebody's data: the policy applies, and so does HTTPS outside of what
    /// the operator allows.
    Public,
}

/// One request.
#[derive(Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Where to. A user and a password in it become an `Authorization` header.
    pub url: Url,
    /// Headers besides those that frame the request, which are not the caller's to set.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// How long connecting, sending and reading may take together.
    pub deadline: Duration,
    /// How much of the answer's body is read.
    pub answer_bytes_max: usize,
    /// Who said where it goes.
    pub reach: Reach,
}

/// What was answered, whatever the status: a redirect is an answer too.
#[derive(Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, up to [`Call::answer_bytes_max`].
    pub body: Bytes,
    /// Whether the body goes on behind that.
    pub is_cut: bool,
}

/// Scheme, host and port: all of a URL that may stand in a log or a message.
#[must_use]
pub fn origin(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{}://{host}:{port}", url.scheme()),
        None => format!("{}://{host}", url.scheme()),
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Call")
            .field("method", &self.method)
            .field("origin", &origin(&self.url))
            .field("body_bytes", &self.body.len())
            .field("deadline", &self.deadline)
            .field("answer_bytes_max", &self.answer_bytes_max)
            .field("reach", &self.reach)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("is_cut", &self.is_cut)
            .finish_non_exhaustive()
    }
}
