//! Errors in Square's shape: `{"errors":[{"category","code","detail","field"?}]}`.

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A request that is not done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    category: &'static str,
    code: &'static str,
    detail: &'static str,
    field: Option<&'static str>,
}

impl Refusal {
    /// 400: the request is wrong.
    pub(crate) fn bad(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST_ERROR", code, detail)
    }

    /// 400: something is not there that must be.
    pub(crate) fn missing(field: &'static str) -> Self {
        Self::bad("MISSING_REQUIRED_PARAMETER", "Missing required parameter.").of(field)
    }

    /// 400: something has a form or size that it must not have.
    pub(crate) fn invalid(field: &'static str) -> Self {
        Self::bad("INVALID_VALUE", "Invalid value.").of(field)
    }

    /// 404.
    pub(crate) fn not_found(detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "INVALID_REQUEST_ERROR", "NOT_FOUND", detail)
    }

    /// 401.
    pub(crate) fn unauthorized() -> Self {
        let detail = "This request could not be authorized.";
        Self::new(StatusCode::UNAUTHORIZED, "AUTHENTICATION_ERROR", "UNAUTHORIZED", detail)
    }

    /// 401: the token was good once.
    pub(crate) fn expired() -> Self {
        let detail = "The access token has expired.";
        Self::new(StatusCode::UNAUTHORIZED, "AUTHENTICATION_ERROR", "ACCESS_TOKEN_EXPIRED", detail)
    }

    /// 403.
    pub(crate) fn forbidden() -> Self {
        let detail = "The merchant has not given your application sufficient permissions.";
        Self::new(StatusCode::FORBIDDEN, "AUTHENTICATION_ERROR", "INSUFFICIENT_SCOPES", detail)
    }

    /// 409: somebody else was first.
    pub(crate) fn stale() -> Self {
        let detail = "The version does not match that of the booking.";
        let code = "VERSION_MISMATCH";
        Self::new(StatusCode::CONFLICT, "INVALID_REQUEST_ERROR", code, detail).of("version")
    }

    /// 409, without saying what about.
    pub(crate) fn conflict() -> Self {
        Self::new(StatusCode::CONFLICT, "INVALID_REQUEST_ERROR", "CONFLICT", "Conflict.")
    }

    /// 429.
    pub(crate) fn rate_limited() -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "RATE_LIMIT_ERROR", "RATE_LIMITED", "Rate limited.")
    }

    /// 500.
    pub(crate) fn internal() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::new(status, "API_ERROR", "INTERNAL_SERVER_ERROR", "Internal server error.")
    }

    /// Names the field that it is about.
    pub(crate) fn of(mut self, field: &'static str) -> Self {
        self.field = Some(field);
        self
    }

    fn new(
        status: StatusCode,
        category: &'static str,
        code: &'static str,
        detail: &'static str,
    ) -> Self {
        Self { status, category, code, detail, field: None }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut error =
            json!({ "category": self.category, "code": self.code, "detail": self.detail });
        if let (Some(field), Some(error)) = (self.field, error.as_object_mut()) {
            error.insert("field".to_owned(), field.into());
        }
        let mut response = (self.status, Json(json!({ "errors": [error] }))).into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The object in a body.
pub(crate) fn object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(Refusal::bad("EXPECTED_JSON_BODY", "The body is not a JSON object.")),
    }
}

/// A text of at most `chars_max` characters, if it is there.
pub(crate) fn text<'a>(
    object: &'a Map<String, Value>,
    field: &'static str,
    chars_max: usize,
) -> Result<Option<&'a str>, Refusal> {
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().count() <= chars_max => Ok(Some(text)),
        Some(Value::String(_)) => Err(Refusal::bad("VALUE_TOO_LONG", "Value too long.").of(field)),
        Some(_) => Err(Refusal::bad("EXPECTED_STRING", "Expected a string value.").of(field)),
    }
}

/// A whole number, if it is there.
pub(crate) fn number(
    object: &Map<String, Value>,
    field: &'static str,
) -> Result<Option<i64>, Refusal> {
    let wrong = Refusal::bad("EXPECTED_INTEGER", "Expected an integer value.").of(field);
    match object.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_i64().map(Some).ok_or(wrong),
    }
}
