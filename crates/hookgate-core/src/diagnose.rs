//! Says which common mistake would explain a refused request.
//!
//! A wrong recipe refuses every genuine request, and "mismatch" does not tell which part
//! of it is wrong. So the recipe is changed in one place at a time, and each change that
//! makes the proof right is a [`Mistake`] with a sentence on what to do.
//!
//! For the operator alone: whoever learns which change fits learns about the secret. Never
//! call it while a request is answered.

mod reprint;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

use http::HeaderName;
use http::header::HOST;

pub use self::reprint::Printer;

use crate::digest::{from_base64, same_token};
use crate::headers::{Headers, Value};
use crate::named;
use crate::scheme::{Clock, Digest, Encoding, Layout, Mac, Piece, Policy, Proof, Scheme, Unit};
use crate::secret::{Secret, Secrets};
use crate::time::Timestamp;
use crate::verify::{Envelope, Label, Rejected, Rejection, verify};

/// The largest body that is tried under other recipes: there are about a hundred of them.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The secrets of each kind that are tried. A team that rotates has two.
const SECRETS_MAX: usize = 8;

/// Why a request was refused, and what would explain it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The verdict.
    pub rejected: Rejected,
    /// Every change under which the request is genuine. Empty when none of the common
    /// ones is, which mostly means another secret or a forgery.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.rejected)?;
        self.mistakes.iter().try_for_each(|mistake| write!(out, "\n{mistake}"))
    }
}

/// A common mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// The body was changed between its signing and here.
    Body(BodyChange),
    /// The digest covers something else than the scheme says.
    Covers(Covers),
    /// The digest is written in the other encoding.
    Encoding(Encoding),
    /// The digest is another one.
    Digest(Digest),
    /// In front of the digest stands this, and not what the scheme says.
    Prefix(&'static str),
    /// The fields of the signature header stand in another order.
    FieldOrder,
    /// The time is in this unit.
    Unit(Unit),
    /// The request is genuine, and this much too old.
    Late(Duration),
    /// The request is genuine, and dated this far ahead.
    Early(Duration),
    /// The configured secret is not quite the one that signed.
    Secret(SecretChange),
    /// The request was signed with an old or other secret.
    OldSecret,
    /// The digest arrives in this header.
    OtherHeader(Label),
    /// The plain secret arrives in this header.
    PlainSecret(Label),
    /// The request is proven under the scheme of this name.
    OtherScheme(&'static str),
    /// The digest covers another spelling of the URL.
    Url(UrlChange),
    /// The body is empty, and the digest was not made over an empty one.
    EmptyBody,
}

/// What happened to a body after its signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyChange {
    /// It was parsed and printed anew; the digest fits what this library prints.
    Printed(Printer),
    /// A newline was added at its end.
    NewlineAdded,
    /// The newline at its end was taken away.
    NewlineRemoved,
    /// Its line ends were CR LF and became LF.
    LineEndsShortened,
    /// Its line ends were LF and became CR LF.
    LineEndsLengthened,
    /// A byte order mark was put in front.
    MarkAdded,
    /// A byte order mark was taken away.
    MarkRemoved,
    /// It was read as Latin-1 and written as UTF-8.
    EncodedTwice,
    /// The digest was made before the body was there.
    SignedEmpty,
}

/// What a digest covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// The body alone.
    Body,
    /// Time, dot, body.
    TimeDotBody,
    /// Time, body.
    TimeBody,
    /// Body, time.
    BodyTime,
    /// Body, dot, time.
    BodyDotTime,
}

/// What is wrong with a configured secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretChange {
    /// It has white space at an end.
    OuterBlank,
    /// The sender's has a newline at its end.
    NewlineMissing,
    /// The sender's has a blank at its end.
    BlankMissing,
    /// It has quotes around it.
    Quotes,
    /// It has `Bearer ` in front.
    Bearer,
    /// Its text is hexadecimal, and the key is what that stands for.
    Hex,
    /// Its text is base64, and the key is what that stands for.
    Base64,
    /// Its text is the key, and not the base64 of it.
    NotBase64,
    /// It has `whsec_` in front of the base64 of the key.
    Whsec,
}

/// How a URL was spelled when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlChange {
    /// With `http`.
    Http,
    /// With `https`.
    Https,
    /// With the host that the request names.
    Host,
    /// Without the query.
    NoQuery,
    /// Without host and scheme.
    PathOnly,
    /// With a slash at its end.
    Slash,
    /// Without the slash at its end.
    NoSlash,
}

