//! Judges a request: [`Examination`] takes the raw body as it comes and says whether
//! the request proves its origin.
//!
//! What holds after reading this file once:
//!
//! - **Bytes, not text.** A digest covers the body as it came off the wire. Nothing is
//!   parsed, trimmed or printed anew before it is proven.
//! - **Closed by default.** A source without a secret proves nothing, an empty secret is
//!   no secret, and a header that is there twice proves nothing either.
//! - **One scheme decides.** Under [`Policy::First`] a wrong proof is never rescued by a
//!   weaker one.
//! - **Digest first, clock second.** [`Rejection::TooOld`] therefore means "genuine but
//!   late" and is worth an alert, where [`Rejection::Mismatch`] is the internet being the
//!   internet.
//! - **Constant time.** Digests and tokens are compared by `subtle`, under every secret
//!   in force, never by `==`.

mod claim;
mod rejection;
#[cfg(test)]
mod tests;

use http::HeaderName;
use subtle::{Choice, ConstantTimeEq};

pub use self::rejection::{Label, Rejected, Rejection};

use crate::digest::{Code, Keyed, from_base64, same_token};
use crate::headers::{Found, Headers, Text};
use crate::json::{self, Field, Path, Unreadable};
use crate::scheme::{Mac, Parts, Piece, Policy, Proof as Kind, Scheme, Token};
use crate::secret::{MaskKey, Secret, Secrets};
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

/// The examination of one request: opened with its headers, fed with its body as it
/// arrives, finished once.
#[derive(Debug)]
pub struct Examination(Result<Vec<Trial>, Rejected>);

/// One scheme's part in an examination.
#[derive(Debug)]
struct Trial {
    scheme: &'static str,
    stage: Stage,
}

/// How far a trial has come before the body.
#[derive(Debug)]
enum Stage {
    /// The headers alone decide it.
    Decided(Result<(), Rejection>),
    /// A digest runs over the body.
    Running(Running),
    /// A key is looked for in the body when that is complete.
    BodyKey { path: Path, keys: Vec<Secret> },
}

/// A digest that runs over the body, under every secret at once.
#[derive(Debug)]
struct Running {
    states: Vec<Keyed>,
    claimed: Vec<Code>,
    covers_body: bool,
    /// What the digest covers behind the body.
    rest: Vec<Rest>,
    /// The verdict of the clock, kept back until the digest has matched.
    time: Result<Option<Timestamp>, Rejection>,
}

/// A piece behind the body.
#[derive(Debug)]
enum Rest {
    Bytes(Vec<u8>),
    /// The body once more. No provider signs so, but a template may say it.
    Body,
}

impl Examination {
    /// Reads the headers: picks the schemes that the request claims, and starts their
    /// digests under every secret in force.
    #[must_use]
    pub fn open(
        policy: &Policy,
        secrets: &Secrets,
        envelope: Envelope<'_>,
        now: Timestamp,
    ) -> Self {
        let refused = |reason| Self(Err(Rejected { scheme: None, reason }));
        if secrets.is_empty() {
            return refused(Rejection::NoSecret);
        }
        if let Some(label) = repeated(policy, envelope.headers) {
            return refused(Rejection::Repeated(label));
        }
        let open = |scheme| Trial::open(scheme, secrets, envelope, now);
        match policy {
            Policy::Any(schemes) if !schemes.is_empty() => {
                Self(Ok(schemes.iter().map(open).collect()))
            }
            Policy::First(schemes) | Policy::Any(schemes) => {
                match claimant(schemes, envelope.headers) {
                    Some(scheme) => Self(Ok(vec![open(scheme)])),
                    None => refused(schemes.first().map_or(Rejection::NoSecret, missing)),
                }
            }
        }
    }

