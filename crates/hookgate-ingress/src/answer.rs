//! What a sender is told.
//!
//! An event is answered with a success by [`acknowledge`] alone, which wants to see the
//! receipt. Everything else is a [`Refusal`], and the match from its cause to a status is
//! exhaustive.

use std::borrow::Cow;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hookgate_core::event::Answer;
use hookgate_core::provider;
use hookgate_store::{Receipt, Unavailable};
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, SizeHint};

use crate::correlation::CORRELATION_ID;
use crate::metrics::Outcome;

/// An error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer that does not come from the front door.
pub type BoxBody = UnsyncBoxBody<Bytes, BoxError>;

/// The header of MightyCall's handshake.
pub(crate) const ECHO: HeaderName = HeaderName::from_static("echo");

/// When a sender over a limit may come back: in-flight places free up within moments.
const BUSY_RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// When a sender may come back whose event cannot be stored: a disk takes longer.
const UNAVAILABLE_RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An answer of the front door.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    body: Bytes,
    echo: Option<HeaderValue>,
    retry_after: Option<HeaderValue>,
    allows_post: bool,
    closes: bool,
    pub(crate) outcome: Outcome,
}

/// The only success for an event, and it takes a receipt to say it.
pub(crate) fn acknowledge(_: &Receipt, answer: &Answer, outcome: Outcome) -> Reply {
    let body = match &answer.body {
        Cow::Borrowed(text) => Bytes::from_static(text.as_bytes()),
        Cow::Owned(text) => Bytes::copy_from_slice(text.as_bytes()),
    };
    Reply::new(status(answer.status), body, outcome)
}

/// Answers a handshake, which is no event: what came goes back.
pub(crate) fn handshake(echo: &HeaderValue) -> Reply {
    let body = Bytes::copy_from_slice(echo.as_bytes());
    Reply::new(StatusCode::OK, body, Outcome::Handshake).with_echo(Some(echo))
}

/// Why a request is not answered with a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The path leads to no source.
    UnknownSource,
    /// The method is not POST.
    Method,
    /// The request came in clear, and the operator wants TLS.
    Plaintext,
    /// The body is compressed. A signature covers the bytes on the wire, and a small
    /// body may unpack to any size.
    ContentEncoding,
    /// Its framing can be read in two ways, or not at all.
    Framing,
    /// The body is too large.
    TooLarge,
    /// The body came too slowly.
    TooSlow,
    /// Too much is in flight already.
    Busy,
    /// It cannot be stored now.
    Unavailable(Unavailable),
    /// It did not prove its origin, or came from where its source is not expected.
    Unproven(provider::Refusal),
    /// Proven and in quarantine, and its sender is told what it lacks.
    Quarantined(provider::Refusal),
    /// Its tenant has had its share.
    OverQuota,
    /// Our own fault.
    Internal,
}

impl Refusal {
    /// Its name in logs.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UnknownSource => "unknown source",
            Self::Method => "method",
            Self::Plaintext => "not over TLS",
            Self::ContentEncoding => "content encoding",
            Self::Framing => "framing",
            Self::TooLarge => "body too large",
            Self::TooSlow => "body too slow",
            Self::Busy => "too much in flight",
            Self::Unavailable(_) => "cannot be stored now",
            Self::Unproven(_) => "not proven",
            Self::Quarantined(_) => "in quarantine",
            Self::OverQuota => "over its tenant's quota",
            Self::Internal => "internal error",
        }
    }

    /// What the sender is told: whether to come back, and nothing of the cause.
    pub(crate) fn reply(self) -> Reply {
        let (status, body, outcome) = match self {
            Self::UnknownSource => (404, r#"{"error":"Not found"}"#, Outcome::Refused),
            Self::Method => (405, r#"{"error":"Method not allowed"}"#, Outcome::Misdirected),
            Self::Plaintext => (403, r#"{"error":"HTTPS required"}"#, Outcome::Misdirected),
            Self::ContentEncoding => {
                (415, r#"{"error":"Unsupported content encoding"}"#, Outcome::Misdirected)
            }
            Self::Framing => (400, r#"{"error":"Bad request"}"#, Outcome::Misdirected),
            Self::TooLarge => (413, r#"{"error":"Payload too large"}"#, Outcome::TooLarge),
            Self::TooSlow => (408, r#"{"error":"Request timeout"}"#, Outcome::Incomplete),
            Self::Busy | Self::OverQuota => {
                (429, r#"{"error":"Too many requests"}"#, Outcome::Limited)
            }
            Self::Unavailable(_) => {
                (503, r#"{"error":"Service unavailable"}"#, Outcome::Unavailable)
            }
            Self::Unproven(refusal) => (refusal.status, refusal.body, Outcome::Refused),
            Self::Quarantined(refusal) => (refusal.status, refusal.body, Outcome::Quarantined),
            Self::Internal => (500, r#"{"error":"Internal error"}"#, Outcome::Failed),
        };
        let body = Bytes::from_static(body.as_bytes());
        let mut reply = Reply::new(self::status(status), body, outcome);
        reply.allows_post = self == Self::Method;
        reply.retry_after = match self {
            Self::Busy | Self::OverQuota => Some(BUSY_RETRY_AFTER),
            Self::Unavailable(_) => Some(UNAVAILABLE_RETRY_AFTER),
            _ => None,
        };
        reply
    }
}

impl From<Unavailable> for Refusal {
    fn from(cause: Unavailable) -> Self {
        Self::Unavailable(cause)
    }
}

/// A row's status. One that is none is our own fault.
fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl Reply {
    fn new(status: StatusCode, body: Bytes, outcome: Outcome) -> Self {
        let (echo, retry_after) = (None, None);
        Self { status, body, echo, retry_after, allows_post: false, closes: false, outcome }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The same with the header of a handshake.
    pub(crate) fn with_echo(mut self, echo: Option<&HeaderValue>) -> Self {
        self.echo = echo.cloned();
        self
    }

    /// The same, and the connection is closed behind it: bytes of the request are left
    /// unread.
    pub(crate) fn closing(mut self, closes: bool) -> Self {
        self.closes |= closes;
        self
    }

    /// The answer as it goes out. `headers` is an empty map whose memory is used again.
    pub(crate) fn into_response(self, mut headers: HeaderMap, id: &str) -> Response<Payload> {
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        if let Ok(id) = HeaderValue::from_str(id) {
            headers.insert(CORRELATION_ID, id);
        }
        if let Some(echo) = self.echo {
            headers.insert(ECHO, echo);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds);
        }
        if self.allows_post {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let mut response = Response::new(Payload::Own(Full::new(self.body)));
        *response.status_mut() = self.status;
        *response.headers_mut() = headers;
        response
    }
}

/// The body of any answer.
pub(crate) enum Payload {
    /// The front door's.
    Own(Full<Bytes>),
    /// The fallback's.
    Other(BoxBody),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Own(body) => {
                Pin::new(body).poll_frame(context).map_err(|never: Infallible| match never {})
            }
            Self::Other(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}