/// A request to look into.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// What the source accepts.
    pub policy: &'a Policy,
    /// The secrets in force.
    pub secrets: &'a Secrets,
    /// Secrets that are not in force: earlier ones, and those of other sources.
    pub others: &'a Secrets,
    /// The head of the request.
    pub envelope: Envelope<'a>,
    /// Its body.
    pub body: &'a [u8],
    /// When it was received.
    pub now: Timestamp,
}

/// Looks into a request with the secrets in force alone. Nothing if it is proven.
#[must_use]
pub fn diagnose(
    policy: &Policy,
    secrets: &Secrets,
    envelope: Envelope<'_>,
    body: &[u8],
    now: Timestamp,
) -> Option<Diagnosis> {
    Case { policy, secrets, others: &Secrets::default(), envelope, body, now }.diagnose()
}

impl Case<'_> {
    /// Why the request was refused. Nothing if it is proven.
    #[must_use]
    pub fn diagnose(&self) -> Option<Diagnosis> {
        let judged = verify(self.policy, self.secrets, self.envelope, self.body, self.now);
        let rejected = judged.err()?;
        let mut mistakes = Vec::new();
        match rejected.reason {
            Rejection::TooOld(age) => {
                mistakes.push(self.wrong_unit().unwrap_or(Mistake::Late(age)));
            }
            Rejection::TooNew(ahead) => {
                mistakes.push(self.wrong_unit().unwrap_or(Mistake::Early(ahead)));
            }
            _ => {
                mistakes.extend(self.plain_secrets());
                if self.body.len() <= BODY_BYTES_MAX {
                    mistakes.extend(self.search());
                }
                if mistakes.is_empty()
                    && self.body.is_empty()
                    && rejected.reason == Rejection::Mismatch
                {
                    mistakes.push(Mistake::EmptyBody);
                }
            }
        }
        Some(Diagnosis { rejected, mistakes })
    }

    /// Everything that needs digests over the body.
    fn search(&self) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for scheme in self.policy.schemes() {
            if let Proof::Mac(mac) = &scheme.proof {
                for (mistake, changed) in recipes(mac, self.envelope.headers) {
                    if !mistakes.contains(&mistake) && self.fits_scheme(scheme, changed) {
                        mistakes.push(mistake);
                    }
                }
            }
        }
        mistakes.extend(self.bodies().into_iter().map(Mistake::Body));
        mistakes.extend(self.urls().map(Mistake::Url));
        mistakes.extend(self.secret_changes().into_iter().map(Mistake::Secret));
        if self.fits(self.policy, self.others, self.envelope, self.body) {
            mistakes.push(Mistake::OldSecret);
        }
        // Another scheme is the explanation only where this one cannot be mended.
        if mistakes.is_empty() {
            mistakes.extend(self.other_schemes());
        }
        mistakes
    }

    /// Whether a proof is genuine, whatever its time.
    fn fits(
        &self,
        policy: &Policy,
        secrets: &Secrets,
        envelope: Envelope<'_>,
        body: &[u8],
    ) -> bool {
        match verify(policy, secrets, envelope, body, self.now) {
            Ok(_) => true,
            Err(rejected) => rejected.reason.is_genuine(),
        }
    }

    fn fits_scheme(&self, scheme: &Scheme, mac: Mac) -> bool {
        let scheme = Scheme { name: scheme.name, proof: Proof::Mac(mac) };
        self.fits(&Policy::First(vec![scheme]), self.secrets, self.envelope, self.body)
    }

    /// Whether the time is within the window once it is read in another unit.
    fn wrong_unit(&self) -> Option<Mistake> {
        let units = [Unit::Seconds, Unit::Millis];
        units.into_iter().find_map(|unit| {
            let schemes = self.policy.schemes().iter().cloned().map(|mut scheme| {
                if let Proof::Mac(Mac { clock: Some(clock), .. }) = &mut scheme.proof {
                    clock.unit = unit;
                }
                scheme
            });
            let policy = match self.policy {
                Policy::First(_) => Policy::First(schemes.collect()),
                Policy::Any(_) => Policy::Any(schemes.collect()),
            };
            let judged = verify(&policy, self.secrets, self.envelope, self.body, self.now);
            judged.is_ok().then_some(Mistake::Unit(unit))
        })
    }

    fn plain_secrets(&self) -> impl Iterator<Item = Mistake> {
        let is_secret = |value: &[u8]| {
            let secrets = self.secrets.shared().iter().take(SECRETS_MAX);
            secrets.fold(false, |found, it| found | bool::from(same_token(value, it.expose())))
        };
        self.envelope.headers.iter().filter_map(move |(name, value)| {
            let Value::Plain(value) = value else { return None };
            let value = value.trim_ascii();
            let start = value.get(..7).filter(|it| it.eq_ignore_ascii_case(b"bearer "));
            let token = value.get(start.map_or(0, <[u8]>::len)..)?;
            (is_secret(value) || is_secret(token)).then(|| Mistake::PlainSecret(Label::from(name)))
        })
    }

    fn bodies(&self) -> Vec<BodyChange> {
        let mut tried: Vec<Vec<u8>> = Vec::new();
        let mut found = Vec::new();
        for (change, body) in body_changes(self.body) {
            if body == self.body || tried.contains(&body) {
                continue;
            }
            if self.fits(self.policy, self.secrets, self.envelope, &body) {
                found.push(change);
            }
            tried.push(body);
        }
        found
    }

    fn urls(&self) -> impl Iterator<Item = UrlChange> {
        let covers_url = |scheme: &Scheme| match &scheme.proof {
            Proof::Mac(mac) => mac.covers(&Piece::Url),
            Proof::Token(_) | Proof::BodyKey(_) => false,
        };
        let covered = self.policy.schemes().iter().any(covers_url);
        let changes = url_changes(self.envelope.url, self.envelope.headers.text(&HOST));
        changes.into_iter().filter(move |_| covered).filter_map(|(change, url)| {
            let envelope = Envelope { url: &url, ..self.envelope };
            let fits = self.fits(self.policy, self.secrets, envelope, self.body);
            (fits && url != self.envelope.url).then_some(change)
        })
    }

    fn secret_changes(&self) -> Vec<SecretChange> {
        let mut found = Vec::new();
        let keys = self.secrets.account_keys().iter();
        for secret in self.secrets.shared().iter().chain(keys).take(SECRETS_MAX) {
            for (change, changed) in secret_changes(secret.expose()) {
                let secrets = Secrets::new(vec![changed.clone()], vec![changed]);
                let fits = || self.fits(self.policy, &secrets, self.envelope, self.body);
                if !found.contains(&change) && fits() {
                    found.push(change);
                }
            }
        }
        let mut as_text = self.policy.schemes().to_vec();
        for scheme in &mut as_text {
            if let Proof::Mac(mac) = &mut scheme.proof {
                mac.secret_is_base64 = false;
            }
        }
        let as_text = Policy::First(as_text);
        if as_text.schemes() != self.policy.schemes()
            && self.fits(&as_text, self.secrets, self.envelope, self.body)
        {
            found.push(SecretChange::NotBase64);
        }
        found
    }

    /// The first named scheme that proves the request, if the policy does not have it.
    fn other_schemes(&self) -> Option<Mistake> {
        named::TABLE.iter().find_map(|row| {
            let policy = named::policy(row.name, &serde_json::Value::Null).ok()?;
            let [scheme] = policy.schemes() else { return None };
            let is_new = self.policy.schemes().iter().all(|it| it.proof != scheme.proof);
            let fits = is_new && self.fits(&policy, self.secrets, self.envelope, self.body);
            fits.then_some(Mistake::OtherScheme(row.name))
        })
    }
}