    /// Whether the headers alone leave a proof possible: it is there, well-formed and
    /// within its window. A large body is read for such a request only.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        self.0.as_ref().is_ok_and(|trials| trials.iter().any(Trial::is_plausible))
    }

    /// Takes the next bytes of the body.
    pub fn update(&mut self, chunk: &[u8]) {
        for trial in self.0.iter_mut().flatten() {
            if let Stage::Running(Running { states, covers_body: true, .. }) = &mut trial.stage {
                cover(states, chunk);
            }
        }
    }

    /// The verdict. `whole` is the complete body where it is in memory: a key inside the
    /// body is looked for there only. All of the body has gone through
    /// [`Self::update`] before.
    ///
    /// # Errors
    ///
    /// A [`Rejected`] with the reason, for the operator; the sender never learns it.
    pub fn finish(self, whole: Option<&[u8]>) -> Result<Proof, Rejected> {
        let mut worst: Option<Rejected> = None;
        for Trial { scheme, stage } in self.0? {
            let reason = match stage.finish(whole) {
                Ok(signed_at) => return Ok(Proof { scheme, signed_at }),
                Err(reason) => reason,
            };
            if worst.is_none_or(|worst| worst.reason.weight() < reason.weight()) {
                let claimed = !matches!(reason, Rejection::Missing(_));
                worst = Some(Rejected { scheme: claimed.then_some(scheme), reason });
            }
        }
        Err(worst.unwrap_or(Rejected { scheme: None, reason: Rejection::NoSecret }))
    }
}

/// The header of the policy that is there twice or more, if one is.
fn repeated(policy: &Policy, headers: &Headers) -> Option<Label> {
    let mut names = policy.schemes().iter().flat_map(Scheme::headers);
    names.find(|name| headers.find(name) == Found::Repeated).map(Label::from)
}

/// The scheme that decides alone: the first whose header is there. Where several read
/// that header, the first that the value has the shape of.
fn claimant<'p>(schemes: &'p [Scheme], headers: &Headers) -> Option<&'p Scheme> {
    let is_key = |scheme: &Scheme| matches!(scheme.proof, Kind::BodyKey(_));
    let first = schemes.iter().find(|it| is_key(it) || carrier(it, headers).is_some())?;
    let Some((header, text)) = carrier(first, headers) else { return Some(first) };
    let shaped = |scheme: &&Scheme| match &scheme.proof {
        Kind::Mac(mac) => match text {
            Text::Plain(value) => mac.header == *header && claim::fits(mac, value),
            Text::Hashed { .. } => false,
        },
        Kind::Token(token) => token.header == *header && presented(token, text).is_some(),
        Kind::BodyKey(_) => false,
    };
    Some(schemes.iter().find(shaped).unwrap_or(first))
}

/// The header that carries the scheme's proof in this request, and its value.
fn carrier<'s, 'h>(scheme: &'s Scheme, headers: &'h Headers) -> Option<(&'s HeaderName, Text<'h>)> {
    let name = match &scheme.proof {
        Kind::Mac(mac) => &mac.header,
        Kind::Token(token) => &token.header,
        Kind::BodyKey(_) => return None,
    };
    match headers.find(name) {
        Found::Once(text) => Some((name, text)),
        Found::Absent | Found::Repeated => None,
    }
}

/// What to say of a request that carries nothing of this scheme.
fn missing(scheme: &Scheme) -> Rejection {
    Rejection::Missing(match &scheme.proof {
        Kind::Mac(mac) => Label::from(&mac.header),
        Kind::Token(token) => Label::from(&token.header),
        Kind::BodyKey(path) => label_of(path),
    })
}

fn label_of(path: Path) -> Label {
    Label::new(path.last().copied().unwrap_or("key"))
}

impl Trial {
    fn open(scheme: &Scheme, secrets: &Secrets, envelope: Envelope<'_>, now: Timestamp) -> Self {
        let found = carrier(scheme, envelope.headers).ok_or_else(|| missing(scheme));
        let stage = match &scheme.proof {
            Kind::Mac(mac) => found
                .and_then(|found| Running::open(mac, found, secrets, envelope, now))
                .map_or_else(|reason| Stage::Decided(Err(reason)), Stage::Running),
            Kind::Token(token) => Stage::Decided(
                found.and_then(|(_, text)| judge_token(token, text, secrets, envelope.mask_key)),
            ),
            Kind::BodyKey(_) if secrets.account_keys().is_empty() => {
                Stage::Decided(Err(Rejection::NoSecret))
            }
            Kind::BodyKey(path) => Stage::BodyKey { path, keys: secrets.account_keys().to_vec() },
        };
        Self { scheme: scheme.name, stage }
    }

