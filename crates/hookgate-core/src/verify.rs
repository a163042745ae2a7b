//! Judges a request: [`Examination`] takes the raw body as it comes and says whether
//! the request proves its origin.

use crate::headers::Headers;
use crate::scheme::Policy;
use crate::secret::{MaskKey, Secrets};
use crate::time::Timestamp;

/// What is known of a request before its body is read.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The public URL: the configured host, and the path and query as sent.
    pub url: &'a str,
    /// The headers.
    pub headers: &'a Headers,
    /// The key of hashed tokens, for a stored request that is judged again.
    pub mask_key: Option<&'a MaskKey>,
}

/// The proof of a request: which scheme, and when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The scheme that proved it.
    pub scheme: &'static str,
    /// When it was signed, if the scheme says so.
    pub signed_at: Option<Timestamp>,
}

/// Why a request is not proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The source has no secret, so nothing can be proven.
    #[error("the source has no secret")]
    NoSecret,
    /// No header or field carries a proof.
    #[error("no proof: `{0}` is missing")]
    Missing(&'static str),
}

/// A request that is not proven: which scheme judged it, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The scheme that decided, if one claimed the request.
    pub scheme: Option<&'static str>,
    /// Why.
    pub reason: Rejection,
}

impl Rejected {
    /// Unverified where there was nothing to judge, else mismatch.
    #[must_use]
    pub fn verdict(&self) -> crate::received::Verdict {
        todo!()
    }
}

/// The examination of one request: opened with its headers, fed with its body as it
/// arrives, finished once.
#[derive(Debug)]
pub struct Examination {}

impl Examination {
    /// Reads the headers: picks the schemes that the request claims, and starts their
    /// digests under every secret in force.
    #[must_use]
    pub fn open(policy: &Policy, secrets: &Secrets, envelope: Envelope<'_>, now: Timestamp) -> Self {
        let _ = (policy, secrets, envelope, now);
        todo!()
    }

    /// Whether the headers alone leave a proof possible: it is there, well-formed and
    /// within its window. A large body is read for such a request only.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        todo!()
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, chunk: &[u8]) {
        let _ = chunk;
        todo!()
    }

    /// The verdict. `whole` is the complete body where it is in memory: a key inside the
    /// body is looked for there only. All of the body has gone through
    /// [`Self::update`] before.
    ///
    /// # Errors
    ///
    /// A [`Rejected`] with the reason, for the operator; the sender never learns it.
    pub fn finish(self, whole: Option<&[u8]>) -> Result<Proof, Rejected> {
        let _ = whole;
        todo!()
    }
}

/// Judges a whole request at once.
///
/// # Errors
///
/// A [`Rejected`] with the reason.
pub fn verify(
    policy: &Policy,
    secrets: &Secrets,
    envelope: Envelope<'_>,
    body: &[u8],
    now: Timestamp,
) -> Result<Proof, Rejected> {
    let mut examination = Examination::open(policy, secrets, envelope, now);
    examination.update(body);
    examination.finish(Some(body))
}