/// Each recipe that differs from this one in one place, with the mistake that it stands
/// for.
fn recipes(mac: &Mac, headers: &Headers) -> Vec<(Mistake, Mac)> {
    let mut recipes = Vec::new();
    let mut add = |mistake, change: &dyn Fn(&mut Mac)| {
        let mut changed = mac.clone();
        change(&mut changed);
        if changed != *mac {
            recipes.push((mistake, changed));
        }
    };
    for covers in Covers::ALL {
        add(Mistake::Covers(covers), &|mac| covers.apply(mac));
    }
    for encoding in [Encoding::Hex, Encoding::Base64] {
        add(Mistake::Encoding(encoding), &|mac| mac.encoding = encoding);
    }
    for digest in [Digest::HmacSha1, Digest::HmacSha256, Digest::HmacSha512] {
        add(Mistake::Digest(digest), &|mac| mac.digest = digest);
    }
    for start in ["", "sha256=", "sha1=", "sha512=", "v1=", "v1,", "v0="] {
        add(Mistake::Prefix(start), &|mac| match &mut mac.layout {
            Layout::Bare { prefix } | Layout::Several { prefix } => start.clone_into(prefix),
            Layout::Fields { .. } => {}
        });
    }
    add(Mistake::FieldOrder, &|mac| {
        if let Layout::Fields { exact, .. } = &mut mac.layout {
            *exact = false;
        }
    });
    for (name, _) in headers.iter() {
        add(Mistake::OtherHeader(Label::from(name)), &|mac| {
            mac.header = name.clone();
        });
    }
    recipes
}

