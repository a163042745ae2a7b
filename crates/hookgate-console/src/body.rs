//! The body of a request to the console: small, and read in a bounded time.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};

use crate::problem::Problem;

/// What a body may have, in bytes: a thousand ids fit.
const BODY_BYTES_MAX: usize = 64 * 1024;

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
