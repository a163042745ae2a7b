//! What is sent, and what comes back.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Response, Url};
use tokio::time::Instant;

use crate::error::EgressError;

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

/// An answer whose body is still on its way.
pub struct Incoming {
    response: Response,
    until: Instant,
}

impl Incoming {
    pub(crate) fn new(response: Response, until: Instant) -> Self {
        Self { response, until }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The length of the body, if the server says one.
    #[must_use]
    pub fn announced_bytes(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of the body; nothing at its end. It is waited for no longer than `wait`,
    /// and not beyond the deadline of the request.
    ///
    /// # Errors
    ///
    /// The body is not whole, and nothing more of it comes.
    pub async fn chunk(&mut self, wait: Duration) -> Result<Option<Bytes>, EgressError> {
        let latest = Instant::now().checked_add(wait).unwrap_or(self.until).min(self.until);
        let chunk = tokio::time::timeout_at(latest, self.response.chunk()).await;
        chunk.map_err(|_| EgressError::TimedOut)?.map_err(|error| EgressError::of(&error))
    }
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

impl fmt::Debug for Incoming {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Incoming").field("status", &self.status()).finish_non_exhaustive()
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
