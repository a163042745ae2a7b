//! The body of a request to the console: small, read in a bounded time, and of a known
//! shape.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use hookgate_core::mask::visible;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// What a body may have, in bytes: a thousand ids fit.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// So much is repeated of what is wrong with a body, in characters.
const FAULT_CHARS_MAX: usize = 300;

/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(10);

/// Reads all of it.
pub(crate) async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_WAIT, to_bytes(body, BODY_BYTES_MAX)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Problem::BodyTooLarge),
        Err(_) => Err(Problem::BodyTooSlow),
    }
}

/// What a client asks for in a body. A member that is not known is an error.
pub(crate) trait Wish: DeserializeOwned {
    /// A sentence that says what the body is made of.
    const SHAPE: &'static str;

    /// What no body at all means, where there may be none.
    fn unsaid() -> Option<Self> {
        None
    }
}

/// A body of this shape. What is wrong with another one is not repeated: it may hold a
/// secret.
#[derive(Debug)]
pub(crate) struct Given<T>(pub(crate) T);

impl<T: Wish, S: Sync> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let body = read(request.into_body()).await?;
        if body.is_empty()
            && let Some(unsaid) = T::unsaid()
        {
            return Ok(Self(unsaid));
        }
        serde_json::from_slice(&body).map(Self).map_err(|_| Problem::BadBody(T::SHAPE))
    }
}

/// The parts of the path that have names. What is no text names nothing.
#[derive(Debug)]
pub(crate) struct InPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Path::from_request_parts(parts, state).await;
        found.map(|Path(it)| Self(it)).map_err(|_| Problem::NotFound)
    }
}

/// A sentence of a bounded length about what is wrong with a body.
pub(crate) fn said(fault: &str) -> String {
    let text = visible(fault);
    let mut chars = text.chars().take(FAULT_CHARS_MAX);
    let first = chars.next().map(|it| it.to_ascii_uppercase());
    let text: String = first.into_iter().chain(chars).collect();
    if text.ends_with(['.', '…']) { text } else { format!("{text}.") }
}

/// The same of what serde says, if that names a member of ours and no value: a value may be a
/// secret.
pub(crate) fn misnamed(fault: &str) -> Option<String> {
    let names_a_member = fault.starts_with("unknown field") || fault.starts_with("missing field");
    names_a_member.then(|| said(&format!("the body is of another shape: {fault}")))
}