    fn is_plausible(&self) -> bool {
        match &self.stage {
            Stage::Decided(verdict) => verdict.is_ok(),
            Stage::Running(running) => running.time.is_ok(),
            Stage::BodyKey { .. } => true,
        }
    }
}

impl Stage {
    fn finish(self, whole: Option<&[u8]>) -> Result<Option<Timestamp>, Rejection> {
        match self {
            Self::Decided(verdict) => verdict.map(|()| None),
            Self::Running(running) => running.finish(whole),
            Self::BodyKey { path, keys } => {
                let body = whole.ok_or(Rejection::TooLarge(label_of(path)))?;
                judge_body(path, &keys, body).map(|()| None)
            }
        }
    }
}

impl Running {
    fn open(
        mac: &Mac,
        (header, text): (&HeaderName, Text<'_>),
        secrets: &Secrets,
        envelope: Envelope<'_>,
        now: Timestamp,
    ) -> Result<Self, Rejection> {
        let mut states = keyed(mac, secrets)?;
        let malformed = Rejection::Malformed(Label::from(header));
        let Text::Plain(value) = text else { return Err(malformed) };
        let claim = claim::read(mac, value).ok_or(malformed)?;

        let mut parts = Parts {
            time: claim.time.unwrap_or_default(),
            method: envelope.method.as_bytes(),
            url: envelope.url.as_bytes(),
            message_id: b"",
        };
        let mut time = Ok(None);
        if let Some(clock) = &mac.clock {
            if let Some(name) = &clock.header {
                parts.time = companion(envelope.headers, name)?;
            }
            let label = clock.header.as_ref().unwrap_or(header);
            let at = claim::moment(mac, clock, parts.time)
                .ok_or(Rejection::Malformed(Label::from(label)))?;
            time = if at.age(now) > clock.age_max {
                Err(Rejection::TooOld(at.age(now)))
            } else if at.ahead(now) > clock.ahead_max {
                Err(Rejection::TooNew(at.ahead(now)))
            } else {
                Ok(Some(at))
            };
        }
        if let Some(name) = mac.message_id_header.as_ref().filter(|_| mac.covers(&Piece::MessageId))
        {
            parts.message_id = companion(envelope.headers, name)?;
        }

        let mut pieces = mac.template.iter();
        for bytes in pieces.by_ref().map_while(|piece| piece.bytes(&parts)) {
            cover(&mut states, bytes);
        }
        let rest = pieces.map(|piece| match piece.bytes(&parts) {
            Some(bytes) => Rest::Bytes(bytes.to_vec()),
            None => Rest::Body,
        });
        let rest = rest.collect();
        Ok(Self {
            states,
            claimed: claim.digests,
            covers_body: mac.covers(&Piece::Body),
            rest,
            time,
        })
    }

    fn finish(mut self, whole: Option<&[u8]>) -> Result<Option<Timestamp>, Rejection> {
        for rest in &self.rest {
            let bytes = match rest {
                Rest::Bytes(bytes) => bytes.as_slice(),
                Rest::Body => whole.ok_or(Rejection::TooLarge(Label::new("body")))?,
            };
            cover(&mut self.states, bytes);
        }
        let mut proven = Choice::from(0);
        for code in self.states.into_iter().map(Keyed::finish) {
            proven = self.claimed.iter().fold(proven, |proven, it| proven | code.matches(it));
        }
        if bool::from(proven) { self.time } else { Err(Rejection::Mismatch) }
    }
}

fn cover(states: &mut [Keyed], bytes: &[u8]) {
    for state in states {
        state.update(bytes);
    }
}

/// A digest under each secret that can be a key of this scheme.
fn keyed(mac: &Mac, secrets: &Secrets) -> Result<Vec<Keyed>, Rejection> {
    let secrets = secrets.shared();
    let mut states = Vec::with_capacity(secrets.len());
    for secret in secrets {
        if !mac.secret_is_base64 {
            states.push(Keyed::new(mac.digest, secret.expose()));
        } else if let Some(key) = from_base64(secret.expose()) {
            states.push(Keyed::new(mac.digest, &key));
        }
    }
    match (states.is_empty(), secrets.is_empty()) {
        (false, _) => Ok(states),
        (true, true) => Err(Rejection::NoSecret),
        (true, false) => Err(Rejection::UnusableSecret),
    }
}

/// The value of a header that belongs to a signature.
fn companion<'h>(headers: &'h Headers, name: &HeaderName) -> Result<&'h [u8], Rejection> {
    match headers.find(name) {
        Found::Once(Text::Plain(value)) => Ok(value),
        Found::Once(Text::Hashed { .. }) => Err(Rejection::Malformed(Label::from(name))),
        Found::Absent => Err(Rejection::Incomplete(Label::from(name))),
        Found::Repeated => Err(Rejection::Repeated(Label::from(name))),
    }
}

