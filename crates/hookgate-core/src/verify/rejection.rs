//! Why a request is not proven.

use std::fmt;
use std::time::Duration;

use http::HeaderName;

use crate::received::Verdict;

/// What is kept of a name. The longest header of a provider has 21 bytes.
const LABEL_BYTES_MAX: usize = 47;

/// The name of a header or field, never its value, small enough to be copied with a
/// [`Rejection`]. A longer one is cut.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    bytes: [u8; LABEL_BYTES_MAX],
    length: u8,
}

impl Label {
    /// Takes a name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut label = Self { bytes: [0; LABEL_BYTES_MAX], length: 0 };
        for (to, from) in label.bytes.iter_mut().zip(name.bytes().take_while(u8::is_ascii)) {
            *to = from;
            label.length = label.length.saturating_add(1);
        }
        label
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(name).unwrap_or_default()
    }
}

impl From<&HeaderName> for Label {
    fn from(name: &HeaderName) -> Self {
        Self::new(name.as_str())
    }
}

impl fmt::Display for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.as_str())
    }
}

/// Why a request is not proven. For the operator alone: the sender gets the same answer
/// for each of them. It never holds a secret, a header's value or a piece of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The source has no secret that this proof could be compared with.
    #[error("the source has no secret for this kind of proof")]
    NoSecret,
    /// The scheme wants secrets written in base64, and none of the source's is.
    #[error("none of the source's secrets is base64, as this scheme wants it")]
    UnusableSecret,
    /// No header or field carries a proof.
    #[error("no proof: `{0}` is missing")]
    Missing(Label),
    /// The digest is there, but not what belongs to it.
    #[error("the signature is there, but `{0}`, which belongs to it, is missing")]
    Incomplete(Label),
    /// A header is there twice or more; which one counts is not ours to guess.
    #[error("`{0}` is there more than once")]
    Repeated(Label),
    /// It is there, and is not written as the scheme says.
    #[error("`{0}` is not written as this scheme writes it")]
    Malformed(Label),
    /// It is well written, and does not fit the request under any secret.
    #[error("the proof does not match the request under any secret in force")]
    Mismatch,
    /// The digest matches, but it was made this long ago: a replay, or a clock that is off.
    #[error("the signature is genuine, but {}s old", .0.as_secs())]
    TooOld(Duration),
    /// The digest matches, but it is this far ahead of our clock.
    #[error("the signature is genuine, but dated {}s in the future", .0.as_secs())]
    TooNew(Duration),
    /// The proof stands inside the body, and that is too large to be looked through.
    #[error("the body is too large to look for `{0}` in it")]
    TooLarge(Label),
}

impl Rejection {
    /// How much it tells the operator: where several schemes failed, the most telling
    /// reason is given.
    pub(super) const fn weight(self) -> u8 {
        match self {
            Self::NoSecret => 0,
            Self::Missing(_) => 1,
            Self::UnusableSecret => 2,
            Self::TooLarge(_) => 3,
            Self::Incomplete(_) => 4,
            Self::Malformed(_) => 5,
            Self::Repeated(_) => 6,
            Self::Mismatch => 7,
            Self::TooNew(_) => 8,
            Self::TooOld(_) => 9,
        }
    }

    /// Whether the proof was made with a secret of ours, and only its time is wrong.
    #[must_use]
    pub const fn is_genuine(self) -> bool {
        matches!(self, Self::TooOld(_) | Self::TooNew(_))
    }
}

/// A request that is not proven: which scheme judged it, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejected {
    /// The scheme that decided, if one claimed the request.
    pub scheme: Option<&'static str>,
    /// Why.
    pub reason: Rejection,
}

impl Rejected {
    /// Unverified where there was nothing to judge, or nothing to judge it with, else
    /// mismatch.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match self.reason {
            Rejection::NoSecret | Rejection::UnusableSecret | Rejection::Missing(_) => {
                Verdict::Unverified
            }
            Rejection::Incomplete(_)
            | Rejection::Repeated(_)
            | Rejection::Malformed(_)
            | Rejection::Mismatch
            | Rejection::TooOld(_)
            | Rejection::TooNew(_)
            | Rejection::TooLarge(_) => Verdict::Mismatch,
        }
    }
}
