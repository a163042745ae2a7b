//! Fresh secrets from the operating system's generator.

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::provider::Provider;
use uuid::Uuid;

/// As `openssl rand -hex 32`, which the seeds recommend.
const SECRET_BYTES: usize = 32;

/// Tawk.to's own secrets have 96 hexadecimal digits.
const TAWK_SECRET_BYTES: usize = 48;

/// So many random bytes.
pub(crate) fn bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(bytes)
}

/// A number of 0 to 1. Without random bytes it is a half: it moves waits and guards nothing.
pub(crate) fn chance() -> f64 {
    bytes::<4>().map_or(0.5, |it| f64::from(u32::from_ne_bytes(it)) / f64::from(u32::MAX))
}

/// A secret as `provider` would give one, or of the usual form without a provider.
pub(crate) fn secret(provider: Option<&Provider>) -> anyhow::Result<String> {
    if provider.is_some_and(|it| it.name == "tawk") {
        return Ok(hex::encode(bytes::<TAWK_SECRET_BYTES>()?));
    }
    Ok(hex::encode(bytes::<SECRET_BYTES>()?))
}

/// A random UUID, the form of MightyCall's account keys.
pub(crate) fn uuid() -> anyhow::Result<Uuid> {
    Ok(uuid::Builder::from_random_bytes(bytes()?).into_uuid())
}

/// A key of 32 bytes in base64.
pub(crate) fn key() -> anyhow::Result<String> {
    Ok(STANDARD.encode(bytes::<32>()?))
}