/// A token as a request presents it.
enum Presented<'h> {
    Plain(&'h [u8]),
    /// Hashed; `start` stood in front of it in clear.
    Hashed {
        start: &'h [u8],
        hash: &'h [u8; 32],
    },
}

/// The token in a header's value, or nothing if the value is not written as the scheme
/// says.
fn presented<'h>(token: &Token, text: Text<'h>) -> Option<Presented<'h>> {
    match (text, token.bearer) {
        (Text::Plain(value), false) => Some(Presented::Plain(value)),
        (Text::Plain(value), true) => without_bearer(value).map(Presented::Plain),
        (Text::Hashed { prefix, hash }, false) => Some(Presented::Hashed { start: prefix, hash }),
        (Text::Hashed { prefix, hash }, true) => {
            let start = without_bearer(prefix)?;
            Some(Presented::Hashed { start, hash })
        }
    }
}

/// What stands behind `Bearer ` (any case, RFC 9110 §11.1) and just one blank.
fn without_bearer(value: &[u8]) -> Option<&[u8]> {
    let (word, token) = value.split_at_checked(b"bearer ".len())?;
    word.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

fn judge_token(
    token: &Token,
    text: Text<'_>,
    secrets: &Secrets,
    mask_key: Option<&MaskKey>,
) -> Result<(), Rejection> {
    let malformed = Rejection::Malformed(Label::from(&token.header));
    let presented = presented(token, text).ok_or(malformed)?;
    if secrets.shared().is_empty() {
        return Err(Rejection::NoSecret);
    }
    let proven = match presented {
        Presented::Plain(value) => any_of(secrets.shared(), |secret| same_token(value, secret)),
        Presented::Hashed { start, hash } => {
            let key = mask_key.ok_or(Rejection::NoSecret)?;
            any_of(secrets.shared(), |secret| match secret.strip_prefix(start) {
                Some(rest) => key.hash(rest).ct_eq(hash),
                None => Choice::from(0),
            })
        }
    };
    if bool::from(proven) { Ok(()) } else { Err(Rejection::Mismatch) }
}

fn judge_body(path: Path, keys: &[Secret], body: &[u8]) -> Result<(), Rejection> {
    let label = label_of(path);
    let fields = json::extract(body, &[path]).map_err(|fault| match fault {
        Unreadable::DuplicateKey => Rejection::Repeated(label),
        Unreadable::TooManyKeys => Rejection::Malformed(label),
        Unreadable::NotJson | Unreadable::NotAnObject => Rejection::Missing(label),
    })?;
    match fields.get(0) {
        None | Some(Field::Null) => Err(Rejection::Missing(label)),
        Some(Field::Text(text)) if text.is_empty() => Err(Rejection::Missing(label)),
        Some(Field::Text(text)) => {
            let proven = any_of(keys, |key| same_token(text.as_bytes(), key));
            if bool::from(proven) { Ok(()) } else { Err(Rejection::Mismatch) }
        }
        Some(_) => Err(Rejection::Malformed(label)),
    }
}

/// Whether any secret matches; all of them are looked at.
fn any_of(secrets: &[Secret], matches: impl Fn(&[u8]) -> Choice) -> Choice {
    secrets.iter().fold(Choice::from(0), |proven, secret| proven | matches(secret.expose()))
}
