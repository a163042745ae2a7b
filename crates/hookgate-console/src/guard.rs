//! What happens to every request around its handler: its id, who asks, who may, what a
//! panic becomes, and the headers of its answer.

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
use hookgate_core::tenant::Scope;
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

/// The id of a request, for what is written down about it.
#[derive(Clone, Debug)]
pub(crate) struct Correlation(pub(crate) String);

/// Around every request: gives it an id, keeps a panic from its caller, seals the answer.
pub(crate) async fn every(mut request: Request, next: Next) -> Response {
    let id = correlation_id(request.headers());
    let text = id.to_str().unwrap_or_default();
    let span = tracing::info_span!("console", correlation_id = text);
    request.extensions_mut().insert(Correlation(text.to_owned()));
    let mut response = unpanicked(next.run(request)).instrument(span).await;

    let headers = response.headers_mut();
    headers.insert(CORRELATION_ID, id);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Lets pass who has a token, and says with it whose data the request may touch: handlers
/// take the [`Scope`] from the request's extensions.
pub(crate) async fn known(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(scope) = scope(request.headers(), &shared) else {
        return Problem::Unauthorized.into_response();
    };
    request.extensions_mut().insert(scope);
    next.run(request).await
}

/// Lets the operator pass. To a tenant's key there is nothing here.
pub(crate) async fn operator(request: Request, next: Next) -> Response {
    match request.extensions().get::<Scope>() {
        Some(Scope::Operator) => next.run(request).await,
        Some(Scope::Tenant(_)) => Problem::NotFound.into_response(),
        None => Problem::Unauthorized.into_response(),
    }
}

/// Lets the operator pass, and whoever asks from this machine.
pub(crate) async fn operator_or_local(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    if is_local(request.headers(), request.extensions()) {
        return next.run(request).await;
    }
    match scope(request.headers(), &shared) {
        Some(Scope::Operator) => next.run(request).await,
        Some(Scope::Tenant(_)) => Problem::NotFound.into_response(),
        None => Problem::Unauthorized.into_response(),
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

/// Who sends just one `Authorization: Bearer` that is a token of somebody's.
pub(crate) fn scope(headers: &HeaderMap, shared: &Shared) -> Option<Scope> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (word, given) = value.as_bytes().split_at_checked(b"bearer ".len())?;
    if !word.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let token = &shared.console.admin_token;
    let is_operator = bool::from(same_token(given, token.expose()));
    if is_operator && !token.is_empty() {
        return Some(Scope::Operator);
    }
    shared.console.store.registry().tenant_of_key(given).map(Scope::Tenant)
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
