//! Signs a request as Standard Webhooks 1.0.0 says
//! (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md):
//! `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, once for each secret that is
//! in force.

use std::time::Duration;

use http::HeaderName;

use crate::scheme::{Clock, Digest, Encoding, Layout, Mac, Piece, Proof, Scheme, Unit};
use crate::secret::Secret;
use crate::sign::{self, Message};
use crate::time::Timestamp;

/// What stands before a secret that is the base64 of its key.
pub const PREFIX: &[u8] = b"whsec_";

/// The header with the message's id.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");

/// The header with the time of the attempt, in seconds.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// The header with the signatures.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// How far a receiver's clock may be off, by the specification's libraries. Nothing is
/// verified with it here.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The three headers, with a signature for each secret: whoever verifies with any one of
/// them accepts, so that a secret can be changed on either side first. Nothing if there is no
/// secret, or one of them is none.
#[must_use]
pub fn sign(
    secrets: &[Secret],
    id: &str,
    body: &[u8],
    now: Timestamp,
) -> Option<Vec<(HeaderName, String)>> {
    let mut signed: Option<Vec<(HeaderName, String)>> = None;
    for secret in secrets {
        let headers = sign_with(secret, id, body, now)?;
        let Some(all) = &mut signed else {
            signed = Some(headers);
            continue;
        };
        let (_, further) = headers.into_iter().find(|(name, _)| *name == SIGNATURE)?;
        let (_, signatures) = all.iter_mut().find(|(name, _)| *name == SIGNATURE)?;
        signatures.push(' ');
        signatures.push_str(&further);
    }
    signed
}

fn sign_with(
    secret: &Secret,
    id: &str,
    body: &[u8],
    now: Timestamp,
) -> Option<Vec<(HeaderName, String)>> {
    let (secret, is_base64) = match secret.expose().strip_prefix(PREFIX) {
        Some(key) => (Secret::new(key), true),
        None => (secret.clone(), false),
    };
    // Neither method nor URL is covered.
    let message = Message { method: "", url: "", id };
    sign::sign(&scheme(is_base64), &secret, message, body, now).ok()
}

fn scheme(secret_is_base64: bool) -> Scheme {
    let dot = || Piece::Text(".".to_owned());
    Scheme {
        name: "standard-webhooks",
        proof: Proof::Mac(Mac {
            header: SIGNATURE,
            digest: Digest::HmacSha256,
            encoding: Encoding::Base64,
            layout: Layout::Several { prefix: "v1,".to_owned() },
            template: vec![Piece::MessageId, dot(), Piece::TimeAsSent, dot(), Piece::Body],
            clock: Some(Clock {
                header: Some(TIMESTAMP),
                unit: Unit::Seconds,
                age_max: TOLERANCE,
                ahead_max: TOLERANCE,
            }),
            message_id_header: Some(ID),
            secret_is_base64,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID_OF_PUBLISHED: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const NOW: Timestamp = Timestamp::from_millis(1_649_367_553_999);
    const SIGNED: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

    fn signed(secrets: &[&str]) -> Vec<(HeaderName, String)> {
        let secrets: Vec<_> = secrets.iter().map(|it| Secret::new(*it)).collect();
        sign(&secrets, ID_OF_PUBLISHED, BODY, NOW).unwrap()
    }

    /// The vector of the specification's own libraries.
    #[test]
    fn the_published_vector_comes_out() {
        let headers = signed(&[PUBLISHED]);
        let headers: Vec<_> = headers.iter().map(|(name, it)| (name.as_str(), &**it)).collect();
        let expected = [
            ("webhook-id", ID_OF_PUBLISHED),
            ("webhook-timestamp", "1649367553"),
            ("webhook-signature", SIGNED),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn each_secret_in_force_gives_a_signature_of_its_own() {
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let alone = signed(&[other])[2].1.clone();
        let headers = signed(&[other, PUBLISHED]);
        assert_eq!(headers.len(), 3);
        assert_eq!(headers[2].1, format!("{alone} {SIGNED}"));
    }

    #[test]
    fn what_is_no_base64_behind_its_prefix_signs_nothing() {
        let sign = |secrets: &[Secret]| sign(secrets, "id", b"", Timestamp::from_millis(0));
        for secret in ["whsec_", "whsec_not base64", ""] {
            assert!(sign(&[Secret::new(secret)]).is_none(), "{secret}");
            assert!(sign(&[Secret::new("any text"), Secret::new(secret)]).is_none(), "{secret}");
        }
        assert!(sign(&[]).is_none());
        assert!(sign(&[Secret::new("any text")]).is_some());
    }
}
