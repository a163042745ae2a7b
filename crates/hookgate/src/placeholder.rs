//! Secrets that everybody knows, because they were published.

use hookgate_core::secret::Secrets;

/// Whether one of these secrets was published.
pub(crate) fn is_among(secrets: &Secrets) -> bool {
    secrets.has_published()
}
