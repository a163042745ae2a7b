//! Signs a request as Standard Webhooks 1.0.0 says
//! (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md):
//! `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.

use std::time::Duration;

use hookgate_core::scheme::{Clock, Digest, Encoding, Layout, Mac, Piece, Proof, Scheme, Unit};
use hookgate_core::secret::Secret;
use hookgate_core::sign::{self, Message};
use hookgate_core::time::Timestamp;
use http::HeaderName;

/// What stands before a secret that is the base64 of its key.
pub(super) const PREFIX: &[u8] = b"whsec_";

/// How far a receiver's clock may be off, by the specification's libraries. Nothing is
/// verified with it here.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The three headers; nothing if the secret is none.
pub(super) fn sign(
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
            header: HeaderName::from_static("webhook-signature"),
            digest: Digest::HmacSha256,
            encoding: Encoding::Base64,
            layout: Layout::Several { prefix: "v1,".to_owned() },
            template: vec![Piece::MessageId, dot(), Piece::TimeAsSent, dot(), Piece::Body],
            clock: Some(Clock {
                header: Some(HeaderName::from_static("webhook-timestamp")),
                unit: Unit::Seconds,
                age_max: TOLERANCE,
                ahead_max: TOLERANCE,
            }),
            message_id_header: Some(HeaderName::from_static("webhook-id")),
            secret_is_base64,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's own libraries.
    #[test]
    fn the_published_vector_comes_out() {
        let secret = Secret::new("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let body = br#"{"email":"test@example.com","username":"test_user"}"#;
        let now = Timestamp::from_millis(1_649_367_553_999);
        let headers = sign(&secret, "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", body, now).unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, it)| (name.as_str(), &**it)).collect();
        let expected = [
            ("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk"),
            ("webhook-timestamp", "1649367553"),
            ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn what_is_no_base64_behind_its_prefix_signs_nothing() {
        let now = Timestamp::from_millis(0);
        for secret in ["whsec_", "whsec_not base64", ""] {
            assert!(sign(&Secret::new(secret), "id", b"", now).is_none(), "{secret}");
        }
        assert!(sign(&Secret::new("any text"), "id", b"", now).is_some());
    }
}
