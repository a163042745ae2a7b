//! Why Square did not do something, and what the caller is told.

use hookgate_core::tool::Reply;
use hookgate_egress::Answer;
use http::StatusCode;
use serde_json::Value;

use crate::budget::NoAnswer;
use crate::work::End;

/// Errors of one answer that are read. More say nothing new.
const CODES_MAX: usize = 5;

/// The longest code, category or field that is kept, in characters. Square's longest code
/// has 53.
const CODE_CHARS_MAX: usize = 64;

/// An answer that is no success. Square's `detail` is for developers and may name people:
/// it is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SquareError {
    /// The status.
    pub(crate) status: u16,
    /// The codes, which are not a closed list (developer forum, thread 20442).
    pub(crate) codes: Vec<String>,
    /// The category of the first error.
    pub(crate) category: Option<String>,
    /// The field that the first error is about.
    pub(crate) field: Option<String>,
}

/// A request that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// What came last.
    pub(crate) cause: Cause,
    /// Whether one of the tries may have been done nevertheless.
    pub(crate) doubt: Doubt,
}

/// What came of the last try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Square said no.
    Answered(SquareError),
    /// Square said yes, and what else it said cannot be read.
    Unreadable,
    /// There is no answer.
    Silent(NoAnswer),
}

/// Whether something may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doubt {
    /// Certainly not.
    None,
    /// Perhaps, and Square is through with it: reading tells.
    Over,
    /// Perhaps, and perhaps only in a moment: reading tells if it was done, and not that it
    /// was not.
    Open,
}

impl SquareError {
    /// What is kept of an answer.
    pub(crate) fn read(answer: &Answer) -> Self {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let errors = body.get("errors").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let first = |name| errors.first().and_then(|it| it.get(name)).and_then(word);
        Self {
            status: answer.status.as_u16(),
            codes: errors.iter().filter_map(|it| word(it.get("code")?)).take(CODES_MAX).collect(),
            category: first("category"),
            field: first("field"),
        }
    }

    /// Whether one of the errors has this code.
    pub(crate) fn has(&self, code: &str) -> bool {
        self.codes.iter().any(|it| it == code)
    }

    /// Whether the first error is about a field of this name, wherever it stands.
    pub(crate) fn is_about(&self, field: &str) -> bool {
        self.field.as_deref().is_some_and(|it| it.ends_with(field))
    }
}

/// A word of a program. Anything else is somebody's text, which is not kept.
fn word(value: &Value) -> Option<String> {
    let fits = |it: char| it.is_ascii_alphanumeric() || "_.[]".contains(it);
    let text = value.as_str().filter(|it| it.chars().count() <= CODE_CHARS_MAX)?;
    text.chars().all(fits).then(|| text.to_owned())
}

impl Doubt {
    /// Whether a write that ended so may have been done.
    pub(crate) fn of(cause: &Cause) -> Self {
        match cause {
            Cause::Silent(silence) if silence.is_unsent() => Self::None,
            Cause::Silent(_) => Self::Open,
            Cause::Unreadable => Self::Over,
            Cause::Answered(error) => match error.status {
                // What stands before Square's server has lost patience with it.
                408 | 502 | 504 => Self::Open,
                500.. => Self::Over,
                _ => Self::None,
            },
        }
    }
}

impl Failure {
    /// Certainly nothing was done.
    pub(crate) fn certain(cause: Cause) -> Self {
        Self { cause, doubt: Doubt::None }
    }

    /// What Square said, if it said no.
    pub(crate) fn error(&self) -> Option<&SquareError> {
        match &self.cause {
            Cause::Answered(error) => Some(error),
            Cause::Unreadable | Cause::Silent(_) => None,
        }
    }

    /// The status of an answer that says no.
    pub(crate) fn is(&self, status: StatusCode) -> bool {
        self.error().is_some_and(|it| it.status == status.as_u16())
    }

    /// Whether the version that was sent is no longer the booking's. Which code says so is
    /// not documented: 409, and of 400 what Square's invoices answer (developer forum, thread
    /// 20442) and what the list of codes has.
    pub(crate) fn is_stale(&self) -> bool {
        self.error().is_some_and(|it| {
            let says = it.has("CONFLICT") || it.has("VERSION_MISMATCH") || it.is_about("version");
            !self.is_key_reused() && (it.status == 409 || it.status == 400 && says)
        })
    }

    /// Whether the idempotency key has been used, with something else: an earlier try of the
    /// same call came through.
    pub(crate) fn is_key_reused(&self) -> bool {
        self.error().is_some_and(|it| it.has("IDEMPOTENCY_KEY_REUSED"))
    }

    /// Whether Square understood and does not want to.
    pub(crate) fn is_refusal(&self) -> bool {
        self.error().is_some_and(|it| matches!(it.status, 400 | 404 | 405 | 409 | 410 | 422))
    }

    /// The end of a call that needed an answer to go on, and has changed nothing.
    pub(crate) fn end(&self) -> End {
        let is_ours = self.is(StatusCode::UNAUTHORIZED) || self.is(StatusCode::FORBIDDEN);
        End::Failed(if is_ours { not_allowed() } else { unavailable() })
    }
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        failure.end()
    }
}

/// The tenant has no account that can be used.
pub(crate) fn not_configured() -> Reply {
    let message = "I can't reach the booking system because it isn't set up yet. \
                   Please contact the shop directly.";
    Reply::sorry("not_configured", message)
}

/// Square does not take the tenant's credential, or not for this.
pub(crate) fn not_allowed() -> Reply {
    let message = "I don't have access to the booking system right now. \
                   Please contact the shop directly.";
    Reply::sorry("not_allowed", message)
}

/// Square does not answer.
pub(crate) fn unavailable() -> Reply {
    let message = "I can't reach the calendar right now. Please try again in a moment.";
    Reply::sorry("unavailable", message)
}

/// Something was sent, and nobody knows what came of it.
pub(crate) fn unknown() -> Reply {
    let message = "I couldn't confirm whether that went through. \
                   Let me check before we try it again.";
    Reply::sorry("unknown", message)
}

/// What the end of a failed write is, after reading whether it was done: `read` is what it
/// made, if reading found that.
pub(crate) async fn settled<T>(
    failure: Failure,
    read: impl Future<Output = Result<Option<T>, End>>,
) -> Result<T, End> {
    if failure.doubt == Doubt::None && !failure.is_key_reused() {
        return Err(failure.end());
    }
    match read.await {
        Ok(Some(done)) => Ok(done),
        Ok(None) if failure.doubt != Doubt::Open => Err(failure.end()),
        Ok(None) | Err(_) => Err(End::Unknown(unknown())),
    }
}
