//! Digests, in one place: made, written, read and compared.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::{Choice, ConstantTimeEq};

use crate::scheme::{Digest, Encoding};

/// The longest digest in use, HMAC-SHA512's.
const DIGEST_BYTES_MAX: usize = 64;

/// HMAC-SHA256 of `message` under `key`.
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = keyed::<Hmac<Sha256>>(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// SHA-256 of `message`.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// Whether a token is the secret, in a time that does not tell how much of it is right.
#[must_use]
pub fn same_token(token: &[u8], secret: &[u8]) -> Choice {
    sha256(token).ct_eq(&sha256(secret))
}

fn keyed<M: KeyInit>(key: &[u8]) -> M {
    // Unwrap safety: HMAC takes keys of any length.
    let Ok(mac) = M::new_from_slice(key) else { unreachable!("any key length") };
    mac
}

/// A keyed digest in the making.
#[derive(Clone)]
pub enum Keyed {
    /// HMAC-SHA1.
    Sha1(Hmac<Sha1>),
    /// HMAC-SHA256.
    Sha256(Hmac<Sha256>),
    /// HMAC-SHA512, boxed because it is rare and large.
    Sha512(Box<Hmac<Sha512>>),
}

impl Keyed {
    /// Starts one.
    #[must_use]
    pub fn new(digest: Digest, key: &[u8]) -> Self {
        match digest {
            Digest::HmacSha1 => Self::Sha1(keyed(key)),
            Digest::HmacSha256 => Self::Sha256(keyed(key)),
            Digest::HmacSha512 => Self::Sha512(Box::new(keyed(key))),
        }
    }

    /// Covers `bytes` too.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(mac) => mac.update(bytes),
            Self::Sha256(mac) => mac.update(bytes),
            Self::Sha512(mac) => mac.update(bytes),
        }
    }

    /// The digest of all that it covers.
    #[must_use]
    pub fn finish(self) -> Code {
        match self {
            Self::Sha1(mac) => Code::new(&mac.finalize().into_bytes()),
            Self::Sha256(mac) => Code::new(&mac.finalize().into_bytes()),
            Self::Sha512(mac) => Code::new(&mac.finalize().into_bytes()),
        }
    }
}

impl fmt::Debug for Keyed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Keyed")
    }
}

/// A digest's bytes. There is no `==`: see [`Self::matches`].
#[derive(Clone, Copy)]
pub struct Code {
    bytes: [u8; DIGEST_BYTES_MAX],
    length: usize,
}

impl Code {
    fn new(digest: &[u8]) -> Self {
        let mut bytes = [0; DIGEST_BYTES_MAX];
        bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
        Self { bytes, length: digest.len() }
    }

    /// Whether both are the same, in a time that does not tell where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> Choice {
        self.length.ct_eq(&other.length) & self.bytes.ct_eq(&other.bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Code({} bytes)", self.length)
    }
}

impl Digest {
    /// Its length in bytes.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::HmacSha512 => 64,
        }
    }
}

impl Encoding {
    /// Reads a digest that is written so. Anything that is not wholly one digest of just
    /// this length is none: half a digest must never be compared.
    #[must_use]
    pub fn decode(self, digest: Digest, text: &[u8]) -> Option<Code> {
        let mut code = Code { bytes: [0; DIGEST_BYTES_MAX], length: digest.length() };
        let room = code.bytes.get_mut(..code.length)?;
        let is_hex = match self {
            Self::LowerHex if text.iter().any(u8::is_ascii_uppercase) => return None,
            Self::Hex | Self::LowerHex => true,
            Self::Base64 => false,
            Self::HexOrBase64 => text.len() == room.len().saturating_mul(2),
        };
        if is_hex {
            hex::decode_to_slice(text, room).ok()?;
        } else if STANDARD.decode_slice(text, room).ok()? != code.length {
            return None;
        }
        Some(code)
    }

    /// Writes a digest so.
    #[must_use]
    pub fn encode(self, code: &Code) -> String {
        match self {
            Self::Hex | Self::LowerHex | Self::HexOrBase64 => hex::encode(code.as_bytes()),
            Self::Base64 => STANDARD.encode(code.as_bytes()),
        }
    }
}

/// The bytes that a base64 text stands for: standard alphabet, padded, canonical.
#[must_use]
pub fn from_base64(text: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    STANDARD.decode(text).ok().map(zeroize::Zeroizing::new)
}