impl Covers {
    const ALL: [Self; 5] =
        [Self::Body, Self::TimeDotBody, Self::TimeBody, Self::BodyTime, Self::BodyDotTime];

    /// Lets the digest cover this. Where the scheme has no time, it is read from the
    /// header in which it mostly stands; where the digest covers none, none is read.
    fn apply(self, mac: &mut Mac) {
        let dot = || Piece::Text(".".to_owned());
        mac.template = match self {
            Self::Body => vec![Piece::Body],
            Self::TimeDotBody => vec![Piece::TimeAsSent, dot(), Piece::Body],
            Self::TimeBody => vec![Piece::TimeAsSent, Piece::Body],
            Self::BodyTime => vec![Piece::Body, Piece::TimeAsSent],
            Self::BodyDotTime => vec![Piece::Body, dot(), Piece::TimeAsSent],
        };
        match (self, &mac.layout) {
            (Self::Body, Layout::Fields { .. }) => {}
            (Self::Body, _) => mac.clock = None,
            _ if mac.clock.is_none() => {
                mac.clock = Some(Clock {
                    header: Some(HeaderName::from_static("x-timestamp")),
                    unit: Unit::ByMagnitude,
                    age_max: Duration::MAX,
                    ahead_max: Duration::MAX,
                });
            }
            _ => {}
        }
    }
}

/// The bodies that may have been signed where this one arrived.
fn body_changes(body: &[u8]) -> Vec<(BodyChange, Vec<u8>)> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let printed = Printer::ALL.into_iter().filter_map(|printer| {
        printer.print(body).map(|printed| (BodyChange::Printed(printer), printed))
    });
    let mut changes: Vec<_> = Vec::new();
    if let Some(without) = body.strip_suffix(b"\n") {
        let without = without.strip_suffix(b"\r").unwrap_or(without);
        changes.push((BodyChange::NewlineAdded, without.to_vec()));
    }
    if let Some(without) = body.strip_prefix(MARK) {
        changes.push((BodyChange::MarkAdded, without.to_vec()));
    }
    changes.push((BodyChange::NewlineRemoved, [body, b"\n"].concat()));
    changes.push((BodyChange::NewlineRemoved, [body, b"\r\n"].concat()));
    changes.push((BodyChange::MarkRemoved, [MARK, body].concat()));
    let short: Vec<u8> = body.split(|it| *it == b'\r').collect::<Vec<_>>().concat();
    let long = short.split(|it| *it == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    changes.push((BodyChange::LineEndsShortened, long));
    changes.push((BodyChange::LineEndsLengthened, short));
    if let Ok(text) = std::str::from_utf8(body) {
        let once: Result<Vec<u8>, _> = text.chars().map(|it| u8::try_from(u32::from(it))).collect();
        changes.extend(once.ok().map(|once| (BodyChange::EncodedTwice, once)));
    }
    changes.push((BodyChange::SignedEmpty, Vec::new()));
    changes.extend(printed);
    changes
}

