//! Secrets that a source's requests are proven with.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// Secrets that everybody knows, because they were published: the example of MightyCall's
/// guide, that of Tawk.to's `.env.example`, and what a published MightyCall receiver falls
/// back to when its variable is not set.
const PUBLISHED: [&str; 3] = [
    "a7f3c9e2b1d4f8a3c5e7b9d1f3a5c7e9b1d3f5a7c9e1b3d5f7a9c1e3f5a7c9",
    "your_secret_here",
    "your-secret-key",
];

/// One secret. It prints as nothing, clones share its memory, and that is wiped when the
/// last of them goes.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// Takes `text` exactly as it is: a trailing blank is part of the secret.
    #[must_use]
    pub fn new(text: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    /// The bytes, for the digest and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// An empty secret proves nothing: [`Secrets`] does not hold any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret")
    }
}

/// All secrets of one source. Several of a kind are in force while a team rotates
/// them; their order does not matter for the verdict.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    shared: Vec<Secret>,
    account_keys: Vec<Secret>,
}

impl Secrets {
    /// Shared secrets (signing keys and tokens), and account keys that the provider
    /// repeats inside its bodies. Empty ones are left out, so they never match.
    #[must_use]
    pub fn new(shared: Vec<Secret>, account_keys: Vec<Secret>) -> Self {
        let present =
            |secrets: Vec<Secret>| secrets.into_iter().filter(|it| !it.is_empty()).collect();
        Self { shared: present(shared), account_keys: present(account_keys) }
    }

    /// Reads secrets as configuration gives them: several separated by white space.
    #[must_use]
    pub fn from_text(shared: &str, account_keys: &str) -> Self {
        let split = |text: &str| text.split_whitespace().map(Secret::new).collect();
        Self::new(split(shared), split(account_keys))
    }

    /// Signing keys and tokens.
    #[must_use]
    pub fn shared(&self) -> &[Secret] {
        &self.shared
    }

    /// Keys that stand inside a body.
    #[must_use]
    pub fn account_keys(&self) -> &[Secret] {
        &self.account_keys
    }

    /// Whether one of them was published, so that everybody can sign with it.
    #[must_use]
    pub fn has_published(&self) -> bool {
        let is_published =
            |it: &Secret| PUBLISHED.iter().any(|text| text.as_bytes() == it.expose());
        self.shared.iter().chain(&self.account_keys).any(is_published)
    }

    /// Whether there is nothing to prove a request with.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.account_keys.is_empty()
    }
}

/// The key under which header tokens are hashed before they are stored, so that a
/// stored request can still be judged, and a stolen store gives no token away.
#[derive(Clone)]
pub struct MaskKey(Secret);

impl MaskKey {
    /// A key of 32 random bytes, made by the store on its first start.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Secret::new(bytes))
    }

    /// Its bytes, for who writes it down sealed.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// HMAC-SHA256 of a token under this key.
    #[must_use]
    pub fn hash(&self, token: &[u8]) -> [u8; 32] {
        crate::digest::hmac_sha256(self.0.expose(), token)
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("MaskKey")
    }
}
