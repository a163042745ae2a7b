//! The headers of a request in the order they came.

use bytes::Bytes;
use http::HeaderName;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};

use crate::secret::MaskKey;

/// One header's value.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// As it came, outer white space included.
    Plain(Bytes),
    /// A token that was hashed before it was stored (see [`MaskKey`]). Never made from
    /// the wire: only a stored request that is judged again has it. `prefix` is the
    /// authentication scheme in front of the token (`Bearer `), empty if there was none.
    Hashed {
        /// What stood in front of the token, in clear.
        prefix: Bytes,
        /// The keyed hash of the token.
        hash: [u8; 32],
    },
}

impl std::fmt::Debug for Value {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(bytes) => write!(out, "({} bytes)", bytes.len()),
            Self::Hashed { .. } => out.write_str("(hashed)"),
        }
    }
}

/// How often a header stands in a request. An empty value counts as absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// Not there, or only with empty values.
    Absent,
    /// There once. The value is trimmed of outer blanks and tabs, as HTTP does.
    Once(Text<'a>),
    /// There twice or more; which one counts is not ours to guess.
    Repeated,
}

/// A header value as a scheme reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// In clear, trimmed.
    Plain(&'a [u8]),
    /// Hashed before it was stored.
    Hashed {
        /// What stood in front of the token.
        prefix: &'a [u8],
        /// The keyed hash of the token.
        hash: &'a [u8; 32],
    },
}

/// Headers in order, names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(HeaderName, Value)>);

impl Headers {
    /// No headers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// No headers, with room for `count`.
    #[must_use]
    pub fn with_capacity(count: usize) -> Self {
        Self(Vec::with_capacity(count))
    }

    /// Adds a header behind the others.
    pub fn push(&mut self, name: HeaderName, value: Value) {
        self.0.push((name, value));
    }

    /// Adds a header as it came off the wire.
    pub fn push_plain(&mut self, name: HeaderName, value: impl Into<Bytes>) {
        self.push(name, Value::Plain(value.into()));
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &Value)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Looks for the one value of `name`.
    #[must_use]
    pub fn find(&self, name: &HeaderName) -> Found<'_> {
        let mut found = Found::Absent;
        for (_, value) in self.0.iter().filter(|(it, _)| it == name) {
            let text = match value {
                Value::Plain(bytes) => Text::Plain(trim(bytes)),
                Value::Hashed { prefix, hash } => Text::Hashed { prefix, hash },
            };
            if text == Text::Plain(b"") {
                continue;
            }
            if found != Found::Absent {
                return Found::Repeated;
            }
            found = Found::Once(text);
        }
        found
    }

    /// The one value of `name` in clear as text, if it is there just once.
    #[must_use]
    pub fn text(&self, name: &HeaderName) -> Option<&str> {
        match self.find(name) {
            Found::Once(Text::Plain(bytes)) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The headers as they may be stored: tokens become keyed hashes. Besides the
    /// headers that always carry a credential, `tokens` names those of the source.
    #[must_use]
    pub fn masked(&self, key: &MaskKey, tokens: &[HeaderName]) -> Self {
        let mask = |(name, value): &(HeaderName, Value)| {
            let value = match value {
                Value::Plain(bytes) if is_credential(name) || tokens.contains(name) => {
                    hash_token(key, bytes)
                }
                _ => value.clone(),
            };
            (name.clone(), value)
        };
        Self(self.0.iter().map(mask).collect())
    }
}

/// Whether a header carries a credential whatever the source.
fn is_credential(name: &HeaderName) -> bool {
    [AUTHORIZATION, PROXY_AUTHORIZATION, COOKIE].contains(name)
        || ["x-vapi-secret", "x-hookgate-tool-secret", "x-webhook-secret", "x-api-key"]
            .contains(&name.as_str())
}

/// What may stand in clear in front of a hashed token. Any other word may be a piece of
/// the secret.
const AUTHENTICATION_WORDS: [&[u8]; 2] = [b"bearer ", b"basic "];

fn hash_token(key: &MaskKey, value: &Bytes) -> Value {
    let trimmed = trim(value);
    if trimmed.is_empty() {
        return Value::Plain(Bytes::new());
    }
    let start = AUTHENTICATION_WORDS.into_iter().find(|word| {
        trimmed.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
    });
    let (prefix, token) =
        trimmed.split_at_checked(start.map_or(0, <[u8]>::len)).unwrap_or_default();
    Value::Hashed { prefix: Bytes::copy_from_slice(prefix), hash: key.hash(token) }
}

/// Without the blanks and tabs around it (RFC 9110 §5.5, optional white space).
fn trim(value: &[u8]) -> &[u8] {
    let is_blank = |it: &u8| matches!(it, b' ' | b'\t');
    let Some(start) = value.iter().position(|it| !is_blank(it)) else { return b"" };
    let end = value.iter().rposition(|it| !is_blank(it)).map_or(0, |at| at.saturating_add(1));
    value.get(start..end).unwrap_or(b"")
}
