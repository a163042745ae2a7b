//! A secret value that was opened or fetched.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use hookgate_core::secret::Secret;
use serde_json::Value;
use zeroize::Zeroizing;

/// The largest value, in bytes. A credential is a token or a small JSON object.
pub const VALUE_BYTES_MAX: usize = 64 << 10;

/// A value. It prints as nothing; clones share its memory, which is wiped when the last of
/// them goes.
#[derive(Clone)]
pub struct SecretValue(Arc<Zeroizing<Vec<u8>>>);

impl SecretValue {
    pub(crate) fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Arc::new(bytes))
    }

    /// The bytes, for what they prove and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as JSON, or nothing if it is none. What is read out of it is not wiped
    /// from memory, so it should not be kept for longer than it is used.
    #[must_use]
    pub fn as_json(&self) -> Option<Value> {
        serde_json::from_slice(&self.0).ok()
    }

    /// The value as text, without the blanks around it: a file's last line break is no part
    /// of a token. What comes over the API is stored as JSON, so of a JSON text it is what
    /// that holds. Nothing if it is no text.
    #[must_use]
    pub fn as_text(&self) -> Option<Secret> {
        match self.as_json() {
            Some(Value::String(text)) => Some(Secret::new(text.trim())),
            _ => std::str::from_utf8(&self.0).ok().map(|it| Secret::new(it.trim())),
        }
    }
}

impl Deref for SecretValue {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.expose()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretValue")
    }
}