/// The secrets that may have been meant where this one is configured.
fn secret_changes(secret: &[u8]) -> Vec<(SecretChange, Secret)> {
    let mut changes = vec![
        (SecretChange::NewlineMissing, [secret, b"\n"].concat()),
        (SecretChange::NewlineMissing, [secret, b"\r\n"].concat()),
        (SecretChange::BlankMissing, [secret, b" "].concat()),
    ];
    let trimmed = secret.trim_ascii();
    if trimmed != secret {
        changes.push((SecretChange::OuterBlank, trimmed.to_vec()));
    }
    for quote in [b"\"", b"'"] {
        let inner = trimmed.strip_prefix(quote).and_then(|it| it.strip_suffix(quote));
        changes.extend(inner.map(|inner| (SecretChange::Quotes, inner.to_vec())));
    }
    if let Some(rest) = trimmed.strip_prefix(b"Bearer ") {
        changes.push((SecretChange::Bearer, rest.to_vec()));
    }
    changes.extend(hex::decode(trimmed).ok().map(|key| (SecretChange::Hex, key)));
    changes.extend(from_base64(trimmed).map(|key| (SecretChange::Base64, key.to_vec())));
    let rest = trimmed.strip_prefix(b"whsec_");
    changes.extend(rest.map(|rest| (SecretChange::Whsec, rest.to_vec())));
    changes.extend(rest.and_then(from_base64).map(|key| (SecretChange::Whsec, key.to_vec())));
    changes.into_iter().map(|(change, secret)| (change, Secret::new(secret))).collect()
}

/// The spellings of a URL that may have been signed.
fn url_changes(url: &str, host: Option<&str>) -> Vec<(UrlChange, String)> {
    let mut changes = Vec::new();
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let path = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/");
    changes.push((UrlChange::Https, format!("https://{rest}")));
    changes.push((UrlChange::Http, format!("http://{rest}")));
    if let Some(host) = host {
        changes.push((UrlChange::Host, format!("https://{host}{path}")));
        changes.push((UrlChange::Host, format!("http://{host}{path}")));
    }
    if let Some((before, _)) = url.split_once('?') {
        changes.push((UrlChange::NoQuery, before.to_owned()));
    }
    changes.push((UrlChange::PathOnly, path.to_owned()));
    changes.push((UrlChange::Slash, format!("{url}/")));
    changes.extend(url.strip_suffix('/').map(|url| (UrlChange::NoSlash, url.to_owned())));
    changes
}

impl Mistake {
    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Body(BodyChange::Printed(_)) => "body_reserialised",
            Self::Body(BodyChange::SignedEmpty) => "empty_body_signed",
            Self::Body(_) => "body_changed",
            Self::Covers(Covers::Body) => "timestamp_left_out",
            Self::Covers(_) => "timestamp_placed_differently",
            Self::Encoding(_) => "other_encoding",
            Self::Digest(_) => "other_digest",
            Self::Prefix(_) => "other_prefix",
            Self::FieldOrder => "other_field_order",
            Self::Unit(_) => "other_time_unit",
            Self::Late(_) => "too_old",
            Self::Early(_) => "too_new",
            Self::Secret(_) => "secret_mistyped",
            Self::OldSecret => "old_secret",
            Self::OtherHeader(_) => "other_header",
            Self::PlainSecret(_) => "plain_secret",
            Self::OtherScheme(_) => "other_scheme",
            Self::Url(_) => "other_url",
            Self::EmptyBody => "empty_body",
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(change) => write!(out, "{change}"),
            Self::Covers(covers) => write!(
                out,
                "The signature was made over {}. Sign what the scheme says, or configure this.",
                match covers {
                    Covers::Body => "the body alone: the timestamp is left out",
                    Covers::TimeDotBody => "`time.body`",
                    Covers::TimeBody => "`timebody`: time first, no dot",
                    Covers::BodyTime => "`bodytime`: body first, no dot",
                    Covers::BodyDotTime => "`body.time`: body first",
                }
            ),
            Self::Encoding(encoding) => write!(
                out,
                "The signature is right, but written in {}. Write or configure the other encoding.",
                match encoding {
                    Encoding::Hex | Encoding::LowerHex | Encoding::HexOrBase64 => "hexadecimal",
                    Encoding::Base64 => "base64",
                }
            ),
            Self::Digest(digest) => write!(
                out,
                "The signature is an {}. Sign with the scheme's digest, or configure this one.",
                match digest {
                    Digest::HmacSha1 => "HMAC-SHA1",
                    Digest::HmacSha256 => "HMAC-SHA256",
                    Digest::HmacSha512 => "HMAC-SHA512",
                }
            ),
            Self::Prefix("") => out.write_str(
                "The signature is right, but the configured prefix is not in front of it. Remove the prefix from the configuration.",
            ),
            Self::Prefix(prefix) => write!(
                out,
                "The signature is right, but `{prefix}` stands in front of it. Remove it, or configure it as the prefix.",
            ),
            Self::FieldOrder => out.write_str(
                "The signature is right, but its fields are in another order or among others. Send just the scheme's fields, in its order.",
            ),
            Self::Unit(unit) => write!(
                out,
                "The signature is right, but its time is in {}. Send it in the scheme's unit.",
                match unit {
                    Unit::Seconds => "seconds",
                    Unit::Millis | Unit::ByMagnitude => "milliseconds",
                }
            ),
            Self::Late(age) => write!(
                out,
                "The request is genuine, but it was signed {} before it came. Compare both clocks, and look for a queue or a replay in between.",
                Span(*age)
            ),
            Self::Early(ahead) => write!(
                out,
                "The request is genuine, but it is dated {} ahead of this machine. Compare both clocks.",
                Span(*ahead)
            ),
            Self::Secret(change) => write!(out, "{change}"),
            Self::OldSecret => out.write_str(
                "The request was signed with an old or another secret. Copy the provider's current secret, or keep both in force while you rotate.",
            ),
            Self::OtherHeader(header) => write!(
                out,
                "The signature is right, but it arrives in `{header}`. Configure this header.",
            ),
            Self::PlainSecret(header) => write!(
                out,
                "The secret itself arrives in `{header}`. Sign with it, or configure a token scheme for this header.",
            ),
            Self::OtherScheme(name) => write!(
                out,
                "The request is right under `{name}`. Configure this scheme, or send it to a source that has it.",
            ),
            Self::Url(change) => write!(
                out,
                "The signature covers the URL {}. Set the public URL to what the provider calls.",
                match change {
                    UrlChange::Http => "with `http`",
                    UrlChange::Https => "with `https`",
                    UrlChange::Host => "with the host that the request names",
                    UrlChange::NoQuery => "without its query",
                    UrlChange::PathOnly => "as a bare path",
                    UrlChange::Slash => "with a slash at its end",
                    UrlChange::NoSlash => "without the slash at its end",
                }
            ),
            Self::EmptyBody => out.write_str(
                "The body is empty, and another one was signed: something in front has read it. Pass the raw bytes on.",
            ),
        }
    }
}

