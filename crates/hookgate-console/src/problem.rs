//! What an error is to a client: a problem as in RFC 9457.

use std::borrow::Cow;
use std::error::Error;
use std::io::ErrorKind;

use axum::Json;
use axum::http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use hookgate_core::mask;
use hookgate_secrets::SecretsError;
use hookgate_store::{DecideError, ReadError, RegistryError, Unavailable, is_database_away};
use serde::Serialize;
use utoipa::ToSchema;

/// When a client that met an unavailable store should come back, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: &str = "5";

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// So much of an unknown parameter's name is repeated, in characters.
const NAME_CHARS_MAX: usize = 40;

/// Everything that a request can be refused with.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// The token is missing or wrong.
    Unauthorized,
    /// Nothing has this id, or leads from this path, or it is not the caller's.
    NotFound,
    /// The request names a tenant that is not there.
    NoSuchTenant,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The query has a parameter that the path does not know.
    UnknownParameter {
        /// As it was sent.
        name: String,
        /// What the path knows.
        allowed: Vec<String>,
    },
    /// A parameter, member or header has a value that it cannot have.
    BadParameter {
        /// The parameter.
        name: Cow<'static, str>,
        /// What it can have.
        wanted: String,
    },
    /// What is asked for cannot be. The sentence says what can.
    Invalid(&'static str),
    /// The body is not what the path takes. The sentence says what it does.
    BadBody(&'static str),
    /// The settings of a source are not possible. The sentence says why.
    BadSource(String),
    /// The settings of a tenant's tools are not possible. The sentence says why.
    BadTools(String),
    /// The settings of a destination are not possible. The sentence says why.
    BadDestination(String),
    /// The body has more bytes than the path takes.
    BodyTooLarge,
    /// The body took too long to arrive.
    BodyTooSlow,
    /// The id is another tenant's, or the name is in use.
    Taken,
    /// The source is configured in the file.
    Reserved,
    /// There are as many as there may be.
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: u64,
    },
    /// So many streams are open as there may be.
    TooManyStreams,
    /// Credentials are kept in another place, and written there.
    KeptElsewhere(&'static str),
    /// The event is accepted already.
    NotQuarantined,
    /// The event is in quarantine.
    Quarantined,
    /// The delivery arrived already.
    Delivered,
    /// The destination is disabled.
    Disabled,
    /// The event does not prove its origin.
    Unproven,
    /// The event's bytes cannot be read, and so not be masked.
    Unmaskable,
    /// A request with the same `Idempotency-Key` is still running.
    InProgress,
    /// The `Idempotency-Key` was used with another request.
    IdempotencyConflict,
    /// The bytes were erased.
    Erased,
    /// The recording is not here.
    NotFetched,
    /// The recording has so many bytes, and none where they were asked for.
    OutOfRange(u64),
    /// The store takes nothing now.
    Unavailable(Unavailable),
    /// The store's database is away.
    DatabaseAway,
    /// Nothing can be sealed or opened now.
    SecretsUnavailable,
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
            ReadError::Io(cause) if is_database_away(&cause) => Self::away(&cause),
            ReadError::Io(cause) if cause.kind() == ErrorKind::TimedOut => {
                tracing::warn!(error = %cause, "the database does not answer");
                Self::Unavailable(Unavailable::Behind)
            }
            ReadError::Io(cause) => Self::failed("reading the store", &cause),
        }
    }

    /// Why an event is not decided about anew.
    pub(crate) fn deciding(error: DecideError) -> Self {
        match error {
            DecideError::NotFound => Self::NotFound,
            DecideError::NotQuarantined => Self::NotQuarantined,
            DecideError::Unproven => Self::Unproven,
            DecideError::NoSuchTenant => Self::NoSuchTenant,
            DecideError::Unavailable(cause) => Self::Unavailable(cause),
        }
    }

    /// Why a credential is not sealed or opened. Logs what somebody must act on.
    pub(crate) fn secrets(error: &SecretsError) -> Self {
        match error {
            SecretsError::Registry(error) => Self::of_registry(error),
            SecretsError::Name => Self::Invalid(
                "a credential's name has 1 to 64 lower-case letters, digits, `.`, `-` and `_`, and \
                 begins with a letter or a digit",
            ),
            SecretsError::TooLarge => Self::BodyTooLarge,
            SecretsError::ReadOnly(place) => Self::KeptElsewhere(place),
            error => {
                tracing::error!(error = error as &dyn Error, "a secret cannot be sealed or opened");
                Self::SecretsUnavailable
            }
        }
    }

    /// What the registry did not do. Logs what somebody must act on.
    #[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` takes")]
    pub(crate) fn registry(error: RegistryError) -> Self {
        Self::of_registry(&error)
    }

    fn of_registry(error: &RegistryError) -> Self {
        match error {
            RegistryError::Taken => Self::Taken,
            RegistryError::NoSuchTenant => Self::NoSuchTenant,
            RegistryError::NotFound => Self::NotFound,
            RegistryError::TooMany { what, max } => Self::TooMany { what, max: *max },
            RegistryError::Reserved => Self::Reserved,
            RegistryError::Conflict => Self::IdempotencyConflict,
            RegistryError::Invalid(sentence) => Self::Invalid(sentence),
            error if is_database_away(error) => Self::away(error),
            RegistryError::Unavailable { .. } => {
                tracing::error!(error = error as &dyn Error, "the registry is unavailable");
                Self::Unavailable(Unavailable::Failed)
            }
        }
    }

    /// Who writes events and who delivers them say so in the log.
    fn away(cause: &(dyn Error + 'static)) -> Self {
        tracing::debug!(error = cause, "the database is away");
        Self::DatabaseAway
    }

    /// A fault of ours while `doing` something, logged here.
    pub(crate) fn failed(doing: &'static str, cause: &(dyn Error + 'static)) -> Self {
        tracing::error!(error = cause, "{doing} failed");
        Self::Internal
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::NoSuchTenant => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnknownParameter { .. }
            | Self::BadParameter { .. }
            | Self::Invalid(_)
            | Self::BadSource(_)
            | Self::BadTools(_)
            | Self::BadDestination(_)
            | Self::BadBody(_) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Taken
            | Self::Reserved
            | Self::TooMany { .. }
            | Self::KeptElsewhere(_)
            | Self::NotQuarantined
            | Self::Quarantined
            | Self::Delivered
            | Self::Disabled
            | Self::Unproven
            | Self::Unmaskable
            | Self::NotFetched
            | Self::InProgress => StatusCode::CONFLICT,
            Self::TooManyStreams => StatusCode::TOO_MANY_REQUESTS,
            Self::IdempotencyConflict => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Erased => StatusCode::GONE,
            Self::OutOfRange(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unavailable(_) | Self::DatabaseAway | Self::SecretsUnavailable | Self::Behind => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Damaged | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The last word of its type, for programs, and its title, for people.
    const fn title(&self) -> (&'static str, &'static str) {
        match self {
            Self::Unauthorized => ("unauthorized", "A token is needed"),
            Self::NotFound => ("not-found", "Not found"),
            Self::NoSuchTenant => ("no-such-tenant", "No such tenant"),
            Self::MethodNotAllowed => ("method-not-allowed", "Method not allowed"),
            Self::UnknownParameter { .. } => ("unknown-parameter", "Unknown parameter"),
            Self::BadParameter { .. } | Self::Invalid(_) => ("bad-parameter", "Bad parameter"),
            Self::BadBody(_) => ("bad-body", "Bad request body"),
            Self::BadSource(_) => ("bad-source", "Bad source"),
            Self::BadTools(_) => ("bad-tools", "Bad settings of tools"),
            Self::BadDestination(_) => ("bad-destination", "Bad destination"),
            Self::BodyTooLarge => ("body-too-large", "Request body too large"),
            Self::BodyTooSlow => ("body-too-slow", "Request body too slow"),
            Self::Taken => ("taken", "Taken"),
            Self::Reserved => ("reserved", "Reserved"),
            Self::TooMany { .. } => ("too-many", "Too many"),
            Self::TooManyStreams => ("too-many-streams", "Too many streams"),
            Self::KeptElsewhere(_) => ("kept-elsewhere", "Kept elsewhere"),
            Self::NotQuarantined => ("not-quarantined", "Not in quarantine"),
            Self::Quarantined => ("quarantined", "In quarantine"),
            Self::Delivered => ("delivered", "Delivered"),
            Self::Disabled => ("destination-disabled", "The destination is disabled"),
            Self::Unproven => ("unproven", "Not proven"),
            Self::Unmaskable => ("unmaskable", "Cannot be masked"),
            Self::InProgress => ("in-progress", "In progress"),
            Self::IdempotencyConflict => ("idempotency-conflict", "Idempotency conflict"),
            Self::Erased => ("erased", "Erased"),
            Self::NotFetched => ("not-fetched", "Not fetched"),
            Self::OutOfRange(_) => ("out-of-range", "Out of range"),
            Self::Unavailable(_) | Self::DatabaseAway => {
                ("store-unavailable", "The store is unavailable")
            }
            Self::SecretsUnavailable => ("secrets-unavailable", "Nothing can be sealed"),
            Self::Behind => ("index-behind", "The index is behind"),
            Self::Damaged => ("record-damaged", "The record is damaged"),
            Self::Internal => ("internal", "Internal error"),
        }
    }

    /// The word for programs.
    pub(crate) const fn word(&self) -> &'static str {
        self.title().0
    }

    fn detail(&self) -> String {
        let detail = match self {
            Self::Unauthorized => {
                "Send `Authorization: Bearer` with the operator's token or a tenant's key."
            }
            Self::NotFound => "There is nothing at this path.",
            Self::NoSuchTenant => "There is no tenant with this id.",
            Self::MethodNotAllowed => "See the `Allow` header for what this path takes.",
            Self::UnknownParameter { name, allowed } if allowed.is_empty() => {
                return format!("`{}` is unknown: there are no parameters here.", shown(name));
            }
            Self::UnknownParameter { name, allowed } => {
                return format!("`{}` is unknown; there are: {}.", shown(name), allowed.join(", "));
            }
            Self::BadParameter { name, wanted } => return format!("`{name}` must be {wanted}."),
            Self::Invalid(sentence) => return spoken(sentence),
            Self::BadBody(wanted) => wanted,
            Self::BadSource(why) | Self::BadTools(why) | Self::BadDestination(why) => {
                return why.clone();
            }
            Self::BodyTooLarge => "A request body may have 64 KiB here.",
            Self::BodyTooSlow => "The request body did not arrive in time.",
            Self::Taken => "It belongs to somebody else already.",
            Self::Reserved => "The configuration of the gateway has this source: change it there.",
            Self::TooMany { what, max } => return format!("There may be {max} {what}."),
            Self::TooManyStreams => "So many streams are open as there may be. Close one.",
            Self::KeptElsewhere(place) => {
                return format!("Credentials come from {place}: change them there.");
            }
            Self::NotQuarantined => "The event is accepted already.",
            Self::Quarantined => "The event is in quarantine, and passed on to nobody.",
            Self::Delivered => "It arrived already. Replay its event to deliver that again.",
            Self::Disabled => "The destination is disabled. Enable it first.",
            Self::Unproven => "The event did not prove its origin; it stays in quarantine.",
            Self::Unmaskable => {
                "The body cannot be read, and so its credentials cannot be masked: ask the operator."
            }
            Self::InProgress => {
                "A request with this `Idempotency-Key` is still running. Ask again."
            }
            Self::IdempotencyConflict => {
                "This `Idempotency-Key` was used with another request. Use a new one."
            }
            Self::NotFetched => {
                "The recording is not here; its `state` and `reason` in the list say why."
            }
            Self::OutOfRange(bytes) => return format!("The recording has {bytes} bytes."),
            Self::Erased => "The bytes were erased; what is known of the event remains.",
            Self::Unavailable(Unavailable::DiskFull) => {
                "The disk is full. Make room, then ask again."
            }
            Self::Unavailable(Unavailable::Behind) => "The store is behind. Ask again.",
            Self::Unavailable(Unavailable::Failed) => {
                "The store cannot be written to. See the log."
            }
            Self::Unavailable(Unavailable::Closing) => "The gateway is stopping. Ask again.",
            Self::DatabaseAway => "The database is away. Ask again when it is back.",
            Self::SecretsUnavailable => "Nothing can be sealed or opened now. See the log.",
            Self::Behind => "The index has not caught up with the journal. Ask again.",
            Self::Damaged => "The stored bytes are damaged. Run `hookgate store check`.",
            Self::Internal => "The log has the cause, under the answer's X-Correlation-ID.",
        };
        detail.to_owned()
    }

    /// The header that this answer needs besides its body.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::Unavailable(_)
            | Self::DatabaseAway
            | Self::SecretsUnavailable
            | Self::Behind
            | Self::InProgress
            | Self::TooManyStreams => {
                Some((RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS)))
            }
            Self::OutOfRange(bytes) => {
                let range = HeaderValue::try_from(format!("bytes */{bytes}")).ok();
                range.map(|it| (CONTENT_RANGE, it))
            }
            _ => None,
        }
    }
}

/// A name that a client made up, fit to be repeated in a sentence.
fn shown(name: &str) -> String {
    mask::visible(name).chars().take(NAME_CHARS_MAX).collect()
}

/// A sentence that began inside another one.
fn spoken(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(|it| it.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// A problem as it is sent (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Sent {
    /// `urn:hookgate:problem:` and a word for programs.
    #[serde(rename = "type")]
    #[schema(example = "urn:hookgate:problem:not-found")]
    word: String,
    /// What it is, for people.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What to do about it.
    detail: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (word, title) = self.title();
        let word = format!("urn:hookgate:problem:{word}");
        let status = self.status();
        let sent = Sent { word, title, status: status.as_u16(), detail: self.detail() };
        let mut response = (status, Json(sent)).into_response();
        let json = HeaderValue::from_static(PROBLEM_JSON);
        response.headers_mut().insert(CONTENT_TYPE, json);
        response.headers_mut().extend(self.header());
        response
    }
}
