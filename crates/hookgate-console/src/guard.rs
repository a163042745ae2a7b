//! What happens to every request around its handler: its id, who may ask, what a panic
//! becomes, and the headers of its answer.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, FORWARDED, HeaderName, HeaderValue, REFERRER_POLICY, VIA,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hookgate_core::digest::same_token;
use hookgate_core::secret::Secret;
use tracing::Instrument;
use uuid::Uuid;

use crate::problem::Problem;
use crate::{Caller, Shared};

/// Names a request across logs and answers.
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// A caller's own id may have so many characters: enough for a UUID or a trace id.
const CORRELATION_ID_CHARS_MAX: usize = 64;

/// Headers that only a proxy adds. With one of them, the peer is not the caller.
const PROXY_HEADERS: [HeaderName; 4] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-real-ip"),
];

/// Around every request: gives it an id, keeps a panic from its caller, seals the answer.
pub(crate) async fn every(request: Request, next: Next) -> Response {
    let id = correlation_id(request.headers());
    let span = tracing::info_span!("console", correlation_id = id.to_str().unwrap_or_default());
    let mut response = unpanicked(next.run(request)).instrument(span).await;

    let headers = response.headers_mut();
    headers.insert(CORRELATION_ID, id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Lets the operator pass.
pub(crate) async fn operator(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    if presents(request.headers(), &shared.console.admin_token) {
        next.run(request).await
    } else {
        Problem::Unauthorized.into_response()
    }
}

/// Lets the operator pass, and whoever asks from this machine.
pub(crate) async fn operator_or_local(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let local = is_local(request.headers(), request.extensions());
    if local || presents(request.headers(), &shared.console.admin_token) {
        next.run(request).await
    } else {
        Problem::Unauthorized.into_response()
    }
}

/// The caller's id for the request, if it can stand in a log line as it is, else a new one.
fn correlation_id(headers: &HeaderMap) -> HeaderValue {
    let plain = |it: &u8| it.is_ascii_alphanumeric() || b"._-".contains(it);
    let proper = |value: &&HeaderValue| {
        let length = 1..=CORRELATION_ID_CHARS_MAX;
        length.contains(&value.len()) && value.as_bytes().iter().all(plain)
    };
    let given = headers.get(CORRELATION_ID).filter(proper).cloned();
    given.unwrap_or_else(|| {
        let id = Uuid::now_v7().simple().to_string();
        HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Runs a handler, and answers for it if it panics. The panic hook has logged where.
async fn unpanicked(handler: impl Future<Output = Response>) -> Response {
    let mut handler = pin!(handler);
    std::future::poll_fn(|context| {
        // Unwind safety: the handler is dropped after a panic and never polled again.
        catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))).unwrap_or_else(|_| {
            tracing::error!("the console panicked while answering a request");
            std::task::Poll::Ready(Problem::Internal.into_response())
        })
    })
    .await
}

/// Whether just one `Authorization: Bearer` is there and is the operator's token.
fn presents(headers: &HeaderMap, token: &Secret) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Some((word, given)) = value.as_bytes().split_at_checked(b"bearer ".len()) else {
        return false;
    };
    let right = bool::from(same_token(given, token.expose()));
    word.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() && right
}

/// Whether the request comes from this machine and no proxy stands in between.
fn is_local(headers: &HeaderMap, extensions: &Extensions) -> bool {
    let loopback =
        extensions.get::<Caller>().is_some_and(|it| it.addr.to_canonical().is_loopback());
    loopback && !PROXY_HEADERS.iter().any(|name| headers.contains_key(name))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_internal_error_to_its_caller() {
        let response = unpanicked(async { panic!("a secret of ours") }).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        assert!(!String::from_utf8_lossy(&body).contains("secret of ours"));
    }
}
