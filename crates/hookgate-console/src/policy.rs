//! How a source's requests prove themselves, as facts that a program can judge.

use hookgate_core::scheme::{Clock, Digest, Policy, Proof, Scheme, Unit};
use serde::Serialize;
use utoipa::ToSchema;

/// Which schemes a source accepts, and how they decide.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Policy)]
pub(crate) struct Shown {
    /// `first`: the first scheme that claims a request decides alone. `any`: one valid proof
    /// is enough.
    takes: &'static str,
    schemes: Vec<ShownScheme>,
}

/// One scheme.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scheme)]
struct ShownScheme {
    name: &'static str,
    /// `mac` (a keyed digest), `token` (the secret itself in a header) or `body_key` (the
    /// account key in the body).
    proof: &'static str,
    /// The header that carries the proof.
    #[schema(required)]
    header: Option<String>,
    /// `hmac_sha1`, `hmac_sha256` or `hmac_sha512`.
    #[schema(required)]
    digest: Option<&'static str>,
    /// The unit of the time that is signed: `seconds`, `milliseconds` or `by_magnitude`; null
    /// where no time is signed.
    #[schema(required)]
    timestamp: Option<&'static str>,
    /// How old a request may be.
    #[schema(required)]
    age_max_seconds: Option<u64>,
}

impl From<&Policy> for Shown {
    fn from(policy: &Policy) -> Self {
        let takes = match policy {
            Policy::First(_) => "first",
            Policy::Any(_) => "any",
        };
        Self { takes, schemes: policy.schemes().iter().map(ShownScheme::from).collect() }
    }
}

impl From<&Scheme> for ShownScheme {
    fn from(scheme: &Scheme) -> Self {
        let (proof, header, mac) = match &scheme.proof {
            Proof::Mac(mac) => ("mac", Some(&mac.header), Some(mac)),
            Proof::Token(token) => ("token", Some(&token.header), None),
            Proof::BodyKey(_) => ("body_key", None, None),
        };
        let clock = mac.and_then(|it| it.clock.as_ref());
        Self {
            name: scheme.name,
            proof,
            header: header.map(ToString::to_string),
            digest: mac.map(|it| digest(it.digest)),
            timestamp: clock.map(unit),
            age_max_seconds: clock.map(|it| it.age_max.as_secs()),
        }
    }
}

const fn digest(digest: Digest) -> &'static str {
    match digest {
        Digest::HmacSha1 => "hmac_sha1",
        Digest::HmacSha256 => "hmac_sha256",
        Digest::HmacSha512 => "hmac_sha512",
    }
}

const fn unit(clock: &Clock) -> &'static str {
    match clock.unit {
        Unit::Seconds => "seconds",
        Unit::Millis => "milliseconds",
        Unit::ByMagnitude => "by_magnitude",
    }
}
