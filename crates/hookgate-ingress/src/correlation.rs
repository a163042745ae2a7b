//! The id that a request's answer and every log line of it carry.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use http::header::HeaderName;

/// The header that carries it, in both directions.
pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// What a caller's own id may measure.
const ID_BYTES_MAX: usize = 64;

/// Makes new ids: a random number of this process and a running one, so that a request
/// costs no system call.
#[derive(Debug)]
pub(crate) struct Correlations {
    process: u64,
    next: AtomicU64,
}

impl Correlations {
    pub(crate) fn new() -> Self {
        // The standard library seeds its hashers from the system's randomness.
        Self { process: RandomState::new().build_hasher().finish(), next: AtomicU64::new(1) }
    }

    /// The caller's id if it has a well-formed one, else a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> String {
        let mut given = headers.get_all(CORRELATION_ID).iter();
        match (given.next(), given.next()) {
            (Some(only), None) if is_token(only.as_bytes(), ID_BYTES_MAX) => {
                String::from_utf8_lossy(only.as_bytes()).into_owned()
            }
            _ => self.issue(),
        }
    }

    pub(crate) fn issue(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}{number:010x}", self.process)
    }
}

/// Whether a text is `[A-Za-z0-9._-]{1,max}`.
pub(crate) fn is_token(text: &[u8], max: usize) -> bool {
    let is_plain = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
    (1..=max).contains(&text.len()) && text.iter().all(is_plain)
}
