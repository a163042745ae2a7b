//! A request as it was received, and the two things that judging it can make of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::headers::Headers;
use crate::source::Source;
use crate::tenant::TenantId;
use crate::time::Timestamp;
use crate::verify::{Examination, Proof, Rejection};

/// A request whose head and body have arrived. Nothing in it is proven yet.
#[derive(Clone, Debug)]
pub struct Received {
    /// The source that it came to.
    pub source: Arc<Source>,
    /// Method, in upper case.
    pub method: String,
    /// Path and query as sent; a URL token in it is masked.
    pub target: String,
    /// The tool that the path names, if it is the path of a tool call.
    pub tool: Option<Arc<str>>,
    /// The URL token by which it came.
    pub token: Option<Token>,
    /// Headers in order.
    pub headers: Headers,
    /// The raw body.
    pub body: Body,
    /// Who sent it: the socket's peer, or what a configured proxy says.
    pub peer: IpAddr,
    /// When its body was complete.
    pub at: Timestamp,
    /// Whether it was refused first and is judged again now.
    pub late: bool,
    /// The id that its answer and every log line of it carry.
    pub correlation_id: String,
}

/// A URL token that was found to be in force. The token itself is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// The tenant that it names, if it does.
    pub tenant: Option<TenantId>,
}

/// The exact bytes of a body. Its `Debug` shows none of them.
#[derive(Clone)]
pub enum Body {
    /// In memory.
    Whole(Bytes),
    /// In a file of its own, because it is large.
    Blob(Blob),
}

/// A large body that the store holds in a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The file's name, as 16 bytes.
    pub id: [u8; 16],
    /// Its length in bytes.
    pub bytes: u64,
    /// Its SHA-256, computed while it was written.
    pub sha256: [u8; 32],
}

impl fmt::Debug for Body {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "({} bytes)", self.len())
    }
}

impl Body {
    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.bytes,
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its SHA-256.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Whole(bytes) => crate::digest::sha256(bytes),
            Self::Blob(blob) => blob.sha256,
        }
    }
}

/// A request that proved its origin. [`Received::judge`] is the only maker.
#[derive(Debug)]
pub struct Verified {
    received: Received,
    proof: Proof,
}

/// A request that did not prove its origin. [`Received::judge`] is the only maker.
/// Its bytes are never interpreted.
#[derive(Debug)]
pub struct Unproven {
    received: Received,
    verdict: Verdict,
    scheme: Option<&'static str>,
    reason: Rejection,
}

/// The verdict on a request's origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Proven.
    Verified,
    /// There was nothing to prove it with: no secret, or no proof in it.
    Unverified,
    /// There was a proof, and it is wrong.
    Mismatch,
}

impl Verdict {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::Mismatch => "mismatch",
        }
    }
}

impl Received {
    /// The query of its URL, as sent; empty if there is none.
    #[must_use]
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// Judges the request by an examination that has seen its body.
    ///
    /// # Errors
    ///
    /// [`Unproven`]: refuse it, or keep it in quarantine where the source is set to
    /// record.
    pub fn judge(self, examination: Examination) -> Result<Verified, Unproven> {
        let whole = match &self.body {
            Body::Whole(bytes) => Some(bytes.as_ref()),
            Body::Blob(_) => None,
        };
        match examination.finish(whole) {
            Ok(proof) => Ok(Verified { received: self, proof }),
            Err(rejected) => {
                let (verdict, scheme, reason) =
                    (rejected.verdict(), rejected.scheme, rejected.reason);
                Err(Unproven { received: self, verdict, scheme, reason })
            }
        }
    }
}

impl Verified {
    /// The request.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// How it was proven.
    #[must_use]
    pub fn proof(&self) -> Proof {
        self.proof
    }
}

impl Unproven {
    /// The request. Nobody reads its body but the operator.
    #[must_use]
    pub fn received(&self) -> &Received {
        &self.received
    }

    /// Unverified or mismatch.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The scheme that was tried, if the request got so far.
    #[must_use]
    pub fn scheme(&self) -> Option<&'static str> {
        self.scheme
    }

    /// Why it is not proven.
    #[must_use]
    pub fn reason(&self) -> Rejection {
        self.reason
    }
}
