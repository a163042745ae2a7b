//! Sealing: AES-256-GCM over a value, bound to what it is for.
//!
//! A sealed text is one byte of version, 12 bytes of nonce, and the ciphertext with its tag
//! of 16 bytes. What it is for is associated data: it is not stored with it, and a text that
//! is moved to another tenant or another name does not open.
//!
//! Nonces are random. Under one key 2³² values may be sealed before two nonces meet with a
//! chance of 2⁻³² (NIST SP 800-38D, 8.3); a key is one tenant's, and the installation's own
//! key would seal a hundred answers a second for more than a year.

use std::io;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use zeroize::Zeroizing;

use crate::key::{Key, MasterKey, fill};

/// The format of today. Others are refused, not guessed.
const VERSION: u8 = 1;

const NONCE_BYTES: usize = 12;

/// What a sealed text is for: all of it must be the same again to open it.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// The data key of a tenant, under a master key.
    DataKey { tenant: &'a str },
    /// The value called `name` of a tenant.
    Credential { tenant: &'a str, name: &'a str },
    /// Something of the installation itself.
    Installation { label: &'a str },
    /// What a node keeps on its own disk, under a master key.
    Node { label: &'a str },
}

/// Why a sealed text does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOpened {
    /// It has another format: a newer version of Hookgate made it, or nobody did.
    #[error("the sealed value has an unknown format")]
    Format,
    /// It was changed, is another tenant's or another name's, or was sealed with another key.
    #[error("the sealed value does not open")]
    Wrong,
}

impl Purpose<'_> {
    /// The associated data: parts with their lengths, so that no two purposes have the same.
    fn bytes(self) -> Vec<u8> {
        let (what, parts): (&str, &[&str]) = match self {
            Self::DataKey { tenant } => ("data key", &[tenant]),
            Self::Credential { tenant, name } => ("credential", &[tenant, name]),
            Self::Installation { label } => ("installation", &[label]),
            Self::Node { label } => ("node", &[label]),
        };
        let mut bytes = vec![VERSION];
        for part in std::iter::once("hookgate").chain([what]).chain(parts.iter().copied()) {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

/// Seals `value` under `key`.
///
/// # Errors
///
/// The operating system gives no random bytes.
pub(crate) fn seal(key: &Key, purpose: Purpose<'_>, value: &[u8]) -> io::Result<Vec<u8>> {
    let mut nonce = [0; NONCE_BYTES];
    fill(&mut nonce)?;
    let payload = Payload { msg: value, aad: &purpose.bytes() };
    let cipher = cipher(key).map_err(|_| io::Error::other("the key has another length"))?;
    // Only 64 GiB would be too much for it.
    let text = cipher.encrypt(&Nonce::from(nonce), payload).map_err(io::Error::other)?;
    let mut sealed = Vec::with_capacity(text.len().saturating_add(1 + NONCE_BYTES));
    sealed.push(VERSION);
    sealed.extend(nonce);
    sealed.extend(text);
    Ok(sealed)
}

/// Opens what [`seal`] made for the same purpose under the same key.
///
/// # Errors
///
/// It does not open.
pub(crate) fn open(
    key: &Key,
    purpose: Purpose<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
    let Some((&VERSION, rest)) = sealed.split_first() else { return Err(NotOpened::Format) };
    let Some((nonce, text)) = rest.split_first_chunk::<NONCE_BYTES>() else {
        return Err(NotOpened::Wrong);
    };
    let payload = Payload { msg: text, aad: &purpose.bytes() };
    let opened = cipher(key)?.decrypt(&Nonce::from(*nonce), payload);
    opened.map(Zeroizing::new).map_err(|_| NotOpened::Wrong)
}

/// Wraps a tenant's data key.
pub(crate) fn wrap(master: &MasterKey, tenant: &str, key: &Key) -> io::Result<Vec<u8>> {
    seal(&master.key, Purpose::DataKey { tenant }, key.expose())
}

/// Unwraps a tenant's data key.
pub(crate) fn unwrap(master: &MasterKey, tenant: &str, wrapped: &[u8]) -> Result<Key, NotOpened> {
    let opened = open(&master.key, Purpose::DataKey { tenant }, wrapped)?;
    Key::from_slice(&opened).ok_or(NotOpened::Wrong)
}

fn cipher(key: &Key) -> Result<Aes256Gcm, NotOpened> {
    Aes256Gcm::new_from_slice(key.expose()).map_err(|_| NotOpened::Wrong)
}

#[cfg(test)]
mod tests;
