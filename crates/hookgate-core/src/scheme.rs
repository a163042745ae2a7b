//! How a request proves its origin, as data.
//!
//! A [`Scheme`] says which header carries the proof, which digest it is, which bytes
//! it covers and how old it may be. A [`Policy`] says which of a source's schemes
//! decides. Supporting another provider adds a row and its vectors, and no code.

use std::time::Duration;

use http::HeaderName;

use crate::json::Path;

/// One way in which a request can prove its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheme {
    /// The name it has on events, in logs and on the command line.
    pub name: &'static str,
    /// What the proof is.
    pub proof: Proof,
}

impl Scheme {
    /// Every header that its proof stands in: the digest's, the time's, the message id's
    /// or the token's.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        let (proof, time, id) = match &self.proof {
            Proof::Mac(mac) => (
                Some(&mac.header),
                mac.clock.as_ref().and_then(|clock| clock.header.as_ref()),
                mac.message_id_header.as_ref().filter(|_| mac.covers(&Piece::MessageId)),
            ),
            Proof::Token(token) => (Some(&token.header), None, None),
            Proof::BodyKey(_) => (None, None, None),
        };
        proof.into_iter().chain(time).chain(id)
    }
}

/// What a proof is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A keyed digest over the request.
    Mac(Mac),
    /// The shared secret itself, in a header.
    Token(Token),
    /// The account key as a string in the JSON body, at this path. It says who sent the
    /// request, but not that the rest of it is intact.
    BodyKey(Path),
}

/// A keyed digest and what it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mac {
    /// The header that carries it.
    pub header: HeaderName,
    /// The digest.
    pub digest: Digest,
    /// How the digest is written.
    pub encoding: Encoding,
    /// How the header is laid out.
    pub layout: Layout,
    /// The bytes under the digest, piece by piece.
    pub template: Vec<Piece>,
    /// When it was signed, if the scheme says so.
    pub clock: Option<Clock>,
    /// The header with the message's id, where the template has one.
    pub message_id_header: Option<HeaderName>,
    /// Whether the secret's text is the base64 of the key.
    pub secret_is_base64: bool,
}

impl Mac {
    /// Whether the digest covers this piece.
    #[must_use]
    pub fn covers(&self, piece: &Piece) -> bool {
        self.template.contains(piece)
    }
}

/// The digests in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// HMAC-SHA1 (Tawk.to).
    HmacSha1,
    /// HMAC-SHA256.
    HmacSha256,
    /// HMAC-SHA512.
    HmacSha512,
}

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hexadecimal, either case.
    Hex,
    /// Hexadecimal, lower case alone (ElevenLabs' own SDKs refuse upper case).
    LowerHex,
    /// Standard base64 with padding.
    Base64,
    /// Hexadecimal or base64; the length tells.
    HexOrBase64,
}

/// How the signature header is laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The digest behind a fixed prefix (mostly empty).
    Bare {
        /// What stands in front of the digest.
        prefix: String,
    },
    /// Several digests separated by blanks, each behind the prefix; one must match.
    Several {
        /// What stands in front of each digest; others are ignored.
        prefix: String,
    },
    /// `key=value` elements separated by commas.
    Fields {
        /// The element with the time.
        time: &'static str,
        /// The element with the digest.
        digest: &'static str,
        /// Whether just these two may stand there, in this order (Retell), or unknown
        /// elements are ignored and any order will do (ElevenLabs).
        exact: bool,
    },
}

/// A piece of what the digest covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Fixed text.
    Text(String),
    /// The raw body.
    Body,
    /// The time as it is written in the header.
    TimeAsSent,
    /// The time as a number without leading zeros (Retell's SDKs print it anew).
    TimeAsNumber,
    /// The request's method.
    Method,
    /// The public URL of the request: of the *configured* host, never of a header.
    Url,
    /// The message's id.
    MessageId,
}

/// What of a request, besides its body, a digest may cover.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts<'a> {
    /// The digits of the time as they are written.
    pub time: &'a [u8],
    /// The method.
    pub method: &'a [u8],
    /// The public URL.
    pub url: &'a [u8],
    /// The message's id.
    pub message_id: &'a [u8],
}

impl Piece {
    /// The bytes that stand for it, or nothing if it is the body.
    #[must_use]
    pub fn bytes<'a>(&'a self, parts: &Parts<'a>) -> Option<&'a [u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Body => None,
            Self::TimeAsSent => Some(parts.time),
            Self::TimeAsNumber => Some(without_leading_zeros(parts.time)),
            Self::Method => Some(parts.method),
            Self::Url => Some(parts.url),
            Self::MessageId => Some(parts.message_id),
        }
    }
}

/// The digits of the same number as a program prints it: `007` is `7`, `00` is `0`.
pub(crate) fn without_leading_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|it| **it == b'0').count();
    let kept = zeros.min(digits.len().saturating_sub(1));
    digits.get(kept..).unwrap_or(digits)
}

/// Where the time stands, in which unit, and how far off it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clock {
    /// The header with the time; nothing if it is a field of the signature header.
    pub header: Option<HeaderName>,
    /// Its unit.
    pub unit: Unit,
    /// How far it may lie behind, inclusive.
    pub age_max: Duration,
    /// How far it may lie ahead, inclusive.
    pub ahead_max: Duration,
}

/// The unit of a signed time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
    /// Milliseconds from 10^11 on, seconds below (Vapi does not document its unit).
    ByMagnitude,
}

/// A shared secret in a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The header.
    pub header: HeaderName,
    /// Whether `Bearer ` stands in front of it.
    pub bearer: bool,
}

/// Which of a source's schemes decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The first scheme that claims the request decides alone, so that a wrong proof
    /// is never rescued by a weaker one.
    First(Vec<Scheme>),
    /// Any scheme that proves the request will do (MightyCall's seed asks for this).
    Any(Vec<Scheme>),
}

impl Policy {
    /// All of these as one. A policy that takes any proof makes the whole take any.
    #[must_use]
    pub fn joined(policies: Vec<Self>) -> Self {
        let any = policies.iter().any(|it| matches!(it, Self::Any(_)));
        let schemes = policies.into_iter().flat_map(|it| match it {
            Self::First(schemes) | Self::Any(schemes) => schemes,
        });
        let schemes = schemes.collect();
        if any { Self::Any(schemes) } else { Self::First(schemes) }
    }

    /// Its schemes, in order.
    #[must_use]
    pub fn schemes(&self) -> &[Scheme] {
        match self {
            Self::First(schemes) | Self::Any(schemes) => schemes,
        }
    }

    /// The headers in which a token travels: stored as a keyed hash, never in clear.
    #[must_use]
    pub fn token_headers(&self) -> Vec<HeaderName> {
        let header = |scheme: &Scheme| match &scheme.proof {
            Proof::Token(token) => Some(token.header.clone()),
            Proof::Mac(_) | Proof::BodyKey(_) => None,
        };
        self.schemes().iter().filter_map(header).collect()
    }
}