impl fmt::Display for BodyChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Printed(printer) => {
                return write!(
                    out,
                    "The signature fits this body as {} prints it. Sign, send and pass on the same raw bytes, never JSON that was parsed and printed anew.",
                    printer.name()
                );
            }
            Self::SignedEmpty => {
                return out.write_str(
                    "The signature was made over an empty body. Sign the bytes that are sent.",
                );
            }
            Self::NewlineAdded => "without the newline at its end",
            Self::NewlineRemoved => "with a newline at its end",
            Self::LineEndsShortened => "with CR LF at its line ends",
            Self::LineEndsLengthened => "with LF at its line ends",
            Self::MarkAdded => "without the byte order mark in front",
            Self::MarkRemoved => "with a byte order mark in front",
            Self::EncodedTwice => "before it was encoded as UTF-8 a second time",
        };
        write!(
            out,
            "The signature fits this body {what}. Sign, send and pass on the same raw bytes."
        )
    }
}

impl fmt::Display for SecretChange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::OuterBlank => "The configured secret has white space at an end. Remove it.",
            Self::NewlineMissing => {
                "The sender's secret has a newline at its end. Remove it there (`echo -n`)."
            }
            Self::BlankMissing => "The sender's secret has a blank at its end. Remove it there.",
            Self::Quotes => "The configured secret has quotes around it. Remove them.",
            Self::Bearer => "The configured secret has `Bearer ` in front. Remove it.",
            Self::Hex => {
                "The sender decodes the secret from hexadecimal. Use its text as the key."
            }
            Self::Base64 => {
                "The sender decodes the secret from base64. Set `secret_is_base64`, or use its text as the key."
            }
            Self::NotBase64 => {
                "The sender uses the secret's text as the key. Unset `secret_is_base64`, or decode it there."
            }
            Self::Whsec => {
                "The sender's key is what stands behind `whsec_`. Configure the secret without `whsec_`, and `secret_is_base64` if it is base64."
            }
        })
    }
}

/// Prints a span as a person says it.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let in_units = |unit: u64| seconds.checked_div(unit).unwrap_or(0);
        match seconds {
            0..120 => write!(out, "{seconds} seconds"),
            120..7200 => write!(out, "{} minutes", in_units(60)),
            7200..172_800 => write!(out, "{} hours", in_units(3600)),
            _ => write!(out, "{} days", in_units(86_400)),
        }
    }
}
