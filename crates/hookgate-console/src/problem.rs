//! What an error is to a client: a problem as in RFC 9457.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use hookgate_core::mask;
use hookgate_store::{ReadError, Unavailable};
use serde_json::json;

/// When a client that met an unavailable store should come back, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: &str = "5";

/// So much of an unknown parameter's name is repeated, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Everything that a request can be refused with.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// The operator's token is missing or wrong.
    Unauthorized,
    /// Nothing has this id, or leads from this path.
    NotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The query has a parameter that the path does not know.
    UnknownParameter {
        /// As it was sent.
        name: String,
        /// What the path knows.
        allowed: &'static [&'static str],
    },
    /// A parameter has a value that it cannot have.
    BadParameter {
        /// The parameter.
        name: &'static str,
        /// What it can have.
        wanted: String,
    },
    /// The body is not what the path takes. The sentence says what it does.
    BadBody(&'static str),
    /// The body has more bytes than the path takes.
    BodyTooLarge,
    /// The body took too long to arrive.
    BodyTooSlow,
    /// The bytes were erased.
    Erased,
    /// The store takes nothing now.
    Unavailable(Unavailable),
    /// The index has not caught up with the journal.
    Behind,
    /// The stored bytes are not what was stored.
    Damaged,
    /// It is our fault, and logged.
    Internal,
}

impl Problem {
    /// What reading the store failed with. Logs what somebody must act on.
    pub(crate) fn reading(error: ReadError) -> Self {
        match error {
            ReadError::Behind => Self::Behind,
            ReadError::Damaged => {
                tracing::error!("a stored record is damaged: run `hookgate store check`");
                Self::Damaged
            }
            ReadError::Io(cause) => Self::failed("reading the store", &cause),
        }
    }

    /// A fault of ours while `doing` something, logged here.
    pub(crate) fn failed(doing: &'static str, cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "{doing} failed");
        Self::Internal
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownParameter { .. } | Self::BadParameter { .. } | Self::BadBody(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Erased => StatusCode::GONE,
            Self::Unavailable(_) | Self::Behind => StatusCode::SERVICE_UNAVAILABLE,
            Self::Damaged | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The last word of its type, for programs, and its title, for people.
    const fn title(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unauthorized => ("unauthorized", "The operator's token is needed"),
            Self::NotFound => ("not-found", "Not found"),
            Self::MethodNotAllowed => ("method-not-allowed", "Method not allowed"),
            Self::UnknownParameter { .. } => ("unknown-parameter", "Unknown parameter"),
            Self::BadParameter { .. } => ("bad-parameter", "Bad parameter"),
            Self::BadBody(_) => ("bad-body", "Bad request body"),
            Self::BodyTooLarge => ("body-too-large", "Request body too large"),
            Self::BodyTooSlow => ("body-too-slow", "Request body too slow"),
            Self::Erased => ("erased", "Erased"),
            Self::Unavailable(_) => ("store-unavailable", "The store is unavailable"),
            Self::Behind => ("index-behind", "The index is behind"),
            Self::Damaged => ("record-damaged", "The record is damaged"),
            Self::Internal => ("internal", "Internal error"),
        }
    }

    fn detail(&self) -> String {
        let detail = match self {
            Self::Unauthorized => "Send `Authorization: Bearer` with the operator's token.",
            Self::NotFound => "There is nothing at this path.",
            Self::MethodNotAllowed => "See the `Allow` header for what this path takes.",
            Self::UnknownParameter { name, allowed: [] } => {
                return format!("`{}` is unknown: there are no parameters here.", shown(name));
            }
            Self::UnknownParameter { name, allowed } => {
                return format!("`{}` is unknown; there are: {}.", shown(name), allowed.join(", "));
            }
            Self::BadParameter { name, wanted } => return format!("`{name}` must be {wanted}."),
            Self::BadBody(wanted) => wanted,
            Self::BodyTooLarge => "A request body may have 64 KiB here.",
            Self::BodyTooSlow => "The request body did not arrive in time.",
            Self::Erased => "The bytes were erased; what is known of the event remains.",
            Self::Unavailable(Unavailable::DiskFull) => {
                "The disk is full. Make room, then ask again."
            }
            Self::Unavailable(Unavailable::Behind) => "The store is behind. Ask again.",
            Self::Unavailable(Unavailable::Failed) => {
                "The store cannot be written to. See the log."
            }
            Self::Unavailable(Unavailable::Closing) => "The gateway is stopping. Ask again.",
            Self::Behind => "The index has not caught up with the journal. Ask again.",
            Self::Damaged => "The stored bytes are damaged. Run `hookgate store check`.",
            Self::Internal => "The log has the cause, under the answer's X-Correlation-ID.",
        };
        detail.to_owned()
    }

    /// The header that this answer needs besides its body.
    const fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Unavailable(_) | Self::Behind => {
                Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)))
            }
            _ => None,
        }
    }
}

/// A name that a client made up, fit to be repeated in a sentence.
fn shown(name: &str) -> String {
    mask::visible(name).chars().take(NAME_CHARS_MAX).collect()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (word, title) = self.title();
        let body = Json(json!({
            "type": format!("urn:hookgate:problem:{word}"),
            "title": title,
            "status": self.status().as_u16(),
            "detail": self.detail(),
        }));
        let mut response = (self.status(), body).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.headers_mut().extend(self.header());
        response
    }
}
